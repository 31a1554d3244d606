//! Open files and rooms, by the number a face holds.

use crate::copy::WorkingCopy;
use crate::error::{Result, stale};
use crate::listing::OpenRoom;
use crate::process::{ProcessKey, Who};
use crate::settle::Base;
use node::Version;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How a program begins that the kernel runs by itself.
const ELF: &[u8] = b"\x7fELF";

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// Emptied at once.
    pub truncate: bool,
    /// Writes go to the end as it is then.
    pub append: bool,
    /// Must not exist yet.
    pub exclusive: bool,
    /// Opened to be run.
    pub execute: bool,
}

impl How {
    /// Whether nothing can be done through it but to add to the end.
    pub(crate) fn only_adds(self) -> bool {
        self.append && self.write && !self.read
    }
}

/// How a face may cache what it reads through a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Not at all: every read is asked for.
    Direct,
    /// From now on; what was cached before is old.
    Fresh,
    /// What was cached before still holds.
    Keep,
}

/// An opened handle.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The handle's number.
    pub handle: u64,
    /// What may be cached.
    pub caching: Caching,
    /// The file that holds just what the handle shows and never changes, where every open handle of the inode may
    /// read from it.
    pub whole: Option<Arc<File>>,
}

/// An open file.
pub(crate) struct OpenFile {
    pub(crate) ino: u64,
    pub(crate) how: How,
    pub(crate) who: Option<Who>,
    /// What a save through it is an edit of, as settled when it was opened; the newest, if none.
    pub(crate) base: Option<Base>,
    /// Its bytes are not those of the object that the inode stands for: a friend's file has the name now.
    pub(crate) elsewhere: bool,
    /// The kernel may serve it by itself.
    pub(crate) whole: bool,
    /// The bytes it shows; another copy only after `tail -f` moved on.
    pub(crate) copy: RwLock<Arc<WorkingCopy>>,
    /// Written through since its last flush.
    pub(crate) wrote: AtomicBool,
    /// What its process is remembered to have read through it.
    pub(crate) noted: Mutex<Noted>,
    /// The newest version that turned out not to extend the one shown.
    pub(crate) no_extension: Mutex<Option<Version>>,
}

/// What reading through a handle did to the memory of its process.
#[derive(Default)]
pub(crate) struct Noted {
    /// The version noted.
    pub(crate) version: Option<Version>,
    /// What had been remembered before it.
    pub(crate) before: Option<Version>,
    /// It is read to be copied to a backup, not into a buffer.
    pub(crate) copying: bool,
}

impl OpenFile {
    pub(crate) fn copy(&self) -> Arc<WorkingCopy> {
        self.copy.read().clone()
    }
}

/// What a handle's number stands for.
#[derive(Clone)]
pub(crate) enum Handle {
    File(Arc<OpenFile>),
    Text(Arc<str>),
    Room(Arc<OpenRoom>),
}

/// All open handles.
#[derive(Default)]
pub(crate) struct Handles {
    open: RwLock<HashMap<u64, Handle>>,
    next: AtomicU64,
}

impl Handles {
    pub(crate) fn insert(&self, handle: Handle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.write().insert(number, handle);
        number
    }

    pub(crate) fn get(&self, number: u64) -> Result<Handle> {
        self.open.read().get(&number).cloned().ok_or_else(stale)
    }

    pub(crate) fn file(&self, number: u64) -> Result<Arc<OpenFile>> {
        match self.get(number)? {
            Handle::File(file) => Ok(file),
            _ => Err(stale()),
        }
    }

    /// The files that a process has open, only for reading or also for writing.
    pub(crate) fn opened_by(&self, who: ProcessKey, write: bool) -> Vec<Arc<OpenFile>> {
        let open = self.open.read();
        let files = open.values().filter_map(|handle| match handle {
            Handle::File(file) if file.who.is_some_and(|w| w.process == who) && file.how.write == write => {
                Some(file.clone())
            }
            _ => None,
        });
        files.collect()
    }

    /// Whether a program is being run whose file has this number. A script is only read by what runs it.
    pub(crate) fn is_executing(&self, ino: u64) -> bool {
        let run = |handle: &Handle| match handle {
            Handle::File(file) if file.how.execute && file.ino == ino => Some(file.copy()),
            _ => None,
        };
        let run: Vec<_> = self.open.read().values().filter_map(run).collect();
        run.iter().any(|copy| matches!(copy.read(0, ELF.len()), Ok(Ok(bytes)) if bytes == ELF))
    }

    /// The bytes of all open files.
    pub(crate) fn copies(&self) -> Vec<Arc<WorkingCopy>> {
        let open = self.open.read();
        let files = open.values().filter_map(|handle| match handle {
            Handle::File(file) => Some(file.copy()),
            _ => None,
        });
        files.collect()
    }

    pub(crate) fn remove(&self, number: u64) -> Option<Handle> {
        self.open.write().remove(&number)
    }

    pub(crate) fn drain(&self) -> Vec<Handle> {
        self.open.write().drain().map(|(_, handle)| handle).collect()
    }
}
