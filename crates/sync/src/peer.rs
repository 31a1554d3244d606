//! What is known of one peer, and what is under way to it and from it.

use crate::compare::{Answering, Asking};
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
    pub(crate) to: u64,
    /// When it was asked for, or last brought something.
    pub(crate) at: u64,
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
    pub(crate) hello_at: u64,
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
    /// Smoothed bytes a millisecond that were acknowledged.
    rate: u64,
    acked_at: u64,
    pub(crate) asks: BTreeMap<LogKey, Ask>,
    pub(crate) chunk_asks: BTreeMap<(SpaceTag, ChunkId), u64>,
    /// The comparison of a log that I began with it, and the one that it began with me.
    pub(crate) comparing: Option<Asking>,
    pub(crate) answering: Option<Answering>,
    /// The last log that I compared, when the next may be, and how many came to nothing.
    pub(crate) compared: Option<LogKey>,
    pub(crate) compare_at: u64,
    pub(crate) compare_tries: u32,
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
            hello_at: u64::MAX,
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
            rate: FIRST_RATE,
            acked_at: 0,
            asks: BTreeMap::new(),
            chunk_asks: BTreeMap::new(),
            comparing: None,
            answering: None,
            compared: None,
            compare_at: 0,
            compare_tries: 0,
            credit: Credit { left: CREDIT, at: now, told_at: None, last: Offence::Unasked },
            gossip: Credit { left: CREDIT, at: now, told_at: None, last: Offence::Gossip },
        }
    }

    /// Everything that belonged to a connection is gone with it.
    pub(crate) fn disconnect(&mut self) {
        self.connected = false;
        self.told = None;
        self.offered.clear();
        self.hello_at = u64::MAX;
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
        self.window = FIRST_WINDOW;
        self.asks.clear();
        self.chunk_asks.clear();
        self.comparing = None;
        self.answering = None;
        for lag in self.lag.values_mut() {
            *lag = Lag { direct: lag.direct, ..Lag::new(lag.theirs.clone(), 0) };
        }
    }

    /// Milliseconds after which what was sent counts as lost.
    pub(crate) fn patience(&self, least: u64) -> u64 {
        least.max(self.trip.saturating_mul(2).saturating_add(200))
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
        self.window.saturating_sub(self.in_flight)
    }

    /// Bytes to load at once: half a second of the link.
    pub(crate) fn batch(&self, most: usize) -> usize {
        let half = usize::try_from(self.rate.saturating_mul(500)).unwrap_or(usize::MAX);
        half.clamp(64 << 10, most).min(self.room().max(1))
    }

    /// Whether the carrier's queue holds more than a second of the link.
    pub(crate) fn is_backed_up(&self, most: usize) -> bool {
        let second = usize::try_from(self.rate.saturating_mul(1000)).unwrap_or(usize::MAX);
        self.queued > second.clamp(LEAST_WINDOW, most)
    }

    /// Milliseconds until the ack of what is sent now should be here.
    pub(crate) fn ack_wait(&self, least: u64) -> u64 {
        self.patience(least).saturating_add(2 * self.in_flight as u64 / self.rate.max(1))
    }

    /// Notes that something was handed to the carrier.
    pub(crate) fn sent(&mut self, now: u64, load: Load, bytes: usize, least: u64) {
        self.in_flight = self.in_flight.saturating_add(bytes);
        let deadline = now.saturating_add(self.patience(least)).saturating_add(self.ack_wait(least));
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
        self.window = self.window.saturating_add(freed).min(widest.max(LEAST_WINDOW));
        let smooth = |old: u64, new: u64| (old * 3 + new) / 4;
        let trip = now.saturating_sub(at);
        self.trip = if self.trip == 0 { trip } else { smooth(self.trip, trip) };
        let took = now.saturating_sub(self.acked_at.max(at)).max(1);
        self.rate = smooth(self.rate, freed as u64 / took).max(1);
        self.acked_at = now;
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
            self.queued = self.queued.min(self.in_flight);
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
