//! The words every part of chorus shares: ids, names, hashes, frames, limits, error kinds.
//!
//! Nothing here does I/O, keeps time or knows what an entry's body means. The formats of record
//! stand in `schema/*.cddl`; what is encoded here is tested against `schema/vectors/`.

pub mod cbor;
pub mod entry;
pub mod error;
pub mod id;
pub mod limit;
pub mod name;
pub mod print;

pub use entry::{Entry, EntryKind, Header};
pub use error::{Error, Kind};
pub use id::{
    Actor, ChunkId, DeviceId, DoorId, EpochId, Hash, Incarnation, LogId, ObjectId, Oid, PersonId, Run,
    SpaceId, SpaceTag,
};
