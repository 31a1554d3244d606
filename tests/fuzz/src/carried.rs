//! What comes without a link: bundles, their pieces, and what a DTN daemon answers.

use crate::Script;
use crate::within::{answer, head, piece};
use base::limit;
use crypto::{STREAM_BLOCK_BYTES, STREAM_OVERHEAD, SealKey, StreamKey};
use sync::{Composer, Item, Items};

/// The receiver of all bundles here.
fn receiver() -> SealKey {
    SealKey::from_seed([2; 32])
}

/// The items of a bundle, in pieces of any length; what was read is composed to what was there.
pub(crate) fn items(data: &[u8]) {
    let mut script = Script(data);
    let Some(step) = script.byte() else { return };
    let stream = script.0;
    let mut written = Vec::new();
    let mut composer: Option<Composer> = None;
    let mut items = Items::default();
    for part in stream.chunks(usize::from(step) + 1) {
        items.push(part);
        loop {
            match items.read() {
                Ok(Some(item)) => compose(&item, &mut composer, &mut written),
                Ok(None) => break,
                Err(e) => {
                    assert!(!e.to_string().is_empty());
                    return assert!(stream.starts_with(&written), "what was read is what was there");
                }
            }
        }
    }
    assert!(stream.starts_with(&written), "what was read is what was there");
    if items.is_closed() {
        assert!(stream[written.len()..].iter().all(|byte| *byte == 0), "nothing but zeros behind the end");
    }
}

fn compose(item: &Item, composer: &mut Option<Composer>, written: &mut Vec<u8>) {
    match (item, composer.as_mut()) {
        (Item::Opening(opening), None) => {
            let (begun, bytes) = Composer::begin(opening);
            written.extend(bytes);
            *composer = Some(begun);
        }
        (Item::Envelope(envelope), Some(composer)) => written.extend(composer.add(envelope)),
        (Item::Closing { digest, signature }, Some(composer)) => {
            assert_eq!(*digest, composer.digest(), "what is signed is all of it");
            written.extend(composer.close(signature));
        }
        // An end without a beginning is no bundle's; whoever reads it looks for the opening.
        (Item::Closing { .. }, None) => written.extend([&[0; 4][..], &signature(item)].concat()),
        (item, _) => panic!("an item out of order: {item:?}"),
    }
}

fn signature(item: &Item) -> Vec<u8> {
    match item {
        Item::Closing { signature, .. } => signature.to_vec(),
        _ => Vec::new(),
    }
}

/// A bundle as it lies in a folder. Nobody but its maker can seal blocks that open, so that is done here: what is in
/// them is anything, and what is before them too, if it is not put in order.
pub(crate) fn bundle(data: &[u8]) {
    let mut script = Script(data);
    let Some(how) = script.byte() else { return };
    let key = receiver();
    if how & 1 == 0 {
        let mut from = script.0;
        if let Ok(head) = head::Head::read(&mut from) {
            assert!(script.0.starts_with(head.bytes()));
            let wraps = head.bytes().len() / crypto::WRAPPED_SECRET_BYTES;
            assert!((1..=limit::BUNDLE_WRAPS).contains(&wraps));
            if let Some(stream) = head.open(&key) {
                blocks(&stream, from);
            }
        }
        return;
    }
    let secret = [7; 32];
    let wrap = crypto::wrap_secret(&key.public(), head::WRAP, &secret, &[8; 32]).unwrap().to_vec();
    let head = head::Head::new(&[wrap]);
    assert_eq!(head::Head::read(&mut head.bytes()), Ok(head.clone()));
    let stream = head.open(&key).unwrap();
    assert!(head.open(&SealKey::from_seed([3; 32])).is_none(), "it is sealed for one device");
    let mut sealed = Vec::new();
    let mut parts = script.0.chunks(STREAM_BLOCK_BYTES).enumerate().peekable();
    while let Some((number, part)) = parts.next() {
        sealed.extend(stream.seal(number as u64, parts.peek().is_none(), part));
    }
    assert_eq!(blocks(&stream, &sealed).as_deref(), (!script.0.is_empty()).then_some(script.0));
}

// Opens blocks as a reader does, and reads what is in them. What was in all of them, if they are whole.
fn blocks(stream: &StreamKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut items = Items::default();
    let mut sound = true;
    let mut parts = sealed.chunks(STREAM_BLOCK_BYTES + STREAM_OVERHEAD).enumerate().peekable();
    while let Some((number, part)) = parts.next() {
        let plain = stream.open(number as u64, parts.peek().is_none(), part).ok()?;
        if sound {
            items.push(&plain);
            while sound {
                match items.read() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => sound = false,
                }
            }
        }
        all.extend(plain);
    }
    (!all.is_empty()).then_some(all)
}

/// A piece of a bundle, as anybody can send one; and a bundle cut in pieces.
pub(crate) fn parcel(data: &[u8]) {
    if let Some(piece) = piece::Piece::read(data) {
        assert_eq!(piece.to_bytes(), data, "one encoding only");
        assert!(piece.index < piece.count && usize::from(piece.count) <= limit::DTN_PIECES);
        assert!(!piece.bytes.is_empty());
    }
    let cut = piece::cut(data).expect("it is small");
    let read: Vec<_> = cut.iter().map(|bytes| piece::Piece::read(bytes).expect("a piece")).collect();
    assert_eq!(read.iter().flat_map(|piece| piece.bytes).copied().collect::<Vec<u8>>(), data);
    assert!(read.iter().all(|piece| piece.of == base::Hash::of(&[data])));
}

/// What a daemon says, and the bundle that is in it.
pub(crate) fn answer(data: &[u8]) {
    if let Some(answer) = answer::Answer::read(data) {
        assert!(answer.body.len() <= data.len());
        assert!(data.windows(answer.body.len().max(1)).any(|w| answer.body.is_empty() || w == answer.body));
        let _ = (answer.status, answer::payload(&answer.body));
    }
    if let Some(payload) = answer::payload(data) {
        assert!(payload.len() <= data.len());
        // In a bundle that is well formed otherwise the same bytes are found again.
        assert_eq!(answer::payload(&bundle_of(&payload)), Some(payload));
    }
    assert_eq!(answer::payload(&bundle_of(data)).as_deref(), Some(data));
}

/// A bundle of BPv7 with one payload, as far as a reader of it looks.
pub(crate) fn bundle_of(payload: &[u8]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.begin_array().unwrap().array(1).unwrap().u8(7).unwrap();
    e.array(6).unwrap().u8(10).unwrap().u8(2).unwrap().u8(0).unwrap().u8(1).unwrap();
    e.bytes(&[1]).unwrap().bytes(&[2]).unwrap();
    e.array(5).unwrap().u8(1).unwrap().u8(1).unwrap().u8(0).unwrap().u8(0).unwrap().bytes(payload).unwrap();
    e.end().unwrap();
    e.into_writer()
}
