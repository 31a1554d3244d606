//! What the carrier tells the node.

use crate::Error;
use base::DeviceId;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Something that happened. Events of one peer come in the order in which they happened, and all
/// its `Received` lie between a `Connected` and the next `Disconnected`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An address on which others can reach this machine now.
    Listening {
        /// A multiaddr with the port that was chosen.
        addr: String,
    },
    /// The link with a friend stands; `send` works.
    Connected {
        /// The friend's device.
        peer: DeviceId,
        /// The friend's address.
        addr: String,
    },
    /// The link is gone; what was queued and not received is lost.
    Disconnected {
        /// The friend's device.
        peer: DeviceId,
        /// What ended it, for people.
        why: String,
    },
    /// A message a friend sent over the link.
    Received {
        /// The friend's device.
        peer: DeviceId,
        /// The message, at most `limit::ENVELOPE_BYTES`.
        bytes: Vec<u8>,
    },
    /// A message published under a topic we subscribed to, once however many friends passed it on.
    Gossip {
        /// The topic.
        topic: String,
        /// The message, at most `limit::GOSSIP_BYTES`.
        bytes: Vec<u8>,
        /// The friend who passed it on; not necessarily its author.
        from: DeviceId,
    },
    /// Somebody asks to pair: a friend, or a stranger while pairing is open.
    PairRequest {
        /// The device that asks; its key is proven, nothing else is.
        peer: DeviceId,
        /// The request, at most `limit::CARD_BYTES`.
        bytes: Vec<u8>,
        /// Where the answer goes; dropping it refuses.
        reply: Reply,
    },
    /// What became of `Net::pair`.
    PairAnswer {
        /// The device that was asked.
        peer: DeviceId,
        /// Its answer, at most `limit::CARD_BYTES`.
        result: Result<Vec<u8>, Error>,
    },
    /// A queue that was more than half full is below half: `send` has room again.
    Drained {
        /// The friend's device.
        peer: DeviceId,
        /// Bytes still queued.
        queued: usize,
    },
    /// Something is wrong that a person may want to know of; the carrier goes on.
    Trouble {
        /// What, for people. Holds nothing that was received.
        what: String,
    },
}

/// The place for one answer to a pairing request.
#[derive(Debug)]
pub struct Reply(pub(crate) oneshot::Sender<Vec<u8>>);

impl Reply {
    /// Sends the answer, at most `limit::CARD_BYTES`; a longer one refuses. Whoever asked may be
    /// gone meanwhile.
    pub fn send(self, answer: Vec<u8>) {
        let _ = self.0.send(answer);
    }
}

/// How a connection travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with noise and yamux.
    Tcp,
    /// QUIC version 1.
    Quic,
}

/// What is known of a friend's device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Whether the link stands.
    pub connected: bool,
    /// The address of the link, or of the last one.
    pub addr: Option<String>,
    /// How the link travels.
    pub transport: Option<Transport>,
    /// Since when the link stands, or when the last one ended.
    pub since: Option<SystemTime>,
    /// Bytes received since start: all streams, before encryption and packet framing.
    pub bytes_in: u64,
    /// Bytes sent since start, counted alike.
    pub bytes_out: u64,
    /// Messages of gossip that came since start; of those that several friends passed on, the first.
    pub hints_in: u64,
    /// Messages of gossip, our own and those passed on, that went out since start.
    pub hints_out: u64,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// Why the last attempt to reach it failed.
    pub trouble: Option<String>,
}
