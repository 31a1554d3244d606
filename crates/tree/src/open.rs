//! Open files: one version a handle, local writes shared, and a save that is an edit of what its
//! process had read.

use crate::content::Content;
use crate::copy::WorkingCopy;
use crate::error::{Error, Result};
use crate::handle::{Caching, Handle, How, Noted, OpenFile, Opened};
use crate::inode::Key;
use crate::process::{Caller, ProcessKey};
use crate::tree::{Stat, Tree};
use crate::watch::Invalidate;
use crate::{memory::Departure, scratch};
use base::{Kind, Oid};
use node::{Attr, Version, What};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Bytes compared, at most, to see whether a newer version only extends the one being read.
const EXTENSION: u64 = 64 << 20;
/// Bytes compared at a time.
const BLOCK: usize = 1 << 20;

impl Tree {
    /// Opens a file.
    ///
    /// Errors: it is a room, may not be written, or its bytes cannot be had.
    pub fn open(&self, ino: u64, how: How, caller: Caller) -> Result<Opened> {
        let direct = |handle| Opened { handle, caching: Caching::Direct };
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
                Ok(direct(self.register(ino, copy, how, None, Noted::default())))
            }
            Key::Way { .. } => Err(Error::refused(Kind::Loop, "a symlink cannot be opened itself")),
            Key::Object(oid) => self.open_object(ino, oid, how, self.0.processes.identify(caller)),
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
            return self.open_named(oid, parent, name, How { truncate: true, ..how }, who);
        }
        let local = self.begins_backup(parent, name, who) || scratch::is_scratch(name);
        let oid = match self.0.node.create(room, name, perm, local) {
            Ok(oid) => oid,
            Err(error) if error.kind() == Kind::Exists && !how.exclusive => {
                return match self.find(parent, name.as_bytes())? {
                    Key::Object(oid) => self.open_named(oid, parent, name, how, who),
                    _ => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let attr = self.0.node.attr(oid)?;
        let (copy, shared) = self.hold_newborn(oid, &attr);
        if shared {
            self.0.node.settle(oid)?;
        }
        let ino = self.0.inodes.lock().look_up(Key::Object(oid), parent, name);
        let handle = self.register(ino, copy, how, who, Noted::default());
        Ok((self.getattr(ino)?, Opened { handle, caching: Caching::Direct }))
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
            self.let_go(&file.copy());
            self.0.inodes.lock().closed(file.ino);
        }
    }

    /// Closes all handles: whatever was written is committed.
    pub fn finish(&self) {
        for handle in self.0.handles.drain() {
            if let Handle::File(file) = handle {
                self.let_go(&file.copy());
            }
        }
    }

    /// Commits what was written to all open files; they stay open.
    pub fn commit_all(&self) {
        let copies: Vec<_> = self.0.copies.lock().values().filter_map(Weak::upgrade).collect();
        for copy in copies {
            if let Err(error) = self.commit(&copy) {
                tracing::error!("what was written to a file is not saved yet: {error}");
            }
        }
    }

    /// Commits a copy's edits and tells everybody who must know.
    pub(crate) fn commit(&self, copy: &Arc<WorkingCopy>) -> Result<()> {
        let Some(done) = copy.commit(&self.0.node)? else { return Ok(()) };
        {
            let mut reads = self.0.reads.lock();
            if let Some(writer) = done.writer {
                reads.note(writer, done.oid, done.saved.wrote.clone());
            }
            if done.peeked {
                reads.committed(copy.id, &done.saved.wrote);
            }
        }
        if done.saved.merged {
            self.outdated(done.oid).into_iter().for_each(|notice| self.notice(notice));
            return Ok(());
        }
        let mut inodes = self.0.inodes.lock();
        let ino = inodes.primary(&Key::Object(done.oid));
        if let Some(inode) = ino.and_then(|ino| inodes.get_mut(ino)) {
            inode.cached = None;
        }
        drop(inodes);
        if let Some(ino) = ino
            && done.shown
        {
            self.notice(Invalidate::Attr { ino });
        }
        Ok(())
    }

    /// The copy that a handle opened now on an object shares, counted as held.
    pub(crate) fn hold(&self, oid: Oid, attr: &Attr) -> Result<Arc<WorkingCopy>> {
        let held = {
            let copies = self.0.copies.lock();
            let copy = copies.get(&oid).and_then(Weak::upgrade);
            copy.inspect(|copy| {
                copy.handles.fetch_add(1, Ordering::Relaxed);
            })
        };
        if let Some(copy) = held {
            if copy.serves(&attr.version) || self.is_same(&copy, oid)? {
                return Ok(copy);
            }
            self.let_go(&copy);
        }
        let (version, body) = self.0.node.read(oid)?;
        let copy = Arc::new(WorkingCopy::new(oid, version.clone(), Content::of(body), attr));
        copy.handles.fetch_add(1, Ordering::Relaxed);
        let mut copies = self.0.copies.lock();
        // Whoever was quicker has the copy that all share; two of them would each save without the other's words.
        let quicker = copies.get(&oid).and_then(Weak::upgrade);
        if let Some(quicker) = quicker.filter(|quicker| quicker.serves(&version)) {
            quicker.handles.fetch_add(1, Ordering::Relaxed);
            return Ok(quicker);
        }
        copies.insert(oid, Arc::downgrade(&copy));
        drop(copies);
        Ok(copy)
    }

    // The copy of a file just made; another's, if somebody opened it in that moment: there must be one only.
    fn hold_newborn(&self, oid: Oid, attr: &Attr) -> (Arc<WorkingCopy>, bool) {
        let mut copies = self.0.copies.lock();
        let held = copies.get(&oid).and_then(Weak::upgrade);
        let shared = held.is_some();
        let copy = held.unwrap_or_else(|| Arc::new(WorkingCopy::newborn(oid, attr)));
        copy.handles.fetch_add(1, Ordering::Relaxed);
        copies.insert(oid, Arc::downgrade(&copy));
        (copy, shared)
    }

    // Whether the newest version has the same bytes as a copy: then those who have it open go on with that one.
    fn is_same(&self, copy: &WorkingCopy, oid: Oid) -> Result<bool> {
        let (version, body) = self.0.node.read(oid)?;
        let mut state = copy.state();
        let same = !state.orphan && !state.is_changed() && state.content.same(&Content::of(body));
        if same {
            state.base = version;
        }
        Ok(same)
    }

    /// A handle no longer needs a copy; the last one commits what is left.
    pub(crate) fn let_go(&self, copy: &Arc<WorkingCopy>) {
        if copy.handles.load(Ordering::Relaxed) == 1 {
            // Before it leaves the table: who opens it meanwhile must see what was written.
            if let Err(error) = self.commit(copy).and_then(|()| self.settle(copy)) {
                tracing::error!("what was written to a file is not saved yet, and is tried again: {error}");
                self.0.idle.watch(copy);
            }
        }
        let mut copies = self.0.copies.lock();
        if copy.handles.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Another copy may stand in the table by now, or the object have changed: whichever is dead goes.
            copies.retain(|_, held| held.upgrade().is_some_and(|held| !Arc::ptr_eq(&held, copy)));
        }
    }

    /// No door leads to an object any more: what is open stays readable and writable, and is never saved.
    pub(crate) fn orphan(&self, oid: Oid) {
        let copy = self.0.copies.lock().remove(&oid).and_then(|copy| copy.upgrade());
        if let Some(copy) = copy {
            copy.state().orphan = true;
        }
    }

    /// The object that a process took away from a name gets it back, if it is to go on there.
    pub(crate) fn reclaim(&self, room: Oid, name: &str, who: Option<ProcessKey>) -> Option<(Oid, Departure)> {
        let (oid, departure) = {
            let mut departures = self.0.departures.lock();
            if departures.is_empty() {
                return None;
            }
            departures.take(who?, room, name, Instant::now())?
        };
        let result = match &departure {
            Departure::Moved(to, at) => self.0.node.reclaim_renamed(room, name, (*to, at)).map(|backup| {
                let mut inodes = self.0.inodes.lock();
                if let Some(ino) = inodes.primary(&Key::Object(oid)) {
                    inodes.turn_into(ino, Key::Object(backup));
                }
            }),
            Departure::Removed => self.0.node.reclaim_unlinked(room, name, oid).map(|()| {
                self.0.inodes.lock().set_apart(&Key::Object(oid));
            }),
        };
        match result {
            Ok(()) => Some((oid, departure)),
            Err(error) => {
                tracing::debug!("a name is given to a new object, not to the one that had it: {error}");
                None
            }
        }
    }

    fn open_named(
        &self,
        oid: Oid,
        parent: u64,
        name: &str,
        how: How,
        who: Option<ProcessKey>,
    ) -> Result<(Stat, Opened)> {
        let ino = self.0.inodes.lock().look_up(Key::Object(oid), parent, name);
        match self.open_object(ino, oid, how, who).and_then(|opened| Ok((self.getattr(ino)?, opened))) {
            Ok(made) => Ok(made),
            Err(error) => {
                self.forget(ino, 1);
                Err(error)
            }
        }
    }

    fn open_object(&self, ino: u64, oid: Oid, how: How, who: Option<ProcessKey>) -> Result<Opened> {
        let copy = match self.orphan_of(ino) {
            Some(copy) => copy,
            None => {
                let attr = self.0.node.attr(oid)?;
                check_open(&attr, how)?;
                let copy = self.hold(oid, &attr)?;
                if how.truncate {
                    let base = self.0.reads.lock().in_buffer(who, oid).unwrap_or(attr.version);
                    self.empty(&copy, Some(base), who).inspect_err(|_| self.let_go(&copy))?;
                }
                copy
            }
        };
        let caching = self.caching(ino, &copy);
        let mut noted = Noted { copying: !how.write && self.fills_backup(ino, who), ..Noted::default() };
        if caching != Caching::Direct && how.read && !how.truncate {
            // What comes out of the kernel's cache is never asked for here.
            self.note(&copy, who, &mut noted);
        }
        Ok(Opened { handle: self.register(ino, copy, how, who, noted), caching })
    }

    /// Empties a copy as the beginning of a replacing save.
    pub(crate) fn empty(
        &self,
        copy: &Arc<WorkingCopy>,
        base: Option<Version>,
        who: Option<ProcessKey>,
    ) -> Result<()> {
        if copy.empty(base, who, &self.0.node)? {
            self.0.idle.watch(copy);
        }
        Ok(())
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
        ino: u64,
        copy: Arc<WorkingCopy>,
        how: How,
        who: Option<ProcessKey>,
        noted: Noted,
    ) -> u64 {
        self.0.inodes.lock().opened(ino, &copy);
        self.0.handles.insert(Handle::File(Arc::new(OpenFile {
            ino,
            how,
            who,
            copy: RwLock::new(copy),
            wrote: AtomicBool::new(false),
            noted: Mutex::new(noted),
            no_extension: Mutex::new(None),
        })))
    }

    // Large files that are whole here may be cached, as long as the inode's pages are of one version.
    fn caching(&self, ino: u64, copy: &WorkingCopy) -> Caching {
        let version = {
            let state = copy.state();
            match state.content {
                Content::Frozen(..) if !state.is_changed() && !state.orphan => state.base.clone(),
                _ => return Caching::Direct,
            }
        };
        let mut inodes = self.0.inodes.lock();
        let Some(inode) = inodes.get_mut(ino) else { return Caching::Direct };
        match &inode.cached {
            Some(cached) if *cached == version => Caching::Keep,
            Some(_) if inode.opens > 0 => Caching::Direct,
            _ => {
                inode.cached = Some(version);
                Caching::Fresh
            }
        }
    }

    fn settle(&self, copy: &WorkingCopy) -> Result<()> {
        let oid = {
            let mut state = copy.state();
            if !state.newborn || state.orphan {
                return Ok(());
            }
            state.newborn = false;
            state.oid
        };
        Ok(self.0.node.settle(oid)?)
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
        self.note(copy, file.who, &mut file.noted.lock());
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
