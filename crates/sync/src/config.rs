//! The delays and sizes that a node may choose for itself.

use base::limit;

/// Delays in milliseconds and sizes in bytes. None of them is part of the protocol.
#[derive(Clone, Debug)]
pub struct Config {
    /// From one HELLO to a peer to the next.
    pub hello_period: u64,
    /// The same where nothing has happened for long.
    pub longest_period: u64,
    /// A HELLO comes up to this much earlier or later.
    pub jitter: u64,
    /// How long gossip has to bring a fresh entry before a peer that is seen to lack it is pushed it on the link.
    pub push_after: u64,
    /// How long entries that came from one peer are gathered before they are offered to another.
    pub forward_after: u64,
    /// How long acks of entries that came on the link are gathered.
    pub ack_after: u64,
    /// How long it is waited before an offer of what is here already is answered.
    pub offer_ack_after: u64,
    /// Bytes received on a link after which the ack goes at once.
    pub ack_bytes: usize,
    /// How long an answer takes at least before something counts as lost; adapts upwards.
    pub patience: u64,
    /// Bytes under way to one peer at most.
    pub flight_bytes: usize,
    /// A difference of at most so many bytes is pushed at once, a larger one offered; and
    pub eager_bytes: usize,
    /// of at most so many entries: so many are waited for before they are asked for.
    pub eager_entries: u64,
    /// Chunks asked of one peer at a time.
    pub chunk_asks: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            hello_period: 5_000,
            longest_period: 60_000,
            jitter: 1_000,
            push_after: 1_500,
            forward_after: 500,
            ack_after: 50,
            offer_ack_after: 200,
            ack_bytes: 256 << 10,
            patience: 2_000,
            flight_bytes: limit::FLIGHT_BYTES,
            eager_bytes: 1 << 20,
            eager_entries: 64,
            chunk_asks: 8,
        }
    }
}
