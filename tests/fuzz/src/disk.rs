//! What lies on the disk of a node: damage is found out, and never more than that.

use crate::Script;
use crate::within::{index, record, stamp};
use minicbor::{Decode, Encode};

pub(crate) fn record(data: &[u8]) {
    let mut script = Script(data);
    let (Some(repair), Some(key)) = (script.byte(), script.piece()) else { return };
    let mut bytes = script.0.to_vec();
    if repair & 1 == 1 && bytes.len() > 4 {
        // With the checksum in order, what is inside is read at all.
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key);
        hasher.update(&bytes[4..]);
        bytes[..4].copy_from_slice(&hasher.finalize().to_be_bytes());
    }
    match record::read_head(key, &bytes) {
        Some(record::Head::Inline(value)) => assert_eq!(record::inline(key, value), bytes),
        Some(record::Head::Pieces(at)) => {
            assert_eq!(record::pieces(key, &at), bytes);
            assert!(at.len as usize <= record::VALUE_BYTES);
            let all: usize = (0..at.count()).map(|n| at.len_of(n)).sum();
            assert_eq!(all, at.len as usize, "pieces cover the value");
        }
        None => {}
    }
    if let Some(piece) = record::read_piece(key, &bytes) {
        assert_eq!(record::piece(key, piece), bytes);
    }
    if let Some(meta) = record::read_meta(&bytes) {
        assert_eq!(record::meta(&meta), bytes);
    }
    let _ = record::piece_seq(key);
}

pub(crate) fn mark(data: &[u8]) {
    if let Some(seq) = stamp::number_of(data) {
        assert_eq!(stamp::number(seq), data);
    }
    if let Some(format) = stamp::format_of(data) {
        assert_eq!(stamp::format_of(stamp::format_words(format).as_bytes()), Some(format));
    }
    // With its checksum in order.
    if let Some(seq) = data.first_chunk() {
        let seq = u64::from_be_bytes(*seq);
        assert_eq!(stamp::number_of(&stamp::number(seq)), Some(seq));
    }
}

// What was read is written, and reads as what was written.
fn settles<T: for<'b> Decode<'b, ()> + Encode<()>>(data: &[u8]) {
    let Ok(read) = index::from_bytes::<T>(data, "record") else { return };
    let once = index::to_bytes(&read);
    let again = index::from_bytes::<T>(&once, "record").unwrap();
    assert_eq!(index::to_bytes(&again), once);
}

pub(crate) fn index(data: &[u8]) {
    let mut script = Script(data);
    let Some(which) = script.byte() else { return };
    let rest = script.0;
    match which % 18 {
        0 => settles::<index::Me>(rest),
        1 => settles::<index::SpaceRecord>(rest),
        2 => settles::<index::PeerRecord>(rest),
        3 => settles::<index::TokenRecord>(rest),
        4 => settles::<index::OfferRecord>(rest),
        5 => settles::<index::EntryRecord>(rest),
        6 => settles::<index::LogRecord>(rest),
        7 => settles::<index::PendingChange>(rest),
        8 => settles::<index::PendingBirth>(rest),
        9 => settles::<index::PendingDoor>(rest),
        10 => settles::<index::DoorRecord>(rest),
        11 => settles::<index::PendingGones>(rest),
        12 => settles::<index::LocalRecord>(rest),
        13 => settles::<index::BlobRecord>(rest),
        14 => settles::<index::ChunkRecord>(rest),
        15 => settles::<index::HeadRecord>(rest),
        16 => settles::<index::Placing>(rest),
        _ => settles::<index::OwnRecord>(rest),
    }
}
