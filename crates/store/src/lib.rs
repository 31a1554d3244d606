//! What is durable: sled, and bulk files beside it.
//!
//! A [`Store`] maps keys to values, in the order of the keys, and changes them in batches that
//! happen whole or not at all. What was applied is visible at once and becomes durable in order,
//! by group commit: after a crash there is everything up to some batch and nothing of later
//! ones, and that batch is not before any that [`Store::wait`] answered for. What keys and values
//! mean is not known here.
//!
//! # On disk
//!
//! | in the directory | what it is |
//! |---|---|
//! | `FORMAT` | `chorus store 1`; written last when a store is made, never changed |
//! | `LOCK` | locked while open; the number of the process |
//! | `clean` | number of the last batch and CRC-32; there only after a clean close |
//! | `durable` | number of a batch known to be durable and CRC-32; not synced, so it may lag |
//! | `db/` | sled 0.34, its one default tree |
//! | `db.corrupt-N/` | a database set aside by [`Store::quarantine`] |
//! | `bulk/ab/cdef…` | bulk files; 32 hex digits of the name, the first two the directory |
//! | `tmp/` | files being written; emptied at open |
//!
//! Keys in the tree (integers big-endian):
//!
//! | key | record |
//! |---|---|
//! | `h` key | head: kind 0 and the value, or kind 1 and `seq:8 item:4 len:4` of its pieces |
//! | `m` | kind 3 and `seq:8 heads:8 sum:8`: last batch, number of heads, wrapping sum of their CRCs |
//! | `p` seq:8 item:4 n:4 | kind 2 and the nth piece of the value written by batch `seq` as its `item`th |
//!
//! A record is `crc:4 kind:1 data`, the CRC-32 over the tree's key, kind and data. Key and record
//! together are never over 4096 bytes, since sled puts large ones into files that it never syncs.
//! Values over what fits are pieces; pieces are never overwritten, and a new value has new ones. So a reader
//! that meets a change sees the old value or the new, and the keys of heads keep the callers' order.
//!
//! # What durable means
//!
//! A commit is sled's flush and then `fsync` of its file: its flush alone does not survive a power cut. After
//! a failed sync nothing is known of what is on disk, so the store is poisoned and refuses
//! everything until it is opened again. sled does not survive a full disk: a reserve is kept,
//! and edits are refused with `NoSpace` before sled can meet one.

mod batch;
mod bulk;
mod check;
mod commit;
mod engine;
mod error;
mod lock;
mod mark;
mod open;
mod range;
mod record;
mod reserve;
mod stamp;
mod write;

pub use batch::Batch;
pub use bulk::{Bulk, BulkName, Names, Temp};
pub use check::Check;
pub use commit::{Listener, Ticket};
pub use error::Error;
pub use mark::FORMAT;
pub use open::{OpenReport, Opened, Options};
pub use range::{Pair, Range};
pub use record::{KEY_BYTES, VALUE_BYTES};

use commit::Commit;
use engine::Engine;
use lock::Lock;
use parking_lot::Mutex;
use record::Head;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use write::Writing;

/// An open store. Clones are the same store; the directory is free for another opening when the
/// last clone and the last [`Range`] are gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

// The order of the fields is the order in which they are let go: the lock last.
struct Inner {
    committer: Mutex<Option<JoinHandle<()>>>,
    commit: Arc<Commit>,
    writing: Arc<Writing>,
    bulk: Bulk,
    engine: Arc<Engine>,
    _lock: Lock,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `dir`, making it where there is none.
    ///
    /// Errors: `Running` where another process has it, `Newer` where a newer version wrote it, `Corrupt` where it
    /// is damaged (see [`Options::salvage`] and [`Store::quarantine`]), `NoSpace` and `Io`.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, Error> {
        open::open(dir, options)
    }

    /// Sets the database of a damaged store aside, as `db.corrupt-N`, so that the next opening
    /// makes an empty one. Bulk files stay where they are. Answers the new name; none where there was no
    /// database. Errors: `Running`, `Newer`, `Io`.
    pub fn quarantine(dir: &Path) -> Result<Option<PathBuf>, Error> {
        open::quarantine(dir)
    }

    /// The value of a key. Errors: `Corrupt` where it is damaged, `Io`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.read(&record::head_key(key))
    }

    /// Whether there is a value for a key; reads no large value.
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.inner.engine.get(&record::head_key(key))?.is_some())
    }

    /// Keys that begin with `prefix`, with their values, in order.
    pub fn range(&self, prefix: &[u8]) -> Range {
        Range::new(&self.inner, prefix, range::after_prefix(prefix).as_deref())
    }

    /// Keys that begin with `prefix` and are not before `start`, with their values, in order.
    pub fn range_from(&self, prefix: &[u8], start: &[u8]) -> Range {
        let below = range::after_prefix(prefix);
        let from = start.max(prefix);
        // A start after the prefix's end asks for nothing.
        let from = below.as_deref().map_or(from, |below| from.min(below));
        Range::new(&self.inner, from, below.as_deref())
    }

    /// Applies a batch: whole, visible when this returns, durable soon. An empty batch answers
    /// the ticket of the last.
    ///
    /// Errors: `NoSpace` (nothing happened; try again when there is space), `TooLarge`, `Poisoned`,
    /// `Corrupt` where a record to be replaced is damaged, `Io`.
    pub fn apply(&self, batch: Batch) -> Result<Ticket, Error> {
        self.inner.writing.apply(batch)
    }

    /// As `apply`, but visible only with the next batch that is applied or with the next commit, in that
    /// order: for what nobody reads before the store is opened again. It costs next to nothing, and
    /// never waits for a commit. Errors: `NoSpace`, `TooLarge`, `Poisoned`.
    pub fn defer(&self, batch: Batch) -> Result<Ticket, Error> {
        self.inner.writing.defer(batch)
    }

    /// Waits until a batch, and with it all before, is durable; the commit begins at once. Errors: `Poisoned`.
    pub fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        self.inner.commit.wait(ticket)
    }

    /// Waits until everything applied so far is durable. Errors: `Poisoned`.
    pub fn sync(&self) -> Result<(), Error> {
        let newest = self.inner.commit.newest();
        self.inner.commit.wait(newest)?;
        if self.is_poisoned() { Err(self.inner.commit.poisoned()) } else { Ok(()) }
    }

    /// Whether a batch is durable already.
    pub fn durable(&self, ticket: Ticket) -> bool {
        self.inner.commit.is_durable(ticket)
    }

    /// The ticket of the newest batch applied, also in earlier openings; its number is 0 in a new store.
    pub fn newest(&self) -> Ticket {
        self.inner.commit.newest()
    }

    /// Calls `listener` after every commit with the newest durable batch, on the committer's thread:
    /// it must not wait for the store. Listeners stay until the store is gone, so one that holds a
    /// clone of the store keeps it open.
    pub fn on_durable(&self, listener: Listener) {
        self.inner.commit.listen(listener);
    }

    /// The bulk files.
    pub fn bulk(&self) -> &Bulk {
        &self.inner.bulk
    }

    /// Removes every bulk file for which `keep` answers no, and says which those were.
    pub fn bulk_retain(&self, keep: &dyn Fn(&BulkName) -> bool) -> Result<Vec<BulkName>, Error> {
        self.inner.bulk.retain(keep)
    }

    /// The quick check: reads every record. Edits wait meanwhile. Errors are those of reading; what
    /// is damaged is in the answer.
    pub fn check(&self) -> Result<Check, Error> {
        let meta = self.inner.writing.meta.lock();
        Ok(check::run(&self.inner.engine, &meta)?.0)
    }

    /// Closes the store: everything durable, the clean mark written. Other clones answer `Closed`
    /// to edits afterwards. Errors: `Poisoned`, `Io`; the store is closed all the same.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    /// Whether a write or sync failed, so that edits are refused until the store is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.inner.commit.is_poisoned()
    }

    /// The directory of the store.
    pub fn dir(&self) -> &Path {
        self.inner.engine.dir()
    }

    /// Bytes that the store takes on disk, bulk files included. Errors: `Io`.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        open::disk_bytes(self.dir())
    }
}

impl Inner {
    // The value under a head's key, joined. A head that names pieces which are gone was replaced
    // meanwhile, unless it is still there: then it is damaged.
    fn read(&self, head_key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut seen = None;
        loop {
            let Some(record) = self.engine.get(head_key)? else { return Ok(None) };
            match record::read_head(head_key, &record) {
                None => return Err(self.damaged(head_key)),
                Some(Head::Inline(value)) => return Ok(Some(value.to_vec())),
                Some(Head::Pieces(at)) => {
                    if seen == Some(at) {
                        return Err(self.damaged(head_key));
                    }
                    if let Some(value) = self.join(&at)? {
                        return Ok(Some(value));
                    }
                    seen = Some(at);
                }
            }
        }
    }

    fn join(&self, at: &record::Pieces) -> Result<Option<Vec<u8>>, Error> {
        let mut value = Vec::new();
        for n in 0..at.count() {
            let key = at.key(n);
            let record = self.engine.get(&key)?;
            match record.as_ref().and_then(|r| record::read_piece(&key, r)) {
                Some(piece) if piece.len() == at.len_of(n) => value.extend_from_slice(piece),
                _ => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    fn damaged(&self, head_key: &[u8]) -> Error {
        Error::corrupt(self.engine.dir(), format!("the record {} is damaged", check::name(head_key)))
    }

    fn close(&self) -> Result<(), Error> {
        let stopped = self.commit.stop();
        if let Some(committer) = self.committer.lock().take() {
            // A listener may be what lets go of the last clone: a thread cannot wait for itself.
            if committer.thread().id() != std::thread::current().id() {
                let _ = committer.join();
            }
        }
        if stopped {
            return Ok(());
        }
        let newest = self.commit.newest();
        self.commit.wait(newest)?;
        if self.commit.is_poisoned() {
            return Err(self.commit.poisoned());
        }
        mark::write_clean(self.engine.dir(), newest.0)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not closed cleanly; it is checked at the next start");
        }
    }
}
