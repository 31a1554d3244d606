//! What can be wrong with keys, signatures and sealed bytes.

use base::Kind;

/// Why something was not signed, verified, sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The signature is not the named signer's over these bytes.
    #[error("the signature does not verify")]
    Signature,
    /// An entry that says it belongs to another space, or would be signed by another device.
    #[error("the entry belongs to another {what}")]
    Foreign {
        /// What differs: "space" or "device".
        what: &'static str,
    },
    /// Sealed bytes that were changed, cut short, or sealed under another key.
    #[error("the sealed {what} does not open with this key")]
    Sealed {
        /// What was to be opened.
        what: &'static str,
    },
    /// Packed bytes that do not unpack.
    #[error("the packed bytes do not unpack")]
    Packed,
    /// What would be inflated is over the limit of the format.
    #[error("inflates to more than {limit} bytes")]
    Inflated {
        /// The limit in bytes.
        limit: usize,
    },
    /// A public key nobody can hold the private half of.
    #[error("not a usable key")]
    Key,
    /// The entry's own encoding.
    #[error(transparent)]
    Format(#[from] base::Error),
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Signature | Error::Sealed { .. } | Error::Packed | Error::Key => Kind::Corrupt,
            Error::Foreign { .. } => Kind::Invalid,
            Error::Inflated { .. } => Kind::TooLarge,
            Error::Format(error) => error.kind(),
        }
    }
}
