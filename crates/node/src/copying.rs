//! Copying a room of home into a space: what the room holds at one moment, and passes that bring the
//! copy to it. What a pass finds done already it leaves; what does not belong there it removes.

use crate::api::{Body, NewContent, Target as Leads, What};
use crate::core::{Core, no_object};
use crate::error::{During, Error, Result};
use crate::names::{is_room_here, must_show, remove_steps};
use crate::state::{Space, State};
use crate::steps::here;
use base::{Kind, ObjectId, Oid, SpaceId};
use object::{DoorKind, Meta, MetaEdit, Target};
use space::view::How;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where a name of a room leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leading {
    Room(ObjectId),
    File(ObjectId),
    LinkTo(ObjectId),
}

/// What of an object changes whenever the object does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    kind: object::Type,
    heads: object::Heads,
    content: Option<base::Hash>,
    size: u64,
    mtime: i64,
    perm: u16,
    local: bool,
    // Of what is not sealed: the file that holds it, and its attributes.
    bulk: Option<[u8; 16]>,
    meta: Option<Meta>,
}

/// A room and everything below it, as it was at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    names: BTreeMap<ObjectId, BTreeMap<String, Leading>>,
    stamps: BTreeMap<ObjectId, Stamp>,
}

impl Seen {
    /// Every object in it.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectId> {
        self.stamps.keys()
    }
}

/// The copy of each room and file, and what a file was when its content was brought over.
pub(crate) type Copies = BTreeMap<ObjectId, (Oid, Option<Stamp>)>;

/// An error for a room that is no more.
pub(crate) fn removed() -> Error {
    Error::refused(Kind::NotFound, "the room was removed before it was shared; nothing is shared")
}

/// What a room of home holds. Refuses what cannot go along.
pub(crate) fn see(state: &State, room: &Oid) -> Result<Seen> {
    let space = state.space(&room.space).ok_or_else(no_object)?;
    space.view.place(room.object).ok_or_else(removed)?;
    let mut seen = Seen::default();
    seen.stamps.insert(room.object, stamp(space, &room.object)?);
    let mut rooms = vec![room.object];
    while let Some(room) = rooms.pop() {
        let mut names = BTreeMap::new();
        for shown in space.view.list(room) {
            let name = base::print::safe(&shown.name);
            let refuse = |why: &str| {
                Err(Error::refused(Kind::Unsupported, format!("{name} {why}; nothing is shared yet")))
            };
            if shown.version.is_some() {
                return refuse("is another version of a file: keep one of them, then share the room");
            }
            let leading = match (shown.how, here(&shown.target)) {
                (How::Elsewhere, _) | (_, None) => {
                    return refuse("is a shared room itself: move it out of the room, then share the room");
                }
                (How::Link, Some(object)) => Leading::LinkTo(object),
                (How::Place, Some(object)) if space.is_room(&object) => Leading::Room(object),
                (How::Place, Some(object)) => Leading::File(object),
            };
            match leading {
                Leading::Room(object) => {
                    seen.stamps.insert(object, stamp(space, &object)?);
                    rooms.push(object);
                }
                Leading::File(object) => {
                    let stamp = stamp(space, &object)?;
                    if crate::read::what(stamp.kind) == What::Other {
                        return refuse("is of a kind that this version cannot copy: move it out of the room");
                    }
                    seen.stamps.insert(object, stamp);
                }
                Leading::LinkTo(_) => {}
            }
            names.insert(shown.name.to_string(), leading);
        }
        seen.names.insert(room, names);
    }
    for (name, leading) in seen.names.values().flatten() {
        if matches!(leading, Leading::LinkTo(object) if !seen.names.contains_key(object)) {
            let text = format!(
                "{} leads to a room outside: remove that name, then share the room; nothing is shared yet",
                base::print::safe(name)
            );
            return Err(Error::refused(Kind::Unsupported, text));
        }
    }
    Ok(seen)
}

fn stamp(space: &Space, object: &ObjectId) -> Result<Stamp> {
    let head = space.heads.get(object).ok_or_else(no_object)?;
    let newborn = space.pending.births.get(object);
    Ok(Stamp {
        kind: head.kind,
        heads: head.heads.clone(),
        content: head.content,
        size: head.size,
        mtime: head.mtime,
        perm: head.perm(),
        local: newborn.is_some_and(|n| n.local),
        bulk: newborn.and_then(|n| n.bulk).map(|bulk| bulk.name),
        meta: newborn.map(|n| n.birth.meta.clone()),
    })
}

/// One pass that makes the copy what the room was when it was seen.
pub(crate) struct Copying<'a> {
    core: &'a Core,
    from: SpaceId,
    seen: &'a Seen,
    copies: &'a mut Copies,
}

impl<'a> Copying<'a> {
    /// A pass; `copies` is what former passes made.
    pub(crate) fn new(core: &'a Core, from: &SpaceId, seen: &'a Seen, copies: &'a mut Copies) -> Copying<'a> {
        Copying { core, from: *from, seen, copies }
    }

    /// Copies a room to another that is empty, or that a former pass filled.
    pub(crate) fn run(mut self, from: ObjectId, to: Oid) -> Result<()> {
        let mut rooms = BTreeMap::from([(from, to)]);
        let mut order = vec![from];
        let mut next = 0;
        while let Some(room) = order.get(next).copied() {
            next += 1;
            let Some(there) = rooms.get(&room).copied() else { continue };
            // Before anything is made in the copy.
            let rule = self.core.scratch_names(&Oid { space: self.from, object: room })?;
            if rule != self.core.scratch_names(&there)? {
                self.core.set_scratch_names(&there, &rule)?;
            }
            for (name, leading) in self.seen.names.get(&room).into_iter().flatten() {
                match leading {
                    Leading::Room(object) => {
                        let local = self.seen.stamps.get(object).is_some_and(|stamp| stamp.local);
                        rooms.insert(*object, self.room(&there, name, local)?);
                        order.push(*object);
                    }
                    Leading::File(object) => self.file(object, &there, name)?,
                    Leading::LinkTo(_) => {}
                }
            }
        }
        self.copies.extend(rooms.iter().map(|(room, there)| (*room, (*there, None))));
        for (room, there) in &rooms {
            self.links_and_leftovers(room, there, &rooms)?;
        }
        // The rooms' times come last: every name that is made or removed moves them.
        for (room, there) in &rooms {
            let Some(stamp) = self.seen.stamps.get(room) else { continue };
            self.attributes(&Oid { space: self.from, object: *room }, there, stamp)?;
        }
        Ok(())
    }

    fn room(&self, to: &Oid, name: &str, local: bool) -> Result<Oid> {
        if let Ok(there) = self.core.lookup(to, name) {
            if there.what == What::Room && matches!(there.target, Leads::Object(_)) {
                return Ok(there.target.oid());
            }
            self.remove(to, name)?;
        }
        self.core.locked(|core| core.mkdir_as(*to, name, local))
    }

    // The name leads to the copy of the file, and the copy has its content.
    fn file(&mut self, object: &ObjectId, to: &Oid, name: &str) -> Result<()> {
        let Some(stamp) = self.seen.stamps.get(object) else { return Ok(()) };
        let source = Oid { space: self.from, object: *object };
        let link = stamp.kind == object::Type::Link;
        let stays = self.core.with_space(&to.space, |space| Ok(space.stays_as_room(&to.object, name)))?;
        let suits = |at: &Oid| self.suits(at, &source, stamp, stamp.local || stays);
        let known = self.copies.get(object).filter(|(copy, _)| suits(copy)).cloned();
        let there = self.core.lookup(to, name).ok();
        let (copy, copied) = match (known, there.map(|t| t.target)) {
            (Some(known), Some(Leads::Object(at))) if at == known.0 => known,
            (None, Some(Leads::Object(at))) if self.is_unclaimed(&at) && suits(&at) => (at, None),
            (known, there) => {
                if there.is_some() {
                    self.remove(to, name)?;
                }
                // The removed name may have been the copy's last.
                match known.filter(|(copy, _)| (stays || !stamp.local) && suits(copy)) {
                    Some(known) => {
                        self.core.locked(|core| core.link(known.0, *to, name))?;
                        known
                    }
                    None if link => {
                        let text = self.core.read_link(&source)?;
                        (self.core.locked(|core| core.symlink(*to, name, &text))?, None)
                    }
                    None => (self.core.locked(|core| core.create(*to, name, stamp.perm, stamp.local))?, None),
                }
            }
        };
        self.copies.insert(*object, (copy, copied.clone()));
        if copied.as_ref() == Some(stamp) {
            return Ok(());
        }
        if !link {
            self.content(&source, &copy)?;
        }
        self.attributes(&source, &copy, stamp)?;
        // Only what did not change meanwhile need not be brought again.
        let still = self.core.with_space(&self.from, |space| self::stamp(space, object))? == *stamp;
        self.copies.insert(*object, (copy, still.then(|| stamp.clone())));
        Ok(())
    }

    fn is_unclaimed(&self, at: &Oid) -> bool {
        self.copies.values().all(|(copy, _)| copy != at)
    }

    // Whether an object can be the copy: it is there, and of the same nature.
    fn suits(&self, at: &Oid, source: &Oid, stamp: &Stamp, local: bool) -> bool {
        let Ok(attr) = self.core.attr(at) else { return false };
        let kind = crate::read::what(stamp.kind);
        match (attr.what, kind) {
            (What::Link, What::Link) => {
                matches!((self.core.read_link(at), self.core.read_link(source)), (Ok(a), Ok(b)) if a == b)
            }
            (What::Link | What::Room, _) | (_, What::Link) => false,
            _ => attr.local == local,
        }
    }

    fn content(&self, source: &Oid, copy: &Oid) -> Result<()> {
        let (_, body) = self.core.read(source)?;
        let (version, there) = self.core.read(copy)?;
        if same(&body, &there)? {
            // An empty file that was just made is one only now.
            return self.core.settle(copy);
        }
        let content = match body {
            Body::Bytes(bytes) => NewContent::Bytes(bytes.to_vec()),
            Body::File(file, size) => {
                NewContent::File(file.try_clone().during(|| "copying a large file".into())?, size)
            }
            Body::Remote { .. } => {
                return Err(Error::refused(Kind::Unreachable, "a file of the room is not on this machine"));
            }
        };
        self.core.save(copy, &version, content).map(drop)
    }

    fn attributes(&self, source: &Oid, copy: &Oid, stamp: &Stamp) -> Result<()> {
        let (wanted, has) = (self.core.xattrs(source)?, self.core.xattrs(copy)?);
        let mut xattrs: BTreeMap<String, Option<Vec<u8>>> =
            has.keys().filter(|name| !wanted.contains_key(*name)).map(|name| (name.clone(), None)).collect();
        xattrs.extend(wanted.into_iter().filter(|(n, v)| has.get(n) != Some(v)).map(|(n, v)| (n, Some(v))));
        self.core.copy_local(source, copy)?;
        let perm = (stamp.kind != object::Type::Link).then_some(stamp.perm);
        self.core.set_meta(copy, MetaEdit { perm, mtime: Some(stamp.mtime), xattrs })
    }

    // Names for rooms that have their place elsewhere come once those are there; what a former pass
    // left and the room does not hold goes.
    fn links_and_leftovers(
        &self,
        room: &ObjectId,
        there: &Oid,
        rooms: &BTreeMap<ObjectId, Oid>,
    ) -> Result<()> {
        let Some(names) = self.seen.names.get(room) else { return Ok(()) };
        let wanted: BTreeSet<&str> = names.keys().map(String::as_str).collect();
        for found in self.core.list(there, None, usize::MAX)? {
            if !wanted.contains(found.name.as_str()) {
                self.remove(there, &found.name)?;
            }
        }
        for (name, leading) in names {
            let Leading::LinkTo(object) = leading else { continue };
            let Some(target) = rooms.get(object) else { continue };
            match self.core.lookup(there, name) {
                Ok(found) if found.target == Leads::LinkTo(*target) => continue,
                Ok(_) => self.remove(there, name)?,
                Err(_) => {}
            }
            self.core.locked(|core| {
                let target = Target { space: None, object: target.object };
                let step = core.with_space(&there.space, |space| {
                    core.add_door(space, there.object, name, target, DoorKind::Link, false)
                })?;
                core.perform(&there.space, vec![step])
            })?;
        }
        Ok(())
    }

    fn remove(&self, room: &Oid, name: &str) -> Result<()> {
        self.core.locked(|core| {
            let steps = core.with_space(&room.space, |space| {
                let shown = must_show(space, &room.object, name)?;
                let mut steps = match here(&shown.target) {
                    Some(object) if is_room_here(space, &shown) => core.clear_steps(space, object),
                    _ => Vec::new(),
                };
                steps.extend(remove_steps(space, room.object, &shown));
                Ok(steps)
            })?;
            core.perform(&room.space, steps)
        })
    }
}

// Whether two contents are equal, byte by byte.
fn same(a: &Body, b: &Body) -> Result<bool> {
    match (a, b) {
        (Body::Bytes(a), Body::Bytes(b)) => Ok(a == b),
        (Body::File(a, size), Body::File(b, other)) if size == other => same_files(a, b, *size),
        _ => Ok(false),
    }
}

fn same_files(a: &File, b: &File, size: u64) -> Result<bool> {
    let mut at = 0;
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    while at < size {
        let n = (size - at).min(left.len() as u64) as usize;
        let during = || "comparing large files".to_string();
        a.read_exact_at(&mut left[..n], at).during(during)?;
        b.read_exact_at(&mut right[..n], at).during(during)?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}
