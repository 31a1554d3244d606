//! Large contents that nothing shows any more: as many of their bytes stay here as there is room set aside for.
//!
//! Each save of a large file is a version with a file of its own. A program that saves all the time would fill the
//! disk with versions that nobody looks at again, so the oldest go first. What was said of them stays in the
//! entries; their bytes may still be with a friend.

use crate::blob::chunk_records;
use crate::chunks::Key;
use crate::core::Core;
use crate::error::Result;
use crate::record::{self, BlobRecord, ChunkRecord};
use base::{ChunkId, Hash, Oid, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use store::Batch;

/// A part of what is set aside: so much is replaced before anybody looks again.
const PART: u64 = 8;

struct Superseded {
    key: Key,
    blob: BlobRecord,
    made: SystemTime,
}

impl Core {
    /// Notes that a large content took another's place; the sealing thread looks when it was much.
    pub(crate) fn note_replaced(&self, bytes: u64) {
        self.replaced.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Removes the oldest superseded contents where they are more than is set aside for them.
    pub(crate) fn thin_superseded(&self) -> Result<()> {
        if self.replaced.load(Ordering::Relaxed) < limit::SUPERSEDED_BYTES / PART {
            return Ok(());
        }
        self.replaced.store(0, Ordering::Relaxed);
        self.thin_superseded_to(limit::SUPERSEDED_BYTES)
    }

    /// Removes the oldest superseded contents until they are at most so many bytes.
    pub(crate) fn thin_superseded_to(&self, most: u64) -> Result<()> {
        let found = self.superseded()?;
        let mut bytes: u64 = found.iter().map(|old| old.blob.bulk.size).sum();
        let mut go = BTreeMap::new();
        for old in found {
            if bytes <= most {
                break;
            }
            bytes -= old.blob.bulk.size;
            go.insert(old.key, old.blob);
        }
        if go.is_empty() { Ok(()) } else { self.remove_contents(go) }
    }

    /// What the objects of all spaces show, other versions beside the one with the name included.
    pub(crate) fn shown_contents(&self) -> BTreeSet<Key> {
        let state = self.state.read();
        let mut shown = BTreeSet::new();
        for (tag, space) in &state.spaces {
            for head in space.heads.values().filter(|head| head.content.is_some()) {
                shown.extend(head.content.iter().chain(&head.others).map(|content| (*tag, *content)));
            }
        }
        shown
    }

    // The oldest first. What is being fetched is wanted by somebody.
    fn superseded(&self) -> Result<Vec<Superseded>> {
        let shown = self.shown_contents();
        let mut found = Vec::new();
        for item in self.store.range(b"b") {
            let (record_key, value) = item?;
            let Some(key) = key_of(&record_key) else { continue };
            if shown.contains(&key) || self.partial.read().contains_key(&key) {
                continue;
            }
            let blob: BlobRecord = record::from_bytes(&value, "blob record")?;
            let made = self.store.bulk().made(&blob.bulk.name)?.unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Superseded { key, blob, made });
        }
        found.sort_by_key(|old| (old.made, old.key));
        Ok(found)
    }

    // The chunks whose bytes are recorded to be in one of these contents.
    fn chunks_in(&self, contents: &BTreeMap<Key, BlobRecord>) -> Result<BTreeSet<(SpaceTag, ChunkId)>> {
        let mut chunks = BTreeSet::new();
        for tag in contents.keys().map(|key| key.0).collect::<BTreeSet<_>>() {
            for item in self.store.range(&record::chunks_of(&tag)) {
                let (key, value) = item?;
                let at: ChunkRecord = record::from_bytes(&value, "chunk record")?;
                if contents.contains_key(&(tag, at.content)) {
                    chunks.insert((tag, ChunkId::from_slice(&key[1 + SpaceTag::LEN..])?));
                }
            }
        }
        Ok(chunks)
    }

    // Where else these chunks are, among what is shown.
    fn chunks_elsewhere(
        &self,
        chunks: &BTreeSet<(SpaceTag, ChunkId)>,
    ) -> Result<BTreeMap<(SpaceTag, ChunkId), ChunkRecord>> {
        let tags: BTreeSet<SpaceTag> = chunks.iter().map(|(tag, _)| *tag).collect();
        let mut large = Vec::new();
        {
            let state = self.state.read();
            for space in tags.iter().filter_map(|tag| state.spaces.get(tag)) {
                let chunked = space.heads.iter().filter(|(_, head)| head.chunked);
                large.extend(chunked.map(|(id, _)| Oid { space: space.id, object: *id }));
            }
        }
        let mut elsewhere = BTreeMap::new();
        for oid in large {
            let tag = oid.space.tag();
            for manifest in crate::read::manifests(self, &oid)? {
                let known = chunk_records(&manifest).filter(|(id, _)| chunks.contains(&(tag, *id)));
                elsewhere.extend(known.map(|(id, record)| ((tag, id), record)));
            }
        }
        Ok(elsewhere)
    }

    // Somebody may have saved the same content again meanwhile: that is looked at once nobody can any more.
    fn remove_contents(&self, mut go: BTreeMap<Key, BlobRecord>) -> Result<()> {
        let chunks = self.chunks_in(&go)?;
        let elsewhere = self.chunks_elsewhere(&chunks)?;
        let _writing = self.write();
        let shown = self.shown_contents();
        let same = |key: &Key, old: &BlobRecord| {
            let now = self.blob(&key.0, &key.1);
            now.is_ok_and(|now| now.is_some_and(|now| now.bulk.name == old.bulk.name))
        };
        go.retain(|key, old| {
            !shown.contains(key) && !self.partial.read().contains_key(key) && same(key, old)
        });
        let mut batch = Batch::new();
        for (tag, id) in chunks {
            let key = record::chunk_key(&tag, &id);
            let Some(value) = self.store.get(&key)? else { continue };
            let at: ChunkRecord = record::from_bytes(&value, "chunk record")?;
            if !go.contains_key(&(tag, at.content)) {
                continue;
            }
            match elsewhere.get(&(tag, id)).filter(|at| !go.contains_key(&(tag, at.content))) {
                Some(there) => batch.put(key, record::to_bytes(there)),
                None => batch.remove(key),
            }
        }
        for (tag, content) in go.keys() {
            batch.remove(record::blob_key(tag, content));
        }
        batch.frees_space();
        let ticket = self.store.apply(batch)?;
        self.garbage.lock().extend(go.values().map(|old| (ticket, old.bulk.name)));
        tracing::debug!("{} superseded versions of large files went", go.len());
        Ok(())
    }
}

fn key_of(record_key: &[u8]) -> Option<Key> {
    let (tag, content) = record_key.get(1..)?.split_at_checked(SpaceTag::LEN)?;
    Some((SpaceTag::from_slice(tag).ok()?, Hash::from_slice(content).ok()?))
}
