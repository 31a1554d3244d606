//! A document: an object that was edited, and what it shows.
//!
//! # Shape
//! Everything is a key of the root map, so that no key can hide others:
//!
//! | key | value |
//! |---|---|
//! | `body` | register: `[type, content]` in CBOR; for a text, which Text object holds it |
//! | `text`, `text/ACTOR/SEQ` | Text objects: of the birth, and of every time it became a text again |
//! | `perm`, `mtime`, `x/NAME` | meta |
//! | `v/NAME`, `same` | versions not to be shown beside the one that has the name; that the same was written again |
//! | `d/DOOR`, `g/DOOR/HASH` | a room's doors, and the `gone`s of each |
//!
//! A writer may put anything under any key. Rooms and links exist by birth only: in a room `body` is ignored, a link
//! takes nothing but links' contents, and nothing else becomes either. Whatever a key is not read as is skipped.
//!
//! The first change is derived from the birth and never sent: a fixed actor, time 0, the bytes as one
//! insertion. A room's is empty, and the same for every room.
//!
//! # Trust
//! What arrives is vetted (`vet`), put in causal order here, and applied under a guard. The engine may still panic
//! on operations that fit no document, or make another change of them than came, which no image of it would survive;
//! then the document is as it was before, and the culprit refused. Where an edit made here ends so, the document
//! is broken, says so at every further call ([`Error::Panicked`]), and its owner builds it again from the
//! entries. All that a document shows is read under the same guard right after a change, so that the getters
//! are plain reads.

mod apply;
mod bytes;
mod doubles;
mod meta;
mod redo;
mod room;
mod shape;
mod show;
mod text;

pub use apply::{Applied, Refused};
pub use bytes::VersionOf;
pub use meta::MetaEdit;
pub use room::{Door, DoorKind, DoorOp, Gone, Target};

use crate::body::{Birth, Content};
use crate::error::{Error, Result};
use crate::heads::{Clock, Heads, counted, derived, engine_actor};
use crate::kind::Type;
use crate::vet::Vetted;
use automerge::transaction::{CommitOptions, Transaction};
use automerge::{ActorId, Automerge, ChangeHash, LoadOptions, PatchLog, ReadDoc, TextEncoding};
use base::{Actor, Hash};
use shape::Born;
use show::Shown;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The actor of the change derived from a birth.
const BORN: [u8; 16] = *b"chorus/newborn/1";

/// What an image begins with; the last byte is its version.
const IMAGE: [u8; 4] = *b"cim\x01";

/// An edit that was made here and now travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The change, for [`crate::Change`].
    pub change: Vec<u8>,
    /// Its hash.
    pub hash: Hash,
    /// The version that the writer has: what it read, and this edit.
    pub wrote: Heads,
    /// The version that the document has now: the writer's, merged with everybody's.
    pub now: Heads,
}

/// An object that was edited: the merge of its birth and of all changes that arrived.
#[derive(Clone)]
pub struct Doc {
    am: Automerge,
    born: ChangeHash,
    clock: Clock,
    /// The number of each actor's last operation.
    last_ops: BTreeMap<Actor, u64>,
    shown: Shown,
    /// Changes that came before others they build on.
    waiting: Vec<Vetted>,
    /// Changes not yet compared for doubles.
    fresh: BTreeSet<ChangeHash>,
    broken: bool,
}

// What the engine saved, with texts counted as everywhere here. The engine may panic.
fn load_saved(saved: &[u8]) -> Result<Automerge> {
    let options = LoadOptions::new().text_encoding(TextEncoding::Utf8CodeUnit);
    Automerge::load_with_options(saved, options).map_err(|_| Error::Image)
}

impl Doc {
    /// The document of an object as it was born. Every replica derives the same.
    ///
    /// Errors: content that does not fit the type, which `Body::decode` refuses already.
    pub fn born(birth: &Birth) -> Result<Doc> {
        birth.check().map_err(|what| base::Error::Malformed { what })?;
        let mut am =
            Automerge::new_with_encoding(TextEncoding::Utf8CodeUnit).with_actor(ActorId::from(&BORN[..]));
        let options = CommitOptions::default().with_time(0);
        let born = if birth.kind == Type::Room {
            am.empty_commit(options)
        } else {
            let mut tx = am.transaction();
            bytes::put_birth(&mut tx, birth)?;
            meta::put_birth(&mut tx, &birth.meta)?;
            tx.commit_with(options).0.ok_or(Error::Image)?
        };
        Doc::around(am, born)
    }

    fn around(am: Automerge, born: ChangeHash) -> Result<Doc> {
        let kind = catch_unwind(AssertUnwindSafe(|| Born::of(&am, born))).map_err(|_| Error::Image)??;
        let mut doc = Doc {
            am,
            born,
            clock: Clock::new(),
            last_ops: BTreeMap::new(),
            shown: Shown::nothing(kind),
            waiting: Vec::new(),
            fresh: BTreeSet::new(),
            broken: false,
        };
        doc.guard(|doc| {
            doc.shown = show::whole(&doc.am, kind)?;
            let all = doc.am.get_changes_meta(&[doc.born]);
            let all: Vec<_> = all.iter().map(|c| (counted(c.actor.to_bytes()), c.seq, c.max_op)).collect();
            all.into_iter().for_each(|(actor, seq, last_op)| doc.count(actor, seq, last_op));
            Ok(())
        })?;
        Ok(doc)
    }

    /// Loads an image: what `save` gave, followed by the changes since: those made here ([`Made::change`]) and those
    /// that [`Applied::append`] named, in that order.
    ///
    /// Errors: an image that does not load; the document is built again from its entries then.
    pub fn load(image: &[u8]) -> Result<Doc> {
        let mut rest = image.strip_prefix(&IMAGE).ok_or(Error::Image)?;
        let mut field = |n: usize| {
            let (field, tail) = rest.split_at_checked(n).ok_or(Error::Image)?;
            rest = tail;
            Ok::<_, Error>(field)
        };
        let born = ChangeHash(field(32)?.try_into().map_err(|_| Error::Image)?);
        let len = u64::from_be_bytes(field(8)?.try_into().map_err(|_| Error::Image)?);
        let saved = field(usize::try_from(len).map_err(|_| Error::Image)?)?;
        if !crate::vet::is_document(saved) {
            return Err(Error::Image);
        }
        let am = catch_unwind(AssertUnwindSafe(|| load_saved(saved))).map_err(|_| Error::Image)??;
        if !am.get_missing_deps(&[born]).is_empty() {
            return Err(Error::Image);
        }
        let mut doc = Doc::around(am, born)?;
        doc.take_appended(rest)?;
        doc.remember_concurrent()?;
        Ok(doc)
    }

    fn take_appended(&mut self, mut rest: &[u8]) -> Result<()> {
        let mut changes = Vec::new();
        while !rest.is_empty() {
            let (change, tail) = rest.split_at(crate::vet::frame_len(rest).ok_or(Error::Image)?);
            changes.push(change);
            rest = tail;
        }
        if changes.is_empty() { Ok(()) } else { self.replay(changes) }
    }

    /// The document as bytes. What came since may be appended to them instead of saving again; see [`Doc::load`].
    ///
    /// A broken document saves what it was born from and nothing that can be relied on; it must not be stored.
    pub fn save(&self) -> Vec<u8> {
        let saved = catch_unwind(AssertUnwindSafe(|| self.am.save())).unwrap_or_default();
        let mut out = IMAGE.to_vec();
        out.extend_from_slice(&self.born.0);
        out.extend_from_slice(&(saved.len() as u64).to_be_bytes());
        out.extend_from_slice(&saved);
        for change in &self.waiting {
            out.extend_from_slice(change.change.raw_bytes());
        }
        out
    }

    /// Whether a change broke it: it must be built again from its entries.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The version it has.
    pub fn heads(&self) -> Heads {
        self.shown.heads(&self.born)
    }

    /// What it has seen, by actor.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The hash of the change derived from its birth.
    pub fn birth_hash(&self) -> Hash {
        Hash(self.born.0)
    }

    /// Its type: the later one where two were given at once.
    pub fn kind(&self) -> Type {
        self.shown.kind
    }

    /// Whether a version is one that this document can be read at.
    pub fn knows(&self, version: &Heads) -> bool {
        self.am.get_missing_deps(&version.to_engine(&self.born)).is_empty()
    }

    /// How many changes wait for others that have not arrived.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    // That an actor's change of this number, up to this operation, is here.
    fn count(&mut self, actor: Actor, seq: u64, last_op: u64) {
        for (counts, n) in [(&mut self.clock, seq), (&mut self.last_ops, last_op)] {
            let count = counts.entry(actor).or_default();
            *count = n.max(*count);
        }
    }

    // Runs what may panic in the engine. After a panic nothing in the document is to be relied on.
    fn guard<T>(&mut self, work: impl FnOnce(&mut Doc) -> Result<T>) -> Result<T> {
        if self.broken {
            return Err(Error::Panicked);
        }
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|_| {
            self.broken = true;
            Err(Error::Panicked)
        })
    }

    // The same for what only reads.
    fn peek<T>(&self, work: impl FnOnce(&Doc) -> Result<T>) -> Result<T> {
        if self.broken {
            return Err(Error::Panicked);
        }
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or(Err(Error::Panicked))
    }

    fn at(&self, version: &Heads) -> Result<Vec<ChangeHash>> {
        if self.knows(version) { Ok(version.to_engine(&self.born)) } else { Err(Error::UnknownVersion) }
    }

    // One change by `actor` on the version `base`, which is known to be here. The work must do at least one operation.
    fn commit(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &[ChangeHash],
        work: impl FnOnce(&mut Transaction<'_>) -> Result<()>,
    ) -> Result<Made> {
        let mut current = self.am.get_heads();
        current.sort_unstable();
        let mut wanted = base.to_vec();
        wanted.sort_unstable();
        self.am.set_actor(engine_actor(actor));
        let mut tx = if current == wanted {
            self.am.transaction()
        } else {
            self.am.transaction_at(PatchLog::inactive(), base).map_err(|_| Error::Panicked)?
        };
        work(&mut tx)?;
        let hash = tx.commit_with(CommitOptions::default().with_time(time_ms)).0.ok_or_else(nothing)?;
        self.made(hash)
    }

    // The same for many insertions into an old version of a long text: each would search the text from its beginning,
    // since the engine's index is of the newest version only. A copy that ends at the old version has an index of it.
    fn commit_apart(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &[ChangeHash],
        work: impl FnOnce(&mut Transaction<'_>) -> Result<()>,
    ) -> Result<Made> {
        let mut apart = self.am.fork_at(base)?;
        let mut seen = Clock::new();
        for change in apart.get_changes_meta(&[]) {
            let seq = seen.entry(counted(change.actor.to_bytes())).or_default();
            *seq = change.seq.max(*seq);
        }
        // An actor that wrote after the base must not write on it: as in the engine, a derived one does.
        let mut levels = (0..).map(|level| derived(actor, level));
        let free = levels.find(|id| self.clock.get(&counted(id)) == seen.get(&counted(id)));
        apart.set_actor(ActorId::from(&free.unwrap_or_default()[..]));
        let mut tx = apart.transaction();
        work(&mut tx)?;
        let hash = tx.commit_with(CommitOptions::default().with_time(time_ms)).0.ok_or_else(nothing)?;
        let change = apart.get_change_by_hash(&hash).ok_or(Error::Panicked)?;
        self.am.apply_changes([change]).map_err(|_| Error::Panicked)?;
        self.made(hash)
    }

    fn made(&mut self, hash: ChangeHash) -> Result<Made> {
        let change = self.am.get_change_by_hash(&hash).ok_or(Error::Panicked)?;
        self.count(counted(change.actor_id().to_bytes()), change.seq(), change.max_op());
        self.remember(hash);
        self.shown.set_heads(&self.am);
        Ok(Made {
            change: change.raw_bytes().to_vec(),
            hash: Hash(hash.0),
            wrote: Heads::new(vec![Hash(hash.0)]),
            now: self.heads(),
        })
    }

    /// All content that stands side by side, the one that has the name first. A text is its bytes.
    pub fn versions(&self) -> Vec<VersionOf> {
        let mut all = Vec::with_capacity(1 + self.shown.others.len());
        if let Some(winner) = &self.shown.winner {
            let content = match &winner.text {
                Some(_) => Content::Bytes(self.shown.text.clone().into_bytes()),
                None => winner.content.clone(),
            };
            all.push(VersionOf::new(winner.kind, content, winner.at));
        }
        all.extend(self.shown.others.iter().cloned());
        all
    }
}

fn nothing() -> Error {
    Error::Engine { reason: "there is nothing to write".to_owned() }
}

impl std::fmt::Debug for Doc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doc")
            .field("kind", &self.kind())
            .field("heads", &self.heads())
            .finish_non_exhaustive()
    }
}
