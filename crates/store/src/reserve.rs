//! Room on the disk: refuses a write while there is still enough for the engine to finish what it
//! began. The engine itself does not survive a disk that is really full.
//!
//! Two things are kept: blocks set apart at the end of the database file, enough for all that was
//! applied and is not yet written, so that nobody else can take them; and free space, so that
//! edits are refused before the disk is full for everybody.

use crate::Error;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

// The engine writes a record, later the page around it, and again when it moves pages together.
const AMPLIFICATION: u64 = 4;
// A tenth of the largest page, for a small record among large ones: ten make the engine write it.
const PER_RECORD: u64 = 8 << 10;
// Two of the engine's segments: one is always begun before the last is full.
const SEGMENTS: u64 = 1 << 20;
// How much more than needed is set apart at a time.
const AHEAD: u64 = 4 << 20;

/// Keeps free space, and blocks set apart for the database file.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    path: PathBuf,
    floor: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    // What the batches applied since the last flush may cost.
    pending: u64,
    // The filesystem does not set blocks apart.
    unsupported: bool,
}

impl Reserve {
    /// A reserve of `floor` bytes on the filesystem of `file`, the database at `path`.
    pub(crate) fn new(file: File, path: PathBuf, floor: u64) -> Reserve {
        Reserve { file, path, floor, state: Mutex::default() }
    }

    /// Whether a batch of so many records and bytes may be written. One that frees space may use
    /// three quarters of the reserve, and all that is set apart.
    pub(crate) fn admit(&self, records: u64, bytes: u64, frees: bool) -> Result<(), Error> {
        let cost = bytes.saturating_mul(AMPLIFICATION).saturating_add(records.saturating_mul(PER_RECORD));
        let mut state = self.state.lock();
        let want = state.pending.saturating_add(cost).saturating_add(SEGMENTS);
        let floor = if frees { self.floor / 4 } else { self.floor };
        let (len, apart) = self.apart()?;
        let missing = if state.unsupported { cost } else { want.saturating_sub(apart) };
        let free = self.free()?;
        let need = floor.saturating_add(missing);
        if free < need && (missing > 0 || !frees) {
            return Err(Error::NoSpace { free, need });
        }
        if missing > 0 && !state.unsupported {
            let more = missing + AHEAD.min(free - need);
            let taken = self.set_apart(len, apart + more)?;
            let (now, apart) = self.apart()?;
            // Where the engine wrote meanwhile, what it wrote was set apart before.
            state.unsupported = !taken || now == len && apart < want;
        }
        state.pending = state.pending.saturating_add(cost);
        Ok(())
    }

    /// Whether a file of bulk data may be begun.
    pub(crate) fn admit_file(&self) -> Result<(), Error> {
        let free = self.free()?;
        if free < self.floor { Err(Error::NoSpace { free, need: self.floor }) } else { Ok(()) }
    }

    /// All that was admitted is written.
    pub(crate) fn flushed(&self) {
        self.state.lock().pending = 0;
    }

    // Bytes that may still be written to this filesystem, as far as it tells.
    fn free(&self) -> Result<u64, Error> {
        let stat =
            fstatvfs(&self.file).map_err(|e| Error::io("asking for free space of", &self.path)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    // The length of the database file, and the bytes set apart after its end. Asked anew every
    // time, since the engine cuts its file shorter when it likes, and the blocks are gone.
    fn apart(&self) -> Result<(u64, u64), Error> {
        let meta = self.file.metadata().map_err(Error::io("looking at", &self.path))?;
        Ok((meta.len(), (meta.blocks() * 512).saturating_sub(meta.len())))
    }

    // Sets blocks apart after the end of the file; whether the filesystem does that.
    fn set_apart(&self, len: u64, bytes: u64) -> Result<bool, Error> {
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, len, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
                Err(Error::NoSpace { free: self.free()?, need: bytes })
            }
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(Error::io("setting blocks apart for", &self.path)(e.into())),
        }
    }
}
