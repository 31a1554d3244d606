//! Frontiers, in and out: what a peer says it has, what it is told, and acknowledgements.

use crate::envelope::{CHUNK_ACKS, Envelope, Frontier, LogRange, SpaceDelta, Tips};
use crate::frontier::LogKey;
use crate::io::{Offence, Origin, Output, PeerId};
use crate::machine::Sync;
use crate::peer::{Load, Peer, SERVE_QUEUE};
use base::{LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};

/// Logs of one author that nobody else has named, taken from gossip.
const RAISED_LOGS: usize = 16;

impl Sync {
    pub(crate) fn on_frontier(&mut self, now: u64, id: PeerId, frontier: Frontier, out: &mut Vec<Output>) {
        let logs: usize = frontier.deltas.iter().map(|delta| delta.logs.len()).sum();
        let tags = frontier.announce.as_ref().map_or(0, Vec::len);
        if frontier.announce.is_some() || frontier.greet {
            self.charge(now, id, 10, Offence::Frontiers, out);
            self.on_announce(now, id, frontier.announce, frontier.greet, out);
        }
        let before = self.peers.get(&id).map_or(0, |peer| peer.in_flight);
        let whole = frontier.deltas.iter().any(|delta| delta.whole);
        for delta in frontier.deltas {
            if !self.peers.get(&id).is_some_and(|peer| peer.shared.contains(&delta.tag)) {
                continue;
            }
            if delta.whole {
                self.take_whole(now, id, delta.tag, delta.logs, frontier.pull, out);
            } else {
                self.take_delta(now, id, delta.tag, delta.logs, frontier.pull, out);
            }
        }
        if whole && !frontier.pull {
            self.answer_with_push(now, id, out);
        }
        if !frontier.chunks.is_empty() {
            let acked: BTreeSet<_> = frontier.chunks.into_iter().collect();
            let widest = self.config.flight_bytes;
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.acked(
                    now,
                    widest,
                    |load| matches!(load, Load::Chunk { tag, id, .. } if acked.contains(&(*tag, *id))),
                );
            }
        }
        // An ack frees what we sent ourselves; anything else costs.
        let freed = self.peers.get(&id).is_some_and(|peer| peer.in_flight < before);
        if freed {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.mismatches = 0;
            }
        } else {
            self.charge(now, id, 5 + (logs as u64 + tags as u64) / 8, Offence::Frontiers, out);
        }
        self.pump(now, id, out);
    }

    /// A log's tips by gossip: its author has them, and will push or offer them; if that does not
    /// happen soon, they are asked for. Anybody may have said it, so it only ever raises what is
    /// believed of the author, and acknowledges nothing.
    pub(crate) fn on_announcement(
        &mut self,
        now: u64,
        via: PeerId,
        tag: SpaceTag,
        frontier: Frontier,
        out: &mut Vec<Output>,
    ) {
        let logs: usize = frontier.deltas.iter().map(|delta| delta.logs.len()).sum();
        if !self.charge_origin(now, Origin::Gossip(via), 5 + logs as u64, Offence::Frontiers, out) {
            return;
        }
        for delta in frontier.deltas.into_iter().filter(|delta| delta.tag == tag && !delta.whole) {
            for (log, tips) in delta.logs {
                self.raise(now, (tag, log), tips);
            }
        }
    }

    // Believes the author to have these tips of a log of theirs, if they are ahead of all that is
    // known of it.
    fn raise(&mut self, now: u64, key: LogKey, theirs: Tips) {
        let Some(top) = theirs.last().map(|tip| tip.0).filter(|top| *top < limit::CLOCK) else { return };
        let known = self.spaces.log(&key);
        let ahead = known.is_none_or(|log| log.expected() <= top);
        let unknown = known.is_none();
        let fresh = self.new_lag(now, &key, theirs.clone());
        let patience = self.config.patience;
        let Some(peer) = self.peers.get_mut(&key.1.device) else { return };
        if !ahead || !peer.connected || !peer.shared.contains(&key.0) {
            return;
        }
        let ask_at = now + patience;
        if let Some(lag) = peer.lag.get_mut(&key) {
            if lag.theirs.last().is_none_or(|tip| tip.0 < top) {
                lag.theirs = theirs;
                lag.ask_at = if lag.ask_tries == 0 { ask_at } else { lag.ask_at.max(ask_at) };
            }
        } else {
            let spaces = &self.spaces;
            let new = |peer: &Peer| peer.lag.keys().filter(|key| spaces.log(key).is_none()).count();
            if unknown && new(peer) >= RAISED_LOGS {
                return;
            }
            peer.synced.remove(&key.0);
            peer.lag.insert(key, crate::peer::Lag { ask_at, ..fresh });
        }
        peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(ask_at));
    }

    /// The peer has exactly these logs of a space.
    pub(crate) fn take_whole(
        &mut self,
        now: u64,
        id: PeerId,
        tag: SpaceTag,
        logs: Vec<(LogId, Tips)>,
        pull: bool,
        out: &mut Vec<Output>,
    ) {
        let named: BTreeSet<LogId> = logs.iter().map(|(log, _)| *log).collect();
        let Some(space) = self.spaces.by_tag.get(&tag) else { return };
        let unnamed: Vec<LogId> = space.logs.keys().filter(|log| !named.contains(log)).copied().collect();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.known.insert(tag);
            peer.lag
                .retain(|key, _| key.0 != tag || named.contains(&key.1) || space.logs.contains_key(&key.1));
        }
        for log in unnamed {
            self.set_theirs(now, id, (tag, log), Tips::new(), pull);
        }
        self.take_delta(now, id, tag, logs, pull, out);
        if !pull
            && !self.comes_by_itself(id, tag)
            && let Some(peer) = self.peers.get_mut(&id)
        {
            for (_, lag) in peer.lag.iter_mut().filter(|(key, lag)| key.0 == tag && lag.ask_tries == 0) {
                lag.ask_at = now;
            }
        }
    }

    fn take_delta(
        &mut self,
        now: u64,
        id: PeerId,
        tag: SpaceTag,
        logs: Vec<(LogId, Tips)>,
        pull: bool,
        out: &mut Vec<Output>,
    ) {
        let mut strangers = self.strangers(id, tag, &logs);
        for (log, tips) in logs {
            let key = (tag, log);
            if self.spaces.log(&key).is_none() {
                strangers += 1;
                if strangers > limit::FRONTIER_LOGS {
                    self.charge(now, id, 5_000, Offence::Frontiers, out);
                    return;
                }
            }
            self.set_theirs(now, id, key, tips, pull);
            if pull {
                self.acknowledge_offer(now, id, &key);
            }
        }
        self.check_synced(id, Some(tag), out);
    }

    // Logs that the peer named and that we know nothing of; counted only when more come.
    fn strangers(&self, id: PeerId, tag: SpaceTag, logs: &[(LogId, Tips)]) -> usize {
        let new = logs.iter().any(|(log, _)| self.spaces.log(&(tag, *log)).is_none());
        match self.peers.get(&id) {
            Some(peer) if new => peer.lag.keys().filter(|key| self.spaces.log(key).is_none()).count(),
            _ => 0,
        }
    }

    // The peer told of a log that we have as well, and may not know it: otherwise it goes on offering.
    fn acknowledge_offer(&mut self, now: u64, id: PeerId, key: &LogKey) {
        let after = self.config.offer_ack_after;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.untold.contains(key) && !peer.lag.contains_key(key) {
            peer.ack_at = Some(peer.ack_at.unwrap_or(now + after));
        }
    }

    /// Takes the peer's word for where one log stands there.
    pub(crate) fn set_theirs(&mut self, now: u64, id: PeerId, key: LogKey, theirs: Tips, pull: bool) {
        let fresh = self.new_lag(now, &key, theirs.clone());
        let mine = self.spaces.tips(&key);
        let patience = self.config.patience;
        let widest = self.config.flight_bytes;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let top = theirs.last().map(|(seq, _)| *seq);
        peer.acked(now, widest, |load| match load {
            Load::Range { range, .. } => {
                (range.tag, range.log) == key && top.is_some_and(|top| range.to <= top)
            }
            // Single entries move no tip; whoever tells where the space stands has taken them.
            Load::Entry(tag, _) => *tag == key.0,
            _ => false,
        });
        if theirs == mine {
            peer.lag.remove(&key);
            return;
        }
        peer.synced.remove(&key.0);
        let (wait, peer_wait) = (peer.patience(patience), peer.ack_wait(now, patience));
        let offered = peer.offered.get(&key.0).copied().filter(|at| now < at + wait);
        let ask_at = if pull { now } else { now + patience };
        let Some(lag) = peer.lag.get_mut(&key) else {
            let due = offered.map_or(fresh.due, |at| at + wait);
            peer.lag.insert(key, crate::peer::Lag { due, direct: true, offered, ask_at, ..fresh });
            return;
        };
        lag.direct = true;
        // What comes after the end of a contact was said before it.
        let doubt = if peer.connected { lag.doubt.take() } else { None };
        if let Some(doubt) = doubt.filter(|doubt| fresh.next < *doubt)
            && peer.serve.len() < SERVE_QUEUE
        {
            // It had arrived by now, or never will.
            let range = LogRange { tag: key.0, log: key.1, from: fresh.next, to: doubt - 1 };
            lag.retry_at = u64::MAX;
            peer.serve.push_back(Load::Range { range, asked: true });
        }
        let first_word = !std::mem::replace(&mut lag.confirmed, true);
        if lag.theirs == theirs {
            lag.ask_at = if pull && lag.ask_tries == 0 { now } else { lag.ask_at };
            if first_word && !lag.is_under_way() && lag.offered.is_none() {
                lag.due = lag.due.min(fresh.due);
            }
            return;
        }
        let (own, next, doubt) = (lag.own, lag.next.max(fresh.next), lag.doubt);
        // Some was sent and is not acknowledged: it is waited for once nothing is left to send.
        let all_sent = next > fresh.next && mine.last().is_none_or(|(top, _)| next > *top);
        let waits = lag.tries == 0 && next == fresh.next && lag.due > now;
        let due = match () {
            () if all_sent => now + peer_wait,
            () if waits => lag.due.min(fresh.due),
            () => fresh.due,
        };
        *lag = crate::peer::Lag {
            due,
            retry_at: if next > fresh.next { now + peer_wait } else { u64::MAX },
            next,
            doubt,
            direct: true,
            own,
            offered: lag.offered.or(offered),
            ask_at,
            ..fresh
        };
    }

    /// Says which spaces have become equal: one, or all that are shared.
    pub(crate) fn check_synced(&mut self, id: PeerId, tag: Option<SpaceTag>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let tags: Vec<SpaceTag> = match tag {
            Some(tag) => vec![tag],
            None => peer.shared.iter().copied().collect(),
        };
        for tag in tags {
            if peer.known.contains(&tag) && peer.lags_of(tag).next().is_none() && peer.synced.insert(tag) {
                out.push(Output::Synced { peer: id, tag });
            }
        }
    }

    /// Tells the peer of every log that moved on here since it was told; the ack that is owed.
    pub(crate) fn flush(&mut self, now: u64, id: PeerId, pull: bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let keys = std::mem::take(&mut peer.untold);
        self.send_frontier(now, id, keys, &[], pull, out);
    }

    /// Tells all that is known to differ, and these spaces whole. False if there is nothing to tell.
    pub(crate) fn tell(&mut self, now: u64, id: PeerId, whole: &[SpaceTag], out: &mut Vec<Output>) -> bool {
        let (wait, push_after) = (self.config.patience, self.config.push_after);
        let pull = self.told_another(now, id, whole) || self.better_asked_for(id);
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        // What gossip may still be carrying makes hellos differ for a moment, and needs no word.
        let settled = |key: &LogKey| {
            let fresh = self.spaces.log(key).and_then(|log| log.fresh_at);
            fresh.is_none_or(|at| now.saturating_sub(at) >= push_after)
        };
        let keys: BTreeSet<LogKey> =
            peer.untold.iter().chain(peer.lag.keys()).filter(|key| settled(key)).copied().collect();
        peer.untold.retain(|key| !keys.contains(key));
        if pull {
            let wait = peer.patience(wait);
            for (_, lag) in peer.lag.iter_mut().filter(|(key, _)| keys.contains(key)) {
                if lag.offered.is_none() && !lag.own && !lag.is_under_way() {
                    lag.offered = Some(now);
                    lag.due = lag.due.max(now + wait);
                }
            }
            peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(now + wait));
        }
        self.send_frontier(now, id, keys, whole, pull, out)
    }

    // Whether another peer was told where all of one of these spaces stands, a moment ago: what is lacking here
    // need not be pushed by both.
    fn told_another(&self, now: u64, id: PeerId, whole: &[SpaceTag]) -> bool {
        let wait = self.config.patience;
        let lately = |peer: &Peer, tag| peer.offered.get(tag).is_some_and(|at| now < at + wait);
        self.peers.iter().any(|(other, peer)| *other != id && whole.iter().any(|tag| lately(peer, tag)))
    }

    fn send_frontier(
        &mut self,
        now: u64,
        id: PeerId,
        keys: BTreeSet<LogKey>,
        whole: &[SpaceTag],
        pull: bool,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        peer.ack_at = None;
        peer.ack_bytes = 0;
        let mut chunks = std::mem::take(&mut peer.chunk_acks);
        let mut logs: BTreeMap<SpaceTag, (bool, Vec<(LogId, Tips)>)> = BTreeMap::new();
        for tag in whole {
            let Some(space) = self.spaces.by_tag.get(tag) else { continue };
            peer.offered.insert(*tag, now);
            let all = space.logs.iter().filter(|(_, log)| !log.tips.is_empty());
            logs.insert(*tag, (true, all.map(|(id, log)| (*id, log.tips.clone())).collect()));
        }
        for key in keys {
            let (is_whole, list) = logs.entry(key.0).or_default();
            if !*is_whole && peer.shared.contains(&key.0) {
                list.push((key.1, self.spaces.tips(&key).to_vec()));
            }
        }
        logs.retain(|_, (is_whole, list)| *is_whole || !list.is_empty());
        let something = !logs.is_empty() || !chunks.is_empty();
        for deltas in split(logs) {
            let frontier = Frontier { pull, deltas, chunks: take_some(&mut chunks), ..Frontier::default() };
            out.push(Output::Send { peer: id, envelope: Envelope::Frontier(frontier) });
        }
        while !chunks.is_empty() {
            let frontier = Frontier { chunks: take_some(&mut chunks), ..Frontier::default() };
            out.push(Output::Send { peer: id, envelope: Envelope::Frontier(frontier) });
        }
        something
    }
}

fn take_some<T>(list: &mut Vec<T>) -> Vec<T> {
    let rest = list.split_off(list.len().min(CHUNK_ACKS));
    std::mem::replace(list, rest)
}

// As many envelopes as the limits ask for. A space that is cut begins whole and goes on as a delta.
pub(crate) fn split(logs: BTreeMap<SpaceTag, (bool, Vec<(LogId, Tips)>)>) -> Vec<Vec<SpaceDelta>> {
    let mut envelopes: Vec<Vec<SpaceDelta>> = Vec::new();
    let mut room = 0;
    for (tag, (mut whole, mut list)) in logs {
        loop {
            if room == 0 || envelopes.last().is_none_or(|deltas| deltas.len() >= limit::SPACES) {
                envelopes.push(Vec::new());
                room = limit::FRONTIER_LOGS;
            }
            let rest = list.split_off(list.len().min(room));
            room -= list.len();
            if let Some(deltas) = envelopes.last_mut() {
                deltas.push(SpaceDelta { tag, whole, logs: list });
            }
            whole = false;
            list = rest;
            if list.is_empty() {
                break;
            }
        }
    }
    envelopes
}
