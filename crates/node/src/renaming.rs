//! Moving names: the steps of a rename and of an exchange, and what must be claimed anew with a change of names.

use crate::core::{Core, no_object};
use crate::error::{Error, Result};
use crate::home::random_bytes;
use crate::names::{
    check_removable_room, clock_of, is_room_here, must_be_room, must_show, pass_over, place_of, remove_steps,
    same_space, writable,
};
use crate::policy::is_scratch;
use crate::retrace::Wanted;
use crate::state::{Newborn, Space};
use crate::steps::{Step, here};
use base::{DoorId, Kind, ObjectId, Oid, name};
use object::{Clock, Door, DoorKind, Gone, Type};
use space::view::{How, Shown};

impl Core {
    /// Renames; what had the new name loses it.
    pub(crate) fn rename(&self, from: Oid, old: &str, to: Oid, new: &str, no_replace: bool) -> Result<()> {
        same_space(&from, &to)?;
        let steps = self.with_space(&from.space, |space| {
            let source = must_show(space, &from.object, old)?;
            if source.version.is_some() {
                return Err(Error::refused(Kind::Invalid, "another version has no name of its own; copy it"));
            }
            writable(space)?;
            must_be_room(space, &to.object)?;
            name::check(new.as_bytes())?;
            if from == to && old == new {
                return Ok(Vec::new());
            }
            space.same_side(&source, (from.object, old), (to.object, new))?;
            let mut steps = Vec::new();
            if is_room_here(space, &source) {
                check_no_cycle(space, &source, to.object)?;
            }
            if let Some(target) = space.view.lookup(to.object, new) {
                if no_replace {
                    return Err(Error::refused(Kind::Exists, "the new name is taken"));
                }
                if target.target == source.target {
                    return Ok(Vec::new());
                }
                check_replaceable(space, &source, target)?;
                steps.extend(remove_steps(space, to.object, target));
            }
            steps.extend(self.move_steps(space, from.object, &source, to.object, new)?);
            self.settled(space, &[from.object, to.object], steps)
        })?;
        if steps.is_empty() {
            return Ok(());
        }
        self.perform(&from.space, steps)
    }

    /// Two names change places.
    pub(crate) fn exchange(&self, from: Oid, old: &str, to: Oid, new: &str) -> Result<()> {
        same_space(&from, &to)?;
        let steps = self.with_space(&from.space, |space| {
            let (one, other) = (must_show(space, &from.object, old)?, must_show(space, &to.object, new)?);
            if one.version.is_some() || other.version.is_some() {
                return Err(Error::refused(Kind::Invalid, "another version has no name of its own; copy it"));
            }
            writable(space)?;
            if one.target == other.target {
                return Ok(Vec::new());
            }
            space.same_side(&one, (from.object, old), (to.object, new))?;
            space.same_side(&other, (to.object, new), (from.object, old))?;
            for (moving, into) in [(&one, to.object), (&other, from.object)] {
                if is_room_here(space, moving) {
                    check_no_cycle(space, moving, into)?;
                }
            }
            let mut steps = self.move_steps(space, from.object, &one, to.object, new)?;
            steps.extend(self.move_steps(space, to.object, &other, from.object, old)?);
            self.settled(space, &[from.object, to.object], steps)
        })?;
        if steps.is_empty() {
            return Ok(());
        }
        self.perform(&from.space, steps)
    }

    // Moving is a new door, and the old one passed over in its favour; both halves travel together.
    pub(crate) fn move_steps(
        &self,
        space: &Space,
        from: ObjectId,
        source: &Shown,
        to: ObjectId,
        new: &str,
    ) -> Result<Vec<Step>> {
        let kind = if source.how == How::Link { DoorKind::Link } else { DoorKind::Place };
        let mut steps = Vec::new();
        // What had only a local name gets one that travels, if the new one does and it means something elsewhere.
        let special = here(&source.target).is_some_and(|object| space.is_special(&object));
        let newborn = here(&source.target).and_then(|object| space.pending.births.get(&object));
        let ruled = space.names_scratch(&to, new);
        // A temporary that takes a name that rules call scratch, as compilers do, is scratch if nobody heard of it.
        let unheard = |n: &Newborn| {
            ruled
                && n.birth.kind != Type::Room
                && !space.heads.get(&n.birth.id).is_some_and(|head| head.edited)
        };
        let newborn = newborn.filter(|newborn| newborn.local || unheard(newborn));
        let scratch = newborn.is_some() && (ruled || is_scratch(new));
        let local = special || scratch || space.stays(&to, new);
        if let Some(newborn) = newborn.filter(|newborn| newborn.local != local) {
            steps.push(Step::Born(Newborn { local, ..newborn.clone() }));
        }
        steps.extend(self.hand_over(space, from, source, to, new, (kind, local))?);
        Ok(steps)
    }

    // A new door, or the one that was there before, and all doors of a name passed over in its favour.
    pub(crate) fn hand_over(
        &self,
        space: &Space,
        from: ObjectId,
        source: &Shown,
        to: ObjectId,
        new: &str,
        (kind, local): (DoorKind, bool),
    ) -> Result<Vec<Step>> {
        let local = local || here(&source.target).is_some_and(|object| space.is_special(&object));
        let wanted = Wanted { room: to, name: new, target: source.target, kind };
        let (first, at) = match wanted.before(space, (from, &source.doors)).filter(|_| !local) {
            Some(at) => (Wanted::give_back(at), at),
            None => {
                let add = self.add_door(space, to, new, source.target, kind, local)?;
                let Step::Add { id, .. } = &add else { return Err(no_object()) };
                let at = (to, *id);
                (add, at)
            }
        };
        let mut steps = vec![first];
        for door in source.doors.iter() {
            let target = space.view.door_state(from, *door).map_or(&source.target, |d| &d.target);
            let gone = Gone { clock: clock_of(space, target), to: Some(at) };
            steps.extend(pass_over(space, from, *door, gone));
        }
        Ok(steps)
    }

    // Rooms above that are where they are only because of something else are claimed anew together
    // with a change of names in them, or they may go elsewhere under the hands of whoever makes it.
    pub(crate) fn settled(
        &self,
        space: &Space,
        rooms: &[ObjectId],
        mut steps: Vec<Step>,
    ) -> Result<Vec<Step>> {
        let mut done = std::collections::BTreeSet::new();
        // What happens in a room of this device alone concerns nobody.
        let rooms = rooms.iter().filter(|room| !space.is_local(room));
        for unsettled in rooms.flat_map(|room| space.view.unsettled(*room)) {
            if !done.insert(unsettled.room) {
                continue;
            }
            let id = DoorId(random_bytes()?);
            let door = Door {
                name: unsettled.name,
                target: place_of(unsettled.room),
                kind: DoorKind::Place,
                at: (space.logs.lamport() + 1, self.device),
                gone: Vec::new(),
            };
            let already = |room: ObjectId, door: DoorId| {
                steps.iter().any(|step| match step {
                    Step::Gone { room: r, id, .. } | Step::Cancel { room: r, id } => {
                        *r == room && *id == door
                    }
                    _ => false,
                })
            };
            let passed: Vec<Step> = unsettled
                .doors
                .iter()
                .filter(|(room, door)| !already(*room, *door))
                .flat_map(|(room, door)| {
                    let to = Some((unsettled.parent, id));
                    pass_over(space, *room, *door, Gone { clock: Clock::new(), to })
                })
                .collect();
            // All of them removed by the steps themselves: the room goes, and is not to be held.
            if !passed.is_empty() {
                steps.push(Step::Add { room: unsettled.parent, id, door, local: false });
                steps.extend(passed);
            }
        }
        Ok(steps)
    }
}

fn check_replaceable(space: &Space, source: &Shown, target: &Shown) -> Result<()> {
    match (is_room_here(space, source), is_room_here(space, target)) {
        (false, false) => Ok(()),
        (true, true) => check_removable_room(space, target),
        (true, false) => Err(Error::refused(Kind::NotRoom, "a room cannot take the name of a file")),
        (false, true) => Err(Error::refused(Kind::IsRoom, "a file cannot take the name of a room")),
    }
}

fn check_no_cycle(space: &Space, source: &Shown, to: ObjectId) -> Result<()> {
    let Some(moving) = here(&source.target) else { return Ok(()) };
    let mut at = Some(to);
    while let Some(room) = at {
        if room == moving {
            return Err(Error::refused(Kind::Invalid, "a room cannot be moved into itself"));
        }
        at = space.view.place(room).map(|(parent, _)| parent);
    }
    Ok(())
}
