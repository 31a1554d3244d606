//! What a process has in its buffers, told from what it only reads to set a copy aside.
//!
//! Some editors (vim with `backupcopy=yes`, nano with `-B`) copy the file to its backup just before they truncate it. By
//! then a friend may have changed it; what is saved is still an edit of what was read before.

use crate::content::Content;
use crate::copy::{WorkingCopy, is_database};
use crate::handle::Noted;
use crate::inode::Key;
use crate::memory::Reading;
use crate::process::Who;
use crate::scratch;
use crate::tree::Tree;
use base::Oid;

impl Tree {
    /// A process reads what this copy shows.
    pub(crate) fn note(&self, ino: u64, copy: &WorkingCopy, who: Option<Who>, noted: &mut Noted) {
        let Some(who) = who else { return };
        let (oid, base, uncommitted) = {
            let mut state = copy.state();
            if noted.version.as_ref() == Some(&state.base) {
                return;
            }
            (state.oid, state.base.clone(), state.peek())
        };
        let places = self.0.inodes.lock().places_of(ino);
        let mut reads = self.0.reads.lock();
        if noted.version.is_none() {
            noted.before = reads.in_buffer(who.process, oid);
        }
        noted.version = Some(base.clone());
        let reading = match (noted.copying, uncommitted) {
            (true, _) => Reading::Copying(noted.before.clone()),
            (false, true) => Reading::Uncommitted(copy.id),
            (false, false) => Reading::Plain,
        };
        reads.note(who, oid, base, reading);
        places.into_iter().for_each(|place| reads.note_name(who.process, oid, place));
        drop(reads);
        self.0.remember.wake();
    }

    /// Whether a file that is made under a name stays on this device.
    pub(crate) fn is_local(&self, parent: u64, room: Oid, name: &str, who: Option<Who>) -> bool {
        let lock = || {
            let path = name.ends_with(".lock").then(|| self.0.node.path(room)).flatten();
            path.is_some_and(|path| path.split('/').any(|name| name == ".git"))
        };
        self.begins_backup(parent, name, who)
            || scratch::is_scratch(name)
            || self.is_beside_database(parent, name)
            || lock()
    }

    // What SQLite keeps beside a database means nothing without this machine's locks.
    fn is_beside_database(&self, parent: u64, name: &str) -> bool {
        let Some(of) = ["-journal", "-wal", "-shm"].iter().find_map(|end| name.strip_suffix(end)) else {
            return false;
        };
        let Ok(Key::Object(oid)) = self.find(parent, of.as_bytes()) else { return false };
        let held = self.0.copies.lock().get(&oid).and_then(std::sync::Weak::upgrade);
        // Before its first transaction a database is an empty file.
        match held {
            Some(copy) => {
                let state = copy.state();
                state.is_database() || state.content.size() == 0
            }
            None => self.0.node.read(oid).is_ok_and(|(_, body)| {
                let content = Content::of(body);
                content.size() == 0 || is_database(&content)
            }),
        }
    }

    /// Whether making `name` sets aside a copy of a file that the same process has open for reading, under a name
    /// that says that it is nothing else.
    pub(crate) fn begins_backup(&self, parent: u64, name: &str, who: Option<Who>) -> bool {
        let Some(who) = who else { return false };
        let mut plainly = false;
        for file in self.0.handles.opened_by(who.process, false) {
            let originals = self.0.inodes.lock().names_of(file.ino).to_vec();
            let mut originals = originals.iter().filter(|(room, _)| *room == parent);
            let Some((_, original)) = originals.find(|(_, original)| scratch::is_backup(original, name))
            else {
                continue;
            };
            plainly |= scratch::is_plainly_backup(original, name);
            let mut noted = file.noted.lock();
            noted.copying = true;
            if let Some(version) = noted.version.clone() {
                let oid = file.copy().state().oid;
                let reading = Reading::Copying(noted.before.clone());
                self.0.reads.lock().note(who, oid, version, reading);
            }
        }
        plainly
    }

    /// Whether a process that opens a file for reading has its backup open for writing.
    pub(crate) fn fills_backup(&self, ino: u64, who: Option<Who>) -> bool {
        let Some(who) = who else { return false };
        let backups = self.0.handles.opened_by(who.process, true);
        if backups.is_empty() {
            return false;
        }
        let inodes = self.0.inodes.lock();
        let is_backup = |room: &u64, original: &str| {
            let names = backups.iter().flat_map(|file| inodes.names_of(file.ino));
            names.into_iter().any(|(at, name)| at == room && scratch::is_backup(original, name))
        };
        inodes.names_of(ino).iter().any(|(room, original)| is_backup(room, original))
    }
}
