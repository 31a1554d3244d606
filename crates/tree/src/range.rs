//! Ranges of open files: space set aside, holes, and copying from one file to another.

use crate::error::{Error, Result};
use crate::handle::OpenFile;
use crate::tree::Tree;
use base::Kind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes copied at a time.
const BLOCK: u64 = 1 << 20;

/// What to make of a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// There are bytes, zeros where there were none before.
    Extend,
    /// There is space for bytes; the size stays.
    Reserve,
    /// Zeros as far as there are bytes; the size stays.
    Punch,
    /// Zeros, and the file reaches to its end.
    Zero,
}

impl Tree {
    /// Sets a range of an open file aside, or empties it.
    ///
    /// Errors: the handle is not open for writing, or there is no such space.
    pub fn allocate(&self, handle: u64, offset: u64, len: u64, what: Allocate) -> Result<()> {
        let file = self.0.handles.file(handle)?;
        if !file.how.write {
            return Err(Error::refused(Kind::Denied, "not open for writing"));
        }
        let end = offset.checked_add(len).filter(|_| len > 0);
        let end = end.ok_or_else(|| Error::refused(Kind::Invalid, "no range of a file"))?;
        let copy = file.copy();
        let size = copy.state().content.size();
        if what != Allocate::Punch && end > size && end - size > self.statfs()?.free {
            return Err(Error::refused(Kind::NoSpace, "the disk has no such space"));
        }
        let node = &self.0.node;
        let mut first = false;
        if matches!(what, Allocate::Punch | Allocate::Zero) && offset < size {
            first |= copy.punch(offset, len, file.who, node)?;
        }
        if matches!(what, Allocate::Extend | Allocate::Zero) && end > size {
            first |= copy.resize(end, file.who, node)?;
        }
        if first {
            self.0.idle.watch(&copy);
        }
        file.wrote.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Writes bytes at `offset` even where the handle appends: pages of a mapped file, which are where they are.
    ///
    /// Errors: as `write`.
    pub fn write_back(&self, handle: u64, offset: u64, data: &[u8]) -> Result<()> {
        let file = self.0.handles.file(handle)?;
        let copy = file.copy();
        if copy.write(Some(offset), data, file.who, &self.0.node)? {
            self.0.idle.watch(&copy);
        }
        file.wrote.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Where the next bytes (`data`), or the next hole, of an open file begin from `from` on; None past the last.
    ///
    /// Errors: the handle is none of a file.
    pub fn seek(&self, handle: u64, from: u64, data: bool) -> Result<Option<u64>> {
        let copy = self.0.handles.file(handle)?.copy();
        let state = copy.state();
        state.content.seek(from, data)
    }

    /// Copies at most `len` bytes from one open file to another. How many.
    ///
    /// Errors: as reading and writing.
    pub fn copy_range(&self, from: (u64, u64), to: (u64, u64), len: u64) -> Result<u64> {
        let (source, target): (Arc<OpenFile>, Arc<OpenFile>) =
            (self.0.handles.file(from.0)?, self.0.handles.file(to.0)?);
        if !source.how.read || !target.how.write {
            return Err(Error::refused(Kind::Denied, "not open for that"));
        }
        let mut copied = 0;
        while copied < len {
            let bytes = self.read(from.0, from.1 + copied, BLOCK.min(len - copied) as usize)?;
            if bytes.is_empty() {
                break;
            }
            self.write(to.0, to.1 + copied, &bytes)?;
            copied += bytes.len() as u64;
        }
        Ok(copied)
    }
}
