//! The next entry of this device's log: its header, its seal and its signature, and what the store keeps of it.

use crate::clock;
use crate::core::{Core, no_space};
use crate::error::{Error, Result};
use crate::home::random_bytes;
use crate::record::{self, EntryRecord};
use crate::state::Space;
use base::{Entry, EntryKind, EpochId, Hash, Header, Kind, Run, SpaceId, SpaceTag, limit};
use crypto::EpochSecret;
use object::{Body, Item};
use store::Batch;

impl Core {
    /// Makes the next entry of this device's log, signed and sealed, and adds it to the batch.
    pub(crate) fn make_entry(
        &self,
        tag: &SpaceTag,
        items: Vec<Item>,
        run: Run,
        batch: &mut Batch,
    ) -> Result<Entry> {
        let (space_id, mut header) = {
            let state = self.state.read();
            let space = state.spaces.get(tag).ok_or_else(|| no_space(&SpaceId::default()))?;
            (space.id, self.next_header(space, EntryKind::Content, run))
        };
        let (epoch, secret) = self.epoch_to_seal(&space_id)?;
        header.epoch = Some(epoch);
        let body = Body { time: clock::now_ms(), items };
        let packed = crypto::pack(&body.encode());
        let sealed =
            crypto::seal_body(&secret, &space_id, &header.log, &header.to_bytes(), &packed, random_bytes()?);
        let entry = self.keys.device.sign_entry(&space_id, &header, &sealed)?;
        self.put_entry(batch, &entry, tag, true, header.lamport);
        Ok(entry)
    }

    /// The header of the next entry of this device's log in a space.
    pub(crate) fn next_header(&self, space: &Space, kind: EntryKind, run: Run) -> Header {
        let log = self.log();
        let (seq, prev) = match space.logs.applied.get(&log) {
            Some((seq, hash, _)) => (seq + 1, Some(*hash)),
            None => (0, None),
        };
        // The latest first: what does not fit is named by a later entry.
        // Of a forked log every branch is named.
        let others = space.logs.applied_tips();
        let mut newest: Vec<(u64, Hash)> = others
            .filter(|(id, (_, hash, _))| **id != log && !space.logs.built_on.contains(hash))
            .map(|(_, (_, hash, lamport))| (*lamport, *hash))
            .collect();
        newest.sort_by_key(|(lamport, hash)| (std::cmp::Reverse(*lamport), *hash));
        newest.truncate(limit::DEPS);
        let mut deps: Vec<Hash> = newest.into_iter().map(|(_, hash)| hash).collect();
        deps.sort();
        Header {
            kind,
            tag: space.tag,
            log,
            run,
            seq,
            lamport: next_lamport(space),
            prev,
            deps,
            epoch: None,
            auth: space.membership.heads(),
            chunks: None,
        }
    }

    /// Adds an entry and what is derived of it to a batch.
    /// `lamport` is what counts of its clock.
    pub(crate) fn put_entry(
        &self,
        batch: &mut Batch,
        entry: &Entry,
        tag: &SpaceTag,
        applied: bool,
        lamport: u64,
    ) {
        let new = !self.store.contains(&record::hash_key(&entry.hash())).unwrap_or(false);
        let header = entry.header();
        let hash = entry.hash();
        batch.put(record::entry_key(tag, &header.log, header.seq, &hash), entry.bytes().to_vec());
        let at = EntryRecord { tag: *tag, log: header.log, seq: header.seq, lamport, applied };
        batch.put(record::hash_key(&hash), record::to_bytes(&at));
        if header.kind != EntryKind::Content {
            batch.put(record::clear_key(tag, &hash), Vec::new());
        }
        if applied {
            batch.remove(record::waiting_key(tag, &hash));
        } else {
            batch.put(record::waiting_key(tag, &hash), Vec::new());
        }
        self.no_longer_early(batch, entry);
        let tip = self.is_tip(tag, entry).unwrap_or(true);
        let state = self.state.read();
        let known =
            state.spaces.get(tag).map(|s| &s.logs).or_else(|| state.statements.get(tag).map(|(_, l)| l));
        // Only the entry's own log changes.
        let mut logs = crate::logs::Logs::default();
        if let Some(known) = known {
            logs.load(header.log, known.record(&header.log));
        }
        if new {
            logs.store(header.log, header.seq, hash, header.prev, tip);
        }
        if applied {
            logs.apply(header.log, header.seq, hash, header.prev, lamport);
        }
        batch.put(record::log_key(tag, &header.log), record::to_bytes(&logs.record(&header.log)));
    }

    /// The epoch to seal under, and its secret.
    pub(crate) fn epoch_to_seal(&self, space: &SpaceId) -> Result<(EpochId, EpochSecret)> {
        self.with_space(space, |space| {
            let epoch = space.membership.current_epoch();
            epoch
                .and_then(|epoch| space.epochs.get(&epoch).map(|secret| (epoch, secret.clone())))
                .ok_or_else(|| Error::refused(Kind::Denied, "the key of this space has not arrived yet"))
        })
    }
}

/// The lamport of the next entry.
pub(crate) fn next_lamport(space: &Space) -> u64 {
    space.logs.lamport() + 1
}
