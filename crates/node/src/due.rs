//! What is due to be sealed, and in what order: births and doors gather a moment, and nothing overtakes them.

use crate::core::Core;
use crate::seal::{GATHER, GATHER_ALONE};
use crate::state::Space;
use crate::steps::here;
use base::{ObjectId, SpaceTag};
use object::Target;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Births that gather for longer than a few do.
const MANY: usize = 64;
/// Doors in one entry; more follow in the next.
const SLICE: usize = 8192;

/// What is about to be sealed.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) births: Vec<ObjectId>,
    pub(crate) doors: bool,
    /// Where doors are due, all changes are: which, is looked up when those are sealed.
    pub(crate) changes: Vec<u64>,
}

impl Core {
    /// What of a space is due to be sealed, and when to look again.
    pub(crate) fn due(&self, tag: &SpaceTag, now: bool) -> (Option<Due>, Duration) {
        let state = self.state.read();
        let idle = Duration::from_secs(5);
        let Some(space) = state.spaces.get(tag).filter(|s| s.writable()) else { return (None, idle) };
        let pending = &space.pending;
        let waited = pending.since.map(|since| since.elapsed());
        // Many at once become fewer and larger entries, if nobody waits for an edit meanwhile.
        let many = pending.changes.is_empty()
            && pending.births.values().filter(|newborn| newborn.is_due()).nth(MANY).is_some();
        // That many are worked off while they are made: else their maker would wait behind it afterwards.
        let gather = match many {
            true => GATHER * 4,
            false if !self.linked.load(Ordering::Relaxed) => GATHER_ALONE,
            false => GATHER,
        };
        let ripe = now || waited.is_some_and(|w| w >= gather);
        let next = waited.map_or(idle, |w| gather.saturating_sub(w).max(Duration::from_millis(1)));
        let mut due = Due::default();
        if ripe {
            due.births = pending.births.values().filter(|n| n.is_due()).map(|n| n.birth.id).collect();
            due.doors = true;
        } else if pending.changes.is_empty() || waited.is_none() || !gathers_something(space) {
            // An edit does not overtake what was made before it: it may be about that, as a reference of git is.
            let edits = changes_of_sealed(space).filter(|(_, object)| !space.is_room(object));
            due.changes = edits.map(|(n, _)| n).collect();
        }
        let nothing = due.changes.is_empty() && due.births.is_empty() && !due.doors;
        (if nothing { None } else { Some(due) }, next)
    }
}

/// The changes that wait, but for those of what is not sealed itself, with what they are of.
pub(crate) fn changes_of_sealed(space: &Space) -> impl Iterator<Item = (u64, ObjectId)> {
    let pending = &space.pending;
    let sealed = pending.changes.iter().filter(|(_, object)| !pending.births.contains_key(object));
    sealed.map(|(n, object)| (*n, *object))
}

// Whether anything that is to travel is still gathering.
fn gathers_something(space: &Space) -> bool {
    let pending = &space.pending;
    !pending.gones.is_empty()
        || pending.births.values().any(|newborn| newborn.is_due())
        || pending.doors.iter().any(|(at, door)| !door.local && !leads_to_open(space, at))
}

fn leads_to_open(space: &Space, at: &(ObjectId, base::DoorId)) -> bool {
    let door = space.view.door_state(at.0, at.1);
    let object = door.and_then(|door| here(&door.target));
    object.and_then(|object| space.pending.births.get(&object)).is_some_and(|newborn| newborn.open)
}

/// A door with what was done to it, and whether it is new.
pub(crate) type DueDoor = (base::DoorId, object::Door, Vec<object::Gone>, bool);

/// The door operations that may travel now, by room, and whether there are more: not those of this device alone, and
/// not those to newborns that must still wait.
pub(crate) fn due_doors(space: &Space) -> (BTreeMap<ObjectId, Vec<DueDoor>>, bool) {
    let waits =
        |target: &Target| here(target).is_some_and(|object| space.pending.births.contains_key(&object));
    // New doors before those passed over in their favour: half a move hides nothing.
    let adds = space.pending.doors.iter().filter(|(_, add)| !add.local).map(|(key, _)| *key);
    let gones = space.pending.gones.keys().filter(|key| !space.pending.doors.contains_key(*key)).copied();
    let keys = adds.chain(gones);
    let mut count = 0;
    let mut rooms: BTreeMap<ObjectId, Vec<DueDoor>> = BTreeMap::new();
    for (room, id) in keys {
        let Some(door) = space.view.door_state(room, id) else { continue };
        // A room that is itself still waiting cannot have changes yet.
        if waits(&door.target) || space.pending.births.contains_key(&room) {
            continue;
        }
        count += 1;
        if count > SLICE {
            return (rooms, true);
        }
        let added = space.pending.doors.contains_key(&(room, id));
        let gones = space.pending.gones.get(&(room, id)).cloned().unwrap_or_default();
        rooms.entry(room).or_default().push((id, door.clone(), gones, added));
    }
    (rooms, false)
}
