//! What can be wrong with an envelope.

/// Why bytes are no envelope. Nothing is lost by dropping one: whatever it carried is asked for
/// again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not decode, exceed a limit, or are of another version.
    #[error("not an envelope: {0}")]
    Envelope(#[from] base::Error),
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> base::Kind {
        match self {
            Error::Envelope(error) => error.kind(),
        }
    }
}
