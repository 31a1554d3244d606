//! Entries that are missing below others: a store was damaged, and mended without them. What is missing is
//! found where it shows (something waits for it, a friend asks for it, `fsck` looks), remembered, and got
//! back from whoever has it. A thread of its own lists logs, so that nobody waits for it.

use crate::core::Core;
use crate::error::Result;
use crate::link::ToLink;
use crate::record;
use base::{Entry, Hash, LogId, SpaceTag, limit};
use crossbeam_channel::Receiver;
use std::collections::BTreeSet;
use store::Batch;

/// Lists that wait to be made.
pub(crate) const QUEUE: usize = 64;
/// Logs with entries missing that are remembered.
const HOLES: usize = 1024;

/// What the thread is asked for.
pub(crate) enum ToLister {
    /// The entries of a log up to a place.
    List { job: u64, tag: SpaceTag, log: LogId, top: u64 },
    /// A look at the logs in which something is missing.
    Check,
    /// Keeps an entry until the one before it comes.
    Keep { tag: SpaceTag, entry: Box<Entry> },
}

/// A log that is whole again: where it stands.
type Mended = (SpaceTag, LogId, Vec<(u64, Hash)>, Option<Hash>);

/// What a look found.
pub(crate) struct Checked {
    /// Logs in which something is missing.
    pub(crate) holes: BTreeSet<(SpaceTag, LogId)>,
    /// Logs in which nothing is missing any more.
    pub(crate) mended: Vec<Mended>,
}

/// Lists logs until nobody asks any more.
pub(crate) fn list_loop(core: &Core, asked: &Receiver<ToLister>) {
    for ask in asked {
        match ask {
            ToLister::List { job, tag, log, top } => {
                let entries = core.list_log(&tag, &log, top).unwrap_or_else(|e| {
                    core.problem(format!("a log cannot be read for a comparison: {e}"));
                    None
                });
                core.tell_link(ToLink::Listed { job, entries });
            }
            ToLister::Keep { tag, entry } => match core.keep_early(&tag, &entry) {
                Ok(true) => core.tell_link(ToLink::Kept { tag, entry: *entry }),
                Ok(false) => {}
                Err(e) => core.problem(format!("an entry that came early could not be kept: {e}")),
            },
            ToLister::Check => match core.check_holes() {
                Ok(Some(checked)) => core.tell_link(ToLink::Checked(checked)),
                Ok(None) => {}
                Err(e) => core.problem(format!("a log cannot be looked through for what is missing: {e}")),
            },
        }
    }
}

/// Looks at the entries of logs in their order, whether each has the one before it. Keeps two places.
#[derive(Default)]
pub(crate) struct Chain {
    log: Option<LogId>,
    at: u64,
    before: BTreeSet<Hash>,
    here: BTreeSet<Hash>,
}

impl Chain {
    /// Whether what an entry names as the one before it is there.
    pub(crate) fn follows(&mut self, entry: &Entry) -> bool {
        let header = entry.header();
        if self.log != Some(header.log) {
            *self = Chain { log: Some(header.log), at: header.seq, ..Chain::default() };
        }
        if header.seq != self.at {
            let next = self.at.saturating_add(1) == header.seq;
            self.before = if next { std::mem::take(&mut self.here) } else { BTreeSet::new() };
            (self.at, self.here) = (header.seq, BTreeSet::new());
        }
        self.here.insert(entry.hash());
        header.prev.is_none_or(|prev| self.before.contains(&prev))
    }
}

fn hole_key(tag: &SpaceTag, log: &LogId) -> Vec<u8> {
    record::node_key("hole", &[&tag.0[..], &log.to_bytes()].concat())
}

impl Core {
    /// The entries of a run of a log, every branch, up to a budget in bytes; and the first place
    /// that is not among them.
    pub(crate) fn entries_from(
        &self,
        tag: &SpaceTag,
        log: &LogId,
        from: u64,
        to: u64,
        budget: usize,
    ) -> (Vec<Vec<u8>>, u64) {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        for found in
            self.store.range_from(&record::entries_of_log(tag, log), &record::entries_at(tag, log, from))
        {
            let Ok((key, value)) = found else { break };
            let at = key.len() - Hash::LEN - 8;
            let Ok(seq) = key[at..at + 8].try_into().map(u64::from_be_bytes) else { break };
            if seq > to || (bytes >= budget && seq >= next) {
                break;
            }
            if seq > next {
                self.note_hole(tag, log);
            }
            bytes += value.len();
            next = seq + 1;
            entries.push(value);
        }
        (entries, next)
    }

    /// Of a log with more branches than may be named: the sum over its entries' hashes.
    pub(crate) fn sum_of_cut(&self, tag: &SpaceTag, log: &LogId) -> Option<Hash> {
        let state = self.state.read();
        let logs = state.spaces.get(tag).map(|s| &s.logs);
        logs.or_else(|| state.statements.get(tag).map(|(_, logs)| logs))?.sum_of_cut(log)
    }

    /// Remembers that entries of a log are missing, over a restart too.
    pub(crate) fn note_hole(&self, tag: &SpaceTag, log: &LogId) {
        let mut holes = self.holes.lock();
        if holes.len() >= HOLES || !holes.insert((*tag, *log)) {
            return;
        }
        drop(holes);
        let mut batch = Batch::new();
        batch.put(hole_key(tag, log), Vec::new());
        if let Err(e) = self.store.apply(batch) {
            self.problem(format!("that entries are missing could not be noted: {e}"));
        }
    }

    /// At the start: what was remembered, and what something waits for that its own log should have.
    pub(crate) fn load_holes(&self) -> Result<()> {
        let mut holes = BTreeSet::new();
        let prefix = record::node_key("hole", b"");
        for found in self.store.range(&prefix) {
            let (key, _) = found?;
            let (tag, log) = key[prefix.len()..].split_at(SpaceTag::LEN.min(key.len() - prefix.len()));
            holes.insert((SpaceTag::from_slice(tag)?, LogId::from_slice(log)?));
        }
        let waiting: Vec<(SpaceTag, Hash, Vec<Hash>)> = {
            let state = self.state.read();
            let of = |s: &crate::state::Space| {
                let waits =
                    s.waiting.iter().map(|(missing, who)| (s.tag, *missing, who.iter().copied().collect()));
                waits.collect::<Vec<_>>()
            };
            state.spaces.values().flat_map(of).collect()
        };
        for (tag, missing, who) in waiting {
            if self.entry_record(&missing)?.is_some() {
                continue;
            }
            for hash in who {
                let entry = self.read_entry(&hash)?;
                holes.extend(
                    entry.filter(|e| e.header().prev == Some(missing)).map(|e| (tag, e.header().log)),
                );
            }
        }
        *self.holes.lock() = holes.into_iter().take(HOLES).collect();
        Ok(())
    }

    // The entries of a log up to a place; none if there are too many.
    fn list_log(&self, tag: &SpaceTag, log: &LogId, top: u64) -> Result<Option<Vec<(u64, Hash)>>> {
        let mut entries = Vec::new();
        for found in self.store.range(&record::entries_of_log(tag, log)) {
            let (key, _) = found?;
            let Some((seq, hash)) = record::place_of(&key) else { continue };
            if seq > top {
                break;
            }
            if entries.len() >= limit::COMPARED {
                return Ok(None);
            }
            entries.push((seq, hash));
        }
        Ok(Some(entries))
    }

    // Looks at every log of which something was missing. None if there is none.
    fn check_holes(&self) -> Result<Option<Checked>> {
        let known = self.holes.lock().clone();
        if known.is_empty() {
            return Ok(None);
        }
        let mut checked = Checked { holes: BTreeSet::new(), mended: Vec::new() };
        for (tag, log) in known {
            if !self.is_held(&tag) {
                self.forget_hole(&tag, &log)?;
            } else if self.lacks_something(&tag, &log)? {
                checked.holes.insert((tag, log));
            } else if let Some(mended) = self.mended(&tag, &log)? {
                checked.mended.push(mended);
                self.forget_hole(&tag, &log)?;
            }
        }
        Ok(Some(checked))
    }

    fn is_held(&self, tag: &SpaceTag) -> bool {
        let state = self.state.read();
        state.spaces.contains_key(tag) || state.statements.contains_key(tag)
    }

    fn forget_hole(&self, tag: &SpaceTag, log: &LogId) -> Result<()> {
        self.holes.lock().remove(&(*tag, *log));
        let mut batch = Batch::new();
        batch.remove(hole_key(tag, log));
        self.store.apply(batch)?;
        Ok(())
    }

    // Whether an entry of a log names one before it that is not here.
    fn lacks_something(&self, tag: &SpaceTag, log: &LogId) -> Result<bool> {
        let mut chain = Chain::default();
        for found in self.store.range(&record::entries_of_log(tag, log)) {
            if !chain.follows(&Entry::decode(found?.1)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    // Counts a log anew and keeps that, unless it moved on meanwhile.
    fn mended(&self, tag: &SpaceTag, log: &LogId) -> Result<Option<Mended>> {
        let known = |state: &crate::state::State| {
            let logs = state.spaces.get(tag).map(|s| &s.logs);
            logs.or_else(|| state.statements.get(tag).map(|(_, logs)| logs)).map(|logs| logs.record(log))
        };
        let Some(before) = known(&self.state.read()) else { return Ok(None) };
        let counted = self.recount(tag, log, before.clone())?;
        // Whoever stores an entry holds it too.
        let _writing = self.write();
        let Some(now) = known(&self.state.read()).filter(|now| now.sum == before.sum) else {
            return Ok(None);
        };
        let counted = record::LogRecord { applied: now.applied, branches: now.branches, ..counted };
        let mut batch = Batch::new();
        batch.put(record::log_key(tag, log), record::to_bytes(&counted));
        self.store.apply(batch)?;
        let sum = counted.sum.filter(|_| counted.cut == Some(true));
        let mended = (*tag, *log, counted.tips.clone(), sum);
        let mut state = self.state.write();
        match state.spaces.get_mut(tag) {
            Some(space) => space.logs.load(*log, counted),
            None => {
                if let Some((_, logs)) = state.statements.get_mut(tag) {
                    logs.load(*log, counted);
                }
            }
        }
        Ok(Some(mended))
    }
}
