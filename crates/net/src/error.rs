//! What can go wrong between friends' machines.

use base::Kind;

/// Why something did not go out, or did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An address that is none, or none of a transport we speak.
    #[error("not an address: {text}")]
    Address {
        /// The text that was given.
        text: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {why}")]
    Listen {
        /// The address.
        addr: String,
        /// What the machine said.
        why: String,
        /// `Busy` where another program has the port.
        kind: Kind,
    },
    /// The carrier's own thread or transports could not be set up.
    #[error("the network could not be started: {why}")]
    Start {
        /// What failed.
        why: String,
    },
    /// A device id that is no ed25519 public key.
    #[error("not a device's key")]
    Key,
    /// The peer's queue is full; `Event::Drained` tells when to go on. Nothing was queued.
    #[error("{queued} bytes already wait to be sent to this peer")]
    Full {
        /// Bytes in the queue.
        queued: usize,
    },
    /// There is no link with the peer. Nothing was queued.
    #[error("not connected to this peer")]
    NotConnected,
    /// The message is larger than a peer takes.
    #[error("message over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, from `base::limit`.
        limit: usize,
    },
    /// No address of the peer led to it.
    #[error("the peer was not reached: {why}")]
    Unreached {
        /// What each address answered.
        why: String,
    },
    /// The peer closed without an answer: it is not waiting for us.
    #[error("the peer closed without an answer")]
    Refused,
    /// The peer answered nothing in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The daemon that stores and forwards cannot be asked, or refused.
    #[error("the DTN daemon: {why}")]
    Daemon {
        /// What the machine or the daemon said.
        why: String,
    },
    /// The carrier was stopped.
    #[error("the network was stopped")]
    Stopped,
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Address { .. } | Error::Key => Kind::Invalid,
            Error::Listen { kind, .. } => *kind,
            Error::Start { .. } => Kind::Io,
            Error::Full { .. } => Kind::Busy,
            Error::NotConnected | Error::Unreached { .. } | Error::Timeout | Error::Daemon { .. } => {
                Kind::Unreachable
            }
            Error::TooLarge { .. } => Kind::TooLarge,
            Error::Refused => Kind::Denied,
            Error::Stopped => Kind::Interrupted,
        }
    }
}
