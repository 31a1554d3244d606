//! Changes of names that lead back to where they began: as long as nobody was told, nothing is left of either.
//!
//! A name that is given back is the door that had it, no longer passed over, and not another one. That is so only
//! where nobody else has passed that door over, or placed its room elsewhere, meanwhile.

use crate::state::Space;
use crate::steps::{Step, here};
use base::{DoorId, ObjectId};
use object::{Door, DoorKind, Target};

/// What a name is to become: in which room, called how, leading where, in which way.
pub(crate) struct Wanted<'a> {
    pub(crate) room: ObjectId,
    pub(crate) name: &'a str,
    pub(crate) target: Target,
    pub(crate) kind: DoorKind,
}

impl Wanted<'_> {
    /// The door that is as it is wanted but for one passing-over, which is not sealed yet. The doors `leaving` one
    /// room give way to it.
    pub(crate) fn before(&self, space: &Space, leaving: (ObjectId, &[DoorId])) -> Option<(ObjectId, DoorId)> {
        // By what it leads to, which has few doors: a room can have thousands whose names are being moved.
        let object = here(&self.target)?;
        let mut doors = space.view.all_doors_of(object).filter(|at| at.0 == self.room);
        let at = doors.find(|at| {
            let unsealed = space.pending.gones.get(at).filter(|gones| gones.len() == 1);
            let door = space.view.door_state(at.0, at.1);
            unsealed.zip(door).is_some_and(|(gones, door)| door.gone == *gones && self.is(door))
        })?;
        (!self.is_contested(space, leaving)).then_some(at)
    }

    /// The step that gives such a door its name back.
    pub(crate) fn give_back((room, id): (ObjectId, DoorId)) -> Step {
        Step::Ungone { room, id }
    }

    fn is(&self, door: &Door) -> bool {
        door.name == self.name.as_bytes() && door.target == self.target && door.kind == self.kind
    }

    // Of several claims on a room the latest counts: an older door does not do what a new one does.
    fn is_contested(&self, space: &Space, (from, doors): (ObjectId, &[DoorId])) -> bool {
        let Some(object) = here(&self.target).filter(|object| space.is_room(object)) else { return false };
        space.view.claims(object).iter().any(|(room, id)| *room != from || !doors.contains(id))
    }
}
