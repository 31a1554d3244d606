//! What one machine holds at most, counted by the allocator: a reader that does not read, floods, frontiers
//! without end, a million requests. The bounds are those of `base::limit`.

use base::{DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag, limit};
use peak_alloc::PeakAlloc;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use sync::{Config, Envelope, Frontier, Hello, Input, LogRange, Output, SpaceDelta, Sync, Want};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const TAG: SpaceTag = SpaceTag([7; 16]);
const PEER: DeviceId = DeviceId([2; 32]);

// One at a time: they share the count.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A machine that shares a space with one peer, and a carrier whose queue nobody may ever take from.
struct Node {
    sync: Sync,
    now: u64,
    queued: usize,
    handed: usize,
    answers: usize,
    stalled: bool,
}

impl Node {
    fn new(logs: BTreeMap<LogId, Vec<(u64, Hash)>>) -> Node {
        let sync = Sync::new(DeviceId([1; 32]), Config::default(), 1);
        let mut node = Node { sync, now: 1_000, queued: 0, handed: 0, answers: 0, stalled: false };
        node.give(Input::Space { tag: TAG, logs });
        node.give(Input::Allow { peer: PEER, tags: [TAG].into() });
        node.give(Input::Connected { peer: PEER });
        node.hear(Envelope::Frontier(Frontier { announce: Some(vec![TAG]), ..Frontier::default() }));
        node
    }

    fn hear(&mut self, envelope: Envelope) {
        self.give(Input::Received { peer: PEER, envelope });
    }

    // Entries that are delivered wait for ever: nothing is known of their authors.
    fn give(&mut self, input: Input) {
        let mut todo = VecDeque::from([input]);
        let mut out = Vec::new();
        while let Some(input) = todo.pop_front() {
            self.sync.step(self.now, input, &mut out);
            for output in out.drain(..) {
                todo.extend(self.answer(output));
            }
        }
    }

    fn answer(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { envelope, .. } => {
                self.answers += 1;
                self.handed += envelope.encode().len();
                None
            }
            Output::SendEntries { peer, job, from, to, budget, .. } => {
                if self.queued + budget > limit::SEND_BYTES {
                    // The carrier's queue is full: it is answered when there is room, which is never.
                    self.stalled = true;
                    return None;
                }
                let places = (to - from + 1).min(budget.div_ceil(1000) as u64);
                let bytes = places as usize * 1000;
                self.queued += bytes;
                self.handed += bytes;
                Some(Input::Sent { peer, job, next: from + places, bytes, queued: self.queued })
            }
            Output::Deliver { from, tag, entry } => Some(Input::Waits { from, tag, entry }),
            _ => None,
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.sync.next_wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.give(Input::Tick);
        }
        self.now = end;
    }
}

fn h(n: u64) -> Hash {
    Hash::of(&[&n.to_be_bytes()])
}

fn log(n: u64) -> LogId {
    LogId { device: DeviceId(h(n).0), incarnation: Incarnation([1; 8]) }
}

fn entry(log: LogId, seq: u64, prev: Option<Hash>, size: usize) -> Vec<u8> {
    let header = Header {
        kind: EntryKind::Content,
        tag: TAG,
        log,
        run: Run([1; 8]),
        seq,
        lamport: seq + 1,
        prev,
        deps: Vec::new(),
        epoch: Some(EpochId([8; 32])),
        auth: Vec::new(),
        chunks: None,
    };
    Entry::assemble(&header, &vec![0; size], &[0; 64]).unwrap().bytes().to_vec()
}

/// What a machine holds after `run`, and the most it held meanwhile, beyond what it held before.
fn held(node: &mut Node, run: impl FnOnce(&mut Node)) -> (usize, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    run(node);
    (MEMORY.current_usage().saturating_sub(before), MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn a_peer_that_does_not_read_gets_no_more_than_the_queue_holds() {
    let _alone = alone();
    let mut node = Node::new(BTreeMap::from([(log(1), vec![(999_999, h(1))])]));
    let (after, peak) = held(&mut node, |node| {
        let deltas = vec![SpaceDelta { tag: TAG, whole: true, logs: Vec::new() }];
        node.hear(Envelope::Frontier(Frontier { deltas, ..Frontier::default() }));
        for n in 0..16 {
            let range = LogRange { tag: TAG, log: log(1), from: n * 60_000, to: n * 60_000 + 59_999 };
            node.hear(Envelope::Want(Want { ranges: vec![range], ..Want::default() }));
        }
        node.wait(3_600_000);
    });
    println!(
        "slow reader, an hour: {} B in the queue, {} B handed over, {after} B held, {peak} B at most",
        node.queued, node.handed
    );
    assert!(node.queued > 0 && node.queued <= limit::SEND_BYTES);
    assert!(peak < 1 << 20, "the machine itself holds next to nothing: {peak}");
}

#[test]
fn a_flood_of_entries_fills_the_peers_share_and_no_more() {
    let _alone = alone();
    let mut node = Node::new(BTreeMap::new());
    let shares = limit::HELD_BYTES * 2;
    let (after, peak) = held(&mut node, |node| {
        for n in 0..3_000u64 {
            // Half of them have no predecessor, half no known author.
            let ahead = entry(log(n), n + 5, Some(h(n)), 100_000);
            let unjudged = entry(log(1_000_000 + n), 0, None, 100_000);
            node.hear(Envelope::Entries(vec![ahead, unjudged]));
            node.wait(100);
        }
    });
    println!("flood of 600 MB of entries: {after} B held, {peak} B at most, {} waiting", node.sync.held());
    assert!(node.sync.held() > 100, "some of it is held");
    assert!(peak < shares + (4 << 20), "{peak} B, {shares} are the shares");
}

#[test]
fn a_flood_of_small_talk_is_not_remembered() {
    let _alone = alone();
    let mut node = Node::new(BTreeMap::new());
    let (after, peak) = held(&mut node, |node| {
        for n in 0..100_000u64 {
            node.hear(match n % 4 {
                0 => Envelope::Hello(Hello { version: 1, node: PEER, digest: h(n), time: n }),
                1 => Envelope::Frontier(Frontier { greet: true, ..Frontier::default() }),
                2 => Envelope::Entries(vec![h(n).0.to_vec()]),
                _ => Envelope::Chunk { tag: TAG, id: base::ChunkId(h(n).0), bytes: Some(vec![0; 1000]) },
            });
            node.wait(1);
        }
    });
    println!("100,000 envelopes of small talk: {after} B held, {peak} B at most, {} answers", node.answers);
    assert!(peak < 256 << 10, "{peak}");
    assert!(node.answers < 10_000, "{}", node.answers);
}

#[test]
fn frontiers_without_end_are_held_within_their_bound() {
    let _alone = alone();
    let mut node = Node::new(BTreeMap::new());
    let claim = |ids: std::ops::Range<u64>| {
        let mut logs: Vec<_> = ids.map(|n| (log(n), vec![(1 << 60, h(n))])).collect();
        logs.sort_unstable();
        let deltas = vec![SpaceDelta { tag: TAG, whole: false, logs }];
        Envelope::Frontier(Frontier { deltas, pull: true, ..Frontier::default() })
    };
    let (after, peak) = held(&mut node, |node| {
        node.hear(claim(0..1));
        node.wait(600_000);
    });
    println!("one log of 2^60 entries: {after} B held, {peak} B at most, {} B said", node.handed);
    assert!(peak < 64 << 10, "{peak}");
    let (after, peak) = held(&mut node, |node| {
        for n in 0..100u64 {
            node.hear(claim(n * 1_000..(n + 1) * 1_000));
            node.wait(10_000);
        }
    });
    println!("100,000 logs of 2^60 entries: {after} B held, {peak} B at most");
    assert!(peak < limit::FRONTIER_LOGS * 1024, "{peak}");
}

#[test]
fn a_million_tiny_wants_are_neither_kept_nor_all_served() {
    let _alone = alone();
    let mut node = Node::new(BTreeMap::from([(log(1), vec![(9_999, h(1))])]));
    let (after, peak) = held(&mut node, |node| {
        for n in 0..1_000_000 / limit::WANTS as u64 {
            let place = |k: u64| (n * 64 + k) % 10_000;
            let range = |k: u64| LogRange { tag: TAG, log: log(1), from: place(k), to: place(k) };
            let ranges = (0..limit::WANTS as u64).map(range).collect();
            node.hear(Envelope::Want(Want { ranges, ..Want::default() }));
            node.wait(1);
        }
    });
    println!("a million wants: {after} B held, {peak} B at most, {} B handed over", node.handed);
    assert!(peak < 4 << 20, "{peak}");
    assert!(node.queued <= limit::SEND_BYTES);
}
