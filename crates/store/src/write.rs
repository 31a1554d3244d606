//! Turning batches into records, in the order of their numbers.

use crate::commit::Commit;
use crate::engine::{Engine, Records};
use crate::range::after_prefix;
use crate::record::{self, Head, Meta, Pieces};
use crate::{Batch, Error, Ticket};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The one way into the engine: batches, in the order of their numbers.
pub(crate) struct Writing {
    pub(crate) engine: Arc<Engine>,
    pub(crate) commit: Arc<Commit>,
    /// The last batch that is in the engine. Taken before `next`.
    pub(crate) meta: Mutex<Meta>,
    next: Mutex<Next>,
}

// What was deferred and is not in the engine, and the last number that was given away.
struct Next {
    deferred: Batch,
    seq: u64,
}

impl Next {
    // What was deferred with a batch after it, whether there was any, and the number of both.
    fn take(&mut self, batch: Batch) -> ((Batch, bool), u64) {
        if self.deferred.is_empty() {
            self.seq += 1;
            return ((batch, false), self.seq);
        }
        let mut all = std::mem::take(&mut self.deferred);
        all.append(batch);
        ((all, true), self.seq)
    }
}

impl Writing {
    pub(crate) fn new(engine: Arc<Engine>, commit: Arc<Commit>, meta: Meta) -> Writing {
        let next = Next { deferred: Batch::new(), seq: meta.seq };
        Writing { engine, commit, meta: Mutex::new(meta), next: Mutex::new(next) }
    }

    /// Writes a batch, and before it what was deferred.
    pub(crate) fn apply(&self, batch: Batch) -> Result<Ticket, Error> {
        check_limits(&batch)?;
        let mut meta = self.meta.lock();
        self.commit.usable()?;
        if batch.is_empty() {
            return Ok(self.commit.newest());
        }
        self.admit(&batch)?;
        let (all, seq) = self.next.lock().take(batch);
        self.write(&mut meta, all, seq)
    }

    /// Counts a batch as applied; it is written with the next one that is, or with the next commit.
    pub(crate) fn defer(&self, batch: Batch) -> Result<Ticket, Error> {
        check_limits(&batch)?;
        self.commit.usable()?;
        if batch.is_empty() {
            return Ok(self.commit.newest());
        }
        self.admit(&batch)?;
        let mut next = self.next.lock();
        if next.deferred.is_empty() {
            next.seq += 1;
        }
        next.deferred.append(batch);
        // Counted under the lock: a number is never in the engine before it is counted.
        Ok(self.commit.applied(next.seq))
    }

    /// Writes what was deferred.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let mut meta = self.meta.lock();
        let (deferred, seq) = {
            let mut next = self.next.lock();
            (std::mem::take(&mut next.deferred), next.seq)
        };
        if deferred.is_empty() { Ok(()) } else { self.write(&mut meta, (deferred, true), seq).map(drop) }
    }

    // Space is taken before a batch has a number: from then on it must not be refused.
    fn admit(&self, batch: &Batch) -> Result<(), Error> {
        let pieces = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |v| v.len() / record::PIECE_BYTES);
        let records = 1 + batch.len() + batch.writes.values().map(pieces).sum::<usize>();
        self.engine.reserve.admit(records as u64, batch.bytes() as u64, batch.frees_space)
    }

    fn write(&self, last: &mut Meta, (batch, promised): (Batch, bool), seq: u64) -> Result<Ticket, Error> {
        let mut meta = Meta { seq, ..*last };
        let records = self.records(&batch, &mut meta).inspect_err(|error| {
            // Nothing is written yet, but somebody was told that it would be.
            if promised {
                self.commit.poison(error);
            }
        })?;
        self.engine.write(records).inspect_err(|error| self.commit.poison(error))?;
        *last = meta;
        Ok(self.commit.applied(seq))
    }

    fn records(&self, batch: &Batch, meta: &mut Meta) -> Result<Records, Error> {
        let mut records = Records::default();
        let cleared = self.cleared(batch)?;
        let gone = cleared.iter().map(|key| (key, None));
        let writes = batch.writes.iter().map(|(key, value)| (key, value.as_deref()));
        for (item, (key, value)) in gone.chain(writes).enumerate() {
            self.change(&mut records, meta, item as u32, key, value)?;
        }
        records.put(record::META_KEY.to_vec(), record::meta(meta));
        Ok(records)
    }

    // The keys that a batch removes by prefix and does not write again.
    fn cleared(&self, batch: &Batch) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = BTreeMap::new();
        for prefix in &batch.cleared {
            let prefix = record::head_key(prefix);
            let mut iter = self.engine.iter(prefix.clone(), after_prefix(&prefix))?;
            while let Some(step) = self.engine.step(|| iter.next()) {
                let key = record::caller_key(&step?.0).to_vec();
                if !batch.writes.contains_key(&key) {
                    keys.insert(key, ());
                }
            }
        }
        Ok(keys.into_keys().collect())
    }

    fn change(
        &self,
        records: &mut Records,
        meta: &mut Meta,
        item: u32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        let head_key = record::head_key(key);
        if let Some(old) = self.engine.get(&head_key)? {
            meta.take(&old);
            // A damaged head may be replaced; its pieces, if any, stay until the store is rebuilt.
            if let Some(Head::Pieces(at)) = record::read_head(&head_key, &old) {
                (0..at.count()).for_each(|n| records.remove(at.key(n)));
            }
            if value.is_none() {
                records.remove(head_key.clone());
            }
        }
        let Some(value) = value else { return Ok(()) };
        let head = if value.len() <= record::INLINE_BYTES {
            record::inline(&head_key, value)
        } else {
            let at = Pieces { seq: meta.seq, item, len: value.len() as u32 };
            for (n, piece) in value.chunks(record::PIECE_BYTES).enumerate() {
                let piece_key = at.key(n as u32);
                let record = record::piece(&piece_key, piece);
                records.put(piece_key, record);
            }
            record::pieces(&head_key, &at)
        };
        meta.add(&head);
        records.put(head_key, head);
        Ok(())
    }
}

fn check_limits(batch: &Batch) -> Result<(), Error> {
    for (key, value) in &batch.writes {
        if key.len() > record::KEY_BYTES {
            return Err(Error::TooLarge { what: "a key", len: key.len(), limit: record::KEY_BYTES });
        }
        if let Some(value) = value.as_ref().filter(|v| v.len() > record::VALUE_BYTES) {
            return Err(Error::TooLarge { what: "a value", len: value.len(), limit: record::VALUE_BYTES });
        }
    }
    Ok(())
}
