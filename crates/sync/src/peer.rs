//! What is known of one peer, and what is under way to it and from it.

use crate::envelope::{LogRange, Tips};
use crate::frontier::LogKey;
use crate::io::Offence;
use base::{ChunkId, Hash, LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes under way before the first ack.
pub(crate) const FIRST_WINDOW: usize = 1 << 20;
/// Bytes a millisecond that a link is taken to carry before anything is known of it.
const FIRST_RATE: u64 = 256;
/// Bytes under way that are allowed however badly it goes.
const LEAST_WINDOW: usize = 256 << 10;
/// Bytes that may wait in the carrier's queue however slow the link is; and under way on a link that broke
/// the last time, before the first ack.
const LEAST_QUEUE: usize = 64 << 10;
/// Bytes loaded at once at least, as long as links do not break.
const LEAST_BATCH: usize = 64 << 10;
/// Bytes loaded at once on a link that broke in the middle of something the last time: what is cut off
/// is sent again whole.
const SHY_BATCH: usize = 4 << 10;
/// Milliseconds of silence after a link came up from which the peer is taken to be far: what is under
/// way to it is bounded by the carrier's queue rather than by acks, which take too long.
const FAR: u64 = 3_000;
/// Requests of one peer that wait to be served.
pub(crate) const SERVE_QUEUE: usize = 2 * limit::WANTS;
/// Milliseconds that a retry waits at most.
const LONGEST_WAIT: u64 = 300_000;

/// A log of which the peer has something else than we.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    /// The tips it was last known to have.
    pub(crate) theirs: Tips,
    /// The first place not yet sent.
    pub(crate) next: u64,
    /// When something may be sent (again).
    pub(crate) due: u64,
    pub(crate) tries: u32,
    /// Push without announcing first: it is our own, or the peer itself said that it lacks it.
    pub(crate) direct: bool,
    /// Made here while the peer had all before it: nobody else can have brought it.
    pub(crate) own: bool,
    /// When the peer was told to ask for it.
    pub(crate) offered: Option<u64>,
    /// When what the peer has more may be asked for (again).
    pub(crate) ask_at: u64,
    pub(crate) ask_tries: u32,
}

impl Lag {
    /// Whether some of it was sent and may still arrive.
    pub(crate) fn is_under_way(&self) -> bool {
        self.next > self.theirs.last().map_or(0, |(seq, _)| seq.saturating_add(1))
    }

    pub(crate) fn new(theirs: Tips, due: u64) -> Lag {
        let next = theirs.last().map_or(0, |(seq, _)| seq.saturating_add(1));
        Lag { theirs, next, due, tries: 0, direct: false, own: false, offered: None, ask_at: 0, ask_tries: 0 }
    }
}

/// What an output that the node works on was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Range { range: LogRange, asked: bool },
    Entry(SpaceTag, Hash),
    Chunk(SpaceTag, ChunkId),
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) load: Load,
    pub(crate) bytes: usize,
    pub(crate) at: u64,
    /// When it counts as lost, if no other ack comes.
    deadline: u64,
}

/// A run of entries asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// When it was asked for, or last brought something.
    pub(crate) at: u64,
    /// Whether it brought something.
    pub(crate) answered: bool,
}

/// What a peer may cost: a bucket that refills.
#[derive(Clone, Debug)]
struct Credit {
    left: u64,
    at: u64,
    told_at: Option<u64>,
    last: Offence,
}

const CREDIT: u64 = 20_000;
const CREDIT_A_SECOND: u64 = 400;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) connected: bool,
    pub(crate) allowed: BTreeSet<SpaceTag>,
    pub(crate) announced: Option<BTreeSet<SpaceTag>>,
    /// What I announced on this connection, and when.
    pub(crate) told: Option<(BTreeSet<SpaceTag>, u64)>,
    pub(crate) shared: BTreeSet<SpaceTag>,
    /// Spaces of which the whole frontier of the peer is known: as ours where no `lag` says otherwise.
    pub(crate) known: BTreeSet<SpaceTag>,
    pub(crate) lag: BTreeMap<LogKey, Lag>,
    /// Logs that moved on here since the peer was told.
    pub(crate) untold: BTreeSet<LogKey>,
    pub(crate) synced: BTreeSet<SpaceTag>,
    /// Spaces whose whole frontier the peer was given with the word to ask, and when.
    pub(crate) offered: BTreeMap<SpaceTag, u64>,
    pub(crate) heard_at: Option<u64>,
    /// When it had its turn in the round of hellos.
    pub(crate) turn: u64,
    pub(crate) hello_sent: Option<u64>,
    /// Hellos that differed, one after the other.
    pub(crate) mismatches: u32,
    pub(crate) answer_at: u64,
    pub(crate) ack_at: Option<u64>,
    pub(crate) ack_bytes: usize,
    pub(crate) chunk_acks: Vec<(SpaceTag, ChunkId)>,
    pub(crate) pump_at: Option<u64>,
    pub(crate) job: Option<(u64, Load)>,
    pub(crate) queued: usize,
    pub(crate) serve: VecDeque<Load>,
    pub(crate) serve_chunks: VecDeque<Load>,
    pub(crate) flight: VecDeque<Flight>,
    pub(crate) in_flight: usize,
    pub(crate) window: usize,
    /// Smoothed milliseconds from sending to the ack.
    pub(crate) trip: u64,
    /// Smoothed bytes a millisecond that were acknowledged; 0 before the first ack.
    rate: u64,
    /// Smoothed bytes a millisecond that left the carrier's queue; 0 as long as it was never seen to.
    drain: u64,
    /// When `queued` was told.
    queued_at: u64,
    acked_at: u64,
    /// Bytes acknowledged on this connection.
    proven: usize,
    /// The last connection broke in the middle of something.
    shy: bool,
    /// When the link came up, as long as nothing was heard on it.
    unheard_since: Option<u64>,
    /// Milliseconds from the link coming up to the first word on it: the way here takes about as long.
    silence: u64,
    pub(crate) asks: BTreeMap<LogKey, Ask>,
    pub(crate) chunk_asks: BTreeMap<(SpaceTag, ChunkId), u64>,
    credit: Credit,
    /// What gossip that it passes on may cost.
    gossip: Credit,
}

impl Peer {
    pub(crate) fn new(now: u64) -> Peer {
        Peer {
            connected: false,
            allowed: BTreeSet::new(),
            announced: None,
            told: None,
            shared: BTreeSet::new(),
            known: BTreeSet::new(),
            lag: BTreeMap::new(),
            untold: BTreeSet::new(),
            synced: BTreeSet::new(),
            offered: BTreeMap::new(),
            heard_at: None,
            turn: 0,
            hello_sent: None,
            mismatches: 0,
            answer_at: 0,
            ack_at: None,
            ack_bytes: 0,
            chunk_acks: Vec::new(),
            pump_at: None,
            job: None,
            queued: 0,
            serve: VecDeque::new(),
            serve_chunks: VecDeque::new(),
            flight: VecDeque::new(),
            in_flight: 0,
            window: FIRST_WINDOW,
            trip: 0,
            rate: 0,
            drain: 0,
            queued_at: 0,
            acked_at: 0,
            proven: 0,
            shy: false,
            unheard_since: None,
            silence: 0,
            asks: BTreeMap::new(),
            chunk_asks: BTreeMap::new(),
            credit: Credit { left: CREDIT, at: now, told_at: None, last: Offence::Unasked },
            gossip: Credit { left: CREDIT, at: now, told_at: None, last: Offence::Gossip },
        }
    }

    /// A link is up.
    pub(crate) fn connect(&mut self, now: u64) {
        self.connected = true;
        self.turn = now;
        self.unheard_since = Some(now);
    }

    /// Something came from the peer.
    pub(crate) fn hear(&mut self, now: u64) {
        self.heard_at = Some(now);
        if let Some(since) = self.unheard_since.take() {
            self.silence = now.saturating_sub(since);
        }
    }

    /// Takes silence for distance: whoever was not heard for a while does not answer sooner.
    pub(crate) fn listen(&mut self, now: u64) {
        if let Some(since) = self.unheard_since {
            self.silence = self.silence.max(now.saturating_sub(since));
        }
    }

    /// Whether an answer takes so long that none is waited for.
    pub(crate) fn is_far(&self) -> bool {
        self.silence >= FAR
    }

    /// Everything that belonged to a connection is gone with it.
    pub(crate) fn disconnect(&mut self) {
        self.connected = false;
        self.shy = self.in_flight > 0 && !self.is_far();
        self.proven = 0;
        self.unheard_since = None;
        self.told = None;
        self.offered.clear();
        self.hello_sent = None;
        self.ack_at = None;
        self.ack_bytes = 0;
        self.chunk_acks.clear();
        self.pump_at = None;
        self.job = None;
        self.queued = 0;
        self.serve.clear();
        self.serve_chunks.clear();
        self.flight.clear();
        self.in_flight = 0;
        self.window = if self.shy { LEAST_QUEUE } else { FIRST_WINDOW };
        self.asks.clear();
        self.chunk_asks.clear();
        let far = self.is_far();
        for lag in self.lag.values_mut() {
            let fresh = Lag::new(lag.theirs.clone(), 0);
            // What left for far away may well arrive: what follows it goes first, the next time.
            let next = if far { lag.next.max(fresh.next) } else { fresh.next };
            *lag = Lag { direct: lag.direct, next, ..fresh };
        }
    }

    /// Milliseconds after which what was sent counts as lost.
    pub(crate) fn patience(&self, least: u64) -> u64 {
        let trip = self.trip.max(self.silence.saturating_mul(2));
        least.max(trip.saturating_add(trip / 4).saturating_add(200))
    }

    /// Milliseconds that the answer to a request may take.
    pub(crate) fn ask_wait(&self, least: u64) -> u64 {
        self.patience(least).max(least.saturating_mul(3))
    }

    /// Milliseconds before try number `tries`.
    pub(crate) fn backoff(&self, least: u64, tries: u32) -> u64 {
        let wait = self.patience(least);
        wait.saturating_mul(1 << tries.min(12)).min(LONGEST_WAIT.max(wait))
    }

    /// The logs of one space in which the peer differs from us.
    pub(crate) fn lags_of(&self, tag: SpaceTag) -> impl Iterator<Item = (&LogKey, &Lag)> {
        let first = LogId { device: Default::default(), incarnation: Default::default() };
        self.lag.range((tag, first)..).take_while(move |(key, _)| key.0 == tag)
    }

    pub(crate) fn drop_lags_of(&mut self, tag: SpaceTag) {
        self.lag.retain(|key, _| key.0 != tag);
    }

    /// Bytes that may still be sent before an ack is needed.
    pub(crate) fn room(&self) -> usize {
        if self.flight.len() >= limit::FLIGHTS {
            return 0;
        }
        let window = if self.is_far() { limit::FAR_FLIGHT_BYTES } else { self.window };
        window.saturating_sub(self.in_flight)
    }

    // Bytes a millisecond that the link carries, as far as is known; rather too few.
    fn speed(&self) -> u64 {
        match (self.rate, self.drain) {
            (0, 0) => FIRST_RATE,
            (0, known) | (known, 0) => known,
            (rate, drain) => rate.min(drain),
        }
    }

    /// Bytes to load at once: half a second of the link; little, where the link is known to break.
    pub(crate) fn batch(&self, most: usize) -> usize {
        let half = usize::try_from(self.speed().saturating_mul(500)).unwrap_or(usize::MAX);
        let most = if self.shy { most.min(self.proven.max(SHY_BATCH)) } else { most };
        half.max(LEAST_BATCH).min(most).min(self.room().max(1))
    }

    /// What the carrier says of its queue, after it was given so many bytes more.
    pub(crate) fn note_queue(&mut self, now: u64, queued: usize, given: usize) {
        let elapsed = now.saturating_sub(self.queued_at);
        let left = self.queued.saturating_add(given).saturating_sub(queued) as u64;
        // An empty queue may have been so for a while, except at the moment when that is told.
        if elapsed > 0 && left > 0 && self.queued > 0 && (queued > 0 || given == 0) {
            self.drain = smooth(self.drain, (left / elapsed).max(1));
        }
        self.queued = queued;
        self.queued_at = now;
    }

    /// Bytes in the carrier's queue: what it said, less what has left since, it seems.
    fn queue(&self, now: u64) -> u64 {
        let left = now.saturating_sub(self.queued_at).saturating_mul(self.speed());
        (self.queued as u64).saturating_sub(left)
    }

    /// Whether the carrier's queue holds more than a second of the link.
    pub(crate) fn is_backed_up(&self, now: u64, most: usize) -> bool {
        let second = self.speed().saturating_mul(1000).clamp(LEAST_QUEUE as u64, most as u64);
        self.queue(now) > second
    }

    /// When the carrier's queue should have room, if it has none.
    pub(crate) fn room_at(&self, now: u64, most: usize) -> Option<u64> {
        let waits = self.job.is_none() && self.is_backed_up(now, most);
        waits.then(|| now.saturating_add((self.queue(now) / self.speed().max(1)).max(10)))
    }

    /// Milliseconds until the ack of what is sent now should be here.
    pub(crate) fn ack_wait(&self, now: u64, least: u64) -> u64 {
        let bytes = if self.is_far() { self.queue(now) } else { self.in_flight as u64 };
        self.patience(least).saturating_add(2 * bytes / self.speed().max(1))
    }

    /// Notes that something was handed to the carrier.
    pub(crate) fn sent(&mut self, now: u64, load: Load, bytes: usize, least: u64) {
        self.in_flight = self.in_flight.saturating_add(bytes);
        let deadline = now.saturating_add(self.patience(least)).saturating_add(self.ack_wait(now, least));
        self.flight.push_back(Flight { load, bytes, at: now, deadline });
    }

    /// Takes what `arrived` says has arrived out of what is under way, and widens the window.
    pub(crate) fn acked(&mut self, now: u64, widest: usize, arrived: impl Fn(&Load) -> bool) {
        let mut freed = 0;
        let mut at = None;
        self.flight.retain(|flight| {
            let done = arrived(&flight.load);
            if done {
                freed += flight.bytes;
                at = Some(flight.at);
            }
            !done
        });
        let Some(at) = at else { return };
        self.in_flight = self.in_flight.saturating_sub(freed);
        // What has arrived is not in the carrier's queue.
        self.queued = self.queued.min(self.in_flight);
        self.proven = self.proven.saturating_add(freed);
        self.window = self.window.saturating_add(freed).min(widest.max(LEAST_WINDOW));
        self.note_trip(now.saturating_sub(at));
        let took = now.saturating_sub(self.acked_at.max(at)).max(1);
        let rate = (freed as u64 / took).max(1);
        // What was sent after the last ack tells how long the way is, and only that the link is no slower.
        self.rate = if self.acked_at >= at { smooth(self.rate, rate) } else { self.rate.max(rate) };
        self.acked_at = now;
    }

    /// Something was answered after so many milliseconds.
    pub(crate) fn note_trip(&mut self, trip: u64) {
        self.trip = smooth(self.trip, trip.max(1));
    }

    /// Counts as lost what should have been acknowledged long ago.
    pub(crate) fn expire(&mut self, now: u64, least: u64) {
        // As long as acks come, the rest is still in the queue.
        if now < self.acked_at.saturating_add(2 * self.patience(least)) {
            return;
        }
        let mut lost = false;
        while let Some(first) = self.flight.front()
            && first.deadline <= now
        {
            self.in_flight = self.in_flight.saturating_sub(first.bytes);
            self.flight.pop_front();
            lost = true;
        }
        if lost {
            self.window = (self.window / 2).max(LEAST_WINDOW);
        }
    }

    /// When to look whether something is lost.
    pub(crate) fn expires_at(&self, least: u64) -> Option<u64> {
        let acked = self.acked_at.saturating_add(2 * self.patience(least));
        self.flight.front().map(|first| first.deadline.max(acked))
    }

    /// Charges for something; whether it is within the peer's bounds.
    pub(crate) fn charge(&mut self, now: u64, cost: u64, why: Offence) -> bool {
        if cost > 0 {
            self.credit.last = why;
        }
        self.credit.spend(now, cost)
    }

    /// Charges for gossip that it passed on; whether that is within the bounds.
    pub(crate) fn charge_gossip(&mut self, now: u64, cost: u64) -> bool {
        self.gossip.spend(now, cost)
    }

    /// Whether gossip that it passes on is listened to.
    pub(crate) fn gossip_within_bounds(&mut self, now: u64) -> bool {
        self.gossip.refill(now);
        self.gossip.left > 0
    }

    /// Whether the peer has credit left, so that it is listened to.
    pub(crate) fn within_bounds(&mut self, now: u64) -> bool {
        self.credit.refill(now);
        self.credit.left > 0
    }

    /// The offence to tell of, this one or the last, if it is time to: at most once a minute.
    pub(crate) fn tell_offence(&mut self, now: u64, why: Option<Offence>) -> Option<Offence> {
        let due = self.credit.told_at.is_none_or(|at| now.saturating_sub(at) >= 60_000);
        if due {
            self.credit.told_at = Some(now);
        }
        due.then(|| why.unwrap_or(self.credit.last))
    }
}

fn smooth(old: u64, new: u64) -> u64 {
    if old == 0 { new } else { (old.saturating_mul(3).saturating_add(new)) / 4 }
}

impl Credit {
    fn spend(&mut self, now: u64, cost: u64) -> bool {
        self.refill(now);
        let within = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        within
    }

    fn refill(&mut self, now: u64) {
        let refill = now.saturating_sub(self.at).saturating_mul(CREDIT_A_SECOND) / 1000;
        if refill > 0 {
            self.left = self.left.saturating_add(refill).min(CREDIT);
            self.at = now;
        }
    }
}
