//! Why a mountpoint could not be mounted or unmounted, and what to do about it.

use base::Kind;
use std::path::PathBuf;

/// Why a mount did not come about. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory does not exist.
    #[error("the mountpoint {0} does not exist; make it with: mkdir -p {0}")]
    Missing(PathBuf),
    /// It is something else.
    #[error("the mountpoint {0} is not a directory; name one that is, or move the file away")]
    NotDirectory(PathBuf),
    /// Files below a mount would be hidden.
    #[error(
        "the mountpoint {0} is not empty, and mounting would hide what is in it; move that away, or name another"
    )]
    NotEmpty(PathBuf),
    /// Another file system is mounted there.
    #[error("something is mounted on {0} already; unmount it with: umount {0}")]
    Busy(PathBuf),
    /// What a crash left could not be removed.
    #[error("a dead mount is left on {path} and could not be removed ({reason}); try: umount -l {path}")]
    Dead {
        /// The mountpoint.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// FUSE is not available.
    #[error("no FUSE here ({0}); install fuse3 and load the fuse module, or mount elsewhere")]
    NoFuse(String),
    /// FUSE is there, for others.
    #[error("this user may not open /dev/fuse; let everybody, as most systems do: sudo chmod 0666 /dev/fuse")]
    Closed,
    /// The machine below failed.
    #[error("{what} {path}: {error}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The mountpoint.
        path: PathBuf,
        /// The machine's answer.
        error: std::io::Error,
    },
}

impl Error {
    /// The kind that the program gives a hint and an exit code for.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Missing(_) => Kind::NotFound,
            Error::NotDirectory(_) => Kind::NotRoom,
            Error::NotEmpty(_) => Kind::NotEmpty,
            Error::Busy(_) | Error::Dead { .. } => Kind::Busy,
            Error::NoFuse(_) => Kind::Unsupported,
            Error::Closed => Kind::Denied,
            Error::Io { error, .. } => Kind::of_io(error),
        }
    }
}
