//! What the view is told: births, edits, doors. Any order will do; each input says the whole state of the
//! thing it is about, and saying it twice changes nothing.

use super::door::{self, Clock, Door, DoorAt};
use super::grouping;
use super::settle::Work;
use super::shown::{Born, BornKind, Delta};
use super::{Held, Object, View};
use base::{DoorId, Hash, ObjectId};

impl View {
    /// An object's birth is here, or a newborn was made anew with other content.
    pub fn born(&mut self, id: ObjectId, what: Born, out: &mut Delta) {
        let was_room = self.is_room(id);
        if self.objects.entry(id).or_default().born.replace(what) == Some(what) {
            return;
        }
        let mut work = Work::default();
        self.reconsider(id, was_room, &mut work);
        self.settle(work, out);
    }

    /// Somebody changed an object: its clock as it is now.
    pub fn edited(&mut self, id: ObjectId, clock: &Clock, out: &mut Delta) {
        let object = self.objects.entry(id).or_default();
        let fresh = object.clock.is_empty() && !clock.is_empty();
        let mut grew = false;
        for (actor, seq) in clock {
            let known = object.clock.entry(*actor).or_default();
            grew |= *seq > *known;
            *known = (*known).max(*seq);
        }
        let mut work = Work::default();
        if fresh {
            self.relabel(id, &mut work);
        }
        if grew {
            work.objects.insert(id);
        }
        self.settle(work, out);
        self.prune(id);
    }

    /// The versions of an object besides the one that has its name.
    pub fn extra(&mut self, id: ObjectId, mut versions: Vec<Hash>, out: &mut Delta) {
        versions.sort();
        versions.dedup();
        let object = self.objects.entry(id).or_default();
        if object.versions != versions {
            object.versions = versions;
            let mut work = Work::default();
            self.relabel(id, &mut work);
            self.settle(work, out);
        }
        self.prune(id);
    }

    /// A door is here, or is not what it was: its whole state.
    pub fn door(&mut self, room: ObjectId, id: DoorId, mut door: Door, out: &mut Delta) {
        door.gone.sort();
        door.gone.dedup();
        let at = (room, id);
        let mut work = Work::default();
        match self.held(&at) {
            Some(held) if held.door == door => return,
            Some(held)
                if (&held.door.name, held.door.target, held.door.kind)
                    != (&door.name, door.target, door.kind) =>
            {
                self.take_out(at, &mut work);
            }
            _ => {}
        }
        self.put_in(at, door, &mut work);
        self.settle(work, out);
    }

    /// A door of this device alone, that nobody else will ever hear of: it may have a guarded name.
    pub fn own_door(&mut self, room: ObjectId, id: DoorId, door: Door, out: &mut Delta) {
        self.own.insert((room, id));
        self.door(room, id, door, out);
    }

    /// A door that was never sent was never there.
    pub fn forget_door(&mut self, room: ObjectId, id: DoorId, out: &mut Delta) {
        let mut work = Work::default();
        self.take_out((room, id), &mut work);
        self.own.remove(&(room, id));
        self.settle(work, out);
        if self.rooms.get(&room).is_some_and(|r| r.doors.is_empty()) {
            self.rooms.remove(&room);
        }
    }

    /// An object that was never sent was never born.
    pub fn forget_object(&mut self, id: ObjectId, out: &mut Delta) {
        let was_room = self.is_room(id);
        let Some(object) = self.objects.get_mut(&id) else { return };
        *object = Object { doors: std::mem::take(&mut object.doors), ..Object::default() };
        let mut work = Work::default();
        self.reconsider(id, was_room, &mut work);
        self.settle(work, out);
        self.prune(id);
    }

    // Keeps no record of objects that nothing is known of.
    fn prune(&mut self, id: ObjectId) {
        if self.objects.get(&id) == Some(&Object::default()) {
            self.objects.remove(&id);
        }
    }

    // After a birth: the doors to it, and where it is a room now or no more, its own doors.
    fn reconsider(&self, id: ObjectId, was_room: bool, work: &mut Work) {
        work.objects.insert(id);
        self.relabel(id, work);
        let is_room = self.is_room(id);
        if was_room == is_room {
            return;
        }
        let inside: Vec<DoorAt> =
            self.rooms.get(&id).into_iter().flat_map(|r| r.doors.keys().map(|door| (id, *door))).collect();
        let doors = self.objects.get(&id).map(|o| o.doors.len()).unwrap_or_default();
        // Claims that ceased to be some may have been in any ring.
        work.all |= was_room && !(inside.is_empty() && doors == 0);
        if self.objects.get(&id).is_some_and(|o| !o.doors.is_empty()) {
            work.claimed.entry(id).or_default();
        }
        for at in inside {
            self.touch(&at, work);
            self.touch_moved(&at, work);
        }
    }

    // A door came, went or changed.
    fn touch(&self, at: &DoorAt, work: &mut Work) {
        let Some(held) = self.held(at) else { return };
        let Some(target) = door::here(&held.door.target) else {
            work.elsewhere.insert(*at);
            return;
        };
        work.objects.insert(target);
        if self.is_claim(at) {
            work.claimed.entry(target).or_default();
        }
    }

    // The doors that were moved to this one are void only while it is here.
    fn touch_moved(&self, to: &DoorAt, work: &mut Work) {
        for at in self.moved.get(to).into_iter().flatten() {
            self.touch(at, work);
        }
    }

    // The names of all showing doors to an object have to be told again.
    fn relabel(&self, id: ObjectId, work: &mut Work) {
        for at in self.doors_of(id) {
            self.relabel_door(&at, work);
        }
    }

    fn relabel_door(&self, at: &DoorAt, work: &mut Work) {
        if let Some(held) = self.held(at).filter(|held| held.mode.is_some()) {
            work.labels.entry(at.0).or_default().insert(held.label.clone());
        }
    }

    // A door for which another of its room was passed over, by that one's age.
    fn relabel_heir(&self, at: &DoorAt, to: &DoorAt, work: &mut Work) {
        if let Some(held) = self.held(to).filter(|_| at.0 == to.0) {
            work.labels.entry(to.0).or_default().insert(held.label.clone());
        }
    }

    fn put_in(&mut self, at: DoorAt, door: Door, work: &mut Work) {
        self.objects.entry(door::object_of(&door.target)).or_default().add_door(at);
        for to in door.gone.iter().filter_map(|gone| gone.to) {
            self.moved.entry(to).or_default().insert(at);
            self.relabel_heir(&at, &to, work);
        }
        let guarded = self.guarded.filter(|_| !self.own.contains(&at));
        let doors = &mut self.rooms.entry(at.0).or_default().doors;
        match doors.get_mut(&at.1) {
            Some(held) => {
                let before = std::mem::replace(&mut held.door, door);
                self.unmove(at, &before, work);
                self.relabel_door(&at, work);
            }
            None => {
                doors.insert(at.1, Held { label: grouping::label(&door, guarded), door, mode: None });
                self.touch_moved(&at, work);
            }
        }
        self.touch(&at, work);
    }

    fn take_out(&mut self, at: DoorAt, work: &mut Work) {
        self.touch(&at, work);
        let claimed =
            self.held(&at).and_then(|held| door::here(&held.door.target)).filter(|_| self.is_claim(&at));
        if let Some(target) = claimed {
            work.claimed.entry(target).or_default().push(at.0);
        }
        work.elsewhere.remove(&at);
        self.touch_moved(&at, work);
        self.set_mode(at, None, work);
        let Some(held) = self.rooms.get_mut(&at.0).and_then(|room| room.doors.remove(&at.1)) else { return };
        self.unmove(at, &held.door, work);
        let target = door::object_of(&held.door.target);
        if let Some(object) = self.objects.get_mut(&target) {
            object.remove_door(&at);
        }
        self.prune(target);
    }

    // Drops what a former state of a door, or a door that is no more, said it was moved to.
    fn unmove(&mut self, at: DoorAt, before: &Door, work: &mut Work) {
        for to in before.gone.iter().filter_map(|gone| gone.to) {
            self.relabel_heir(&at, &to, work);
            let still =
                self.held(&at).is_some_and(|held| held.door.gone.iter().any(|gone| gone.to == Some(to)));
            if still {
                continue;
            }
            if let Some(from) = self.moved.get_mut(&to) {
                from.remove(&at);
                if from.is_empty() {
                    self.moved.remove(&to);
                }
            }
        }
    }

    /// Whether an object is known to be a file: born, and no room.
    pub fn is_file(&self, object: ObjectId) -> bool {
        self.born_as(object).is_some_and(|born| born.kind != BornKind::Room)
    }
}
