//! Comparing one log with one peer, entry by entry, where frontiers cannot say what differs:
//! - a log has more branches than `limit::TIPS`, and hellos differ;
//! - hellos differ time after time, each side has told where it stands, and some log still differs;
//! - entries are known to be missing here below others.
//!
//! Whoever wants to compare sends cells over its entries (see [`crate::cells`]). The other takes its own
//! off them, asks for more until what is apart shows, and then asks for what it lacks and sends what the
//! first lacks, in the order of the log. It is begun with one log of a peer at a time and, where it brings
//! nothing, ever more rarely: one side may refuse what the other takes.

use crate::cells::{self, Apart, Cell, Item};
use crate::envelope::{Cells, Comparison, Envelope, More, Tips, Want};
use crate::frontier::LogKey;
use crate::io::{Offence, Output, PeerId};
use crate::machine::Sync;
use crate::peer::{Lag, Load};
use base::{Hash, SpaceTag, limit};
use std::collections::{BTreeSet, VecDeque};

/// Cells that are sent before anything is known of the difference.
const FIRST: u64 = 32;
/// Times that a log was sent or asked for in vain.
const TRIED: u32 = 2;
/// Milliseconds before a log is compared again with the same peer, doubled each time that it brought nothing.
const AGAIN: u64 = 30_000;
/// Doublings at most: a good two hours.
const DOUBLED: u32 = 8;
/// What an envelope of a comparison costs: a walk over the log.
const COST: u64 = 300;

/// A comparison that I began.
#[derive(Debug)]
pub(crate) struct Asking {
    of: Comparison,
    top: u64,
    // Cells that were sent, and that are to be sent once the log is listed.
    sent: u64,
    need: u64,
    job: u64,
    at: u64,
}

/// A comparison that the peer began.
#[derive(Debug)]
pub(crate) struct Answering {
    of: Comparison,
    entries: u64,
    cells: Vec<Cell>,
    job: u64,
    at: u64,
    want: VecDeque<Item>,
    asked: BTreeSet<Hash>,
    give: VecDeque<Item>,
    moved: bool,
}

impl Answering {
    /// The next entry that the peer lacks.
    pub(crate) fn give(&mut self) -> Option<Load> {
        let (_, hash) = self.give.pop_front()?;
        Some(Load::Entry(self.of.tag, hash))
    }

    fn is_done(&self) -> bool {
        self.want.is_empty() && self.asked.is_empty() && self.give.is_empty()
    }
}

impl Sync {
    pub(crate) fn on_holes(&mut self, now: u64, logs: BTreeSet<LogKey>, out: &mut Vec<Output>) {
        self.holes = logs;
        let ids: Vec<PeerId> = self.peers.iter().filter(|(_, p)| p.connected).map(|(id, _)| *id).collect();
        for id in ids {
            self.compare_holes(now, id, out);
        }
    }

    /// What was missing is here, and the tips may be others than were counted one by one.
    pub(crate) fn on_mended(
        &mut self,
        now: u64,
        key: LogKey,
        tips: Tips,
        sum: Option<Hash>,
        out: &mut Vec<Output>,
    ) {
        let Some(before) = self.spaces.set_log(&key, tips, sum) else { return };
        let mine = self.spaces.tips(&key);
        let sharing = self.peers.iter_mut().filter(|(_, peer)| peer.shared.contains(&key.0));
        for peer in sharing.map(|(_, peer)| peer) {
            if peer.connected && before != mine {
                peer.untold.insert(key);
            }
            match peer.lag.get(&key) {
                Some(lag) if lag.theirs == mine => drop(peer.lag.remove(&key)),
                None if peer.known.contains(&key.0) && before != mine => {
                    peer.synced.remove(&key.0);
                    peer.lag.insert(key, Lag::new(before.clone(), now));
                }
                _ => {}
            }
        }
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.check_synced(id, Some(key.0), out);
        }
    }

    /// Compares a log with entries missing, if there is one.
    pub(crate) fn compare_holes(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let logs: BTreeSet<LogKey> =
            self.holes.iter().filter(|key| peer.shared.contains(&key.0)).copied().collect();
        self.compare_next(now, id, &logs, out);
    }

    /// Hellos go on differing: compares a log in which that may be, if there is one.
    pub(crate) fn compare(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&id) else { return };
        if !peer.asks.is_empty() || !peer.flight.is_empty() || !peer.serve.is_empty() {
            // Frontiers do say something.
            return;
        }
        let mut logs: BTreeSet<LogKey> = self.holes.clone();
        let stuck = |(key, lag): (&LogKey, &Lag)| {
            let log = self.spaces.log(key)?;
            let told = log.lacking(&lag.theirs).is_none() && log.behind(&lag.theirs).is_none();
            (told || lag.tries >= TRIED || lag.ask_tries >= TRIED).then_some(*key)
        };
        logs.extend(peer.lag.iter().filter_map(stuck));
        for tag in &peer.shared {
            let cut = self.spaces.by_tag.get(tag).into_iter().flat_map(|space| &space.logs);
            logs.extend(cut.filter(|(_, log)| log.sum.is_some()).map(|(log, _)| (*tag, *log)));
        }
        logs.retain(|key| peer.shared.contains(&key.0));
        self.compare_next(now, id, &logs, out);
    }

    // The next of these after the last that was compared.
    fn compare_next(&mut self, now: u64, id: PeerId, logs: &BTreeSet<LogKey>, out: &mut Vec<Output>) {
        let salt = self.random_below(u64::MAX);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let busy = peer.comparing.is_some() || peer.answering.is_some();
        if busy || !peer.connected || now < peer.compare_at {
            return;
        }
        let next = logs.iter().find(|key| peer.compared.is_none_or(|last| **key > last));
        let Some(key) = next.or(logs.first()).copied() else { return };
        // One round over all of them, and then a pause.
        let round = logs.range(key..).nth(1).is_none();
        peer.compared = Some(key);
        if round {
            peer.compare_at = now + (AGAIN << peer.compare_tries.min(DOUBLED));
            peer.compare_tries = peer.compare_tries.saturating_add(1);
        }
        let of = Comparison { tag: key.0, log: key.1, salt };
        let top = self.spaces.tips(&key).last().map_or(0, |tip| tip.0);
        let job = self.next_job();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.comparing = Some(Asking { of, top, sent: 0, need: FIRST, job, at: now });
            out.push(Output::List { job, tag: of.tag, log: of.log, top });
        }
    }

    /// A log is listed: for cells to be sent, or to be taken off those that came.
    pub(crate) fn on_listed(
        &mut self,
        now: u64,
        job: u64,
        entries: Option<Vec<Item>>,
        out: &mut Vec<Output>,
    ) {
        let asks = |peer: &crate::peer::Peer| peer.comparing.as_ref().is_some_and(|c| c.job == job);
        let answers = |peer: &crate::peer::Peer| peer.answering.as_ref().is_some_and(|c| c.job == job);
        let Some((id, peer)) = self.peers.iter_mut().find(|(_, peer)| asks(peer) || answers(peer)) else {
            return;
        };
        let (id, mine) = (*id, asks(peer));
        match entries {
            Some(entries) if mine => self.send_cells(now, id, &entries, out),
            Some(entries) => self.take_off(now, id, &entries, out),
            None if mine => peer.comparing = None,
            None => peer.answering = None,
        }
    }

    fn send_cells(&mut self, now: u64, id: PeerId, entries: &[Item], out: &mut Vec<Output>) {
        let Some(ask) = self.peers.get_mut(&id).and_then(|peer| peer.comparing.as_mut()) else { return };
        let cells = Cells {
            of: ask.of,
            top: ask.top,
            entries: entries.len() as u64,
            from: ask.sent,
            cells: cells::encode(entries, ask.of.salt, ask.sent, ask.need),
        };
        ask.sent = ask.need;
        ask.at = now;
        out.push(Output::Send { peer: id, envelope: Envelope::Cells(cells) });
    }

    /// Cells came: the beginning of a comparison, or what was asked for.
    pub(crate) fn on_cells(&mut self, now: u64, id: PeerId, cells: Cells, out: &mut Vec<Output>) {
        if !self.charge(now, id, COST, Offence::Wants, out) {
            return;
        }
        let (job, first) = (self.next_job(), self.me < id);
        let of = cells.of;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.shared.contains(&of.tag) || cells.cells.is_empty() {
            return;
        }
        // Both began with the same log: the smaller id's goes on.
        let both = peer.comparing.as_ref().is_some_and(|ask| (ask.of.tag, ask.of.log) == (of.tag, of.log));
        if both && first {
            return;
        }
        if both {
            peer.comparing = None;
        }
        match &mut peer.answering {
            Some(known) if known.of == of && known.entries == cells.entries && cells.from > 0 => {
                let fits = known.cells.len() as u64 == cells.from;
                if !fits || known.cells.len() + cells.cells.len() > limit::CELLS {
                    return;
                }
                known.cells.extend(cells.cells);
                (known.job, known.at) = (job, now);
            }
            _ if cells.from > 0 => {
                // The log grew meanwhile, or I forgot: from the beginning.
                peer.answering = None;
                let more = More { of, have: cells.from, need: cells.from };
                out.push(Output::Send { peer: id, envelope: Envelope::More(more) });
                return;
            }
            slot => {
                *slot = Some(Answering {
                    of,
                    entries: cells.entries,
                    cells: cells.cells,
                    job,
                    at: now,
                    want: VecDeque::new(),
                    asked: BTreeSet::new(),
                    give: VecDeque::new(),
                    moved: false,
                });
            }
        }
        out.push(Output::List { job, tag: of.tag, log: of.log, top: cells.top });
    }

    // Takes my entries off the cells that came. What is left is what is apart, or too much for so few.
    fn take_off(&mut self, now: u64, id: PeerId, entries: &[Item], out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(known) = peer.answering.as_mut() else { return };
        known.at = now;
        let have = known.cells.len() as u64;
        let more = |need: u64| More { of: known.of, have, need };
        match cells::apart(known.cells.clone(), entries, known.of.salt) {
            Apart::Found(theirs, mine) => {
                out.push(Output::Send { peer: id, envelope: Envelope::More(more(have)) });
                known.moved = !theirs.is_empty() || !mine.is_empty();
                (known.want, known.give) = (theirs.into(), mine.into());
                known.cells = Vec::new();
                // Nothing is waited for from the store any more.
                known.job = 0;
                self.go_on(now, id, out);
            }
            Apart::Need(likely) => {
                // More at once where one side has much more than the other.
                let least = known.entries.abs_diff(entries.len() as u64);
                let need = likely.max(have + 1).max(least + least / 2);
                let need = need.min(have + limit::CELLS_AT_ONCE as u64).min(limit::CELLS as u64);
                out.push(Output::Send { peer: id, envelope: Envelope::More(more(need)) });
                if need <= have {
                    peer.answering = None;
                }
            }
            Apart::MadeUp => {
                peer.answering = None;
                self.charge(now, id, 20 * COST, Offence::NoEntry, out);
            }
        }
    }

    /// The peer needs more cells, or none any more.
    pub(crate) fn on_more(&mut self, now: u64, id: PeerId, more: More, out: &mut Vec<Output>) {
        if !self.charge(now, id, COST, Offence::Wants, out) {
            return;
        }
        let job = self.next_job();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(ask) = peer.comparing.as_mut().filter(|ask| ask.of == more.of && ask.sent == more.have)
        else {
            return;
        };
        if more.need <= more.have {
            peer.comparing = None;
            return;
        }
        let most = (more.have + limit::CELLS_AT_ONCE as u64).min(limit::CELLS as u64);
        ask.need = more.need.min(most);
        (ask.job, ask.at) = (job, now);
        out.push(Output::List { job, tag: ask.of.tag, log: ask.of.log, top: ask.top });
    }

    // Asks for the next of what I lack, a few dozen at a time.
    fn go_on(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(known) = peer.answering.as_mut() else { return };
        let tag = known.of.tag;
        if known.asked.is_empty() && !known.want.is_empty() {
            let batch = known.want.len().min(limit::WANTS);
            let hashes: Vec<(SpaceTag, Hash)> =
                known.want.drain(..batch).map(|(_, hash)| (tag, hash)).collect();
            known.asked = hashes.iter().map(|(_, hash)| *hash).collect();
            known.at = now;
            let want = Want { hashes, ..Want::default() };
            out.push(Output::Send { peer: id, envelope: Envelope::Want(want) });
        }
        if known.is_done() {
            self.compared_all(now, id, out);
        } else {
            peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(now));
        }
    }

    // All that was apart is asked for and sent.
    fn compared_all(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let moved = peer.answering.take().is_some_and(|known| known.moved);
        if moved {
            peer.compare_tries = 0;
            peer.compare_at = peer.compare_at.min(now + self.config.hello_period);
            self.send_hello(now, id, out);
        }
    }

    /// An entry came, or will not come.
    pub(crate) fn compared_one(&mut self, now: u64, tag: &SpaceTag, hash: &Hash, out: &mut Vec<Output>) {
        let waits = |known: &mut Answering| {
            known.of.tag == *tag && known.asked.remove(hash) && {
                known.at = now;
                known.asked.is_empty()
            }
        };
        let ids: Vec<PeerId> = self
            .peers
            .iter_mut()
            .filter_map(|(id, peer)| peer.answering.as_mut().is_some_and(waits).then_some(*id))
            .collect();
        for id in ids {
            self.go_on(now, id, out);
        }
    }

    /// Gives up what the peer does not answer, ends what is done, and looks for the next.
    pub(crate) fn expire_comparisons(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wait = 5 * peer.patience(self.config.patience);
        if peer.comparing.as_ref().is_some_and(|ask| now >= ask.at + wait) {
            peer.comparing = None;
        }
        match &peer.answering {
            Some(known) if known.job == 0 && known.is_done() => self.compared_all(now, id, out),
            Some(known) if now >= known.at + wait && known.give.is_empty() => peer.answering = None,
            _ => {}
        }
        if self.holes.is_empty() {
            return;
        }
        self.compare_holes(now, id, out);
    }
}
