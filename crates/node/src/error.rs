//! What a node can refuse, fail at or find broken.

use base::Kind;

/// Why a node did not do what it was asked. The text says what happened; the program adds a hint
/// by [`Error::kind`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A refusal or failure that the text explains.
    #[error("{text}")]
    Refused {
        /// What a face makes of it.
        kind: Kind,
        /// What happened.
        text: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Keys or sealed bytes are not what they should be.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    /// A document failed.
    #[error(transparent)]
    Object(#[from] object::Error),
    /// A membership operation, card or pairing message failed.
    #[error(transparent)]
    Member(#[from] space::member::Error),
    /// Bytes failed to decode.
    #[error(transparent)]
    Base(#[from] base::Error),
    /// The live carrier failed.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// A file of the home failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// The machine's answer.
        error: std::io::Error,
    },
}

/// The result of asking a node.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal in one line.
    pub(crate) fn refused(kind: Kind, text: impl Into<String>) -> Error {
        Error::Refused { kind, text: text.into() }
    }

    /// A refusal by a friend or the network, in its own words.
    pub(crate) fn from_text(text: String) -> Error {
        Error::refused(Kind::Unreachable, text)
    }

    /// The kind a face translates to an errno or a hint.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Refused { kind, .. } => *kind,
            Error::Store(e) => e.kind(),
            Error::Crypto(e) => e.kind(),
            Error::Object(e) => e.kind(),
            Error::Member(e) => e.kind(),
            Error::Base(e) => e.kind(),
            Error::Net(e) => e.kind(),
            Error::Io { error, .. } => Kind::of_io(error),
        }
    }
}

/// Names what was being done when the machine below failed.
pub(crate) trait During<T> {
    /// Wraps an I/O error with what was being done.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Io { what: what(), error })
    }
}
