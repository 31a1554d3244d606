//! Changes of names: making rooms, links and symlinks, removing, and the renames by which editors save.

use crate::departure::Departure;
use crate::error::{Error, Result, not_found};
use crate::inode::Key;
use crate::memory::Reading;
use crate::process::{Caller, Who, ancestors};
use crate::scratch;
use crate::tree::{Stat, Tree};
use crate::watch::Invalidate;
use base::{Kind, Oid, limit};
use node::{Attr, Special, What};
use std::time::{Duration, Instant};

/// How far apart the times of a temporary and of what it replaced must be to count as set by somebody.
const SAME_TIME: Duration = Duration::from_secs(1);

/// A name in a room, as a face gave it.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: u64,
    room: Oid,
    name: &'a str,
}

impl Tree {
    /// Makes a room.
    ///
    /// Errors: the name is taken or not possible, or nobody may write there.
    pub fn mkdir(&self, parent: u64, name: &[u8], perm: u16) -> Result<Stat> {
        let (room, name) = (self.room_of(parent)?, scratch::new_name(name)?);
        let oid = self.0.node.mkdir(room, name, perm & 0o777)?;
        self.enter(Key::Object(oid), parent, name)
    }

    /// Makes a symlink. An editor's lock made as a symlink is answered "unsupported" (such a one cannot be kept
    /// local), whereupon editors make a file, which can.
    ///
    /// Errors: as `mkdir`; the target is too long.
    pub fn symlink(&self, parent: u64, name: &[u8], target: &[u8]) -> Result<Stat> {
        let (room, name) = (self.room_of(parent)?, scratch::new_name(name)?);
        if target.is_empty() {
            return Err(not_found());
        }
        if target.len() > limit::LINK_BYTES {
            return Err(Error::refused(Kind::NameTooLong, "the symlink's target is too long"));
        }
        if scratch::is_scratch(name) {
            return Err(Error::refused(Kind::Unsupported, "a scratch file cannot be a symlink"));
        }
        let oid = self.0.node.symlink(room, name, target)?;
        self.enter(Key::Object(oid), parent, name)
    }

    /// Makes a pipe, a socket or a device: a thing of this device alone.
    ///
    /// Errors: as `mkdir`.
    pub fn make_special(&self, parent: u64, name: &[u8], perm: u16, special: Special) -> Result<Stat> {
        let (room, name) = (self.room_of(parent)?, scratch::new_name(name)?);
        let oid = self.0.node.make_special(room, name, perm & 0o777, special)?;
        self.enter(Key::Object(oid), parent, name)
    }

    /// Makes another door to a file.
    ///
    /// Errors: as `mkdir`; the file is in another space.
    pub fn link(&self, ino: u64, parent: u64, name: &[u8]) -> Result<Stat> {
        let (room, name) = (self.room_of(parent)?, scratch::new_name(name)?);
        let Key::Object(oid) = self.key_of(ino)? else {
            return Err(Error::refused(Kind::Invalid, "there can be no other door to this"));
        };
        self.0.node.link(oid, room, name)?;
        self.enter(Key::Object(oid), parent, name)
    }

    /// Removes a door to a file, symlink or version. What is open stays usable.
    ///
    /// Errors: no such name, a room, or nobody may write there.
    pub fn unlink(&self, parent: u64, name: &[u8], caller: Caller) -> Result<()> {
        let place = self.place(parent, name)?;
        let key = self.find(parent, name)?;
        let shown = self.shown_at(place);
        self.untold(&[place], || Ok(self.0.node.unlink(place.room, place.name)?))?;
        let mut departures = self.0.departures.lock();
        departures.forget(place.room, place.name);
        drop(departures);
        if let Key::Object(oid) = key
            && self.is_gone(oid)
        {
            self.orphan(oid);
            self.lost(shown);
            if let Some(who) = self.0.processes.identify(caller) {
                let mut departures = self.0.departures.lock();
                departures.note(who.process, place.room, place.name, oid, Departure::Removed, Instant::now());
            }
        }
        Ok(())
    }

    /// Removes an empty room.
    ///
    /// Errors: no such name, no room, not empty, or nobody may write there.
    pub fn rmdir(&self, parent: u64, name: &[u8]) -> Result<()> {
        let place = self.place(parent, name)?;
        let shown = self.shown_at(place);
        self.untold(&[place], || Ok(self.0.node.rmdir(place.room, place.name)?))?;
        self.lost(shown);
        Ok(())
    }

    /// Two names change places.
    ///
    /// Errors: no such name, another space, a room into itself, or nobody may write there.
    pub fn exchange(&self, parent: u64, name: &[u8], other_parent: u64, other: &[u8]) -> Result<()> {
        let (one, two) = (self.place(parent, name)?, self.place(other_parent, other)?);
        let numbers = {
            let inodes = self.0.inodes.lock();
            (inodes.told(one.parent, one.name), inodes.told(two.parent, two.name))
        };
        self.untold(&[one, two], || Ok(self.0.node.exchange(one.room, one.name, two.room, two.name)?))?;
        let mut inodes = self.0.inodes.lock();
        for (place, ino) in [(two, numbers.0), (one, numbers.1)] {
            if let Some(ino) = ino {
                inodes.tell(place.parent, place.name, ino);
            }
        }
        drop(inodes);
        let mut departures = self.0.departures.lock();
        departures.forget(one.room, one.name);
        departures.forget(two.room, two.name);
        Ok(())
    }

    // What the kernel knows under a name, as it is before the name goes.
    fn shown_at(&self, place: Place<'_>) -> Option<Stat> {
        let ino = self.0.inodes.lock().told(place.parent, place.name)?;
        self.getattr(ino).ok()
    }

    // The last name of a thing went: whoever has it open is still shown what it was.
    fn lost(&self, shown: Option<Stat>) {
        let Some(shown) = shown else { return };
        if let Some(inode) = self.0.inodes.lock().get_mut(shown.ino) {
            inode.gone = Some(Stat { links: 0, ctime: node::now(), ..shown });
        }
    }

    /// Moves a door. A temporary file moved over an older one is a save of that one; a file that is moved away
    /// and made again by the same process goes on under its old name.
    ///
    /// Errors: no such name, `no_replace` and the new name is taken, another space, a room into itself, or nobody
    /// may write there.
    pub fn rename(
        &self,
        parent: u64,
        name: &[u8],
        new_parent: u64,
        new_name: &[u8],
        no_replace: bool,
        caller: Caller,
    ) -> Result<()> {
        let from = self.place(parent, name)?;
        let to =
            Place { parent: new_parent, room: self.room_of(new_parent)?, name: scratch::new_name(new_name)? };
        let source = self.find(parent, name)?;
        let mut target = self.find(new_parent, new_name).ok();
        if no_replace && target.is_some() {
            return Err(Error::refused(Kind::Exists, "the new name is taken"));
        }
        let who = self.0.processes.identify(caller);
        if let Key::Object(oid) = source {
            // Moved away, then something new put in its place.
            if target.is_none() && self.is_file(oid) && self.0.node.is_fresh(oid) {
                target = self.reclaim(to.room, to.name, who).map(|(returned, _)| Key::Object(returned));
            }
            if let Some(Key::Object(old)) = target
                && let Some(attr) = self.is_save(oid, from, old, to)
            {
                return self.replace(oid, &attr, from, old, to, who);
            }
        }
        self.move_door(source, from, target, to, no_replace, who)
    }

    fn move_door(
        &self,
        source: Key,
        from: Place<'_>,
        target: Option<Key>,
        to: Place<'_>,
        no_replace: bool,
        who: Option<Who>,
    ) -> Result<()> {
        let ino = self.0.inodes.lock().told(from.parent, from.name);
        let shown = self.shown_at(to);
        self.untold(&[from, to], || {
            Ok(self.0.node.rename(from.room, from.name, to.room, to.name, no_replace)?)
        })?;
        if let Some(ino) = ino {
            self.0.inodes.lock().tell(to.parent, to.name, ino);
        }
        if let Some(Key::Object(old)) = target
            && source != Key::Object(old)
            && self.is_gone(old)
        {
            self.orphan(old);
            self.lost(shown);
        }
        let mut departures = self.0.departures.lock();
        departures.forget(to.room, to.name);
        departures.forget(from.room, from.name);
        drop(departures);
        self.0.reads.lock().given(to.room, to.name);
        if let (Key::Object(oid), Some(who)) = (source, who)
            && self.is_shared_file(oid)
            && scratch::may_set_aside(from.name, to.name)
        {
            let moved = Departure::Moved(to.room, to.name.to_owned());
            self.0.departures.lock().note(who.process, from.room, from.name, oid, moved, Instant::now());
        }
        Ok(())
    }

    /// Whether moving `oid` over `old` saves `old`; the temporary's attributes if so.
    fn is_save(&self, oid: Oid, from: Place<'_>, old: Oid, to: Place<'_>) -> Option<Attr> {
        if oid == old || !self.0.node.is_fresh(oid) || scratch::sets_aside(from.name, to.name) {
            return None;
        }
        let (new, old) = (self.0.node.attr(oid).ok()?, self.0.node.attr(old).ok()?);
        // With other doors, those keep the old content, as with any replacement.
        let plain = is_plain(&new) && is_plain(&old) && old.links == 1 && !old.local && old.writable;
        plain.then_some(new)
    }

    fn replace(
        &self,
        oid: Oid,
        attr: &Attr,
        from: Place<'_>,
        old: Oid,
        to: Place<'_>,
        who: Option<Who>,
    ) -> Result<()> {
        let copy = self.0.copies.lock().get(&oid).and_then(|copy| copy.upgrade());
        if let Some(copy) = &copy {
            self.commit(copy)?;
        }
        let meant = self.meant_by_replacing(who, (to.room, to.name.into()), old);
        let base = meant.base.as_ref();
        let node = &self.0.node;
        let saved = self.untold(&[from, to], || {
            let base = base.map(|base| (&base.version, &base.earlier[..]));
            Ok(node.replace(from.room, from.name, meant.oid, base)?)
        })?;
        let (named, old) = (old, node.now_at(meant.oid));
        // The kernel has moved the temporary's inode to the new name.
        {
            let mut inodes = self.0.inodes.lock();
            if let Some(ino) = inodes.primary(&Key::Object(oid)) {
                inodes.turn_into(ino, Key::Object(old));
                if named == old {
                    inodes.tell(to.parent, to.name, ino);
                }
            }
        }
        // Whoever has the old file open still has the old file, which no name leads to.
        self.orphan(old);
        {
            let mut copies = self.0.copies.lock();
            copies.remove(&oid);
            if let Some(copy) = &copy {
                copies.insert(old, std::sync::Arc::downgrade(copy));
            }
        }
        if let Some(copy) = copy {
            let mut state = copy.state();
            state.oid = old;
            state.base = saved.wrote.clone();
            state.newborn = false;
        }
        if let Some(who) = who {
            let above = if meant.base.is_some() { ancestors(who.process) } else { Vec::new() };
            let mut reads = self.0.reads.lock();
            reads.note(who, old, saved.wrote.clone(), Reading::Written);
            reads.note_name(who.process, old, (to.room, to.name.into()));
            if let Some(base) = &meant.base {
                reads.written_below(&above, old, &base.version, &saved.wrote);
            }
        }
        if named != old {
            self.notice(Invalidate::Name { parent: to.parent, name: to.name.to_owned() });
        }
        self.0.departures.lock().forget(to.room, to.name);
        if saved.merged {
            self.outdated(old).into_iter().for_each(|notice| self.notice(notice));
        } else if let Ok(now) = node.attr(old)
            && now.mtime.duration_since(attr.mtime).is_ok_and(|apart| apart > SAME_TIME)
        {
            // A time that was set on the temporary is meant for the file.
            node.set_attr(old, None, Some(attr.mtime))?;
        }
        Ok(())
    }

    fn place<'a>(&self, parent: u64, name: &'a [u8]) -> Result<Place<'a>> {
        let room = self.room_of(parent)?;
        if scratch::is_reserved(name) {
            return Err(Error::refused(Kind::Denied, "that name is kept for control files"));
        }
        Ok(Place { parent, room, name: std::str::from_utf8(name).map_err(|_| not_found())? })
    }

    /// Does something to names that the kernel then knows to have gone; what the node says meanwhile about
    /// them is no news. Puts back what the kernel believes if it fails.
    fn untold<T>(&self, places: &[Place<'_>], act: impl FnOnce() -> Result<T>) -> Result<T> {
        let told: Vec<_> = {
            let mut inodes = self.0.inodes.lock();
            places.iter().map(|place| inodes.untell(place.parent, place.name)).collect()
        };
        act().inspect_err(|_| {
            let mut inodes = self.0.inodes.lock();
            for (place, ino) in places.iter().zip(told) {
                if let Some(ino) = ino {
                    inodes.tell(place.parent, place.name, ino);
                }
            }
        })
    }

    fn is_gone(&self, oid: Oid) -> bool {
        // A room that is replaced was empty, and had one place.
        self.0.node.attr(oid).map_or(true, |attr| attr.links == 0 || attr.what == What::Room)
    }

    fn is_file(&self, oid: Oid) -> bool {
        self.0.node.attr(oid).is_ok_and(|attr| is_plain(&attr))
    }

    // What is of this device alone has no history that a name would have to keep.
    fn is_shared_file(&self, oid: Oid) -> bool {
        self.0.node.attr(oid).is_ok_and(|attr| is_plain(&attr) && !attr.local)
    }
}

fn is_plain(attr: &Attr) -> bool {
    matches!(attr.what, What::Text | What::Whole | What::Blob)
}
