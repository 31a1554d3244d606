//! What of a bundle is in clear: what it is, and its secret wrapped for each device of the receiver. Names only `base`
//! and `crypto`, so that it can be tried alone.

use base::limit;
use crypto::{SealKey, StreamKey, WRAPPED_SECRET_BYTES};
use std::io::Read;

const MAGIC: [u8; 8] = *b"chorusb1";
/// What the wraps of a bundle's secret are bound to.
pub(crate) const WRAP: &[u8] = b"chorus/bundle-wrap/1";

/// Why a head is none that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It does not begin as a bundle does.
    NoBundle,
    /// A newer version made it.
    Newer,
    /// It is cut off, or names more or fewer wraps than may be.
    Damaged,
}

/// The bytes in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// Of a bundle with these wraps, of which there are at most `limit::BUNDLE_WRAPS`.
    pub(crate) fn new(wraps: &[Vec<u8>]) -> Head {
        let mut bytes = MAGIC.to_vec();
        bytes.push(wraps.len() as u8);
        bytes.extend(wraps.iter().flatten());
        Head(bytes)
    }

    /// Reads what stands before the first block.
    pub(crate) fn read(from: &mut impl Read) -> Result<Head, Bad> {
        let mut bytes = vec![0; MAGIC.len() + 1];
        let short = from.read_exact(&mut bytes).is_err();
        let magic = bytes.get(..MAGIC.len()).unwrap_or_default();
        if short || magic.get(..7) != MAGIC.get(..7) {
            return Err(Bad::NoBundle);
        }
        if magic != MAGIC {
            return Err(Bad::Newer);
        }
        let wraps = bytes.last().map_or(0, |n| usize::from(*n));
        if wraps == 0 || wraps > limit::BUNDLE_WRAPS {
            return Err(Bad::Damaged);
        }
        let mut wrapped = vec![0; wraps * WRAPPED_SECRET_BYTES];
        from.read_exact(&mut wrapped).map_err(|_| Bad::Damaged)?;
        bytes.extend(wrapped);
        Ok(Head(bytes))
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key of the blocks that follow, if it is wrapped for this device.
    pub(crate) fn open(&self, seal: &SealKey) -> Option<StreamKey> {
        let mut wraps = self.0.get(MAGIC.len() + 1..)?.chunks(WRAPPED_SECRET_BYTES);
        let secret = wraps.find_map(|wrap| crypto::unwrap_secret(seal, WRAP, wrap).ok())?;
        Some(StreamKey::new(&secret, &self.0))
    }
}
