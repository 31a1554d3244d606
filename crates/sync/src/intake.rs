//! Entries on their way in: duplicate, gap or news; and what becomes of those delivered.

use crate::envelope::Tip;
use crate::frontier::{LogKey, highest_tips};
use crate::held::Waiting;
use crate::io::{Offence, Origin, Output, PeerId};
use crate::machine::Sync;
use base::{Entry, EntryKind, Hash, SpaceId, SpaceTag, limit};

/// Entries delivered and not answered for; more than that wait at their sender.
const UNANSWERED: usize = 65_536;

/// Milliseconds before a log in which all was asked for, and not all came, is searched for a fork again.
const WALK_AGAIN: u64 = 30_000;

/// The space of an entry; a genesis cannot name it, but its hash does.
fn tag_of(entry: &Entry) -> SpaceTag {
    if entry.header().is_genesis() { SpaceId(entry.hash().0).tag() } else { entry.header().tag }
}

impl Sync {
    /// Entries on a link.
    pub(crate) fn on_entries(&mut self, now: u64, id: PeerId, entries: Vec<Vec<u8>>, out: &mut Vec<Output>) {
        let mut wasted = 0;
        for bytes in entries {
            let size = bytes.len() as u64;
            let Ok(entry) = Entry::decode(bytes) else {
                if !self.charge(now, id, 500, Offence::NoEntry, out) {
                    return;
                }
                continue;
            };
            let tag = tag_of(&entry);
            // What is of no shared space may have been under way when that changed.
            let shared = self.peers.get(&id).is_some_and(|peer| peer.shared.contains(&tag));
            if !shared || !self.take(now, Origin::Link(id), tag, entry, out) {
                wasted += 1024 + size;
            }
        }
        self.charge(now, id, wasted / 4096, Offence::NoEntry, out);
        self.flush_if_heavy(now, id, out);
    }

    /// Entries by gossip of a space: its content and nothing else. What is in clear is kept for ever
    /// and comes on the links, from somebody who holds it to be valid.
    pub(crate) fn on_gossiped(
        &mut self,
        now: u64,
        via: PeerId,
        tag: SpaceTag,
        entries: Vec<Vec<u8>>,
        out: &mut Vec<Output>,
    ) {
        let origin = Origin::Gossip(via);
        let mut wasted = if entries.is_empty() { 1024 } else { 0 };
        for bytes in entries {
            let size = bytes.len() as u64;
            let Ok(entry) = Entry::decode(bytes) else {
                if !self.charge_origin(now, origin, 500, Offence::NoEntry, out) {
                    return;
                }
                continue;
            };
            let fits = entry.header().kind == EntryKind::Content && tag_of(&entry) == tag;
            if !fits || !self.take(now, origin, tag, entry, out) {
                wasted += 1024 + size;
            }
        }
        self.charge_origin(now, origin, wasted.div_ceil(4096), Offence::NoEntry, out);
    }

    // False if it is a duplicate.
    fn take(&mut self, now: u64, from: Origin, tag: SpaceTag, entry: Entry, out: &mut Vec<Output>) -> bool {
        let (log, seq, prev) = (entry.header().log, entry.header().seq, entry.header().prev);
        let key = (tag, log);
        let tip = (seq, entry.hash());
        self.progress(now, from, &key, seq);
        let known = self.spaces.log(&key);
        if known.is_some_and(|log| log.knows(&tip)) {
            self.owe_ack(now, from, &key, 0);
            return false;
        }
        let before = prev.and_then(|prev| Some((seq.checked_sub(1)?, prev)));
        let follows = match (before, known) {
            (None, _) => true,
            (Some(_), None) => false,
            // Where the recent past does not reach, the node looks into the store.
            (Some(before), Some(log)) => {
                log.knows(&before)
                    || ((!log.sees(before.0) || log.sum.is_some()) && log.expected() > before.0)
            }
        };
        if follows {
            self.deliver(now, from, tag, entry, out);
        } else {
            self.hold(now, from, tag, entry, out);
        }
        true
    }

    fn deliver(&mut self, now: u64, from: Origin, tag: SpaceTag, entry: Entry, out: &mut Vec<Output>) {
        let mut ready = vec![(from, tag, entry)];
        while let Some((from, tag, entry)) = ready.pop() {
            let key = (tag, entry.header().log);
            let tip = (entry.header().seq, entry.hash());
            if self.unanswered >= UNANSWERED {
                return;
            }
            let Some(log) = self.spaces.log_mut(&key) else { continue };
            if log.knows(&tip) {
                continue;
            }
            log.pending.insert(tip, from);
            self.unanswered += 1;
            self.progress(now, from, &key, tip.0);
            out.push(Output::Deliver { from: from.link(), tag, entry });
            ready.extend(self.followers(&key, &tip));
        }
    }

    fn followers(&mut self, key: &LogKey, tip: &Tip) -> Vec<(Origin, SpaceTag, Entry)> {
        let fits = |w: &Waiting| {
            let header = w.entry.header();
            (w.tag, header.log) == *key && tip.0.checked_add(1) == Some(header.seq)
        };
        self.held.take(&tip.1).into_iter().filter(fits).map(|w| (w.from, w.tag, w.entry)).collect()
    }

    fn release(&mut self, now: u64, key: &LogKey, tip: &Tip, out: &mut Vec<Output>) {
        for (from, tag, entry) in self.followers(key, tip) {
            self.deliver(now, from, tag, entry, out);
        }
    }

    // Keeps an entry that is ahead, and asks for what is between.
    fn hold(&mut self, now: u64, from: Origin, tag: SpaceTag, entry: Entry, out: &mut Vec<Output>) {
        let header = entry.header();
        let (key, seq) = ((tag, header.log), header.seq);
        let Some(prev) = header.prev else { return };
        let by_gossip = matches!(from, Origin::Gossip(_));
        let kept = self.held.put(now, from, tag, entry);
        // A bundle: nobody can be asked for what is between, nor for this again.
        let bundled = from.link().filter(|id| !self.peers.get(id).is_some_and(|peer| peer.connected));
        if let Some(id) = bundled {
            self.keep_held(now, Some(id), out);
        }
        if !kept || by_gossip {
            self.charge_origin(now, from, 20, Offence::Gaps, out);
        }
        // Anybody may have made gossip up: for its sake nobody is asked for a log that no one else has
        // named, nor for the same entries again.
        let known = self.spaces.log(&key).is_some() || self.peers.values().any(|p| p.lag.contains_key(&key));
        if self.is_asked(&key) || (by_gossip && !(kept && known)) {
            return;
        }
        let (last, _) = self.held.lacking_below((seq.saturating_sub(1), prev));
        let expected = self.spaces.log(&key).map_or(0, crate::frontier::Log::expected);
        let first = if expected <= last {
            expected
        } else if by_gossip {
            return;
        } else {
            // A fork somewhere below: look further back each time. Whoever has holes themselves may have nothing
            // further back either.
            let Some(log) = self.spaces.log_mut(&key) else { return };
            let again = log.walked_at + WALK_AGAIN;
            if log.walk > last && now < again {
                // What was asked for came, and cannot be used yet: to ask for it again would bring the same.
                if let Some(lag) = from.link().and_then(|id| self.peers.get_mut(&id)?.lag.get_mut(&key)) {
                    lag.ask_at = lag.ask_at.max(again);
                }
                return;
            }
            if log.walk > last {
                log.walk = 0;
            }
            log.walked_at = now;
            let first = last.saturating_sub(log.walk);
            log.walk = log.walk.saturating_mul(2).saturating_add(1);
            first
        };
        self.ask_for_gap(now, from, key, first, last, out);
    }

    pub(crate) fn on_stored(
        &mut self,
        now: u64,
        key: LogKey,
        tip: Tip,
        prev: Option<Hash>,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        self.forget_pieces(&tip.1);
        let answer = self.answered(&key, &tip);
        let local = answer.is_none() && key.1.device == self.me;
        self.compared_one(now, &key.0, &tip.1, out);
        let Some(before) = self.spaces.add(key, tip.0, tip.1, prev, bytes) else {
            self.release(now, &key, &tip, out);
            return;
        };
        let large = bytes > limit::GOSSIP_BYTES;
        let by_gossip = (local && !large) || matches!(answer, Some(Origin::Gossip(_)));
        if let Some(log) = self.spaces.log_mut(&key) {
            log.walk = 0;
            if by_gossip {
                let after = self.config.push_after;
                if log.fresh_at.is_none_or(|at| now.saturating_sub(at) >= after) {
                    log.fresh_from = tip.0;
                }
                log.fresh_from = log.fresh_from.min(tip.0);
                log.fresh_at = Some(now);
            }
        }
        let due = match answer {
            _ if local && large => now,
            // The hellos acknowledge it, or show that it got lost; what never speaks is pushed to.
            _ if local => now + self.config.hello_period + self.config.jitter + self.config.push_after,
            // Others heard it as well; the hello tells who did not.
            Some(Origin::Gossip(_)) => now + self.config.hello_period * 3 / 2,
            _ => now + self.config.forward_after,
        };
        self.note_fruit(answer);
        let sender = match answer {
            Some(Origin::Link(id)) => Some(id),
            _ => (!local).then_some(key.1.device),
        };
        self.note_stored(now, key, before, tip, prev, sender, local, due, out);
        if let Some(from) = answer {
            self.owe_ack(now, from, &key, bytes);
        }
        if let Some(Origin::Link(id)) = answer {
            self.flush_if_heavy(now, id, out);
        }
        self.release(now, &key, &tip, out);
    }

    /// As `on_stored`, of an entry that was missing below others: the tips say as much as before, or less.
    pub(crate) fn on_filled(
        &mut self,
        now: u64,
        key: LogKey,
        tip: Tip,
        prev: Option<Hash>,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        self.forget_pieces(&tip.1);
        let answer = self.answered(&key, &tip);
        self.note_fruit(answer);
        if let Some(before) = self.spaces.fill(key, tip, prev, bytes)
            && before != self.spaces.tips(&key)
        {
            let due = now + self.config.forward_after;
            self.note_stored(now, key, before, tip, prev, answer.and_then(Origin::link), false, due, out);
        }
        if let Some(from) = answer {
            self.owe_ack(now, from, &key, bytes);
        }
        self.compared_one(now, &key.0, &tip.1, out);
        self.release(now, &key, &tip, out);
    }

    // What came on a link was news: that link was worth making.
    fn note_fruit(&mut self, from: Option<Origin>) {
        let peer = from.and_then(Origin::link).and_then(|id| self.peers.get_mut(&id));
        if let Some(peer) = peer {
            peer.fruitful = true;
        }
    }

    /// An entry is durable: what that means for what each peer lacks.
    #[allow(clippy::too_many_arguments)]
    fn note_stored(
        &mut self,
        now: u64,
        key: LogKey,
        before: Vec<Tip>,
        tip: Tip,
        prev: Option<Hash>,
        sender: Option<PeerId>,
        local: bool,
        due: u64,
        out: &mut Vec<Output>,
    ) {
        let mut listeners = false;
        let mut ready = Vec::new();
        let mine = self.spaces.tips(&key);
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.shared.contains(&key.0)) {
            listeners |= peer.connected;
            if peer.connected {
                peer.untold.insert(key);
                peer.pump_at = Some(peer.pump_at.unwrap_or(u64::MAX).min(due));
                if due <= now {
                    ready.push(*id);
                }
            }
            let has = sender == Some(*id);
            match peer.lag.get_mut(&key) {
                Some(lag) => {
                    if has {
                        peer.mismatches = 0;
                        advance(&mut lag.theirs, tip, prev);
                    } else {
                        // What is new need not wait for the acks of what went before.
                        let all_sent =
                            lag.is_under_way() && before.last().is_none_or(|(top, _)| lag.next > *top);
                        lag.direct |= local;
                        if lag.offered.is_none() && lag.confirmed && (all_sent || (local && lag.tries == 0)) {
                            lag.due = lag.due.min(due);
                        }
                    }
                    if lag.theirs == mine {
                        peer.lag.remove(&key);
                    }
                }
                None if has => {}
                // A branch below those that are named changes nothing that could be told.
                None if peer.known.contains(&key.0) && before != mine => {
                    peer.synced.remove(&key.0);
                    let lag = crate::peer::Lag::new(before.clone(), due);
                    peer.lag
                        .insert(key, crate::peer::Lag { direct: local, own: local && peer.connected, ..lag });
                }
                None => {}
            }
        }
        let ids: Vec<PeerId> =
            self.peers.iter().filter(|(_, p)| p.shared.contains(&key.0)).map(|(id, _)| *id).collect();
        for id in ids {
            self.check_synced(id, Some(key.0), out);
        }
        if local && listeners {
            self.publish(key, tip, due <= now, out);
        }
        for id in ready {
            self.pump(now, id, out);
        }
    }

    fn publish(&self, key: LogKey, tip: Tip, large: bool, out: &mut Vec<Output>) {
        let announcement = large.then(|| {
            let logs = vec![(key.1, self.spaces.tips(&key).to_vec())];
            let delta = crate::envelope::SpaceDelta { tag: key.0, whole: false, logs };
            crate::envelope::Envelope::Frontier(crate::envelope::Frontier {
                deltas: vec![delta],
                ..Default::default()
            })
        });
        out.push(Output::Gossip { tag: key.0, log: key.1, seq: tip.0, hash: tip.1, announcement });
    }

    // Takes an entry off the list of those delivered; who sent it, if it was on it.
    fn answered(&mut self, key: &LogKey, tip: &Tip) -> Option<Origin> {
        let space = self.spaces.by_tag.get_mut(&key.0)?;
        let log = space.logs.get_mut(&key.1)?;
        let from = log.pending.remove(tip);
        if from.is_some() {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        if log.tips.is_empty() && log.pending.is_empty() && log.walk == 0 {
            space.logs.remove(&key.1);
        }
        from
    }

    pub(crate) fn on_known(&mut self, now: u64, key: LogKey, tip: Tip, out: &mut Vec<Output>) {
        self.forget_pieces(&tip.1);
        if let Some(from) = self.answered(&key, &tip) {
            self.owe_ack(now, from, &key, 0);
        }
        self.compared_one(now, &key.0, &tip.1, out);
        self.release(now, &key, &tip, out);
    }

    /// An entry that came too early is durable: it waits on, whatever becomes of whoever brought it. If
    /// what it waits for came meanwhile, it goes on its way.
    pub(crate) fn on_kept(&mut self, now: u64, tag: SpaceTag, entry: Entry, out: &mut Vec<Output>) {
        let (key, tip) = ((tag, entry.header().log), (entry.header().seq, entry.hash()));
        let here = self.spaces.log(&key).is_some_and(|log| log.knows(&tip));
        if !here && self.spaces.by_tag.contains_key(&tag) {
            self.take(now, Origin::Kept, tag, entry, out);
        }
    }

    pub(crate) fn on_missing(
        &mut self,
        now: u64,
        from: Option<PeerId>,
        tag: SpaceTag,
        entry: Entry,
        out: &mut Vec<Output>,
    ) {
        let key = (tag, entry.header().log);
        let origin = self.answered(&key, &(entry.header().seq, entry.hash()));
        let Some(from) = origin.or(from.map(Origin::Link)) else { return };
        if !self.charge_origin(now, from, 10, Offence::Gaps, out) {
            return;
        }
        self.hold(now, from, tag, entry, out);
    }

    /// Keeps an entry that cannot be judged yet. It stays among the delivered, so that it is neither
    /// asked for nor delivered twice.
    pub(crate) fn on_waits(&mut self, now: u64, tag: SpaceTag, entry: Entry, out: &mut Vec<Output>) {
        let (key, tip) = ((tag, entry.header().log), (entry.header().seq, entry.hash()));
        let delivered = self.spaces.log(&key).and_then(|log| log.pending.get(&tip).copied());
        let Some(from) = delivered else { return };
        if !self.waits.put(now, from, tag, entry) {
            self.answered(&key, &tip);
            // On a link it may be all that a friend has to give; it comes again.
            if from.link().is_none() {
                self.charge_origin(now, from, 20, Offence::Gaps, out);
            }
        }
    }

    pub(crate) fn retry_waiting(&mut self, now: u64, out: &mut Vec<Output>) {
        let waiting = self.waits.take_all();
        for w in &waiting {
            self.answered(&(w.tag, w.entry.header().log), &(w.entry.header().seq, w.entry.hash()));
        }
        for w in waiting {
            if self.spaces.by_tag.contains_key(&w.tag) {
                self.take(now, w.from, w.tag, w.entry, out);
            }
        }
    }

    fn keep_held(&mut self, now: u64, at_once: Option<PeerId>, out: &mut Vec<Output>) {
        let keep = self.held.due_to_keep(now, at_once).into_iter();
        out.extend(keep.map(|(tag, entry)| Output::Keep { tag, entry }));
    }

    /// Gives up what has waited for too long: it will be asked for again.
    pub(crate) fn expire_held(&mut self, now: u64, out: &mut Vec<Output>) {
        self.keep_held(now, None, out);
        self.held.expire(now);
        for w in self.waits.take_expired(now) {
            self.answered(&(w.tag, w.entry.header().log), &(w.entry.header().seq, w.entry.hash()));
        }
    }

    pub(crate) fn on_refused(&mut self, now: u64, key: LogKey, tip: Tip, out: &mut Vec<Output>) {
        if let Some(from) = self.answered(&key, &tip) {
            self.charge_origin(now, from, 100, Offence::Refused, out);
        }
        self.compared_one(now, &key.0, &tip.1, out);
    }

    /// Notes that the sender waits for an ack of this log. For gossip that is its author, if it is a peer,
    /// and the next hello says it.
    pub(crate) fn owe_ack(&mut self, now: u64, from: Origin, key: &LogKey, bytes: usize) {
        if from == Origin::Kept {
            return;
        }
        let waiting = from.link().unwrap_or(key.1.device);
        let after = self.config.ack_after;
        let Some(peer) = self.peers.get_mut(&waiting) else { return };
        if peer.connected && peer.shared.contains(&key.0) {
            peer.untold.insert(*key);
            if from.link().is_some() {
                peer.ack_bytes = peer.ack_bytes.saturating_add(bytes);
                peer.ack_at = Some(peer.ack_at.unwrap_or(u64::MAX).min(now + after));
            }
        }
    }

    fn flush_if_heavy(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        if self.peers.get(&id).is_some_and(|peer| peer.ack_bytes >= self.config.ack_bytes) {
            self.flush(now, id, false, out);
        }
    }
}

// The tips of a log after one more entry, at somebody who had it in this state.
fn advance(tips: &mut Vec<Tip>, tip: Tip, prev: Option<Hash>) {
    // A frontier that came before the entry has told of it already.
    if tips.iter().any(|t| t.0 >= tip.0) {
        return;
    }
    if let (Some(prev), Some(before)) = (prev, tip.0.checked_sub(1)) {
        tips.retain(|t| *t != (before, prev));
    }
    tips.push(tip);
    highest_tips(tips);
}
