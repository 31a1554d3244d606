//! The thread that fetches the bytes of blobs and keeps them.

use crate::bundle::{Bring, Settle};
use crate::core::Core;
use crate::error::{During, Error, Result};
use crate::home::random_bytes;
use crate::keeping::{record_fetched, write};
use crate::link::ToLink;
use crate::opening::{OPENERS, Opening, Syncing, open_loop, sync_loop};
use crate::record::{self, BlobRecord, Bulk, ChunkRecord};
use base::{ChunkId, DeviceId, Hash, Oid, SpaceTag};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use object::Manifest;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use store::Batch;

/// Blobs fetched at the same time; others wait their turn.
const FETCHING: usize = 16;
/// Bytes written to a partial blob between two records of how far it is.
const RECORD_BYTES: u64 = 64 << 20;
/// How long a blob rests after a failure of this machine: at first, and at most.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long nothing of a blob arrives before it is looked at whether anything still shows it.
const STUCK: Duration = Duration::from_secs(10);

/// What the threads are told.
pub(crate) enum ToChunks {
    /// A blob's bytes are needed here.
    Fetch { tag: SpaceTag, manifest: Box<Manifest> },
    /// A chunk arrived.
    Arrived { tag: SpaceTag, id: ChunkId, bytes: Vec<u8> },
    /// A chunk was opened, or is not what its id or a manifest says.
    Opened { tag: SpaceTag, id: ChunkId, opened: Option<(Vec<u8>, Hash)> },
    /// A file was made durable, or not.
    Synced { job: Syncing, result: Result<()> },
    /// A peer asks for a chunk.
    Send { peer: DeviceId, job: u64, tag: SpaceTag, id: ChunkId, from: u64, part: usize },
    /// A chunk came without a link.
    Bring(Bring),
    /// What was written of some blobs is to be durable.
    Settle(Settle),
    /// The node stops.
    Stop,
}

pub(crate) struct Fetch {
    pub(crate) manifest: Manifest,
    pub(crate) blob: BlobRecord,
    pub(crate) file: File,
    pub(crate) at: BTreeMap<ChunkId, Vec<(u32, u64)>>,
    pub(crate) missing: usize,
    pub(crate) unrecorded: u64,
    /// When something of it last arrived.
    pub(crate) moved: Instant,
    /// It is being made durable.
    pub(crate) syncing: bool,
    /// The disk refused to make it durable: what was written since the last record may be lost.
    pub(crate) doubtful: bool,
    /// As it was recorded last.
    pub(crate) recorded: Vec<u8>,
}

/// A blob of a space.
pub(crate) type Key = (SpaceTag, Hash);

/// The thread that fetches.
///
/// A failure of this machine (its disk is full) takes a blob out of work for a while; what is here of
/// it stays, and it is begun again where it was left.
pub(crate) struct Fetcher<'a> {
    pub(crate) core: &'a Core,
    pub(crate) active: BTreeMap<Key, Fetch>,
    pub(crate) queue: VecDeque<(Key, Manifest)>,
    /// Those that failed here, and when each may be tried again.
    pub(crate) resting: BTreeMap<Key, (Instant, Manifest)>,
    /// All that wait in `queue`.
    pub(crate) queued: BTreeSet<Key>,
    /// How often each has failed.
    pub(crate) failures: BTreeMap<Key, u32>,
    /// The thread that waits for the disk; without it, this one does.
    pub(crate) syncer: Option<Sender<Syncing>>,
    /// Chunks that came without a link and are being opened: who waits to hear of them.
    pub(crate) brought: BTreeMap<(SpaceTag, ChunkId), Sender<bool>>,
}

/// Fetches until told to stop; what peers ask for is passed to those who serve. `own` leads to `inbox`.
pub(crate) fn fetch_loop(
    core: &Core,
    inbox: &Receiver<ToChunks>,
    own: &Sender<ToChunks>,
    serve: &Sender<ToChunks>,
) {
    std::thread::scope(|scope| {
        let (to_open, openings) = crossbeam_channel::unbounded();
        for _ in 0..OPENERS {
            let openings = openings.clone();
            scope.spawn(move || open_loop(&openings, own));
        }
        let (to_sync, syncings) = crossbeam_channel::unbounded();
        scope.spawn(move || sync_loop(&syncings, own));
        let fetcher = Fetcher { syncer: Some(to_sync), ..Fetcher::new(core) };
        fetcher.run(inbox, &to_open, serve);
    });
}

impl Fetcher<'_> {
    fn run(mut self, inbox: &Receiver<ToChunks>, opener: &Sender<Opening>, serve: &Sender<ToChunks>) {
        self.resume();
        loop {
            match inbox.recv_timeout(self.rest()) {
                Ok(ToChunks::Fetch { tag, manifest }) => self.want(tag, *manifest),
                Ok(ToChunks::Arrived { tag, id, bytes }) => {
                    if let Some(opening) = self.to_open(tag, id, bytes) {
                        let _ = opener.send(opening);
                    }
                }
                Ok(ToChunks::Opened { tag, id, opened }) => self.opened(tag, id, opened),
                Ok(ToChunks::Bring(bring)) => {
                    if let Some(opening) = self.bring(bring) {
                        let _ = opener.send(opening);
                    }
                }
                Ok(ToChunks::Settle(settle)) => self.settle(settle),
                Ok(ToChunks::Synced { job, result }) => {
                    self.synced(&job, result);
                    self.work();
                }
                Ok(ToChunks::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(send) => drop(serve.send(send)),
                Err(RecvTimeoutError::Timeout) => self.look_again(),
            }
            if self.rest().is_zero() {
                self.wake();
            }
        }
        for (key, fetch) in &mut self.active {
            let _ = record_fetched(self.core, key, fetch);
        }
    }
}
impl<'a> Fetcher<'a> {
    pub(crate) fn new(core: &'a Core) -> Fetcher<'a> {
        Fetcher {
            core,
            active: BTreeMap::new(),
            queue: VecDeque::new(),
            resting: BTreeMap::new(),
            queued: BTreeSet::new(),
            failures: BTreeMap::new(),
            syncer: None,
            brought: BTreeMap::new(),
        }
    }

    // After a start: everything that is known and not whole.
    fn resume(&mut self) {
        let mut wanted = Vec::new();
        {
            let state = self.core.state.read();
            for space in state.spaces.values() {
                let chunked = space.heads.iter().filter(|(_, head)| head.chunked);
                wanted.extend(chunked.map(|(id, _)| Oid { space: space.id, object: *id }));
            }
        }
        for oid in wanted {
            match crate::read::manifests(self.core, &oid) {
                Ok(manifests) => {
                    for manifest in manifests {
                        self.want(oid.space.tag(), manifest);
                    }
                }
                Err(e) => {
                    self.core.problem(format!("a large file that is not whole cannot be looked at: {e}"))
                }
            }
        }
    }

    // How long until one that rests may be tried again.
    pub(crate) fn rest(&self) -> Duration {
        let next = self.resting.values().map(|(at, _)| at.saturating_duration_since(Instant::now())).min();
        // What is stuck is looked at now and then.
        let most = if self.active.is_empty() { Duration::from_secs(3600) } else { STUCK };
        next.map_or(most, |next| next.min(most))
    }

    // Tries those again that have rested.
    pub(crate) fn wake(&mut self) {
        let now = Instant::now();
        let due: Vec<Key> =
            self.resting.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| *key).collect();
        for key in due {
            if let Some((_, manifest)) = self.resting.remove(&key) {
                self.enqueue(key, manifest);
            }
        }
        self.work();
    }

    pub(crate) fn want(&mut self, tag: SpaceTag, manifest: Manifest) {
        // Lists of lists come with a later version; until then such a file is known and not here.
        if manifest.level != 0 || i64::try_from(manifest.size).is_err() {
            return;
        }
        let key = (tag, manifest.hash());
        if self.active.contains_key(&key) || self.queued.contains(&key) || self.resting.contains_key(&key) {
            return;
        }
        self.give_up_superseded();
        match self.core.blob(&tag, &key.1) {
            Ok(Some(blob)) if blob.whole => {}
            Ok(_) => {
                self.enqueue(key, manifest);
                self.work();
            }
            Err(e) => self.give_rest(key, manifest, &e),
        }
    }

    /// Nothing came for a while.
    pub(crate) fn look_again(&mut self) {
        self.give_up_superseded();
        self.work();
    }

    // Whoever made a newer version may have let go of the old one's bytes: what nobody sends any more and nothing
    // shows must not keep others from their turn. Who still reads it asks again.
    fn give_up_superseded(&mut self) {
        let stuck: Vec<Key> =
            self.active.iter().filter(|(_, f)| f.moved.elapsed() > STUCK).map(|(key, _)| *key).collect();
        if stuck.is_empty() {
            return;
        }
        let shown = self.core.shown_contents();
        for key in stuck.iter().filter(|key| !shown.contains(*key)) {
            self.stop(key);
        }
    }

    fn enqueue(&mut self, key: Key, manifest: Manifest) {
        if self.queued.insert(key) {
            self.queue.push_back((key, manifest));
        }
    }

    // Starts what there is room for, and finishes what is whole, until there is no more of either.
    pub(crate) fn work(&mut self) {
        loop {
            while self.active.len() < FETCHING {
                let Some((key, manifest)) = self.queue.pop_front() else { break };
                self.queued.remove(&key);
                if let Err(e) = self.start(key, &manifest) {
                    self.stop(&key);
                    self.give_rest(key, manifest, &e);
                }
            }
            let ripe = |f: &Fetch| !f.syncing && (f.missing == 0 || f.unrecorded >= RECORD_BYTES);
            let ripe: Vec<Key> = self.active.iter().filter(|(_, f)| ripe(f)).map(|(key, _)| *key).collect();
            for key in &ripe {
                self.begin_sync(key);
            }
            if ripe.is_empty() {
                break;
            }
        }
        let all = self.active.len() + self.queue.len() + self.resting.len();
        self.core.fetching.store(all, std::sync::atomic::Ordering::Relaxed);
    }

    // The local file of a blob that is not whole; made where there is none.
    fn begin(&self, key: &Key, manifest: &Manifest) -> Result<(BlobRecord, File)> {
        let bulk = self.core.store.bulk();
        if let Some(mut blob) = self.core.blob(&key.0, &key.1)? {
            let whole = bulk.len(&blob.bulk.name)? == Some(manifest.size);
            let file = bulk.open_rw(&blob.bulk.name)?;
            if !whole {
                // The file is not the one that the record speaks of: nothing of it is known to be here.
                blob.have.clear();
                file.set_len(manifest.size).during(|| "making room for a large file".into())?;
            }
            return Ok((blob, file));
        }
        let temp = bulk.create_temp()?;
        temp.file.set_len(manifest.size).during(|| "making room for a large file".into())?;
        let name = random_bytes()?;
        bulk.persist(temp, &name)?;
        let blob = BlobRecord { bulk: Bulk { name, size: manifest.size }, whole: false, have: Vec::new() };
        let mut batch = Batch::new();
        batch.put(record::blob_key(&key.0, &key.1), record::to_bytes(&blob));
        let opened = self.core.store.apply(batch).and_then(|_| bulk.open_rw(&name));
        match opened {
            Ok(file) => Ok((blob, file)),
            Err(e) => {
                // A record may name it by now; then it stays.
                if self.core.blob(&key.0, &key.1).is_ok_and(|blob| blob.is_none()) {
                    let _ = bulk.remove(&name);
                }
                Err(e.into())
            }
        }
    }

    pub(crate) fn start(&mut self, key: Key, manifest: &Manifest) -> Result<()> {
        let (blob, file) = self.begin(&key, manifest)?;
        let mut at: BTreeMap<ChunkId, Vec<(u32, u64)>> = BTreeMap::new();
        let mut ids = Vec::new();
        let mut offset = 0;
        for (index, chunk) in manifest.chunks.iter().enumerate() {
            if !blob.has(index as u32) {
                let places = at.entry(chunk.id).or_default();
                if places.is_empty() {
                    ids.push(chunk.id);
                }
                places.push((index as u32, offset));
            }
            offset += u64::from(chunk.len);
        }
        let missing = at.values().map(Vec::len).sum();
        self.core.partial.write().insert(key, blob.clone());
        self.active.insert(
            key,
            Fetch {
                manifest: manifest.clone(),
                blob,
                file,
                at,
                missing,
                unrecorded: 0,
                moved: Instant::now(),
                syncing: false,
                doubtful: false,
                recorded: Vec::new(),
            },
        );
        let mut asked = Vec::new();
        for id in ids {
            // Another file of the space may hold the same chunk; if it cannot be read, a friend has it.
            let wanted = expected(&self.active, &key, &id);
            match self.local_copy(&key, &id, &wanted).unwrap_or_default() {
                Some(plain) => {
                    let Some(fetch) = self.active.get_mut(&key) else { return Ok(()) };
                    write(self.core, &key, fetch, &id, &plain)?;
                }
                None => asked.push(id),
            }
        }
        if !asked.is_empty() {
            self.core.tell_link(ToLink::Want { tag: key.0, ids: asked });
        }
        Ok(())
    }

    fn local_copy(&self, key: &Key, id: &ChunkId, wanted: &Option<(Hash, u32)>) -> Result<Option<Vec<u8>>> {
        let (tag, content) = key;
        let Some(bytes) = self.core.store.get(&record::chunk_key(tag, id))? else { return Ok(None) };
        let at: ChunkRecord = record::from_bytes(&bytes, "chunk record")?;
        if at.content == *content || *wanted != Some((at.plain, at.len)) {
            return Ok(None);
        }
        let Some(blob) = self.core.blob(tag, &at.content)?.filter(|blob| blob.has(at.index)) else {
            return Ok(None);
        };
        let mut plain = vec![0; at.len as usize];
        let file = self.core.store.bulk().open(&blob.bulk.name)?;
        file.read_exact_at(&mut plain, at.offset).during(|| "reading a large file".into())?;
        Ok((Hash::of(&[&plain]) == at.plain).then_some(plain))
    }

    pub(crate) fn needs(&self, tag: &SpaceTag, id: &ChunkId) -> bool {
        self.active.iter().any(|((t, _), fetch)| t == tag && fetch.at.contains_key(id))
    }

    // A blob that cannot be written now: what is here of it is recorded, if that can be.
    pub(crate) fn fail(&mut self, key: Key, error: &Error) {
        if let Some(fetch) = self.active.get_mut(&key).filter(|fetch| !fetch.doubtful) {
            let _ = record_fetched(self.core, &key, fetch);
        }
        if let Some(manifest) = self.stop(&key) {
            self.give_rest(key, manifest, error);
        }
    }

    // Takes a blob out of work; what only it needed is not asked for any more.
    pub(crate) fn stop(&mut self, key: &Key) -> Option<Manifest> {
        self.core.partial.write().remove(key);
        let fetch = self.active.remove(key)?;
        let ids: Vec<ChunkId> = fetch.at.keys().filter(|id| !self.needs(&key.0, id)).copied().collect();
        if !ids.is_empty() {
            self.core.tell_link(ToLink::Unwant { tag: key.0, ids });
        }
        Some(fetch.manifest)
    }

    pub(crate) fn give_rest(&mut self, key: Key, manifest: Manifest, error: &Error) {
        if self.failures.is_empty() {
            self.core.problem(format!("a large file cannot be kept now, and is tried again: {error}"));
        }
        let failures = self.failures.entry(key).or_default();
        let wait = REST.saturating_mul(1 << (*failures).min(6)).min(LONGEST_REST);
        *failures += 1;
        self.resting.insert(key, (Instant::now() + wait, manifest));
        let all = self.active.len() + self.queue.len() + self.resting.len();
        self.core.fetching.store(all, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What a manifest says of a chunk: the hash and the length of its plain bytes.
pub(crate) fn expected(active: &BTreeMap<Key, Fetch>, key: &Key, id: &ChunkId) -> Option<(Hash, u32)> {
    let fetch = active.get(key)?;
    let (index, _) = *fetch.at.get(id)?.first()?;
    fetch.manifest.chunks.get(index as usize).map(|chunk| (chunk.plain, chunk.len))
}
