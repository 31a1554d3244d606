//! Where rooms are (rule 3): one place for each, no cycles, whatever was claimed at once.

use super::door::{Age, DoorAt};
use base::ObjectId;
use std::collections::{BTreeMap, BTreeSet};

/// A claim: a door of kind place that leads to a room.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) age: Age,
    /// The door, and with it the room that would be the parent.
    pub(super) at: DoorAt,
    /// The room that is claimed.
    pub(super) target: ObjectId,
    pub(super) void: bool,
}

/// The door at which each room has its place.
pub(super) type Places = BTreeMap<ObjectId, DoorAt>;

/// Places all rooms. Answers also whether it was *tangled*: rooms whose every claim leads into themselves.
///
/// 1. The claims that are not void, the earliest first; a later one replaces an earlier, one that would make
///    a cycle is passed over.
/// 2. A room left without a place takes its latest void claim that makes no cycle.
/// 3. Removals and moves at once can leave a ring of rooms none of which has a claim that leads out
///    of its own inside. Nothing live may be hidden, so the latest claim by which any room of the
///    ring hangs on the rest of the tree counts, until all that can hang on it do.
pub(super) fn place_all(root: ObjectId, mut claims: Vec<Claim>) -> (Places, bool) {
    claims.sort_by_key(|claim| claim.age);
    let mut places = Places::new();
    for claim in claims.iter().filter(|c| !c.void) {
        if !within(&places, claim.at.0, claim.target) {
            places.insert(claim.target, claim.at);
        }
    }
    for claim in claims.iter().rev().filter(|c| c.void) {
        if !places.contains_key(&claim.target) && !within(&places, claim.at.0, claim.target) {
            places.insert(claim.target, claim.at);
        }
    }
    let claimed: BTreeSet<ObjectId> = claims.iter().map(|c| c.target).collect();
    let tangled = claimed.iter().any(|room| !places.contains_key(room));
    if tangled {
        untangle(root, &claims, &claimed, &mut places);
    }
    (places, tangled)
}

// The third step.
fn untangle(root: ObjectId, claims: &[Claim], claimed: &BTreeSet<ObjectId>, places: &mut Places) {
    loop {
        let loose = |c: &&Claim| claimed.contains(&top(places, c.target)) && top(places, c.at.0) == root;
        let Some(way) = claims.iter().rev().find(loose) else { return };
        places.insert(way.target, way.at);
    }
}

/// The last room on the way up.
pub(super) fn top(places: &Places, mut room: ObjectId) -> ObjectId {
    while let Some((parent, _)) = places.get(&room) {
        room = *parent;
    }
    room
}

// Whether `room` is `above` or somewhere in it.
fn within(places: &Places, mut room: ObjectId, above: ObjectId) -> bool {
    loop {
        if room == above {
            return true;
        }
        match places.get(&room) {
            Some((parent, _)) => room = *parent,
            None => return false,
        }
    }
}
