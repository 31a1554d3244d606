//! The format of the pieces in which a DTN daemon takes a bundle. Names only `base`, so that it can be tried alone.

use base::{Hash, limit};

pub(super) const MAGIC: [u8; 8] = *b"chorusp1";
/// Bytes of a piece beside its part of the bundle.
pub(super) const HEAD: usize = MAGIC.len() + 32 + 2;

/// One piece: of which bundle (the SHA-256 of all of it), which of how many.
pub(crate) struct Piece<'a> {
    pub(crate) of: Hash,
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) bytes: &'a [u8],
}

/// Cuts a bundle; none if it is larger than anybody would take.
pub(crate) fn cut(bundle: &[u8]) -> Option<Vec<Vec<u8>>> {
    let of = Hash::of(&[bundle]);
    let parts: Vec<&[u8]> = bundle.chunks(limit::DTN_BYTES - HEAD).collect();
    if parts.len() > limit::DTN_PIECES {
        return None;
    }
    let count = parts.len() as u8;
    let pieces = parts.into_iter().enumerate();
    Some(pieces.map(|(index, bytes)| Piece { of, index: index as u8, count, bytes }.to_bytes()).collect())
}

impl Piece<'_> {
    /// The piece as it travels.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.of.0);
        out.extend([self.index, self.count]);
        out.extend(self.bytes);
        out
    }

    /// Reads a piece; none where it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Piece<'_>> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (of, rest) = rest.split_first_chunk::<32>()?;
        let ([index, count], bytes) = rest.split_first_chunk::<2>()?;
        let sound = *index < *count && usize::from(*count) <= limit::DTN_PIECES && !bytes.is_empty();
        sound.then_some(Piece { of: Hash(*of), index: *index, count: *count, bytes })
    }
}
