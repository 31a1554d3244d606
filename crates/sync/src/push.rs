//! Sending what a peer lacks or asked for: one load at a time, within a window that follows the
//! acks. Entries before chunks, what was asked for before what is pushed.

use crate::compare::Answering;
use crate::envelope::{Envelope, LogRange, Want};
use crate::frontier::LogKey;
use crate::io::{Offence, Output, PeerId};
use crate::machine::Sync;
use crate::peer::{Lag, Load, Peer, SERVE_QUEUE};
use base::{ChunkId, Hash, SpaceTag};

/// Bytes loaded for one output.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes in the carrier's queue above which nothing more is loaded, however fast the link.
const QUEUE_HIGH: usize = 4 << 20;
/// Milliseconds before something that the store did not have is tried again.
const NOTHING_THERE: u64 = 30_000;

/// A log that the peer lacks and whose time has come.
struct Due {
    key: LogKey,
    from: u64,
    to: u64,
    weight: usize,
    own: bool,
}

/// How much something is.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    entries: u64,
    bytes: usize,
}

impl Weight {
    fn add(&mut self, from: u64, to: u64, bytes: usize) {
        self.entries = self.entries.saturating_add(to.saturating_sub(from)).saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Sync {
    /// Does everything that may be done for a peer now, and sets when to look again.
    pub(crate) fn pump(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.connected {
            return;
        }
        peer.pump_at = None;
        peer.listen(now);
        peer.expire(now, self.config.patience);
        let pulled = self.pull(now, id, out);
        let pushed = self.push(now, id, out);
        self.load_next(now, id, out);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let flight = peer.expires_at(self.config.patience);
        let room = peer.room_at(now, QUEUE_HIGH);
        let again = peer.again_at(now);
        // What was to be looked at now has been.
        let set = peer.pump_at.filter(|at| *at > now);
        peer.pump_at = [set, pulled, pushed, flight, room, again].into_iter().flatten().min();
    }

    /// Whether what this peer may lack is better asked for than pushed: it is much, or the peer may
    /// have it from others. What is made here, or under way already, is not counted.
    pub(crate) fn better_asked_for(&self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let mut sum = Weight::default();
        for (key, lag) in &peer.lag {
            let Some(log) = self.spaces.log(key) else { continue };
            if lag.own || lag.is_under_way() {
                continue;
            }
            let Some((from, to)) = log.lacking(&lag.theirs) else { continue };
            if !lag.direct && !peer.is_far() {
                return true;
            }
            sum.add(from, to, log.weight(from, to));
        }
        !self.is_small(sum) && !peer.is_far()
    }

    fn is_small(&self, weight: Weight) -> bool {
        weight.bytes <= self.config.eager_bytes && weight.entries <= self.config.eager_entries
    }

    /// Whether what is lacking here of a space is so little that a peer that heard of it pushes it.
    pub(crate) fn comes_by_itself(&self, id: PeerId, tag: SpaceTag) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let empty = crate::frontier::Log::default();
        let lacking = peer.lags_of(tag).filter_map(|(key, lag)| {
            self.spaces.log(key).unwrap_or(&empty).behind(&lag.theirs).map(|(from, to)| to - from)
        });
        let entries = lacking.fold(0u64, |sum, span| sum.saturating_add(span).saturating_add(1));
        entries <= self.config.eager_entries
    }

    /// The peer told where it stands, and waits for what it lacks if that is little: it goes at once, as asking
    /// would cost one trip more. If it is little and large it is offered; much is asked for.
    pub(crate) fn answer_with_push(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let mut sum = Weight::default();
        let mut keys = Vec::new();
        for (key, lag) in peer.lag.iter().filter(|(_, lag)| lag.offered.is_some() && lag.tries == 0) {
            let Some(log) = self.spaces.log(key) else { continue };
            let Some((from, to)) = log.lacking(&lag.theirs).filter(|_| !lag.is_under_way()) else { continue };
            sum.add(from, to, log.weight(from, to));
            keys.push(*key);
        }
        if keys.is_empty() || sum.entries > self.config.eager_entries {
            return;
        }
        if !self.is_small(sum) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.untold.extend(keys);
            }
            self.flush(now, id, true, out);
            return;
        }
        for key in keys {
            let theirs =
                self.peers.get(&id).and_then(|peer| peer.lag.get(&key)).map(|lag| lag.theirs.clone());
            let due = self.new_lag(now, &key, theirs.unwrap_or_default()).due;
            if let Some(lag) = self.peers.get_mut(&id).and_then(|peer| peer.lag.get_mut(&key)) {
                lag.offered = None;
                lag.due = due;
            }
        }
    }

    // Decides about every log that the peer lacks: offer it, send it (again), or wait. When to
    // look again.
    fn push(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) -> Option<u64> {
        let (due, wake) = self.due(now, id)?;
        let mut total = Weight::default();
        due.iter().filter(|due| !due.own).for_each(|due| total.add(due.from, due.to, due.weight));
        let small = self.is_small(total);
        let quiet = now + 2 * self.config.hello_period;
        let mut offers = false;
        let peer = self.peers.get_mut(&id)?;
        let wait = peer.patience(self.config.patience);
        let far = peer.is_far();
        for Due { key, from, to, .. } in due {
            let Some(lag) = peer.lag.get_mut(&key) else { continue };
            match lag.offered {
                None if lag.tries == 0
                    && lag.next <= to
                    && (!small || !lag.direct)
                    // An offer that is answered in an hour is none.
                    && !far =>
                {
                    lag.offered = Some(now);
                    lag.due = now + wait;
                    peer.untold.insert(key);
                    offers = true;
                }
                // It heard the offer, or something since, and does not ask: the hellos will tell.
                Some(at) if peer.heard_at.is_some_and(|heard| heard > at) => {
                    lag.offered = None;
                    lag.due = quiet;
                }
                _ if (lag.retry_at <= now && (lag.next > to || lag.is_under_way()))
                    || (lag.next > to && lag.retry_at == u64::MAX) =>
                {
                    // It was sent, and no ack came.
                    lag.tries += 1;
                    lag.next = from;
                    lag.retry_at = u64::MAX;
                    lag.doubt = None;
                }
                _ if lag.next > to => lag.due = lag.retry_at,
                _ => {}
            }
        }
        if offers {
            self.flush(now, id, true, out);
        }
        let next = self.peers.get(&id)?.lag.values().map(|lag| lag.due).filter(|due| *due > now).min();
        [wake, next].into_iter().flatten().min()
    }

    fn due(&self, now: u64, id: PeerId) -> Option<(Vec<Due>, Option<u64>)> {
        let peer = self.peers.get(&id)?;
        let mut wake = None;
        let mut due = Vec::new();
        for (key, lag) in &peer.lag {
            let Some(log) = self.spaces.log(key) else { continue };
            let Some((from, to)) = log.lacking(&lag.theirs) else { continue };
            if lag.due > now {
                wake = Some(wake.unwrap_or(u64::MAX).min(lag.due));
            } else {
                let weight = log.weight(from, to);
                due.push(Due { key: *key, from, to, weight, own: lag.own });
            }
        }
        Some((due, wake))
    }

    fn load_next(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(load) = self.choose(now, id) else { return };
        let job = self.next_job();
        // Spread over all numbers by a multiplier of Knuth's (The Art of Computer Programming 3, 6.4).
        let random = (self.random ^ job).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.job = Some((job, load));
        let budget = peer.batch(BATCH_BYTES);
        let cut = peer.cut(random);
        out.push(match load {
            Load::Range { range: LogRange { tag, log, from, to }, .. } => {
                Output::SendEntries { peer: id, job, tag, log, from, to, budget, cut }
            }
            Load::Entry(tag, hash) => Output::SendEntry { peer: id, job, tag, hash, cut },
            Load::Chunk { tag, id: chunk, from } => {
                Output::SendChunk { peer: id, job, tag, id: chunk, from, part: peer.part() }
            }
        });
    }

    fn choose(&mut self, now: u64, id: PeerId) -> Option<Load> {
        let peer = self.peers.get_mut(&id)?;
        if peer.job.is_some() || peer.is_backed_up(now, QUEUE_HIGH) || peer.room() == 0 {
            return None;
        }
        if let Some(load) = peer.serve.pop_front() {
            return Some(load);
        }
        if let Some(load) = peer.answering.as_mut().and_then(Answering::give) {
            return Some(load);
        }
        for (key, lag) in &peer.lag {
            if lag.due > now || !peer.shared.contains(&key.0) {
                continue;
            }
            let Some((from, to)) = self.spaces.log(key).and_then(|log| log.lacking(&lag.theirs)) else {
                continue;
            };
            let from = from.max(lag.next.min(to));
            if lag.next <= to {
                let range = LogRange { tag: key.0, log: key.1, from, to };
                return Some(Load::Range { range, asked: false });
            }
        }
        if let Some(chunk) = peer.serve_chunks.pop_front() {
            return Some(chunk);
        }
        let mut again = peer.again(now)?;
        if let Load::Range { range, .. } = &mut again
            && let Some(lag) = peer.lag.get(&(range.tag, range.log))
        {
            // Some of it may have been acknowledged.
            range.from = range.from.max(Lag::after(&lag.theirs)).min(range.to);
        }
        Some(again)
    }

    pub(crate) fn on_sent(
        &mut self,
        now: u64,
        id: PeerId,
        job: u64,
        next: u64,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some((_, mut load)) = peer.job.take_if(|(number, _)| *number == job) else { return };
        // Of a large entry only some pieces found room with the carrier.
        let cut_short = matches!(&load, Load::Range { range, .. } if next <= range.from && bytes > 0);
        if let Load::Range { range, asked } = &mut load {
            let last = range.to;
            let rest = LogRange { from: next.max(range.from), ..*range };
            range.to = next.saturating_sub(1).min(last);
            let done = bytes == 0 || next > last;
            if !done && *asked {
                peer.serve.push_front(Load::Range { range: rest, asked: true });
            }
            let wait = peer.ack_wait(now, self.config.patience).saturating_add(bytes as u64 / 128);
            let top = self.spaces.tips(&(range.tag, range.log)).last().map(|tip| tip.0);
            if let Some(lag) = peer.lag.get_mut(&(range.tag, range.log)) {
                if next > last || lag.next >= range.from {
                    lag.next = lag.next.max(next);
                }
                if bytes == 0 {
                    lag.due = now + NOTHING_THERE;
                } else if done {
                    let retry = now.saturating_add(Peer::backed_off(wait, lag.tries));
                    lag.retry_at = if lag.retry_at > now { lag.retry_at.min(retry) } else { retry };
                    // What came meanwhile does not wait for the acks of this.
                    let all_sent = top.is_none_or(|top| lag.next > top);
                    lag.due = if all_sent { lag.retry_at } else { lag.due.min(lag.retry_at) };
                }
            }
        }
        if bytes > 0 && !cut_short {
            peer.sent(now, load, bytes, self.config.patience);
        }
        self.pump(now, id, out);
    }

    pub(crate) fn on_want(&mut self, now: u64, id: PeerId, want: Want, out: &mut Vec<Output>) {
        let cost = 2 + (want.ranges.len() + want.hashes.len() + want.chunks.len()) as u64;
        if !self.charge(now, id, cost, Offence::Wants, out) {
            return;
        }
        let mut absent: (Vec<LogRange>, Vec<(SpaceTag, Hash)>) = Default::default();
        let mut refused = 0;
        let quiet = now + 2 * self.config.hello_period;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for mut range in want.ranges {
            let top = self.spaces.tips(&(range.tag, range.log)).last().map(|tip| tip.0);
            match top.filter(|top| peer.shared.contains(&range.tag) && range.from <= *top) {
                None => absent.0.push(range),
                Some(top) => {
                    range.to = range.to.min(top);
                    let Some(range) = peer.not_crossing(now, range) else { continue };
                    if let Some(lag) = peer.lag.get_mut(&(range.tag, range.log)) {
                        lag.due = lag.due.max(quiet);
                    }
                    refused += enqueue(peer, Load::Range { range, asked: true });
                }
            }
        }
        for (tag, hash) in want.hashes {
            if peer.shared.contains(&tag) {
                refused += enqueue(peer, Load::Entry(tag, hash));
            } else {
                absent.1.push((tag, hash));
            }
        }
        for (tag, chunk) in want.chunks {
            refused += serve_chunk(id, peer, (tag, chunk), 0, out);
        }
        if !absent.0.is_empty() || !absent.1.is_empty() {
            let envelope = Envelope::Absent { ranges: absent.0, hashes: absent.1 };
            out.push(Output::Send { peer: id, envelope });
        }
        self.charge(now, id, refused, Offence::Wants, out);
        self.pump(now, id, out);
    }
}

impl Sync {
    pub(crate) fn on_rest(
        &mut self,
        now: u64,
        id: PeerId,
        tag: SpaceTag,
        chunk: ChunkId,
        from: u64,
        out: &mut Vec<Output>,
    ) {
        if !self.charge(now, id, 3, Offence::Wants, out) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // The last link brought them as far as that.
        peer.fruitful = true;
        let refused = serve_chunk(id, peer, (tag, chunk), from, out);
        self.charge(now, id, refused, Offence::Wants, out);
        self.pump(now, id, out);
    }
}

// Takes the request for a chunk; what it costs if it cannot be.
fn serve_chunk(
    id: PeerId,
    peer: &mut Peer,
    key: (SpaceTag, ChunkId),
    from: u64,
    out: &mut Vec<Output>,
) -> u64 {
    let (tag, chunk) = key;
    if peer.shared.contains(&tag) {
        return enqueue(peer, Load::Chunk { tag, id: chunk, from });
    }
    // Nobody asks for what they were not told of, but for a moment.
    out.push(Output::Send { peer: id, envelope: Envelope::Chunk { tag, id: chunk, bytes: None } });
    4
}

// Puts a request in its queue; what it costs if it is there already or the queue is full.
fn enqueue(peer: &mut Peer, load: Load) -> u64 {
    let working = peer.job.is_some_and(|(_, current)| current == load);
    let queue = match load {
        Load::Chunk { .. } => &mut peer.serve_chunks,
        _ => &mut peer.serve,
    };
    if working || queue.contains(&load) {
        return 2;
    }
    if queue.len() >= SERVE_QUEUE {
        return 50;
    }
    queue.push_back(load);
    0
}
