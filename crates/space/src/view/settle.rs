//! After an input: which doors show, and under which names. Only what the input can have touched is
//! looked at again.

use super::door::{self, DoorAt};
use super::grouping::{self, Bearer};
use super::placing::{self, Claim};
use super::shown::{BornKind, Changed, Delta, How, Shown};
use super::{Group, Held, Mode, Object, Room, View, naming};
use base::{DoorId, ObjectId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an input touched.
#[derive(Default)]
pub(super) struct Work {
    /// Objects whose doors may show otherwise now.
    pub(super) objects: BTreeSet<ObjectId>,
    /// Rooms whose claims changed, with the parents of claims that are no more.
    pub(super) claimed: BTreeMap<ObjectId, Vec<ObjectId>>,
    /// Whether all rooms have to be placed again.
    pub(super) all: bool,
    /// Doors to other spaces.
    pub(super) elsewhere: BTreeSet<DoorAt>,
    /// Labels whose names have to be told again, by room.
    pub(super) labels: BTreeMap<ObjectId, BTreeSet<Arc<str>>>,
}

impl View {
    /// Settles everything that was touched, and tells what changed.
    pub(super) fn settle(&mut self, mut work: Work, out: &mut Delta) {
        self.settle_places(&mut work);
        for at in std::mem::take(&mut work.elsewhere) {
            let mode = (self.counts(&at) && !self.is_void(&at))
                .then_some(Mode { how: How::Elsewhere, returned: false });
            self.set_mode(at, mode, &mut work);
        }
        // A room that starts or ceases to hold something may start or cease to show itself; that goes
        // up and ends at the top.
        while let Some(object) = work.objects.pop_first() {
            for (at, mode) in self.modes(object) {
                self.set_mode(at, mode, &mut work);
            }
        }
        for (room, labels) in work.labels {
            self.rename(room, labels, out);
        }
    }

    fn settle_places(&mut self, work: &mut Work) {
        let claimed = std::mem::take(&mut work.claimed);
        if claimed.is_empty() && !work.all {
            return;
        }
        let alone =
            !work.all && !self.tangled && claimed.iter().all(|(room, former)| !self.in_ring(*room, former));
        if !alone {
            let (places, tangled) = placing::place_all(self.root, self.all_claims());
            let rooms: BTreeSet<ObjectId> = self.places.keys().chain(places.keys()).copied().collect();
            work.objects.extend(rooms.into_iter().filter(|room| self.places.get(room) != places.get(room)));
            (self.places, self.tangled) = (places, tangled);
            return;
        }
        // None of these rooms can take part in a cycle, so each has its latest claim, and nobody else's place
        // depends on it.
        for room in claimed.into_keys() {
            let best =
                self.claims_on(room).filter_map(|at| Some((!self.is_void(&at), self.age(&at)?, at))).max();
            match best {
                Some((_, _, at)) => self.places.insert(room, at),
                None => self.places.remove(&room),
            };
            work.objects.insert(room);
        }
    }

    // Whether any chain of claims, void ones too, leads from a room back to itself.
    fn in_ring(&self, room: ObjectId, former: &[ObjectId]) -> bool {
        let mut seen = BTreeSet::new();
        let mut queue: Vec<ObjectId> = former.to_vec();
        queue.extend(self.claims_on(room).map(|at| at.0));
        while let Some(above) = queue.pop() {
            if above == room {
                return true;
            }
            if seen.insert(above) {
                queue.extend(self.claims_on(above).map(|at| at.0));
            }
        }
        false
    }

    fn all_claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for target in self.objects.keys() {
            for at in self.claims_on(*target) {
                let Some(age) = self.age(&at) else { continue };
                claims.push(Claim { age, at, target: *target, void: self.is_void(&at) });
            }
        }
        claims
    }

    // How each door to an object shows.
    fn modes(&self, id: ObjectId) -> Vec<(DoorAt, Option<Mode>)> {
        let Some(object) = self.objects.get(&id) else { return Vec::new() };
        let doors = || object.doors.iter().copied().filter(|at| self.leads_here(at));
        let place = |returned| Some(Mode { how: How::Place, returned });
        if object.born.is_none() && id != self.root {
            return doors().map(|at| (at, None)).collect();
        }
        if self.is_room(id) {
            let (place_at, kept) = (self.places.get(&id), self.is_kept(id));
            let mode = |at: DoorAt| match self.is_void(&at) {
                void if place_at == Some(&at) => place(void).filter(|_| kept),
                false if self.counts(&at) => Some(Mode { how: How::Link, returned: false }),
                _ => None,
            };
            return doors().map(|at| (at, mode(at))).collect();
        }
        let open: BTreeSet<DoorAt> = doors().filter(|at| self.counts(at) && !self.is_void(at)).collect();
        let back = if open.is_empty() && self.returns(object) {
            doors().filter(|at| self.counts(at)).max_by_key(|at| self.age(at))
        } else {
            None
        };
        let mode = |at: DoorAt| {
            if open.contains(&at) { place(false) } else { place(true).filter(|_| back == Some(at)) }
        };
        doors().map(|at| (at, mode(at))).collect()
    }

    fn leads_here(&self, at: &DoorAt) -> bool {
        self.held(at).is_some_and(|held| door::here(&held.door.target).is_some())
    }

    // Whether a file has a change that nobody who removed or moved any of its doors had seen.
    fn returns(&self, object: &Object) -> bool {
        let gones = || object.doors.iter().filter(|at| self.leads_here(at)).filter_map(|at| self.held(at));
        object.clock.iter().any(|(actor, seq)| {
            let seen = |held: &Held| {
                held.door.gone.iter().any(|gone| gone.clock.get(actor).is_some_and(|n| n >= seq))
            };
            !gones().any(seen)
        })
    }

    /// Shows a door otherwise, or no more.
    pub(super) fn set_mode(&mut self, at: DoorAt, mode: Option<Mode>, work: &mut Work) {
        let Some(room) = self.rooms.get_mut(&at.0) else { return };
        let Some(held) = room.doors.get_mut(&at.1) else { return };
        if held.mode == mode {
            return;
        }
        let label = held.label.clone();
        let before = std::mem::replace(&mut held.mode, mode);
        if before.is_some() != mode.is_some() {
            let group = room.groups.entry(label.clone()).or_default();
            match group.doors.binary_search(&at.1) {
                Ok(i) if mode.is_none() => drop(group.doors.remove(i)),
                Err(i) if mode.is_some() => group.doors.insert(i, at.1),
                _ => {}
            }
            let held_something = room.showing > 0;
            room.showing = if mode.is_some() { room.showing + 1 } else { room.showing.saturating_sub(1) };
            if held_something != (room.showing > 0) {
                work.objects.insert(at.0);
            }
        }
        work.labels.entry(at.0).or_default().insert(label);
    }

    // Tells the names of some labels again. A plain name that comes or goes may take a suffixed one, or free it.
    fn rename(&mut self, id: ObjectId, mut labels: BTreeSet<Arc<str>>, out: &mut Delta) {
        let Some(mut room) = self.rooms.remove(&id) else { return };
        let flips = |label: &Arc<str>| {
            let group = room.groups.get(label);
            naming::looks_suffixed(label) && group.is_some_and(|g| g.doors.is_empty() != g.names.is_empty())
        };
        if !room.crowded.is_empty() && labels.iter().any(flips) {
            labels.extend(room.crowded.iter().cloned());
        }
        let mut before: BTreeMap<Arc<str>, Shown> = BTreeMap::new();
        let mut after: BTreeMap<Arc<str>, Shown> = BTreeMap::new();
        for label in &labels {
            let Some(group) = room.groups.get_mut(label) else { continue };
            for name in std::mem::take(&mut group.names) {
                room.rooms.remove(&name);
                before.extend(room.shown.remove_entry(&name));
            }
        }
        for label in labels {
            let Some(group) = room.groups.get(&label) else { continue };
            let names = self.names(id, &room, &label, &group.doors);
            room.crowded.remove(&label);
            if names.len() > 1 {
                room.crowded.insert(label.clone());
            }
            if names.is_empty() {
                room.groups.remove(&label);
                continue;
            }
            let list: Vec<Arc<str>> = names.iter().map(|shown| shown.name.clone()).collect();
            after.extend(names.into_iter().map(|shown| (shown.name.clone(), shown)));
            room.groups.entry(label).or_insert_with(Group::default).names = list;
        }
        room.shown.extend(after.iter().map(|(name, shown)| (name.clone(), shown.clone())));
        let rooms = after.values().filter(|shown| self.is_directory(shown));
        room.rooms.extend(rooms.map(|shown| shown.name.clone()));
        self.rooms.insert(id, room);
        let names: BTreeSet<Arc<str>> = before.keys().chain(after.keys()).cloned().collect();
        for name in names {
            let (before, after) = (before.remove(&name), after.remove(&name));
            out.add(Changed { room: id, name, before, after });
        }
    }

    /// Whether a name is a room itself, not a way to one.
    pub(super) fn is_directory(&self, shown: &Shown) -> bool {
        let here = door::here(&shown.target).is_some_and(|target| self.is_room(target));
        shown.how == How::Elsewhere || shown.how == How::Place && here
    }

    /// What a group shows. `room` is given, as it may be out of the view just now.
    pub(super) fn names(&self, id: ObjectId, room: &Room, label: &str, doors: &[DoorId]) -> Vec<Shown> {
        let bearers = doors.iter().filter_map(|door| self.bearer(id, *door, &room.doors)).collect();
        grouping::names(label, bearers, |name| room.groups.get(name).is_some_and(|g| !g.doors.is_empty()))
    }

    // A door that came for another of its name and target has the name for as long as that one had it: a
    // claim that is made anew must not lose the name to whoever came in between.
    fn naming_age(&self, at: DoorAt, held: &Held, doors: &BTreeMap<DoorId, Held>) -> (door::Age, DoorId) {
        let mut eldest = (door::age(&at, &held.door, false), at.1);
        let mut seen = BTreeSet::from([at]);
        let mut queue = vec![at];
        while let Some(next) = queue.pop() {
            for from in self.moved.get(&next).into_iter().flatten().filter(|from| from.0 == at.0) {
                let Some(former) = doors.get(&from.1) else { continue };
                let same = former.label == held.label && former.door.target == held.door.target;
                if same && seen.insert(*from) {
                    eldest = eldest.min((door::age(from, &former.door, false), from.1));
                    queue.push(*from);
                }
            }
        }
        eldest
    }

    fn bearer(&self, room: ObjectId, id: DoorId, doors: &BTreeMap<DoorId, Held>) -> Option<Bearer> {
        let held = doors.get(&id)?;
        let mode = held.mode?;
        let (age, eldest) = self.naming_age((room, id), held, doors);
        let target = door::here(&held.door.target).and_then(|target| self.objects.get(&target));
        let unedited = target
            .and_then(|o| o.born.and_then(|b| grouping::unedited(b.kind, b.content, !o.clock.is_empty())));
        Some(Bearer {
            age,
            eldest,
            door: id,
            target: held.door.target,
            how: mode.how,
            returned: mode.returned,
            unedited,
            versions: target
                .filter(|o| o.born.is_some_and(|born| born.kind != BornKind::Room))
                .map(|o| o.versions.clone())
                .unwrap_or_default(),
        })
    }
}
