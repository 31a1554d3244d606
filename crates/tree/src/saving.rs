//! Saves: what was written becomes an edit, by whoever closes, syncs or leaves it alone.

use crate::content::Content;
use crate::copy::WorkingCopy;
use crate::departure::Departure;
use crate::error::Result;
use crate::inode::Key;
use crate::memory::Reading;
use crate::process::{Who, ancestors};
use crate::settle::Base;
use crate::tree::Tree;
use crate::watch::Invalidate;
use base::Oid;
use node::Attr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

impl Tree {
    /// Commits what was written to all open files; they stay open.
    pub fn commit_all(&self) {
        let mut copies: Vec<_> = self.0.copies.lock().values().filter_map(Weak::upgrade).collect();
        copies.extend(self.0.handles.copies());
        for copy in copies {
            if let Err(error) = self.commit(&copy) {
                tracing::error!("what was written to a file is not saved yet: {error}");
            }
        }
    }

    /// Commits a copy's edits and tells everybody who must know.
    pub(crate) fn commit(&self, copy: &Arc<WorkingCopy>) -> Result<()> {
        let Some(done) = copy.commit(&self.0.node)? else { return Ok(()) };
        let places = {
            let inodes = self.0.inodes.lock();
            let ino = inodes.primary(&Key::Object(done.oid));
            ino.map(|ino| inodes.places_of(ino)).unwrap_or_default()
        };
        let wrote = &done.saved.wrote;
        if done.peeked {
            self.0.reads.lock().committed(copy.id, if done.unread { &done.base } else { wrote });
        }
        if let Some(writer) = done.writer.filter(|_| !done.unread) {
            let known = self.0.reads.lock().is_known(done.oid);
            let above = if known { ancestors(writer.process) } else { Vec::new() };
            let reading = if done.appended { Reading::Appended(done.base.clone()) } else { Reading::Written };
            let mut reads = self.0.reads.lock();
            reads.note(writer, done.oid, wrote.clone(), reading);
            places.into_iter().for_each(|place| reads.note_name(writer.process, done.oid, place));
            reads.written_below(&above, done.oid, &done.base, wrote);
        }
        self.0.remember.wake();
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
        // Mostly it is what they see now, too.
        if let (Some(ino), Some(shown)) = (ino, done.shown)
            && self.0.node.attr(done.oid).is_ok_and(|now| (now.size, now.mtime, now.ctime) != shown)
        {
            self.notice(Invalidate::Attr { ino });
        }
        Ok(())
    }

    /// The copy that somebody has of an object, counted as held.
    pub(crate) fn already_held(&self, oid: Oid) -> Option<Arc<WorkingCopy>> {
        let copies = self.0.copies.lock();
        let copy = copies.get(&oid).and_then(Weak::upgrade);
        copy.inspect(|copy| {
            copy.handles.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The copy of a file just made; another's, if somebody was quicker.
    pub(crate) fn hold_newborn(&self, oid: Oid, attr: &Attr) -> Arc<WorkingCopy> {
        let mut copies = self.0.copies.lock();
        let held = copies.get(&oid).and_then(Weak::upgrade);
        let copy = held.unwrap_or_else(|| Arc::new(WorkingCopy::newborn(oid, attr)));
        copy.handles.fetch_add(1, Ordering::Relaxed);
        copies.insert(oid, Arc::downgrade(&copy));
        copy
    }

    /// The copy that a handle opened now on an object shares, counted as held.
    pub(crate) fn hold(&self, oid: Oid, attr: &Attr) -> Result<Arc<WorkingCopy>> {
        if let Some(copy) = self.already_held(oid) {
            let same = || self.is_same(&copy, oid).inspect_err(|_| self.let_go(&copy));
            if copy.serves(&attr.version) || same()? {
                return Ok(copy);
            }
            // What was written to it and nobody may join in must be seen all the same.
            if copy.is_apart()
                && let Err(error) = self.commit(&copy)
            {
                tracing::warn!("what was written to an open file is not shown yet: {error}");
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

    // Whether the newest version has the same bytes as a copy: then those who have it open go on with that one.
    fn is_same(&self, copy: &WorkingCopy, oid: Oid) -> Result<bool> {
        let (version, body) = self.0.node.read(oid)?;
        let mut state = copy.state();
        let same = !state.orphan && !state.is_changed() && state.content.same(&Content::of(body));
        if same {
            // All of it is in that version, whatever the base was.
            state.go_on_from(version);
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
            drop(copies);
            // What came while the database was open shows from now on.
            let state = copy.state();
            let (oid, database) = (state.oid, state.is_database());
            drop(state);
            if database {
                self.outdated(oid).into_iter().for_each(|notice| self.notice(notice));
            }
        }
    }

    /// No door leads to an object any more: what is open stays readable and writable, and is never saved.
    pub(crate) fn orphan(&self, oid: Oid) {
        let copy = self.0.copies.lock().remove(&oid).and_then(|copy| copy.upgrade());
        if let Some(copy) = copy {
            copy.state().orphan = true;
        }
    }

    /// Empties a copy as the beginning of a replacing save.
    pub(crate) fn empty(&self, copy: &Arc<WorkingCopy>, base: Option<Base>, who: Option<Who>) -> Result<()> {
        if copy.has_edits_of_others(who) {
            // Theirs is an edit by itself: what is emptied now is what this one had read.
            self.commit(copy)?;
        }
        if copy.empty(base, who, &self.0.node)? {
            self.0.idle.watch(copy);
        }
        Ok(())
    }

    /// The object that a process took away from a name gets it back, if it is to go on there.
    pub(crate) fn reclaim(&self, room: Oid, name: &str, who: Option<Who>) -> Option<(Oid, Departure)> {
        let (oid, departure) = {
            let mut departures = self.0.departures.lock();
            if departures.is_empty() {
                return None;
            }
            departures.take(who?.process, room, name, Instant::now())?
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

    pub(crate) fn settle(&self, copy: &WorkingCopy) -> Result<()> {
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
}
