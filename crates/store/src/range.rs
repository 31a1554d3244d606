//! Walking over keys in order, in bounded memory.

use crate::record::{self, Head};
use crate::{Error, Inner};
use std::sync::Arc;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Keys and values in order, from either end. Not a snapshot: a change made meanwhile may or may
/// not be seen, but each value is whole, and a key that was there all the time is seen once. After
/// an error it ends.
pub struct Range {
    // Dropped before the store it walks over.
    walk: Walk,
    inner: Arc<Inner>,
}

enum Walk {
    On(Box<sled::Iter>),
    Failed(Error),
    Over,
}

impl Range {
    /// The keys from `from` to below `below` (or to the end).
    pub(crate) fn new(inner: &Arc<Inner>, from: &[u8], below: Option<&[u8]>) -> Range {
        let below = below.map(record::head_key).or_else(|| after_prefix(&record::head_key(&[])));
        let walk = match inner.engine.iter(record::head_key(from), below) {
            Ok(iter) => Walk::On(Box::new(iter)),
            Err(error) => Walk::Failed(error),
        };
        Range { walk, inner: inner.clone() }
    }

    fn advance(&mut self, back: bool) -> Option<Result<Pair, Error>> {
        loop {
            let iter = match &mut self.walk {
                Walk::On(iter) => iter,
                _ => return self.end(),
            };
            let step = self.inner.engine.step(|| if back { iter.next_back() } else { iter.next() })?;
            let pair = step.and_then(|(key, head)| Ok((self.value(&key, &head)?, key)));
            match pair {
                Ok((Some(value), key)) => return Some(Ok((record::caller_key(&key).to_vec(), value))),
                // Removed between the two looks.
                Ok((None, _)) => {}
                Err(error) => self.walk = Walk::Failed(error),
            }
        }
    }

    fn end(&mut self) -> Option<Result<Pair, Error>> {
        match std::mem::replace(&mut self.walk, Walk::Over) {
            Walk::Failed(error) => Some(Err(error)),
            _ => None,
        }
    }

    fn value(&self, key: &[u8], head: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match record::read_head(key, head) {
            Some(Head::Inline(value)) => Ok(Some(value.to_vec())),
            // The head may be older than the pieces: look again.
            Some(Head::Pieces(_)) => self.inner.read(key),
            None => Err(self.inner.damaged(key)),
        }
    }
}

impl Iterator for Range {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

/// The first key after all keys that begin with `prefix`; none where that is the end of all keys.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut out = prefix[..=last].to_vec();
    out[last] += 1;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
