//! The closed set of things that can go wrong, as a face (mount, 9P, command line) sees them.

/// What went wrong, in words that every face can translate: the mount to an errno, the program to
/// a hint. Each crate's error enum answers one of these by its `kind()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No such name, object, space or peer.
    NotFound,
    /// The name is taken.
    Exists,
    /// A room was needed and this is none.
    NotRoom,
    /// A file was needed and this is a room.
    IsRoom,
    /// The room still holds something.
    NotEmpty,
    /// The asker lacks the role for it.
    Denied,
    /// Nobody may write here (a reader's space, a view of the past).
    ReadOnly,
    /// The argument makes no sense here.
    Invalid,
    /// A name or path over its limit.
    NameTooLong,
    /// A value over its limit.
    TooLarge,
    /// The disk is full.
    NoSpace,
    /// A move or link from one space to another.
    CrossSpace,
    /// Somebody is using it.
    Busy,
    /// It is a program that somebody runs.
    Executing,
    /// It was here and is no longer what the asker held.
    Stale,
    /// Known, but not by this version.
    Unsupported,
    /// What was stored or received does not decode, verify or resolve.
    Corrupt,
    /// The store refused after a failed sync; it answers errors until it is reopened.
    Poisoned,
    /// The bytes are not on this machine and no friend who has them answers.
    Unreachable,
    /// The wait was ended from outside.
    Interrupted,
    /// Another process runs this home.
    Running,
    /// No attribute of this name.
    NoAttribute,
    /// Symlinks or rooms lead in a circle.
    Loop,
    /// Any other failure of the machine below.
    Io,
}

impl Kind {
    /// A word for logs and `--json`, stable across versions.
    pub fn word(self) -> &'static str {
        match self {
            Kind::NotFound => "not-found",
            Kind::Exists => "exists",
            Kind::NotRoom => "not-a-room",
            Kind::IsRoom => "is-a-room",
            Kind::NotEmpty => "not-empty",
            Kind::Denied => "denied",
            Kind::ReadOnly => "read-only",
            Kind::Invalid => "invalid",
            Kind::NameTooLong => "name-too-long",
            Kind::TooLarge => "too-large",
            Kind::NoSpace => "no-space",
            Kind::CrossSpace => "cross-space",
            Kind::Busy => "busy",
            Kind::Executing => "executing",
            Kind::Stale => "stale",
            Kind::Unsupported => "unsupported",
            Kind::Corrupt => "corrupt",
            Kind::Poisoned => "poisoned",
            Kind::Unreachable => "unreachable",
            Kind::Interrupted => "interrupted",
            Kind::Running => "running",
            Kind::NoAttribute => "no-attribute",
            Kind::Loop => "loop",
            Kind::Io => "io",
        }
    }

    /// What an I/O error of the machine below means to a face.
    pub fn of_io(error: &std::io::Error) -> Kind {
        use std::io::ErrorKind as E;
        match error.kind() {
            E::NotFound => Kind::NotFound,
            E::AlreadyExists => Kind::Exists,
            E::PermissionDenied => Kind::Denied,
            E::StorageFull | E::QuotaExceeded => Kind::NoSpace,
            E::FileTooLarge => Kind::TooLarge,
            E::Interrupted => Kind::Interrupted,
            E::InvalidInput => Kind::Invalid,
            _ => Kind::Io,
        }
    }
}

/// What can be wrong with bytes, names and ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not the deterministic encoding of what they claim to be.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
    /// A count or length above its named limit.
    #[error("{what} over its limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit from `limit.rs`.
        limit: usize,
    },
    /// An envelope version this build does not know.
    #[error("{what} of unknown version {version}")]
    Version {
        /// What was being read.
        what: &'static str,
        /// The version found.
        version: u64,
    },
    /// A name that cannot be a door's.
    #[error("not a usable name")]
    Name,
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Malformed { .. } => Kind::Corrupt,
            Error::Limit { .. } => Kind::TooLarge,
            Error::Version { .. } => Kind::Unsupported,
            Error::Name => Kind::Invalid,
        }
    }
}
