//! What the view asks of a door: its words are `object`'s, what they mean in a tree is said here.

use base::{DeviceId, DoorId, ObjectId};

pub use object::{Clock, Door, DoorKind, Gone, Target};

/// A door's whole address: its room, and its id there.
pub type DoorAt = (ObjectId, DoorId);

/// The object of this space that a target names; none where it is another space's.
pub(super) fn here(target: &Target) -> Option<ObjectId> {
    if target.space.is_none() { Some(target.object) } else { None }
}

/// The object's id, whichever space it is in.
pub(super) fn object_of(target: &Target) -> ObjectId {
    target.object
}

/// The order of doors: lamport, device, and between doors of one entry those that were not moved on
/// in it come last, then the door's id.
pub(super) type Age = (u64, DeviceId, bool, DoorId, ObjectId);

/// Where a door stands in the order. `moved` says whether it was moved to a door that is here.
pub(super) fn age(at: &DoorAt, door: &Door, moved: bool) -> Age {
    (door.at.0, door.at.1, !moved, at.1, at.0)
}
