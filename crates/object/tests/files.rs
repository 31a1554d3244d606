//! Blobs, wholes, links, meta, rooms: what is not merged letter by letter.

use base::{Actor, ChunkId, DeviceId, DoorId, EpochId, Hash, ObjectId};
use object::{
    Birth, Body, Change, Chunking, Clock, Content, Doc, Door, DoorKind, DoorOp, Error, Gone, Heads, Item,
    Made, Manifest, ManifestChunk, Meta, MetaEdit, Target, Type, VersionOf,
};
use std::collections::{BTreeMap, BTreeSet};

fn actor(n: u8) -> Actor {
    Actor([n; 16])
}

fn birth(kind: Type, content: Content) -> Birth {
    Birth { id: ObjectId([1; 16]), kind, meta: Meta::default(), content }
}

fn bytes(text: &str) -> Content {
    Content::Bytes(text.as_bytes().to_vec())
}

fn manifest(n: u8) -> Content {
    Content::Manifest(Manifest {
        size: 7,
        chunking: Chunking { min: 65_536, avg: 262_144, max: 1 << 20 },
        epoch: EpochId([n; 32]),
        level: 0,
        chunks: vec![ManifestChunk { id: ChunkId([n; 32]), plain: Hash([n; 32]), len: 7 }],
    })
}

fn take(doc: &mut Doc, made: &Made) {
    let applied = doc.apply(std::slice::from_ref(&made.change), &|_| true).unwrap();
    assert_eq!((applied.taken, applied.refused), (1, vec![]));
}

fn contents(doc: &Doc) -> Vec<Content> {
    doc.versions().into_iter().map(|version| version.content).collect()
}

fn write(doc: &mut Doc, who: u8, content: Content, kind: Type) -> Made {
    let base = doc.heads();
    doc.set_content(&actor(who), 0, &base, content, kind).unwrap().unwrap()
}

#[test]
fn two_versions_of_a_blob_stand_side_by_side_until_they_are_settled() {
    let mut a = Doc::born(&birth(Type::Blob, manifest(0))).unwrap();
    let mut b = a.clone();
    assert_eq!((a.kind(), contents(&a)), (Type::Blob, vec![manifest(0)]));
    let one = write(&mut a, 1, manifest(1), Type::Blob);
    let two = write(&mut b, 2, manifest(2), Type::Blob);
    take(&mut a, &two);
    take(&mut b, &one);
    // Same operation number: the greater actor is the later.
    assert_eq!(contents(&a), vec![manifest(2), manifest(1)]);
    assert_eq!(a.versions(), b.versions());
    // Writing the one that has the name leaves the other.
    let three = write(&mut a, 1, manifest(3), Type::Blob);
    assert_eq!(contents(&a), vec![manifest(3), manifest(1)]);
    take(&mut b, &three);
    // Writing the other leaves that one.
    let four = b
        .set_version(&actor(2), 0, &VersionOf::name(&manifest(1)), manifest(4), Type::Blob)
        .unwrap()
        .unwrap();
    take(&mut a, &four);
    assert_eq!(a.versions(), b.versions());
    let both: BTreeSet<Hash> = a.versions().iter().map(|v| v.hash).collect();
    assert_eq!(both, [3, 4].iter().map(|n| VersionOf::name(&manifest(*n))).collect());
    // Dropping the one beside leaves one.
    let beside = a.versions()[1].hash;
    let drop = a.drop_version(&actor(1), 0, &beside).unwrap().unwrap();
    take(&mut b, &drop);
    assert_eq!((a.versions().len(), a.versions()), (1, b.versions()));
    assert_eq!(a.drop_version(&actor(1), 0, &beside).unwrap(), None);
    let again = Doc::load(&a.save()).unwrap();
    assert_eq!(again.versions(), a.versions());
}

#[test]
fn equal_versions_show_once_and_writing_the_same_is_nothing() {
    let mut a = Doc::born(&birth(Type::Whole, bytes("key"))).unwrap();
    let mut b = a.clone();
    assert_eq!(a.set_content(&actor(1), 0, &Heads::default(), bytes("key"), Type::Whole).unwrap(), None);
    let same = a.clone().set_bytes(&actor(1), 0, &Heads::default(), b"key", Type::Whole).unwrap();
    assert_ne!(same.now, Heads::default());
    let one = write(&mut a, 1, bytes("new key"), Type::Whole);
    write(&mut b, 2, bytes("new key"), Type::Whole);
    take(&mut b, &one);
    assert_eq!(contents(&b), vec![bytes("new key")]);
}

#[test]
fn a_link_and_a_whole_hold_bytes_and_others_do_not_fit() {
    let mut link = Doc::born(&birth(Type::Link, bytes("../x"))).unwrap();
    write(&mut link, 1, bytes("../y"), Type::Link);
    assert_eq!((link.kind(), contents(&link)), (Type::Link, vec![bytes("../y")]));
    let long = Content::Bytes(vec![b'x'; 5000]);
    let refused = link.set_content(&actor(1), 0, &link.heads(), long.clone(), Type::Link);
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    assert!(Doc::born(&birth(Type::Link, long)).is_err());
    assert!(Doc::born(&birth(Type::Text, Content::Bytes(vec![0xff]))).is_err());
    assert!(Doc::born(&birth(Type::Blob, Content::Empty)).is_err());
    assert!(matches!(link.edit_text(&actor(1), 0, &link.heads(), "x"), Err(Error::Unfit { .. })));
    let refused = link.set_content(&actor(1), 0, &link.heads(), Content::Empty, Type::Room);
    assert!(matches!(refused, Err(Error::Unfit { .. })));
}

#[test]
fn words_written_while_a_text_became_a_blob_show_beside_it() {
    let mut a = Doc::born(&birth(Type::Text, bytes("one\n"))).unwrap();
    let mut b = a.clone();
    let blob = write(&mut a, 9, manifest(1), Type::Blob);
    assert_eq!(contents(&a), vec![manifest(1)]);
    let words = b.edit_text(&actor(2), 0, &Heads::default(), "one\ntwo\n").unwrap().unwrap();
    take(&mut a, &words);
    take(&mut b, &blob);
    assert_eq!((a.kind(), contents(&a)), (Type::Blob, vec![manifest(1), bytes("one\ntwo\n")]));
    assert_eq!(a.versions(), b.versions());
    // More words into the old version still go there.
    let more = b.edit_text(&actor(2), 0, &words.wrote, "one\ntwo\nthree\n").unwrap().unwrap();
    take(&mut a, &more);
    assert_eq!(contents(&a), vec![manifest(1), bytes("one\ntwo\nthree\n")]);
    // Whoever has seen both and writes, settles it; a text again, it starts from what was written.
    let text = write(&mut a, 1, bytes("all of it\n"), Type::Text);
    take(&mut b, &text);
    assert_eq!(
        (b.kind(), b.text(), contents(&b)),
        (Type::Text, "all of it\n".into(), vec![bytes("all of it\n")])
    );
    let base = b.heads();
    let edit = b.edit_text(&actor(2), 0, &base, "all of it here\n").unwrap().unwrap();
    take(&mut a, &edit);
    assert_eq!(
        (a.text(), a.text_at(&Heads::default()).unwrap()),
        ("all of it here\n".into(), "one\n".into())
    );
    assert_eq!(Doc::load(&a.save()).unwrap().versions(), b.versions());
}

#[test]
fn two_who_make_a_text_of_a_blob_have_two_texts() {
    let mut a = Doc::born(&birth(Type::Blob, manifest(0))).unwrap();
    let mut b = a.clone();
    let one = write(&mut a, 1, bytes("by one\n"), Type::Text);
    let two = write(&mut b, 2, bytes("by two\n"), Type::Text);
    take(&mut a, &two);
    take(&mut b, &one);
    assert_eq!(contents(&a), vec![bytes("by two\n"), bytes("by one\n")]);
    // Editing the one leaves the other.
    let base = b.heads();
    let edit = b.edit_text(&actor(2), 0, &base, "by two, edited\n").unwrap().unwrap();
    take(&mut a, &edit);
    assert_eq!(contents(&a), vec![bytes("by two, edited\n"), bytes("by one\n")]);
    // So does making a blob of it, which takes its words along.
    let blob = write(&mut a, 1, manifest(5), Type::Blob);
    take(&mut b, &blob);
    assert_eq!(contents(&b), vec![manifest(5), bytes("by one\n")]);
    assert_eq!(a.versions(), b.versions());
}

#[test]
fn meta_travels_and_merges_by_field() {
    let meta = Meta {
        perm: Some(0o644),
        mtime: Some(-5),
        xattrs: BTreeMap::from([("user.a".into(), b"1".to_vec()), ("user.b".into(), vec![])]),
    };
    let born = Birth { meta: meta.clone(), ..birth(Type::Text, bytes("x\n")) };
    let mut a = Doc::born(&born).unwrap();
    let mut b = a.clone();
    assert_eq!(a.meta(), meta);
    assert_eq!(
        a.set_meta(&actor(1), 0, &MetaEdit { perm: Some(0o644), ..MetaEdit::default() }).unwrap(),
        None
    );
    let perm = MetaEdit { perm: Some(0o755), ..MetaEdit::default() };
    let one = a.set_meta(&actor(1), 0, &perm).unwrap().unwrap();
    let xattrs = BTreeMap::from([("user.a".into(), None), ("user.c".into(), Some(b"3".to_vec()))]);
    let two = b.set_meta(&actor(2), 0, &MetaEdit { mtime: Some(7), xattrs, perm: None }).unwrap().unwrap();
    take(&mut a, &two);
    take(&mut b, &one);
    let merged = Meta {
        perm: Some(0o755),
        mtime: Some(7),
        xattrs: BTreeMap::from([("user.b".into(), vec![]), ("user.c".into(), b"3".to_vec())]),
    };
    assert_eq!(
        (a.meta(), b.meta(), Doc::load(&a.save()).unwrap().meta()),
        (merged.clone(), merged.clone(), merged)
    );
    let big = BTreeMap::from([("user.big".into(), Some(vec![0; 70_000]))]);
    assert!(matches!(
        a.set_meta(&actor(1), 0, &MetaEdit { xattrs: big, ..MetaEdit::default() }),
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(a.text(), "x\n");
}

fn door(name: &str, object: u8, lamport: u64) -> Door {
    Door {
        name: name.as_bytes().to_vec(),
        target: Target { space: None, object: ObjectId([object; 16]) },
        kind: DoorKind::Place,
        at: (lamport, DeviceId([3; 32])),
        gone: vec![],
    }
}

fn room() -> Doc {
    Doc::born(&birth(Type::Room, Content::Empty)).unwrap()
}

#[test]
fn doors_are_added_and_gone_and_all_of_it_merges() {
    let (mut a, mut b) = (room(), room());
    assert_eq!((a.kind(), a.heads(), a.doors().len()), (Type::Room, Heads::default(), 0));
    let id = |n: u8| DoorId([n; 16]);
    let add = |n, name| DoorOp::Add { id: id(n), door: door(name, n, 1) };
    let one = a.edit_room(&actor(1), 0, &[add(1, "x"), add(2, "y")]).unwrap().unwrap();
    take(&mut b, &one);
    assert_eq!(a.doors(), b.doors());
    let gone = |clock: u64, to| Gone { clock: Clock::from([(actor(9), clock)]), to };
    // One renames x to z, the other removes it: both are said.
    let to = Some((ObjectId([1; 16]), id(3)));
    let rename = [DoorOp::Gone { id: id(1), gone: gone(1, to) }, add(3, "z")];
    let two = a.edit_room(&actor(1), 0, &rename).unwrap().unwrap();
    let three =
        b.edit_room(&actor(2), 0, &[DoorOp::Gone { id: id(1), gone: gone(2, None) }]).unwrap().unwrap();
    let applied = a.apply(&[three.change], &|_| true).unwrap();
    assert_eq!(applied.doors, BTreeSet::from([id(1)]));
    let applied = b.apply(&[two.change], &|_| true).unwrap();
    assert_eq!(applied.doors, BTreeSet::from([id(1), id(3)]));
    assert_eq!(a.doors(), b.doors());
    assert_eq!(a.door(&id(1)).unwrap().gone, vec![gone(1, to), gone(2, None)]);
    assert_eq!(a.door(&id(3)), Some(door("z", 3, 1)));
    // The same again is nothing.
    assert_eq!(a.edit_room(&actor(1), 0, &rename).unwrap(), None);
    let again = Doc::load(&a.save()).unwrap();
    assert_eq!((again.doors(), again.clock(), again.kind()), (a.doors(), a.clock(), Type::Room));
    assert!(matches!(
        a.edit_room(&actor(1), 0, &[DoorOp::Add { id: id(8), door: door(&"x".repeat(256), 1, 1) }]),
        Err(Error::Base(_))
    ));
    let mut text = Doc::born(&birth(Type::Text, bytes(""))).unwrap();
    assert!(matches!(text.edit_room(&actor(1), 0, &[add(1, "x")]), Err(Error::Unfit { .. })));
}

#[test]
fn a_large_room_takes_one_more_door_quickly() {
    let mut a = room();
    let id = |n: u32| DoorId(Hash::of(&[&n.to_be_bytes()]).0[..16].try_into().unwrap());
    let ops: Vec<DoorOp> =
        (0..10_000).map(|n| DoorOp::Add { id: id(n), door: door(&format!("file {n}"), 1, 1) }).collect();
    let many = a.edit_room(&actor(1), 0, &ops).unwrap().unwrap();
    let mut b = room();
    take(&mut b, &many);
    assert_eq!(b.doors().len(), 10_000);
    let start = std::time::Instant::now();
    let one = a
        .edit_room(&actor(1), 0, &[DoorOp::Add { id: id(10_001), door: door("one more", 1, 1) }])
        .unwrap()
        .unwrap();
    let local = start.elapsed();
    let start = std::time::Instant::now();
    take(&mut b, &one);
    eprintln!("one door more in 10,000: here {local:?}, from elsewhere {:?}", start.elapsed());
    assert_eq!(a.doors(), b.doors());
}

#[test]
fn every_birth_of_a_room_is_the_same_document() {
    let other = Birth { id: ObjectId([2; 16]), ..birth(Type::Room, Content::Empty) };
    assert_eq!(room().birth_hash(), Doc::born(&other).unwrap().birth_hash());
    let with_meta = Birth { meta: Meta { perm: Some(0o700), ..Meta::default() }, ..other };
    assert!(Doc::born(&with_meta).is_err());
}

#[test]
fn bodies_round_trip_and_keep_their_limits() {
    let meta = Meta {
        perm: Some(0o640),
        mtime: Some(1),
        xattrs: BTreeMap::from([("user.long name".into(), vec![1]), ("user.x".into(), vec![])]),
    };
    let births = [
        Birth { meta, ..birth(Type::Text, bytes("grün\n")) },
        birth(Type::Blob, manifest(3)),
        birth(Type::Link, bytes("x")),
        birth(Type::Room, Content::Empty),
        birth(Type::Unknown(77), Content::Empty),
    ];
    let mut items: Vec<Item> = births.into_iter().map(Item::Birth).collect();
    items.push(Item::Change(Change { object: ObjectId([1; 16]), bytes: vec![1, 2], incarnation: None }));
    let body = Body { time: -1, items };
    let encoded = body.encode();
    assert_eq!(Body::decode(&encoded), Ok(body.clone()));
    for item in &body.items {
        if let Item::Birth(birth) = item {
            assert_eq!(Birth::from_bytes(&birth.to_bytes()).as_ref(), Ok(birth));
        }
    }
    for end in 0..encoded.len() {
        assert!(Body::decode(&encoded[..end]).is_err());
    }
    // A version of the future is told from garbage.
    let mut later = encoded.clone();
    assert_eq!(later[1], 1);
    later[1] = 3;
    assert_eq!(Body::decode(&later), Err(Error::Version { version: 3 }));
    // A room with meta, bits beyond 0777, a text that is none.
    let bad = [
        Birth { meta: Meta { perm: Some(0o644), ..Meta::default() }, ..birth(Type::Room, Content::Empty) },
        Birth { meta: Meta { perm: Some(0o4755), ..Meta::default() }, ..birth(Type::Text, bytes("x")) },
        birth(Type::Text, Content::Bytes(vec![0xc3])),
        birth(Type::Room, bytes("x")),
    ];
    for bad in bad {
        let body = Body { time: 0, items: vec![Item::Birth(bad)] };
        assert!(matches!(Body::decode(&body.encode()), Err(Error::Base(_))));
    }
}
