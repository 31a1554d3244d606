//! The tree view: what is where in one space.
//!
//! A room's document holds doors that are never deleted, only marked as gone; so nothing that people do at
//! once can destroy anything, and *what the tree is* becomes a question with one answer for one set of
//! doors, births and edits, in whatever order they came. [`View`] answers it and is kept up input by input;
//! [`recompute`] answers it from everything at once, in the simplest way, and must say the same.
//!
//! The view decides nothing that would have to be written. It does no I/O and keeps no clock; what a name's
//! bytes, type or size are is not known here.
//!
//! # The rules, and the corners they leave
//! 1. A door is *void* once it has a `gone` that leads nowhere, or to a door that is here.
//! 2. A file all of whose doors are void returns at its latest one, iff it has a change that none of the
//!    `gone`s of all its doors had seen. Every door of a file is a claim, whatever its kind says. Between
//!    doors of one entry the one that was not moved on in it is the later.
//! 3. Rooms have one place each; see `placing`. A room is *kept* iff any claim on it is not void or it holds
//!    anything shown; one that is not kept shows nowhere. Its claims besides the place, and its links, show as
//!    links as long as they are not void; a link whose room is no more shows on and leads nowhere, as a symlink would.
//!    What a room's own document went through never brings it back, only what it holds.
//! 4. A door shows once its target's birth is here and its own room's. The root is always here and has no
//!    place.
//! 5. Names: see `grouping` and `naming`; a guarded name is shown escaped but for doors of this device alone. An edit of either parts two files that showed once because they were
//!    equal. Another version of a file shows beside it wherever the file does.
//!
//! What a caller who removes and moves has to know: act on all of [`Shown::doors`], each with the
//! clock of its own target. A file that shows because it returned has no door but void ones: give it a
//! new door of its name before giving it one elsewhere, or the name goes. Removing a room removes all its
//! [`View::claims`], or one that lost becomes its place. And whoever makes, removes or moves names in a room claims
//! what is [`View::unsettled`] above it anew: else a room that only its last file keeps vanishes with that file, before it can be
//! removed itself, and a move out of a ring lets the claim come true that the ring held back.

mod door;
mod feed;
mod grouping;
mod naming;
mod oracle;
mod placing;
mod settle;
mod shown;
#[cfg(test)]
mod tests;

pub use door::{Clock, Door, DoorAt, DoorKind, Gone, Target};
pub use oracle::{Facts, recompute};
pub use shown::{Born, BornKind, Changed, Delta, How, Shown};

use base::{DoorId, Hash, ObjectId};
use placing::Places;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// The tree of one space.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    root: ObjectId,
    objects: BTreeMap<ObjectId, Object>,
    rooms: BTreeMap<ObjectId, Room>,
    /// For each door that a `gone` names as the new one: the doors that were moved there.
    moved: BTreeMap<DoorAt, BTreeSet<DoorAt>>,
    places: Places,
    tangled: bool,
    /// A name that only doors of this device may have; another's is shown escaped.
    guarded: Option<&'static str>,
    /// The doors of this device alone.
    own: BTreeSet<DoorAt>,
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq)]
struct Object {
    born: Option<Born>,
    clock: Clock,
    /// Versions besides the newest, sorted.
    versions: Vec<Hash>,
    /// The doors to it, in whatever room, and those to an object of this id in another space; sorted. Nearly
    /// always one, for which a set would put eleven places by.
    doors: Vec<DoorAt>,
}

impl Object {
    fn add_door(&mut self, at: DoorAt) {
        if let Err(place) = self.doors.binary_search(&at) {
            if self.doors.is_empty() {
                self.doors.reserve_exact(1);
            }
            self.doors.insert(place, at);
        }
    }

    fn remove_door(&mut self, at: &DoorAt) {
        if let Ok(place) = self.doors.binary_search(at) {
            self.doors.remove(place);
        }
    }
}

/// The doors of a room, and the names they make.
#[derive(Clone, Debug, Default, PartialEq)]
struct Room {
    doors: BTreeMap<DoorId, Held>,
    groups: BTreeMap<Arc<str>, Group>,
    /// The groups that show more than their plain name.
    crowded: BTreeSet<Arc<str>>,
    shown: BTreeMap<Arc<str>, Shown>,
    /// Those of them that are directories.
    rooms: BTreeSet<Arc<str>>,
    /// How many doors show.
    showing: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Held {
    door: Door,
    label: Arc<str>,
    mode: Option<Mode>,
}

/// How a door shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    how: How,
    returned: bool,
}

/// The showing doors of one label, sorted, and the names they have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    doors: Vec<DoorId>,
    names: Vec<Arc<str>>,
}

/// A room to be claimed anew: see [`View::unsettled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The room.
    pub room: ObjectId,
    /// Where it shows now, and where the new claim belongs.
    pub parent: ObjectId,
    /// The name of the new door.
    pub name: Vec<u8>,
    /// The doors that move to the new one: each gets a `gone` that leads there.
    pub doors: Vec<DoorAt>,
}

impl View {
    /// The view of a space of which only the root room is known.
    pub fn new(root: ObjectId) -> View {
        View {
            root,
            objects: BTreeMap::new(),
            rooms: BTreeMap::new(),
            moved: BTreeMap::new(),
            places: Places::new(),
            tangled: false,
            guarded: None,
            own: BTreeSet::new(),
        }
    }

    /// As `new`, and others' doors never have this name plain: it is one by which programs find what to do.
    pub fn guarding(root: ObjectId, name: &'static str) -> View {
        View { guarded: Some(name), ..View::new(root) }
    }

    /// The root room.
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// What a name in a room leads to.
    pub fn lookup(&self, room: ObjectId, name: &str) -> Option<&Shown> {
        self.rooms.get(&room)?.shown.get(name)
    }

    /// The names of a room, in order.
    pub fn list(&self, room: ObjectId) -> impl Iterator<Item = &Shown> {
        self.rooms.get(&room).into_iter().flat_map(|r| r.shown.values())
    }

    /// The names of a room that come after `after`, in order.
    pub fn list_from(&self, room: ObjectId, after: &str) -> impl Iterator<Item = &Shown> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.rooms
            .get(&room)
            .into_iter()
            .flat_map(move |r| r.shown.range::<str, _>(range))
            .map(|(_, shown)| shown)
    }

    /// Where a room is: the room above it and its name there. None for the root, for a room that was
    /// removed, and for one without any place.
    pub fn place(&self, room: ObjectId) -> Option<(ObjectId, String)> {
        let at = self.places.get(&room)?;
        let shown = self.shown_of(at.0, at.1)?;
        Some((at.0, shown.name.to_string()))
    }

    /// The room above a room, as `place` says it.
    pub fn above(&self, room: ObjectId) -> Option<ObjectId> {
        let at = self.places.get(&room)?;
        self.shown_of(at.0, at.1).map(|_| at.0)
    }

    /// The doors to an object that show, by room; those to an object of this id in another space too.
    pub fn doors_of(&self, object: ObjectId) -> Vec<DoorAt> {
        let Some(known) = self.objects.get(&object) else { return Vec::new() };
        known
            .doors
            .iter()
            .filter(|at| self.held(at).is_some_and(|held| held.mode.is_some()))
            .copied()
            .collect()
    }

    /// All doors to an object of this space, those included that were passed over and show no more.
    pub fn all_doors_of(&self, object: ObjectId) -> impl Iterator<Item = DoorAt> + '_ {
        let doors = self.objects.get(&object).into_iter().flat_map(|known| known.doors.iter().copied());
        doors.filter(|at| self.held(at).is_some_and(|held| held.door.target.space.is_none()))
    }

    /// The name under which a door shows.
    pub fn shown_of(&self, room: ObjectId, door: DoorId) -> Option<&Shown> {
        let inside = self.rooms.get(&room)?;
        let group = inside.groups.get(&inside.doors.get(&door)?.label)?;
        group.doors.binary_search(&door).ok()?;
        group.names.iter().filter_map(|name| inside.shown.get(name)).find(|shown| shown.doors.contains(&door))
    }

    /// A door as it was last given, whether it shows or not.
    pub fn door_state(&self, room: ObjectId, door: DoorId) -> Option<&Door> {
        self.held(&(room, door)).map(|held| &held.door)
    }

    /// The names from the root to an object: of a file's doors the earliest that can be reached. None where
    /// there is no way.
    pub fn path(&self, object: ObjectId) -> Option<Vec<String>> {
        if self.is_room(object) {
            return self.room_path(object);
        }
        let mut doors: Vec<(door::Age, DoorAt)> =
            self.doors_of(object).into_iter().filter_map(|at| Some((self.age(&at)?, at))).collect();
        doors.sort();
        doors.into_iter().find_map(|(_, at)| {
            let mut names = self.room_path(at.0)?;
            names.push(self.shown_of(at.0, at.1)?.name.to_string());
            Some(names)
        })
    }

    fn room_path(&self, room: ObjectId) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut at = room;
        while at != self.root {
            let (parent, name) = self.place(at)?;
            names.push(name);
            at = parent;
        }
        names.reverse();
        Some(names)
    }

    /// Whether a room is there: claimed by a door that was not removed, or not empty.
    pub fn is_kept(&self, room: ObjectId) -> bool {
        room == self.root
            || self.is_room(room)
                && (self.rooms.get(&room).is_some_and(|r| r.showing > 0)
                    || self.claims_on(room).any(|at| !self.is_void(&at)))
    }

    /// The claims on a room that are not void: what has to go for the room to be removed.
    pub fn claims(&self, room: ObjectId) -> Vec<DoorAt> {
        self.claims_on(room).filter(|at| !self.is_void(at)).collect()
    }

    /// The rooms on the way from `room` up to the root that are where they are only because of something else:
    /// they return although they were removed, or a later claim on them is passed over for the moment. Whoever
    /// changes names in `room` claims these anew in the same entry, or they may go elsewhere under their hands.
    pub fn unsettled(&self, room: ObjectId) -> Vec<Unsettled> {
        let mut out = Vec::new();
        let mut at = room;
        while let Some(place) = self.places.get(&at) {
            let shaky =
                self.is_void(place) || self.claims(at).iter().any(|claim| self.age(claim) > self.age(place));
            if let Some(held) = self.held(place).filter(|_| shaky) {
                let mut doors: BTreeSet<DoorAt> = self.claims(at).into_iter().collect();
                doors.insert(*place);
                let doors = doors.into_iter().collect();
                out.push(Unsettled { room: at, parent: place.0, name: held.door.name.clone(), doors });
            }
            at = place.0;
        }
        out
    }

    /// What is live and has no way to it from the root: objects without a door, rooms without a place. What is in such
    /// a room is found through it.
    pub fn lost(&self) -> Vec<ObjectId> {
        let lost = |(id, object): (&ObjectId, &Object)| {
            object.born?;
            let ways = object.doors.iter().filter(|at| self.counts(at)).count();
            let lost = match self.is_room(*id) {
                _ if *id == self.root => false,
                true if self.places.contains_key(id) => false,
                true => self.claims_on(*id).next().is_none() || self.is_kept(*id),
                false => ways == 0,
            };
            lost.then_some(*id)
        };
        self.objects.iter().filter_map(lost).collect()
    }

    /// The smallest number under which no room `name` ever had a door in `parent`. The birth of that one may be here:
    /// somebody is making it, and its door is on the way.
    pub fn next_room_n(&self, parent: ObjectId, name: impl AsRef<[u8]>) -> u64 {
        let mut n = 0;
        let had_a_door = |id| self.objects.get(&id).is_some_and(|known| !known.doors.is_empty());
        while had_a_door(ObjectId::of_room(&parent, name.as_ref(), n)) {
            n += 1;
        }
        n
    }

    /// How many names an object has (`st_nlink`).
    pub fn links(&self, object: ObjectId) -> usize {
        let names: BTreeSet<(ObjectId, &Arc<str>)> = self
            .doors_of(object)
            .into_iter()
            .filter_map(|(room, door)| Some((room, &self.shown_of(room, door)?.name)))
            .collect();
        names.len()
    }

    /// How many names of a room are rooms, here or in another space.
    pub fn rooms_in(&self, room: ObjectId) -> usize {
        self.rooms.get(&room).map_or(0, |r| r.rooms.len())
    }

    /// What an object was born as; none where its birth is not here.
    pub fn born_as(&self, object: ObjectId) -> Option<Born> {
        self.objects.get(&object)?.born
    }

    /// Whether an object is a room whose birth is here.
    pub fn is_room(&self, object: ObjectId) -> bool {
        object == self.root || self.born_as(object).is_some_and(|born| born.kind == BornKind::Room)
    }

    fn held(&self, at: &DoorAt) -> Option<&Held> {
        self.rooms.get(&at.0)?.doors.get(&at.1)
    }

    // Whether a door is here: it and its room.
    fn counts(&self, at: &DoorAt) -> bool {
        self.is_room(at.0) && self.held(at).is_some()
    }

    fn is_void(&self, at: &DoorAt) -> bool {
        self.held(at)
            .is_some_and(|held| held.door.gone.iter().any(|gone| gone.to.is_none_or(|to| self.counts(&to))))
    }

    fn age(&self, at: &DoorAt) -> Option<door::Age> {
        let held = self.held(at)?;
        let moved = held.door.gone.iter().any(|gone| gone.to.is_some_and(|to| self.counts(&to)));
        Some(door::age(at, &held.door, moved))
    }

    // The doors of kind place to a room, void or not.
    fn claims_on(&self, room: ObjectId) -> impl Iterator<Item = DoorAt> {
        let doors = self.objects.get(&room).into_iter().flat_map(|object| object.doors.iter().copied());
        doors.filter(move |at| self.is_claim(at))
    }

    fn is_claim(&self, at: &DoorAt) -> bool {
        let Some(held) = self.held(at) else { return false };
        held.door.kind == DoorKind::Place
            && self.is_room(at.0)
            && door::here(&held.door.target).is_some_and(|target| target != self.root && self.is_room(target))
    }
}
