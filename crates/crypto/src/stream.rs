//! Long sealed streams: blocks of a fixed size, each sealed by itself, so that neither end ever holds
//! more than one. A block's nonce is its number and whether it is the last (STREAM, Hoang et al. 2015):
//! none can be left out, exchanged, repeated or cut off unseen.

use crate::error::Error;
use crate::label;
use crate::secret::{NONCE_BYTES, SEAL_TAG_BYTES, decrypt, derive, encrypt};
use base::Hash;
use zeroize::Zeroizing;

/// Plain bytes of every block but the last, which may have fewer.
pub const STREAM_BLOCK_BYTES: usize = 64 << 10;
/// By how many bytes a sealed block is longer than the plain one.
pub const STREAM_OVERHEAD: usize = SEAL_TAG_BYTES;

/// The key of one stream.
pub struct StreamKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey")
    }
}

impl StreamKey {
    /// The key of the stream that begins with these bytes in clear. The secret must serve no other.
    pub fn new(secret: &[u8; 32], head: &[u8]) -> StreamKey {
        StreamKey(derive(secret, label::STREAM, &[&Hash::of(&[head]).0]))
    }

    /// Seals a block.
    pub fn seal(&self, number: u64, last: bool, plain: &[u8]) -> Vec<u8> {
        encrypt(&self.0, nonce(number, last), b"", plain)
    }

    /// Opens a block; an error if it is not this one of this stream.
    pub fn open(&self, number: u64, last: bool, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        decrypt(&self.0, nonce(number, last), b"", sealed, "block")
    }
}

fn nonce(number: u64, last: bool) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[15..23].copy_from_slice(&number.to_be_bytes());
    nonce[23] = last.into();
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_only_in_its_place() {
        let key = StreamKey::new(&[1; 32], b"head");
        let sealed = key.seal(3, false, b"plain");
        assert_eq!(sealed.len(), 5 + STREAM_OVERHEAD);
        assert_eq!(key.open(3, false, &sealed).unwrap(), b"plain");
        assert!(key.open(4, false, &sealed).is_err());
        assert!(key.open(3, true, &sealed).is_err());
        assert!(StreamKey::new(&[1; 32], b"Head").open(3, false, &sealed).is_err());
        assert!(StreamKey::new(&[2; 32], b"head").open(3, false, &sealed).is_err());
        let mut changed = sealed;
        changed[0] ^= 1;
        assert!(key.open(3, false, &changed).is_err());
    }
}
