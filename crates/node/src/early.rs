//! Entries that came ahead of the ones before them, kept over a restart: a link brings them again, but a
//! stick may not. Only what is signed by somebody who may write is kept, so much of each device.

use crate::core::Core;
use crate::error::Result;
use crate::record;
use base::{DeviceId, Entry, EntryKind, Hash, SpaceTag, limit};
use space::member::Verdict;
use std::collections::BTreeMap;
use store::Batch;

/// What is kept, by hash: whose it is and its size in bytes.
#[derive(Debug, Default)]
pub(crate) struct Early {
    kept: BTreeMap<Hash, (DeviceId, usize)>,
}

impl Early {
    // Whether there is room for another entry of a device.
    fn has_room(&self, device: &DeviceId, bytes: usize) -> bool {
        let of = self.kept.values().filter(|(d, _)| d == device);
        let (entries, sum) = of.fold((0, bytes), |(n, sum), (_, size)| (n + 1, sum + size));
        entries < limit::HELD_ENTRIES && sum <= limit::HELD_BYTES && self.kept.len() < limit::KEPT_ENTRIES
    }
}

fn key(entry: &Entry) -> Vec<u8> {
    let header = entry.header();
    record::early_key(&header.tag, &header.log, header.seq, &entry.hash())
}

impl Core {
    /// At the start: what is still to wait; what came meanwhile goes.
    pub(crate) fn load_early(&self) -> Result<()> {
        let mut early = Early::default();
        let mut batch = Batch::new();
        for found in self.store.range(b"e") {
            let (key, value) = found?;
            match Entry::decode(value) {
                Ok(entry) if self.entry_record(&entry.hash())?.is_none() => {
                    let size = entry.bytes().len();
                    early.kept.insert(entry.hash(), (entry.header().log.device, size));
                }
                _ => batch.remove(key),
            }
        }
        if !batch.is_empty() {
            self.store.apply(batch)?;
        }
        *self.early.lock() = early;
        Ok(())
    }

    /// What waits, in the order of the logs.
    pub(crate) fn kept_early(&self) -> Vec<(SpaceTag, Entry)> {
        let entries = self.store.range(b"e").filter_map(|found| Entry::decode(found.ok()?.1).ok());
        entries.map(|entry| (entry.header().tag, entry)).collect()
    }

    /// Keeps an entry until the one before it comes. False if it is not worth it, or there is no room.
    pub(crate) fn keep_early(&self, tag: &SpaceTag, entry: &Entry) -> Result<bool> {
        let header = entry.header();
        let Some(space) = self.space_of_tag(tag) else { return Ok(false) };
        if header.kind != EntryKind::Content || crypto::verify_entry(&space, entry).is_err() {
            return Ok(false);
        }
        let counts = {
            let state = self.state.read();
            let held = state.spaces.get(tag);
            held.is_some_and(|s| matches!(s.membership.judge(header, &state.people), Verdict::Counts))
        };
        if !counts || self.entry_record(&entry.hash())?.is_some() {
            return Ok(false);
        }
        let size = entry.bytes().len();
        {
            let mut early = self.early.lock();
            if !early.has_room(&header.log.device, size) {
                return Ok(false);
            }
            early.kept.insert(entry.hash(), (header.log.device, size));
        }
        let mut batch = Batch::new();
        batch.put(key(entry), entry.bytes().to_vec());
        self.store.apply(batch)?;
        // It may have been stored between the look and now: then it goes at the next start.
        Ok(true)
    }

    /// An entry is stored where it belongs.
    pub(crate) fn no_longer_early(&self, batch: &mut Batch, entry: &Entry) {
        if self.early.lock().kept.remove(&entry.hash()).is_some() {
            batch.remove(key(entry));
        }
    }

    /// An entry that waited does not count.
    pub(crate) fn forget_early(&self, entry: &Entry) {
        let mut batch = Batch::new();
        self.no_longer_early(&mut batch, entry);
        if !batch.is_empty()
            && let Err(e) = self.store.apply(batch)
        {
            self.problem(format!("an entry that does not count is still kept: {e}"));
        }
    }
}
