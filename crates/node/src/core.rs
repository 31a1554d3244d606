//! The middle of a node: what its threads share, and how it is opened.

use crate::api::{Event, Identity};
use crate::early::Early;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::home::{Keys, random_bytes};
use crate::incarnation::Own;
use crate::link::ToLink;
use crate::listings::Listings;
use crate::moved::Moved;
use crate::read::Layout;
use crate::record::{self, BlobRecord, Me};
use crate::rendered::Rendered;
use crate::scratch::{Ahead, ToCut};
use crate::state::State;
use crate::status::LinkStatus;
use base::{DeviceId, Hash, Kind, LogId, ObjectId, Oid, Run, SpaceId, SpaceTag};
use crossbeam_channel::{Receiver, Sender};
use lru::LruCache;
use object::{Doc, Heads};
use parking_lot::{Mutex, MutexGuard, RwLock};
use space::view::Delta;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use store::{Store, Ticket};

/// What all threads of a node share.
///
/// Locks are taken in this order: `telling`, `log`, `writer`, then `state`, then `rendered`. Nobody waits for a
/// disk or a friend while holding `state`.
pub(crate) struct Core {
    pub(crate) keys: Keys,
    pub(crate) me: Me,
    pub(crate) device: DeviceId,
    pub(crate) run: Run,
    /// Under which numbers this node writes, and wrote.
    pub(crate) own: RwLock<Own>,
    pub(crate) store: Store,
    pub(crate) state: RwLock<State>,
    /// Held while entries of this device are made: they follow one another. Whoever only adds what is new
    /// needs `writer` alone, and does not wait while entries are sealed and stored.
    pub(crate) log: Mutex<()>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) rendered: Mutex<Rendered>,
    /// Rooms that were edited and forgotten before anybody heard of them: one of the same name is another.
    pub(crate) forgotten: Mutex<BTreeSet<Oid>>,
    /// Held while a room of home is made a space; taken before any other lock.
    pub(crate) sharing: Mutex<()>,
    /// Held from gathering what is to be sealed until it is told; taken before `writer`.
    pub(crate) telling: Mutex<()>,
    /// Held while the record of a friend is changed or a space is joined; taken before `writer`.
    pub(crate) friends: Mutex<()>,
    pub(crate) events: Events,
    pub(crate) listings: Listings,
    /// Wakes the thread that seals.
    pub(crate) sealer: Sender<()>,
    pub(crate) link: RwLock<Option<Sender<ToLink>>>,
    pub(crate) stopping: AtomicBool,
    /// Bulk files to be removed once a batch is durable.
    pub(crate) garbage: Mutex<Vec<(Ticket, [u8; 16])>>,
    /// Bytes of large contents that others took the place of since somebody last looked.
    pub(crate) replaced: AtomicU64,
    /// Whether a link to anybody is up.
    pub(crate) linked: AtomicBool,
    /// How many blobs are being fetched or wait for it.
    pub(crate) fetching: AtomicUsize,
    /// Entries that are kept until their predecessors come.
    pub(crate) early: Mutex<Early>,
    /// Logs of which entries are missing below others.
    pub(crate) holes: Mutex<BTreeSet<(SpaceTag, LogId)>>,
    /// How each friend's device stands, as the link thread last saw it.
    pub(crate) links: Mutex<BTreeMap<DeviceId, LinkStatus>>,
    /// How many messages went to and came from each friend's device.
    pub(crate) traffic: crate::traffic::Traffic,
    /// Whose entries came by whose link.
    pub(crate) brought: Mutex<crate::map::Brought>,
    pub(crate) net: RwLock<Option<Arc<net::Net>>>,
    /// Blobs that are being fetched: what of them is here, the newest chunks included.
    pub(crate) partial: RwLock<BTreeMap<(SpaceTag, Hash), BlobRecord>>,
    /// Where the chunks of blobs lie that are read while they are fetched.
    pub(crate) layouts: Mutex<LruCache<(Oid, Heads), Arc<Layout>>>,
    /// Counts chunks that arrived, for readers that wait for one.
    pub(crate) arrivals: (Mutex<u64>, parking_lot::Condvar),
    /// Where the objects of rooms went that were shared in this run.
    pub(crate) moved: Moved,
    /// How friends are reached over DTN.
    pub(crate) dtn: crate::dtn::Dtn,
    /// To the thread that cuts what is being written.
    pub(crate) cutting: (Sender<ToCut>, Receiver<ToCut>),
    /// The first chunks of bulk files that were cut while they were written.
    pub(crate) ahead: Mutex<LruCache<[u8; 16], Ahead>>,
    /// What programs had read, as it is kept over a restart.
    pub(crate) reads: Mutex<crate::reads::Kept>,
}

/// What only the holder of the writer's lock touches.
pub(crate) struct Writer {
    /// Whoever takes one out of here for longer holds the log's lock.
    pub(crate) docs: LruCache<Oid, Doc>,
    pub(crate) next_change: u64,
    /// The store is being read: nothing new may be made of what is applied again.
    pub(crate) replaying: bool,
    /// The newborns that are in an entry which is being made: they stay as they are until it is stored.
    pub(crate) sealing: BTreeSet<(SpaceTag, ObjectId)>,
}

/// The writer's lock, and the log's where it is needed.
pub(crate) struct Writing<'a> {
    writer: MutexGuard<'a, Writer>,
    _log: Option<MutexGuard<'a, ()>>,
}

impl Deref for Writing<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Writer {
    pub(crate) fn new() -> Writer {
        let most = NonZeroUsize::new(base::limit::LOADED_DOCS).unwrap_or(NonZeroUsize::MIN);
        Writer { docs: LruCache::new(most), next_change: 0, replaying: false, sealing: BTreeSet::new() }
    }
}

impl Core {
    /// The root of home, which is the mount's root.
    pub(crate) fn root(&self) -> Oid {
        Oid { space: self.me.home, object: self.me.home.root() }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            person: self.me.person,
            device: self.device,
            name: self.me.name.clone(),
            fingerprint: crypto::fingerprint(&self.me.person.0),
        }
    }

    /// Takes the writer's lock for any change: no entry is being made meanwhile.
    pub(crate) fn write(&self) -> Writing<'_> {
        let log = self.log.lock();
        Writing { writer: self.writer.lock(), _log: Some(log) }
    }

    /// Takes the writer's lock for a change of one object. One that is no entry's yet, and in none that is being
    /// made, is changed beside that.
    pub(crate) fn write_of(&self, oid: &Oid) -> Writing<'_> {
        let writer = self.writer.lock();
        if !writer.sealing.contains(&(oid.space.tag(), oid.object)) && self.is_new(oid) {
            return Writing { writer, _log: None };
        }
        drop(writer);
        self.write()
    }

    // A room has a document from its first change on, which belongs to those who make entries.
    fn is_new(&self, oid: &Oid) -> bool {
        let state = self.state.read();
        let newborn = state.space(&oid.space).and_then(|space| space.pending.births.get(&oid.object));
        newborn.is_some_and(|newborn| newborn.birth.kind != object::Type::Room)
    }

    /// Runs a change of names under the writer's lock.
    pub(crate) fn locked<T>(&self, work: impl FnOnce(&Core) -> Result<T>) -> Result<T> {
        let _writing = self.write();
        work(self)
    }

    /// Runs what only adds something new to a room: beside the making of entries, unless rooms must be claimed anew
    /// with it.
    pub(crate) fn locked_to_add<T>(&self, room: &Oid, work: impl FnOnce(&Core) -> Result<T>) -> Result<T> {
        {
            let _writer = self.writer.lock();
            if self.with_space(&room.space, |space| Ok(space.view.unsettled(room.object).is_empty()))? {
                return work(self);
            }
        }
        self.locked(work)
    }

    /// The addresses to listen on: those asked for, else those of last time, else a port chosen now
    /// and kept.
    pub(crate) fn listen_addresses(&self, asked: &[String]) -> Result<Vec<String>> {
        if !asked.is_empty() {
            return Ok(asked.to_vec());
        }
        if !self.me.listen.is_empty() {
            return Ok(self.me.listen.clone());
        }
        // Of the ports that neither services nor outgoing connections use by default.
        let port = 10_000 + u16::from_be_bytes(random_bytes()?) % 20_000;
        let listen = vec![format!("/ip4/0.0.0.0/tcp/{port}"), format!("/ip4/0.0.0.0/udp/{port}/quic-v1")];
        let me = read_me(&self.store)?.unwrap_or_else(|| self.me.clone());
        let me = Me { listen: listen.clone(), ..me };
        let mut batch = store::Batch::new();
        batch.put(record::node_key("me", b""), record::to_bytes(&me));
        self.store.apply(batch)?;
        Ok(listen)
    }

    /// The hash of an object's content, where it has one.
    pub(crate) fn head_content(&self, oid: &Oid) -> Option<base::Hash> {
        self.state.read().space(&oid.space)?.heads.get(&oid.object)?.content
    }

    /// Asks the sealer to look now.
    pub(crate) fn wake_sealer(&self) {
        let _ = self.sealer.try_send(());
    }

    /// Tells the link thread, if there is one.
    pub(crate) fn tell_link(&self, message: ToLink) {
        if let Some(link) = self.link.read().as_ref() {
            let _ = link.send(message);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Notes something that a person should know; `status` shows it.
    pub(crate) fn problem(&self, text: String) {
        tracing::warn!("{text}");
        let mut state = self.state.write();
        if state.problems.len() < 64 {
            state.problems.insert(text);
        }
    }

    /// Notes that two people changed the same words of a text, or (false) that somebody has looked since.
    pub(crate) fn note_overlap(&self, oid: Oid, overlaps: bool) {
        let mut state = self.state.write();
        if !overlaps {
            state.overlaps.remove(&oid);
        } else if state.overlaps.len() < 64 {
            state.overlaps.insert(oid);
        }
    }

    /// Tells of the names that a change of the view changed.
    pub(crate) fn tell_names(&self, space: &SpaceId, delta: &Delta, remote: bool) {
        self.listings.changed(delta.changes.iter().map(|change| Oid { space: *space, object: change.room }));
        self.emit(crate::steps::name_events(space, delta, remote));
    }

    pub(crate) fn emit(&self, events: impl IntoIterator<Item = Event>) {
        self.events.send(events);
    }
}

/// Reads who this node is from its store.
pub(crate) fn read_me(store: &Store) -> Result<Option<Me>> {
    match store.get(&record::node_key("me", b""))? {
        Some(bytes) => Ok(Some(record::from_bytes(&bytes, "identity record")?)),
        None => Ok(None),
    }
}

/// A new random object id.
pub(crate) fn new_object() -> Result<ObjectId> {
    Ok(ObjectId(random_bytes()?))
}

/// An error for an object that is not here.
pub(crate) fn no_object() -> Error {
    Error::refused(Kind::NotFound, "no such object here")
}

/// An error for a space that is not here.
pub(crate) fn no_space(_: &SpaceId) -> Error {
    Error::refused(Kind::NotFound, "that space is not held here")
}
