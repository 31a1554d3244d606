//! Chunks that came without a link: into the blobs they belong to, as those that were asked for.

use crate::chunks::{Fetcher, Key};
use crate::keeping::record_fetched;
use crate::opening::Opening;
use base::{ChunkId, Hash, SpaceTag};
use crossbeam_channel::Sender;

/// Blobs in work at a time, at most, because a bundle brought pieces of them.
const HASTENED: usize = 64;

/// A chunk to be taken.
pub(crate) struct Bring {
    pub(crate) tag: SpaceTag,
    pub(crate) id: ChunkId,
    pub(crate) bytes: Vec<u8>,
    /// The content that it is a piece of.
    pub(crate) content: Hash,
    /// Told whether it is here then.
    pub(crate) done: Sender<bool>,
}

/// Blobs of which what was written is to be durable and recorded.
pub(crate) struct Settle {
    pub(crate) blobs: Vec<(SpaceTag, Hash)>,
    /// Told when that is done, and whether all of them could be kept.
    pub(crate) done: Sender<bool>,
}

impl Fetcher<'_> {
    /// Takes a chunk in. Its blob is not made to wait for its turn: its bytes are here.
    pub(crate) fn bring(&mut self, bring: Bring) -> Option<Opening> {
        let Bring { tag, id, bytes, content, done } = bring;
        let key = (tag, content);
        if !self.active.contains_key(&key) && self.active.len() < HASTENED {
            self.hasten(&key);
        }
        if !self.needs(&tag, &id) {
            let here = self.core.blob(&tag, &content).ok().flatten().is_some_and(|blob| blob.whole);
            let _ = done.send(here);
            return None;
        }
        self.brought.insert((tag, id), done);
        let opening = self.to_open(tag, id, bytes);
        if opening.is_none() {
            self.brought.remove(&(tag, id));
        }
        opening
    }

    // Begins a blob that waits for its turn or rests.
    fn hasten(&mut self, key: &Key) {
        let manifest = match self.resting.remove(key) {
            Some((_, manifest)) => manifest,
            None => {
                let Some(at) = self.queue.iter().position(|(queued, _)| queued == key) else { return };
                let Some((_, manifest)) = self.queue.remove(at) else { return };
                self.queued.remove(key);
                manifest
            }
        };
        if let Err(e) = self.start(*key, &manifest) {
            self.stop(key);
            self.give_rest(*key, manifest, &e);
        }
    }

    /// Makes what was written of some blobs durable; one that is whole is so already, or soon.
    pub(crate) fn settle(&mut self, settle: Settle) {
        let mut kept = true;
        for key in &settle.blobs {
            let recorded = match self.active.get_mut(key) {
                Some(fetch) => record_fetched(self.core, key, fetch),
                None => Ok(()),
            };
            if let Err(e) = recorded {
                self.fail(*key, &e);
            }
            kept &= !self.resting.contains_key(key);
        }
        let _ = settle.done.send(kept);
    }
}
