//! Secrets in operations: to whom they are wrapped, and what opens.

use super::codec;
use base::{DeviceId, PersonId, SpaceId, cbor, limit};
use crypto::{EpochSecret, SealKey, SealPublic, TopicSecret, WRAPPED_SECRET_BYTES};
use minicbor::{Decoder, Encoder};
use std::collections::BTreeMap;

/// Whom a wrap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// A device, by its key.
    Device(DeviceId),
    /// A person's recovery key.
    Recovery(PersonId),
}

impl Recipient {
    const BYTES: usize = 33;

    /// A byte that says which, then the id: the form it has in operations and in what a wrap is
    /// bound to.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let (code, id) = match self {
            Recipient::Device(device) => (0, device.0),
            Recipient::Recovery(person) => (1, person.0),
        };
        let mut out = [code; Self::BYTES];
        out[1..].copy_from_slice(&id);
        out
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Recipient> {
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[1..]);
        match bytes[0] {
            0 => Some(Recipient::Device(DeviceId(id))),
            1 => Some(Recipient::Recovery(PersonId(id))),
            _ => None,
        }
    }
}

/// A secret wrapped for one recipient: E for readers and above, T for hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// For whom.
    pub recipient: Recipient,
    /// The secret, sealed to them.
    pub sealed: [u8; WRAPPED_SECRET_BYTES],
}

impl<C> minicbor::Encode<C> for Wrap {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.bytes(&self.recipient.to_bytes())?.bytes(&self.sealed)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Wrap {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        cbor::expect_array(d, 2)?;
        let recipient = Recipient::from_bytes(codec::fixed(d)?)
            .ok_or_else(|| minicbor::decode::Error::message("kind of recipient"))?;
        Ok(Wrap { recipient, sealed: codec::fixed(d)? })
    }
}

/// Reads wraps: sorted by recipient, each at most once.
pub(super) fn read_wraps(d: &mut Decoder<'_>) -> Result<Vec<Wrap>, minicbor::decode::Error> {
    let wraps: Vec<Wrap> = cbor::list(d, limit::WRAPS)?;
    if wraps.windows(2).all(|w| w[0].recipient < w[1].recipient) {
        Ok(wraps)
    } else {
        Err(minicbor::decode::Error::message("wraps out of order"))
    }
}

/// Which of an epoch's two secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    Epoch,
    Topic,
}

// What a wrap is bound to: a wrap moved into another space, epoch or to another recipient is void.
fn info(which: Secret, space: &SpaceId, nonce: &[u8; 16], recipient: &Recipient) -> Vec<u8> {
    let domain: &[u8] = match which {
        Secret::Epoch => b"chorus/wrap-epoch/1\0",
        Secret::Topic => b"chorus/wrap-topic/1\0",
    };
    [domain, &space.0, nonce, &recipient.to_bytes()].concat()
}

/// Wraps one secret of the epoch with this nonce for every recipient, sorted.
pub(super) fn wrap_all(
    which: Secret,
    space: &SpaceId,
    nonce: &[u8; 16],
    secret: &[u8; 32],
    recipients: &BTreeMap<Recipient, SealPublic>,
    seed: &[u8; 32],
) -> Result<Vec<Wrap>, crypto::Error> {
    recipients
        .iter()
        .map(|(recipient, key)| {
            let sealed = crypto::wrap_secret(key, &info(which, space, nonce, recipient), secret, seed)?;
            Ok(Wrap { recipient: *recipient, sealed })
        })
        .collect()
}

pub(super) fn open_epoch(
    space: &SpaceId,
    nonce: &[u8; 16],
    wrap: &Wrap,
    key: &SealKey,
) -> Option<EpochSecret> {
    let info = info(Secret::Epoch, space, nonce, &wrap.recipient);
    crypto::unwrap_secret(key, &info, &wrap.sealed).ok().map(|secret| EpochSecret::new(*secret))
}

pub(super) fn open_topic(
    space: &SpaceId,
    nonce: &[u8; 16],
    wrap: &Wrap,
    key: &SealKey,
) -> Option<TopicSecret> {
    let info = info(Secret::Topic, space, nonce, &wrap.recipient);
    let secret = crypto::unwrap_secret(key, &info, &wrap.sealed).ok()?;
    TopicSecret::from_slice(secret.as_slice()).ok()
}
