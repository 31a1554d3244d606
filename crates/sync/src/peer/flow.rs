//! How much may be under way to a peer, how fast its link is, and when something is lost.

use super::{Flight, LEAST_QUEUE, LEAST_WINDOW, Load, Peer};
use crate::envelope::LogRange;
use crate::frontier::LogKey;
use crate::piece::Cut;
use base::limit;
use std::collections::BTreeMap;

/// Bytes a millisecond that a link is taken to carry before anything is known of it.
const FIRST_RATE: u64 = 256;
/// Bytes loaded at once at least, as long as links do not break.
const LEAST_BATCH: usize = 64 << 10;
/// Bytes loaded at once on a link that broke in the middle of something the last time: what is cut off
/// is sent again whole.
const SHY_BATCH: usize = 4 << 10;
/// Bytes of a part of a chunk or an entry, as long as links do not break.
const PART_BYTES: usize = 128 << 10;
/// Milliseconds without a byte leaving the carrier's queue, after which it is not taken to drain.
const STUCK: u64 = 1_000;
/// Milliseconds before what was sent to somebody far is sent again as long as the link has nothing else to do; twice
/// as long each time, up to a trip. An ack would take longer than several of them.
const FAR_AGAIN: u64 = 60_000;

impl Peer {
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
        half.max(LEAST_BATCH).min(self.at_once(most)).min(self.room().max(1))
    }

    // At most so many bytes at once; few, where the link is known to break. What was acknowledged since it came
    // up says that it may carry more: then no cut costs much beside what came before it.
    fn at_once(&self, most: usize) -> usize {
        if self.shy { most.min((self.proven / 4).max(SHY_BATCH)) } else { most }
    }

    /// Bytes of a chunk to send at once: what comes whole is not lost where a link breaks.
    pub(crate) fn part(&self) -> usize {
        self.at_once(PART_BYTES)
    }

    /// How entries are cut that are too large for that; for somebody far, by a random number.
    pub(crate) fn cut(&self, random: u64) -> Cut {
        let turn = self.is_far().then_some((random >> 32) as u32);
        Cut { part: self.part(), begun: self.begun.clone(), turn }
    }

    /// What the carrier says of its queue, after it was given so many bytes more.
    pub(crate) fn note_queue(&mut self, now: u64, queued: usize, given: usize) {
        let elapsed = now.saturating_sub(self.queued_at);
        let left = self.queued.saturating_add(given).saturating_sub(queued) as u64;
        // An empty queue may have been so for a while, except at the moment when that is told.
        if elapsed > 0 && left > 0 && self.queued > 0 && (queued > 0 || given == 0) {
            self.drain = smooth(self.drain, (left / elapsed).max(1));
        }
        if self.queued == 0 || left > 0 {
            self.stuck = false;
        } else if elapsed >= STUCK {
            self.stuck = true;
        }
        self.queued = queued;
        self.queued_at = now;
    }

    /// Bytes in the carrier's queue: what it said, less what has left since, it seems.
    fn queue(&self, now: u64) -> u64 {
        let elapsed = if self.stuck { 0 } else { now.saturating_sub(self.queued_at) };
        let left = elapsed.saturating_mul(self.speed());
        (self.queued as u64).saturating_sub(left)
    }

    /// Whether the carrier's queue holds more than a second of the link.
    pub(crate) fn is_backed_up(&self, now: u64, most: usize) -> bool {
        let second = self.speed().saturating_mul(1000).clamp(LEAST_QUEUE as u64, most as u64);
        self.queue(now) > second
    }

    /// When the carrier's queue should have room, if it has none.
    pub(crate) fn room_at(&self, now: u64, most: usize) -> Option<u64> {
        let waits = self.job.is_none() && !self.stuck && self.is_backed_up(now, most);
        waits.then(|| now.saturating_add((self.queue(now) / self.speed().max(1)).max(10)))
    }

    /// What somebody far is sent once more, as the link has nothing else to do: what waits longest. Half of the
    /// time is left to what may come.
    pub(crate) fn again(&mut self, now: u64) -> Option<Load> {
        if self.again_at(now).is_none_or(|at| at > now) {
            return None;
        }
        let (longest, speed) = (self.silence.max(FAR_AGAIN), self.speed().max(1));
        let flight = self.flight.iter_mut().min_by_key(|flight| flight.again_at)?;
        flight.repeats = flight.repeats.saturating_add(1);
        flight.again_at = now.saturating_add((FAR_AGAIN << flight.repeats.min(10)).min(longest));
        self.spare_at = now.saturating_add(2 * flight.bytes as u64 / speed);
        Some(flight.load)
    }

    /// When something may be sent once more, unless there is other work before.
    pub(crate) fn again_at(&self, now: u64) -> Option<u64> {
        if !self.is_far() || self.job.is_some() {
            return None;
        }
        let first = self.flight.iter().map(|flight| flight.again_at).min()?;
        let empty = now.saturating_add(self.queue(now) / self.speed().max(1));
        let busy = self.queue(now) > 0;
        if busy && self.stuck { None } else { Some(first.max(self.spare_at).max(empty + u64::from(busy))) }
    }

    /// Milliseconds until the ack of what is sent now should be here.
    pub(crate) fn ack_wait(&self, now: u64, least: u64) -> u64 {
        let bytes = if self.is_far() { self.queue(now) } else { self.in_flight as u64 };
        self.patience(least).saturating_add(2 * bytes / self.speed().max(1))
    }

    /// Notes that something was handed to the carrier.
    pub(crate) fn sent(&mut self, now: u64, load: Load, bytes: usize, least: u64) {
        // What is under way already does not weigh twice.
        if self.is_far()
            && let Some(known) = self.flight.iter_mut().find(|flight| flight.load.covers(&load))
        {
            known.at = now;
            known.repeats = known.repeats.max(1);
            return;
        }
        self.in_flight = self.in_flight.saturating_add(bytes);
        let deadline = now.saturating_add(self.patience(least)).saturating_add(self.ack_wait(now, least));
        let again_at = match load {
            // Where a single entry arrived is not told.
            Load::Entry(..) => u64::MAX,
            Load::Range { .. } | Load::Chunk { .. } => now.saturating_add(FAR_AGAIN),
        };
        self.flight.push_back(Flight { load, bytes, at: now, deadline, repeats: 0, again_at });
    }

    /// Takes what `arrived` says has arrived out of what is under way, and widens the window.
    pub(crate) fn acked(&mut self, now: u64, widest: usize, arrived: impl Fn(&Load) -> bool) {
        let mut freed = 0;
        let mut at = None;
        let mut once = true;
        self.flight.retain(|flight| {
            let done = arrived(&flight.load);
            if done {
                freed += flight.bytes;
                at = Some(flight.at);
                once = flight.repeats == 0;
            }
            !done
        });
        let Some(at) = at else { return };
        self.in_flight = self.in_flight.saturating_sub(freed);
        self.fruitful = true;
        // What has arrived is not in the carrier's queue.
        self.queued = self.queued.min(self.in_flight);
        self.stuck = false;
        self.proven = self.proven.saturating_add(freed);
        self.window = self.window.saturating_add(freed).min(widest.max(LEAST_WINDOW));
        // Of what was sent several times it is not known which is acknowledged.
        if once {
            self.note_trip(now.saturating_sub(at));
        }
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

    /// What of a request is not under way already: it was made before the peer can have seen what was sent within
    /// the last round trip.
    pub(crate) fn not_crossing(&self, now: u64, range: LogRange) -> Option<LogRange> {
        let trip = if self.is_far() { self.silence.saturating_mul(2) } else { self.trip };
        let since = now.saturating_sub(trip);
        let crossing = |flight: &Flight| match flight.load {
            Load::Range { range: sent, .. } if flight.at > since => {
                ((sent.tag, sent.log) == (range.tag, range.log)).then_some(sent)
            }
            _ => None,
        };
        let mut rest = range;
        for sent in self.flight.iter().rev().filter_map(crossing) {
            if sent.from <= rest.to && rest.to <= sent.to {
                rest.to = sent.from.checked_sub(1)?;
            }
        }
        for sent in self.flight.iter().filter_map(crossing) {
            if sent.from <= rest.from && rest.from <= sent.to {
                rest.from = sent.to.saturating_add(1);
            }
        }
        (rest.from <= rest.to).then_some(rest)
    }

    // The first place of each log that was handed to the carrier and, it seems, still waits there.
    pub(super) fn unsent(&self, now: u64) -> BTreeMap<LogKey, u64> {
        let mut waiting = self.queue(now);
        let mut unsent = BTreeMap::new();
        for flight in self.flight.iter().rev() {
            if waiting == 0 {
                break;
            }
            waiting = waiting.saturating_sub(flight.bytes as u64);
            if let Load::Range { range, .. } = flight.load {
                let first = unsent.entry((range.tag, range.log)).or_insert(range.from);
                *first = range.from.min(*first);
            }
        }
        unsent
    }
}

fn smooth(old: u64, new: u64) -> u64 {
    if old == 0 { new } else { (old.saturating_mul(3).saturating_add(new)) / 4 }
}
