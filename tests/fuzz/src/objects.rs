//! Bodies, births, manifests, doors; changes and images of documents.

use crate::Script;
use base::{Actor, DoorId, Hash, ObjectId, cbor};
use object::{
    Birth, Body, Content, Doc, Door, DoorKind, DoorOp, Error, Gone, Item, Manifest, Meta, Target, Type,
    operations,
};
use std::sync::OnceLock;

pub(crate) fn body(data: &[u8]) {
    let Ok(body) = Body::decode(data) else { return };
    assert_eq!(body.encode(), data, "one encoding only");
    assert!(body.operations() <= object::CHANGE_OPS as u64);
    for item in &body.items {
        match item {
            Item::Birth(birth) => {
                assert_eq!(birth.check(), Ok(()));
                assert_eq!(Birth::from_bytes(&birth.to_bytes()).as_ref(), Ok(birth));
            }
            Item::Change(change) => {
                let _ = operations(&change.bytes);
            }
        }
    }
}

pub(crate) fn birth(data: &[u8]) {
    let Ok(birth) = Birth::from_bytes(data) else { return };
    assert_eq!(birth.to_bytes(), data, "one encoding only");
    // Whatever may be born has a document, and that is the same everywhere.
    let doc = Doc::born(&birth).unwrap();
    assert_eq!(doc.birth_hash(), Doc::born(&birth).unwrap().birth_hash());
    assert!(doc.heads().is_born() && doc.kind() == birth.kind);
    let again = Doc::load(&doc.save()).unwrap();
    same(&doc, &again);
    if let (Type::Text, Content::Bytes(bytes)) = (birth.kind, &birth.content) {
        assert_eq!(doc.text().as_bytes(), bytes);
    }
}

pub(crate) fn manifest(data: &[u8]) {
    if let Ok(manifest) = cbor::decode::<Manifest>(data, "manifest") {
        assert_eq!(cbor::encode(&manifest), data, "one encoding only");
        let _ = manifest.hash();
        if manifest.is_plain() {
            let sum: u64 = manifest.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
            assert_eq!(sum, manifest.size);
        }
    }
    if let Ok(chunks) = Manifest::list_from_bytes(data) {
        assert_eq!(Manifest::list_to_bytes(&chunks), data);
    }
}

pub(crate) fn door(data: &[u8]) {
    if let Ok(door) = cbor::decode::<Door>(data, "door") {
        assert_eq!(cbor::encode(&door), data, "one encoding only");
        assert!(door.gone.is_empty());
    }
    if let Ok(gone) = cbor::decode::<Gone>(data, "gone") {
        assert_eq!(cbor::encode(&gone), data, "one encoding only");
    }
}

fn same(a: &Doc, b: &Doc) {
    assert_eq!(a.heads(), b.heads());
    assert_eq!((a.kind(), a.clock(), a.waiting()), (b.kind(), b.clock(), b.waiting()));
    assert_eq!(a.text(), b.text());
    assert_eq!(a.meta(), b.meta());
    assert_eq!(a.versions(), b.versions());
    assert_eq!(a.doors(), b.doors());
}

pub(crate) const WRITER: Actor = Actor([9; 16]);
const ME: Actor = Actor([3; 16]);

/// A text, a room and a binary, each edited once by `WRITER`.
pub(crate) fn bases() -> &'static [Doc; 3] {
    static BASES: OnceLock<[Doc; 3]> = OnceLock::new();
    BASES.get_or_init(|| {
        let born = |kind, content| {
            let birth = Birth { id: ObjectId([1; 16]), kind, meta: Meta::default(), content };
            Doc::born(&birth).unwrap()
        };
        let mut text = born(Type::Text, Content::Bytes(b"one two three\nfour\n".to_vec()));
        text.edit_text(&WRITER, 0, &text.heads(), "one 2 three\nfour\n").unwrap();
        let mut room = born(Type::Room, Content::Empty);
        room.edit_room(&WRITER, 0, &[add(1)]).unwrap();
        let mut blob = born(Type::Blob, Content::Bytes(b"\x00bytes".to_vec()));
        blob.set_bytes(&WRITER, 0, &blob.heads(), b"\x01bytes", Type::Blob).unwrap();
        [text, room, blob]
    })
}

pub(crate) fn add(n: u8) -> DoorOp {
    let door = Door {
        name: format!("door {n}").into_bytes(),
        target: Target { space: None, object: ObjectId([n; 16]) },
        kind: DoorKind::Place,
        at: (u64::from(n), base::DeviceId([n; 32])),
        gone: Vec::new(),
    };
    DoorOp::Add { id: DoorId([n; 16]), door }
}

fn uleb(mut n: usize, out: &mut Vec<u8>) {
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

// A chunk of the engine with this inside, its checksum and length in order.
fn framed(kind: u8, inside: &[u8]) -> Vec<u8> {
    let mut hashed = vec![kind];
    uleb(inside.len(), &mut hashed);
    hashed.extend_from_slice(inside);
    [&[0x85, 0x6f, 0x4a, 0x83], &Hash::of(&[&hashed]).0[..4], &hashed].concat()
}

// The same, building on `base` only.
fn rebased(inside: &[u8], base: &Hash) -> Vec<u8> {
    let skip = inside.first().map_or(0, |count| 1 + 32 * usize::from(*count));
    [&[1], &base.0[..], inside.get(skip..).unwrap_or_default()].concat()
}

pub(crate) fn change(data: &[u8]) {
    let mut script = Script(data);
    let (Some(which), Some(how)) = (script.byte(), script.byte()) else { return };
    let before = &bases()[usize::from(which) % 3];
    let mut changes = Vec::new();
    while let Some(inside) = script.piece().filter(|_| changes.len() < 4) {
        let inside = match how & 3 {
            0 => rebased(inside, &before.birth_hash()),
            1 => rebased(inside, &before.heads().hashes()[0]),
            _ => inside.to_vec(),
        };
        changes.push(framed(1, &inside));
    }
    let cost: u64 = changes.iter().map(|change| operations(change)).fold(0, u64::saturating_add);
    if cost > 1 << 16 {
        // Within what a body may hold, and too much for a short try.
        return;
    }
    let mut doc = before.clone();
    let applied = doc.apply(&changes, &|_| true).unwrap();
    assert!(!doc.is_broken(), "one change spoils no document");
    assert!(applied.refused.len() <= changes.len() && applied.taken <= changes.len());
    // Stored step by step or as a whole, it is the same document.
    let image = [before.save(), applied.append.concat()].concat();
    same(&doc, &Doc::load(&image).unwrap());
    same(&doc, &Doc::load(&doc.save()).unwrap());
    // What came is known now.
    assert!(!doc.clone().apply(&changes, &|_| true).unwrap().changed);
    // And its owner goes on working.
    let at = doc.heads();
    let panicked = match doc.kind() {
        Type::Text => doc.edit_text(&ME, 0, &at, "mine\n").is_err_and(|e| e == Error::Panicked),
        Type::Room => doc.edit_room(&ME, 0, &[add(77)]).is_err_and(|e| e == Error::Panicked),
        kind => doc.set_bytes(&ME, 0, &at, b"mine", kind).is_err_and(|e| e == Error::Panicked),
    };
    assert!(!panicked, "the next edit made here is no fault of what came");
    assert!(!doc.is_broken());
}

pub(crate) fn image(data: &[u8]) {
    // As it lies there.
    if let Ok(doc) = Doc::load(data) {
        same(&doc, &Doc::load(&doc.save()).unwrap());
    }
    // And with lengths and checksums in order.
    let mut script = Script(data);
    let (Some(saved), Some(which)) = (script.piece(), script.byte()) else { return };
    let saved = framed(0, saved);
    let mut image = b"cim\x01".to_vec();
    image.extend_from_slice(&bases()[usize::from(which) % 3].birth_hash().0);
    image.extend_from_slice(&(saved.len() as u64).to_be_bytes());
    image.extend_from_slice(&saved);
    while let Some(inside) = script.piece() {
        image.extend(framed(1, inside));
    }
    if let Ok(doc) = Doc::load(&image) {
        same(&doc, &Doc::load(&doc.save()).unwrap());
    }
}
