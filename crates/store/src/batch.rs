//! A batch: changes that happen together or not at all.

use std::collections::BTreeMap;

/// Changes to apply at once. Within a batch the later change of a key wins.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) cleared: Vec<Vec<u8>>,
    pub(crate) frees_space: bool,
    bytes: usize,
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets a key (at most [`crate::KEY_BYTES`]) to a value (at most [`crate::VALUE_BYTES`]);
    /// what is over the limits is refused by `apply`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.write(key.into(), Some(value.into()));
    }

    /// Removes a key; nothing happens where there is none.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.write(key.into(), None);
    }

    /// Removes every key that begins with `prefix`, also those put earlier in this batch. The keys
    /// are held in memory while the batch is applied.
    pub fn remove_prefix(&mut self, prefix: &[u8]) {
        let gone: Vec<_> = self
            .writes
            .range(prefix.to_vec()..)
            .map(|w| w.0.clone())
            .take_while(|k| k.starts_with(prefix))
            .collect();
        for key in gone {
            if let Some(value) = self.writes.remove(&key) {
                self.bytes -= key.len() + value.map_or(0, |v| v.len());
            }
        }
        self.bytes += prefix.len();
        self.cleared.push(prefix.to_vec());
    }

    /// Adds the changes of another batch, which happen after those of this one.
    pub fn append(&mut self, later: Batch) {
        later.cleared.iter().for_each(|prefix| self.remove_prefix(prefix));
        later.writes.into_iter().for_each(|(key, value)| self.write(key, value));
    }

    /// Marks a batch whose purpose is to free space: it may use most of the reserve when the disk
    /// is nearly full.
    pub fn frees_space(&mut self) {
        self.frees_space = true;
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.cleared.is_empty()
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.writes.len() + self.cleared.len()
    }

    /// The bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let key_len = key.len();
        if let Some(old) = self.writes.insert(key, value) {
            self.bytes -= key_len + old.map_or(0, |v| v.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_change_wins_and_bytes_follow() {
        let mut batch = Batch::new();
        assert!(batch.is_empty());
        batch.put("a1", "one");
        batch.put("a2", "two");
        batch.put("b", "three");
        assert_eq!((batch.len(), batch.bytes()), (3, 16));
        batch.put("b", "3");
        assert_eq!(batch.bytes(), 12);
        batch.remove_prefix(b"a");
        assert_eq!((batch.len(), batch.bytes()), (2, 3));
        batch.put("a2", "again");
        batch.remove("b");
        assert_eq!(batch.writes.get(b"a2".as_slice()), Some(&Some(b"again".to_vec())));
        assert_eq!(batch.writes.get(b"b".as_slice()), Some(&None));
    }

    #[test]
    fn an_appended_batch_happens_after() {
        let mut first = Batch::new();
        first.put("a1", "1");
        first.put("b", "1");
        let mut second = Batch::new();
        second.remove_prefix(b"a");
        second.put("b", "2");
        first.append(second);
        assert_eq!(first.writes.len(), 1);
        assert_eq!(first.writes.get(b"b".as_slice()), Some(&Some(b"2".to_vec())));
        assert_eq!(first.cleared, vec![b"a".to_vec()]);
    }
}
