//! Turning a batch into records.

use crate::engine::{Records, Written};
use crate::range::after_prefix;
use crate::record::{self, Head, Meta, Pieces};
use crate::{Batch, Error, Inner, Ticket};
use std::collections::BTreeMap;

impl Inner {
    pub(crate) fn apply(&self, batch: &Batch) -> Result<Ticket, Error> {
        check_limits(batch)?;
        let mut writer = self.writer.lock();
        self.commit.usable()?;
        if batch.is_empty() {
            return Ok(self.commit.newest());
        }
        let mut meta = Meta { seq: writer.seq + 1, ..*writer };
        let mut records = Records::default();
        let cleared = self.cleared(batch)?;
        let gone = cleared.iter().map(|key| (key, None));
        let writes = batch.writes.iter().map(|(key, value)| (key, value.as_deref()));
        for (item, (key, value)) in gone.chain(writes).enumerate() {
            self.change(&mut records, &mut meta, item as u32, key, value)?;
        }
        records.put(record::META_KEY.to_vec(), record::meta(&meta));
        match self.engine.write(records, batch.frees_space) {
            Ok(()) => {}
            Err(Written::Not(error)) => return Err(error),
            Err(Written::InPart(error)) => {
                self.commit.poison(&error);
                return Err(error);
            }
        }
        *writer = meta;
        Ok(self.commit.applied(meta.seq))
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
