//! Contents as they were last shown: a bounded cache, so that reading does not open documents.

use base::{Oid, limit};
use lru::LruCache;
use object::Heads;
use std::sync::Arc;

/// Bytes of versions, the least recently read dropped first.
pub(crate) struct Rendered {
    entries: LruCache<Oid, (Heads, Arc<[u8]>)>,
    bytes: usize,
}

impl Rendered {
    pub(crate) fn new() -> Rendered {
        Rendered { entries: LruCache::unbounded(), bytes: 0 }
    }

    /// The bytes of exactly this version.
    pub(crate) fn get(&mut self, oid: &Oid, heads: &Heads) -> Option<Arc<[u8]>> {
        self.entries.get(oid).filter(|(at, _)| at == heads).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn put(&mut self, oid: Oid, heads: Heads, bytes: Arc<[u8]>) {
        // One large text must not push out everything else.
        if bytes.len() > limit::RENDERED_BYTES / 4 {
            self.forget(&oid);
            return;
        }
        self.bytes += bytes.len() + 128;
        if let Some((_, old)) = self.entries.put(oid, (heads, bytes)) {
            self.bytes -= old.len() + 128;
        }
        while self.bytes > limit::RENDERED_BYTES {
            match self.entries.pop_lru() {
                Some((_, (_, old))) => self.bytes -= old.len() + 128,
                None => break,
            }
        }
    }

    pub(crate) fn forget(&mut self, oid: &Oid) {
        if let Some((_, old)) = self.entries.pop(oid) {
            self.bytes -= old.len() + 128;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    #[test]
    fn it_stays_within_its_bound() {
        let mut rendered = Rendered::new();
        for n in 0..200u8 {
            let oid = Oid { space: SpaceId([0; 32]), object: ObjectId([n; 16]) };
            rendered.put(oid, Heads::default(), vec![n; 1 << 20].into());
        }
        assert!(rendered.bytes <= limit::RENDERED_BYTES);
        let first = Oid { space: SpaceId([0; 32]), object: ObjectId([0; 16]) };
        let last = Oid { space: SpaceId([0; 32]), object: ObjectId([199; 16]) };
        assert!(rendered.get(&first, &Heads::default()).is_none());
        assert_eq!(rendered.get(&last, &Heads::default()).unwrap()[0], 199);
    }
}
