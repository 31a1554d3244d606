//! What can go wrong with an object.

use base::Kind;

/// The result of whatever can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with an object, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not what they claim to be.
    #[error(transparent)]
    Base(#[from] base::Error),
    /// A body written by a newer version. It is kept, and applied after an upgrade.
    #[error(
        "written by a newer version of chorus (body version {version}); it is kept and shows after an upgrade"
    )]
    Version {
        /// The version found.
        version: u64,
    },
    /// A version of the object that is not here, or no longer.
    #[error("that version of the object is not on this machine; read it again and repeat the change")]
    UnknownVersion,
    /// The operation does not fit the object's type.
    #[error("the object is no {wanted}")]
    Unfit {
        /// What it would have to be.
        wanted: &'static str,
    },
    /// A value above its named limit.
    #[error("{what} over its limit of {limit}; nothing was changed")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An extended attribute of a name that is not kept.
    #[error("attributes of that name are not kept with an object; nothing was changed")]
    Attribute,
    /// The stored image of the object does not load.
    #[error("the stored image of the object does not load; it can be rebuilt from the entries")]
    Image,
    /// The engine gave up on a change; the document must be built again from its entries.
    #[error("a change broke the object's document; it must be rebuilt from the entries, which are all kept")]
    Panicked,
    /// The engine refused an edit of our own.
    #[error("the edit was refused: {reason}; the object is as it was")]
    Engine {
        /// The engine's words.
        reason: String,
    },
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Base(error) => error.kind(),
            Error::Version { .. } | Error::Attribute => Kind::Unsupported,
            Error::UnknownVersion => Kind::Stale,
            Error::Unfit { .. } => Kind::Invalid,
            Error::TooLarge { .. } => Kind::TooLarge,
            Error::Image | Error::Panicked | Error::Engine { .. } => Kind::Corrupt,
        }
    }
}

impl From<automerge::AutomergeError> for Error {
    fn from(error: automerge::AutomergeError) -> Error {
        Error::Engine { reason: error.to_string() }
    }
}
