//! Asking for what is lacking here: one peer a log at a time, at most `limit::WANTS` logs a peer.

use crate::envelope::{Envelope, LogRange, Want};
use crate::frontier::LogKey;
use crate::io::{Origin, Output, PeerId};
use crate::machine::Sync;
use crate::peer::Ask;
use base::{Hash, SpaceTag, limit};

/// Entries in one request; whoever claims to have more is asked again.
const SPAN: u64 = 1 << 16;

impl Sync {
    /// Whether this log has been asked for and the answer is still expected.
    pub(crate) fn is_asked(&self, key: &LogKey) -> bool {
        let holder = self.asking.get(key).and_then(|id| self.peers.get(id));
        holder.is_some_and(|peer| peer.asks.contains_key(key))
    }

    fn note_ask(&mut self, now: u64, id: PeerId, key: LogKey, (from, to): (u64, u64)) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.asks.insert(key, Ask { from, to, at: now, answered: false });
            let check = now + peer.ask_wait(self.config.patience);
            peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(check));
            self.asking.insert(key, id);
        }
    }

    /// Asks at once for what is between our end of a log and an entry that is ahead of it.
    pub(crate) fn ask_for_gap(
        &mut self,
        now: u64,
        from: Origin,
        key: LogKey,
        first: u64,
        last: u64,
        out: &mut Vec<Output>,
    ) {
        let serves = |id: &PeerId| {
            self.peers.get(id).is_some_and(|peer| {
                peer.connected && peer.shared.contains(&key.0) && peer.asks.len() < limit::WANTS
            })
        };
        let author = key.1.device;
        let holder = || {
            let ahead =
                |id: &&PeerId| serves(id) && self.peers.get(id).is_some_and(|p| p.lag.contains_key(&key));
            self.peers.keys().find(ahead).or_else(|| self.peers.keys().find(|id| serves(id))).copied()
        };
        let whom = from.link().filter(serves).or(Some(author).filter(serves)).or_else(holder);
        let Some(id) = whom else { return };
        let last = last.min(first.saturating_add(SPAN - 1));
        self.note_ask(now, id, key, (first, last));
        let range = LogRange { tag: key.0, log: key.1, from: first, to: last };
        let want = Want { ranges: vec![range], ..Want::default() };
        out.push(Output::Send { peer: id, envelope: Envelope::Want(want) });
    }

    /// Asks a peer for what it has more. When to look again, if something is being waited for.
    pub(crate) fn pull(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) -> Option<u64> {
        let mut wake = self.expire_asks(now, id);
        let peer = self.peers.get(&id)?;
        let empty = crate::frontier::Log::default();
        let mut ranges = Vec::new();
        for (key, lag) in &peer.lag {
            if peer.asks.len() + ranges.len() >= limit::WANTS {
                break;
            }
            let log = self.spaces.log(key).unwrap_or(&empty);
            let Some((from, to)) = log.behind(&lag.theirs) else { continue };
            if lag.ask_at > now {
                wake = Some(wake.unwrap_or(u64::MAX).min(lag.ask_at));
            } else if !self.is_asked(key) {
                ranges.push(LogRange {
                    tag: key.0,
                    log: key.1,
                    from,
                    to: to.min(from.saturating_add(SPAN - 1)),
                });
            }
        }
        if ranges.is_empty() {
            return wake;
        }
        for range in &ranges {
            self.note_ask(now, id, (range.tag, range.log), (range.from, range.to));
        }
        out.push(Output::Send { peer: id, envelope: Envelope::Want(Want { ranges, ..Want::default() }) });
        let wait = self.peers.get(&id)?.ask_wait(self.config.patience);
        Some(wake.unwrap_or(u64::MAX).min(now + wait))
    }

    fn expire_asks(&mut self, now: u64, id: PeerId) -> Option<u64> {
        let patience = self.config.patience;
        let peer = self.peers.get_mut(&id)?;
        let wait = peer.ask_wait(patience);
        let late: Vec<LogKey> =
            peer.asks.iter().filter(|(_, ask)| now >= ask.at + wait).map(|(key, _)| *key).collect();
        for key in &late {
            self.give_up_ask(now, id, key);
        }
        let peer = self.peers.get(&id)?;
        peer.asks.values().map(|ask| ask.at + wait).min()
    }

    // The peer did not deliver: ask it later, and another now.
    fn give_up_ask(&mut self, now: u64, id: PeerId, key: &LogKey) {
        let patience = self.config.patience;
        if let Some(peer) = self.peers.get_mut(&id)
            && peer.asks.remove(key).is_some()
        {
            let tries = peer.lag.get(key).map_or(0, |lag| lag.ask_tries + 1);
            // Far away it was waited for long enough.
            let wait = if peer.is_far() { patience } else { peer.backoff(patience, tries) };
            if let Some(lag) = peer.lag.get_mut(key) {
                lag.ask_tries = tries;
                lag.ask_at = now + wait;
            }
            self.asking.remove(key);
            self.wake_holders(now, key);
        }
    }

    /// Lets every peer that has another state of this log be looked at again.
    pub(crate) fn wake_holders(&mut self, now: u64, key: &LogKey) {
        for peer in self.peers.values_mut().filter(|peer| peer.connected && peer.lag.contains_key(key)) {
            peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(now));
        }
    }

    /// A piece of an entry of this log came on the link, or all of it: what was asked for is on its way.
    pub(crate) fn still_coming(&mut self, now: u64, id: PeerId, key: &LogKey, seq: u64) {
        let patience = self.config.patience;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // What lies outside is something else that comes on the same way.
        if let Some(ask) = peer.asks.get_mut(key).filter(|ask| (ask.from..=ask.to).contains(&seq)) {
            let first = !std::mem::replace(&mut ask.answered, true);
            let trip = now.saturating_sub(std::mem::replace(&mut ask.at, now));
            if first {
                peer.note_trip(trip);
            }
        } else if let Some(lag) = peer.lag.get_mut(key) {
            // It is being pushed: no need to ask as long as it comes.
            lag.ask_at = lag.ask_at.max(now + patience);
        }
    }

    /// An entry of this log came: what was asked for is on its way, or complete.
    pub(crate) fn progress(&mut self, now: u64, from: Origin, key: &LogKey, seq: u64) {
        let Some(id) = from.link() else { return };
        self.still_coming(now, id, key, seq);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.asks.get(key).is_some_and(|ask| ask.from <= seq && ask.to == seq) {
            peer.asks.remove(key);
            self.asking.remove(key);
            peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(now));
            if let Some(lag) = peer.lag.get_mut(key) {
                lag.ask_tries = 0;
            }
        }
    }

    pub(crate) fn on_absent(
        &mut self,
        now: u64,
        id: PeerId,
        ranges: &[LogRange],
        hashes: &[(SpaceTag, Hash)],
        out: &mut Vec<Output>,
    ) {
        for (tag, hash) in hashes {
            self.compared_one(now, tag, hash, out);
        }
        for range in ranges {
            self.give_up_ask(now, id, &(range.tag, range.log));
        }
        self.charge(now, id, 5, crate::io::Offence::Unasked, out);
    }
}
