//! What becomes of a chunk that arrived: it is opened, written where it belongs, made durable and recorded.

use crate::api::Event;
use crate::chunks::{Fetch, Fetcher, Key, expected};
use crate::core::Core;
use crate::error::{During, Result};
use crate::link::ToLink;
use crate::opening::{Opening, Said, Syncing};
use crate::record::{self, BlobRecord};
use base::{ChunkId, Hash, Oid, SpaceTag};
use std::os::unix::fs::FileExt;
use std::time::Instant;
use store::Batch;

impl Fetcher<'_> {
    /// A chunk arrived: opened and kept by this thread alone.
    #[cfg(test)]
    pub(crate) fn arrived(&mut self, tag: SpaceTag, id: ChunkId, bytes: &[u8]) {
        if let Some(opening) = self.to_open(tag, id, bytes.to_vec()) {
            self.opened(tag, id, opening.open());
        }
    }

    // What manifests say of a chunk that arrived; none if nobody needs it any more.
    pub(crate) fn to_open(&self, tag: SpaceTag, id: ChunkId, bytes: Vec<u8>) -> Option<Opening> {
        if !self.needs(&tag, &id) {
            // Nobody did wrong: it came after its blob was given a rest.
            self.core.tell_link(ToLink::Unwant { tag, ids: vec![id] });
            return None;
        }
        let fetches = self.active.iter().filter(|((t, _), f)| *t == tag && f.at.contains_key(&id));
        let said = fetches.filter_map(|(key, fetch)| {
            let (hash, len) = expected(&self.active, key, &id)?;
            let secret = self.core.epoch_secret(&tag, &fetch.manifest.epoch)?;
            Some(Said { hash, len, secret })
        });
        Some(Opening { tag, id, bytes, said: said.collect() })
    }

    pub(crate) fn opened(&mut self, tag: SpaceTag, id: ChunkId, opened: Option<(Vec<u8>, Hash)>) {
        // Whoever waits hears of it when this is done.
        let waiting = self.brought.remove(&(tag, id));
        self.take_opened(tag, id, opened);
        if let Some(waiting) = waiting {
            let _ = waiting.send(matches!(self.core.blob_of_chunk(&tag, &id), Ok(None)));
        }
    }

    fn take_opened(&mut self, tag: SpaceTag, id: ChunkId, opened: Option<(Vec<u8>, Hash)>) {
        if !self.needs(&tag, &id) {
            self.core.tell_link(ToLink::Unwant { tag, ids: vec![id] });
            return;
        }
        match opened {
            None => self.core.tell_link(ToLink::Chunk { tag, id, stored: false }),
            Some((plain, hash)) if self.keep(tag, id, &plain, hash) => {
                self.core.tell_link(ToLink::Chunk { tag, id, stored: true });
            }
            Some(_) => {}
        }
        self.work();
    }

    // Writes a chunk wherever it belongs; whether it is anywhere.
    // `hash` is that of the plain bytes.
    fn keep(&mut self, tag: SpaceTag, id: ChunkId, plain: &[u8], hash: Hash) -> bool {
        let places = self.active.keys().filter(|key| key.0 == tag).filter(|key| {
            expected(&self.active, key, &id).is_some_and(|(h, len)| h == hash && len as usize == plain.len())
        });
        let places: Vec<Key> = places.copied().collect();
        let mut kept = false;
        for key in places {
            let Some(fetch) = self.active.get_mut(&key) else { continue };
            match write(self.core, &key, fetch, &id, plain) {
                Ok(()) => kept = true,
                Err(e) => self.fail(key, &e),
            }
        }
        *self.core.arrivals.0.lock() += 1;
        self.core.arrivals.1.notify_all();
        kept
    }

    /// What was written is made durable, and recorded then.
    pub(crate) fn begin_sync(&mut self, key: &Key) {
        let Some(fetch) = self.active.get_mut(key) else { return };
        let file = match fetch.file.try_clone().during(|| "writing a large file".into()) {
            Ok(file) => file,
            Err(e) => return self.fail(*key, &e),
        };
        let job = Syncing { key: *key, file, blob: fetch.blob.clone(), whole: fetch.missing == 0 };
        fetch.syncing = true;
        fetch.unrecorded = 0;
        let job = match &self.syncer {
            Some(syncer) => match syncer.send(job) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => job,
        };
        let result = job.sync();
        self.synced(&job, result);
    }

    pub(crate) fn synced(&mut self, job: &Syncing, result: Result<()>) {
        let fetch = self.active.get_mut(&job.key).filter(|f| f.blob.bulk.name == job.blob.bulk.name);
        let Some(fetch) = fetch else { return };
        fetch.syncing = false;
        fetch.doubtful |= result.is_err();
        let recorded = match result {
            Ok(()) if job.whole => self.finish(&job.key),
            // Meanwhile more of it may have been recorded.
            Ok(()) if count(&fetch.recorded) >= count(&job.blob.have) => Ok(()),
            Ok(()) => put_blob(self.core, &job.key, &job.blob),
            Err(e) => Err(e),
        };
        if let Err(e) = recorded {
            self.fail(job.key, &e);
        }
    }

    // It is whole and durable: that is recorded, with where each of its chunks is, before it is let go.
    fn finish(&mut self, key: &Key) -> Result<()> {
        let (tag, content) = *key;
        let Some(fetch) = self.active.get_mut(key) else { return Ok(()) };
        let mut batch = Batch::new();
        crate::blob::put_whole(&mut batch, &tag, &fetch.manifest, fetch.blob.bulk);
        self.core.store.apply(batch)?;
        self.core.note_replaced(fetch.manifest.size);
        self.active.remove(key);
        self.failures.remove(key);
        self.core.partial.write().remove(key);
        let shown: Vec<Oid> = {
            let state = self.core.state.read();
            let space = state.spaces.get(&tag);
            let heads =
                space.into_iter().flat_map(|s| s.heads.iter().map(move |(id, head)| (s.id, id, head)));
            let shown = heads.filter(|(_, _, head)| head.content == Some(content));
            shown.map(|(space, object, _)| Oid { space, object: *object }).collect()
        };
        self.core.emit(shown.into_iter().map(|oid| Event::Content { oid, remote: true }));
        *self.core.arrivals.0.lock() += 1;
        self.core.arrivals.1.notify_all();
        Ok(())
    }
}

/// Writes a chunk to its places in one blob. It counts as missing until it is in all of them.
pub(crate) fn write(core: &Core, key: &Key, fetch: &mut Fetch, id: &ChunkId, plain: &[u8]) -> Result<()> {
    let Some(places) = fetch.at.get(id) else { return Ok(()) };
    fetch.moved = Instant::now();
    for (_, offset) in places {
        fetch.file.write_all_at(plain, *offset).during(|| "writing a large file".into())?;
    }
    for (index, _) in fetch.at.remove(id).unwrap_or_default() {
        fetch.blob.note(index);
        if let Some(partial) = core.partial.write().get_mut(key) {
            partial.note(index);
        }
        fetch.missing -= 1;
        fetch.unrecorded += plain.len() as u64;
    }
    Ok(())
}

/// The bytes are durable before a record says that they are here.
pub(crate) fn record_fetched(core: &Core, key: &Key, fetch: &mut Fetch) -> Result<()> {
    let synced = fetch.file.sync_data().during(|| "writing a large file".into());
    fetch.doubtful |= synced.is_err();
    synced?;
    put_blob(core, key, &fetch.blob)?;
    fetch.recorded.clone_from(&fetch.blob.have);
    fetch.unrecorded = 0;
    Ok(())
}

// How many chunks are here.
fn count(have: &[u8]) -> u32 {
    have.iter().map(|byte| byte.count_ones()).sum()
}

fn put_blob(core: &Core, key: &Key, blob: &BlobRecord) -> Result<()> {
    let mut batch = Batch::new();
    batch.put(record::blob_key(&key.0, &key.1), record::to_bytes(blob));
    core.store.apply(batch)?;
    Ok(())
}
