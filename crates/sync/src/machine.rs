//! The state, the one way in, and what can be asked of it.

use crate::chunk::Chunks;
use crate::config::Config;
use crate::envelope::{Envelope, Tips};
use crate::frontier::{LogKey, Spaces};
use crate::held::{Held, Waits};
use crate::io::{Input, Offence, Origin, Output, PeerId};
use crate::peer::Peer;
use base::{DeviceId, LogId, SpaceTag};
use std::collections::{BTreeMap, BTreeSet};

/// How often one step looks for what is due; the rest is due at the next.
const ROUNDS: usize = 4;

/// The reconciliation of one node with all its peers.
pub struct Sync {
    pub(crate) me: DeviceId,
    pub(crate) config: Config,
    pub(crate) spaces: Spaces,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) held: Held,
    /// Entries that cannot be judged yet; they stay among the delivered ones of their log.
    pub(crate) waits: Waits,
    /// Logs of which entries are missing here below others.
    pub(crate) holes: BTreeSet<LogKey>,
    /// Who was asked for which log: one peer at a time.
    pub(crate) asking: BTreeMap<LogKey, PeerId>,
    pub(crate) chunks: Chunks,
    /// Entries delivered and not yet answered for.
    pub(crate) unanswered: usize,
    /// When the next neighbour is greeted; none as long as there is none.
    pub(crate) hello_at: Option<u64>,
    /// When anything last happened but hellos that agree.
    pub(crate) stirred_at: u64,
    jobs: u64,
    pub(crate) random: u64,
}

/// How things stand with one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Whether a link is up.
    pub connected: bool,
    /// When it was last heard, in the milliseconds of `step`.
    pub heard_at: Option<u64>,
    /// Spaces that both sides announced.
    pub shared: usize,
    /// Whether both are known to have the same of all of them.
    pub synced: bool,
    /// Entries that it has and that are not here, as far as is known.
    pub behind_us: u64,
    /// Entries that are here and that it is not known to have.
    pub behind_them: u64,
    /// Bytes sent and not acknowledged.
    pub in_flight: usize,
    /// Whether the link, or the last one, brought either side further: an entry, a chunk, or an ack of one.
    pub fruitful: bool,
}

impl Sync {
    /// A node without spaces and peers. The seed serves only to spread hellos in time.
    pub fn new(me: DeviceId, config: Config, seed: u64) -> Sync {
        Sync {
            me,
            config,
            spaces: Spaces::default(),
            peers: BTreeMap::new(),
            held: Held::default(),
            waits: Waits::default(),
            holes: BTreeSet::new(),
            asking: BTreeMap::new(),
            chunks: Chunks::default(),
            unanswered: 0,
            hello_at: None,
            stirred_at: 0,
            jobs: 0,
            random: seed,
        }
    }

    /// Takes what happened at `now` (milliseconds of a clock that does not go backwards) and adds
    /// to `out` what is to be done, in order. Whatever is due by then is done as well.
    pub fn step(&mut self, now: u64, input: Input, out: &mut Vec<Output>) {
        if stirs(&input) {
            self.stir(now);
        }
        match input {
            Input::Space { tag, logs } => self.on_space(now, tag, logs, out),
            Input::Drop { tag } => self.on_drop(now, tag, out),
            Input::Allow { peer, tags } => self.on_allow(now, peer, tags, out),
            Input::Forget { peer } => {
                self.on_disconnected(now, peer, out);
                self.peers.remove(&peer);
            }
            Input::Recall { peer, announced, frontiers } => {
                self.on_recall(now, peer, announced, frontiers, out)
            }
            Input::Connected { peer } => self.on_connected(now, peer, out),
            Input::Disconnected { peer } => self.on_disconnected(now, peer, out),
            Input::Received { peer, envelope } => self.on_envelope(now, peer, envelope, out),
            Input::Gossip { via, tag, envelope } => self.on_gossip(now, via, tag, envelope, out),
            Input::Stored { tag, log, seq, hash, prev, bytes } => {
                self.on_stored(now, (tag, log), (seq, hash), prev, bytes, out);
            }
            Input::Filled { tag, log, seq, hash, prev, bytes } => {
                self.on_filled(now, (tag, log), (seq, hash), prev, bytes, out);
            }
            Input::Sum { tag, log, sum } => self.spaces.set_sum(&(tag, log), sum),
            Input::Holes { logs } => self.on_holes(now, logs, out),
            Input::Mended { tag, log, tips, sum } => self.on_mended(now, (tag, log), tips, sum, out),
            Input::Listed { job, entries } => self.on_listed(now, job, entries, out),
            Input::Known { tag, log, seq, hash } => self.on_known(now, (tag, log), (seq, hash), out),
            Input::Missing { from, tag, entry } => self.on_missing(now, from, tag, entry, out),
            Input::Waits { tag, entry, .. } => self.on_waits(now, tag, entry, out),
            Input::Kept { tag, entry } => self.on_kept(now, tag, entry, out),
            Input::Retry => self.retry_waiting(now, out),
            Input::Refused { tag, log, seq, hash } => self.on_refused(now, (tag, log), (seq, hash), out),
            Input::Sent { peer, job, next, bytes, queued } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.note_queue(now, queued, bytes);
                }
                self.on_sent(now, peer, job, next, bytes, out);
            }
            Input::Drained { peer, queued } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.note_queue(now, queued, 0);
                    self.pump(now, peer, out);
                }
            }
            Input::ChunksWanted { tag, ids } => self.on_chunks_wanted(now, tag, ids, out),
            Input::ChunksUnwanted { tag, ids } => self.on_chunks_unwanted(tag, &ids),
            Input::ChunkStored { tag, id } => self.on_chunk_stored(now, tag, id),
            Input::ChunkFailed { tag, id } => self.on_chunk_failed(now, tag, id, out),
            Input::Tick => {}
        }
        self.run_due(now, out);
    }

    /// When `step` wants to be called with `Tick` if nothing happens before; none if never.
    pub fn next_wake(&self) -> Option<u64> {
        let peers = self.peers.values().filter_map(wake_of).min();
        [peers, self.chunks.next_wake(), self.hello_at].into_iter().flatten().min()
    }

    /// How things stand with one peer; none if it is not known.
    pub fn peer(&self, id: &PeerId) -> Option<PeerView> {
        let peer = self.peers.get(id)?;
        let mut view = PeerView {
            connected: peer.connected,
            heard_at: peer.heard_at,
            shared: peer.shared.len(),
            synced: !peer.shared.is_empty() && peer.shared.iter().all(|tag| peer.synced.contains(tag)),
            in_flight: peer.in_flight,
            fruitful: peer.fruitful,
            ..PeerView::default()
        };
        let span = |range: Option<(u64, u64)>| {
            range.map_or(0, |(from, to)| to.saturating_sub(from).saturating_add(1))
        };
        let empty = crate::frontier::Log::default();
        for (key, lag) in &peer.lag {
            let log = self.spaces.log(key).unwrap_or(&empty);
            view.behind_us = view.behind_us.saturating_add(span(log.behind(&lag.theirs)));
            view.behind_them = view.behind_them.saturating_add(span(log.lacking(&lag.theirs)));
        }
        Some(view)
    }

    /// The peers that are known, connected or not.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.keys()
    }

    /// The durable frontier of a space here; none if it is not held.
    pub fn frontier(&self, tag: &SpaceTag) -> Option<BTreeMap<LogId, Tips>> {
        let logs = &self.spaces.by_tag.get(tag)?.logs;
        Some(
            logs.iter()
                .filter(|(_, log)| !log.tips.is_empty())
                .map(|(id, log)| (*id, log.tips.clone()))
                .collect(),
        )
    }

    /// What a peer is known to have of a space, to be kept for `Recall`; none while it is unknown.
    pub fn frontier_of(&self, peer: &PeerId, tag: &SpaceTag) -> Option<BTreeMap<LogId, Tips>> {
        let state = self.peers.get(peer)?;
        if !state.known.contains(tag) {
            return None;
        }
        let mut logs = self.frontier(tag)?;
        for (key, lag) in state.lags_of(*tag) {
            logs.insert(key.1, lag.theirs.clone());
        }
        logs.retain(|_, tips| !tips.is_empty());
        Some(logs)
    }

    /// Logs of a space that have more than one tip.
    pub fn forks(&self, tag: &SpaceTag) -> Vec<LogId> {
        let Some(space) = self.spaces.by_tag.get(tag) else { return Vec::new() };
        space.logs.iter().filter(|(_, log)| log.tips.len() > 1).map(|(id, _)| *id).collect()
    }

    /// Entries that wait for the ones before them, from all peers.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn next_job(&mut self) -> u64 {
        self.jobs += 1;
        self.jobs
    }

    /// A number below `bound`, from the seed (SplitMix64, Steele et al. 2014).
    pub(crate) fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// Charges a peer. False if it is over its bounds, which is told once a minute.
    pub(crate) fn charge(
        &mut self,
        now: u64,
        id: PeerId,
        cost: u64,
        why: Offence,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if peer.charge(now, cost, why) {
            return true;
        }
        if let Some(why) = peer.tell_offence(now, Some(why)) {
            out.push(Output::Misbehaved { peer: id, why });
        }
        false
    }

    /// Charges whoever brought something, for gossip from what is kept apart for that.
    pub(crate) fn charge_origin(
        &mut self,
        now: u64,
        origin: Origin,
        cost: u64,
        why: Offence,
        out: &mut Vec<Output>,
    ) -> bool {
        let via = match origin {
            Origin::Link(id) => return self.charge(now, id, cost, why, out),
            Origin::Gossip(via) => via,
            Origin::Kept => return true,
        };
        let Some(peer) = self.peers.get_mut(&via) else { return false };
        if peer.charge_gossip(now, cost) {
            return true;
        }
        if let Some(why) = peer.tell_offence(now, Some(Offence::Gossip)) {
            out.push(Output::Misbehaved { peer: via, why });
        }
        false
    }

    fn on_envelope(&mut self, now: u64, id: PeerId, envelope: Envelope, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // A bundle may bring envelopes of a peer that no link leads to: they count all the same.
        peer.hear(now);
        if !peer.within_bounds(now) {
            if let Some(why) = peer.tell_offence(now, None) {
                out.push(Output::Misbehaved { peer: id, why });
            }
            return;
        }
        match envelope {
            Envelope::Hello(hello) => self.on_hello(now, id, &hello, out),
            Envelope::Frontier(frontier) => self.on_frontier(now, id, frontier, out),
            Envelope::Want(want) => self.on_want(now, id, want, out),
            Envelope::Absent { ranges, hashes } => self.on_absent(now, id, &ranges, &hashes, out),
            Envelope::Cells(cells) => self.on_cells(now, id, cells, out),
            Envelope::More(more) => self.on_more(now, id, more, out),
            Envelope::Entries(entries) => self.on_entries(now, id, entries, out),
            Envelope::Chunk { tag, id: chunk, bytes } => self.on_chunk(now, id, tag, chunk, bytes, out),
            Envelope::Part(part) => self.on_part(now, id, part, out),
            Envelope::Rest { tag, id: chunk, from } => self.on_rest(now, id, tag, chunk, from, out),
            Envelope::Piece(piece) => self.on_piece(now, id, piece, out),
            Envelope::Begun { tag, hash, from } => self.on_begun(now, id, (tag, hash), from, out),
            Envelope::Share { name, entries } => {
                let bytes = entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
                if self.charge(now, id, 20 + bytes / 4096, Offence::Unasked, out) {
                    out.push(Output::Offer { from: id, name, entries });
                }
            }
            Envelope::Addr(record) => {
                if self.charge(now, id, 20, Offence::Unasked, out) {
                    out.push(Output::Addr { from: id, record });
                }
            }
        }
    }

    // Gossip does not say who sent it: entries, or the tips of a log whose entry is too large.
    fn on_gossip(&mut self, now: u64, via: PeerId, tag: SpaceTag, envelope: Envelope, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&via) else { return };
        if !self.spaces.by_tag.contains_key(&tag) || !peer.within_bounds(now) {
            return;
        }
        if !peer.gossip_within_bounds(now) {
            if let Some(why) = peer.tell_offence(now, Some(Offence::Gossip)) {
                out.push(Output::Misbehaved { peer: via, why });
            }
            return;
        }
        match envelope {
            Envelope::Entries(entries) => self.on_gossiped(now, via, tag, entries, out),
            Envelope::Frontier(frontier) => self.on_announcement(now, via, tag, frontier, out),
            _ => {
                self.charge_origin(now, Origin::Gossip(via), 100, Offence::Unasked, out);
            }
        }
    }

    fn run_due(&mut self, now: u64, out: &mut Vec<Output>) {
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_round(now, out);
        }
        // What is done for one peer may wake another, a few times at most.
        for _ in 0..ROUNDS {
            let due = |peer: &Peer| wake_of(peer).is_some_and(|at| at <= now);
            let ids: Vec<PeerId> =
                self.peers.iter().filter(|(_, peer)| due(peer)).map(|(id, _)| *id).collect();
            if ids.is_empty() {
                break;
            }
            for id in ids {
                self.run_peer(now, id, out);
            }
        }
        if self.chunks.next_wake().is_some_and(|at| at <= now) {
            self.retry_chunks(now, out);
        }
    }

    fn run_peer(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if self.peers.get(&id).is_some_and(|peer| due(peer.ack_at)) {
            self.flush(now, id, false, out);
        }
        if self.peers.get(&id).is_some_and(|peer| due(peer.pump_at)) {
            self.pump(now, id, out);
        }
    }
}

fn wake_of(peer: &Peer) -> Option<u64> {
    if !peer.connected {
        return None;
    }
    [peer.ack_at, peer.pump_at].into_iter().flatten().min()
}

// Whether something happens that a friend may have to be told of: all but time, the carrier's queue, and hellos, which
// stir only where they differ.
fn stirs(input: &Input) -> bool {
    !matches!(
        input,
        Input::Tick
            | Input::Retry
            | Input::Sum { .. }
            | Input::Sent { .. }
            | Input::Drained { .. }
            | Input::Received { envelope: Envelope::Hello(_), .. }
    )
}
