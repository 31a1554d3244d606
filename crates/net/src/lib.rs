//! Carriers: moves envelopes between friends and knows nothing of their meaning.
//!
//! [`Net`] is the live carrier: libp2p over TCP (noise, yamux) and QUIC, on threads of its own. It
//! keeps one link with each friend that can be reached, carries whole messages over it in order,
//! passes gossip, and carries the one question and answer with which strangers become friends. It
//! keeps nothing on disk, resends nothing after a break, and speaks with nobody but those it was
//! told of: no discovery, no relay, no third party.
//!
//! [`Daemon`] is the carrier for networks that store and forward: it hands bytes to a Bundle Protocol
//! daemon, and fetches what came.
//!
//! How the live one fits together: [`Net`] sends commands to the `carrier`, one task that owns the swarm. The
//! swarm's behaviours are `door` (who may connect), `lanes` (streams of our own) and `gate`
//! (gossipsub, friends only). `friend` decides when to dial and which connection to keep; each
//! link is a task (`link`), as is each pairing exchange (`pairing`). What they have to tell goes
//! through one bounded `queue` to the node.

mod answer;
mod carrier;
mod counted;
mod door;
mod dtn;
mod error;
mod event;
mod frame;
mod friend;
mod gate;
mod gossip;
mod identity;
mod lanes;
mod link;
mod meeting;
mod net;
mod paced;
mod pairing;
mod queue;
mod rules;
mod strangers;
mod transport;

pub use dtn::{Daemon, is_endpoint};
pub use error::Error;
pub use event::{Event, PeerStatus, Reply, Transport};
pub use net::{Config, Net};
