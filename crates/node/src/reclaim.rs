//! Names that a process emptied and fills again: what had the name gets it back, and goes on.
//!
//! It gets back all of it. A file of the same name that stood beside it slips into a name that is empty; what
//! returns was there before that one, and stays so, whether or not anybody was told meanwhile.

use crate::core::{Core, no_object};
use crate::error::Result;
use crate::names::{clock_of, must_be_room, must_show, place_of, same_space, writable};
use crate::state::{Newborn, Space};
use crate::steps::{Step, here};
use base::{DoorId, ObjectId, Oid, name};
use object::{DoorKind, Gone};

impl Core {
    /// After `rename F F~`, when the same process makes F anew: F's object goes on under F, and F~
    /// becomes a file of this device alone with the old content. Returns the backup.
    pub(crate) fn reclaim_renamed(
        &self,
        room: Oid,
        name: &str,
        moved: (Oid, &str),
        old: Newborn,
    ) -> Result<Oid> {
        let backup = old.birth.id;
        let steps = self.with_space(&room.space, |space| {
            must_be_room(space, &room.object)?;
            writable(space)?;
            let shown = must_show(space, &moved.0.object, moved.1)?;
            let mut steps = Vec::new();
            for door in shown.doors.iter() {
                let at = (moved.0.object, *door);
                if !space.pending.doors.contains_key(&at) {
                    continue;
                }
                // The door that it was moved from may be of an earlier name yet, to which it does not return.
                let origin = space.pending.gones.iter().find_map(|(origin, gones)| {
                    let moved = gones.last().is_some_and(|g| g.to == Some(at));
                    (moved && is_named(space, origin, room.object, name)).then_some(*origin)
                });
                if let Some((room, id)) = origin {
                    steps.push(Step::Ungone { room, id });
                    steps.push(Step::Cancel { room: at.0, id: at.1 });
                }
            }
            if steps.is_empty() {
                steps = self.move_steps(space, moved.0.object, &shown, room.object, name)?;
                if let Some(object) = here(&shown.target) {
                    let came = |gone: &Gone| {
                        gone.to.is_some_and(|to| to.0 == moved.0.object && shown.doors.contains(&to.1))
                    };
                    steps.extend(inherits(space, object, (room.object, name), &steps, came));
                }
            }
            steps.push(Step::Born(old));
            let backup = place_of(backup);
            steps.push(self.add_door(space, moved.0.object, moved.1, backup, DoorKind::Place, true)?);
            self.settled(space, &[room.object], steps)
        })?;
        self.perform(&room.space, steps)?;
        Ok(Oid { space: room.space, object: backup })
    }

    /// After `unlink F`, when the same process makes F anew: F's object goes on.
    pub(crate) fn reclaim_unlinked(&self, room: Oid, name: &str, oid: Oid) -> Result<()> {
        same_space(&room, &oid)?;
        let steps = self.with_space(&room.space, |space| {
            must_be_room(space, &room.object)?;
            name::check(name.as_bytes())?;
            writable(space)?;
            // Somebody else may have brought it back.
            let mut shown = space.view.doors_of(oid.object).into_iter();
            if shown.any(|at| is_named(space, &at, room.object, name))
                || !space.heads.contains_key(&oid.object)
            {
                return Err(no_object());
            }
            let pending = space.pending.gones.iter().find(|(at, gones)| {
                gones.last().is_some_and(|g| g.to.is_none())
                    && leads_to(space, at, oid.object)
                    && is_named(space, at, room.object, name)
            });
            if let Some(((room, id), _)) = pending {
                return Ok(vec![Step::Ungone { room: *room, id: *id }]);
            }
            let door =
                self.add_door(space, room.object, name, place_of(oid.object), DoorKind::Place, false)?;
            let mut steps = vec![door];
            steps.extend(inherits(space, oid.object, (room.object, name), &steps, |gone| gone.to.is_none()));
            Ok(steps)
        })?;
        self.perform(&room.space, steps)
    }
}

// The object's former doors of that name, whose leaving was told already, are passed over in favour of the new one
// too: it comes for them, and has the name since they had it.
fn inherits(
    space: &Space,
    object: ObjectId,
    (room, name): (ObjectId, &str),
    steps: &[Step],
    left: impl Fn(&Gone) -> bool,
) -> Vec<Step> {
    let added = steps.iter().find_map(|step| match step {
        Step::Add { room: at, id, door, .. } if *at == room && door.name == name.as_bytes() => {
            Some((*at, *id))
        }
        _ => None,
    });
    let Some(new) = added else { return Vec::new() };
    let former = space.view.all_doors_of(object).filter(|at| {
        let left = || space.view.door_state(at.0, at.1).is_some_and(|door| door.gone.iter().any(&left));
        is_named(space, at, room, name) && !space.pending.doors.contains_key(at) && left()
    });
    let clock = clock_of(space, &place_of(object));
    former
        .map(|(room, id)| Step::Gone { room, id, gone: Gone { clock: clock.clone(), to: Some(new) } })
        .collect()
}

fn leads_to(space: &Space, at: &(ObjectId, DoorId), object: ObjectId) -> bool {
    space.view.door_state(at.0, at.1).is_some_and(|door| door.target == place_of(object))
}

fn is_named(space: &Space, at: &(ObjectId, DoorId), room: ObjectId, name: &str) -> bool {
    at.0 == room && space.view.door_state(at.0, at.1).is_some_and(|door| door.name == name.as_bytes())
}
