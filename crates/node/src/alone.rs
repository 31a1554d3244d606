//! What in a shared space is of this device alone: whatever is called `.git`, and all below it; and what the rules of a
//! room name.
//!
//! Two repositories that are merged file by file are none, and the settings of a friend's repository run programs. So a
//! path alone says whether something travels, and the border is crossed by copying, as that between spaces.

use crate::error::{Error, Result};
use crate::policy::is_repository;
use crate::state::Space;
use crate::steps::here;
use base::{Kind, ObjectId};
use space::view::Shown;

impl Space {
    /// Whether others have this space too, or could.
    pub(crate) fn is_shared(&self) -> bool {
        !self.is_home
    }

    /// Whether an object was made here and is never sent.
    pub(crate) fn is_local(&self, object: &ObjectId) -> bool {
        self.pending.births.get(object).is_some_and(|newborn| newborn.local)
    }

    /// Whether what has this name in this room stays on this device.
    pub(crate) fn stays(&self, room: &ObjectId, name: &str) -> bool {
        self.is_local(room) || self.is_shared() && is_repository(name)
    }

    /// Whether a room made under this name stays on this device with all that is made in it; or a file, as long as it
    /// is called so.
    pub(crate) fn stays_as_room(&self, room: &ObjectId, name: &str) -> bool {
        self.stays(room, name) || self.names_scratch(room, name)
    }

    /// Whether an object has a name that stays on this device.
    fn has_staying_name(&self, object: ObjectId) -> bool {
        self.view.doors_of(object).into_iter().any(|(room, door)| {
            self.view.shown_of(room, door).is_some_and(|shown| self.stays(&room, &shown.name))
        })
    }

    /// Refuses to move a name across the border. What is in a room of this device alone stays so, whatever the room
    /// is called next.
    pub(crate) fn same_side(
        &self,
        source: &Shown,
        from: (ObjectId, &str),
        to: (ObjectId, &str),
    ) -> Result<()> {
        let local_room = here(&source.target).is_some_and(|room| self.is_room(&room) && self.is_local(&room));
        let across = self.stays(&from.0, from.1) != self.stays(&to.0, to.1);
        if across || local_room && !self.stays_as_room(&to.0, to.1) { Err(crosses()) } else { Ok(()) }
    }

    /// Refuses to give an object names on both sides of the border.
    pub(crate) fn may_be_linked(&self, object: ObjectId, to: (ObjectId, &str)) -> Result<()> {
        if self.has_staying_name(object) == self.stays(&to.0, to.1) { Ok(()) } else { Err(crosses()) }
    }
}

fn crosses() -> Error {
    Error::refused(
        Kind::CrossSpace,
        "what is in .git, or in a room of a scratch name, stays on this device; what is to be shared is copied out \
         of it",
    )
}
