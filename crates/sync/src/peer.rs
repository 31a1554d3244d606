//! What is known of one peer, and what is under way to it and from it.

mod flow;

use crate::compare::{Answering, Asking};
use crate::envelope::{LogRange, Tip, Tips};
use crate::frontier::LogKey;
use crate::io::Offence;
use crate::piece::Pieces;
use base::{ChunkId, Hash, LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes under way before the first ack.
const FIRST_WINDOW: usize = 1 << 20;
/// Bytes under way that are allowed however badly it goes.
const LEAST_WINDOW: usize = 256 << 10;
/// Bytes that may wait in the carrier's queue however slow the link is; and under way on a link that broke
/// the last time, before the first ack.
const LEAST_QUEUE: usize = 64 << 10;
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
    /// When what was sent is sent again, if no ack comes.
    pub(crate) retry_at: u64,
    /// Whether the peer has spoken since the link came up; before it has, what it lacks is a guess.
    pub(crate) confirmed: bool,
    /// Places below this were sent on an earlier connection, far away, and may have arrived since.
    pub(crate) doubt: Option<u64>,
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
        self.next > Lag::after(&self.theirs)
    }

    /// The place after the highest of these tips.
    pub(crate) fn after(tips: &[Tip]) -> u64 {
        tips.last().map_or(0, |(seq, _)| seq.saturating_add(1))
    }

    pub(crate) fn new(theirs: Tips, due: u64) -> Lag {
        let next = Lag::after(&theirs);
        Lag {
            theirs,
            next,
            due,
            retry_at: u64::MAX,
            confirmed: true,
            doubt: None,
            tries: 0,
            direct: false,
            own: false,
            offered: None,
            ask_at: 0,
            ask_tries: 0,
        }
    }
}

/// What an output that the node works on was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Range {
        range: LogRange,
        asked: bool,
    },
    Entry(SpaceTag, Hash),
    /// A chunk from a place on.
    Chunk {
        tag: SpaceTag,
        id: ChunkId,
        from: u64,
    },
}

impl Load {
    /// Whether it includes all of another.
    fn covers(&self, other: &Load) -> bool {
        match (self, other) {
            (Load::Range { range: mine, .. }, Load::Range { range, .. }) => {
                (mine.tag, mine.log) == (range.tag, range.log)
                    && mine.from <= range.from
                    && range.to <= mine.to
            }
            (Load::Entry(..), Load::Entry(..)) => self == other,
            (Load::Chunk { tag, id, from }, Load::Chunk { tag: other, id: chunk, from: later }) => {
                (tag, id) == (other, chunk) && from <= later
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) load: Load,
    pub(crate) bytes: usize,
    pub(crate) at: u64,
    /// When it counts as lost, if no other ack comes.
    deadline: u64,
    /// How often it was sent again, and when that may be next; only to somebody far.
    repeats: u32,
    again_at: u64,
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

/// The beginning of a chunk.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) key: (SpaceTag, ChunkId),
    pub(crate) whole: u64,
    pub(crate) bytes: Vec<u8>,
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
    /// What has come of a chunk that came in parts; it outlives the link.
    pub(crate) partial: Option<Partial>,
    /// What has come of entries that came in pieces; it outlives the link.
    pub(crate) pieces: Pieces,
    /// Entries of which it said on this connection that it has so many bytes.
    pub(crate) begun: BTreeMap<Hash, u64>,
    pub(crate) heard_at: Option<u64>,
    /// Whether the link, or the last one, brought either side further: an ack, an entry or a chunk.
    pub(crate) fruitful: bool,
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
    /// Nothing had left the queue when it was told last: it is not taken to drain by itself.
    stuck: bool,
    acked_at: u64,
    /// When the link may be used again for what was sent to somebody far already.
    spare_at: u64,
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
            partial: None,
            pieces: Pieces::default(),
            begun: BTreeMap::new(),
            heard_at: None,
            fruitful: false,
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
            stuck: false,
            acked_at: 0,
            spare_at: 0,
            proven: 0,
            shy: false,
            unheard_since: None,
            silence: 0,
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

    /// Whether it has what we have, as far as it could be asked, and nothing is under way to it or from it.
    pub(crate) fn is_at_rest(&self) -> bool {
        let asked = self.asks.is_empty() && self.chunk_asks.is_empty();
        let sent = self.flight.is_empty() && self.serve.is_empty() && self.serve_chunks.is_empty();
        let same = self.mismatches == 0 && self.lag.is_empty();
        same && asked && sent && self.comparing.is_none() && self.answering.is_none()
    }

    /// A link is up. A peer that is near will say at once where it stands; far away nothing waits for that.
    pub(crate) fn connect(&mut self, now: u64, least: u64) {
        let (far, wait) = (self.is_far(), now.saturating_add(self.patience(least)));
        for lag in self.lag.values_mut() {
            if far {
                lag.due = now;
                lag.retry_at = if lag.doubt.is_some() { wait } else { u64::MAX };
            } else {
                lag.due = wait;
                lag.confirmed = false;
            }
        }
        self.connected = true;
        self.fruitful = false;
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
    pub(crate) fn disconnect(&mut self, now: u64) {
        let unsent = self.unsent(now);
        self.connected = false;
        // One that ended before it carried anything says nothing of what links can carry.
        self.shy = (self.in_flight > 0 || (self.shy && self.proven == 0)) && !self.is_far();
        self.proven = 0;
        self.unheard_since = None;
        self.told = None;
        self.offered.clear();
        self.begun.clear();
        self.hello_sent = None;
        self.ack_at = None;
        self.ack_bytes = 0;
        self.chunk_acks.clear();
        self.pump_at = None;
        self.job = None;
        self.queued = 0;
        self.stuck = false;
        self.serve.clear();
        self.serve_chunks.clear();
        self.flight.clear();
        self.in_flight = 0;
        self.window = if self.shy { LEAST_QUEUE } else { FIRST_WINDOW };
        self.asks.clear();
        self.chunk_asks.clear();
        self.comparing = None;
        self.answering = None;
        let far = self.is_far();
        for (key, lag) in &mut self.lag {
            let fresh = Lag::new(lag.theirs.clone(), 0);
            // What left for far away may well arrive: what follows it goes first, the next time.
            let left = unsent.get(key).map_or(lag.next, |first| lag.next.min(*first));
            let next = if far { left.max(fresh.next) } else { fresh.next };
            let doubt = (next > fresh.next).then_some(next);
            *lag = Lag { direct: lag.direct, next, doubt, ..fresh };
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
        Peer::backed_off(self.patience(least), tries)
    }

    /// A wait that doubles with every try, up to a bound; one that is longer anyway stays as it is.
    pub(crate) fn backed_off(wait: u64, tries: u32) -> u64 {
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
