//! Rule 5: plain names, suffixes, versions, names that cannot be shown as they are.

use super::world::{ROOT, believe, check, here};
use crate::view::{Born, BornKind, Delta, Door, DoorKind, How, Target, View};
use base::{DeviceId, DoorId, Hash, ObjectId, SpaceId};

fn door(name: &[u8], object: u8, lamport: u64) -> Door {
    Door {
        name: name.to_vec(),
        target: here(ObjectId([object; 16])),
        kind: DoorKind::Place,
        at: (lamport, DeviceId([1; 32])),
        gone: Vec::new(),
    }
}

fn id(hex: &str) -> DoorId {
    DoorId::from_hex(&format!("{hex:0<32}")).unwrap()
}

// A room with these doors, added in this order and in the opposite one.
fn shown(doors: &[(DoorId, Door)]) -> Vec<String> {
    let build = |doors: &mut dyn Iterator<Item = &(DoorId, Door)>| {
        let mut view = View::new(ROOT);
        let mut cache = Default::default();
        for (id, door) in doors {
            let mut out = Delta::default();
            let born = Born { kind: BornKind::File(0), content: None };
            view.born(door.target.object, born, &mut out);
            view.door(ROOT, *id, door.clone(), &mut out);
            believe(&mut cache, out);
            check(&view, &cache);
        }
        view
    };
    let view = build(&mut doors.iter());
    assert_eq!(view, build(&mut doors.iter().rev()));
    view.list(ROOT).map(|s| s.name.to_string()).collect()
}

#[test]
fn the_suffix_goes_before_the_last_dot_that_is_not_the_first_character() {
    for (name, second) in [
        ("a", "a~bbbb"),
        ("a.txt", "a~bbbb.txt"),
        (".rc", ".rc~bbbb"),
        (".a.b", ".a~bbbb.b"),
        ("x.tar.gz", "x.tar~bbbb.gz"),
    ] {
        let doors = [(id("aaaa"), door(name.as_bytes(), 1, 1)), (id("bbbb"), door(name.as_bytes(), 2, 2))];
        let mut expected = vec![name.to_owned(), second.to_owned()];
        expected.sort();
        assert_eq!(shown(&doors), expected);
    }
}

#[test]
fn suffixes_grow_until_they_are_unique() {
    let doors = [
        (id("aaaa"), door(b"f", 1, 1)),
        (id("bbbbb1"), door(b"f", 2, 2)),
        (id("bbbbb2"), door(b"f", 3, 3)),
        (id("cccc"), door(b"f", 4, 4)),
    ];
    assert_eq!(shown(&doors), ["f", "f~bbbbb1", "f~bbbbb2", "f~cccc"]);
}

#[test]
fn a_plain_name_goes_before_a_suffixed_one() {
    let doors = [
        (id("aaaa"), door(b"f", 1, 1)),
        (id("bbbb"), door(b"f", 2, 2)),
        (id("01"), door(b"f~bbbb", 3, 3)),
        (id("02"), door(b"f~bbbb0", 4, 4)),
    ];
    assert_eq!(shown(&doors), ["f", "f~bbbb", "f~bbbb0", "f~bbbb00"]);
    // Even one that was made to take all digits.
    let mut doors = vec![(id("aaaa"), door(b"f", 1, 1)), (id("bbbb"), door(b"f", 2, 2))];
    for n in 4..=32 {
        let name = format!("f~{}", &id("bbbb").hex()[..n]);
        doors.push((DoorId([n as u8; 16]), door(name.as_bytes(), n as u8, n as u64)));
    }
    let last = format!("f~{}-2", id("bbbb"));
    assert!(shown(&doors).contains(&last));
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    for name in ["x".repeat(255), format!("{}.txt", "é".repeat(125)), format!("a.{}", "y".repeat(253))] {
        let doors: Vec<(DoorId, Door)> =
            (1..5u8).map(|n| (DoorId([n; 16]), door(name.as_bytes(), n, n.into()))).collect();
        let names = shown(&doors);
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.iter().all(|n| n.len() <= 255));
    }
}

#[test]
fn names_that_cannot_stand_are_escaped_and_share_what_they_look_like() {
    let doors = [
        (id("aaaa"), door(b"..", 1, 1)),
        (id("bbbb"), door(b"%2e%2e", 2, 2)),
        (id("cc"), door(b"a/b", 3, 3)),
    ];
    assert_eq!(shown(&doors), ["%2e%2e", "%2e%2e~bbbb", "a%2fb"]);
}

#[test]
fn other_versions_stand_beside_wherever_the_file_does() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    let file = ObjectId([1; 16]);
    view.born(file, Born { kind: BornKind::File(2), content: None }, &mut out);
    view.door(ROOT, id("aaaa"), door(b"photo.jpg", 1, 1), &mut out);
    view.door(ROOT, id("bbbb"), door(b"copy", 1, 2), &mut out);
    view.extra(file, vec![Hash([0xab; 32])], &mut out);
    let names: Vec<String> = view.list(ROOT).map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["copy", "copy~abab", "photo.jpg", "photo~abab.jpg"]);
    let version = view.lookup(ROOT, "photo~abab.jpg").unwrap();
    assert_eq!((version.version, version.doors.len()), (Some(Hash([0xab; 32])), 0));
    assert_eq!(view.shown_of(ROOT, id("aaaa")).unwrap().version, None);
    assert_eq!(view.links(file), 2);
    // Somebody wrote it again: one version.
    let mut out = Delta::default();
    view.extra(file, Vec::new(), &mut out);
    assert_eq!(out.changes.len(), 2);
    assert_eq!(view.list(ROOT).count(), 2);
}

#[test]
fn two_files_of_one_name_may_have_one_other_version() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    for n in 1..=2u8 {
        view.born(ObjectId([n; 16]), Born { kind: BornKind::File(2), content: None }, &mut out);
        view.door(ROOT, DoorId([n; 16]), door(b"f", n, n.into()), &mut out);
        view.extra(ObjectId([n; 16]), vec![Hash([0xcd; 32])], &mut out);
    }
    assert_eq!(view.list(ROOT).count(), 4);
}

#[test]
fn doors_to_other_spaces_show_without_a_birth() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    let target = Target { space: Some(SpaceId([7; 32])), object: ObjectId([7; 16]) };
    let garden = Door { target, ..door(b"garden", 0, 1) };
    view.door(ROOT, id("aaaa"), garden, &mut out);
    assert_eq!(view.lookup(ROOT, "garden").unwrap().how, How::Elsewhere);
    assert_eq!(view.doors_of(ObjectId([7; 16])), [(ROOT, id("aaaa"))]);
    assert_eq!(view, crate::view::recompute(&view.facts()));
}

#[test]
fn a_door_waits_for_the_birth_and_lost_things_are_listed() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    view.door(ROOT, id("aaaa"), door(b"f", 1, 1), &mut out);
    assert!(out.is_empty() && view.list(ROOT).next().is_none());
    view.born(ObjectId([1; 16]), Born { kind: BornKind::File(0), content: None }, &mut out);
    assert_eq!(out.changes.len(), 1);
    let (loose, room) = (ObjectId([2; 16]), ObjectId([3; 16]));
    view.born(loose, Born { kind: BornKind::File(0), content: None }, &mut out);
    view.born(room, Born { kind: BornKind::Room, content: None }, &mut out);
    view.door(room, id("bbbb"), door(b"g", 1, 1), &mut out);
    assert_eq!(view.lost(), [loose, room]);
    assert_eq!(view.path(ObjectId([1; 16])), Some(vec!["f".to_owned()]));
}

#[test]
fn a_delta_tells_the_net_effect() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    view.born(ObjectId([1; 16]), Born { kind: BornKind::File(0), content: None }, &mut out);
    view.door(ROOT, id("aaaa"), door(b"f", 1, 1), &mut out);
    view.forget_door(ROOT, id("aaaa"), &mut out);
    view.forget_object(ObjectId([1; 16]), &mut out);
    assert!(out.is_empty());
    assert_eq!(view, View::new(ROOT));
}

#[test]
fn names_are_listed_in_order_from_anywhere() {
    let doors: Vec<(DoorId, Door)> =
        (1..9u8).map(|n| (DoorId([n; 16]), door(&[b'a' + n], n, n.into()))).collect();
    assert_eq!(shown(&doors).concat(), "bcdefghi");
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    for (id, door) in doors {
        view.born(door.target.object, Born { kind: BornKind::File(0), content: None }, &mut out);
        view.door(ROOT, id, door, &mut out);
    }
    let after: Vec<&str> = view.list_from(ROOT, "f").map(|s| &*s.name).collect();
    assert_eq!(after, ["g", "h", "i"]);
    assert_eq!(view.list_from(ROOT, "").count(), 8);
}
