//! What friends are known to have, over a restart; and, for what comes without a link, when all of it
//! was judged.

use crate::core::Core;
use crate::error::Result;
use crate::link::Link;
use crate::record::{self, CarriedRecord, KnownRecord, LogTips, PeerRecord};
use base::{DeviceId, SpaceTag};
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use store::Batch;
use sync::{Frontier, Input, LogRange, Sync};

/// How old what is kept of a friend may be: whatever is lost with it is sent once more.
const REMEMBER_EVERY: Duration = Duration::from_secs(20);

/// Entries on their way through the judgement, and who waits for them.
#[derive(Default)]
pub(crate) struct Carried {
    delivered: u64,
    judged: u64,
    waiting: Vec<Waiting>,
    kept: BTreeMap<DeviceId, KnownRecord>,
    remember_at: Option<Instant>,
}

/// Somebody who waits until so many are judged; and how often that may become more, because one that
/// was judged let others go on.
struct Waiting {
    until: u64,
    rounds: u32,
    done: Sender<()>,
}

/// Rounds of entries that let others go on, at most; other friends' news are among them.
const ROUNDS: u32 = 16;

impl Carried {
    /// An entry was handed over to be judged.
    pub(crate) fn delivered(&mut self) {
        self.delivered += 1;
    }

    /// One was judged; they are in the order in which they were handed over.
    pub(crate) fn judged(&mut self) {
        self.judged += 1;
        let (judged, delivered) = (self.judged, self.delivered);
        self.waiting.retain_mut(|waiting| {
            if waiting.until <= judged && delivered > judged && waiting.rounds > 0 {
                waiting.rounds -= 1;
                waiting.until = delivered;
            }
            let waits = waiting.until > judged;
            if !waits {
                let _ = waiting.done.send(());
            }
            waits
        });
    }

    /// Tells once everything that was handed over so far is judged.
    pub(crate) fn await_judgement(&mut self, done: Sender<()>) {
        if self.judged >= self.delivered {
            let _ = done.send(());
        } else {
            self.waiting.push(Waiting { until: self.delivered, rounds: ROUNDS, done });
        }
    }
}

/// What a friend lacks, and what to tell them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    /// Runs of entries that not all of their devices are known to have.
    pub(crate) lacking: Vec<LogRange>,
    /// The announcement and the frontiers of what is shared.
    pub(crate) report: Vec<Frontier>,
    /// Spaces that they did not announce.
    pub(crate) unannounced: BTreeSet<SpaceTag>,
}

/// Asks the machine about all devices of a friend.
pub(crate) fn outline(sync: &Sync, devices: &[DeviceId], all: bool) -> Outline {
    let mut lacking: BTreeMap<_, LogRange> = BTreeMap::new();
    let mut report = Vec::new();
    let mut unannounced = BTreeSet::new();
    for device in devices {
        for range in sync.lacking(device, all) {
            let both = lacking.entry((range.tag, range.log)).or_insert(range);
            (both.from, both.to) = (both.from.min(range.from), both.to.max(range.to));
        }
        if report.is_empty() {
            report = sync.report(device);
        }
        let mine = report.first().and_then(|frontier| frontier.announce.as_ref());
        let theirs = sync.announced(device);
        unannounced
            .extend(mine.into_iter().flatten().filter(|tag| theirs.is_none_or(|tags| !tags.contains(tag))));
    }
    Outline { lacking: lacking.into_values().collect(), report, unannounced }
}

impl Link {
    /// Gives the machine what was known of each friend when this node last ran.
    pub(crate) fn recall(&mut self) {
        for peer in self.allowed.keys().copied().collect::<Vec<_>>() {
            match self.core.known_of(&peer) {
                Ok(Some(known)) => {
                    let logs = |logs: &LogTips| logs.iter().cloned().collect();
                    self.step(Input::Recall {
                        peer,
                        announced: known.announced.iter().copied().collect(),
                        frontiers: known.spaces.iter().map(|(tag, all)| (*tag, logs(all))).collect(),
                    });
                    self.carried.kept.insert(peer, known);
                }
                Ok(None) => {}
                Err(e) => self.core.problem(format!("what a friend is known to have was lost: {e}")),
            }
        }
    }

    /// Keeps what is known of each friend, if some time has passed.
    pub(crate) fn remember_by_and_by(&mut self) {
        let due = *self.carried.remember_at.get_or_insert_with(|| Instant::now() + REMEMBER_EVERY);
        if due <= Instant::now() {
            self.remember();
        }
    }

    /// Keeps what is known of each friend.
    pub(crate) fn remember(&mut self) {
        self.carried.remember_at = Some(Instant::now() + REMEMBER_EVERY);
        let mut batch = Batch::new();
        for peer in self.allowed.keys() {
            let Some(announced) = self.sync.announced(peer) else { continue };
            let frontier =
                |tag: &SpaceTag| Some((*tag, self.sync.frontier_of(peer, tag)?.into_iter().collect()));
            let known = KnownRecord {
                announced: announced.iter().copied().collect(),
                spaces: announced.iter().filter_map(frontier).collect(),
            };
            if self.carried.kept.get(peer) != Some(&known) {
                batch.put(record::node_key("known", &peer.0), record::to_bytes(&known));
                self.carried.kept.insert(*peer, known);
            }
        }
        if !batch.is_empty()
            && let Err(e) = self.core.store.apply(batch)
        {
            self.carried.kept.clear();
            tracing::warn!("what friends are known to have is not kept: {e}");
        }
    }
}

impl Core {
    fn known_of(&self, device: &DeviceId) -> Result<Option<KnownRecord>> {
        match self.store.get(&record::node_key("known", &device.0))? {
            Some(bytes) => Ok(Some(record::from_bytes(&bytes, "record of what a friend has")?)),
            None => Ok(None),
        }
    }

    /// What bundles from a device said last.
    pub(crate) fn carried_from(&self, device: &DeviceId) -> Result<CarriedRecord> {
        match self.store.get(&record::node_key("carried", &device.0))? {
            Some(bytes) => Ok(record::from_bytes(&bytes, "record of a friend's bundles")?),
            None => Ok(CarriedRecord::default()),
        }
    }

    /// Keeps that.
    pub(crate) fn keep_carried(&self, device: &DeviceId, carried: &CarriedRecord) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(record::node_key("carried", &device.0), record::to_bytes(carried));
        let ticket = self.store.apply(batch)?;
        Ok(self.store.wait(ticket)?)
    }

    /// The number of the next bundle that is made here: greater than all before, also in a home that was
    /// brought back from an older copy.
    pub(crate) fn next_bundle(&self) -> Result<u64> {
        let _friends = self.friends.lock();
        let key = record::node_key("bundle", b"");
        let last: u64 = match self.store.get(&key)? {
            Some(bytes) => record::from_bytes(&bytes, "number of a bundle")?,
            None => 0,
        };
        let next = last.saturating_add(1).max(crate::clock::now_ms().max(0) as u64);
        let mut batch = Batch::new();
        batch.put(key, record::to_bytes(&next));
        self.store.apply(batch)?;
        Ok(next)
    }

    /// Puts away what is kept of somebody who is no friend any more.
    pub(crate) fn forget_bundles(&self, peer: &PeerRecord) -> Result<()> {
        let mut batch = Batch::new();
        for device in self.state.read().devices(peer) {
            batch.remove(record::node_key("known", &device.0));
            batch.remove(record::node_key("carried", &device.0));
        }
        for found in self.store.range(&record::node_key("cover", &peer.person.0)) {
            batch.remove(found?.0);
        }
        self.store.apply(batch)?;
        self.forget_dtn(&peer.person)
    }

    /// A friend's own word came: they know us.
    pub(crate) fn is_known_to(&self, device: &DeviceId) -> Result<()> {
        let _friends = self.friends.lock();
        let found = {
            let state = self.state.read();
            let unmet = state.peers.iter().filter(|(_, p)| !p.met);
            unmet.map(|(n, p)| (n.clone(), p.clone())).find(|(_, p)| state.devices(p).contains(device))
        };
        let Some((name, mut peer)) = found else { return Ok(()) };
        peer.met = true;
        peer.token = None;
        let mut batch = Batch::new();
        batch.put(record::node_key("peer", name.as_bytes()), record::to_bytes(&peer));
        self.store.apply(batch)?;
        self.state.write().peers.insert(name, peer);
        Ok(())
    }
}
