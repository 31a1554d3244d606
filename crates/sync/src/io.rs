//! What goes in and what comes out: the whole surface between the state machine and the node.

use crate::envelope::{Envelope, Tips};
use crate::piece::Cut;
use base::{ChunkId, DeviceId, Entry, Hash, LogId, SpaceTag};
use std::collections::{BTreeMap, BTreeSet};

/// A peer is a device.
pub type PeerId = DeviceId;

/// How an entry came: what is owed to whom, and who answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// On the link with this peer, which waits for an ack.
    Link(PeerId),
    /// By gossip that this peer passed on; the ack is for the author, if they are a peer.
    Gossip(PeerId),
    /// From the node's own store, where it waited for its predecessor; nobody is owed an ack.
    Kept,
}

impl Origin {
    /// The peer on whose link it came; none for gossip.
    pub(crate) fn link(self) -> Option<PeerId> {
        match self {
            Origin::Link(id) => Some(id),
            Origin::Gossip(_) | Origin::Kept => None,
        }
    }

    /// Whoever brought it, of what goes when they go.
    pub(crate) fn peer(self) -> Option<PeerId> {
        match self {
            Origin::Link(id) | Origin::Gossip(id) => Some(id),
            Origin::Kept => None,
        }
    }
}

/// What happened.
// One is made and used up at a time; none is kept in lists.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Input {
    /// A space, or a person's statements, is held here, and this is what is durable of it. Replaces
    /// what was said of it before.
    Space {
        /// The space.
        tag: SpaceTag,
        /// Where its logs stand: for each the entries that no other builds on by `prev`.
        logs: BTreeMap<LogId, Tips>,
    },
    /// A space is no longer held.
    Drop {
        /// The space.
        tag: SpaceTag,
    },
    /// The spaces in which this peer is held to be a member: the whole set; replaces the last.
    Allow {
        /// The peer.
        peer: PeerId,
        /// The spaces; those that are not held here are kept back until they are.
        tags: BTreeSet<SpaceTag>,
    },
    /// This peer is no friend any more: everything known of it goes.
    Forget {
        /// The peer.
        peer: PeerId,
    },
    /// What was known of a peer when this node last ran (or what a bundle's receiver is known to
    /// have): with it a link that never answers is served too.
    Recall {
        /// The peer.
        peer: PeerId,
        /// The spaces that it announced.
        announced: BTreeSet<SpaceTag>,
        /// Where it stood, by space; logs that are not named were empty.
        frontiers: BTreeMap<SpaceTag, BTreeMap<LogId, Tips>>,
    },
    /// A link to the peer is up.
    Connected {
        /// The peer.
        peer: PeerId,
    },
    /// The link is down. What is under way on it counts as lost.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// An envelope came on a link, or in a bundle.
    Received {
        /// Who sent it.
        peer: PeerId,
        /// What it says.
        envelope: Envelope,
    },
    /// An envelope came by gossip. Who made it is not known: it is taken for what every member of the
    /// space could have said, and whoever passed it on answers for it.
    Gossip {
        /// The peer that passed it on.
        via: PeerId,
        /// The space whose secret opened it; it says something of this one or nothing.
        tag: SpaceTag,
        /// What it says.
        envelope: Envelope,
    },
    /// An entry is durable: made here, or delivered and accepted.
    Stored {
        /// Its space.
        tag: SpaceTag,
        /// Its log.
        log: LogId,
        /// Its place.
        seq: u64,
        /// Its hash.
        hash: Hash,
        /// The entry before it.
        prev: Option<Hash>,
        /// Its size in bytes.
        bytes: usize,
    },
    /// As `Stored`, of an entry that others here build on: it was missing below them.
    Filled {
        /// Its space.
        tag: SpaceTag,
        /// Its log.
        log: LogId,
        /// Its place.
        seq: u64,
        /// Its hash.
        hash: Hash,
        /// The entry before it.
        prev: Option<Hash>,
        /// Its size in bytes.
        bytes: usize,
    },
    /// Of a log with more branches than `limit::TIPS`: the sum over the hashes of all its entries that are
    /// durable, as `Hash::plus` makes it. Given after `Space`, and when it changes.
    Sum {
        /// The space.
        tag: SpaceTag,
        /// The log.
        log: LogId,
        /// The sum.
        sum: Hash,
    },
    /// The logs of which entries are known to be missing here below others. Replaces what was said before.
    Holes {
        /// The logs, by space.
        logs: BTreeSet<(SpaceTag, LogId)>,
    },
    /// Nothing is missing below others in this log any more: where it stands, counted anew.
    Mended {
        /// The space.
        tag: SpaceTag,
        /// The log.
        log: LogId,
        /// Its tips.
        tips: Tips,
        /// As `Sum` has it, where there are more branches than may be named.
        sum: Option<Hash>,
    },
    /// The answer to `List`.
    Listed {
        /// The number the output had.
        job: u64,
        /// The entries, in order; none if there are more than `limit::COMPARED`, or they cannot be read.
        entries: Option<Vec<(u64, Hash)>>,
    },
    /// An entry that was delivered is here already.
    Known {
        /// Its space.
        tag: SpaceTag,
        /// Its log.
        log: LogId,
        /// Its place.
        seq: u64,
        /// Its hash.
        hash: Hash,
    },
    /// An entry that was delivered names a `prev` that is not in the store: it is taken back, and
    /// delivered again after that one.
    Missing {
        /// As it was delivered.
        from: Option<PeerId>,
        /// The space it was delivered for.
        tag: SpaceTag,
        /// The entry.
        entry: Entry,
    },
    /// An entry that was delivered cannot be judged yet: its author, or what lets them write, is not
    /// known here. It is kept, within bounds, and delivered again after `Retry`.
    Waits {
        /// As it was delivered.
        from: Option<PeerId>,
        /// The space it was delivered for.
        tag: SpaceTag,
        /// The entry.
        entry: Entry,
    },
    /// An entry that waits for its predecessor is durable: the answer to `Keep`, and at the start. It waits
    /// until that comes, however long; the node bounds how many.
    Kept {
        /// Its space.
        tag: SpaceTag,
        /// The entry.
        entry: Entry,
    },
    /// Members or devices became known: what waits for that may be judged now.
    Retry,
    /// An entry that was delivered is invalid, or does not count now.
    Refused {
        /// Its space.
        tag: SpaceTag,
        /// Its log.
        log: LogId,
        /// Its place.
        seq: u64,
        /// Its hash.
        hash: Hash,
    },
    /// The answer to each `SendEntries`, `SendEntry` and `SendChunk`: handed to the carrier.
    Sent {
        /// The peer.
        peer: PeerId,
        /// The number the output had.
        job: u64,
        /// The first place that was not sent; for `SendEntries` only, otherwise 0.
        next: u64,
        /// Bytes handed over; 0 if there was nothing to send.
        bytes: usize,
        /// Bytes in the carrier's queue for this peer now.
        queued: usize,
    },
    /// The carrier's queue for this peer went down.
    Drained {
        /// The peer.
        peer: PeerId,
        /// Bytes in it.
        queued: usize,
    },
    /// These chunks are needed, in this order, after those that were asked for before.
    ChunksWanted {
        /// The space.
        tag: SpaceTag,
        /// The chunks.
        ids: Vec<ChunkId>,
    },
    /// These chunks are no longer needed.
    ChunksUnwanted {
        /// The space.
        tag: SpaceTag,
        /// The chunks.
        ids: Vec<ChunkId>,
    },
    /// A chunk that was delivered is durable.
    ChunkStored {
        /// The space.
        tag: SpaceTag,
        /// The chunk.
        id: ChunkId,
    },
    /// A chunk that was delivered is not what its id says; it is asked for elsewhere.
    ChunkFailed {
        /// The space.
        tag: SpaceTag,
        /// The chunk.
        id: ChunkId,
    },
    /// Time has passed; to be given at `next_wake`.
    Tick,
}

/// What is to be done.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this envelope.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        envelope: Envelope,
    },
    /// Load these entries, every branch, in order of their places, and send them in `Entries`
    /// envelopes, stopping after the entry that reaches the budget. Answer `Sent`.
    SendEntries {
        /// To whom.
        peer: PeerId,
        /// The number to answer with.
        job: u64,
        /// The space.
        tag: SpaceTag,
        /// The log.
        log: LogId,
        /// The first place.
        from: u64,
        /// The last place, itself included.
        to: u64,
        /// Bytes after which to stop; at least one place is always sent.
        budget: usize,
        /// How entries go that are too large to be sent at once, as `entry_envelopes` has it.
        cut: Cut,
    },
    /// Load the entry of this hash, if it is in this space, and send it; else send `Absent`.
    /// Answer `Sent`.
    SendEntry {
        /// To whom.
        peer: PeerId,
        /// The number to answer with.
        job: u64,
        /// The space.
        tag: SpaceTag,
        /// The entry.
        hash: Hash,
        /// As in `SendEntries`.
        cut: Cut,
    },
    /// Load the chunk, if it belongs to this space, and send it from a place on, as `chunk_envelopes` has it.
    /// Answer `Sent`.
    SendChunk {
        /// To whom.
        peer: PeerId,
        /// The number to answer with.
        job: u64,
        /// The space.
        tag: SpaceTag,
        /// The chunk.
        id: ChunkId,
        /// The first byte to send.
        from: u64,
        /// Bytes of a part at most.
        part: usize,
    },
    /// News, as far as the recent past tells; an entry's `prev` was delivered or stored before it.
    /// Verify and store, and answer with exactly one of `Stored`, `Filled`, `Known`, `Missing`,
    /// `Waits`, `Refused`.
    Deliver {
        /// Who sent it; none if it came by gossip.
        from: Option<PeerId>,
        /// Its space (a genesis entry's header cannot name it).
        tag: SpaceTag,
        /// The entry.
        entry: Entry,
    },
    /// An entry came ahead of its predecessor, in a bundle, or on a link and a while ago; it is held in memory.
    /// If it is worth it, make it durable and answer `Kept`.
    Keep {
        /// Its space.
        tag: SpaceTag,
        /// The entry.
        entry: Entry,
    },
    /// A chunk that was wanted. Check its hash, store it, and answer `ChunkStored` or `ChunkFailed`.
    DeliverChunk {
        /// Who sent it.
        from: PeerId,
        /// The space.
        tag: SpaceTag,
        /// Its id, as asked.
        id: ChunkId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// List the entries of a log up to a place, in order of place and hash. Answer `Listed`.
    List {
        /// The number to answer with.
        job: u64,
        /// The space.
        tag: SpaceTag,
        /// The log.
        log: LogId,
        /// The last place.
        top: u64,
    },
    /// No connected peer has this chunk. It stays wanted.
    ChunkAbsent {
        /// The space.
        tag: SpaceTag,
        /// The chunk.
        id: ChunkId,
    },
    /// A fresh entry of this device: publish it to the space's group if it is content (nobody takes
    /// anything else from gossip; the links bring it), as `Entries` if it has at most
    /// `limit::GOSSIP_BYTES`, otherwise as the `announcement`.
    Gossip {
        /// The space.
        tag: SpaceTag,
        /// The log.
        log: LogId,
        /// The place.
        seq: u64,
        /// The entry.
        hash: Hash,
        /// The envelope to publish instead of an entry that is too large for gossip.
        announcement: Option<Envelope>,
    },
    /// A peer hands over a space.
    Offer {
        /// Who.
        from: PeerId,
        /// The name it suggests.
        name: String,
        /// Whole entries, not looked at.
        entries: Vec<Vec<u8>>,
    },
    /// A peer sent an address record.
    Addr {
        /// Who.
        from: PeerId,
        /// The signed record, not looked at.
        record: Vec<u8>,
    },
    /// The peer is known to have what is here of this space, and the reverse.
    Synced {
        /// The peer.
        peer: PeerId,
        /// The space.
        tag: SpaceTag,
    },
    /// A peer is over its bounds. Its envelopes are ignored until it is within them again; nothing
    /// else is lost.
    Misbehaved {
        /// Who.
        peer: PeerId,
        /// What it did last.
        why: Offence,
    },
}

/// What a peer did that costs more than it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Hellos faster than anybody needs.
    Hellos,
    /// A hello in another's name.
    Impostor,
    /// Frontiers that bring no news, or name logs without end.
    Frontiers,
    /// Requests without end.
    Wants,
    /// Bytes that are no entry, or of no shared space.
    NoEntry,
    /// Entries that the node refused.
    Refused,
    /// Entries without the ones before them.
    Gaps,
    /// Chunks or records that nobody asked for.
    Unasked,
    /// Gossip that is no news of its space. Only gossip that this peer passes on is ignored then: it
    /// may be another's, and what the peer itself says comes on its link.
    Gossip,
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Offence::Hellos => "too many hellos",
            Offence::Impostor => "a hello in another's name",
            Offence::Frontiers => "too many frontiers",
            Offence::Wants => "too many requests",
            Offence::NoEntry => "bytes that are no entry of a shared space",
            Offence::Refused => "too many invalid entries",
            Offence::Gaps => "too many entries without their predecessors",
            Offence::Unasked => "things that were not asked for",
            Offence::Gossip => "gossip that is no news, passed on",
        })
    }
}
