//! Links: how long an envelope is under way, what gets lost, and when there is no link at all.

use crate::run::Event;
use crate::world::World;
use sync::Envelope;

/// How a link behaves, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Milliseconds one way.
    pub latency: u64,
    /// Envelopes lost, in thousandths.
    pub loss: u64,
    /// Bytes a millisecond.
    pub bandwidth: u64,
}

impl Link {
    /// Two machines in one house.
    pub const LAN: Link = Link { latency: 1, loss: 0, bandwidth: 50_000 };
    /// Two houses.
    pub const WAN: Link = Link { latency: 40, loss: 0, bandwidth: 2_000 };
}

/// One direction of a link that is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) link: Link,
    pub(crate) session: u64,
    /// When the last byte that was handed over leaves, in microseconds.
    busy: u64,
    /// After so many bytes more the link breaks.
    pub(crate) breaks_after: Option<u64>,
    /// When it is told that the queue is empty.
    drained_at: u64,
}

/// A link that keeps breaking, at random bytes of what goes from its first end to its second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaks {
    pub(crate) left: u64,
    /// Bytes from one break to the next, on the average.
    pub(crate) mean: u64,
    /// Milliseconds until it is there again.
    pub(crate) pause: u64,
}

impl Wire {
    pub(crate) fn new(link: Link, session: u64) -> Wire {
        Wire { link, session, busy: 0, breaks_after: None, drained_at: 0 }
    }

    fn queued(&self, now: u64) -> usize {
        let micros = self.busy.saturating_sub(now * 1000);
        usize::try_from(micros * self.link.bandwidth / 1000).unwrap_or(usize::MAX)
    }

    /// Takes bytes; when the last of them leaves, in microseconds.
    fn take(&mut self, now: u64, bytes: u64) -> u64 {
        self.busy = self.busy.max(now * 1000) + (bytes * 1000).div_ceil(self.link.bandwidth.max(1));
        self.busy
    }
}

impl World {
    /// The bytes that wait at one end of a link.
    pub fn queued(&self, i: usize, to: usize) -> usize {
        self.links[i].get(&to).map_or(0, |wire| wire.queued(self.now))
    }

    /// Whether there is a link.
    pub fn is_linked(&self, i: usize, j: usize) -> bool {
        self.links[i].contains_key(&j)
    }

    /// Puts an envelope on the wire.
    pub fn send(&mut self, i: usize, to: usize, envelope: &Envelope) {
        let now = self.now;
        let Some(wire) = self.links[i].get_mut(&to) else { return };
        let bytes = envelope.encode();
        let size = bytes.len() as u64;
        *self.counts.envelopes.entry(envelope.word()).or_default() += 1;
        *self.counts.bytes.entry(envelope.word()).or_default() += size;
        let before = wire.busy.max(now * 1000);
        let left = wire.take(now, size).div_ceil(1000);
        let (link, session) = (wire.link, wire.session);
        // What is beyond the break never leaves; the rest of the session is lost with it.
        let broken = match &mut wire.breaks_after {
            Some(rest) if *rest < size => {
                let at = (before + *rest * 1000 / link.bandwidth.max(1)) / 1000;
                *rest = 0;
                Some(at)
            }
            Some(rest) => {
                *rest -= size;
                None
            }
            None => None,
        };
        let queued = wire.queued(now);
        self.counts.worst_queue = self.counts.worst_queue.max(queued);
        let drained = left > wire.drained_at && queued > 0;
        if drained {
            wire.drained_at = left;
        }
        if let Some(at) = broken {
            self.schedule(at, Event::Break { a: i, b: to, session });
        }
        if drained {
            self.schedule(left, Event::Drained { node: i, to, session });
        }
        self.fold_bytes(&bytes);
        self.audit_sent(i, to, left, envelope, size);
        let lost = self.below(1000) < link.loss || self.one_way.contains(&(i, to));
        if lost && broken.is_none() {
            self.audit_lost(i, to, envelope);
        }
        if !lost && broken.is_none() {
            let event = Event::Arrive { from: i, to, session, left, bytes };
            self.schedule(left + link.latency, event);
        }
    }

    /// Brings a link up, if both run and there is none.
    pub fn connect(&mut self, i: usize, j: usize, link: Link) {
        if !self.nodes[i].up || !self.nodes[j].up || self.is_linked(i, j) || i == j {
            return;
        }
        self.sessions += 1;
        for (a, b) in [(i, j), (j, i)] {
            self.links[a].insert(b, Wire::new(link, self.sessions));
        }
        for (a, b) in [(i, j), (j, i)] {
            let peer = self.nodes[b].id;
            self.step(a, sync::Input::Connected { peer });
        }
    }

    /// Takes a link down. What is under way is lost, except on a radio link.
    pub fn cut(&mut self, i: usize, j: usize) {
        let Some(wire) = self.links[i].remove(&j) else { return };
        self.links[j].remove(&i);
        let radio = self.radio.contains(&(i.min(j), i.max(j)));
        if radio {
            self.closed.insert(wire.session, self.now);
        }
        for (a, b) in [(i, j), (j, i)] {
            let peer = self.nodes[b].id;
            self.audit_cut(a, b, !radio);
            if self.nodes[a].up {
                self.step(a, sync::Input::Disconnected { peer });
            }
        }
    }

    /// What has left one end of this link arrives at the other, whatever happens meanwhile.
    pub fn radio(&mut self, i: usize, j: usize) {
        self.radio.insert((i.min(j), i.max(j)));
    }

    /// The link that is up breaks after so many bytes more from `i` to `j`.
    pub fn break_after(&mut self, i: usize, j: usize, bytes: u64) {
        if let Some(wire) = self.links[i].get_mut(&j) {
            wire.breaks_after = Some(bytes);
        }
    }

    /// Lets a link that keeps breaking do so once more.
    pub(crate) fn next_break(&mut self, i: usize, j: usize) {
        let Some(breaks) = self.breaks.get(&(i, j)).copied().filter(|breaks| breaks.left > 0) else { return };
        let after = self.below(2 * breaks.mean);
        if let Some(breaks) = self.breaks.get_mut(&(i, j)) {
            breaks.left -= 1;
        }
        self.break_after(i, j, after);
    }

    /// A link broke: it comes back after a while.
    pub(crate) fn broke(&mut self, i: usize, j: usize, link: Link) {
        if let Some(breaks) = self.breaks.get(&(i, j)) {
            let at = self.now + breaks.pause;
            self.schedule(at, Event::Link { a: i, b: j, link: Some(link) });
        }
    }

    /// From now on nothing gets from `j` to `i`.
    pub fn silence(&mut self, j: usize, i: usize) {
        self.one_way.insert((j, i));
    }

    /// Connects each of them with each other.
    pub fn mesh(&mut self, members: &[usize], link: Link) {
        for (n, &i) in members.iter().enumerate() {
            for &j in &members[n + 1..] {
                self.connect(i, j, link);
            }
        }
    }

    /// Whether an envelope of this session still gets through.
    pub(crate) fn gets_through(&self, from: usize, to: usize, session: u64, left: u64) -> bool {
        self.nodes[to].up
            && (self.links[from].get(&to).is_some_and(|wire| wire.session == session)
                || self.closed.get(&session).is_some_and(|at| left <= *at))
    }
}
