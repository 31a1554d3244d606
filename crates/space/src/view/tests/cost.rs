//! That the work for one input does not grow with the tree: sizes at which a quadratic way would not end.

use super::world::{ROOT, here};
use crate::view::{Born, BornKind, Delta, Door, DoorKind, Gone, View};
use base::{DeviceId, DoorId, Hash, ObjectId};

fn name(n: u64) -> [u8; 16] {
    base::id::first16(&Hash::of(&[&n.to_be_bytes()]))
}

fn door(name: String, target: ObjectId, lamport: u64) -> Door {
    Door {
        name: name.into_bytes(),
        target: here(target),
        kind: DoorKind::Place,
        at: (lamport, DeviceId([1; 32])),
        gone: Vec::new(),
    }
}

#[test]
fn a_room_of_a_hundred_thousand_doors() {
    let mut view = View::new(ROOT);
    for n in 0..100_000 {
        let mut out = Delta::default();
        let id = ObjectId(name(n));
        view.born(id, Born { kind: BornKind::File(0), content: None }, &mut out);
        view.door(ROOT, DoorId(name(n)), door(format!("file {n}"), id, n + 1), &mut out);
        assert_eq!(out.changes.len(), 1);
    }
    assert_eq!(view.list(ROOT).count(), 100_000);
    assert_eq!(view.list_from(ROOT, "file 99998").count(), 1);
}

// Made, moved, and removed again; in a random order, as a store would give them.
#[test]
fn thousands_of_rooms_in_each_other() {
    let mut view = View::new(ROOT);
    let mut out = Delta::default();
    let room = |n: u64| if n == 0 { ROOT } else { ObjectId(name(n)) };
    let mut order: Vec<u64> = (1..=4000).collect();
    order.sort_by_key(|n| name(*n));
    for n in &order {
        view.born(room(*n), Born { kind: BornKind::Room, content: None }, &mut out);
    }
    for n in &order {
        view.door(room(n / 3), DoorId(name(*n)), door(format!("r{n}"), room(*n), *n), &mut out);
    }
    assert_eq!(view.path(room(4000)).unwrap().len(), 8);
    for n in &order {
        let mut old = view.door_state(room(n / 3), DoorId(name(*n))).cloned().unwrap();
        let new = DoorId(name(n + 10_000));
        view.door(room(n / 3), new, door(format!("m{n}"), room(*n), n + 10_000), &mut out);
        old.gone.push(Gone { clock: Default::default(), to: Some((room(n / 3), new)) });
        view.door(room(n / 3), DoorId(name(*n)), old, &mut out);
    }
    assert_eq!(view.path(room(4000)).unwrap()[7], "m4000");
    for n in (1..=4000).rev() {
        let new = DoorId(name(n + 10_000));
        let mut old = view.door_state(room(n / 3), new).cloned().unwrap();
        old.gone.push(Gone { clock: Default::default(), to: None });
        view.door(room(n / 3), new, old, &mut out);
    }
    assert_eq!(view.list(ROOT).count(), 0);
    assert!(view.lost().is_empty());
}
