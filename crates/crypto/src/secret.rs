//! The secrets of an epoch: E, which readers hold, and T, which hosts hold too.

use crate::error::Error;
use crate::label;
use base::{Hash, LogId, SpaceId};
use chacha20::{R20, hchacha};
use hkdf::Hkdf;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const SEAL_TAG_BYTES: usize = 16;

/// 32 bytes derived from a secret under a label and the parts it is bound to. A part is either of
/// fixed width or the last one, so no two lists of parts meet.
pub(crate) fn derive(secret: &[u8; 32], label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let mut info = vec![label.as_bytes(), &[0]];
    info.extend(parts);
    // Fails only for outputs of more than 255 blocks; this is one.
    let _ = Hkdf::<Sha256>::new(None, secret).expand_multi_info(&info, out.as_mut_slice());
    out
}

/// 32 bytes for one purpose out of a random seed: nonces, secrets, further seeds.
pub fn expand_seed(seed: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    derive(seed, purpose, &[])
}

// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, 2.3): ChaCha20-Poly1305 under a key that follows from the first 16
// bytes of the nonce, with the last 8 as its own. Of several libraries this one is twice as fast on large chunks.
fn cipher(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Option<(LessSafeKey, Nonce)> {
    let (first, last) = nonce.split_first_chunk::<16>()?;
    let subkey = Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(&(*key).into(), &(*first).into())));
    let mut own = [0; 12];
    own[4..].copy_from_slice(last);
    let key = UnboundKey::new(&CHACHA20_POLY1305, subkey.as_slice()).ok()?;
    Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(own)))
}

pub(crate) fn encrypt(key: &[u8; 32], nonce: [u8; NONCE_BYTES], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + SEAL_TAG_BYTES);
    out.extend_from_slice(plain);
    let done = cipher(key, &nonce)
        .and_then(|(cipher, nonce)| cipher.seal_in_place_append_tag(nonce, Aad::from(aad), &mut out).ok());
    // The cipher refuses only messages of 256 GiB and more; nothing plain leaves here.
    if done.is_none() {
        out.zeroize();
    }
    out
}

pub(crate) fn decrypt(
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    sealed: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let refused = || Error::Sealed { what };
    let (cipher, nonce) = cipher(key, &nonce).ok_or_else(refused)?;
    let mut out = sealed.to_vec();
    let plain = cipher.open_in_place(nonce, Aad::from(aad), &mut out).map_err(|_| refused())?.len();
    out.truncate(plain);
    Ok(out)
}

/// Takes the nonce off the front of what was sealed with a random one.
pub(crate) fn split_nonce<'a>(
    sealed: &'a [u8],
    what: &'static str,
) -> Result<([u8; NONCE_BYTES], &'a [u8]), Error> {
    match sealed.split_first_chunk::<NONCE_BYTES>() {
        Some((nonce, rest)) => Ok((*nonce, rest)),
        None => Err(Error::Sealed { what }),
    }
}

/// E: the secret of an epoch. Whoever holds it reads everything sealed in that epoch.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EpochSecret([u8; 32]);

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochSecret")
    }
}

impl EpochSecret {
    /// The secret made of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> EpochSecret {
        EpochSecret(bytes)
    }

    /// Reads a secret that came out of a wrap; an error if it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<EpochSecret, Error> {
        bytes.try_into().map(EpochSecret).map_err(|_| Error::Sealed { what: "secret" })
    }

    /// The secret itself, for wrapping and for the owner's own disk.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the epoch's operation publishes of it: a wrap that opens to another secret is known to
    /// be wrong.
    pub fn commit(&self) -> Hash {
        Hash(*derive(&self.0, label::COMMIT, &[]))
    }

    /// T: what hosts get.
    pub fn topic_secret(&self) -> TopicSecret {
        TopicSecret(*derive(&self.0, label::TOPIC, &[]))
    }

    /// The key of one chunk, by the SHA-256 of its plain bytes: equal chunks of an epoch seal alike.
    pub fn chunk_key(&self, plain: &Hash) -> Zeroizing<[u8; 32]> {
        derive(&self.0, label::CHUNK, &[&plain.0])
    }

    /// The key of the bodies of one log.
    pub fn entry_key(&self, space: &SpaceId, log: &LogId) -> Zeroizing<[u8; 32]> {
        derive(&self.0, label::BODY, &[&space.0, &log.to_bytes()])
    }

    pub(crate) fn previous_key(&self, replaced: &base::EpochId) -> Zeroizing<[u8; 32]> {
        derive(&self.0, label::PREVIOUS, &[&replaced.0])
    }
}

/// T: derived from E; names the topic of an epoch and seals its gossip frames. It opens no body.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TopicSecret([u8; 32]);

impl std::fmt::Debug for TopicSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TopicSecret")
    }
}

impl TopicSecret {
    /// Reads a secret that came out of a host's wrap; an error if it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<TopicSecret, Error> {
        bytes.try_into().map(TopicSecret).map_err(|_| Error::Sealed { what: "secret" })
    }

    /// The secret itself, for wrapping and for the owner's own disk.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the epoch's operation publishes of it, for hosts to check their wrap by.
    pub fn commit(&self) -> Hash {
        Hash(*derive(&self.0, label::TOPIC_COMMIT, &[]))
    }

    /// The gossip topic: 64 hex digits that tell an outsider nothing.
    pub fn topic(&self) -> String {
        Hash(*derive(&self.0, label::TOPIC_NAME, &[])).hex()
    }

    /// Seals one gossip frame; `nonce` must be random. The nonce goes in front.
    pub fn seal_frame(&self, nonce: [u8; 24], frame: &[u8]) -> Vec<u8> {
        let mut out = nonce.to_vec();
        out.extend(encrypt(&derive(&self.0, label::FRAME, &[]), nonce, b"", frame));
        out
    }

    /// Opens what `seal_frame` made; an error for anything else.
    pub fn open_frame(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, sealed) = split_nonce(sealed, "frame")?;
        decrypt(&derive(&self.0, label::FRAME, &[]), nonce, b"", sealed, "frame")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use chacha20poly1305::{XChaCha20Poly1305, XNonce};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn another_implementation_seals_and_opens_the_same(
            key: [u8; 32],
            nonce: [u8; NONCE_BYTES],
            aad in prop::collection::vec(any::<u8>(), 0..70),
            plain in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let other = XChaCha20Poly1305::new(&key.into());
            let sealed = encrypt(&key, nonce, &aad, &plain);
            let theirs = other.encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &aad }).unwrap();
            prop_assert_eq!(&sealed, &theirs);
            prop_assert_eq!(decrypt(&key, nonce, &aad, &sealed, "x").unwrap(), plain);
        }
    }
}
