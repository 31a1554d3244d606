//! A working copy: the bytes that all handles opened on one version of one object share, what was
//! done to them since the last commit, and the version that those edits are edits of.

mod commit;

use crate::content::{Content, Lend};
use crate::error::Result;
use crate::process::Who;
use crate::settle::Base;
use base::{Kind, Oid};
use node::{Attr, Body, Node, Version};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long a file that was only emptied waits for its new content.
const EMPTIED_WAITS: Duration = Duration::from_millis(150);
/// How long edits wait for more when nobody closes or syncs the file.
const EDITS_WAIT: Duration = Duration::from_secs(1);
/// How long edits wait for a rest that does not come.
const EDITS_WAIT_AT_MOST: Duration = Duration::from_secs(5);
/// Bytes fetched at a time when a file that is elsewhere is to be written.
const FETCH: usize = 1 << 20;

// How long edits of a file of so many bytes wait for a rest, and for one that does not come. Each commit of a large
// file has all of it hashed and, with the next write, copied: that is to stay a small part of the time in which it is
// written, whatever the program is. The close commits at once.
fn waits(size: u64) -> (Duration, Duration) {
    (EDITS_WAIT + Duration::from_micros(size / 100), EDITS_WAIT_AT_MOST + Duration::from_micros(size / 10))
}

/// What was done since the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// Emptied and not filled again.
    Emptied,
    /// Only appended to, from this offset on.
    Appended(u64),
    /// Anything else.
    Edited,
}

/// The bytes that several handles share.
pub(crate) struct WorkingCopy {
    /// Tells copies apart in tables that outlive them.
    pub(crate) id: u64,
    /// Open handles; changed only under the lock of the table of copies.
    pub(crate) handles: AtomicUsize,
    // Held over a whole commit: two commits of one file never overlap. Taken before `state`.
    commit: Mutex<()>,
    state: Mutex<State>,
    /// Handles that may write.
    pub(crate) writers: AtomicUsize,
    /// Handles that only add to the end, and cannot read; never too many while others are counted.
    pub(crate) adders: AtomicUsize,
}

/// How the file of an SQLite database begins.
const DATABASE: &[u8] = b"SQLite format 3\0";

/// Whether content is a database.
pub(crate) fn is_database(content: &Content) -> bool {
    matches!(content.read(0, DATABASE.len()), Ok(Some(bytes)) if bytes == DATABASE)
}

pub(crate) struct State {
    /// Whose bytes these are.
    pub(crate) oid: Oid,
    /// The version that the bytes are, or, when changed, are edits of.
    pub(crate) base: Version,
    pub(crate) content: Content,
    pub(crate) change: Change,
    /// Made here and never saved: nobody else has heard of it.
    pub(crate) newborn: bool,
    /// No door leads to it any more: it is never committed.
    pub(crate) orphan: bool,
    // Its file is never replaced while it is open, and handed over only whole.
    database: bool,
    perm: u16,
    mtime: SystemTime,
    // When it was last written through a handle, whatever time was set since.
    written: SystemTime,
    touched: Instant,
    // When what is not committed began.
    since: Instant,
    writer: Option<Who>,
    // What the writer had read before the base.
    earlier: Vec<Version>,
    committing: bool,
    // What is committed goes to the end of whatever is newest, and these bytes are replaced by that: nobody may join.
    adding: bool,
    // The end of what was committed, where it went to the end of a version that nobody here had read: it is not in the
    // base, but in what is newest.
    unbased: Vec<u8>,
    // The size and the times last shown to somebody while they were not yet the node's.
    shown: Option<(u64, SystemTime, SystemTime)>,
    // Somebody else read what was not yet committed.
    peeked: bool,
}

/// What `stat` shows of an open file while it differs from what the node knows.
pub(crate) struct Shown {
    pub(crate) size: u64,
    pub(crate) mtime: SystemTime,
    pub(crate) written: SystemTime,
    pub(crate) perm: u16,
    pub(crate) changed: bool,
    pub(crate) orphan: bool,
}

impl WorkingCopy {
    /// The bytes of one version, open for the first time.
    pub(crate) fn new(oid: Oid, base: Version, content: Content, attr: &Attr) -> WorkingCopy {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let database = is_database(&content);
        let state = State {
            oid,
            base,
            content,
            database,
            change: Change::None,
            newborn: false,
            orphan: false,
            perm: attr.perm,
            mtime: attr.mtime,
            written: attr.ctime,
            touched: Instant::now(),
            since: Instant::now(),
            writer: None,
            earlier: Vec::new(),
            committing: false,
            adding: false,
            unbased: Vec::new(),
            shown: None,
            peeked: false,
        };
        WorkingCopy {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            handles: AtomicUsize::new(0),
            commit: Mutex::new(()),
            writers: AtomicUsize::new(0),
            adders: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    /// A file just made, that nobody has heard of.
    pub(crate) fn newborn(oid: Oid, attr: &Attr) -> WorkingCopy {
        let copy = WorkingCopy::new(oid, Version::default(), Content::of_nothing(), attr);
        copy.state.lock().newborn = true;
        copy
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether a handle opened when the newest version is `newest` belongs to this copy: it is that version, or
    /// it holds local edits, which all must see, or is a database, whose users share one file and its locks.
    pub(crate) fn serves(&self, newest: &Version) -> bool {
        let state = self.state.lock();
        !state.orphan
            && !state.adding
            && state.unbased.is_empty()
            && (state.is_changed() || state.newborn || state.database || state.base == *newest)
    }

    /// Whether nobody may join because what was added here went to a version that nobody here had read.
    pub(crate) fn is_apart(&self) -> bool {
        let state = self.state.lock();
        state.adding || !state.unbased.is_empty()
    }

    /// Whether reading or writing may have to wait for a friend.
    pub(crate) fn waits(&self) -> bool {
        // Somebody holds it who may be waiting already.
        self.state.try_lock().is_none_or(|state| matches!(state.content, Content::Remote(_)))
    }

    /// For `stat`.
    pub(crate) fn show(&self) -> Shown {
        let mut state = self.state.lock();
        let changed = state.is_changed() || state.newborn || state.database;
        if state.is_changed() {
            state.shown = Some((state.content.size(), state.mtime, state.written));
        }
        Shown {
            size: state.content.size(),
            mtime: state.mtime,
            written: state.written,
            perm: state.perm,
            changed,
            orphan: state.orphan,
        }
    }

    /// All bytes of a version that was read from elsewhere are here now.
    pub(crate) fn arrive(&self, version: &Version, body: Body) {
        let mut state = self.state.lock();
        if matches!(state.content, Content::Remote(_)) && state.base == *version {
            state.content = Content::of(body);
        }
    }

    /// Bytes from `offset`; None where they are elsewhere and must be asked of the node as this version.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Result<Vec<u8>, (Oid, Version)>> {
        let state = self.state.lock();
        Ok(match state.content.read(offset, len)? {
            Some(bytes) => Ok(bytes),
            None => Err((state.oid, state.base.clone())),
        })
    }

    /// Puts bytes at `offset`, or at the end. True: the copy was unchanged until now.
    pub(crate) fn write(
        &self,
        offset: Option<u64>,
        data: &[u8],
        writer: Option<Who>,
        node: &Node,
    ) -> Result<bool> {
        let mut state = self.state.lock();
        if data.is_empty() {
            return Ok(false);
        }
        state.fetch(node)?;
        let oid = state.oid;
        let size = state.content.size();
        let at = offset.unwrap_or(size);
        state.content.write(at, data, &|| Ok(node.scratch(oid)?))?;
        state.database |= at == 0 && data.starts_with(DATABASE);
        let change = match state.change {
            Change::None if offset.is_none() => Change::Appended(size),
            Change::Appended(from) if offset.is_none() => Change::Appended(from),
            _ => Change::Edited,
        };
        Ok(state.changed(change, writer))
    }

    /// Cuts it to a size, or fills it up. True: the copy was unchanged until now.
    pub(crate) fn resize(&self, size: u64, writer: Option<Who>, node: &Node) -> Result<bool> {
        let mut state = self.state.lock();
        if size == state.content.size() {
            return Ok(false);
        }
        state.fetch(node)?;
        let oid = state.oid;
        state.content.resize(size, &|| Ok(node.scratch(oid)?))?;
        Ok(state.changed(Change::Edited, writer))
    }

    /// Makes zeros of a range, as far as there are bytes. True: the copy was unchanged until now.
    pub(crate) fn punch(&self, from: u64, len: u64, writer: Option<Who>, node: &Node) -> Result<bool> {
        let mut state = self.state.lock();
        state.fetch(node)?;
        let oid = state.oid;
        state.content.punch(from, len, &|| Ok(node.scratch(oid)?))?;
        Ok(state.changed(Change::Edited, writer))
    }

    /// Empties it, as the beginning of a save that replaces all: an edit of `base`, which is what the writer has
    /// read. True: the copy was unchanged until now.
    pub(crate) fn empty(&self, base: Option<Base>, writer: Option<Who>, node: &Node) -> Result<bool> {
        // What is being handed over has a base of its own, and changes it when it is done.
        let _one = self.commit.lock();
        let mut state = self.state.lock();
        if state.newborn && state.content.size() == 0 {
            return Ok(false);
        }
        if let Some(base) = base
            && !state.newborn
        {
            if base.version != state.base {
                state.unbased.clear();
            }
            (state.base, state.earlier) = (base.version, base.earlier);
        }
        // Emptying what is empty is no edit; what is written next is one of that base all the same.
        if state.content.size() == 0 && !state.is_changed() {
            return Ok(false);
        }
        let oid = state.oid;
        let scratch: Lend<'_> = &|| Ok(node.scratch(oid)?);
        state.content.resize(0, scratch)?;
        let first = state.changed(Change::Edited, writer);
        state.change = if state.newborn { Change::None } else { Change::Emptied };
        Ok(first)
    }

    /// How long the copy must be left alone before it is committed by itself; None when there is nothing to commit.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.state.lock();
        match state.change {
            _ if state.orphan || (state.database && self.writers.load(Ordering::Relaxed) > 0) => None,
            Change::None => None,
            Change::Emptied => Some(state.touched + EMPTIED_WAITS),
            // A program that writes without end is heard all the same.
            Change::Appended(_) | Change::Edited => {
                let (rest, most) = waits(state.content.size());
                Some((state.touched + rest).min(state.since + most))
            }
        }
    }

    /// Whether it holds what somebody else wrote, an emptying excepted.
    pub(crate) fn has_edits_of_others(&self, who: Option<Who>) -> bool {
        let state = self.state.lock();
        matches!(state.change, Change::Appended(_) | Change::Edited) && !state.newborn && state.writer != who
    }

    /// Whether a close of a handle that wrote commits: there is something, and it is more than an emptying.
    pub(crate) fn is_worth_a_flush(&self) -> bool {
        let state = self.state.lock();
        !state.database && !matches!(state.change, Change::None | Change::Emptied)
    }
}

impl State {
    /// Whether it differs from what the node knows.
    pub(crate) fn is_changed(&self) -> bool {
        self.change != Change::None || self.committing
    }

    /// Whether `who`, reading it now, reads what is not a version yet.
    pub(crate) fn peek(&mut self) -> bool {
        let changed = self.is_changed();
        self.peeked |= changed;
        changed
    }

    /// Whether it is the file of a database.
    pub(crate) fn is_database(&self) -> bool {
        self.database
    }

    /// When it was last written.
    pub(crate) fn set_mtime(&mut self, mtime: SystemTime) {
        self.mtime = mtime;
    }

    /// Its permission bits.
    pub(crate) fn set_perm(&mut self, perm: u16) {
        self.perm = perm;
    }

    /// Who wrote last.
    pub(crate) fn set_writer(&mut self, writer: Option<Who>) {
        self.writer = writer.or(self.writer);
    }

    fn changed(&mut self, change: Change, writer: Option<Who>) -> bool {
        let first = self.change == Change::None;
        self.change = change;
        self.set_writer(writer);
        self.touched = Instant::now();
        if first {
            self.since = self.touched;
        }
        self.mtime = node::now();
        self.written = self.mtime;
        first
    }

    // Only this file waits while its bytes are brought here.
    fn fetch(&mut self, node: &Node) -> Result<()> {
        let Content::Remote(size) = self.content else { return Ok(()) };
        let mut here = Content::of_nothing();
        let (oid, mut at) = (self.oid, 0);
        while at < size {
            let bytes = node.read_remote(self.oid, &self.base, at, FETCH.min((size - at) as usize))?;
            if bytes.is_empty() {
                return Err(crate::error::Error::refused(
                    Kind::Unreachable,
                    "the rest of the file is not on this machine and no friend who has it answers",
                ));
            }
            here.write(at, &bytes, &|| Ok(node.scratch(oid)?))?;
            at += bytes.len() as u64;
        }
        self.content = here;
        Ok(())
    }
}
