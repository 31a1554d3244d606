//! What a person says about their devices: the bodies of statements. `schema/statement.cddl`.

use super::codec::{self, Cut, VERSION};
use base::{DeviceId, PersonId, cbor, limit};
use crypto::SealPublic;
use minicbor::{Decoder, Encoder};

/// The domain under which a device, or a new root, agrees to a statement about it.
pub const PROOF_DOMAIN: &str = "chorus/consent/1";

const FIRST: u64 = 0;
const CERTIFY: u64 = 1;
const REVOKE: u64 = 2;
const ROTATE: u64 = 3;

/// A statement. Signed by the person's root key or one of their devices, whose log it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The first: its entry's hash is the person's id. Signed by the root key it names.
    First {
        /// The root key.
        root: DeviceId,
        /// The recovery key that every epoch is wrapped to.
        recovery: SealPublic,
        /// Random.
        nonce: [u8; 16],
    },
    /// This device is mine, and secrets for it are wrapped to this key.
    Certify {
        /// The device.
        device: DeviceId,
        /// Its sealing key.
        seal: SealPublic,
        /// Rises with each certificate of one device; the highest holds.
        number: u64,
        /// What its owner calls it; a suggestion.
        name: Option<String>,
        /// The device's signature: nobody can claim the device of another.
        proof: [u8; 64],
    },
    /// This device is mine no more. Takes effect in a later version.
    Revoke {
        /// The device.
        device: DeviceId,
        /// What it wrote that still counts.
        cut: Cut,
    },
    /// Another recovery phrase. Takes effect in a later version.
    Rotate {
        /// The new root key.
        root: DeviceId,
        /// The new recovery key.
        recovery: SealPublic,
        /// Rises with each rotation.
        number: u64,
        /// The new root's signature.
        proof: [u8; 64],
    },
}

/// What a device or new root signs, with the person's id as space, to agree to being named in a
/// statement.
pub fn proof_message(key: &DeviceId, seal: &SealPublic, number: u64) -> Vec<u8> {
    [key.0.as_slice(), &seal.0, &number.to_be_bytes()].concat()
}

impl Statement {
    /// The body of the entry that makes this statement.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Whether the key a statement names agreed to it; true where none has to.
    pub(super) fn is_agreed(&self, person: &PersonId) -> bool {
        let (key, seal, number, proof) = match self {
            Statement::Certify { device, seal, number, proof, .. } => (device, seal, *number, proof),
            Statement::Rotate { root, recovery, number, proof } => (root, recovery, *number, proof),
            Statement::First { .. } | Statement::Revoke { .. } => return true,
        };
        crypto::verify(key, PROOF_DOMAIN, &person.space(), &proof_message(key, seal, number), proof).is_ok()
    }
}

impl<C> minicbor::Encode<C> for Statement {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Statement::First { root, recovery, nonce } => {
                e.array(5)?.u64(VERSION)?.u64(FIRST)?.encode(root)?.encode(recovery)?.bytes(nonce)?;
            }
            Statement::Certify { device, seal, number, name, proof } => {
                e.array(7)?.u64(VERSION)?.u64(CERTIFY)?.encode(device)?.encode(seal)?.u64(*number)?;
                e.encode(name)?.bytes(proof)?;
            }
            Statement::Revoke { device, cut } => {
                e.array(4)?.u64(VERSION)?.u64(REVOKE)?.encode(device)?;
                codec::write_cut(e, cut)?;
            }
            Statement::Rotate { root, recovery, number, proof } => {
                e.array(6)?.u64(VERSION)?.u64(ROTATE)?.encode(root)?.encode(recovery)?.u64(*number)?;
                e.bytes(proof)?;
            }
        }
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Statement {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(match codec::head(d)? {
            (FIRST, 5) => {
                Statement::First { root: d.decode()?, recovery: d.decode()?, nonce: codec::fixed(d)? }
            }
            (CERTIFY, 7) => Statement::Certify {
                device: d.decode()?,
                seal: d.decode()?,
                number: d.u64()?,
                name: codec::optional_text(d, limit::NAME_BYTES)?,
                proof: codec::fixed(d)?,
            },
            (REVOKE, 4) => Statement::Revoke { device: d.decode()?, cut: codec::cut(d)? },
            (ROTATE, 6) => Statement::Rotate {
                root: d.decode()?,
                recovery: d.decode()?,
                number: d.u64()?,
                proof: codec::fixed(d)?,
            },
            _ => return Err(minicbor::decode::Error::message("kind of statement")),
        })
    }
}
