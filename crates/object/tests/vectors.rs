//! The formats of record: bytes that every build must make and read alike, `schema/vectors/object.txt`.

use base::{Actor, ChunkId, DeviceId, DoorId, EpochId, Hash, Incarnation, ObjectId, SpaceId, cbor};
use object::{
    Birth, Body, Change, Chunking, Clock, Content, Doc, Door, DoorKind, DoorOp, Gone, Item, Manifest,
    ManifestChunk, Meta, Target, Type,
};
use std::collections::BTreeMap;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/object.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn births() -> Vec<(&'static str, Birth)> {
    let manifest = Manifest {
        size: 100_000,
        chunking: Chunking { min: 65_536, avg: 262_144, max: 1_048_576 },
        epoch: EpochId([7; 32]),
        level: 0,
        chunks: vec![
            ManifestChunk { id: ChunkId([8; 32]), plain: Hash([9; 32]), len: 65_536 },
            ManifestChunk { id: ChunkId([10; 32]), plain: Hash([11; 32]), len: 34_464 },
        ],
    };
    let meta = Meta {
        perm: Some(0o644),
        mtime: Some(1_700_000_000_123_456_789),
        xattrs: BTreeMap::from([("user.note".into(), b"x".to_vec())]),
    };
    let birth =
        |n, kind, meta: &Meta, content| Birth { id: ObjectId([n; 16]), kind, meta: meta.clone(), content };
    let none = Meta::default();
    vec![
        ("text", birth(1, Type::Text, &meta, Content::Bytes("one\ntwo grün 日本 🎼\n".into()))),
        ("empty", birth(2, Type::Text, &none, Content::Bytes(vec![]))),
        ("long", birth(3, Type::Text, &none, Content::Bytes("so it goes on\n".repeat(100).into()))),
        ("whole", birth(4, Type::Whole, &none, Content::Bytes(b"-----BEGIN".to_vec()))),
        ("blob", birth(5, Type::Blob, &meta, Content::Manifest(manifest))),
        ("room", birth(6, Type::Room, &none, Content::Empty)),
        ("link", birth(7, Type::Link, &none, Content::Bytes(b"../there".to_vec()))),
        ("unknown", birth(8, Type::Unknown(99), &none, Content::Empty)),
    ]
}

fn made_now() -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, birth) in births() {
        let body = Body { time: 1_700_000_000_000, items: vec![Item::Birth(birth.clone())] };
        out.insert(format!("{name}.body"), hex(&body.encode()));
        out.insert(format!("{name}.first-change"), Doc::born(&birth).unwrap().birth_hash().hex());
    }
    for (name, incarnation) in [("change.body", None), ("moved-change.body", Some(Incarnation([4; 8])))] {
        let change = Change { object: ObjectId([1; 16]), bytes: vec![1, 2, 3], incarnation };
        let body = Body { time: -1, items: vec![Item::Change(change)] };
        assert_eq!(Body::decode(&body.encode()).unwrap(), body);
        out.insert(name.into(), hex(&body.encode()));
    }
    let door = Door {
        name: b"a name".to_vec(),
        target: Target { space: Some(SpaceId([1; 32])), object: ObjectId([2; 16]) },
        kind: DoorKind::Link,
        at: (300, DeviceId([3; 32])),
        gone: vec![],
    };
    let gone =
        Gone { clock: Clock::from([(Actor([4; 16]), 5)]), to: Some((ObjectId([6; 16]), DoorId([7; 16]))) };
    out.insert("door".into(), hex(&cbor::encode(&door)));
    out.insert("gone".into(), hex(&cbor::encode(&gone)));
    let id = DoorId([8; 16]);
    let mut room = Doc::born(&births()[5].1).unwrap();
    let ops = [DoorOp::Add { id, door }, DoorOp::Gone { id, gone }];
    let made = room.edit_room(&Actor([9; 16]), 1_700_000_000_000, &ops).unwrap().unwrap();
    out.insert("room.change".into(), hex(&made.change));
    let mut text = Doc::born(&births()[0].1).unwrap();
    let base = text.heads();
    let made = text
        .edit_text(&Actor([9; 16]), 1_700_000_000_000, &base, "one\nthree grün 日本 🎼\n")
        .unwrap()
        .unwrap();
    out.insert("text.change".into(), hex(&made.change));
    out
}

fn recorded() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(FILE).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(' ').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap()).collect()
}

#[test]
fn what_is_made_now_is_what_was_recorded() {
    let now = made_now();
    if let Ok(path) = std::env::var("CHORUS_PRINT_VECTORS") {
        let lines: String = now.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        std::fs::write(path, lines).unwrap();
        return;
    }
    assert_eq!(now, recorded());
}

#[test]
fn what_was_recorded_is_read() {
    let recorded = recorded();
    for (name, birth) in births() {
        let body = Body::decode(&unhex(&recorded[&format!("{name}.body")])).unwrap();
        assert_eq!(body.items, vec![Item::Birth(birth)]);
    }
    let mut text = Doc::born(&births()[0].1).unwrap();
    assert_eq!(
        text.apply(&[unhex(&recorded["text.change"])], &|who| *who == Actor([9; 16])).unwrap().taken,
        1
    );
    assert_eq!(text.text(), "one\nthree grün 日本 🎼\n");
    let mut room = Doc::born(&births()[5].1).unwrap();
    assert_eq!(room.apply(&[unhex(&recorded["room.change"])], &|_| true).unwrap().taken, 1);
    assert_eq!(room.door(&DoorId([8; 16])).unwrap().name, b"a name");
    assert_eq!(room.door(&DoorId([8; 16])).unwrap().gone.len(), 1);
}
