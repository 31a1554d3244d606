//! From kinds of error to the kernel's numbers: the only place that knows both.

use base::Kind;
use fuser::Errno;

/// The number that stands for a kind of error.
pub(crate) fn errno(kind: Kind) -> Errno {
    match kind {
        Kind::NotFound => Errno::ENOENT,
        Kind::Exists => Errno::EEXIST,
        Kind::NotRoom => Errno::ENOTDIR,
        Kind::IsRoom => Errno::EISDIR,
        Kind::NotEmpty => Errno::ENOTEMPTY,
        Kind::Denied => Errno::EACCES,
        Kind::ReadOnly => Errno::EROFS,
        Kind::Invalid => Errno::EINVAL,
        Kind::NameTooLong => Errno::ENAMETOOLONG,
        Kind::TooLarge => Errno::EFBIG,
        Kind::NoSpace => Errno::ENOSPC,
        Kind::CrossSpace => Errno::EXDEV,
        Kind::Busy => Errno::EBUSY,
        Kind::Executing => Errno::ETXTBSY,
        Kind::Stale => Errno::ESTALE,
        Kind::Unsupported => Errno::EOPNOTSUPP,
        Kind::NoAttribute => Errno::ENODATA,
        Kind::Loop => Errno::ELOOP,
        Kind::Interrupted => Errno::EINTR,
        Kind::Unreachable => Errno::EHOSTUNREACH,
        Kind::Corrupt | Kind::Poisoned | Kind::Running | Kind::Io => Errno::EIO,
    }
}

/// As `errno`, of an error of the tree; what a person could not learn from the number is logged.
pub(crate) fn of(error: &tree::Error) -> Errno {
    match error.kind() {
        Kind::Corrupt | Kind::Poisoned | Kind::Io | Kind::Unreachable | Kind::NoSpace => {
            tracing::warn!("{error}")
        }
        _ => tracing::trace!("{error}"),
    }
    errno(error.kind())
}
