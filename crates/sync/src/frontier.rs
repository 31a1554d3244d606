//! Where each log of each space stands here, and how that compares with where a peer says it
//! stands.
//!
//! Only tips and a short recent past are kept: older questions ("is this entry an ancestor of that
//! tip?") are for the node, which has the store. Where the recent past does not reach, the answer
//! given here is the one that costs least when it is wrong: the next hello finds out.

use crate::envelope::{Tip, Tips};
use crate::io::Origin;
use base::{DeviceId, Hash, LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A log, among all spaces.
pub(crate) type LogKey = (SpaceTag, LogId);

/// Entries of a log whose hash is remembered, so that a duplicate or a fork is told at once.
const RECENT: usize = 256;
/// Changes of frontiers that can be walked back, to recognise a peer that is a little behind.
const UNDO: usize = 64;
/// Logs rehashed at most for one hello that differs.
const UNDO_WORK: usize = 16_384;
/// What an entry of unknown size is taken to weigh, in bytes.
const GUESS_BYTES: usize = 16 << 10;

/// Puts tips in order and keeps the highest `limit::TIPS` of them, by place and then by hash: of a log
/// that is forked more often everybody names the same branches, whatever the order they came in.
pub fn highest_tips(tips: &mut Tips) {
    tips.sort_unstable();
    tips.dedup();
    tips.drain(..tips.len().saturating_sub(limit::TIPS));
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The durable tips.
    pub(crate) tips: Tips,
    /// Delivered, not yet durable; what follows one of these is no gap.
    pub(crate) pending: BTreeMap<Tip, Origin>,
    /// When an entry last came that gossip is still carrying to others.
    pub(crate) fresh_at: Option<u64>,
    /// From which place on gossip is still carrying entries: it brings nobody what came before.
    pub(crate) fresh_from: u64,
    /// How far back the last search for a fork reached.
    pub(crate) walk: u64,
    /// When that was.
    pub(crate) walked_at: u64,
    // Durable entries of late, with their sizes in bytes.
    recent: BTreeMap<Tip, usize>,
    /// Of a log with more branches than tips: the sum over the hashes of its entries.
    pub(crate) sum: Option<Hash>,
    // From this place on, `recent` lacks nothing that is durable here.
    complete_from: u64,
}

impl Log {
    pub(crate) fn new(mut tips: Tips) -> Log {
        highest_tips(&mut tips);
        let complete_from = tips.last().map_or(0, |(seq, _)| *seq);
        let recent = tips.iter().map(|tip| (*tip, GUESS_BYTES)).collect();
        Log { tips, recent, complete_from, ..Log::default() }
    }

    /// Whether this entry is here or being stored, as far as the recent past tells.
    pub(crate) fn knows(&self, tip: &Tip) -> bool {
        self.recent.contains_key(tip) || self.pending.contains_key(tip)
    }

    /// Whether everything at this place is known, so that an unknown hash there is news.
    pub(crate) fn sees(&self, seq: u64) -> bool {
        seq >= self.complete_from
    }

    /// The place after the newest entry that is here or being stored.
    pub(crate) fn expected(&self) -> u64 {
        let after = |tip: &Tip| tip.0.saturating_add(1);
        self.tips.last().map_or(0, after).max(self.pending.keys().next_back().map_or(0, after))
    }

    /// Takes an entry as durable. False if it was so already.
    pub(crate) fn add(&mut self, seq: u64, hash: Hash, prev: Option<Hash>, bytes: usize) -> bool {
        self.pending.remove(&(seq, hash));
        if self.recent.contains_key(&(seq, hash)) {
            return false;
        }
        if let (Some(prev), Some(before)) = (prev, seq.checked_sub(1)) {
            self.tips.retain(|tip| *tip != (before, prev));
        }
        self.tips.push((seq, hash));
        highest_tips(&mut self.tips);
        self.recent.insert((seq, hash), bytes);
        while self.recent.len() > RECENT {
            if let Some(((seq, _), _)) = self.recent.pop_first() {
                self.complete_from = self.complete_from.max(seq.saturating_add(1));
            }
        }
        true
    }

    /// Takes an entry as durable that was missing below others. False if it was here already.
    pub(crate) fn fill(&mut self, seq: u64, hash: Hash, prev: Option<Hash>, bytes: usize) -> bool {
        self.pending.remove(&(seq, hash));
        if let (Some(prev), Some(before)) = (prev, seq.checked_sub(1)) {
            self.tips.retain(|tip| *tip != (before, prev));
        }
        seq < self.complete_from || self.recent.insert((seq, hash), bytes).is_none()
    }

    /// What a peer with these tips lacks of this log: first and last place.
    pub(crate) fn lacking(&self, theirs: &[Tip]) -> Option<(u64, u64)> {
        let top = theirs.last().map(|(seq, _)| *seq);
        for tip in self.tips.iter().rev() {
            if theirs.contains(tip) {
                continue;
            }
            match top {
                None => return Some((0, tip.0)),
                Some(top) if tip.0 > top => return Some((top.saturating_add(1), tip.0)),
                // A tip here is an ancestor of none that is known here; so of none of theirs
                // either, unless they are ahead, or what they have is on its way into the store.
                Some(_) if theirs.iter().all(|t| t.0 < tip.0 || self.recent.contains_key(t)) => {
                    return Some((tip.0, tip.0));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// What is lacking here of a log that has these tips elsewhere: first and last place.
    pub(crate) fn behind(&self, theirs: &[Tip]) -> Option<(u64, u64)> {
        let expected = self.expected();
        for tip in theirs.iter().rev() {
            if self.knows(tip) {
                continue;
            }
            if tip.0 >= expected {
                return Some((expected, tip.0));
            }
            // Their tip is no ancestor of another tip of theirs; if we know that one, or all
            // that is at that place, it is a branch that we lack.
            if self.sees(tip.0) || theirs.iter().any(|other| other.0 > tip.0 && self.tips.contains(other)) {
                return Some((tip.0, tip.0));
            }
        }
        None
    }

    /// Roughly how many bytes the entries from one place to another weigh.
    pub(crate) fn weight(&self, from: u64, to: u64) -> usize {
        let known: Vec<usize> = self
            .recent
            .range((from, Hash([0; 32]))..=(to, Hash([255; 32])))
            .map(|(_, bytes)| *bytes)
            .collect();
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).saturating_add(1);
        let unknown = count.saturating_sub(known.len());
        known.iter().sum::<usize>().saturating_add(unknown.saturating_mul(GUESS_BYTES))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) logs: BTreeMap<LogId, Log>,
    root: Option<Hash>,
}

struct Undo {
    key: LogKey,
    before: Tips,
}

/// All spaces held here.
#[derive(Default)]
pub(crate) struct Spaces {
    pub(crate) by_tag: BTreeMap<SpaceTag, Space>,
    undo: VecDeque<Undo>,
}

fn space_root<'a>(logs: impl Iterator<Item = (&'a LogId, &'a Tips, Option<Hash>)>) -> Hash {
    let mut bytes = b"chorus/frontier/1".to_vec();
    for (log, tips, sum) in logs.filter(|(_, tips, _)| !tips.is_empty()) {
        bytes.extend(log.to_bytes());
        // What the tips do not say, the sum says.
        let number = if sum.is_some() { limit::TIPS + 1 } else { tips.len() };
        bytes.extend((number as u64).to_be_bytes());
        for (seq, hash) in tips {
            bytes.extend(seq.to_be_bytes());
            bytes.extend(hash.0);
        }
        bytes.extend(sum.iter().flat_map(|sum| sum.0));
    }
    Hash::of(&[&bytes])
}

fn root_of<'a>(spaces: impl Iterator<Item = (&'a SpaceTag, Hash)>) -> Hash {
    let mut bytes = b"chorus/root-of-frontiers/1".to_vec();
    for (tag, root) in spaces {
        bytes.extend(tag.0);
        bytes.extend(root.0);
    }
    Hash::of(&[&bytes])
}

/// The digest of a HELLO: bound to who says it, to whom, and when.
pub(crate) fn digest(sender: &DeviceId, receiver: &DeviceId, time: u64, root: &Hash) -> Hash {
    Hash::of(&[b"chorus/hello/1", &sender.0, &receiver.0, &time.to_be_bytes(), &root.0])
}

impl Spaces {
    pub(crate) fn log(&self, key: &LogKey) -> Option<&Log> {
        self.by_tag.get(&key.0)?.logs.get(&key.1)
    }

    pub(crate) fn log_mut(&mut self, key: &LogKey) -> Option<&mut Log> {
        Some(self.by_tag.get_mut(&key.0)?.logs.entry(key.1).or_default())
    }

    pub(crate) fn tips(&self, key: &LogKey) -> &[Tip] {
        self.log(key).map_or(&[], |log| &log.tips)
    }

    pub(crate) fn insert(&mut self, tag: SpaceTag, logs: BTreeMap<LogId, Tips>) {
        let logs = logs.into_iter().map(|(id, tips)| (id, Log::new(tips))).collect();
        self.by_tag.insert(tag, Space { logs, root: None });
        self.undo.retain(|undo| undo.key.0 != tag);
    }

    pub(crate) fn remove(&mut self, tag: &SpaceTag) {
        self.by_tag.remove(tag);
        self.undo.retain(|undo| undo.key.0 != *tag);
    }

    /// Takes an entry as durable; the tips before it, or none if nothing changed.
    pub(crate) fn add(
        &mut self,
        key: LogKey,
        seq: u64,
        hash: Hash,
        prev: Option<Hash>,
        bytes: usize,
    ) -> Option<Tips> {
        let space = self.by_tag.get_mut(&key.0)?;
        let log = space.logs.entry(key.1).or_default();
        let before = log.tips.clone();
        if !log.add(seq, hash, prev, bytes) {
            return None;
        }
        space.root = None;
        self.undo.push_back(Undo { key, before: before.clone() });
        if self.undo.len() > UNDO {
            self.undo.pop_front();
        }
        Some(before)
    }

    /// Takes an entry as durable that was missing below others; the tips before it, or none if it was here.
    pub(crate) fn fill(&mut self, key: LogKey, tip: Tip, prev: Option<Hash>, bytes: usize) -> Option<Tips> {
        let space = self.by_tag.get_mut(&key.0)?;
        let log = space.logs.entry(key.1).or_default();
        let before = log.tips.clone();
        if !log.fill(tip.0, tip.1, prev, bytes) {
            return None;
        }
        space.root = None;
        Some(before)
    }

    /// Takes the sum over a log with more branches than its tips name.
    pub(crate) fn set_sum(&mut self, key: &LogKey, sum: Hash) {
        if let Some(space) = self.by_tag.get_mut(&key.0)
            && let Some(log) = space.logs.get_mut(&key.1)
        {
            log.sum = Some(sum);
            space.root = None;
        }
    }

    /// Takes anew where a log stands; the tips before, or none if it is not here.
    pub(crate) fn set_log(&mut self, key: &LogKey, tips: Tips, sum: Option<Hash>) -> Option<Tips> {
        let space = self.by_tag.get_mut(&key.0)?;
        let log = space.logs.get_mut(&key.1)?;
        let (pending, fresh_at, fresh_from) =
            (std::mem::take(&mut log.pending), log.fresh_at, log.fresh_from);
        let fresh = Log { pending, fresh_at, fresh_from, sum, ..Log::new(tips) };
        let before = std::mem::replace(log, fresh).tips;
        space.root = None;
        self.undo.retain(|undo| undo.key != *key);
        Some(before)
    }

    fn root(&mut self, tag: &SpaceTag) -> Hash {
        let Some(space) = self.by_tag.get_mut(tag) else { return space_root(std::iter::empty()) };
        let logs = &space.logs;
        *space.root.get_or_insert_with(|| space_root(logs.iter().map(|(id, log)| (id, &log.tips, log.sum))))
    }

    /// The root over these spaces as they stand.
    pub(crate) fn root_over(&mut self, tags: &BTreeSet<SpaceTag>) -> Hash {
        let roots: Vec<(&SpaceTag, Hash)> = tags.iter().map(|tag| (tag, self.root(tag))).collect();
        root_of(roots.into_iter())
    }

    /// Walks the late past of these spaces backwards until `matches` says yes to a root; the logs
    /// that have changed since, as they were then.
    pub(crate) fn past(
        &mut self,
        tags: &BTreeSet<SpaceTag>,
        matches: impl Fn(&Hash) -> bool,
    ) -> Option<BTreeMap<LogKey, Tips>> {
        let mut roots: BTreeMap<SpaceTag, Hash> = tags.iter().map(|tag| (*tag, self.root(tag))).collect();
        let mut changed: BTreeMap<LogKey, Tips> = BTreeMap::new();
        let mut work = 0;
        for undo in self.undo.iter().rev().filter(|undo| tags.contains(&undo.key.0)) {
            let Some(space) = self.by_tag.get(&undo.key.0) else { continue };
            work += space.logs.len() + tags.len();
            if work > UNDO_WORK {
                return None;
            }
            changed.insert(undo.key, undo.before.clone());
            let tag = undo.key.0;
            let then = |id| changed.get(&(tag, id));
            let logs = space.logs.iter().map(|(id, log)| (id, then(*id).unwrap_or(&log.tips), log.sum));
            roots.insert(tag, space_root(logs));
            if matches(&root_of(roots.iter().map(|(tag, root)| (tag, *root)))) {
                return Some(changed);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(n: u8) -> Hash {
        Hash([n; 32])
    }

    fn log(n: u8) -> Log {
        let mut log = Log::default();
        for seq in 0..n {
            log.add(seq.into(), h(seq), seq.checked_sub(1).map(h), 100);
        }
        log
    }

    #[test]
    fn a_plain_log_lacks_what_follows_the_other_tip() {
        let mine = log(10);
        assert_eq!(mine.lacking(&[]), Some((0, 9)));
        assert_eq!(mine.lacking(&[(4, h(4))]), Some((5, 9)));
        assert_eq!(mine.lacking(&[(9, h(9))]), None);
        assert_eq!(mine.lacking(&[(20, h(20))]), None);
        assert_eq!(mine.behind(&[(20, h(20))]), Some((10, 20)));
        assert_eq!(mine.behind(&[(4, h(4))]), None);
        assert_eq!(mine.behind(&[(u64::MAX, h(20))]), Some((10, u64::MAX)));
    }

    #[test]
    fn a_fork_is_lacking_on_both_sides() {
        let mut mine = log(10);
        assert_eq!(mine.behind(&[(7, h(77))]), Some((7, 7)));
        assert_eq!(mine.lacking(&[(7, h(77))]), Some((8, 9)));
        assert!(mine.add(7, h(77), Some(h(6)), 100));
        assert_eq!(mine.tips, vec![(7, h(77)), (9, h(9))]);
        assert_eq!(mine.lacking(&[(9, h(9))]), Some((7, 7)));
        assert_eq!(mine.lacking(&[(7, h(77)), (9, h(9))]), None);
        let restarted = Log::new(vec![(9, h(9))]);
        assert_eq!(restarted.behind(&[(7, h(77)), (9, h(9))]), Some((7, 7)));
    }

    #[test]
    fn branches_beyond_the_limit_are_cut_alike_in_any_order() {
        let branch = |n: u8| (u64::from(n % 5) + 3, h(100 + n), Some(h(n % 5 + 2)));
        let mut one = log(10);
        let mut other = log(10);
        for n in 0..40 {
            let (seq, hash, prev) = branch(n);
            one.add(seq, hash, prev, 1);
            let (seq, hash, prev) = branch(39 - n);
            other.add(seq, hash, prev, 1);
        }
        assert_eq!(one.tips, other.tips);
        assert_eq!(one.tips.len(), limit::TIPS);
        // After a restart the store names them all, in any order.
        let all = (0..40).map(branch).map(|(seq, hash, _)| (seq, hash)).chain([(9, h(9)), (9, h(9))]);
        assert_eq!(Log::new(all.collect()).tips, one.tips);
    }
}
