//! Packing: what is about to be sealed is compressed where that helps, then padded.
//!
//! `packed = flag (0 stored, 1 zstd), length of the payload (4 bytes, big-endian), payload, zeros`.
//! The whole has a Padmé length: at most 12 % longer, and telling little more than the order of
//! magnitude. Compressed output is not canonical; what is hashed and compared is always the plain
//! or the sealed form, never this one.

use crate::error::Error;
use std::io::Read;

const STORED: u8 = 0;
const COMPRESSED: u8 = 1;
const HEAD_BYTES: usize = 5;
const LEVEL: i32 = 3;
// Level 3 never looks back further than 2 MiB; a frame that asks for more than the largest body
// could use would only cost memory.
const WINDOW_LOG_MAX: u32 = 24;

/// The Padmé length for `n` bytes: only the top bits of a length, as many as the length of its own
/// length, are kept.
fn padded_len(n: usize) -> usize {
    if n < 2 {
        return n;
    }
    let exponent = n.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1usize << (exponent - kept.min(exponent))) - 1;
    n.checked_add(mask).map_or(n, |n| n & !mask)
}

/// Compresses (when that makes it smaller) and pads. Plain bytes must be under 4 GiB, which every
/// limit of the format is.
pub fn pack(plain: &[u8]) -> Vec<u8> {
    let compressed = zstd::bulk::compress(plain, LEVEL).ok().filter(|c| c.len() < plain.len());
    let (flag, payload) = match &compressed {
        Some(compressed) => (COMPRESSED, compressed.as_slice()),
        None => (STORED, plain),
    };
    let total = padded_len(HEAD_BYTES + payload.len());
    let mut out = Vec::with_capacity(total);
    out.push(flag);
    out.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(payload);
    out.resize(total, 0);
    out
}

/// Undoes `pack`, giving at most `limit` bytes; memory grows with what is really there.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let (head, rest) = packed.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Packed)?;
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let (payload, padding) = rest.split_at_checked(len).ok_or(Error::Packed)?;
    if packed.len() != padded_len(HEAD_BYTES + len) || padding.iter().any(|b| *b != 0) {
        return Err(Error::Packed);
    }
    match head[0] {
        STORED if len <= limit => Ok(payload.to_vec()),
        STORED => Err(Error::Inflated { limit }),
        COMPRESSED => inflate(payload, limit),
        _ => Err(Error::Packed),
    }
}

fn inflate(payload: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(payload).map_err(|_| Error::Packed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| Error::Packed)?;
    let mut out = Vec::new();
    decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| Error::Packed)?;
    if out.len() > limit {
        return Err(Error::Inflated { limit });
    }
    if !decoder.finish().is_empty() {
        return Err(Error::Packed);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_shrinks_and_noise_is_stored() {
        let text = b"the same words over and over, ".repeat(100);
        assert!(pack(&text).len() < text.len() / 10);
        assert_eq!(pack(b"x")[0], STORED);
        assert_eq!(unpack(&pack(&text), text.len()).unwrap(), text);
        assert_eq!(unpack(&pack(b""), 0).unwrap(), b"");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = pack(&vec![0; 8 << 20]);
        assert!(bomb.len() < 4096);
        assert_eq!(unpack(&bomb, 1 << 20), Err(Error::Inflated { limit: 1 << 20 }));
        assert_eq!(unpack(&bomb, 8 << 20).unwrap().len(), 8 << 20);
        let stored = pack(b"no room");
        assert_eq!(unpack(&stored, 3), Err(Error::Inflated { limit: 3 }));
    }

    #[test]
    fn a_second_packing_of_the_same_bytes_is_refused() {
        let mut padded = pack(b"abc");
        let mut dirty = padded.clone();
        if let Some(last) = dirty.last_mut() {
            *last ^= 1;
        }
        assert_ne!(unpack(&dirty, 100).ok(), Some(b"abc".to_vec()));
        padded.push(0);
        assert_eq!(unpack(&padded, 100), Err(Error::Packed));
        // Two frames behind one another are not one.
        let frame = zstd::bulk::compress(&[7; 500], LEVEL).unwrap();
        let mut two = vec![COMPRESSED];
        two.extend(u32::try_from(frame.len() * 2).unwrap().to_be_bytes());
        two.extend(&frame);
        two.extend(&frame);
        two.resize(padded_len(two.len()), 0);
        assert_eq!(unpack(&two, 5000), Err(Error::Packed));
    }

    #[test]
    fn padding_costs_an_eighth_at_most() {
        for n in (0..5000).chain([65_537, 1 << 20, (1 << 20) + 1, (16 << 20) - 1]) {
            let padded = padded_len(n);
            assert!(padded >= n && padded_len(padded) == padded, "{n} {padded}");
            assert!((padded - n) * 100 <= n * 12, "{n} {padded}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_packed_unpacks(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(unpack(&pack(&bytes), bytes.len()).unwrap(), bytes);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes, 1000);
        }

        #[test]
        fn a_broken_frame_never_inflates_past_the_limit(at in any::<usize>(), byte in any::<u8>()) {
            let mut packed = pack(&b"some words to be packed ".repeat(50));
            let n = packed.len();
            packed[at % n] = byte;
            if let Ok(out) = unpack(&packed, 2000) {
                prop_assert!(out.len() <= 2000);
            }
        }
    }
}
