//! Wraps: a secret sealed to one public key, with HPKE (RFC 9180) in base mode, X25519 with
//! HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! A wrap says nothing about who made it; that is in the signature of the operation that carries
//! it. `wrapped = encapsulated key (32 bytes), sealed secret`.

use crate::error::Error;
use crate::keys::{SealKey, SealPublic};
use crate::label;
use crate::secret::{SEAL_TAG_BYTES, derive};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use std::convert::Infallible;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// How long a wrapped 32-byte secret is, in bytes.
pub const WRAPPED_SECRET_BYTES: usize = KEY_BYTES + 32 + SEAL_TAG_BYTES;

// The generator that HPKE draws the ephemeral key from: a stream that only the seed decides.
struct Stream {
    seed: Zeroizing<[u8; 32]>,
    blocks: u64,
}

impl Stream {
    fn block(&mut self) -> Zeroizing<[u8; 32]> {
        self.blocks += 1;
        derive(&self.seed, label::EPHEMERAL, &[&self.blocks.to_be_bytes()])
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let block = self.block();
        Ok(u32::from_le_bytes([block[0], block[1], block[2], block[3]]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.try_next_u32()?);
        Ok(u64::from(self.try_next_u32()?) << 32 | low)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(32) {
            part.copy_from_slice(&self.block()[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

/// Seals `secret` to the holder of `to`, bound to `info`.
///
/// `seed` must be random; one seed may serve many wraps, since the ephemeral key follows from it
/// together with the recipient, `info` and the secret. An error if `to` is no usable key.
pub fn wrap(to: &SealPublic, info: &[u8], secret: &[u8], seed: &[u8; 32]) -> Result<Vec<u8>, Error> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| Error::Key)?;
    let bound = base::Hash::of(&[&to.0, &base::Hash::of(&[info]).0, secret]);
    let mut stream = Stream { seed: derive(seed, label::EPHEMERAL, &[&bound.0]), blocks: 0 };
    let (key, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        info,
        secret,
        b"",
        &mut stream,
    )
    .map_err(|_| Error::Key)?;
    let mut out = key.to_bytes().to_vec();
    out.extend(sealed);
    Ok(out)
}

/// Opens a wrap made to this key with this `info`; an error for anything else.
pub fn unwrap(key: &SealKey, info: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let closed = |_| Error::Sealed { what: "wrap" };
    let (encapsulated, sealed) = wrapped.split_at_checked(KEY_BYTES).ok_or(Error::Sealed { what: "wrap" })?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(closed)?;
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(key.0.as_bytes()).map_err(closed)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        sealed,
        b"",
    )
    .map(Zeroizing::new)
    .map_err(closed)
}

/// As `wrap`, for a secret of 32 bytes.
pub fn wrap_secret(
    to: &SealPublic,
    info: &[u8],
    secret: &[u8; 32],
    seed: &[u8; 32],
) -> Result<[u8; WRAPPED_SECRET_BYTES], Error> {
    wrap(to, info, secret, seed)?.try_into().map_err(|_| Error::Sealed { what: "wrap" })
}

/// As `unwrap`, for a secret of 32 bytes.
pub fn unwrap_secret(key: &SealKey, info: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let bytes = unwrap(key, info, wrapped)?;
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| Error::Sealed { what: "wrap" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SealKey {
        SealKey::from_seed([1; 32])
    }

    #[test]
    fn only_the_recipient_opens_a_wrap_and_only_for_its_purpose() {
        let wrapped = wrap_secret(&key().public(), b"info", &[2; 32], &[3; 32]).unwrap();
        assert_eq!(*unwrap_secret(&key(), b"info", &wrapped).unwrap(), [2; 32]);
        assert!(unwrap(&key(), b"Info", &wrapped).is_err());
        assert!(unwrap(&SealKey::from_seed([9; 32]), b"info", &wrapped).is_err());
    }

    #[test]
    fn one_seed_never_gives_one_ephemeral_key_twice() {
        let a = wrap_secret(&key().public(), b"a", &[2; 32], &[3; 32]).unwrap();
        let b = wrap_secret(&key().public(), b"b", &[2; 32], &[3; 32]).unwrap();
        let c = wrap_secret(&key().public(), b"a", &[4; 32], &[3; 32]).unwrap();
        assert!(a[..32] != b[..32] && a[..32] != c[..32] && b[..32] != c[..32]);
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        assert_eq!(wrap(&SealPublic([0; 32]), b"", b"secret", &[3; 32]), Err(Error::Key));
        assert!(unwrap(&key(), b"", &[0; 80]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn garbage_and_changed_wraps_do_not_open(at in any::<usize>(), bit in 0u8..8, junk in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(unwrap(&key(), b"info", &junk).is_err());
            let mut wrapped = wrap(&key().public(), b"info", &[2; 32], &[3; 32]).unwrap();
            let n = wrapped.len();
            wrapped[at % n] ^= 1 << bit;
            // The top bit of a curve point is ignored by X25519, but HPKE binds the bytes sent.
            prop_assert!(unwrap(&key(), b"info", &wrapped).is_err());
        }
    }
}
