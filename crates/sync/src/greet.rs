//! Connections, announcements and hellos.

use crate::envelope::{Envelope, Frontier, Hello, Tips, VERSION};
use crate::frontier::{digest, highest_tips};
use crate::io::{Offence, Output, PeerId};
use crate::machine::Sync;
use crate::peer::{Lag, Load, Peer};
use base::{LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};

/// A hello that differs is answered by one at most so often, in milliseconds.
const HELLO_BACK: u64 = 300;
/// Hellos that differ without anything to tell, after which everything is told.
const QUIET_MISMATCHES: u32 = 3;
/// Of the time for which nothing happened so much passes from one hello to a peer to the next, if that is more than a
/// period.
const SHARE_OF_REST: u64 = 8;

impl Sync {
    pub(crate) fn on_space(
        &mut self,
        now: u64,
        tag: SpaceTag,
        logs: BTreeMap<LogId, Tips>,
        out: &mut Vec<Output>,
    ) {
        self.forget_space(&tag);
        self.spaces.insert(tag, logs);
        self.reshare_all(now, out);
        let shared: Vec<PeerId> =
            self.peers.iter().filter(|(_, p)| p.shared.contains(&tag)).map(|(id, _)| *id).collect();
        for id in shared {
            self.send_hello(now, id, out);
        }
    }

    pub(crate) fn on_drop(&mut self, now: u64, tag: SpaceTag, out: &mut Vec<Output>) {
        self.forget_space(&tag);
        self.spaces.remove(&tag);
        self.held.drop_space(&tag);
        self.peers.values_mut().for_each(|peer| peer.pieces.forget_space(&tag));
        self.waits.drop_space(&tag);
        self.chunks.drop_space(&tag);
        self.reshare_all(now, out);
    }

    fn forget_space(&mut self, tag: &SpaceTag) {
        if let Some(space) = self.spaces.by_tag.get(tag) {
            let open: usize = space.logs.values().map(|log| log.pending.len()).sum();
            self.unanswered = self.unanswered.saturating_sub(open);
        }
        self.asking.retain(|key, _| key.0 != *tag);
        for peer in self.peers.values_mut() {
            peer.forget_space(tag);
        }
    }

    pub(crate) fn on_allow(&mut self, now: u64, id: PeerId, tags: BTreeSet<SpaceTag>, out: &mut Vec<Output>) {
        self.peers.entry(id).or_insert_with(|| Peer::new(now)).allowed = tags;
        self.reshare(now, id, out);
    }

    pub(crate) fn on_recall(
        &mut self,
        now: u64,
        id: PeerId,
        announced: BTreeSet<SpaceTag>,
        frontiers: BTreeMap<SpaceTag, BTreeMap<LogId, Tips>>,
        out: &mut Vec<Output>,
    ) {
        self.peers.entry(id).or_insert_with(|| Peer::new(now)).announced = Some(announced);
        self.reshare(now, id, out);
        for (tag, mut logs) in frontiers {
            logs.values_mut().for_each(highest_tips);
            if self.peers.get(&id).is_some_and(|peer| peer.shared.contains(&tag)) {
                self.take_whole(now, id, tag, logs.into_iter().collect(), true, out);
            }
        }
    }

    pub(crate) fn on_connected(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        if self.hello_at.is_none() {
            self.hello_at =
                Some(now + self.config.hello_period / 2 + self.random_below(self.config.hello_period));
        }
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(now));
        if peer.connected {
            return;
        }
        peer.connect(now, self.config.patience);
        peer.pump_at = Some(now + self.config.patience);
        self.tell_begun(id, out);
        self.reshare(now, id, out);
        if self.peers.get(&id).is_some_and(|peer| peer.announced.is_some() && peer.hello_sent.is_none()) {
            self.send_hello(now, id, out);
        }
        self.chunks_on_connected(now, id, out);
    }

    pub(crate) fn on_disconnected(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let asks: Vec<_> = peer.asks.keys().copied().collect();
        let chunks: Vec<_> = peer.chunk_asks.keys().copied().collect();
        peer.disconnect(now);
        self.held.drop_peer(id);
        for key in asks {
            self.asking.remove(&key);
            self.wake_holders(now, &key);
        }
        self.bound_partials();
        self.chunks_on_disconnected(now, chunks, out);
    }

    fn reshare_all(&mut self, now: u64, out: &mut Vec<Output>) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.reshare(now, id, out);
        }
    }

    /// Works out which spaces count with this peer, and announces mine if they changed.
    fn reshare(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let held = &self.spaces.by_tag;
        let mine: BTreeSet<SpaceTag> =
            peer.allowed.iter().filter(|tag| held.contains_key(tag)).take(limit::SPACES).copied().collect();
        let shared: BTreeSet<SpaceTag> = match &peer.announced {
            Some(theirs) => mine.intersection(theirs).copied().collect(),
            None => BTreeSet::new(),
        };
        let gone: Vec<SpaceTag> = peer.shared.difference(&shared).copied().collect();
        for tag in gone {
            peer.forget_space(&tag);
        }
        let changed = peer.shared != shared;
        peer.shared = shared;
        if !peer.connected {
            return;
        }
        if peer.told.as_ref().is_none_or(|(told, _)| *told != mine) {
            self.announce(now, id, out);
        }
        if changed {
            self.send_hello(now, id, out);
            self.chunks_on_connected(now, id, out);
        }
    }

    fn announce(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let held = &self.spaces.by_tag;
        let mine: BTreeSet<SpaceTag> =
            peer.allowed.iter().filter(|tag| held.contains_key(tag)).take(limit::SPACES).copied().collect();
        let frontier = Frontier {
            announce: Some(mine.iter().copied().collect()),
            greet: peer.announced.is_none(),
            ..Frontier::default()
        };
        peer.told = Some((mine, now));
        out.push(Output::Send { peer: id, envelope: Envelope::Frontier(frontier) });
    }

    /// Takes the peer's announcement; answers a greeting whose answer seems to be lost.
    pub(crate) fn on_announce(
        &mut self,
        now: u64,
        id: PeerId,
        announce: Option<Vec<SpaceTag>>,
        greet: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let patience = peer.patience(self.config.patience);
        let stale = peer.told.as_ref().is_none_or(|(_, at)| now.saturating_sub(*at) >= patience);
        if let Some(tags) = announce {
            let first = peer.announced.is_none();
            peer.announced = Some(tags.into_iter().collect());
            self.reshare(now, id, out);
            let fresh = self.peers.get(&id).is_some_and(|p| p.connected && p.hello_sent.is_none());
            if first && fresh {
                self.send_hello(now, id, out);
            }
        }
        if greet && stale && self.peers.get(&id).is_some_and(|p| p.connected) {
            self.announce(now, id, out);
        }
    }

    /// Something happened: hellos come as often as they do while there is something to acknowledge.
    pub(crate) fn stir(&mut self, now: u64) {
        let resting = self.period(now) > self.config.hello_period;
        self.stirred_at = now;
        if let (true, Some(at)) = (resting, self.hello_at) {
            let turns = self.peers.values().filter(|peer| peer.connected).count().max(1) as u64;
            let soon = self.random_below(self.config.hello_period / turns);
            self.hello_at = Some(at.min(now + soon));
        }
    }

    // From one hello to a peer to the next: the longer nothing has happened, the longer.
    fn period(&self, now: u64) -> u64 {
        let shortest = self.config.hello_period;
        (now.saturating_sub(self.stirred_at) / SHARE_OF_REST)
            .clamp(shortest, self.config.longest_period.max(shortest))
    }

    // Whether nothing waits for anything: all friends here have the same, and nothing is under way.
    fn is_at_rest(&self) -> bool {
        self.held.len() == 0 && self.peers.values().filter(|peer| peer.connected).all(Peer::is_at_rest)
    }

    /// Greets the next neighbour in turn, so that each hears a hello a period and they are spread over it.
    pub(crate) fn hello_round(&mut self, now: u64, out: &mut Vec<Output>) {
        if !self.is_at_rest() {
            self.stirred_at = now;
        }
        let (period, jitter) = (self.period(now), self.config.jitter.min(self.config.hello_period / 2));
        let wait = period - jitter + self.random_below(2 * jitter + 1);
        let connected = || self.peers.iter().filter(|(_, peer)| peer.connected);
        let Some(id) = connected().min_by_key(|(_, peer)| peer.turn).map(|(id, _)| *id) else {
            self.hello_at = None;
            return;
        };
        self.hello_at = Some(now + (wait / connected().count() as u64).max(1));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.turn = now;
        if peer.announced.is_none() {
            self.announce(now, id, out);
        } else {
            self.send_hello(now, id, out);
        }
        self.expire_held(now, out);
        self.expire_comparisons(now, id, out);
    }

    pub(crate) fn send_hello(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.connected || peer.announced.is_none() {
            return;
        }
        let root = self.spaces.root_over(&peer.shared);
        let hello =
            Hello { version: VERSION, node: self.me, digest: digest(&self.me, &id, now, &root), time: now };
        peer.hello_sent = Some(now);
        // The digest says it all; only an ack that is owed still names its logs.
        if peer.ack_at.is_none() {
            peer.untold.clear();
        }
        out.push(Output::Send { peer: id, envelope: Envelope::Hello(hello) });
    }

    pub(crate) fn on_hello(&mut self, now: u64, id: PeerId, hello: &Hello, out: &mut Vec<Output>) {
        if hello.node != id {
            self.charge(now, id, 2_000, Offence::Impostor, out);
            return;
        }
        if !self.charge(now, id, 60, Offence::Hellos, out) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.announced.is_none() {
            if peer.connected && peer.told.as_ref().is_none_or(|(_, at)| now >= at + self.config.patience) {
                self.announce(now, id, out);
            }
            return;
        }
        let me = self.me;
        let matches = |root: &base::Hash| digest(&id, &me, hello.time, root) == hello.digest;
        if matches(&self.spaces.root_over(&peer.shared)) {
            self.agree(now, id, BTreeMap::new(), out);
        } else if let Some(past) = self.spaces.past(&peer.shared, matches) {
            self.agree(now, id, past, out);
        } else {
            self.answer_mismatch(now, id, out);
        }
        self.pump(now, id, out);
    }

    /// The peer has what we have, except that these logs stand there as they once did here.
    fn agree(
        &mut self,
        now: u64,
        id: PeerId,
        past: BTreeMap<crate::frontier::LogKey, Tips>,
        out: &mut Vec<Output>,
    ) {
        let widest = self.config.flight_bytes;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.mismatches = 0;
        peer.answer_at = 0;
        (peer.compare_at, peer.compare_tries) = (0, 0);
        peer.known = peer.shared.clone();
        peer.lag.retain(|key, _| past.contains_key(key));
        peer.acked(now, widest, |load| match load {
            Load::Range { range, .. } => !past.contains_key(&(range.tag, range.log)),
            Load::Entry(..) => true,
            Load::Chunk { .. } => false,
        });
        for key in peer.asks.keys().filter(|key| !past.contains_key(key)) {
            self.asking.remove(key);
        }
        peer.asks.retain(|key, _| past.contains_key(key));
        for (key, tips) in past {
            self.set_past(now, id, key, tips);
        }
        self.check_synced(id, None, out);
    }

    // The peer lacks what came to this log of late. What gossip may still bring is left to it for a moment.
    fn set_past(&mut self, now: u64, id: PeerId, key: crate::frontier::LogKey, theirs: Tips) {
        let fresh_until = self.new_lag(now, &key, theirs.clone()).due;
        let lag = self.peers.get_mut(&id).and_then(|peer| peer.lag.get_mut(&key));
        let settled = |lag: &&mut Lag| lag.theirs == theirs && lag.confirmed && lag.doubt.is_none();
        match lag.filter(settled) {
            None => self.set_theirs(now, id, key, theirs, false),
            // What is under way is no news to a peer that spoke before it came.
            Some(lag) if lag.tries == 0 && lag.offered.is_none() && !lag.is_under_way() => {
                lag.direct = true;
                lag.due = lag.due.min(now.max(fresh_until));
            }
            Some(_) => {}
        }
    }

    /// The peer has something else than we: whoever learns it tells what it knows.
    fn answer_mismatch(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        self.stir(now);
        let period = self.config.hello_period;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.mismatches = peer.mismatches.saturating_add(1);
        if !peer.connected || now < peer.answer_at {
            return;
        }
        // Two nodes that will never agree (one refuses what the other takes) talk less and less.
        let rounds = peer.mismatches.saturating_sub(2 * QUIET_MISMATCHES).min(6);
        peer.answer_at = if rounds == 0 { 0 } else { now + (period << rounds) / 2 };
        let everything = peer.mismatches % QUIET_MISMATCHES == 0;
        let unknown: Vec<SpaceTag> =
            peer.shared.iter().filter(|tag| everything || !peer.known.contains(tag)).copied().collect();
        if everything {
            self.announce(now, id, out);
        }
        if everything {
            self.compare(now, id, out);
        }
        let told = self.tell(now, id, &unknown, out);
        self.stop_waiting(now, id);
        if told {
            return;
        }
        let recent = |p: &Peer| p.hello_sent.is_some_and(|at| now.saturating_sub(at) < HELLO_BACK);
        if !self.peers.get(&id).is_some_and(recent) {
            self.send_hello(now, id, out);
        }
    }

    // The peer has spoken. What it lacked when it was last heard goes with the answer, and not a trip later.
    fn stop_waiting(&mut self, now: u64, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for lag in peer.lag.values_mut().filter(|lag| !lag.confirmed && lag.direct && lag.offered.is_none()) {
            lag.confirmed = true;
            lag.due = lag.due.min(now);
        }
    }

    /// Adds what the peer lacks to the list of what is to be pushed, from a fresh state. Gossip is given a moment
    /// to bring what is fresh, but whoever lacks what came before that too would wait for nothing.
    pub(crate) fn new_lag(&self, now: u64, key: &crate::frontier::LogKey, theirs: Tips) -> Lag {
        let carried =
            |log: &&crate::frontier::Log| log.lacking(&theirs).is_none_or(|(from, _)| from >= log.fresh_from);
        let fresh = self.spaces.log(key).filter(carried).and_then(|log| log.fresh_at);
        let due = fresh.map_or(now, |at| now.max(at + self.config.push_after));
        Lag::new(theirs, due)
    }
}

impl Peer {
    fn forget_space(&mut self, tag: &SpaceTag) {
        self.drop_lags_of(*tag);
        self.known.remove(tag);
        self.synced.remove(tag);
        self.offered.remove(tag);
        self.untold.retain(|key| key.0 != *tag);
        self.asks.retain(|key, _| key.0 != *tag);
        self.chunk_asks.retain(|key, _| key.0 != *tag);
    }
}
