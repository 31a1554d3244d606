//! The running node: one writer, events out, handles for the faces.
//!
//! An edit goes: `names` or `edit` (what it means) → `steps` or the journal (stored and shown) →
//! `seal` (entries of this device's log, durable) → `link` (told). What arrives goes the other way: `link`
//! → `intake` (verified, stored, applied, shown) → `events` (the faces hear of it). Large content
//! travels beside that, in `blob` and `chunks`.
//!
//! Nothing but this crate writes state, and here only the holder of the writer's lock does. Readers
//! look at what is published and never wait for it. No thread waits for a friend while it holds a lock.

mod alone;
mod api;
mod apply;
mod arriving;
mod blob;
mod bundle;
mod check;
mod chunks;
mod clock;
mod copying;
mod core;
mod documents;
mod dtn;
mod due;
mod early;
mod edit;
mod entry;
mod error;
mod events;
mod friends;
mod head;
mod holes;
mod home;
mod incarnation;
mod intake;
mod keeping;
mod link;
mod listings;
mod local;
mod logs;
mod map;
mod moved;
mod names;
mod node;
mod open;
mod opening;
mod people;
mod placing;
mod plan;
mod policy;
mod read;
mod reads;
mod reclaim;
mod record;
mod renaming;
mod rendered;
mod retrace;
mod rules;
mod scratch;
mod seal;
mod serving;
mod sharing;
mod state;
mod status;
mod steps;
mod superseded;
#[cfg(test)]
mod tests;
mod traffic;

pub use api::{
    Added, Appended, Attr, Body, Description, Event, Found, FsckReport, Identity, LogLine, Member,
    NewContent, Offer, PeerStatus, Read, Role, Saved, Shared, SpaceStatus, Statfs, Status, Target, Version,
    What,
};
pub use base::Oid;
pub use bundle::{Exported, Imported, Progress};
pub use clock::now;
pub use dtn::{DtnEdit, DtnPeer, DtnStatus};
pub use error::{Error, Result};
pub use local::{LocalEdit, Owner, Special};
pub use node::{Node, Options, fsck};
pub use policy::is_scratch;
pub use rules::SCRATCH;
pub use scratch::Scratch;
