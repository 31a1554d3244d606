//! What a walk, an open or a save can be refused for.

use base::Kind;

/// Why the tree did not do what a face asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node refused or failed.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The tree itself refuses; the text says why.
    #[error("{text}")]
    Refused {
        /// What a face makes of it.
        kind: Kind,
        /// What happened.
        text: &'static str,
    },
    /// A working copy's file failed.
    #[error("the working copy of an open file failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The result of asking the tree.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal in one line.
    pub(crate) fn refused(kind: Kind, text: &'static str) -> Error {
        Error::Refused { kind, text }
    }

    /// The kind a face translates to its own code.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Node(error) => error.kind(),
            Error::Refused { kind, .. } => *kind,
            Error::Io(error) => Kind::of_io(error),
        }
    }
}

/// There is nothing by that name or number.
pub(crate) fn not_found() -> Error {
    Error::refused(Kind::NotFound, "no such name here")
}

/// The number or handle is no longer what the face held.
pub(crate) fn stale() -> Error {
    Error::refused(Kind::Stale, "that file or handle is gone")
}
