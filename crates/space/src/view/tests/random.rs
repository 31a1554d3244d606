//! Random operations on several replicas, with any and with partial delivery.

use super::world::{World, is_dir, reach};
use crate::view::{How, Shown};
use base::ObjectId;
use proptest::prelude::*;

const NAMES: [&str; 4] = ["a", "b", "c.txt", "d"];

#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    what: u8,
    who: usize,
    other: usize,
    a: usize,
    b: usize,
    c: usize,
}

pub(super) fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = (0u8..16, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(
        |(what, who, other, a, b, c)| Op {
            what,
            who: who.into(),
            other: other.into(),
            a: a.into(),
            b: b.into(),
            c: c.into(),
        },
    );
    proptest::collection::vec(op, 1..most)
}

fn pick<T: Clone>(from: &[T], n: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from[n % from.len()].clone()) }
}

fn act(world: &mut World, op: Op) {
    let n = world.replicas.len();
    let (r, other) = (op.who % n, op.other % n);
    let rooms: Vec<ObjectId> = reach(world.view(r)).0.into_iter().collect();
    let all: Vec<(ObjectId, Shown)> =
        rooms.iter().flat_map(|room| world.view(r).list(*room).map(|s| (*room, s.clone()))).collect();
    let Some(room) = pick(&rooms, op.a) else { return };
    let Some(name) = pick(&NAMES, op.b) else { return };
    match (op.what, pick(&all, op.c)) {
        (0 | 1, _) => drop(world.create(r, room, name, (op.c % 2) as u8)),
        (2 | 3, _) => drop(world.mkdir(r, room, name)),
        (4 | 5, Some((at, shown))) => removed(world, r, at, &shown),
        (6, Some((at, shown))) => world.rm_r(r, at, &shown.name),
        (7..=9, Some((at, shown))) => drop(world.mv(r, at, &shown.name, room, name)),
        (10 | 11, Some((at, shown))) => drop(world.ln(r, at, &shown.name, room, name)),
        (12 | 13, Some((_, shown))) if shown.how == How::Place && !is_dir(world.view(r), &shown) => {
            world.edit(r, shown.target.object);
        }
        (14, _) if r != other => drop(world.send(other, r, op.c % 3 + 1)),
        (15, _) if r != other => drop(world.send(other, r, usize::MAX)),
        _ => {}
    }
}

// What is removed is gone there and then, whatever others did before.
fn removed(world: &mut World, r: usize, at: ObjectId, shown: &Shown) {
    let above = world.view(r).path(at);
    if world.rm(r, at, &shown.name) {
        // The room it was in stays where it was.
        assert_eq!(world.view(r).path(at), above);
        for door in shown.doors.iter() {
            assert_eq!(world.view(r).shown_of(at, *door), None);
        }
    }
}

fn run(replicas: usize, ops: Vec<Op>) {
    let mut world = World::new(replicas);
    for op in ops {
        act(&mut world, op);
    }
    world.meet();
    // And once more after everybody saw it all.
    for n in 0..replicas {
        let names: Vec<_> = world.view(n).list(super::world::ROOT).map(|s| s.name.clone()).collect();
        if let Some(name) = names.get(n) {
            world.rm_r(n, super::world::ROOT, name);
        }
    }
    world.meet();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn three_replicas_come_to_one_tree(ops in ops(60)) {
        run(3, ops);
    }

    #[test]
    fn five_replicas_come_to_one_tree(ops in ops(60)) {
        run(5, ops);
    }

    #[test]
    fn two_replicas_that_hardly_meet(ops in ops(40)) {
        let mut ops = ops;
        ops.iter_mut().filter(|op| op.what >= 14).for_each(|op| op.what %= 10);
        run(2, ops);
    }
}
