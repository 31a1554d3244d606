//! Inputs that no honest node would give, in any order, some taken back: the view is what `recompute` says of them,
//! at every step, and the order leaves no trace.

use super::world::{ROOT, believe};
use crate::view::{Born, BornKind, Clock, Delta, Door, DoorKind, Gone, Target, View, recompute};
use base::{Actor, DeviceId, DoorId, Hash, ObjectId, SpaceId};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Input {
    Born(ObjectId, Born),
    Door(ObjectId, DoorId, Door),
    Edited(ObjectId, Clock),
    Extra(ObjectId, Vec<Hash>),
    ForgetDoor(ObjectId, DoorId),
    ForgetObject(ObjectId),
}

fn object() -> impl Strategy<Value = ObjectId> {
    (0u8..7).prop_map(|n| ObjectId([n; 16]))
}

fn door_id() -> impl Strategy<Value = DoorId> {
    // Alike in their first digits.
    (0u8..6, 0u8..2).prop_map(|(n, m)| {
        let mut id = [0xaa; 16];
        (id[2], id[15]) = (m, n);
        DoorId(id)
    })
}

fn clock() -> impl Strategy<Value = Clock> {
    proptest::collection::btree_map((0u8..3).prop_map(|n| Actor([n; 16])), 1u64..4, 0..3)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |name: &'static str| Just(name.as_bytes().to_vec());
    prop_oneof![
        4 => fixed("a"), 2 => fixed("b.c"), 1 => fixed("a~aaaa"), 1 => fixed("a~aaaa0"), 1 => fixed("a~aaaa00"), 1 => fixed("b~aaaa.c"),
        1 => fixed("../x"), 1 => Just(vec![b'x'; 255]), 1 => Just(vec![b'x'; 254])
    ]
}

fn door() -> impl Strategy<Value = Door> {
    let gone =
        (clock(), proptest::option::of((object(), door_id()))).prop_map(|(clock, to)| Gone { clock, to });
    let target = (proptest::option::weighted(0.1, Just(SpaceId([1; 32]))), object());
    let kind = prop_oneof![3 => Just(DoorKind::Place), 1 => Just(DoorKind::Link)];
    (name(), target, kind, 1u64..6, 0u8..2, proptest::collection::vec(gone, 0..3)).prop_map(
        |(name, (space, object), kind, lamport, device, gone)| Door {
            name,
            target: Target { space, object },
            kind,
            at: (lamport, DeviceId([device; 32])),
            gone,
        },
    )
}

fn born() -> impl Strategy<Value = Born> {
    let kind =
        prop_oneof![3 => Just(BornKind::Room), 2 => Just(BornKind::File(0)), 1 => Just(BornKind::Link)];
    (kind, proptest::option::of((0u8..2).prop_map(|n| Hash([n; 32]))))
        .prop_map(|(kind, content)| Born { kind, content })
}

fn input() -> impl Strategy<Value = Input> {
    let hashes = proptest::collection::vec((0u8..3).prop_map(|n| Hash([n; 32])), 0..3);
    prop_oneof![
        4 => (object(), born()).prop_map(|(id, born)| Input::Born(id, born)),
        12 => (object(), door_id(), door()).prop_map(|(room, id, door)| Input::Door(room, id, door)),
        3 => (object(), clock()).prop_map(|(id, clock)| Input::Edited(id, clock)),
        1 => (object(), hashes).prop_map(|(id, versions)| Input::Extra(id, versions)),
        2 => (object(), door_id()).prop_map(|(room, id)| Input::ForgetDoor(room, id)),
        1 => object().prop_map(Input::ForgetObject),
    ]
}

fn tell(view: &mut View, input: Input, out: &mut Delta) {
    match input {
        Input::Born(id, born) => view.born(id, born, out),
        Input::Door(room, id, door) => view.door(room, id, door, out),
        Input::Edited(id, clock) => view.edited(id, &clock, out),
        Input::Extra(id, versions) => view.extra(id, versions, out),
        Input::ForgetDoor(room, id) => view.forget_door(room, id, out),
        Input::ForgetObject(id) => view.forget_object(id, out),
    }
}

// The facts of a view told to another, in another order.
fn retold(view: &View, seed: u64) -> View {
    let facts = view.facts();
    let mut inputs: Vec<Input> = facts.births.iter().map(|(id, born)| Input::Born(*id, *born)).collect();
    inputs.extend(facts.doors.iter().map(|((room, id), door)| Input::Door(*room, *id, door.clone())));
    inputs.extend(facts.clocks.iter().map(|(id, clock)| Input::Edited(*id, clock.clone())));
    inputs.extend(facts.versions.iter().map(|(id, versions)| Input::Extra(*id, versions.clone())));
    let mut order: BTreeMap<Hash, Input> = BTreeMap::new();
    for (n, input) in inputs.into_iter().enumerate() {
        order.insert(Hash::of(&[&seed.to_be_bytes(), &n.to_be_bytes()]), input);
    }
    let mut again = View::new(ROOT);
    for input in order.into_values() {
        tell(&mut again, input, &mut Delta::default());
    }
    again
}

fn never_two_places(view: &View) {
    super::world::reach(view);
    for id in (0..7).map(|n| ObjectId([n; 16])) {
        let _ = (view.path(id), view.place(id), view.links(id), view.claims(id));
        for (room, door) in view.doors_of(id) {
            assert!(view.shown_of(room, door).is_some());
        }
    }
    let _ = view.lost();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn step_by_step_and_all_at_once_say_the_same(inputs in proptest::collection::vec(input(), 1..60), seed: u64) {
        let mut view = View::new(ROOT);
        let mut cache = BTreeMap::new();
        for input in inputs {
            let mut out = Delta::default();
            tell(&mut view, input.clone(), &mut out);
            prop_assert_eq!(&view, &recompute(&view.facts()), "after {:?}", input);
            believe(&mut cache, out);
            never_two_places(&view);
            // Said twice it is no news.
            if !matches!(input, Input::ForgetDoor(..) | Input::ForgetObject(..)) {
                let mut out = Delta::default();
                tell(&mut view, input, &mut out);
                prop_assert!(out.is_empty());
            }
        }
        prop_assert_eq!(&view, &retold(&view, seed));
    }
}
