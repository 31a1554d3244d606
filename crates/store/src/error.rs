//! What can go wrong in the store, said so that a person knows what was not lost and what to do.

use base::Kind;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has this store open.
    #[error("already running{}; stop it first, or use another home", pid.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Running {
        /// The process that holds the lock, where it left its number.
        pid: Option<u32>,
    },
    /// The store was written by a newer version.
    #[error(
        "the store in {} has format {found}, and this version reads formats up to {known}; nothing was \
         touched; use the newer version",
        dir.display()
    )]
    Newer {
        /// The directory of the store.
        dir: PathBuf,
        /// The format found there.
        found: u64,
        /// The newest format this build reads.
        known: u64,
    },
    /// What is on disk does not decode, is incomplete, or is older than what was promised.
    #[error(
        "the store in {} is damaged: {what}; no file was removed; set the database aside (it becomes db.corrupt-N) \
         and start again: friends still have what was sent to them",
        dir.display()
    )]
    Corrupt {
        /// The directory of the store.
        dir: PathBuf,
        /// What is wrong, with the key or file where there is one.
        what: String,
    },
    /// A sync or write failed earlier, so nothing more is accepted until the store is reopened.
    #[error(
        "the store stopped after a failed write ({why}); what was reported durable is safe, later edits may be \
         lost; look at the disk, then start again"
    )]
    Poisoned {
        /// The failure that stopped it.
        why: String,
    },
    /// The disk is full, or nearly.
    #[error(
        "the disk is full ({free} bytes free, {need} needed); nothing was lost; free some space and try again"
    )]
    NoSpace {
        /// Bytes a user may still write.
        free: u64,
        /// Bytes that must be free for this write, the reserve included.
        need: u64,
    },
    /// A key or value over its limit.
    #[error("{what} of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Key or value.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most it may have.
        limit: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The machine below failed.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The kind a face translates to an errno or a hint.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Running { .. } => Kind::Running,
            Error::Newer { .. } => Kind::Unsupported,
            Error::Corrupt { .. } => Kind::Corrupt,
            Error::Poisoned { .. } | Error::Closed => Kind::Poisoned,
            Error::NoSpace { .. } => Kind::NoSpace,
            Error::TooLarge { .. } => Kind::TooLarge,
            Error::Io { source, .. } => Kind::of_io(source),
        }
    }

    /// For `map_err`: an I/O error with what was being done to which file.
    pub(crate) fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(dir: &Path, what: impl Into<String>) -> Error {
        Error::Corrupt { dir: dir.to_owned(), what: what.into() }
    }
}
