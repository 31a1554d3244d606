//! Every bound that something received, stored or waited for must keep, by name.
//!
//! The constants under "format" decide whether a thing counts and can never change; a node's own
//! limits only delay.

// Format: every build agrees on these for ever.

/// Bytes of one entry, signature included.
pub const ENTRY_BYTES: usize = 4 << 20;
/// Places in a log and lamport clocks are below this: adding to one can never wrap, and a made-up one
/// leaves room for everybody else.
pub const CLOCK: u64 = 1 << 48;
/// Bytes of an entry's header.
pub const HEADER_BYTES: usize = 16 << 10;
/// Bytes of a body after inflation.
pub const BODY_BYTES: usize = 16 << 20;
/// Hashes a header may name in `deps`.
pub const DEPS: usize = 256;
/// Hashes a header may name in `auth`.
pub const AUTH: usize = 64;
/// Births and changes in one body.
pub const BODY_ITEMS: usize = 16_384;
/// Bytes of a name in a door.
pub const NAME_BYTES: usize = 255;
/// Bytes of a symlink's text.
pub const LINK_BYTES: usize = 4095;
/// Bytes of a text at its birth; what is born larger is a blob.
pub const TEXT_BORN_BYTES: usize = 1 << 20;
/// Bytes at which a text becomes a blob.
pub const TEXT_BYTES: usize = 2 << 20;
/// Bytes of one sealed chunk.
pub const CHUNK_BYTES: usize = (4 << 20) + 64;
/// Bytes of an extended attribute's value.
pub const XATTR_BYTES: usize = 64 << 10;
/// Bytes of all of an object's extended attributes.
pub const XATTRS_BYTES: usize = 128 << 10;
/// Patterns by which one room names what is scratch in it.
pub const SCRATCH_PATTERNS: usize = 256;
/// Chunks that a manifest names itself; above that they are named by chunks of the manifest.
pub const MANIFEST_CHUNKS: usize = 4096;
/// Recipients of one epoch's wraps.
pub const WRAPS: usize = 4096;
/// Bytes of a person's statement, in clear.
pub const STATEMENT_BYTES: usize = 16 << 10;
/// Bytes of a membership operation, in clear.
pub const OPERATION_BYTES: usize = WRAPS * 160;

// A node's own: what is over these waits, or is asked for again.

/// Bytes of one envelope on a stream.
pub const ENVELOPE_BYTES: usize = 8 << 20;
/// Devices that one bundle is sealed for.
pub const BUNDLE_WRAPS: usize = 64;
/// Bytes of messages in one bundle of a spool.
pub const SPOOL_BUNDLE_BYTES: u64 = 64 << 20;
/// Bundles of one friend in a spool that are remembered, so that nothing is written twice.
pub const SPOOL_BUNDLES: usize = 4096;
/// Bytes handed to a DTN daemon at a time.
pub const DTN_BYTES: usize = 1_000_000;
/// Pieces of one bundle that goes over DTN.
pub const DTN_PIECES: usize = 16;
/// Bytes of bundles for one friend that wait for an ack over DTN, and of pieces received and not yet whole.
pub const DTN_SPOOL_BYTES: u64 = 64 << 20;
/// Bytes of an endpoint's name.
pub const ENDPOINT_BYTES: usize = 200;
/// Chunks that a bundle asks for.
pub const BUNDLE_WANTS: usize = 64 * WANTS;
/// Bytes of one gossip message; a larger entry is announced and goes by stream.
pub const GOSSIP_BYTES: usize = 60 << 10;
/// Bytes of entries that came in pieces and are not whole yet, of one peer.
pub const PIECES_BYTES: usize = 2 * ENTRY_BYTES;
/// Bytes of chunks and entries that came in part only, from peers whose links are down.
pub const PARTIAL_BYTES: usize = 32 << 20;
/// Ranges, hashes and chunk ids in one WANT.
pub const WANTS: usize = 64;
/// Spaces in one announcement.
pub const SPACES: usize = 4096;
/// Logs in one frontier.
pub const FRONTIER_LOGS: usize = 16_384;
/// Tips of one log (several when forked).
pub const TIPS: usize = 16;
/// Cells of a comparison of one log that are looked at; two sets that have more apart are compared again later.
pub const CELLS: usize = 1 << 16;
/// Cells in one envelope.
pub const CELLS_AT_ONCE: usize = 4096;
/// Entries of a log that are compared at once.
pub const COMPARED: usize = 1 << 20;
/// Bytes under way to one peer before its acks are waited for.
pub const FLIGHT_BYTES: usize = 16 << 20;
/// Bytes under way to a peer whose acks take minutes: what a contact carries before the first of them.
pub const FAR_FLIGHT_BYTES: usize = 1 << 30;
/// Loads under way to one peer, however small each is.
pub const FLIGHTS: usize = 16_384;
/// Entries held that came ahead of their predecessors, per peer.
pub const HELD_ENTRIES: usize = 1024;
/// Bytes of such entries, per peer.
pub const HELD_BYTES: usize = 32 << 20;
/// Such entries that are kept over a restart, of all devices together.
pub const KEPT_ENTRIES: usize = 16 * HELD_ENTRIES;
/// What came by gossip may take this part of such a share, beside what came on the link.
pub const HELD_GOSSIP_PART: usize = 8;
/// Membership operations of one space kept that count, or are an admin's.
pub const OPERATIONS: usize = 16_384;
/// Operations and statements kept of one signer that wait for others.
pub const WAITING: usize = 256;
/// Those kept of all signers together whose device nobody has certified: anybody can make up more.
pub const WAITING_UNKNOWN: usize = 1024;
/// Operations kept of one signer without an admin's role that have no effect, and of those that take
/// effect in a later version, each.
pub const IDLE: usize = 64;
/// Bytes of any of these that are kept of one signer.
pub const IDLE_BYTES: usize = 4 << 20;
/// Statements of one person kept that count, or will in a later version.
pub const STATEMENTS: usize = 1024;
/// Peers a node keeps connections with.
pub const PEERS: usize = 512;
/// Addresses kept for one peer.
pub const ADDRS: usize = 16;
/// Connections at once with one peer; all but one are closed soon.
pub const CONNECTIONS: usize = 4;
/// Connections under way to us whose other end is not known yet.
pub const PENDING_CONNECTIONS: usize = 64;
/// Strangers connected at once while pairing is open.
pub const STRANGERS: usize = 8;
/// Gossip topics one peer may be subscribed to.
pub const TOPICS: usize = 4096;
/// Bytes queued to be sent to one peer: what may be under way, and one more envelope.
pub const SEND_BYTES: usize = FLIGHT_BYTES + ENVELOPE_BYTES;
/// Bytes received that the node has not taken yet; above that reading stops.
pub const RECEIVE_BYTES: usize = 32 << 20;
/// Bytes of gossip received that the node has not taken yet; above that it is dropped.
pub const HINT_BYTES: usize = 8 << 20;
/// Commands and events queued between the node and its carriers.
pub const QUEUE: usize = 1024;
/// Bytes gathered into one entry before it is sealed (a single larger change travels alone).
pub const GATHER_BYTES: usize = 512 << 10;
/// Bytes of a peer file or a pairing message.
pub const CARD_BYTES: usize = 64 << 10;
/// Bytes of one line on the control socket.
pub const CONTROL_LINE_BYTES: usize = 1 << 20;
/// Documents kept loaded.
pub const LOADED_DOCS: usize = 256;
/// Bytes of rendered text kept.
pub const RENDERED_BYTES: usize = 64 << 20;
/// Pairs of a friend's device and an author whose entries it brought, that are counted for the map.
pub const BROUGHT: usize = 4096;
/// Events kept for a listener that fell behind.
pub const EVENTS: usize = 4096;
/// Bytes of a record in the store's database; a larger one is stored in pieces.
pub const VALUE_BYTES: usize = 4096;
/// Bytes of large contents that nothing shows any more and that stay here all the same.
pub const SUPERSEDED_BYTES: u64 = 1 << 30;
