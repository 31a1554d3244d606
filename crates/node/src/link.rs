//! The thread between the state machine of `sync` and the carriers: it owns the machine, feeds it
//! what happened, and does what it says. It never opens an entry and never waits for a disk.

mod outbox;

use crate::bundle::{Bring, Carried, Outline, Settle, outline};
use crate::chunks::ToChunks;
use crate::core::Core;
use crate::error::Result;
use crate::holes::{Checked, ToLister};
use crate::intake::Took;
use crate::seal::Fresh;
use crate::status::LinkStatus;
use base::{ChunkId, DeviceId, Entry, Hash, SpaceTag};
use crossbeam_channel::{Receiver, Sender};
use crypto::TopicSecret;
use net::Net;
use object::Manifest;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sync::{Envelope, Input, Output, Sync};

/// Outputs that wait for room in the carrier's queue, per peer.
const OUTBOX: usize = 4096;

/// What the link thread is told.
pub(crate) enum ToLink {
    /// A carrier's event.
    Net(net::Event),
    /// An entry that was made here, durable.
    Fresh(Fresh),
    /// What became of an entry that was delivered.
    Took { from: Option<DeviceId>, tag: SpaceTag, entry: Entry, took: Took },
    /// A blob's bytes are needed.
    Fetch { tag: SpaceTag, manifest: Box<Manifest> },
    /// Chunks to ask for.
    Want { tag: SpaceTag, ids: Vec<ChunkId> },
    /// Chunks not to ask for now.
    Unwant { tag: SpaceTag, ids: Vec<ChunkId> },
    /// What became of a chunk that was delivered.
    Chunk { tag: SpaceTag, id: ChunkId, stored: bool },
    /// A chunk was handed to the carrier.
    Sent { peer: DeviceId, job: u64, bytes: usize, queued: usize },
    /// A message that came without a link; answered once everything that it brought was judged.
    Carried { peer: DeviceId, envelope: Box<Envelope>, done: Sender<()> },
    /// What a friend lacks, and what to tell them, is to be known.
    Outline { devices: Vec<DeviceId>, all: bool, answer: Sender<Outline> },
    /// A chunk that came without a link.
    Bring(Bring),
    /// What was written of these blobs is to be durable.
    Settle(Settle),
    /// What is known of friends is to be kept.
    Remember { done: Sender<()> },
    /// The entries of a log, listed for a comparison.
    Listed { job: u64, entries: Option<Vec<(u64, Hash)>> },
    /// An entry that came too early is durable.
    Kept { tag: SpaceTag, entry: Entry },
    /// What is missing in logs, looked at again.
    Checked(Checked),
    /// Friends, members or spaces changed.
    Refresh,
    /// The node stops.
    Stop,
}

/// Entries on their way to be verified and stored.
pub(crate) type Arriving = (Option<DeviceId>, SpaceTag, Entry);

pub(crate) struct Link {
    pub(crate) core: Arc<Core>,
    net: Arc<Net>,
    pub(crate) sync: Sync,
    started: Instant,
    intake: Sender<Arriving>,
    chunks: Sender<ToChunks>,
    lister: Sender<ToLister>,
    /// When logs with entries missing are looked at again.
    check_at: Option<Instant>,
    /// What waits for room in the carrier's queue, by peer.
    outbox: BTreeMap<DeviceId, VecDeque<Output>>,
    topics: BTreeMap<String, (SpaceTag, TopicSecret)>,
    held: BTreeSet<SpaceTag>,
    pub(crate) allowed: BTreeMap<DeviceId, BTreeSet<SpaceTag>>,
    shared: BTreeSet<(DeviceId, SpaceTag)>,
    connected: BTreeSet<DeviceId>,
    /// Those of whose link the carrier was told that it is worth having.
    fruitful: BTreeSet<DeviceId>,
    /// The addresses that the carrier keeps trying, by friend.
    dialed: BTreeMap<DeviceId, Vec<String>>,
    /// How many people are known: with another, what waited may count.
    people: usize,
    /// When each pairing that is asked for may be asked again.
    pairings: BTreeMap<DeviceId, Instant>,
    pub(crate) carried: Carried,
}

/// Between two tries at a pairing that was not answered.
const PAIR_AGAIN: Duration = Duration::from_secs(5);
/// Between two looks at what is known to be missing; sooner once something came.
const CHECK_AGAIN: Duration = Duration::from_secs(60);
const CHECK_SOON: Duration = Duration::from_secs(1);

impl Link {
    pub(crate) fn new(
        core: Arc<Core>,
        net: Arc<Net>,
        intake: Sender<Arriving>,
        chunks: Sender<ToChunks>,
        lister: Sender<ToLister>,
    ) -> Result<Link> {
        let seed = u64::from_be_bytes(crate::home::random_bytes()?);
        Ok(Link {
            // Enough chunks under way that neither side waits for the other.
            sync: Sync::new(core.device, sync::Config { chunk_asks: 24, ..Default::default() }, seed),
            core,
            net,
            started: Instant::now(),
            intake,
            chunks,
            lister,
            check_at: None,
            outbox: BTreeMap::new(),
            topics: BTreeMap::new(),
            held: BTreeSet::new(),
            allowed: BTreeMap::new(),
            shared: BTreeSet::new(),
            connected: BTreeSet::new(),
            fruitful: BTreeSet::new(),
            dialed: BTreeMap::new(),
            people: 0,
            pairings: BTreeMap::new(),
            carried: Carried::default(),
        })
    }

    /// Runs until the node stops.
    pub(crate) fn run(mut self, inbox: &Receiver<ToLink>, carrier: &Receiver<net::Event>) {
        self.refresh();
        self.recall();
        self.check_at = Some(Instant::now());
        for (tag, entry) in self.core.kept_early() {
            self.step(Input::Kept { tag, entry });
        }
        loop {
            let wait = self.sync.next_wake().map_or(1_000, |at| at.saturating_sub(self.now()));
            let timeout = crossbeam_channel::after(Duration::from_millis(wait.clamp(1, 1_000)));
            crossbeam_channel::select! {
                recv(inbox) -> message => match message {
                    Ok(ToLink::Stop) | Err(_) => return self.remember(),
                    Ok(message) => self.take(message),
                },
                recv(carrier) -> event => match event {
                    Ok(event) => self.take(ToLink::Net(event)),
                    Err(_) => return,
                },
                recv(timeout) -> _ => self.step(Input::Tick),
            }
            if self.pairings.values().any(|at| *at <= Instant::now()) {
                self.refresh();
            }
            if self.check_at.is_some_and(|at| at <= Instant::now()) {
                self.check_at = Some(Instant::now() + CHECK_AGAIN);
                let _ = self.lister.try_send(ToLister::Check);
            }
            self.publish_status();
            self.remember_by_and_by();
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn take(&mut self, message: ToLink) {
        match message {
            ToLink::Net(event) => self.take_event(event),
            ToLink::Fresh(fresh) => {
                let header = fresh.entry.header();
                self.step(Input::Stored {
                    tag: fresh.tag,
                    log: header.log,
                    seq: header.seq,
                    hash: fresh.entry.hash(),
                    prev: header.prev,
                    bytes: fresh.entry.bytes().len(),
                });
                self.tell_sum(&fresh.tag, &header.log);
                if header.epoch.is_none() {
                    self.refresh();
                }
            }
            ToLink::Kept { tag, entry } => self.step(Input::Kept { tag, entry }),
            ToLink::Listed { job, entries } => self.step(Input::Listed { job, entries }),
            ToLink::Checked(checked) => {
                for (tag, log, tips, sum) in checked.mended {
                    self.step(Input::Mended { tag, log, tips, sum });
                }
                self.step(Input::Holes { logs: checked.holes });
            }
            ToLink::Took { from, tag, entry, took } => {
                self.took(from, tag, entry, took);
                self.carried.judged();
            }
            ToLink::Carried { peer, envelope, done } => {
                self.step(Input::Received { peer, envelope: *envelope });
                self.carried.await_judgement(done);
            }
            ToLink::Outline { devices, all, answer } => {
                let _ = answer.send(outline(&self.sync, &devices, all));
            }
            ToLink::Bring(bring) => drop(self.chunks.send(ToChunks::Bring(bring))),
            ToLink::Settle(settle) => drop(self.chunks.send(ToChunks::Settle(settle))),
            ToLink::Remember { done } => {
                self.remember();
                let _ = done.send(());
            }
            ToLink::Fetch { tag, manifest } => {
                let _ = self.chunks.send(ToChunks::Fetch { tag, manifest });
            }
            ToLink::Want { tag, ids } => self.step(Input::ChunksWanted { tag, ids }),
            ToLink::Unwant { tag, ids } => self.step(Input::ChunksUnwanted { tag, ids }),
            ToLink::Chunk { tag, id, stored: true } => self.step(Input::ChunkStored { tag, id }),
            ToLink::Chunk { tag, id, stored: false } => self.step(Input::ChunkFailed { tag, id }),
            ToLink::Sent { peer, job, bytes, queued } => {
                self.step(Input::Sent { peer, job, next: 0, bytes, queued })
            }
            ToLink::Refresh => self.refresh(),
            ToLink::Stop => {}
        }
    }

    fn took(&mut self, from: Option<DeviceId>, tag: SpaceTag, entry: Entry, took: Took) {
        let header = entry.header();
        let (log, seq, hash) = (header.log, header.seq, entry.hash());
        let clear = header.epoch.is_none();
        match took {
            Took::Stored(_) => {
                self.core.note_brought(from, log.device);
                self.core.traffic.news(from);
                self.step(Input::Stored {
                    tag,
                    log,
                    seq,
                    hash,
                    prev: header.prev,
                    bytes: entry.bytes().len(),
                });
                self.tell_sum(&tag, &log);
                if self.core.holes.lock().contains(&(tag, log)) {
                    self.check_at = Some(Instant::now() + CHECK_SOON);
                }
                if clear {
                    self.refresh();
                    self.step(Input::Retry);
                }
            }
            Took::Filled(_) => {
                self.core.traffic.news(from);
                let bytes = entry.bytes().len();
                self.step(Input::Filled { tag, log, seq, hash, prev: header.prev, bytes });
                self.tell_sum(&tag, &log);
                self.check_at = Some(Instant::now() + CHECK_SOON);
            }
            Took::Known => self.step(Input::Known { tag, log, seq, hash }),
            Took::Missing => self.step(Input::Missing { from, tag, entry }),
            Took::Waits => self.step(Input::Waits { from, tag, entry }),
            Took::Refused(why) => {
                let name = from.map_or("gossip".to_string(), |d| self.core.name_of_device(&d));
                self.core.problem(format!("an entry from {name} was refused: {why}"));
                self.core.forget_early(&entry);
                self.step(Input::Refused { tag, log, seq, hash });
            }
        }
    }

    // What gathers for a while as long as nobody is there goes to whoever comes.
    fn tell_sealer(&self) {
        let linked = !self.connected.is_empty();
        if self.core.linked.swap(linked, Ordering::Relaxed) != linked {
            self.core.wake_sealer();
        }
    }

    fn take_event(&mut self, event: net::Event) {
        match event {
            net::Event::Connected { peer, .. } => {
                self.core.heard(&peer);
                self.connected.insert(peer);
                self.fruitful.remove(&peer);
                self.tell_sealer();
                self.step(Input::Connected { peer });
                self.offer_spaces(&peer);
            }
            net::Event::Disconnected { peer, .. } => {
                self.connected.remove(&peer);
                self.tell_sealer();
                self.outbox.remove(&peer);
                // An offer may have been lost with the link.
                self.shared.retain(|(to, _)| *to != peer);
                self.step(Input::Disconnected { peer });
                self.remember();
            }
            net::Event::Received { peer, bytes } => match Envelope::decode(&bytes) {
                Ok(envelope) => {
                    self.core.traffic.received(&peer, &envelope);
                    let announces = matches!(&envelope, Envelope::Frontier(f) if f.announce.is_some());
                    self.step(Input::Received { peer, envelope });
                    if announces {
                        self.offer_spaces(&peer);
                    }
                }
                // A newer build says more than this one knows.
                Err(e) if e.kind() == base::Kind::Unsupported => tracing::debug!("passed over: {e}"),
                Err(e) => {
                    let name = self.core.name_of_device(&peer);
                    self.core.problem(format!("{name} sent something that is no envelope: {e}"));
                }
            },
            net::Event::Gossip { topic, bytes, from } => {
                let Some((tag, secret)) = self.topics.get(&topic) else { return };
                let tag = *tag;
                let opened = secret.open_frame(&bytes).ok().and_then(|frame| Envelope::decode(&frame).ok());
                if let Some(envelope) = opened {
                    self.step(Input::Gossip { via: from, tag, envelope });
                }
            }
            net::Event::Drained { peer, queued } => {
                self.step(Input::Drained { peer, queued });
                self.flush(&peer);
            }
            net::Event::PairRequest { peer, bytes, reply } => {
                let (answer, accepted) = self.core.answer_pairing(&peer, &bytes);
                reply.send(answer);
                if accepted {
                    self.refresh();
                }
            }
            net::Event::PairAnswer { peer, result } => {
                self.core.take_pairing_answer(&peer, result.map_err(|e| e.to_string()));
                self.refresh();
            }
            net::Event::Trouble { what } => tracing::info!("network: {what}"),
            net::Event::Listening { addr } => tracing::info!("listening on {addr}"),
            _ => {}
        }
    }

    /// Gives the state machine something, and does what it says.
    pub(crate) fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.sync.step(self.now(), input, &mut out);
        // What is done may give it more; a queue rather than a recursion.
        for output in out {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            // What a peer that reads nothing would be told is not kept for ever; it is told again.
            Output::Send { peer, .. } if self.outbox.get(&peer).is_some_and(|o| o.len() >= OUTBOX) => {}
            Output::Send { peer, .. } | Output::SendEntries { peer, .. } | Output::SendEntry { peer, .. } => {
                self.outbox.entry(peer).or_default().push_back(output);
                self.flush(&peer);
            }
            Output::SendChunk { peer, job, tag, id, from, part } => {
                let _ = self.chunks.send(ToChunks::Send { peer, job, tag, id, from, part });
            }
            Output::Deliver { from, tag, entry } => {
                self.carried.delivered();
                let _ = self.intake.send((from, tag, entry));
            }
            Output::DeliverChunk { from, tag, id, bytes } => {
                self.core.traffic.wanted(&from);
                let _ = self.chunks.send(ToChunks::Arrived { tag, id, bytes });
            }
            Output::ChunkAbsent { .. } => {}
            // What finds no room is not durable, and comes again.
            Output::Keep { tag, entry } => {
                drop(self.lister.try_send(ToLister::Keep { tag, entry: Box::new(entry) }))
            }
            Output::List { job, tag, log, top } => {
                if self.lister.try_send(ToLister::List { job, tag, log, top }).is_err() {
                    self.step(Input::Listed { job, entries: None });
                }
            }
            Output::Gossip { tag, hash, announcement, .. } => self.gossip(&tag, &hash, announcement),
            Output::Offer { from, name, entries } => {
                let changed = self.core.take_offer(&from, &name, entries);
                self.refresh();
                if changed {
                    self.step(Input::Retry);
                }
            }
            Output::Addr { .. } => {}
            Output::Synced { peer, tag } => {
                self.shared.insert((peer, tag));
            }
            Output::Misbehaved { peer, why } => {
                let name = self.core.name_of_device(&peer);
                self.core.problem(format!("{name} is ignored for a while: {why}"));
            }
        }
    }

    /// Tells the state machine and the carrier who is a friend, who is a member, what is held.
    fn refresh(&mut self) {
        let plan = self.core.link_plan();
        for (tag, logs) in &plan.held {
            if self.held.insert(*tag) {
                self.step(Input::Space { tag: *tag, logs: logs.clone() });
                for log in logs.keys() {
                    self.tell_sum(tag, log);
                }
            }
        }
        if self.people != plan.people {
            self.people = plan.people;
            self.step(Input::Retry);
        }
        let gone: Vec<_> = self.held.iter().filter(|tag| !plan.held.contains_key(*tag)).copied().collect();
        for tag in gone {
            self.held.remove(&tag);
            self.step(Input::Drop { tag });
        }
        for (peer, tags) in &plan.allowed {
            if self.allowed.get(peer) != Some(tags) {
                self.step(Input::Allow { peer: *peer, tags: tags.clone() });
            }
        }
        let lost: Vec<_> = self.allowed.keys().filter(|p| !plan.allowed.contains_key(*p)).copied().collect();
        for peer in lost {
            self.step(Input::Forget { peer });
        }
        self.allowed = plan.allowed;
        self.core.traffic.keep(|device| self.allowed.contains_key(device));
        self.topics = plan.topics;
        self.net.allow(plan.friends.keys().copied().collect());
        self.net.subscribe(self.topics.keys().cloned().collect());
        self.net.pairing(plan.pairing_open);
        for (peer, addrs) in &plan.friends {
            // Asking again would start the waiting between tries over.
            if !addrs.is_empty() && self.dialed.get(peer) != Some(addrs) {
                self.net.dial(*peer, addrs.clone());
            }
        }
        self.dialed = plan.friends;
        self.pairings.retain(|peer, _| plan.pairings.iter().any(|(p, _, _)| p == peer));
        for (peer, addrs, request) in plan.pairings {
            if self.pairings.get(&peer).is_none_or(|at| *at <= Instant::now()) {
                self.pairings.insert(peer, Instant::now() + PAIR_AGAIN);
                self.net.pair(peer, addrs, request);
            }
        }
        for peer in self.connected.clone() {
            self.offer_spaces(&peer);
        }
    }

    // What the tips of a log with too many branches do not say.
    fn tell_sum(&mut self, tag: &SpaceTag, log: &base::LogId) {
        if let Some(sum) = self.core.sum_of_cut(tag, log) {
            self.step(Input::Sum { tag: *tag, log: *log, sum });
        }
    }

    // Hands a member the spaces that they may not know of yet.
    fn offer_spaces(&mut self, peer: &DeviceId) {
        let Some(tags) = self.allowed.get(peer) else { return };
        for tag in tags.clone() {
            // Whoever announced a space has it; links may be many, and an offer is all of its operations.
            let has = self.sync.announced(peer).is_some_and(|announced| announced.contains(&tag));
            if has || self.shared.contains(&(*peer, tag)) {
                continue;
            }
            if let Some((name, entries)) = self.core.share_entries(&tag) {
                self.shared.insert((*peer, tag));
                self.perform(Output::Send { peer: *peer, envelope: Envelope::Share { name, entries } });
            }
        }
    }

    // What others see of the links. What a link brought may turn out after its end: the carrier hears it all the
    // same, and does not wait long for the next.
    fn publish_status(&mut self) {
        let now = self.now();
        let mut links = self.core.links.lock();
        links.clear();
        for peer in self.allowed.keys() {
            let connected = self.connected.contains(peer);
            let status = LinkStatus::of(&self.sync, peer, connected, now);
            if status.fruitful && self.fruitful.insert(*peer) {
                self.net.fruitful(*peer);
            }
            links.insert(*peer, status);
        }
    }
}
