//! Records: how a key and its value lie in the engine. The layout stands in the crate's page.

use crc32fast::Hasher;

/// Bytes of the longest key.
pub const KEY_BYTES: usize = 255;
/// Bytes of the longest value, whole.
pub const VALUE_BYTES: usize = 64 << 20;
/// Bytes of a record in the engine, its key included. Over this the engine could put it into a
/// file of its own, which it never syncs.
pub(crate) const RECORD_BYTES: usize = 4096;
/// Bytes of a value that fits beside the longest key in one record.
pub(crate) const INLINE_BYTES: usize = RECORD_BYTES - HEAD_OVERHEAD - 1 - KEY_BYTES;
/// Bytes of one piece of a larger value.
pub(crate) const PIECE_BYTES: usize = RECORD_BYTES - HEAD_OVERHEAD - PIECE_KEY_BYTES;

const HEAD_OVERHEAD: usize = 5;
const PIECE_KEY_BYTES: usize = 17;

const FAMILY_HEAD: u8 = b'h';
const FAMILY_META: u8 = b'm';
const FAMILY_PIECE: u8 = b'p';

const KIND_INLINE: u8 = 0;
const KIND_PIECES: u8 = 1;
const KIND_PIECE: u8 = 2;
const KIND_META: u8 = 3;

/// The engine's key of the one record that describes the rest.
pub(crate) const META_KEY: &[u8] = &[FAMILY_META];
/// The prefix of all pieces.
pub(crate) const PIECES: &[u8] = &[FAMILY_PIECE];

/// The engine's key of a head.
pub(crate) fn head_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(FAMILY_HEAD);
    out.extend_from_slice(key);
    out
}

/// The key a caller gave, of an engine's key under the family of heads.
pub(crate) fn caller_key(head: &[u8]) -> &[u8] {
    &head[1..]
}

/// Where a larger value's pieces are. The batch and the place in it make them different from the
/// pieces of every other value there ever was, so a reader can tell its own from newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub(crate) seq: u64,
    pub(crate) item: u32,
    pub(crate) len: u32,
}

impl Pieces {
    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.len.div_ceil(PIECE_BYTES as u32)
    }

    /// How many bytes the piece `n` has.
    pub(crate) fn len_of(&self, n: u32) -> usize {
        (self.len as usize - n as usize * PIECE_BYTES).min(PIECE_BYTES)
    }

    /// The engine's key of the piece `n`.
    pub(crate) fn key(&self, n: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(PIECE_KEY_BYTES);
        out.push(FAMILY_PIECE);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.item.to_be_bytes());
        out.extend_from_slice(&n.to_be_bytes());
        out
    }
}

/// The batch that wrote a piece, by the engine's key.
pub(crate) fn piece_seq(key: &[u8]) -> Option<u64> {
    key.get(1..)?.first_chunk().map(|seq| u64::from_be_bytes(*seq))
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    Inline(&'a [u8]),
    Pieces(Pieces),
}

/// What is known of all heads together; changed in the batch that changes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The number of the last batch.
    pub(crate) seq: u64,
    /// How many heads there are.
    pub(crate) heads: u64,
    /// The wrapping sum of their checksums.
    pub(crate) sum: u64,
}

impl Meta {
    /// Counts a head in, by its record.
    pub(crate) fn add(&mut self, record: &[u8]) {
        self.heads = self.heads.wrapping_add(1);
        self.sum = self.sum.wrapping_add(stored_crc(record).into());
    }

    /// Counts a head out, by its record.
    pub(crate) fn take(&mut self, record: &[u8]) {
        self.heads = self.heads.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(stored_crc(record).into());
    }
}

fn crc(key: &[u8], tail: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(key);
    hasher.update(tail);
    hasher.finalize()
}

fn stored_crc(record: &[u8]) -> u32 {
    record.first_chunk().map(|c| u32::from_be_bytes(*c)).unwrap_or_default()
}

// Checksum over the engine's key, kind and data, so a record under a wrong key is found out too.
fn seal(key: &[u8], kind: u8, data: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_OVERHEAD + data.iter().map(|d| d.len()).sum::<usize>());
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    data.iter().for_each(|d| out.extend_from_slice(d));
    let crc = crc(key, &out[4..]);
    out[..4].copy_from_slice(&crc.to_be_bytes());
    out
}

fn open<'a>(key: &[u8], record: &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (_, tail) = record.split_first_chunk::<4>()?;
    let (kind, data) = tail.split_first()?;
    (crc(key, tail) == stored_crc(record)).then_some((*kind, data))
}

pub(crate) fn inline(key: &[u8], value: &[u8]) -> Vec<u8> {
    seal(key, KIND_INLINE, &[value])
}

pub(crate) fn pieces(key: &[u8], at: &Pieces) -> Vec<u8> {
    seal(key, KIND_PIECES, &[&at.seq.to_be_bytes(), &at.item.to_be_bytes(), &at.len.to_be_bytes()])
}

pub(crate) fn piece(key: &[u8], data: &[u8]) -> Vec<u8> {
    seal(key, KIND_PIECE, &[data])
}

pub(crate) fn meta(meta: &Meta) -> Vec<u8> {
    let Meta { seq, heads, sum } = meta;
    seal(META_KEY, KIND_META, &[&seq.to_be_bytes(), &heads.to_be_bytes(), &sum.to_be_bytes()])
}

/// Reads a head; none where it is damaged.
pub(crate) fn read_head<'a>(key: &[u8], record: &'a [u8]) -> Option<Head<'a>> {
    match open(key, record)? {
        (KIND_INLINE, data) => Some(Head::Inline(data)),
        (KIND_PIECES, data) => {
            let (seq, rest) = data.split_first_chunk()?;
            let (item, rest) = rest.split_first_chunk()?;
            let at = Pieces {
                seq: u64::from_be_bytes(*seq),
                item: u32::from_be_bytes(*item),
                len: u32::from_be_bytes(rest.try_into().ok()?),
            };
            (at.len as usize <= VALUE_BYTES).then_some(Head::Pieces(at))
        }
        _ => None,
    }
}

/// Reads a piece; none where it is damaged.
pub(crate) fn read_piece<'a>(key: &[u8], record: &'a [u8]) -> Option<&'a [u8]> {
    open(key, record).and_then(|(kind, data)| (kind == KIND_PIECE).then_some(data))
}

/// Reads the record that describes the rest; none where it is damaged.
pub(crate) fn read_meta(record: &[u8]) -> Option<Meta> {
    let (kind, data) = open(META_KEY, record)?;
    let (seq, rest) = data.split_first_chunk()?;
    let (heads, sum) = rest.split_first_chunk()?;
    (kind == KIND_META).then_some(Meta {
        seq: u64::from_be_bytes(*seq),
        heads: u64::from_be_bytes(*heads),
        sum: u64::from_be_bytes(sum.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_larger_than_the_engine_keeps_in_its_log() {
        let key = head_key(&[b'k'; KEY_BYTES]);
        assert_eq!(key.len() + inline(&key, &[0; INLINE_BYTES]).len(), RECORD_BYTES);
        let at = Pieces { seq: 1, item: 2, len: VALUE_BYTES as u32 };
        assert_eq!(at.key(0).len() + piece(&at.key(0), &[0; PIECE_BYTES]).len(), RECORD_BYTES);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key = head_key(b"key");
        let good = inline(&key, b"value");
        assert_eq!(read_head(&key, &good), Some(Head::Inline(b"value")));
        assert_eq!(read_head(&head_key(b"kez"), &good), None);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_head(&key, &bad), None, "bit {bit}");
        }
        for len in 0..good.len() {
            assert_eq!(read_head(&key, &good[..len]), None);
        }
    }

    #[test]
    fn pieces_cover_a_value_exactly() {
        for len in [1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 1] {
            let at = Pieces { seq: 7, item: 0, len: len as u32 };
            assert_eq!((0..at.count()).map(|n| at.len_of(n)).sum::<usize>(), len);
            let key = head_key(b"k");
            assert_eq!(read_head(&key, &pieces(&key, &at)), Some(Head::Pieces(at)));
        }
    }
}
