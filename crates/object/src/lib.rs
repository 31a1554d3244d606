//! Bytes and CRDTs: what an object is and what an edit of it means.
//!
//! An object is born with its bytes ([`Birth`]) and costs nothing more until somebody edits it. Then
//! every replica derives the same first change from the birth and later changes build on that
//! ([`Doc`]). An edit is always an edit *of a version* ([`Heads`]): what the writer had read is
//! compared with what it wrote ([`diff`]), and the difference is what travels.
//!
//! | module | what it holds |
//! |---|---|
//! | `kind`, `body`, `manifest` | the formats: types, births, changes, the body of an entry |
//! | `heads` | versions and clocks |
//! | `diff`, `overlap` | lines, then words; whether two edits touch the same |
//! | `vet` | what is asked of a change before it is let near a document |
//! | `doc` | the documents: text, versions of bytes, meta, doors |
//!
//! Which engine merges is known in this crate only; nothing of it shows in the interface. Nothing
//! here does I/O, keeps time or draws random numbers. Packing, sealing and signing are `crypto`'s;
//! what a tree of doors means is `space`'s.

mod body;
mod diff;
mod doc;
mod error;
mod heads;
mod kind;
mod manifest;
mod overlap;
mod vet;

pub use body::{Birth, Body, Change, Content, Item, Meta, shows_xattr};
pub use diff::{Splice, diff};
pub use doc::{Applied, Doc, Door, DoorKind, DoorOp, Gone, Made, MetaEdit, Refused, Target, VersionOf};
pub use error::{Error, Result};
pub use heads::{Clock, Heads};
pub use kind::Type;
pub use manifest::{Chunking, Manifest, ManifestChunk};
pub use overlap::{distance, overlap};
pub use vet::{CHANGE_OPS, Refusal, operations};
