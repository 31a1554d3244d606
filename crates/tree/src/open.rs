//! Open files: one version a handle, local writes shared, and a save that is an edit of what its
//! process had read.

use crate::caching::Seat;
use crate::content::Content;
use crate::copy::WorkingCopy;
use crate::departure::Departure;
use crate::error::{Error, Result};
use crate::handle::{Caching, Handle, How, Noted, OpenFile, Opened};
use crate::inode::Key;
use crate::process::{Caller, Who};
use crate::scratch;
use crate::settle::{Base, Meant};
use crate::tree::{Stat, Tree};
use crate::watch::Invalidate;
use base::{Kind, Oid};
use node::{Attr, What};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes compared, at most, to see whether a newer version only extends the one being read.
const EXTENSION: u64 = 64 << 20;
/// Bytes compared at a time.
const BLOCK: usize = 1 << 20;

impl Tree {
    /// Opens a file.
    ///
    /// Errors: it is a room, may not be written, or its bytes cannot be had.
    pub fn open(&self, ino: u64, how: How, caller: Caller) -> Result<Opened> {
        let direct = |handle| Opened { handle, caching: Caching::Direct, whole: None };
        match self.key_of(ino)? {
            Key::Control(control) if control.is_room() => Err(is_a_room()),
            Key::Control(_) if how.write => {
                Err(Error::refused(Kind::Denied, "this control file is only read"))
            }
            Key::Control(control) => {
                let text = control.text(&self.0.node);
                Ok(direct(self.0.handles.insert(Handle::Text(text.into()))))
            }
            Key::Version(_, _) if how.write => Err(Error::refused(
                Kind::ReadOnly,
                "this is another version of the file; copy it, or write the file itself",
            )),
            Key::Version(oid, hash) => {
                let attr = self.0.node.attr(oid)?;
                let content = Content::of(self.0.node.read_version(oid, hash)?);
                let copy = Arc::new(WorkingCopy::new(oid, attr.version.clone(), content, &attr));
                copy.handles.fetch_add(1, Ordering::Relaxed);
                let seat = self.seat(ino, &copy, how, Caller::default())?;
                Ok(self.register(copy, how, None, Noted::default(), None, seat))
            }
            Key::Way { .. } => Err(Error::refused(Kind::Loop, "a symlink cannot be opened itself")),
            Key::Object(oid) => {
                // The kernel has it emptied first, and then refuses.
                if how.truncate && self.0.handles.is_executing(ino) {
                    return Err(Error::refused(Kind::Executing, "the program is being run"));
                }
                let who = self.0.processes.identify(caller);
                if how.write {
                    self.give_back(ino, who);
                }
                self.open_object(ino, oid, how, who, caller)
            }
        }
    }

    /// Makes a file and opens it; where the same process just moved or removed the object that had the name,
    /// that object goes on under it.
    ///
    /// Errors: the name is taken or not possible, or nobody may write there.
    pub fn create(
        &self,
        parent: u64,
        name: &[u8],
        perm: u16,
        how: How,
        caller: Caller,
    ) -> Result<(Stat, Opened)> {
        let (room, name) = (self.room_of(parent)?, scratch::new_name(name)?);
        let who = self.0.processes.identify(caller);
        if let Some((oid, departure)) = self.reclaim(room, name, who) {
            if departure == Departure::Removed && self.0.node.attr(oid).is_ok_and(|attr| attr.perm != perm) {
                self.0.node.set_attr(oid, Some(perm), None)?;
            }
            // Another may have the name all the same, where both had it at once.
            let oid = match self.find(parent, name.as_bytes()) {
                Ok(Key::Object(named)) => named,
                _ => oid,
            };
            return self.open_named(oid, parent, name, How { truncate: true, ..how }, who, caller);
        }
        if let Some(oid) = self.removed_meanwhile(who, room, name) {
            return self.open_named(oid, parent, name, How { truncate: true, ..how }, who, caller);
        }
        let local = self.is_local(parent, room, name, who);
        let oid = match self.0.node.create(room, name, perm, local) {
            Ok(oid) => oid,
            Err(error) if error.kind() == Kind::Exists && !how.exclusive => {
                return match self.find(parent, name.as_bytes())? {
                    Key::Object(oid) => self.open_named(oid, parent, name, how, who, caller),
                    _ => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let attr = self.0.node.attr(oid)?;
        let copy = match self.already_held(oid) {
            // Somebody opened it before we had a copy: there must be one only.
            Some(copy) => {
                self.0.node.settle(oid)?;
                copy
            }
            None => self.hold_newborn(oid, &attr),
        };
        self.0.reads.lock().given(room, name);
        let ino = self.0.inodes.lock().look_up(Key::Object(oid), parent, name);
        let seat = self.seat(ino, &copy, how, Caller::default())?;
        let opened = self.register(copy, how, who, Noted::default(), None, seat);
        Ok((self.getattr(ino)?, opened))
    }

    /// At most `len` bytes from `offset`, fewer only at the end.
    ///
    /// Errors: the bytes are elsewhere and nobody who has them answers.
    pub fn read(&self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>> {
        let file = match self.0.handles.get(handle)? {
            Handle::File(file) => file,
            Handle::Text(text) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                return Ok(text.as_bytes()[from..text.len().min(from.saturating_add(len))].to_vec());
            }
            Handle::Room(..) => return Err(is_a_room()),
        };
        let mut copy = file.copy();
        self.note_read(&file, &copy);
        let mut bytes = self.read_copy(&copy, offset, len)?;
        if bytes.is_empty() && len > 0 && !file.how.write && self.move_on(&file, offset)? {
            copy = file.copy();
            self.note_read(&file, &copy);
            bytes = self.read_copy(&copy, offset, len)?;
        }
        Ok(bytes)
    }

    /// Whether reading or writing a handle may wait for a friend; a face does that on a thread of its own.
    pub fn waits(&self, handle: u64) -> bool {
        self.0.handles.file(handle).is_ok_and(|file| file.copy().waits())
    }

    /// Writes bytes at `offset`, or at the end where the handle appends.
    ///
    /// Errors: the handle is not open for writing, or the disk is full.
    pub fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<()> {
        let file = self.0.handles.file(handle)?;
        if !file.how.write {
            return Err(Error::refused(Kind::Denied, "not open for writing"));
        }
        let copy = file.copy();
        let at = if file.how.append { None } else { Some(offset) };
        if copy.write(at, data, file.who, &self.0.node)? {
            self.0.idle.watch(&copy);
        }
        file.wrote.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A descriptor was closed: what was written through the handle is committed, a mere emptying not yet.
    ///
    /// Errors: the save failed; the words are kept and tried again as long as the file is open.
    pub fn flush(&self, handle: u64) -> Result<()> {
        let Ok(file) = self.0.handles.file(handle) else { return Ok(()) };
        let copy = file.copy();
        if file.wrote.swap(false, Ordering::Relaxed) && copy.is_worth_a_flush() {
            self.commit(&copy).inspect_err(|_| file.wrote.store(true, Ordering::Relaxed))?;
            self.told_elsewhere(&file);
        }
        Ok(())
    }

    /// Everything written through the handle is committed and on the disk.
    ///
    /// Errors: it is not.
    pub fn fsync(&self, handle: u64) -> Result<()> {
        if let Ok(file) = self.0.handles.file(handle) {
            self.commit(&file.copy())?;
        }
        Ok(self.0.node.sync()?)
    }

    /// The last descriptor of a handle was closed.
    pub fn release(&self, handle: u64) {
        if let Some(Handle::File(file)) = self.0.handles.remove(handle) {
            let copy = file.copy();
            if file.how.write && copy.writers.fetch_sub(1, Ordering::Relaxed) == 1 {
                // Readers may keep it open for long; what fails is tried again.
                if copy.state().is_database() && self.commit(&copy).is_err() {
                    self.0.idle.watch(&copy);
                }
            }
            copy.adders.fetch_sub(usize::from(file.how.only_adds()), Ordering::Relaxed);
            self.let_go(&copy);
            self.told_elsewhere(&file);
            self.0.inodes.lock().closed(file.ino, file.whole);
        }
    }

    /// Closes all handles: whatever was written is committed.
    pub fn finish(&self) {
        for handle in self.0.handles.drain() {
            if let Handle::File(file) = handle {
                self.let_go(&file.copy());
            }
        }
        self.keep_reads(true);
    }

    fn open_named(
        &self,
        oid: Oid,
        parent: u64,
        name: &str,
        how: How,
        who: Option<Who>,
        caller: Caller,
    ) -> Result<(Stat, Opened)> {
        let ino = self.0.inodes.lock().look_up(Key::Object(oid), parent, name);
        match self.open_object(ino, oid, how, who, caller).and_then(|opened| Ok((self.getattr(ino)?, opened)))
        {
            Ok(made) => Ok(made),
            Err(error) => {
                self.forget(ino, 1);
                Err(error)
            }
        }
    }

    fn open_object(&self, ino: u64, oid: Oid, how: How, who: Option<Who>, caller: Caller) -> Result<Opened> {
        let (copy, base, seat) = match self.orphan_of(ino) {
            Some(copy) => {
                let seat = self.seat(ino, &copy, how, Caller::default())?;
                (copy, None, seat)
            }
            None => {
                let places = self.0.inodes.lock().places_of(ino);
                let meant = self.meant(who, &places, oid, how);
                let attr = self.0.node.attr(meant.oid)?;
                check_open(&attr, how)?;
                let copy = self.hold_meant(&meant, &attr, how)?;
                let seat = self.seat(ino, &copy, how, caller).inspect_err(|_| self.let_go(&copy))?;
                let Meant { base, .. } = meant;
                let newest = || Base { version: attr.version.clone(), earlier: Vec::new() };
                let base = how.write.then(|| base.unwrap_or_else(newest));
                if how.truncate {
                    self.empty(&copy, base.clone(), who).inspect_err(|_| {
                        self.leave(&seat);
                        self.let_go(&copy);
                    })?;
                }
                (copy, base, seat)
            }
        };
        let noted = Noted { copying: !how.write && self.fills_backup(ino, who), ..Noted::default() };
        Ok(self.register(copy, how, who, noted, base, seat))
    }

    // Where both had a name at once and a process sets one aside, the other slips into the name: what the process
    // opens there to write is no longer free to be made, and the one set aside returns all the same.
    fn give_back(&self, ino: u64, who: Option<Who>) {
        if self.0.departures.lock().is_empty() {
            return;
        }
        let places = self.0.inodes.lock().places_of(ino);
        for (room, name) in places {
            self.reclaim(room, &name, who);
        }
    }

    // A file removed while open, and opened again through a descriptor.
    fn orphan_of(&self, ino: u64) -> Option<Arc<WorkingCopy>> {
        let copy = self.0.inodes.lock().get(ino)?.copy.upgrade()?;
        if !copy.state().orphan {
            return None;
        }
        copy.handles.fetch_add(1, Ordering::Relaxed);
        Some(copy)
    }

    fn register(
        &self,
        copy: Arc<WorkingCopy>,
        how: How,
        who: Option<Who>,
        noted: Noted,
        base: Option<Base>,
        seat: Seat,
    ) -> Opened {
        copy.writers.fetch_add(usize::from(how.write), Ordering::Relaxed);
        copy.adders.fetch_add(usize::from(how.only_adds()), Ordering::Relaxed);
        let Seat { ino, elsewhere, caching, whole } = seat;
        let cached = caching != Caching::Direct;
        let file = Arc::new(OpenFile {
            ino,
            how,
            who,
            base,
            elsewhere,
            whole: whole.is_some(),
            copy: RwLock::new(copy),
            wrote: AtomicBool::new(false),
            noted: Mutex::new(noted),
            no_extension: Mutex::new(None),
        });
        if cached && how.read && !how.truncate {
            // What comes out of the kernel's cache is never asked for here.
            self.note_read(&file, &file.copy());
        }
        Opened { handle: self.0.handles.insert(Handle::File(file)), caching, whole }
    }

    // The kernel takes what was written for the bytes of the file that has the name.
    fn told_elsewhere(&self, file: &OpenFile) {
        if file.elsewhere && file.how.write {
            let oid = file.copy().state().oid;
            self.notice(Invalidate::Attr { ino: file.ino });
            self.outdated(oid).into_iter().for_each(|notice| self.notice(notice));
        }
    }

    fn read_copy(&self, copy: &WorkingCopy, offset: u64, len: usize) -> Result<Vec<u8>> {
        match copy.read(offset, len)? {
            Ok(bytes) => Ok(bytes),
            Err((oid, version)) => match self.0.node.whole(oid, &version) {
                // The rest came meanwhile: from now on it is read like any other file.
                Some(body) => {
                    copy.arrive(&version, body);
                    self.read_copy(copy, offset, len)
                }
                None => Ok(self.0.node.read_remote(oid, &version, offset, len)?),
            },
        }
    }

    fn note_read(&self, file: &OpenFile, copy: &WorkingCopy) {
        self.note(file.ino, copy, file.who, &mut file.noted.lock());
    }

    // `tail -f`: a reader at the end goes on to the newest version if that only extends its own.
    fn move_on(&self, file: &OpenFile, offset: u64) -> Result<bool> {
        let old = file.copy();
        let (oid, base, size) = {
            let state = old.state();
            if state.orphan || state.is_changed() || state.newborn {
                return Ok(false);
            }
            (state.oid, state.base.clone(), state.content.size())
        };
        let Ok(attr) = self.0.node.attr(oid) else { return Ok(false) };
        if attr.version == base || attr.size <= size || offset < size || size > EXTENSION {
            return Ok(false);
        }
        if file.no_extension.lock().as_ref() == Some(&attr.version) {
            return Ok(false);
        }
        let new = self.hold(oid, &attr)?;
        if Arc::ptr_eq(&new, &old) || !self.extends(&old, &new, size).unwrap_or(false) {
            *file.no_extension.lock() = Some(attr.version);
            self.let_go(&new);
            return Ok(false);
        }
        *file.copy.write() = new;
        self.let_go(&old);
        Ok(true)
    }

    fn extends(&self, old: &WorkingCopy, new: &WorkingCopy, size: u64) -> Result<bool> {
        for at in (0..size).step_by(BLOCK) {
            let len = BLOCK.min((size - at) as usize);
            if self.read_copy(old, at, len)? != self.read_copy(new, at, len)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn check_open(attr: &Attr, how: How) -> Result<()> {
    match attr.what {
        What::Room => Err(is_a_room()),
        What::Link => Err(Error::refused(Kind::Loop, "a symlink cannot be opened itself")),
        _ if (how.write || how.truncate) && !attr.writable => {
            Err(Error::refused(Kind::ReadOnly, "your role in this space lets you read, not write"))
        }
        _ => Ok(()),
    }
}

fn is_a_room() -> Error {
    Error::refused(Kind::IsRoom, "it is a room")
}
