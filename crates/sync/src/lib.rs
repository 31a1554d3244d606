//! Who lacks what: hello, frontier, want and entries as a state machine without I/O.
//!
//! [`Sync`] is driven by `step(now, input, &mut out)`. It is told what is durable here, what came
//! from whom and how time passes, and says what to send, what to store and what to publish. It
//! never opens an entry (relays and blind hosts need no keys), never reads a clock, and answers the
//! same inputs with the same outputs.
//!
//! How two nodes agree:
//! - On connect each announces the spaces in which it holds the other to be a member; only spaces
//!   that both announced count. Then, and once a period, each sends a HELLO: 73 bytes with a
//!   digest over both sides' shared frontiers. Equal means silence. Equal to a state of a moment
//!   ago acknowledges that one. Otherwise the answer is a FRONTIER, and what the other is known
//!   to lack.
//! - What is made here is published by gossip at once; the next hello acknowledges it, or shows that it
//!   got lost, and then it is pushed on the link; so it is if no hello comes at all, and again with
//!   backoff until an ack comes by any way. A small difference is pushed as soon as it is known, a large one
//!   is offered instead (a FRONTIER with `pull`), so that a node that lacks much fetches it once,
//!   from one peer, in windows; if the peer stays silent it is pushed all the same, which is what
//!   makes a one-way link work.
//! - Entries go to the node in the order of their log. One that is ahead waits in a bounded
//!   place, and what is between is asked for at once.
//! - A FRONTIER names only what is durable; it acknowledges everything before it.
//! - Where frontiers cannot say what differs (a log with more branches than tips are named, entries
//!   missing below others, hellos that stay different with nothing left to tell) one log at a time is
//!   compared by cells, whose number depends on the difference alone.
//! - Gossip is bound to its space: only content of it is taken, and of a log's tips only the word
//!   that its author has more. Whoever passed it on answers for it, apart from what they say
//!   themselves.
//! - A peer whose first word takes seconds is far: nothing is offered to it or waited for, see `peer`.
//!
//! What a peer says about itself is believed last word first, so that a peer that lost its disk is
//! served again. Not here: signatures, membership, what an entry's `deps` wait for (the node's),
//! and how bytes travel (the carriers').

mod bundle;
mod carried;
pub mod cells;
mod chunk;
mod compare;
mod config;
mod envelope;
mod error;
mod frontier;
mod greet;
mod held;
mod intake;
mod io;
mod machine;
mod peer;
mod piece;
mod pull;
mod push;
mod told;

pub use bundle::{BUNDLE_VERSION, Composer, Item, Items, Opening};
pub use chunk::chunk_envelopes;
pub use config::Config;
pub use envelope::{
    CHUNK_ACKS, Cells, Comparison, ENTRIES, Envelope, Frontier, HELLO_BYTES, Hello, LogRange, More, Part,
    Piece, SpaceDelta, Tip, Tips, VERSION, Want,
};
pub use error::Error;
pub use frontier::highest_tips;
pub use io::{Input, Offence, Output, PeerId};
pub use machine::{PeerView, Sync};
pub use piece::{Cut, entry_envelopes};
