//! Making, moving and removing names. Each works out the steps; `steps` performs them.

use crate::core::{Core, new_object, no_object, no_space};
use crate::error::{Error, Result};
use crate::home::random_bytes;
use crate::retrace::Wanted;
use crate::state::{Newborn, Space};
use crate::steps::{Step, here};
use base::{DoorId, Kind, ObjectId, Oid, SpaceId, name};
use object::{Birth, Clock, Content, Door, DoorKind, Gone, Meta, Target, Type};
use space::view::{How, Shown};

impl Core {
    /// Makes an empty file that is not yet anything to anyone else: until it is saved or settled
    /// it is only in memory, and until it is sealed it can vanish without a trace.
    pub(crate) fn create(&self, room: Oid, name: &str, perm: u16, local: bool) -> Result<Oid> {
        let meta = Meta { perm: Some(perm & 0o777), ..Meta::default() };
        let birth = Birth { id: new_object()?, kind: Type::Text, meta, content: Content::Bytes(Vec::new()) };
        self.give_birth(room, name, birth, true, local)
    }

    /// Makes a room.
    pub(crate) fn mkdir(&self, room: Oid, name: &str) -> Result<Oid> {
        self.mkdir_as(room, name, false)
    }

    /// Makes a room; a local one is never sent, nor what is made in it.
    pub(crate) fn mkdir_as(&self, room: Oid, name: &str, local: bool) -> Result<Oid> {
        let n =
            self.with_space(&room.space, |space| Ok(space.view.next_room_n(room.object, name.as_bytes())))?;
        // Rooms of one name are one room; one of this device alone is nobody else's.
        let stays = self.with_space(&room.space, |space| Ok(space.stays_as_room(&room.object, name)))?;
        let id =
            if local || stays { new_object()? } else { ObjectId::of_room(&room.object, name.as_bytes(), n) };
        let birth = Birth { id, kind: Type::Room, meta: Meta::default(), content: Content::Empty };
        self.give_birth(room, name, birth, false, local)
    }

    /// Makes a symlink.
    pub(crate) fn symlink(&self, room: Oid, name: &str, target: &[u8]) -> Result<Oid> {
        if target.len() > base::limit::LINK_BYTES {
            return Err(Error::refused(Kind::NameTooLong, "the link's text is too long"));
        }
        let content = Content::Bytes(target.to_vec());
        let birth = Birth { id: new_object()?, kind: Type::Link, meta: Meta::default(), content };
        self.give_birth(room, name, birth, false, false)
    }

    pub(crate) fn give_birth(
        &self,
        room: Oid,
        name: &str,
        birth: Birth,
        open: bool,
        local: bool,
    ) -> Result<Oid> {
        let id = birth.id;
        let (steps, local) = self.with_space(&room.space, |space| {
            free_name(space, &room.object, name)?;
            let local = local || space.stays_as_room(&room.object, name);
            let newborn = Newborn { birth, bulk: None, local, open, stored: false };
            // A room that somebody makes at this moment may be here already but for its door: it is the same one.
            let here = space.view.is_room(id) && space.heads.contains_key(&id);
            let mut steps: Vec<Step> = (!here).then_some(Step::Born(newborn)).into_iter().collect();
            steps.push(self.add_door(space, room.object, name, place_of(id), DoorKind::Place, local)?);
            Ok((self.settled(space, &[room.object], steps)?, local))
        })?;
        self.perform(&room.space, steps)?;
        let oid = Oid { space: room.space, object: id };
        if local && !open {
            self.keep_local(&oid)?;
        }
        Ok(oid)
    }

    /// Puts another door to an object.
    pub(crate) fn link(&self, oid: Oid, room: Oid, name: &str) -> Result<()> {
        same_space(&oid, &room)?;
        let steps = self.with_space(&room.space, |space| {
            free_name(space, &room.object, name)?;
            if !space.heads.contains_key(&oid.object) {
                return Err(no_object());
            }
            if space.is_room(&oid.object) {
                return Err(Error::refused(Kind::Denied, "a room has one place; make a symlink to it"));
            }
            space.may_be_linked(oid.object, (room.object, name))?;
            let mut steps = Vec::new();
            for (in_room, door) in space.view.doors_of(oid.object) {
                // A file that shows only because it returned gets a door that holds it where it is.
                if let Some(shown) =
                    space.view.shown_of(in_room, door).filter(|s| s.returned && s.door == door)
                {
                    let kind = DoorKind::Place;
                    let name = shown.name.to_string();
                    steps.extend(self.hand_over(space, in_room, shown, in_room, &name, (kind, false))?);
                }
            }
            let local = space.is_special(&oid.object) || space.stays(&room.object, name);
            let target = place_of(oid.object);
            let kind = DoorKind::Place;
            let wanted = Wanted { room: room.object, name, target, kind };
            steps.push(match wanted.before(space, (room.object, &[])).filter(|_| !local) {
                Some(at) => Wanted::give_back(at),
                None => self.add_door(space, room.object, name, target, kind, local)?,
            });
            self.settled(space, &[room.object], steps)
        })?;
        self.perform(&room.space, steps)
    }

    /// Puts a door to another space in home.
    pub(crate) fn link_space(&self, room: Oid, name: &str, to: &SpaceId) -> Result<Step> {
        self.with_space(&room.space, |space| {
            free_name(space, &room.object, name)?;
            let target = Target { space: Some(*to), object: to.root() };
            self.add_door(space, room.object, name, target, DoorKind::Place, false)
        })
    }

    /// Removes a name that leads to a file or link.
    pub(crate) fn unlink(&self, room: Oid, name: &str) -> Result<()> {
        let (steps, last) = self.with_space(&room.space, |space| {
            let shown = must_show(space, &room.object, name)?;
            writable(space)?;
            if is_room_here(space, &shown) {
                return Err(Error::refused(Kind::IsRoom, "a room is removed by rmdir"));
            }
            let steps = self.settled(space, &[room.object], remove_steps(space, room.object, &shown))?;
            Ok((steps, last_door(space, room.object, &shown)))
        })?;
        self.perform(&room.space, steps)?;
        if let (Some(object), Some(space)) = (last, self.state.write().space_mut(&room.space))
            && space.heads.contains_key(&object)
        {
            space.unlinked.insert(object);
        }
        Ok(())
    }

    /// Removes an empty room.
    pub(crate) fn rmdir(&self, room: Oid, name: &str) -> Result<()> {
        let steps = self.with_space(&room.space, |space| {
            let shown = must_show(space, &room.object, name)?;
            writable(space)?;
            check_removable_room(space, &shown)?;
            let mut steps = remove_steps(space, room.object, &shown);
            // Claims on the room that lost would otherwise become its place.
            for (in_room, id) in here(&shown.target).map(|r| space.view.claims(r)).unwrap_or_default() {
                if !(in_room == room.object && shown.doors.contains(&id)) {
                    steps.extend(pass_over(space, in_room, id, Gone { clock: Clock::new(), to: None }));
                }
            }
            self.settled(space, &[room.object], steps)
        })?;
        self.perform(&room.space, steps)
    }

    /// The steps that remove everything shown under a room, the room's own name excepted.
    pub(crate) fn clear_steps(&self, space: &Space, room: ObjectId) -> Vec<Step> {
        let mut steps = Vec::new();
        for shown in space.view.list(room) {
            if let (Some(object), true) = (here(&shown.target), is_room_here(space, shown)) {
                steps.extend(self.clear_steps(space, object));
            }
            steps.extend(remove_steps(space, room, shown));
        }
        steps
    }

    /// The step that puts a new door.
    pub(crate) fn add_door(
        &self,
        space: &Space,
        room: ObjectId,
        name: &str,
        target: Target,
        kind: DoorKind,
        local: bool,
    ) -> Result<Step> {
        let id = DoorId(random_bytes()?);
        // Provisional: the lamport is settled when the door is sealed, and never gets smaller.
        let at = (space.logs.lamport() + 1, self.device);
        let door = Door { name: name.as_bytes().to_vec(), target, kind, at, gone: Vec::new() };
        Ok(Step::Add { room, id, door, local })
    }

    pub(crate) fn with_space<T>(&self, id: &SpaceId, look: impl FnOnce(&Space) -> Result<T>) -> Result<T> {
        let state = self.state.read();
        look(state.space(id).ok_or_else(|| no_space(id))?)
    }
}

pub(crate) fn place_of(object: ObjectId) -> Target {
    Target { space: None, object }
}

pub(crate) fn same_space(a: &Oid, b: &Oid) -> Result<()> {
    if a.space == b.space {
        Ok(())
    } else {
        Err(Error::refused(Kind::CrossSpace, "moving between spaces is copying"))
    }
}

/// Refuses where I may not write.
pub(crate) fn writable(space: &Space) -> Result<()> {
    if space.writable() {
        Ok(())
    } else {
        Err(Error::refused(Kind::ReadOnly, "your role in this space is to read"))
    }
}

/// Refuses what is no room of this space.
pub(crate) fn must_be_room(space: &Space, room: &ObjectId) -> Result<()> {
    if space.is_room(room) {
        Ok(())
    } else if space.heads.contains_key(room) {
        Err(Error::refused(Kind::NotRoom, "not a room"))
    } else {
        Err(no_object())
    }
}

fn free_name(space: &Space, room: &ObjectId, name: &str) -> Result<()> {
    must_be_room(space, room)?;
    name::check(name.as_bytes())?;
    if space.view.lookup(*room, name).is_some() {
        return Err(Error::refused(Kind::Exists, "the name is taken"));
    }
    writable(space)
}

pub(crate) fn must_show(space: &Space, room: &ObjectId, name: &str) -> Result<Shown> {
    must_be_room(space, room)?;
    match space.view.lookup(*room, name) {
        Some(shown) => Ok(shown.clone()),
        None => Err(Error::refused(Kind::NotFound, "no such name")),
    }
}

/// Whether a name is a directory: a room in its place.
pub(crate) fn is_room_here(space: &Space, shown: &Shown) -> bool {
    match here(&shown.target) {
        Some(object) => shown.how != How::Link && space.is_room(&object),
        None => true,
    }
}

pub(crate) fn check_removable_room(space: &Space, shown: &Shown) -> Result<()> {
    match here(&shown.target) {
        None => {
            Err(Error::refused(Kind::Busy, "a shared room is left, not removed: its friends still have it"))
        }
        Some(_) if !is_room_here(space, shown) => Err(Error::refused(Kind::NotRoom, "not a room")),
        Some(object) if space.view.list(object).next().is_some() => {
            Err(Error::refused(Kind::NotEmpty, "the room still holds something"))
        }
        Some(_) => Ok(()),
    }
}

// A door that was never sent just disappears; whatever was moved to it is moved on, or removed, instead.
pub(crate) fn pass_over(space: &Space, room: ObjectId, id: DoorId, gone: Gone) -> Vec<Step> {
    if !space.pending.doors.contains_key(&(room, id)) {
        return vec![Step::Gone { room, id, gone }];
    }
    let moved_here =
        space.pending.gones.iter().filter(|(_, gones)| gones.iter().any(|g| g.to == Some((room, id))));
    let redirect = |((from, door), _): (&(ObjectId, DoorId), _)| Step::Redirect {
        room: *from,
        id: *door,
        was: (room, id),
        gone: gone.clone(),
    };
    let mut steps: Vec<Step> = moved_here.map(redirect).collect();
    steps.push(Step::Cancel { room, id });
    steps
}

/// The changes of an object that somebody who removes it has seen.
pub(crate) fn clock_of(space: &Space, target: &Target) -> Clock {
    match here(target) {
        Some(object) if !space.is_room(&object) => {
            space.heads.get(&object).map(|head| head.clock.clone()).unwrap_or_default()
        }
        _ => Clock::new(),
    }
}

// If this name is the last way to the object: the object.
fn last_door(space: &Space, room: ObjectId, shown: &Shown) -> Option<ObjectId> {
    let object = here(&shown.target)?;
    let others = space
        .view
        .doors_of(object)
        .into_iter()
        .filter(|(r, id)| !(*r == room && shown.doors.contains(id)))
        .filter(|(r, id)| space.view.door_state(*r, *id).is_some_and(|d| d.gone.is_empty()))
        .count();
    (others == 0).then_some(object)
}

/// The steps that remove a name: all doors that act together under it.
pub(crate) fn remove_steps(space: &Space, room: ObjectId, shown: &Shown) -> Vec<Step> {
    let mut steps: Vec<Step> = shown
        .doors
        .iter()
        .flat_map(|door| {
            let target = space.view.door_state(room, *door).map_or(&shown.target, |d| &d.target);
            pass_over(space, room, *door, Gone { clock: clock_of(space, target), to: None })
        })
        .collect();
    let Some(object) = last_door(space, room, shown) else { return steps };
    if space.pending.births.contains_key(&object) {
        steps.push(Step::Forget(object));
    } else if steps.iter().all(|step| matches!(step, Step::Cancel { .. })) {
        // Nothing of these doors is left to say what whoever removes the object has seen of it: another
        // door says so, or the edits since that one was passed over would bring the object back.
        let sealed = |at: &(ObjectId, DoorId)| !space.pending.doors.contains_key(at);
        let other = space.view.all_doors_of(object).find(sealed);
        let clock = clock_of(space, &place_of(object));
        steps.extend(other.map(|(room, id)| Step::Gone { room, id, gone: Gone { clock, to: None } }));
    }
    steps
}
