//! A room of home becomes a space of its own, and the door to a space finds its place in home.
//!
//! A room is copied while its owner works on in it: until the swap the room is the truth, and the
//! copy follows it. The swap looks once more, under the writer's lock, whether the room is still
//! what was copied; only then the door takes its place, in one step.

use crate::api::What;
use crate::copying::{Copies, Copying, Seen, removed, see};
use crate::core::{Core, no_object};
use crate::error::{Error, Result};
use crate::link::ToLink;
use crate::names::{must_show, remove_steps};
use crate::record::{self, Placing, SpaceRecord};
use crate::state::Space;
use base::{Kind, ObjectId, Oid, SpaceId};
use object::{DoorKind, Target};
use std::collections::BTreeMap;
use std::time::Duration;
use store::Batch;

/// How often a room is copied after while it changes.
const TRIES: usize = 20;
/// Between two tries.
const SETTLE: Duration = Duration::from_millis(25);

impl Core {
    /// Makes a room of home a space of its own, or goes on where that was left.
    pub(crate) fn room_to_space(&self, room: &Oid, path: &str) -> Result<SpaceId> {
        let begun = self.state.read().spaces.values().find(|s| from_of(s) == Some(room.object)).map(|s| s.id);
        if let Some(space) = begun {
            self.finish_placing(&space)?;
            return Ok(space);
        }
        see(&self.state.read(), room)?;
        let name = path.rsplit('/').next().unwrap_or("room").to_string();
        let made = self.new_space()?;
        let placing = Placing { path: path.to_string(), from: Some(room.object) };
        let record = SpaceRecord { id: made.id, name, home: false, unplaced: Some(placing) };
        self.adopt_space(record, &made.entries, Batch::new())?;
        self.finish_placing(&made.id)?;
        Ok(made.id)
    }

    /// Puts the doors in home that were about to be put when the node last stopped.
    pub(crate) fn finish_all_placings(&self) {
        let _sharing = self.sharing.lock();
        let open: Vec<SpaceId> =
            self.state.read().spaces.values().filter(|s| s.placing.is_some()).map(|s| s.id).collect();
        for space in open {
            if let Err(e) = self.finish_placing(&space) {
                self.problem(format!("a room could not be put in its place yet: {e}"));
            }
        }
        if let Err(e) = self.drop_used_offers() {
            self.problem(format!("an offer that was taken up could not be put away: {e}"));
        }
    }

    /// Copies what is to be copied and puts the door, unless that is done already.
    pub(crate) fn finish_placing(&self, space: &SpaceId) -> Result<()> {
        let (placing, name) = self.with_space(space, |s| Ok((s.placing.clone(), s.name.clone())))?;
        let Some(placing) = placing else { return Ok(()) };
        if !self.has_door(space) {
            match placing.from {
                Some(from) => {
                    let from = Oid { space: self.me.home, object: from };
                    let moved = self.move_room(&from, space);
                    if moved.is_err() && crate::read::place(&self.state.read(), &from).is_none() {
                        self.forget_space(space)?;
                    }
                    moved?;
                }
                None => self.put_door(space, &placing.path, &name)?,
            }
        }
        self.placed(space)
    }

    fn has_door(&self, space: &SpaceId) -> bool {
        let state = self.state.read();
        let home = state.spaces.get(&state.home);
        home.is_some_and(|home| crate::read::space_door(home, &space.root()).is_some())
    }

    // At the path, if it is free and in home; else under the nearest name that is.
    fn put_door(&self, space: &SpaceId, path: &str, name: &str) -> Result<()> {
        let _writing = self.write();
        let (room, wanted) = match path.rsplit_once('/') {
            Some((room, wanted)) if !wanted.is_empty() => (self.resolve(room), wanted),
            _ => (Ok(self.root()), name),
        };
        let room = room.ok().filter(|room| room.space == self.me.home);
        let room = room.filter(|r| self.attr(r).is_ok_and(|a| a.what == What::Room)).unwrap_or(self.root());
        let step = self.link_space(room, &self.free_name_in(&room, wanted), space)?;
        self.perform(&room.space, vec![step])
    }

    /// A name like the one wanted that is free in a room.
    pub(crate) fn free_name_in(&self, room: &Oid, wanted: &str) -> String {
        // Names that the tree keeps for itself would never be reached.
        let wanted = if matches!(wanted, ".room" | ".chorus") { "room" } else { wanted };
        let taken = |name: &str| {
            self.with_space(&room.space, |s| Ok(s.view.lookup(room.object, name).is_some())).unwrap_or(false)
        };
        let mut name = wanted.to_string();
        let mut n = 2;
        while taken(&name) {
            name = format!("{wanted}-{n}");
            n += 1;
        }
        name
    }

    fn placed(&self, id: &SpaceId) -> Result<()> {
        let record = {
            let mut state = self.state.write();
            let Some(space) = state.space_mut(id) else { return Ok(()) };
            space.placing = None;
            SpaceRecord { id: *id, name: space.name.clone(), home: space.is_home, unplaced: None }
        };
        let mut batch = Batch::new();
        batch.put(record::node_key("space", &id.tag().0), record::to_bytes(&record));
        self.store.apply(batch)?;
        self.store.sync()?;
        self.tell_link(ToLink::Refresh);
        Ok(())
    }

    // Copies the room, and again what changed in the meantime, until it holds still for the swap.
    fn move_room(&self, from: &Oid, space: &SpaceId) -> Result<()> {
        let to = Oid { space: *space, object: space.root() };
        let mut copies = BTreeMap::new();
        for _ in 0..TRIES {
            // What is sealed does not vanish under the hands of whoever still has it open.
            let sealed = self.seal_all(true);
            let seen = see(&self.state.read(), from)?;
            let copying = Copying::new(self, &from.space, &seen, &mut copies);
            match copying.run(from.object, to) {
                Ok(()) if self.swap_room(from, space, &seen, &copies)? => return Ok(()),
                Ok(()) => drop(sealed?),
                Err(e) if see(&self.state.read(), from)? == seen => return Err(e),
                Err(_) => {}
            }
            std::thread::sleep(SETTLE);
        }
        Err(Error::refused(
            Kind::Busy,
            "the room kept changing while it was copied; it is as it was and still yours alone: \
             close what is being written there and share it again",
        ))
    }

    // The old room goes and the door to the space comes under its name, at once; false if the room
    // is no longer what was copied.
    pub(crate) fn swap_room(
        &self,
        from: &Oid,
        space: &SpaceId,
        seen: &Seen,
        copies: &Copies,
    ) -> Result<bool> {
        let _writing = self.write();
        let steps = {
            let state = self.state.read();
            if see(&state, from)? != *seen {
                return Ok(false);
            }
            let home = state.space(&from.space).ok_or_else(no_object)?;
            let unsealed = |space: &Space, id: &ObjectId| {
                space.pending.births.get(id).is_some_and(|newborn| !newborn.local)
            };
            // Nor may a copy have only the one version of what is not sealed: two could write it.
            let there = state.space(space).ok_or_else(no_object)?;
            if seen.objects().any(|id| unsealed(home, id))
                || copies.values().any(|(copy, _)| unsealed(there, &copy.object))
            {
                return Ok(false);
            }
            let (parent, name) = crate::read::place(&state, from).ok_or_else(removed)?;
            let shown = must_show(home, &parent.object, &name)?;
            let mut steps = self.clear_steps(home, from.object);
            steps.extend(remove_steps(home, parent.object, &shown));
            let target = Target { space: Some(*space), object: space.root() };
            steps.push(self.add_door(home, parent.object, &name, target, DoorKind::Place, false)?);
            steps
        };
        self.perform(&from.space, steps)?;
        self.note_moved(&from.space, copies);
        Ok(true)
    }

    // A space that nobody else knows and nothing leads to: its room was removed before the swap.
    fn forget_space(&self, id: &SpaceId) -> Result<()> {
        let tag = id.tag();
        let _writing = self.write();
        self.state.write().spaces.remove(&tag);
        self.listings.all_changed();
        let mut batch = Batch::new();
        batch.remove(record::node_key("space", &tag.0));
        let mut bulk = Vec::new();
        for found in self.store.range(&record::blobs_of(&tag)) {
            bulk.push(record::from_bytes::<record::BlobRecord>(&found?.1, "blob record")?.bulk.name);
        }
        for found in self.store.range(&record::entries_of(&tag)) {
            let (key, _) = found?;
            batch.remove(record::hash_key(&base::Hash::from_slice(&key[key.len() - base::Hash::LEN..])?));
        }
        let families: [&[u8]; 13] =
            [b"c", b"o", b"r", b"i", b"g", b"m", b"k", b"l", b"b", b"pb", b"pd", b"pg", b"pc"];
        for family in families {
            for found in self.store.range(&[family, &tag.0].concat()) {
                batch.remove(found?.0);
            }
        }
        self.store.apply(batch)?;
        for name in bulk {
            let _ = self.store.bulk().remove(&name);
        }
        self.tell_link(ToLink::Refresh);
        Ok(())
    }
}

fn from_of(space: &Space) -> Option<ObjectId> {
    space.placing.as_ref().and_then(|placing| placing.from)
}
