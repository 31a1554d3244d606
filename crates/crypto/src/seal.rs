//! Sealing: bodies of entries, chunks, and the secrets of replaced epochs.
//!
//! All with XChaCha20-Poly1305. A body has a random nonce in front and is bound to its header. A
//! chunk's key belongs to that chunk alone, so its nonce is zero and equal chunks seal alike.

use crate::error::Error;
use crate::secret::{EpochSecret, NONCE_BYTES, SEAL_TAG_BYTES, decrypt, encrypt, split_nonce};
use base::{ChunkId, EpochId, Hash, LogId, SpaceId};

/// By how many bytes a sealed body is longer than the plain one.
pub const BODY_OVERHEAD: usize = NONCE_BYTES + SEAL_TAG_BYTES;
/// How long the sealed secret of a replaced epoch is, in bytes.
pub const PREVIOUS_BYTES: usize = 32 + SEAL_TAG_BYTES;

const ZERO_NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// Seals a packed body to its header. `nonce` must be random and fresh.
pub fn seal_body(
    secret: &EpochSecret,
    space: &SpaceId,
    log: &LogId,
    header: &[u8],
    plain: &[u8],
    nonce: [u8; 24],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + BODY_OVERHEAD);
    out.extend(nonce);
    out.extend(encrypt(&secret.entry_key(space, log), nonce, header, plain));
    out
}

/// Opens a body; an error if it or its header is not what was sealed.
pub fn open_body(
    secret: &EpochSecret,
    space: &SpaceId,
    log: &LogId,
    header: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let (nonce, sealed) = split_nonce(sealed, "body")?;
    decrypt(&secret.entry_key(space, log), nonce, header, sealed, "body")
}

/// Seals a chunk: its id, the sealed bytes, and the SHA-256 of the plain ones.
pub fn seal_chunk(secret: &EpochSecret, plain: &[u8]) -> (ChunkId, Vec<u8>, Hash) {
    let hash = Hash::of(&[plain]);
    let (id, sealed) = seal_chunk_again(secret, &hash, plain);
    (id, sealed, hash)
}

/// The sealed form of a chunk whose plain bytes have the SHA-256 `plain`, which is not looked at: whether
/// the bytes are those, the chunk id tells.
pub fn seal_chunk_again(secret: &EpochSecret, plain: &Hash, bytes: &[u8]) -> (ChunkId, Vec<u8>) {
    let sealed = encrypt(&secret.chunk_key(plain), ZERO_NONCE, b"", bytes);
    (ChunkId(Hash::of(&[&sealed]).0), sealed)
}

/// Opens a chunk whose plain bytes have the SHA-256 `plain`. That the sealed bytes are those of a
/// chunk id is not looked at here.
pub fn open_chunk(secret: &EpochSecret, plain: &Hash, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let bytes = decrypt(&secret.chunk_key(plain), ZERO_NONCE, b"", sealed, "chunk")?;
    // A holder of the secret could seal other bytes under this key; then the manifest lied.
    if Hash::of(&[&bytes]) == *plain { Ok(bytes) } else { Err(Error::Sealed { what: "chunk" }) }
}

/// As `open_chunk`, after seeing that the sealed bytes are those named by `id`.
pub fn open_chunk_checked(
    secret: &EpochSecret,
    id: &ChunkId,
    plain: &Hash,
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    if Hash::of(&[sealed]).0 != id.0 {
        return Err(Error::Sealed { what: "chunk" });
    }
    open_chunk(secret, plain, sealed)
}

/// Seals the secret of the epoch `replaced` under the secret of the epoch that replaces it.
pub fn seal_previous(
    secret: &EpochSecret,
    space: &SpaceId,
    replaced: &EpochId,
    old: &EpochSecret,
) -> [u8; PREVIOUS_BYTES] {
    let mut out = [0; PREVIOUS_BYTES];
    // The key is for this pair of epochs only, so the nonce may be zero.
    out.copy_from_slice(&encrypt(&secret.previous_key(replaced), ZERO_NONCE, &space.0, old.expose()));
    out
}

/// Opens what `seal_previous` made.
pub fn open_previous(
    secret: &EpochSecret,
    space: &SpaceId,
    replaced: &EpochId,
    sealed: &[u8; PREVIOUS_BYTES],
) -> Result<EpochSecret, Error> {
    let bytes = zeroize::Zeroizing::new(decrypt(
        &secret.previous_key(replaced),
        ZERO_NONCE,
        &space.0,
        sealed,
        "previous secret",
    )?);
    EpochSecret::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{DeviceId, Incarnation};
    use proptest::prelude::*;

    const SPACE: SpaceId = SpaceId([1; 32]);

    fn log() -> LogId {
        LogId { device: DeviceId([2; 32]), incarnation: Incarnation([3; 8]) }
    }

    fn secret() -> EpochSecret {
        EpochSecret::new([4; 32])
    }

    #[test]
    fn a_body_opens_only_as_what_it_was_sealed_for() {
        let sealed = seal_body(&secret(), &SPACE, &log(), b"header", b"plain", [5; 24]);
        assert_eq!(sealed.len(), 5 + BODY_OVERHEAD);
        assert_eq!(open_body(&secret(), &SPACE, &log(), b"header", &sealed).unwrap(), b"plain");
        let other_log = LogId { incarnation: Incarnation([9; 8]), ..log() };
        assert!(open_body(&secret(), &SPACE, &log(), b"Header", &sealed).is_err());
        assert!(open_body(&secret(), &SpaceId([9; 32]), &log(), b"header", &sealed).is_err());
        assert!(open_body(&secret(), &SPACE, &other_log, b"header", &sealed).is_err());
        assert!(open_body(&EpochSecret::new([9; 32]), &SPACE, &log(), b"header", &sealed).is_err());
    }

    #[test]
    fn equal_chunks_seal_alike_and_open_by_their_hash() {
        let (id, sealed, hash) = seal_chunk(&secret(), b"bytes");
        assert_eq!(seal_chunk(&secret(), b"bytes").0, id);
        assert_ne!(seal_chunk(&EpochSecret::new([9; 32]), b"bytes").0, id);
        assert_eq!(open_chunk_checked(&secret(), &id, &hash, &sealed).unwrap(), b"bytes");
        assert!(open_chunk_checked(&secret(), &ChunkId([0; 32]), &hash, &sealed).is_err());
        assert!(open_chunk(&secret(), &Hash([0; 32]), &sealed).is_err());
    }

    #[test]
    fn a_chunk_that_is_not_what_its_hash_says_is_refused() {
        let hash = Hash::of(&[b"honest"]);
        let forged = encrypt(&secret().chunk_key(&hash), ZERO_NONCE, b"", b"forged");
        assert_eq!(open_chunk(&secret(), &hash, &forged), Err(Error::Sealed { what: "chunk" }));
    }

    #[test]
    fn replaced_secrets_open_under_the_new_one() {
        let old = EpochSecret::new([7; 32]);
        let sealed = seal_previous(&secret(), &SPACE, &EpochId([8; 32]), &old);
        assert_eq!(open_previous(&secret(), &SPACE, &EpochId([8; 32]), &sealed).unwrap(), old);
        assert!(open_previous(&secret(), &SPACE, &EpochId([9; 32]), &sealed).is_err());
        assert!(open_previous(&old, &SPACE, &EpochId([8; 32]), &sealed).is_err());
    }

    #[test]
    fn frames_open_with_what_hosts_hold() {
        let topic = secret().topic_secret();
        let sealed = topic.seal_frame([6; 24], b"frame");
        assert_eq!(topic.open_frame(&sealed).unwrap(), b"frame");
        assert!(EpochSecret::new([9; 32]).topic_secret().open_frame(&sealed).is_err());
        assert!(topic.open_frame(&sealed[..20]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_flipped_bit_anywhere_closes_everything(at in any::<usize>(), bit in 0u8..8) {
            let mut body = seal_body(&secret(), &SPACE, &log(), b"header", b"plain", [5; 24]);
            let n = body.len();
            body[at % n] ^= 1 << bit;
            prop_assert!(open_body(&secret(), &SPACE, &log(), b"header", &body).is_err());
            let (_, mut chunk, hash) = seal_chunk(&secret(), b"chunk");
            let n = chunk.len();
            chunk[at % n] ^= 1 << bit;
            prop_assert!(open_chunk(&secret(), &hash, &chunk).is_err());
        }

        #[test]
        fn garbage_never_opens(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(open_body(&secret(), &SPACE, &log(), b"header", &bytes).is_err());
            prop_assert!(open_chunk(&secret(), &Hash([0; 32]), &bytes).is_err());
            prop_assert!(secret().topic_secret().open_frame(&bytes).is_err());
        }
    }
}
