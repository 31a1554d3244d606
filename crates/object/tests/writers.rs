//! What a writer may put into a document who means harm, by changes that are all in order: what it shows stays what its
//! birth allows, the same whatever the order, and its image loads.

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, LoadOptions, ObjType, ROOT, ReadDoc, ScalarValue, TextEncoding};
use base::{Actor, ChunkId, DeviceId, DoorId, EpochId, Hash, ObjectId, cbor};
use object::{
    Birth, Body, CHANGE_OPS, Change, Chunking, Clock, Content, Doc, Door, DoorKind, DoorOp, Error, Gone,
    Item, Manifest, ManifestChunk, Meta, MetaEdit, Refusal, Target, Type,
};
use proptest::prelude::*;
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

fn born(kind: Type, text: &str) -> Doc {
    Doc::born(&birth(kind, bytes(text))).unwrap()
}

fn room() -> Doc {
    Doc::born(&birth(Type::Room, Content::Empty)).unwrap()
}

/// The engine's own document, to write into what nobody else would.
fn engine(doc: &Doc) -> Automerge {
    let options = LoadOptions::new().text_encoding(TextEncoding::Utf8CodeUnit);
    Automerge::load_with_options(&doc.save()[44..], options).unwrap()
}

fn written(am: &mut Automerge, who: u8, work: impl FnOnce(&mut Transaction<'_>)) -> Vec<u8> {
    am.set_actor(ActorId::from(&[who; 16][..]));
    let mut tx = am.transaction();
    work(&mut tx);
    let hash = tx.commit_with(CommitOptions::default().with_time(0)).0.unwrap();
    am.get_change_by_hash(&hash).unwrap().raw_bytes().to_vec()
}

/// A change on what `doc` has, with these values put under these keys; None deletes.
fn put(doc: &Doc, who: u8, puts: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
    written(&mut engine(doc), who, |tx| {
        for (key, value) in puts {
            match value {
                Some(value) => tx.put(ROOT, *key, ScalarValue::Bytes(value.clone())).unwrap(),
                None => tx.delete(ROOT, *key).unwrap(),
            }
        }
    })
}

fn take(doc: &mut Doc, change: &[u8]) {
    let applied = doc.apply(&[change.to_vec()], &|_| true).unwrap();
    assert_eq!((applied.taken, applied.refused), (1, vec![]));
    assert_eq!(applied.append, [change]);
}

/// `[type, content]`, as the register has it.
fn register(kind: u8, text: &str) -> Option<Vec<u8>> {
    let mut out = vec![0x82, kind];
    out.extend(cbor::encode(&bytes(text)));
    Some(out)
}

fn shown(doc: &Doc) -> (Type, Vec<Content>, String, BTreeMap<DoorId, Door>, Meta) {
    let versions = doc.versions().into_iter().map(|version| version.content).collect();
    (doc.kind(), versions, doc.text(), doc.doors(), doc.meta())
}

fn loads(doc: &Doc) {
    assert_eq!(shown(&Doc::load(&doc.save()).unwrap()), shown(doc));
}

#[test]
fn nothing_becomes_a_link_or_a_room_and_they_become_nothing_else() {
    for kind in [Type::Text, Type::Whole, Type::Blob] {
        for code in [5, 6, 0] {
            let mut doc = born(kind, "mine");
            let change = put(&doc, 9, &[("body", register(code, "/etc/passwd"))]);
            take(&mut doc, &change);
            assert_eq!((doc.kind(), doc.versions()[0].content.clone()), (kind, bytes("mine")), "{code}");
            assert_eq!(doc.versions().len(), 1);
            loads(&doc);
            // And it can be written again.
            let base = doc.heads();
            doc.set_content(&actor(1), 0, &base, bytes("next"), kind).unwrap().unwrap();
            assert_eq!(doc.versions()[0].content, bytes("next"));
            assert!(doc.set_content(&actor(1), 0, &base, bytes("x"), Type::Link).is_err());
        }
    }
    for code in [0, 1, 2, 5, 99] {
        let mut link = born(Type::Link, "there");
        let change = put(&link, 9, &[("body", register(code, "else"))]);
        take(&mut link, &change);
        assert_eq!((link.kind(), link.versions().len()), (Type::Link, 1));
        assert_eq!(link.versions()[0].content, bytes("there"));
        loads(&link);
        let base = link.heads();
        assert!(link.set_content(&actor(1), 0, &base, bytes("x"), Type::Whole).is_err());
    }
    let mut link = born(Type::Link, "there");
    let change = put(&link, 9, &[("body", register(6, &"x".repeat(5000)))]);
    take(&mut link, &change);
    assert_eq!(link.versions()[0].content, bytes("there"));
    // A text beside it is no version of a link.
    let change = written(&mut engine(&link), 9, |tx| {
        let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "words").unwrap();
    });
    take(&mut link, &change);
    assert_eq!(link.versions().len(), 1);
    let change = put(&link, 9, &[("body", register(6, "elsewhere"))]);
    take(&mut link, &change);
    assert_eq!(link.versions()[0].content, bytes("elsewhere"));
}

#[test]
fn a_body_that_is_deleted_or_makes_no_sense_leaves_what_was_born() {
    for value in [None, Some(vec![1, 2, 3])] {
        let mut doc = born(Type::Text, "one\n");
        let base = doc.heads();
        doc.edit_text(&actor(1), 0, &base, "one\ntwo\n").unwrap().unwrap();
        let change = put(&doc, 9, &[("body", value)]);
        take(&mut doc, &change);
        assert_eq!((doc.kind(), doc.as_text()), (Type::Text, "one\ntwo\n"));
        loads(&doc);
        let base = doc.heads();
        doc.edit_text(&actor(1), 0, &base, "two\n").unwrap().unwrap();
        assert_eq!(doc.as_text(), "two\n");
    }
    let unknown = Doc::born(&birth(Type::Unknown(99), Content::Empty)).unwrap();
    assert_eq!((unknown.kind(), unknown.versions()), (Type::Unknown(99), vec![]));
}

fn door(name: &str) -> Door {
    Door {
        name: name.as_bytes().to_vec(),
        target: Target { space: None, object: ObjectId([2; 16]) },
        kind: DoorKind::Place,
        at: (1, DeviceId([3; 32])),
        gone: vec![],
    }
}

#[test]
fn a_body_in_a_room_is_ignored_and_doors_still_come() {
    for code in [0, 1, 2, 5, 6, 99] {
        let mut doc = room();
        let change = put(&doc, 9, &[("body", register(code, "x"))]);
        take(&mut doc, &change);
        assert_eq!((doc.kind(), doc.versions()), (Type::Room, vec![]));
        let mut other = doc.clone();
        let add = DoorOp::Add { id: DoorId([1; 16]), door: door("a") };
        let made = other.edit_room(&actor(1), 0, &[add]).unwrap().unwrap();
        let applied = doc.apply(&[made.change], &|_| true).unwrap();
        assert_eq!(applied.doors, BTreeSet::from([DoorId([1; 16])]));
        assert_eq!(doc.doors(), other.doors());
        assert_eq!(doc.doors().len(), 1);
        loads(&doc);
    }
    // Doors in what is no room are none.
    let mut file = born(Type::Blob, "x");
    let change = put(&file, 9, &[(&format!("d/{}", DoorId([1; 16]).hex()), Some(cbor::encode(&door("a"))))]);
    take(&mut file, &change);
    assert!(file.doors().is_empty());
}

#[test]
fn doors_are_neither_deleted_nor_written_over() {
    let id = DoorId([1; 16]);
    let mut doc = room();
    let gone = Gone { clock: Clock::new(), to: None };
    let ops = [DoorOp::Add { id, door: door("a") }, DoorOp::Gone { id, gone: gone.clone() }];
    doc.edit_room(&actor(1), 0, &ops).unwrap().unwrap();
    let before = doc.doors();
    let d = format!("d/{}", id.hex());
    let g = engine(&doc).keys(ROOT).find(|key| key.starts_with("g/")).unwrap();
    let nested = |kind| written(&mut engine(&doc), 8, |tx| tx.put_object(ROOT, &d, kind).map(drop).unwrap());
    for kind in [ObjType::Map, ObjType::List] {
        assert_eq!(doc.clone().apply(&[nested(kind)], &|_| true).unwrap().taken, 0);
    }
    let hostile = [
        put(&doc, 9, &[(&d, None), (&g, None)]),
        put(&doc, 2, &[(&d, Some(cbor::encode(&door("b")))), (&g, Some(cbor::encode(&gone)[..1].to_vec()))]),
        put(&doc, 3, &[(&d, Some(vec![0]))]),
        put(&doc, 4, &[(&d.to_uppercase().replace("D/", "d/"), Some(cbor::encode(&door("c"))))]),
        nested(ObjType::Text),
    ];
    for change in hostile {
        let applied = doc.apply(&[change], &|_| true).unwrap();
        assert_eq!((applied.taken, applied.doors), (1, BTreeSet::new()));
        assert_eq!(doc.doors(), before);
        loads(&doc);
    }
    assert_eq!(before[&id].gone, vec![gone]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_a_room_shows_is_a_function_of_the_set_of_changes(
        steps in proptest::collection::vec((1u8..5, 0u8..3, 0u8..6, any::<bool>()), 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let mut apart: BTreeMap<u8, Automerge> = BTreeMap::new();
        let mut changes = Vec::new();
        for (n, (who, key, how, met)) in steps.into_iter().enumerate() {
            let mut am = apart.remove(&who).unwrap_or_else(|| engine(&room()));
            if met {
                for other in apart.values_mut() {
                    am.merge(other).unwrap();
                }
            }
            let id = DoorId([key; 16]);
            let gone = cbor::encode(&Gone { clock: Clock::from([(actor(1), u64::from(how))]), to: None });
            let name = DoorId(Hash::of(&[&gone]).0[..16].try_into().unwrap()).hex();
            let d = format!("d/{}", id.hex());
            let g = format!("g/{}/{name}", id.hex());
            changes.push(written(&mut am, who, |tx| {
                // So that there is something to do.
                tx.put(ROOT, "n", n as i64).unwrap();
                match how {
                    0 => tx.put(ROOT, &d, ScalarValue::Bytes(cbor::encode(&door("x")))).unwrap(),
                    1 => tx.put(ROOT, &d, ScalarValue::Bytes(cbor::encode(&door(&who.to_string())))).unwrap(),
                    2 => tx.delete(ROOT, &d).unwrap(),
                    3 => tx.put(ROOT, &d, ScalarValue::Bytes(vec![who])).unwrap(),
                    4 => tx.put(ROOT, &g, ScalarValue::Bytes(gone)).unwrap(),
                    _ => {
                        let all: Vec<String> = tx.keys(ROOT).filter(|key| key.starts_with("g/")).collect();
                        all.iter().for_each(|key| tx.delete(ROOT, key).unwrap());
                    }
                }
            }));
            apart.insert(who, am);
        }
        let mut whole = room();
        prop_assert_eq!(whole.apply(&changes, &|_| true).unwrap().refused, vec![]);
        let mut one_by_one = room();
        let mut image = one_by_one.save();
        let mut left = changes;
        for at in order {
            if !left.is_empty() {
                let change = left.swap_remove(at.index(left.len()));
                image.extend(one_by_one.apply(&[change], &|_| true).unwrap().append.concat());
            }
        }
        prop_assert_eq!(whole.doors(), one_by_one.doors());
        prop_assert_eq!(Doc::load(&image).unwrap().doors(), whole.doors());
        if let Ok(again) = Doc::load(&whole.save()) {
            prop_assert_eq!(again.doors(), whole.doors());
        }
    }

    #[test]
    fn an_image_and_what_is_to_be_appended_load_as_what_is_there(
        makes in proptest::collection::vec((1u8..4, any::<prop::sample::Index>()), 1..16),
        sends in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..5, any::<bool>()), 1..24),
    ) {
        // Versions from which the same actors write again, so that numbers are given twice and thrice.
        let start = born(Type::Text, "one two three\n");
        let mut versions = vec![engine(&start)];
        let mut changes: Vec<Vec<u8>> = Vec::new();
        for (n, (who, from)) in makes.iter().enumerate() {
            let mut am = versions[from.index(versions.len())].clone();
            changes.push(written(&mut am, *who, |tx| tx.put(ROOT, "mtime", n as i64).unwrap()));
            if n % 3 == 1 {
                let mut other = versions[n / 2].clone();
                // Concurrent histories with the same numbers do not merge.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| am.merge(&mut other)));
            }
            versions.push(am);
        }
        let mut doc = start.clone();
        let mut image = doc.save();
        for (at, n, snapshot) in sends {
            let first = at.index(changes.len());
            let mut batch: Vec<Vec<u8>> = changes.iter().cycle().skip(first).take(n).cloned().collect();
            batch.reverse();
            let Ok(applied) = doc.apply(&batch, &|_| true) else { return Ok(()) };
            for refused in &applied.refused {
                prop_assert_eq!(refused.why, Refusal::Sequence);
                prop_assert!(!applied.append.contains(&batch[refused.index]));
            }
            image.extend(applied.append.concat());
            let again = Doc::load(&image).unwrap();
            prop_assert_eq!(again.heads(), doc.heads());
            prop_assert_eq!(again.clock(), doc.clock());
            prop_assert_eq!(again.waiting(), doc.waiting());
            prop_assert_eq!(shown(&again), shown(&doc));
            if snapshot {
                image = doc.save();
            }
        }
    }
}

#[test]
fn of_two_changes_of_one_number_the_first_to_come_stays_when_loaded() {
    let start = born(Type::Whole, "x");
    let base = put(&start, 1, &[("body", register(1, "base"))]);
    let mut on = start.clone();
    take(&mut on, &base);
    let mut rivals: Vec<Vec<u8>> =
        (0..6u8).map(|n| put(&on, 2, &[("body", register(1, &format!("rival {n}")))])).collect();
    for _ in 0..rivals.len() {
        rivals.rotate_left(1);
        let mut doc = start.clone();
        let mut image = doc.save();
        let mut apply = |doc: &mut Doc, changes: &[Vec<u8>]| {
            let applied = doc.apply(changes, &|_| true).unwrap();
            image.extend(applied.append.concat());
            assert_eq!(shown(&Doc::load(&image).unwrap()), shown(doc));
            applied
        };
        let applied = apply(&mut doc, &rivals[..2]);
        assert_eq!((applied.waiting, applied.append.len(), applied.changed), (2, 2, false));
        let applied = apply(&mut doc, &[base.clone(), rivals[2].clone()]);
        assert_eq!((applied.taken, doc.waiting()), (2, 0));
        let applied = apply(&mut doc, &rivals[3..]);
        assert_eq!((applied.append.len(), applied.refused.len()), (0, 3));
    }
}

fn uleb(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

#[test]
fn a_body_whose_changes_claim_too_much_together_is_refused() {
    let mut doc = born(Type::Text, &"word ".repeat(1000));
    let base = doc.heads();
    let made = doc.edit_text(&actor(1), 0, &base, "new\n").unwrap().unwrap();
    assert_eq!(object::operations(&made.change), 5004);
    assert_eq!(object::operations(&made.change[..40]), 0);
    assert_eq!(object::operations(b"no change"), 0);
    // A few bytes that claim a third of what a change may.
    let third = (CHANGE_OPS / 3 + 1) as u64;
    let mut run = uleb(third);
    if run.last().unwrap() & 0x40 != 0 {
        *run.last_mut().unwrap() |= 0x80;
        run.push(0);
    }
    for spec in [66, 112] {
        let column = [&run[..], &[1]].concat();
        let mut data = vec![1];
        data.extend([0; 32]);
        data.push(16);
        data.extend([9; 16]);
        data.extend([1, 5, 0, 0, 0, 1]);
        data.extend([spec, column.len() as u8]);
        data.extend(column);
        let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
        bytes.extend(uleb(data.len() as u64));
        bytes.extend(data);
        assert_eq!(object::operations(&bytes), third);
        let item = Item::Change(Change { object: ObjectId([1; 16]), bytes, incarnation: None });
        let body = |n: usize| Body { time: 0, items: vec![item.clone(); n] };
        assert!(Body::decode(&body(2).encode()).is_ok());
        let refused = Body::decode(&body(3).encode());
        assert!(matches!(refused, Err(Error::Base(base::Error::Limit { .. }))), "{refused:?}");
    }
}

/// A change with the columns of another, each as `odd` gives it.
fn rewritten(change: &[u8], odd: impl Fn(u64, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let read = |at: &mut usize| {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let byte = change[*at];
            *at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return n;
            }
        }
    };
    let mut at = 9;
    read(&mut at);
    let start = at;
    at += 32 * read(&mut at) as usize;
    at += read(&mut at) as usize;
    (0..3).for_each(|_| {
        read(&mut at);
    });
    at += read(&mut at) as usize;
    for _ in 0..read(&mut at) {
        at += read(&mut at) as usize;
    }
    let mut data = change[start..at].to_vec();
    let specs: Vec<(u64, usize)> =
        (0..read(&mut at)).map(|_| (read(&mut at), read(&mut at) as usize)).collect();
    let mut columns = Vec::new();
    for (spec, len) in specs {
        let column = odd(spec, &change[at..at + len]);
        at += len;
        if !column.is_empty() {
            columns.push((spec, column));
        }
    }
    data.push(columns.len() as u8);
    for (spec, column) in &columns {
        data.extend(uleb(*spec));
        data.extend(uleb(column.len() as u64));
    }
    data.extend(columns.into_iter().flat_map(|(_, column)| column));
    let mut hashed = vec![1];
    hashed.extend(uleb(data.len() as u64));
    hashed.extend(data);
    [&[0x85, 0x6f, 0x4a, 0x83], &Hash::of(&[&hashed]).0[..4], &hashed].concat()
}

#[test]
fn changes_that_the_engine_would_write_otherwise_are_refused() {
    let start = born(Type::Text, "one two\n");
    let plain = put(&start, 9, &[("x/user.a", Some(vec![1]))]);
    assert_eq!(rewritten(&plain, |_, column| column.to_vec()), plain);
    // A run of one where there should be a literal; a deletion of nothing.
    let run = rewritten(&plain, |spec, column| if spec == 66 { vec![1, 1] } else { column.to_vec() });
    let nothing = rewritten(&plain, |spec, column| match spec {
        66 => vec![0x7f, 3],
        86 => vec![0x7f, 0],
        87 => vec![],
        _ => column.to_vec(),
    });
    for odd in [run, nothing] {
        assert_ne!(odd, plain);
        let mut doc = start.clone();
        let base = doc.heads();
        doc.edit_text(&actor(1), 0, &base, "one 2\n").unwrap().unwrap();
        let base = doc.heads();
        let good = put(&doc, 8, &[("x/user.b", Some(vec![2]))]);
        let applied = doc.apply(&[odd, good.clone()], &|_| true).unwrap();
        assert_eq!((applied.taken, applied.append), (1, vec![good]));
        assert_eq!((applied.refused[0].index, applied.refused[0].why), (0, Refusal::Malformed));
        assert_eq!(doc.meta().xattrs.len(), 1);
        doc.edit_text(&actor(1), 0, &base, "1 2\n").unwrap().unwrap();
        let again = Doc::load(&doc.save()).unwrap();
        assert_eq!((shown(&again), again.heads(), again.clock()), (shown(&doc), doc.heads(), doc.clock()));
        loads(&again);
    }
}

fn manifest(size: u64, level: u8, lens: &[u32]) -> Manifest {
    let chunk = |len: &u32| ManifestChunk { id: ChunkId([1; 32]), plain: Hash([2; 32]), len: *len };
    Manifest {
        size,
        chunking: Chunking { min: 1, avg: 2, max: 3 },
        epoch: EpochId([1; 32]),
        level,
        chunks: lens.iter().map(chunk).collect(),
    }
}

#[test]
fn manifests_claim_no_more_than_chunks_can_hold() {
    let read = |m: &Manifest| cbor::decode::<Manifest>(&cbor::encode(m), "manifest");
    const MOST: u32 = 4 << 20;
    for good in [
        manifest(0, 0, &[]),
        manifest(0, 0, &[0]),
        manifest(u64::from(MOST) + 1, 0, &[MOST, 1]),
        manifest(1 << 40, 1, &[70]),
    ] {
        assert_eq!(read(&good), Ok(good.clone()));
        assert_eq!(good.is_plain(), good.level == 0);
    }
    for bad in [
        manifest(u64::from(MOST) + 1, 0, &[MOST + 1]),
        manifest(5, 0, &[5, 0]),
        manifest(0, 0, &[0, 0]),
        manifest(5, 0, &[6]),
        manifest(1 << 63, 0, &[5]),
        manifest(1 << 63, 1, &[5]),
    ] {
        assert!(read(&bad).is_err(), "{bad:?}");
    }
    // In a document such a register counts for nothing.
    let mut doc = born(Type::Blob, "x");
    let mut value = vec![0x82, 2];
    value.extend(cbor::encode(&manifest(5, 0, &[5, 0])));
    let change = put(&doc, 9, &[("body", Some(value))]);
    take(&mut doc, &change);
    assert_eq!(doc.versions()[0].content, bytes("x"));
}

#[test]
fn attributes_are_shown_only_under_names_that_are_users_own() {
    let long = format!("user.{}", "x".repeat(251));
    let bad = [
        "",
        "user.",
        "security.selinux",
        "system.posix_acl_access",
        "trusted.x",
        "user.a\0b",
        "user.a\nb",
        "user.\u{9b}",
        "user.chorus.id",
        "user.xdg.origin.url",
        &long,
    ];
    let mut doc = born(Type::Blob, "x");
    let keys: Vec<String> =
        bad.iter().chain(&["user.note", "user.grün"]).map(|name| format!("x/{name}")).collect();
    let puts: Vec<(&str, Option<Vec<u8>>)> = keys.iter().map(|key| (key.as_str(), Some(vec![1]))).collect();
    let change = put(&doc, 9, &puts);
    take(&mut doc, &change);
    let names: Vec<String> = doc.meta().xattrs.into_keys().collect();
    assert_eq!(names, ["user.grün", "user.note"]);
    loads(&doc);
    let large = put(&doc, 9, &[("x/user.large", Some(vec![0; (64 << 10) + 1]))]);
    take(&mut doc, &large);
    assert_eq!(doc.meta().xattrs.len(), 2);
    for name in bad {
        assert!(!object::shows_xattr(name), "{name:?}");
        let edit = |value| MetaEdit { xattrs: [(name.to_owned(), value)].into(), ..MetaEdit::default() };
        assert_eq!(doc.set_meta(&actor(1), 0, &edit(Some(vec![2]))), Err(Error::Attribute));
        assert_eq!(doc.set_meta(&actor(1), 0, &edit(None)), Ok(None));
        let mut birth = birth(Type::Blob, bytes("x"));
        birth.meta.xattrs.insert(name.to_owned(), vec![1]);
        assert_eq!(birth.check().is_ok(), name.starts_with("user.xdg."), "{name:?}");
        assert!(birth.meta.shown().xattrs.is_empty());
    }
}
