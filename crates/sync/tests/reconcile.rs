//! Sets that frontiers cannot tell apart: forks without number, holes, gaps. Stores with random parts of
//! random logs come to have all of it, and what that costs is printed.

use base::{DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use sync::{Config, Envelope, Input, Output, PeerId, Sync};

const TAG: SpaceTag = SpaceTag([7; 16]);

type Place = (LogId, u64, Hash);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

fn device(n: u64) -> DeviceId {
    DeviceId(Hash::of(&[b"device", &n.to_be_bytes()]).0)
}

fn log(n: u64) -> LogId {
    LogId { device: device(100 + n), incarnation: Incarnation([1; 8]) }
}

fn entry(log: LogId, prev: Option<&Entry>, body: u64) -> Entry {
    let seq = prev.map_or(0, |prev| prev.header().seq + 1);
    let header = Header {
        kind: EntryKind::Content,
        tag: TAG,
        log,
        run: Run([1; 8]),
        seq,
        lamport: seq + 1,
        prev: prev.map(Entry::hash),
        deps: Vec::new(),
        epoch: Some(EpochId([8; 32])),
        auth: Vec::new(),
        chunks: None,
    };
    Entry::assemble(&header, &body.to_be_bytes(), &[0; 64]).unwrap()
}

// A log of so many entries; each follows the newest or, in one of `fork` cases, any.
fn grow(random: &mut Random, log: LogId, entries: u64, fork: u64) -> Vec<Entry> {
    let mut all: Vec<Entry> = vec![entry(log, None, 0)];
    while (all.len() as u64) < entries {
        let at =
            if random.below(fork) == 0 { random.below(all.len() as u64) as usize } else { all.len() - 1 };
        let body = random.below(u64::MAX);
        all.push(entry(log, Some(&all[at]), body));
    }
    all
}

struct Store {
    id: PeerId,
    sync: Sync,
    entries: BTreeMap<Place, Entry>,
    // It does not know of comparisons.
    old: bool,
}

impl Store {
    fn new(n: u64, entries: impl IntoIterator<Item = Entry>) -> Store {
        let id = device(n);
        let place = |e: &Entry| (e.header().log, e.header().seq, e.hash());
        let entries = entries.into_iter().map(|e| (place(&e), e)).collect();
        Store { id, sync: Sync::new(id, Config::default(), n), entries, old: false }
    }

    fn has(&self, hash: &Hash) -> bool {
        self.entries.keys().any(|(_, _, known)| known == hash)
    }

    fn of(&self, log: LogId) -> impl Iterator<Item = &Entry> {
        self.entries.range((log, 0, Hash([0; 32]))..=(log, u64::MAX, Hash([255; 32]))).map(|(_, e)| e)
    }

    fn tips(&self, log: LogId) -> Vec<(u64, Hash)> {
        let built: BTreeSet<Hash> = self.of(log).filter_map(|e| e.header().prev).collect();
        let tips = self.of(log).filter(|e| !built.contains(&e.hash()));
        tips.map(|e| (e.header().seq, e.hash())).collect()
    }

    fn logs(&self) -> BTreeSet<LogId> {
        self.entries.keys().map(|(log, ..)| *log).collect()
    }

    fn sum(&self, log: LogId) -> Option<Input> {
        let sum = self.of(log).fold(Hash::default(), |sum, e| sum.plus(&e.hash()));
        (self.tips(log).len() > limit::TIPS).then_some(Input::Sum { tag: TAG, log, sum })
    }

    fn has_holes(&self, log: &LogId) -> bool {
        let hashes: BTreeSet<Hash> = self.of(*log).map(Entry::hash).collect();
        self.of(*log).any(|e| e.header().prev.is_some_and(|prev| !hashes.contains(&prev)))
    }

    fn holes(&self) -> Input {
        let logs = self.logs().into_iter().filter(|log| self.has_holes(log));
        Input::Holes { logs: logs.map(|log| (TAG, log)).collect() }
    }

    // What a node does with an entry that is delivered.
    fn judge(&mut self, from: Option<PeerId>, entry: Entry) -> Vec<Input> {
        let (log, seq, hash, prev) =
            (entry.header().log, entry.header().seq, entry.hash(), entry.header().prev);
        if self.has(&hash) {
            return vec![Input::Known { tag: TAG, log, seq, hash }];
        }
        if prev.is_some_and(|prev| !self.has(&prev)) {
            return vec![Input::Missing { from, tag: TAG, entry }];
        }
        let bytes = entry.bytes().len();
        self.entries.insert((log, seq, hash), entry);
        let below_others = self.of(log).any(|e| e.header().prev == Some(hash));
        let mut inputs = vec![match below_others {
            true => Input::Filled { tag: TAG, log, seq, hash, prev, bytes },
            false => Input::Stored { tag: TAG, log, seq, hash, prev, bytes },
        }];
        inputs.extend(self.sum(log));
        if below_others {
            inputs.push(self.holes());
        }
        if below_others && !self.has_holes(&log) {
            let sum = match self.sum(log) {
                Some(Input::Sum { sum, .. }) => Some(sum),
                _ => None,
            };
            inputs.push(Input::Mended { tag: TAG, log, tips: self.tips(log), sum });
        }
        inputs
    }
}

struct World {
    now: u64,
    stores: Vec<Store>,
    links: BTreeSet<(usize, usize)>,
    wire: VecDeque<(usize, usize, Vec<u8>)>,
    bytes: BTreeMap<&'static str, (u64, u64)>,
    offences: Vec<sync::Offence>,
}

impl World {
    fn new(stores: Vec<Store>, links: &[(usize, usize)]) -> World {
        let links = links.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
        let mut world = World {
            now: 1_000,
            stores,
            links,
            wire: VecDeque::new(),
            bytes: BTreeMap::new(),
            offences: Vec::new(),
        };
        for n in 0..world.stores.len() {
            let store = &world.stores[n];
            let logs = store.logs();
            let tips = logs.iter().map(|log| (*log, store.tips(*log))).collect();
            let sums: Vec<Input> = logs.iter().filter_map(|log| store.sum(*log)).collect();
            let holes = store.holes();
            world.step(n, Input::Space { tag: TAG, logs: tips });
            for input in sums.into_iter().chain([holes]) {
                world.step(n, input);
            }
        }
        for (a, b) in world.links.clone() {
            let peer = world.stores[b].id;
            world.step(a, Input::Allow { peer, tags: BTreeSet::from([TAG]) });
            world.step(a, Input::Connected { peer });
        }
        world
    }

    fn step(&mut self, n: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.stores[n].sync.step(self.now, input, &mut out);
            for output in out {
                inputs.extend(self.perform(n, output));
            }
        }
    }

    fn perform(&mut self, n: usize, output: Output) -> Vec<Input> {
        match output {
            Output::Send { peer, envelope } => self.send(n, &peer, &envelope),
            Output::SendEntries { peer, job, tag: _, log, from, to, .. } => {
                let found = self.stores[n].of(log).filter(|e| (from..=to).contains(&e.header().seq));
                let list: Vec<Vec<u8>> = found.map(|e| e.bytes().to_vec()).collect();
                let bytes = list.iter().map(Vec::len).sum();
                self.send(n, &peer, &Envelope::Entries(list));
                return vec![Input::Sent { peer, job, next: to + 1, bytes, queued: 0 }];
            }
            Output::SendEntry { peer, job, hash, .. } => {
                let list: Vec<Vec<u8>> = self.stores[n]
                    .entries
                    .values()
                    .filter(|e| e.hash() == hash)
                    .map(|e| e.bytes().to_vec())
                    .collect();
                let bytes = list.iter().map(Vec::len).sum();
                self.send(n, &peer, &Envelope::Entries(list));
                return vec![Input::Sent { peer, job, next: 0, bytes, queued: 0 }];
            }
            Output::List { job, log, top, .. } => {
                let found = self.stores[n].of(log).map(|e| (e.header().seq, e.hash()));
                return vec![Input::Listed { job, entries: Some(found.filter(|i| i.0 <= top).collect()) }];
            }
            Output::Deliver { from, entry, .. } => return self.stores[n].judge(from, entry),
            Output::Misbehaved { why, .. } => self.offences.push(why),
            _ => {}
        }
        Vec::new()
    }

    fn send(&mut self, n: usize, peer: &PeerId, envelope: &Envelope) {
        if self.stores[n].old && matches!(envelope, Envelope::Cells(_) | Envelope::More(_)) {
            return;
        }
        let to = self.stores.iter().position(|s| s.id == *peer).unwrap();
        let bytes = envelope.encode();
        let tally = self.bytes.entry(envelope.word()).or_default();
        *tally = (tally.0 + 1, tally.1 + bytes.len() as u64);
        self.wire.push_back((n, to, bytes));
    }

    fn same(&self) -> bool {
        self.stores.iter().all(|s| s.entries.keys().eq(self.stores[0].entries.keys()))
    }

    // Runs until all are equal and every hello says so; how many milliseconds it took.
    fn settle(&mut self, most: u64) -> u64 {
        let start = self.now;
        loop {
            while let Some((from, to, bytes)) = self.wire.pop_front() {
                let old = self.stores[to].old;
                let envelope = Envelope::decode(&bytes).unwrap();
                if old && matches!(envelope, Envelope::Cells(_) | Envelope::More(_)) {
                    continue;
                }
                let peer = self.stores[from].id;
                self.step(to, Input::Received { peer, envelope });
            }
            if self.same() && self.agree() {
                return self.now - start;
            }
            assert!(
                self.now - start < most,
                "not equal after {} ms: {:?}",
                self.now - start,
                (self.counts(), &self.bytes, &self.offences)
            );
            let next = self.stores.iter().filter_map(|s| s.sync.next_wake()).min().unwrap();
            self.now = self.now.max(next);
            for n in 0..self.stores.len() {
                self.step(n, Input::Tick);
            }
        }
    }

    fn agree(&self) -> bool {
        let synced = |(a, b): &(usize, usize)| {
            self.stores[*a].sync.peer(&self.stores[*b].id).is_some_and(|view| view.synced)
        };
        self.links.iter().all(synced)
    }

    fn counts(&self) -> Vec<usize> {
        self.stores.iter().map(|s| s.entries.len()).collect()
    }

    fn beyond_entries(&self) -> u64 {
        self.bytes.iter().filter(|(word, _)| **word != "entries").map(|(_, (_, bytes))| bytes).sum()
    }
}

#[test]
fn random_parts_of_random_logs_come_together() {
    let mut worst = (0, 0);
    let (mut bytes, mut worlds) = (0, 0);
    for seed in 0..120 {
        let mut random = Random(seed);
        let stores = 2 + random.below(2);
        let mut parts: Vec<Vec<Entry>> = vec![Vec::new(); stores as usize];
        let mut all = 0;
        for n in 0..1 + random.below(3) {
            let (entries, fork) = (1 + random.below(150), [2, 4, 10, 1_000][random.below(4) as usize]);
            // Of what is here whole, in part, or in shreds.
            let (kept, tail) = (1 + random.below(10), random.below(3) == 0);
            for (place, entry) in grow(&mut random, log(n), entries, fork).into_iter().enumerate() {
                all += 1;
                let sure = random.below(stores);
                for (store, part) in parts.iter_mut().enumerate() {
                    let missing = if tail { place as u64 > entries / 2 } else { random.below(10) >= kept };
                    if store as u64 == sure || !missing {
                        part.push(entry.clone());
                    }
                }
            }
        }
        let links: &[(usize, usize)] = [&[(0, 1)][..], &[(0, 1), (1, 2)]][stores as usize - 2];
        let parts = parts.into_iter().enumerate().map(|(n, part)| Store::new(n as u64, part));
        let mut world = World::new(parts.collect(), links);
        let took = world.settle(600_000);
        assert_eq!(world.counts(), vec![all; stores as usize], "seed {seed}");
        assert_eq!(world.offences, [], "seed {seed}: {:?}", world.bytes);
        worst = worst.max((took, seed));
        bytes += world.beyond_entries();
        worlds += 1;
    }
    println!(
        "{worlds} worlds: {} bytes beyond the entries each; at most {} ms (seed {})",
        bytes / worlds,
        worst.0,
        worst.1
    );
}

#[test]
fn two_who_name_the_same_branches_and_have_others_below_find_them() {
    let mut random = Random(1);
    let stem = grow(&mut random, log(0), 200, u64::MAX);
    // Everybody knows the highest sixteen branches; below, each has some of its own.
    let high: Vec<Entry> = (0..20).map(|n| entry(log(0), Some(&stem[190]), 1_000 + n)).collect();
    let low = |from: u64, to: u64| (from..to).map(|n| entry(log(0), Some(&stem[n as usize]), 2_000 + n));
    let both = || stem.iter().chain(&high).cloned();
    let mut world = World::new(
        vec![Store::new(0, both().chain(low(0, 40))), Store::new(1, both().chain(low(35, 90)))],
        &[(0, 1)],
    );
    let took = world.settle(120_000);
    assert_eq!(world.counts(), vec![200 + 20 + 90; 2]);
    let (messages, bytes) = world.bytes.get("cells").copied().unwrap_or_default();
    println!(
        "85 apart of 310: {took} ms, {messages} envelopes of cells with {bytes} bytes: {:?}",
        world.bytes
    );
    assert!(messages <= 6 && bytes < 16_000, "{messages} envelopes, {bytes} bytes");
}

#[test]
fn a_hole_that_is_known_is_filled_at_once_and_by_few_bytes() {
    let mut random = Random(2);
    let whole = grow(&mut random, log(0), 3_000, u64::MAX);
    let damaged = whole.iter().enumerate().filter(|(n, _)| !(100..110).contains(n) && n % 900 != 7);
    let damaged: Vec<Entry> = damaged.map(|(_, e)| e.clone()).collect();
    let mut world = World::new(vec![Store::new(0, whole.clone()), Store::new(1, damaged)], &[(0, 1)]);
    assert!(world.agree() || !world.same());
    let took = world.settle(60_000);
    println!("14 missing of 3,000: {took} ms, {:?}", world.bytes);
    assert!(took <= 10_000, "{took} ms");
    assert!(world.beyond_entries() < 8_000, "{:?}", world.bytes);
}

#[test]
fn what_is_in_step_is_never_compared() {
    let mut random = Random(3);
    // Forked as often as it likes: the same on both sides.
    let all = grow(&mut random, log(0), 500, 3);
    let mut world = World::new(vec![Store::new(0, all.clone()), Store::new(1, all)], &[(0, 1)]);
    world.settle(20_000);
    let end = world.now + 120_000;
    while world.now < end {
        world.now = world.stores.iter().filter_map(|s| s.sync.next_wake()).min().unwrap();
        world.step(0, Input::Tick);
        world.step(1, Input::Tick);
        while let Some((from, to, bytes)) = world.wire.pop_front() {
            let peer = world.stores[from].id;
            world.step(to, Input::Received { peer, envelope: Envelope::decode(&bytes).unwrap() });
        }
    }
    assert_eq!(world.bytes.get("cells"), None, "{:?}", world.bytes);
}

#[test]
fn an_older_peer_that_answers_no_cells_is_asked_ever_more_rarely() {
    let mut random = Random(4);
    let stem = grow(&mut random, log(0), 100, u64::MAX);
    let high: Vec<Entry> = (0..20).map(|n| entry(log(0), Some(&stem[90]), 1_000 + n)).collect();
    let both = || stem.iter().chain(&high).cloned();
    let low = entry(log(0), Some(&stem[3]), 7);
    let mut old = Store::new(1, both());
    old.old = true;
    let mut world = World::new(vec![Store::new(0, both().chain([low])), old], &[(0, 1)]);
    let end = world.now + 3_600_000;
    while world.now < end {
        while let Some((from, to, bytes)) = world.wire.pop_front() {
            let envelope = Envelope::decode(&bytes).unwrap();
            if !(world.stores[to].old && matches!(envelope, Envelope::Cells(_) | Envelope::More(_))) {
                let peer = world.stores[from].id;
                world.step(to, Input::Received { peer, envelope });
            }
        }
        world.now = world.stores.iter().filter_map(|s| s.sync.next_wake()).min().unwrap();
        world.step(0, Input::Tick);
        world.step(1, Input::Tick);
    }
    let (messages, _) = world.bytes["cells"];
    println!("an hour: {:?}", world.bytes);
    assert!(messages <= 24, "{messages} in an hour");
}

#[test]
fn cells_that_were_made_up_cost_who_sends_them_and_hold_nothing() {
    let mut random = Random(5);
    let all = grow(&mut random, log(0), 400, 5);
    let mut world = World::new(vec![Store::new(0, all.clone()), Store::new(1, all)], &[(0, 1)]);
    world.settle(20_000);
    let peer = world.stores[1].id;
    let mut listed = 0;
    for n in 0..500 {
        let bytes: Vec<u8> = (0..46 * 64).map(|_| random.below(256) as u8).collect();
        // Mostly something new, sometimes what would go on with it.
        let of = sync::Comparison { tag: TAG, log: log(n % 3), salt: n / 2 };
        let from = if n % 4 == 0 { 64 } else { 0 };
        let cells =
            sync::Cells { of, top: 1 << 40, entries: n, from, cells: sync::cells::Cell::read(&bytes) };
        let mut out = Vec::new();
        let envelope = Envelope::Cells(cells);
        world.stores[0].sync.step(world.now, Input::Received { peer, envelope }, &mut out);
        for output in out {
            match output {
                Output::List { .. } => {
                    listed += 1;
                    for input in world.perform(0, output) {
                        world.step(0, input);
                    }
                }
                Output::Misbehaved { why, .. } => world.offences.push(why),
                _ => {}
            }
        }
    }
    assert!(!world.offences.is_empty());
    // Each is a walk over a log: soon nobody listens any more.
    println!("500 made-up envelopes of cells: {listed} walks over a log");
    assert!(listed < 80, "{listed}");
    world.wire.clear();
    world.now += 120_000;
    world.settle(60_000);
}

#[test]
fn what_a_newer_build_says_is_told_from_garbage() {
    let kind = |bytes: &[u8]| Envelope::decode(bytes).map(|_| ()).map_err(|e| e.kind());
    assert_eq!(kind(&[0x82, 0x0e, 0x40]), Err(base::Kind::Unsupported));
    assert_eq!(kind(&[0x83, 0x19, 0x01, 0x00, 0xf6, 0xf6]), Err(base::Kind::Unsupported));
    // A known kind with something else in it is nothing that will ever be.
    assert_ne!(kind(&[0x82, 0x0d, 0x40]), Err(base::Kind::Unsupported));
    assert_ne!(kind(&[0x82]), Err(base::Kind::Unsupported));
}
