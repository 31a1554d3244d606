//! Entries that came too early: ahead of the ones before them, or of what lets their author write.
//!
//! Both places are in memory. What is lost with them was never acknowledged, so it comes again on a link. In a
//! bundle it may not, so the node makes durable what waits for its predecessor, and gives it back at its start.

use crate::envelope::Tip;
use crate::io::{Origin, PeerId};
use base::{Entry, Hash, LogId, SpaceTag, limit};
use std::collections::BTreeMap;

/// Milliseconds that an entry waits for its predecessor.
const HELD_FOR: u64 = 120_000;
/// Milliseconds after which what waits is worth being made durable: what is asked for on a link comes sooner.
const KEEP_AFTER: u64 = 3_000;

/// The bounded place where they wait, shared out among the senders.
#[derive(Default)]
pub(crate) struct Held {
    by_prev: BTreeMap<Hash, Vec<Waiting>>,
    // What each of them builds on.
    prev_of: BTreeMap<Hash, Tip>,
    load: BTreeMap<Origin, (usize, usize)>,
}

pub(crate) struct Waiting {
    pub(crate) from: Origin,
    pub(crate) tag: SpaceTag,
    pub(crate) entry: Entry,
    at: u64,
    // Whether it was given out to be made durable.
    told: bool,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.load.values().map(|(entries, _)| entries).sum()
    }

    // False if the sender's share is used up: it will send it again.
    pub(crate) fn put(&mut self, now: u64, from: Origin, tag: SpaceTag, entry: Entry) -> bool {
        let Some(prev) = entry.header().prev else { return false };
        let list = self.by_prev.entry(prev).or_default();
        if let Some(waiting) = list.iter_mut().find(|waiting| waiting.entry == entry) {
            if from == Origin::Kept && waiting.from != Origin::Kept {
                Self::unload(&mut self.load, waiting);
                waiting.from = Origin::Kept;
                let (entries, bytes) = self.load.entry(from).or_default();
                *entries += 1;
                *bytes += entry.bytes().len();
            }
            return true;
        }
        let (entries, bytes) = self.load.entry(from).or_default();
        let size = entry.bytes().len();
        if is_full(from, *entries, *bytes + size) {
            if list.is_empty() {
                self.by_prev.remove(&prev);
            }
            return false;
        }
        *entries += 1;
        *bytes += size;
        self.prev_of.insert(entry.hash(), (entry.header().seq.saturating_sub(1), prev));
        list.push(Waiting { from, tag, entry, at: now, told: false });
        true
    }

    // What came on links (of these alone, where some are named) and has waited so long that it should be made
    // durable; each once.
    pub(crate) fn due_to_keep(&mut self, now: u64, at_once: Option<PeerId>) -> Vec<(SpaceTag, Entry)> {
        let due = |w: &&mut Waiting| match (w.from, at_once) {
            _ if w.told => false,
            (Origin::Link(id), Some(peer)) => id == peer,
            (Origin::Link(_), None) => now.saturating_sub(w.at) >= KEEP_AFTER,
            _ => false,
        };
        let waiting = self.by_prev.values_mut().flatten().filter(due);
        waiting
            .map(|w| {
                w.told = true;
                (w.tag, w.entry.clone())
            })
            .collect()
    }

    pub(crate) fn take(&mut self, prev: &Hash) -> Vec<Waiting> {
        let list = self.by_prev.remove(prev).unwrap_or_default();
        for waiting in &list {
            Self::unload(&mut self.load, waiting);
            self.prev_of.remove(&waiting.entry.hash());
        }
        list
    }

    fn unload(load: &mut BTreeMap<Origin, (usize, usize)>, waiting: &Waiting) {
        if let Some((entries, bytes)) = load.get_mut(&waiting.from) {
            *entries = entries.saturating_sub(1);
            *bytes = bytes.saturating_sub(waiting.entry.bytes().len());
            if *entries == 0 {
                load.remove(&waiting.from);
            }
        }
    }

    fn keep(&mut self, keep: impl Fn(&Waiting) -> bool) {
        let (load, prev_of) = (&mut self.load, &mut self.prev_of);
        self.by_prev.retain(|_, list| {
            list.retain(|waiting| {
                let stays = keep(waiting);
                if !stays {
                    Self::unload(load, waiting);
                    prev_of.remove(&waiting.entry.hash());
                }
                stays
            });
            !list.is_empty()
        });
    }

    // What is lacking for the chain that ends in `tip`: the first that does not wait here.
    pub(crate) fn lacking_below(&self, mut tip: Tip) -> Tip {
        while let Some(before) = self.prev_of.get(&tip.1) {
            tip = *before;
        }
        tip
    }

    pub(crate) fn drop_peer(&mut self, peer: PeerId) {
        self.keep(|waiting| waiting.from.peer() != Some(peer));
    }

    pub(crate) fn drop_space(&mut self, tag: &SpaceTag) {
        self.keep(|waiting| waiting.tag != *tag);
    }

    pub(crate) fn expire(&mut self, now: u64) {
        if !self.by_prev.is_empty() {
            self.keep(|waiting| waiting.from == Origin::Kept || now.saturating_sub(waiting.at) < HELD_FOR);
        }
    }
}

// Whether a sender's share has no room; gossip has a smaller one of its own.
fn is_full(from: Origin, entries: usize, bytes: usize) -> bool {
    let part = match from {
        Origin::Link(_) => 1,
        Origin::Gossip(_) => limit::HELD_GOSSIP_PART,
        // The store has bounds of its own.
        Origin::Kept => return entries >= limit::KEPT_ENTRIES,
    };
    entries >= limit::HELD_ENTRIES / part || bytes > limit::HELD_BYTES / part
}

/// Entries that cannot be judged yet, in the order of their logs; bounded for each sender.
#[derive(Default)]
pub(crate) struct Waits {
    entries: BTreeMap<(SpaceTag, LogId, u64, Hash), Waiting>,
    load: BTreeMap<Origin, (usize, usize)>,
}

impl Waits {
    /// Keeps an entry; false if the sender's share is used up.
    pub(crate) fn put(&mut self, now: u64, from: Origin, tag: SpaceTag, entry: Entry) -> bool {
        let key = (tag, entry.header().log, entry.header().seq, entry.hash());
        if self.entries.contains_key(&key) {
            return true;
        }
        let (entries, bytes) = self.load.entry(from).or_default();
        let size = entry.bytes().len();
        if is_full(from, *entries, *bytes + size) {
            return false;
        }
        *entries += 1;
        *bytes += size;
        self.entries.insert(key, Waiting { from, tag, entry, at: now, told: false });
        true
    }

    /// Takes everything out.
    pub(crate) fn take_all(&mut self) -> Vec<Waiting> {
        self.load.clear();
        std::mem::take(&mut self.entries).into_values().collect()
    }

    /// Takes out what belongs to a space that is no longer held.
    pub(crate) fn drop_space(&mut self, tag: &SpaceTag) {
        self.take_where(|waiting| waiting.tag == *tag);
    }

    /// Takes out what has waited for too long.
    pub(crate) fn take_expired(&mut self, now: u64) -> Vec<Waiting> {
        self.take_where(|waiting| now.saturating_sub(waiting.at) >= HELD_FOR)
    }

    fn take_where(&mut self, out: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let keys: Vec<_> = self.entries.iter().filter(|(_, w)| out(w)).map(|(key, _)| *key).collect();
        let gone: Vec<Waiting> = keys.iter().filter_map(|key| self.entries.remove(key)).collect();
        for waiting in &gone {
            Held::unload(&mut self.load, waiting);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{DeviceId, EntryKind, EpochId, Header, Incarnation, Run};

    fn entry(seq: u64, prev: Hash, size: usize) -> Entry {
        let header = Header {
            kind: EntryKind::Content,
            tag: SpaceTag([1; 16]),
            log: LogId { device: DeviceId([2; 32]), incarnation: Incarnation([3; 8]) },
            run: Run([4; 8]),
            seq,
            lamport: seq + 1,
            prev: Some(prev),
            deps: Vec::new(),
            epoch: Some(EpochId([8; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        Entry::assemble(&header, &vec![0; size], &[0; 64]).unwrap()
    }

    #[test]
    fn what_waits_is_bounded_for_each_sender() {
        let mut held = Held::default();
        let (one, other) = (Origin::Link(DeviceId([1; 32])), Origin::Link(DeviceId([2; 32])));
        let tag = SpaceTag([1; 16]);
        for n in 0..limit::HELD_ENTRIES as u64 + 10 {
            let kept = held.put(0, one, tag, entry(n + 5, Hash::of(&[&n.to_be_bytes()]), 0));
            assert_eq!(kept, n < limit::HELD_ENTRIES as u64);
        }
        assert!(held.put(0, other, tag, entry(7, Hash([7; 32]), 0)));
        let size = limit::ENTRY_BYTES / 2;
        let big = (0..100u8).filter(|n| held.put(0, other, tag, entry(9, Hash([*n; 32]), size))).count();
        assert_eq!(big, limit::HELD_BYTES / size - 1);
        // What somebody's gossip brings does not take from what they send.
        let gossip = Origin::Gossip(DeviceId([1; 32]));
        let by_gossip =
            |n: u64| held.put(0, gossip, tag, entry(n + 5, Hash::of(&[b"g", &n.to_be_bytes()]), 0));
        let kept = (0..limit::HELD_ENTRIES as u64).map(by_gossip).filter(|kept| *kept).count();
        assert_eq!(kept, limit::HELD_ENTRIES / limit::HELD_GOSSIP_PART);
        held.drop_peer(DeviceId([1; 32]));
        assert_eq!(held.len(), 1 + big);
        // What became durable stays.
        assert!(held.put(0, Origin::Kept, tag, entry(9, Hash([3; 32]), size)));
        assert_eq!(held.len(), 1 + big);
        assert_eq!(held.take(&Hash([7; 32])).len(), 2);
        held.drop_peer(DeviceId([2; 32]));
        held.expire(HELD_FOR);
        assert_eq!(held.len(), 1);
        assert_eq!(held.take(&Hash([3; 32])).len(), 1);
        assert!(held.load.is_empty() && held.by_prev.is_empty() && held.prev_of.is_empty());
    }
}
