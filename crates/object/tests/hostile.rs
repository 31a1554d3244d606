//! What a member may send who means harm: nothing of it may end the program, hang it or fill the memory,
//! and every document can be built again from what was good.

use base::{Actor, DeviceId, DoorId, Hash, ObjectId};
use object::{
    Birth, Body, Content, Doc, Door, DoorKind, DoorOp, Error, Manifest, Meta, Refusal, Target, Type,
};
use proptest::prelude::*;

fn actor(n: u8) -> Actor {
    Actor([n; 16])
}

fn born(text: &str) -> Doc {
    let content = Content::Bytes(text.as_bytes().to_vec());
    Doc::born(&Birth { id: ObjectId([1; 16]), kind: Type::Text, meta: Meta::default(), content }).unwrap()
}

fn uleb(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A change with this inside, its checksum and length in order.
fn framed(data: &[u8]) -> Vec<u8> {
    let mut hashed = vec![1];
    hashed.extend(uleb(data.len() as u64));
    hashed.extend_from_slice(data);
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83];
    out.extend_from_slice(&Hash::of(&[&hashed]).0[..4]);
    out.extend(hashed);
    out
}

/// What is inside a change's frame.
fn inside(change: &[u8]) -> Vec<u8> {
    let len = change[9..].iter().position(|b| b & 0x80 == 0).unwrap();
    change[9 + len + 1..].to_vec()
}

/// A change with these columns, building on the birth of `doc`.
fn with_columns(doc: &Doc, start_op: u64, columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut data = vec![1];
    data.extend_from_slice(&doc.birth_hash().0);
    data.push(16);
    data.extend_from_slice(&actor(9).0);
    data.push(1);
    data.extend(uleb(start_op));
    data.extend([0, 0, 0]);
    data.push(columns.len() as u8);
    for (spec, column) in columns {
        data.extend(uleb(*spec));
        data.extend(uleb(column.len() as u64));
    }
    for (_, column) in columns {
        data.extend_from_slice(column);
    }
    framed(&data)
}

fn refusal(doc: &mut Doc, change: Vec<u8>) -> Option<Refusal> {
    doc.apply(&[change], &|_| true).unwrap().refused.first().map(|refused| refused.why)
}

#[test]
fn runs_that_claim_more_than_they_hold_are_refused_before_they_are_followed() {
    let mut doc = born("x");
    // 2^40 deletions in six bytes; a predecessor list of 2^40 for one operation.
    let many = [&[0x80, 0x80, 0x80, 0x80, 0x80, 0x20][..], &[3]].concat();
    assert_eq!(refusal(&mut doc, with_columns(&born("x"), 5, &[(66, many)])), Some(Refusal::Inflated));
    let preds = [&[1][..], &uleb(1 << 40)].concat();
    let change = with_columns(&born("x"), 5, &[(66, vec![1, 3]), (112, preds)]);
    assert_eq!(refusal(&mut doc, change), Some(Refusal::Inflated));
    assert_eq!(
        refusal(&mut doc, with_columns(&born("x"), 1 << 40, &[(66, vec![1, 3])])),
        Some(Refusal::Inflated)
    );
    assert_eq!(refusal(&mut doc, with_columns(&born("x"), 5, &[(66, vec![1, 5])])), Some(Refusal::Operation));
    assert_eq!(refusal(&mut doc, with_columns(&born("x"), 5, &[(148, vec![1])])), Some(Refusal::Operation));
    assert_eq!(doc.text(), "x");
}

#[test]
fn frames_that_are_not_in_order_are_refused() {
    let mut doc = born("x");
    let good = doc.clone().edit_text(&actor(1), 0, &doc.heads(), "x y").unwrap().unwrap().change;
    assert_eq!(framed(&inside(&good)), good);
    for (at, why) in [(0, "magic"), (5, "checksum"), (8, "type"), (good.len() - 1, "end")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(refusal(&mut doc, bad), Some(Refusal::Malformed), "{why}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(refusal(&mut doc, longer), Some(Refusal::Malformed));
    // Without anything it builds on.
    let rootless = [&[0][..], &inside(&good)[33..]].concat();
    assert_eq!(refusal(&mut doc, framed(&rootless)), Some(Refusal::Rootless));
    // One bad among good ones spoils none.
    let applied = doc.apply(&[vec![1, 2, 3], good, vec![]], &|_| true).unwrap();
    assert_eq!((applied.taken, applied.refused.iter().map(|r| r.index).collect::<Vec<_>>()), (1, vec![0, 2]));
    assert_eq!(doc.text(), "x y");
}

#[test]
fn nobody_writes_under_the_name_of_another() {
    let mut doc = born("x");
    let change = doc.clone().edit_text(&actor(1), 0, &doc.heads(), "y").unwrap().unwrap().change;
    let refused = doc.apply(&[change], &|who| *who == actor(2)).unwrap().refused;
    assert_eq!(refused[0].why, Refusal::Actor);
}

fn victim() -> (Doc, Vec<Vec<u8>>) {
    let mut doc = born("one two three\nfour five six\n");
    let mut changes = Vec::new();
    for (who, new) in
        [(1, "one 2 three\nfour five six\n"), (2, "one 2 three\nand\nfour 5 six\n"), (1, "four\n")]
    {
        let base = doc.heads();
        changes.push(doc.edit_text(&actor(who), 7, &base, new).unwrap().unwrap().change);
    }
    (doc, changes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_changes_break_at_most_a_document_that_can_be_built_again(
        which in 0usize..3, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (_, changes) = victim();
        let mut data = inside(&changes[which]);
        for (at, byte) in flips {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let mut doc = born("one two three\nfour five six\n");
        doc.apply(&changes[..which], &|_| true).unwrap();
        let before = doc.text();
        let hostile = doc.apply(&[framed(&data)], &|_| true);
        match hostile {
            Ok(applied) => {
                if applied.taken == 0 {
                    prop_assert_eq!(doc.text(), before);
                }
                // Whatever it shows can be read, saved and edited, or says that it is broken.
                let base = doc.heads();
                let _ = doc.edit_text(&actor(5), 0, &base, "mine\n");
                let _ = doc.apply(&changes, &|_| true);
                let _ = doc.take_back_doubles(&|_| true, &actor(5), 0);
                let _ = (doc.versions(), doc.meta(), doc.doors(), doc.clock());
                if !doc.is_broken() {
                    let again = Doc::load(&doc.save()).unwrap();
                    prop_assert_eq!((again.text(), again.heads()), (doc.text(), doc.heads()));
                }
            }
            Err(error) => {
                prop_assert_eq!(error, Error::Panicked);
                prop_assert!(doc.is_broken());
                prop_assert_eq!(doc.apply(&changes, &|_| true), Err(Error::Panicked));
                prop_assert_eq!(doc.set_meta(&actor(1), 0, &object::MetaEdit { perm: Some(0), ..Default::default() }), Err(Error::Panicked));
                let mut again = born("one two three\nfour five six\n");
                again.apply(&changes, &|_| true).unwrap();
                prop_assert_eq!(again.text(), "four\n");
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut doc = born("x");
        let applied = doc.apply(&[bytes.clone(), framed(&bytes)], &|_| true).unwrap();
        prop_assert_eq!(applied.taken, 0);
        prop_assert!(Body::decode(&bytes).is_err());
        prop_assert!(Doc::load(&bytes).is_err());
        let _ = Manifest::list_from_bytes(&bytes);
    }

    #[test]
    fn mutated_bodies_and_images_are_refused_or_read(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (doc, changes) = victim();
        let item = object::Change { object: ObjectId([1; 16]), bytes: changes[0].clone(), incarnation: None };
        let mut body = Body { time: 1, items: vec![object::Item::Change(item)] }.encode();
        let place = at.index(body.len());
        body[place] = byte;
        if let Ok(read) = Body::decode(&body) {
            prop_assert_eq!(read.encode(), body);
        }
        let mut image = doc.save();
        let place = at.index(image.len());
        image[place] = byte;
        let _ = Doc::load(&image).map(|doc| doc.text());
    }
}

#[test]
fn a_change_after_which_the_image_would_not_load_is_refused() {
    let (_, changes) = victim();
    let mut data = inside(&changes[2]);
    // The engine takes it, and cannot load what it saves then.
    data[83] = 1;
    let mut doc = born("one two three\nfour five six\n");
    doc.apply(&changes[..2], &|_| true).unwrap();
    let before = doc.text();
    let applied = doc.apply(&[framed(&data)], &|_| true).unwrap();
    assert_eq!((applied.taken, applied.refused.len()), (0, 1));
    assert_eq!(Doc::load(&doc.save()).unwrap().text(), before);
}

#[test]
fn what_is_no_letter_does_not_come_into_a_text() {
    // Two letters that come would be a map, or a list: behind them the engine's edits do not do what they say.
    let (_, changes) = victim();
    let letters = inside(&changes[0]);
    assert_eq!(letters[113..117], [2, 1, 4, 3], "two are set, four deleted");
    for action in [0, 2] {
        let mut data = letters.clone();
        data[114] = action;
        let refused = refusal(&mut born("one two three\nfour five six\n"), framed(&data));
        assert_eq!(refused, Some(Refusal::Operation));
    }
}

#[test]
fn an_element_of_a_text_is_one_letter_and_nothing_is_put_over_it() {
    // One value, in object 1 of the writer, behind its head.
    let change = |insert: u8, letters: &str, kind: u8| {
        let value = uleb((letters.len() as u64) << 4 | u64::from(kind));
        let columns = [
            (1, vec![1, 0]),
            (2, vec![1, 1]),
            (19, vec![1, 0]),
            (52, vec![1 - insert, insert]),
            (66, vec![1, 1]),
            (86, [vec![1], value].concat()),
            (87, letters.as_bytes().to_vec()),
        ];
        with_columns(&born("x"), 5, &columns)
    };
    for (insert, letters, kind) in [(1, "ab", 6), (1, "", 6), (1, "a", 7), (0, "a", 6)] {
        let refused = refusal(&mut born("x"), change(insert, letters, kind));
        assert_eq!(refused, Some(Refusal::Operation), "{insert} {letters} {kind}");
    }
    assert_ne!(refusal(&mut born("x"), change(1, "ä", 6)), Some(Refusal::Operation));
}

#[test]
fn a_change_beside_its_authors_last_one_is_refused_so_that_what_is_saved_loads() {
    let birth =
        Birth { id: ObjectId([1; 16]), kind: Type::Room, meta: Meta::default(), content: Content::Empty };
    let add = |n: u8| DoorOp::Add {
        id: DoorId([n; 16]),
        door: Door {
            name: vec![b'a' + n],
            target: Target { space: None, object: ObjectId([n; 16]) },
            kind: DoorKind::Place,
            at: (1, DeviceId([n; 32])),
            gone: Vec::new(),
        },
    };
    let mut room = Doc::born(&birth).unwrap();
    room.edit_room(&actor(9), 0, &[add(1)]).unwrap().unwrap();
    let second = room.clone().edit_room(&actor(9), 0, &[add(2), add(3)]).unwrap().unwrap().change;
    // The same, on the birth alone: the engine takes it, and cannot load what it saves then.
    let mut beside = inside(&second);
    beside[1..33].copy_from_slice(&room.birth_hash().0);
    // And with operations that have the numbers of others.
    let mut again = inside(&second);
    again[1 + 32 + 1 + 16 + 1] = 1;
    for change in [beside, again] {
        assert_eq!(refusal(&mut room, framed(&change)), Some(Refusal::Sequence));
        assert_eq!(Doc::load(&room.save()).unwrap().doors(), room.doors());
    }
    assert_eq!(room.apply(&[second], &|_| true).unwrap().taken, 1);
    assert_eq!(Doc::load(&room.save()).unwrap().doors().len(), 3);
}

#[test]
fn an_image_holds_a_document_and_nothing_else_that_the_engine_loads() {
    let doc = born("x");
    let image = doc.save();
    assert!(Doc::load(&image).is_ok());
    // A bundle in its place would take gigabytes; a change, or a document with a bit flipped, is refused as well.
    for (at, byte) in [(44 + 8, 3), (44 + 8, 1), (44 + 4, image[44 + 4] ^ 1), (image.len() - 1, 0xff)] {
        let mut bad = image.clone();
        bad[at] = byte;
        assert!(matches!(Doc::load(&bad), Err(Error::Image)), "{at}");
    }
}
