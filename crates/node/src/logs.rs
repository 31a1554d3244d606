//! The logs of a space: what of each is here, and what of that is applied.

use crate::core::Core;
use crate::error::Result;
use crate::record::{self, LogRecord};
use base::{Entry, Hash, LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};

/// An applied entry: its place, its hash and its lamport.
pub(crate) type Applied = (u64, Hash, u64);

/// The logs of a space: what is here, what is applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    /// What is durable here: the tips of each log.
    pub(crate) tips: BTreeMap<LogId, Vec<(u64, Hash)>>,
    /// The newest applied entry of each log, with its lamport.
    pub(crate) applied: BTreeMap<LogId, Applied>,
    /// The newest applied entries of the other branches of forked logs.
    branches: BTreeMap<LogId, Vec<Applied>>,
    /// The tips of other logs that my own log's newest entry already builds on.
    pub(crate) built_on: BTreeSet<Hash>,
    /// How many entries, by log, the sum of their hashes, and whether there are more branches than tips.
    sets: BTreeMap<LogId, EntrySet>,
}

#[derive(Clone, Copy, Debug, Default)]
struct EntrySet {
    count: u64,
    sum: Hash,
    cut: bool,
}

impl Logs {
    /// The greatest lamport applied.
    pub(crate) fn lamport(&self) -> u64 {
        self.applied_tips().map(|(_, (_, _, lamport))| *lamport).max().unwrap_or(0)
    }

    /// The newest applied entry of every branch of every log.
    pub(crate) fn applied_tips(&self) -> impl Iterator<Item = (&LogId, &Applied)> {
        let branches = self.branches.iter().flat_map(|(log, list)| list.iter().map(move |at| (log, at)));
        self.applied.iter().chain(branches)
    }

    /// How many entries are stored.
    pub(crate) fn count(&self) -> u64 {
        self.sets.values().map(|set| set.count).sum()
    }

    /// Of a log with more branches than may be named: the sum over the hashes of its entries.
    pub(crate) fn sum_of_cut(&self, log: &LogId) -> Option<Hash> {
        self.sets.get(log).filter(|set| set.cut).map(|set| set.sum)
    }

    /// The record of one log.
    pub(crate) fn record(&self, log: &LogId) -> LogRecord {
        let set = self.sets.get(log).copied().unwrap_or_default();
        LogRecord {
            tips: self.tips.get(log).cloned().unwrap_or_default(),
            applied: self.applied.get(log).copied(),
            count: set.count,
            branches: self.branches.get(log).cloned(),
            sum: Some(set.sum),
            cut: Some(set.cut),
        }
    }

    /// Takes back what `record` gave.
    pub(crate) fn load(&mut self, log: LogId, record: LogRecord) {
        let (sum, cut) = (record.sum.unwrap_or_default(), record.cut.unwrap_or_default());
        self.sets.insert(log, EntrySet { count: record.count, sum, cut });
        self.tips.insert(log, record.tips);
        if let Some(applied) = record.applied {
            self.applied.insert(log, applied);
        }
        if let Some(branches) = record.branches.filter(|branches| !branches.is_empty()) {
            self.branches.insert(log, branches);
        }
    }

    /// Notes a stored entry. It is the tip of its branch, unless others here build on it: then it was
    /// missing below them.
    pub(crate) fn store(&mut self, log: LogId, seq: u64, hash: Hash, prev: Option<Hash>, tip: bool) {
        let tips = self.tips.entry(log).or_default();
        if tips.iter().any(|(_, h)| *h == hash) {
            return;
        }
        let set = self.sets.entry(log).or_default();
        set.count += 1;
        set.sum = set.sum.plus(&hash);
        if let Some(prev) = prev {
            tips.retain(|(_, h)| *h != prev);
        }
        if !tip {
            return;
        }
        tips.push((seq, hash));
        tips.sort();
        // More branches than anybody may name: the highest stand for the log, and the sum for all of it.
        let over = tips.len().saturating_sub(limit::TIPS);
        set.cut |= over > 0;
        tips.drain(..over);
    }

    /// Notes an applied entry.
    pub(crate) fn apply(&mut self, log: LogId, seq: u64, hash: Hash, prev: Option<Hash>, lamport: u64) {
        let at = (seq, hash, lamport);
        let Some(newest) = self.applied.get_mut(&log) else {
            self.applied.insert(log, at);
            return;
        };
        if newest.1 == hash {
            return;
        }
        if prev == Some(newest.1) {
            *newest = at;
            return;
        }
        let branches = self.branches.entry(log).or_default();
        branches.retain(|(_, h, _)| Some(*h) != prev && *h != hash);
        branches.push(if seq >= newest.0 { std::mem::replace(newest, at) } else { at });
        // What is built on need not be named; the highest are.
        branches.sort();
        branches.drain(..branches.len().saturating_sub(limit::TIPS));
    }
}

impl Core {
    /// Whether no stored entry builds on this one by `prev`.
    pub(crate) fn is_tip(&self, tag: &SpaceTag, entry: &Entry) -> Result<bool> {
        let header = entry.header();
        let top = {
            let state = self.state.read();
            let logs = state.spaces.get(tag).map(|s| &s.logs);
            let logs = logs.or_else(|| state.statements.get(tag).map(|(_, logs)| logs));
            logs.and_then(|logs| logs.tips.get(&header.log)?.last().map(|(seq, _)| *seq))
        };
        let next = header.seq.saturating_add(1);
        if top.is_none_or(|top| top < next) {
            return Ok(true);
        }
        let at = record::entries_at(tag, &header.log, next);
        for found in self.store.range(&at) {
            if Entry::decode(found?.1)?.header().prev == Some(entry.hash()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes a log's record again from its entries; what of it is applied stays as it was.
    pub(crate) fn recount(&self, tag: &SpaceTag, log: &LogId, applied: LogRecord) -> Result<LogRecord> {
        let mut set = EntrySet::default();
        let mut tips = BTreeSet::new();
        let mut built_on = BTreeSet::new();
        for found in self.store.range(&record::entries_of_log(tag, log)) {
            let entry = Entry::decode(found?.1)?;
            set.count += 1;
            set.sum = set.sum.plus(&entry.hash());
            tips.insert((entry.header().seq, entry.hash()));
            built_on.extend(entry.header().prev);
        }
        let mut tips: Vec<_> = tips.into_iter().filter(|(_, hash)| !built_on.contains(hash)).collect();
        let over = tips.len().saturating_sub(limit::TIPS);
        tips.drain(..over);
        Ok(LogRecord { tips, count: set.count, sum: Some(set.sum), cut: Some(over > 0), ..applied })
    }
}
