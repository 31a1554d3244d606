//! Gossip that lies: it says something of its own space or nothing, it lowers nothing, and whoever
//! passed it on answers for it. And what one peer may ask for, hand over or fork.

use base::{
    ChunkId, DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag, limit,
};
use std::collections::BTreeMap;
use sync::{
    Config, Envelope, Frontier, Input, LogRange, Offence, Output, SpaceDelta, Sync, Want, highest_tips,
};

const TAG: SpaceTag = SpaceTag([7; 16]);
const OTHER: SpaceTag = SpaceTag([8; 16]);
const FRIEND: DeviceId = DeviceId([2; 32]);
const AUTHOR: DeviceId = DeviceId([3; 32]);

fn h(n: u64) -> Hash {
    Hash::of(&[&n.to_be_bytes()])
}

fn log(device: DeviceId) -> LogId {
    LogId { device, incarnation: Incarnation([1; 8]) }
}

fn entry(kind: EntryKind, tag: SpaceTag, log: LogId, prev: Option<(u64, Hash)>) -> Entry {
    let seq = prev.map_or(0, |(seq, _)| seq + 1);
    let header = Header {
        kind,
        tag,
        log,
        run: Run([1; 8]),
        seq,
        lamport: seq + 1,
        prev: prev.map(|(_, hash)| hash),
        deps: Vec::new(),
        epoch: (kind == EntryKind::Content).then_some(EpochId([8; 32])),
        auth: Vec::new(),
        chunks: None,
    };
    Entry::assemble(&header, b"body", &[0; 64]).unwrap()
}

fn content(log: LogId, prev: Option<(u64, Hash)>) -> Entry {
    entry(EntryKind::Content, TAG, log, prev)
}

fn entries(list: &[&Entry]) -> Envelope {
    Envelope::Entries(list.iter().map(|entry| entry.bytes().to_vec()).collect())
}

struct Node {
    sync: Sync,
    now: u64,
}

impl Node {
    // Holds two spaces; two peers are connected, who share both.
    fn new(logs: BTreeMap<LogId, Vec<(u64, Hash)>>) -> Node {
        let mut node = Node { sync: Sync::new(DeviceId([1; 32]), Config::default(), 1), now: 1_000 };
        node.step(Input::Space { tag: TAG, logs });
        node.step(Input::Space { tag: OTHER, logs: BTreeMap::new() });
        for peer in [FRIEND, AUTHOR] {
            node.step(Input::Allow { peer, tags: [TAG, OTHER].into() });
            node.step(Input::Connected { peer });
            let announce = Frontier { announce: Some(vec![TAG, OTHER]), ..Frontier::default() };
            node.received(peer, Envelope::Frontier(announce));
        }
        node
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.sync.step(self.now, input, &mut out);
        out
    }

    fn received(&mut self, peer: DeviceId, envelope: Envelope) -> Vec<Output> {
        self.step(Input::Received { peer, envelope })
    }

    fn gossip(&mut self, envelope: Envelope) -> Vec<Output> {
        self.step(Input::Gossip { via: FRIEND, tag: TAG, envelope })
    }

    // Lets time pass; everything that was put out meanwhile.
    fn wait(&mut self, ms: u64) -> Vec<Output> {
        let end = self.now + ms;
        let mut all = Vec::new();
        while let Some(at) = self.sync.next_wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            all.extend(self.step(Input::Tick));
        }
        self.now = end;
        all
    }

    fn tell(&mut self, peer: DeviceId, logs: Vec<(LogId, Vec<(u64, Hash)>)>) -> Vec<Output> {
        self.received(peer, frontier(TAG, true, logs))
    }
}

fn frontier(tag: SpaceTag, whole: bool, logs: Vec<(LogId, Vec<(u64, Hash)>)>) -> Envelope {
    Envelope::Frontier(Frontier { deltas: vec![SpaceDelta { tag, whole, logs }], ..Frontier::default() })
}

fn delivered(out: &[Output]) -> Vec<(Option<DeviceId>, Hash)> {
    let one = |output: &Output| match output {
        Output::Deliver { from, entry, .. } => Some((*from, entry.hash())),
        _ => None,
    };
    out.iter().filter_map(one).collect()
}

fn ranges(out: &[Output], whom: DeviceId) -> Vec<LogRange> {
    let one = |output: &Output| match output {
        Output::Send { peer, envelope: Envelope::Want(want) } if *peer == whom => Some(want.ranges.clone()),
        _ => None,
    };
    out.iter().filter_map(one).flatten().collect()
}

fn misbehaved(out: &[Output]) -> Vec<(DeviceId, Offence)> {
    let one = |output: &Output| match output {
        Output::Misbehaved { peer, why } => Some((*peer, *why)),
        _ => None,
    };
    out.iter().filter_map(one).collect()
}

#[test]
fn gossip_brings_content_of_its_own_space_and_nothing_else() {
    let mut node = Node::new(BTreeMap::new());
    let good = content(log(AUTHOR), None);
    let elsewhere = entry(EntryKind::Content, OTHER, log(AUTHOR), None);
    let operation = entry(EntryKind::Membership, TAG, log(AUTHOR), None);
    let statement = entry(EntryKind::Statement, TAG, log(AUTHOR), None);
    let genesis = entry(EntryKind::Membership, SpaceTag::default(), log(AUTHOR), None);
    let out = node.gossip(entries(&[&elsewhere, &operation, &statement, &genesis, &good]));
    assert_eq!(delivered(&out), [(None, good.hash())]);
    let not_held = SpaceTag([9; 16]);
    let other = content(log(FRIEND), None);
    let out = node.step(Input::Gossip { via: FRIEND, tag: not_held, envelope: entries(&[&other]) });
    assert!(out.is_empty());
    let out = node.step(Input::Gossip { via: DeviceId([66; 32]), tag: TAG, envelope: entries(&[&other]) });
    assert!(delivered(&out).is_empty(), "nobody answers for it");
    // The same on a link is taken.
    let out = node.received(AUTHOR, entries(&[&elsewhere, &operation]));
    assert_eq!(delivered(&out).len(), 2);
}

#[test]
fn whoever_passes_on_what_is_refused_answers_for_it_and_keeps_the_link() {
    let mut node = Node::new(BTreeMap::new());
    let mut told = Vec::new();
    let mut taken = 0;
    for n in 0..2_000u64 {
        let id = LogId { device: AUTHOR, incarnation: Incarnation(n.to_be_bytes()) };
        let junk = content(id, None);
        let out = node.gossip(entries(&[&junk]));
        told.extend(misbehaved(&out));
        for (_, hash) in delivered(&out) {
            taken += 1;
            told.extend(misbehaved(&node.step(Input::Refused { tag: TAG, log: id, seq: 0, hash })));
        }
    }
    assert_eq!(told, [(FRIEND, Offence::Gossip)], "told once");
    assert!(taken <= 201, "{taken}");
    // What the friend says itself counts, and after a while its gossip as well.
    let own = content(log(FRIEND), None);
    assert_eq!(delivered(&node.received(FRIEND, entries(&[&own]))), [(Some(FRIEND), own.hash())]);
    node.wait(60_000);
    let good = content(log(AUTHOR), None);
    assert_eq!(delivered(&node.gossip(entries(&[&good]))).len(), 1);
}

#[test]
fn junk_by_gossip_ends_unheard() {
    let mut node = Node::new(BTreeMap::new());
    let mut told = Vec::new();
    for n in 0..500u64 {
        told.extend(misbehaved(&node.gossip(Envelope::Entries(vec![n.to_be_bytes().to_vec()]))));
        told.extend(misbehaved(&node.gossip(Envelope::Want(Want::default()))));
    }
    assert_eq!(told, [(FRIEND, Offence::Gossip)]);
    // And who is over its bounds on the link is not heard by gossip either.
    let mut node = Node::new(BTreeMap::new());
    for n in 0..500u64 {
        node.received(FRIEND, Envelope::Entries(vec![n.to_be_bytes().to_vec()]));
    }
    assert!(delivered(&node.gossip(entries(&[&content(log(AUTHOR), None)]))).is_empty());
}

#[test]
fn an_announcement_raises_what_is_believed_and_lowers_nothing() {
    let mine = BTreeMap::from([(log(AUTHOR), vec![(9, h(9))])]);
    let mut node = Node::new(mine.clone());
    for peer in [FRIEND, AUTHOR] {
        node.tell(peer, vec![(log(AUTHOR), vec![(9, h(9))])]);
    }
    let believed = |node: &Node, peer: DeviceId| node.sync.frontier_of(&peer, &TAG).unwrap();
    assert_eq!(believed(&node, AUTHOR), mine);
    // Lower, none, whole, of another space, of another's log, of nobody's: nothing changes.
    for envelope in [
        frontier(TAG, false, vec![(log(AUTHOR), vec![(3, h(3))])]),
        frontier(TAG, false, vec![(log(AUTHOR), vec![])]),
        frontier(TAG, true, vec![]),
        frontier(TAG, true, vec![(log(AUTHOR), vec![(20, h(20))])]),
        frontier(OTHER, false, vec![(log(AUTHOR), vec![(20, h(20))])]),
        frontier(TAG, false, vec![(log(DeviceId([9; 32])), vec![(20, h(20))])]),
        frontier(TAG, false, vec![(log(AUTHOR), vec![(u64::MAX, h(20))])]),
        Envelope::Frontier(Frontier { announce: Some(vec![]), greet: true, ..Frontier::default() }),
    ] {
        let out = node.gossip(envelope);
        assert!(out.is_empty(), "{out:?}");
        assert_eq!(believed(&node, AUTHOR), mine);
        assert_eq!(believed(&node, FRIEND), mine);
        assert_eq!(node.sync.peer(&AUTHOR).unwrap().shared, 2);
    }
    // Higher: the author is asked, unless it brings it by itself; nobody else is believed to have it.
    assert!(node.gossip(frontier(TAG, false, vec![(log(AUTHOR), vec![(20, h(20))])])).is_empty());
    assert_eq!(believed(&node, AUTHOR)[&log(AUTHOR)], [(20, h(20))]);
    assert_eq!(believed(&node, FRIEND), mine);
    let out = node.wait(4_000);
    assert_eq!(ranges(&out, AUTHOR), [LogRange { tag: TAG, log: log(AUTHOR), from: 10, to: 20 }]);
    assert!(ranges(&out, FRIEND).is_empty());
    // What the author says itself holds.
    node.tell(AUTHOR, vec![(log(AUTHOR), vec![(9, h(9))])]);
    assert_eq!(believed(&node, AUTHOR), mine);
}

#[test]
fn announced_logs_that_nobody_has_are_few() {
    let mut node = Node::new(BTreeMap::new());
    for n in 0..100u64 {
        let id = LogId { device: AUTHOR, incarnation: Incarnation(n.to_be_bytes()) };
        node.gossip(frontier(TAG, false, vec![(id, vec![(1_000, h(n))])]));
    }
    let view = node.sync.peer(&AUTHOR).unwrap();
    assert_eq!(view.behind_us, 16 * 1_001);
}

#[test]
fn made_up_gossip_makes_nobody_send_again_what_is_here() {
    let mut node = Node::new(BTreeMap::from([(log(AUTHOR), vec![(900, h(900))])]));
    let mut out = Vec::new();
    for n in 0..50u64 {
        out.extend(node.gossip(entries(&[&content(log(AUTHOR), Some((700 + n, h(n))))])));
        let unheard = LogId { device: AUTHOR, incarnation: Incarnation(n.to_be_bytes()) };
        out.extend(node.gossip(entries(&[&content(unheard, Some((5, h(n))))])));
    }
    assert!(ranges(&out, AUTHOR).is_empty() && ranges(&out, FRIEND).is_empty());
    // A gap at the end of a log is asked for at once.
    let out = node.gossip(entries(&[&content(log(AUTHOR), Some((902, h(902))))]));
    assert_eq!(ranges(&out, AUTHOR), [LogRange { tag: TAG, log: log(AUTHOR), from: 901, to: 902 }]);
}

#[test]
fn forty_forks_of_one_log_still_make_frontiers_that_can_be_read() {
    let all: Vec<(u64, Hash)> = (0..40).map(|n| (10 + n % 5, h(n))).collect();
    let mut expected = all.clone();
    highest_tips(&mut expected);
    assert_eq!(expected.len(), limit::TIPS);
    assert!(expected.is_sorted() && expected.iter().all(|tip| tip.0 >= 12));
    let mut node = Node::new(BTreeMap::from([(log(AUTHOR), all.clone())]));
    assert_eq!(node.sync.frontier(&TAG).unwrap()[&log(AUTHOR)], expected);
    node.step(Input::Recall {
        peer: FRIEND,
        announced: [TAG, OTHER].into(),
        frontiers: [(TAG, [(log(AUTHOR), all.clone())].into())].into(),
    });
    assert_eq!(node.sync.frontier_of(&FRIEND, &TAG).unwrap()[&log(AUTHOR)], expected);
    let seq = 30;
    for n in 0..40 {
        let (tag, log, prev) = (TAG, log(AUTHOR), Some(h(1_000 + n)));
        node.step(Input::Stored { tag, log, seq, hash: h(100 + n), prev, bytes: 10 });
    }
    node.tell(AUTHOR, vec![]);
    let mut frontiers = 0;
    for output in node.wait(20_000) {
        if let Output::Send { envelope, .. } = output {
            frontiers += usize::from(matches!(envelope, Envelope::Frontier(_)));
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }
    assert!(frontiers > 0);
    // Nor does anything written by others ever make one that cannot.
    let written = frontier(TAG, false, vec![(log(AUTHOR), (0..40).map(|n| (n, h(n))).collect())]);
    assert!(Envelope::decode(&written.encode()).is_ok());
}

#[test]
fn requests_for_chunks_and_large_shares_cost_what_they_are() {
    let mut node = Node::new(BTreeMap::new());
    let nowhere = SpaceTag([9; 16]);
    let mut answers = 0;
    for n in 0..1_000u64 {
        let chunks = (0..limit::WANTS as u64).map(|m| (nowhere, ChunkId(h(n * 100 + m).0))).collect();
        let out = node.received(FRIEND, Envelope::Want(Want { chunks, ..Want::default() }));
        answers += out.iter().filter(|output| matches!(output, Output::Send { .. })).count();
    }
    assert!(answers < 70 * limit::WANTS, "{answers}");

    let mut node = Node::new(BTreeMap::new());
    let share = |size: usize| Envelope::Share { name: "x".into(), entries: vec![vec![0; size]] };
    let mut offered = 0;
    for _ in 0..100 {
        let out = node.received(FRIEND, share(4 << 20));
        offered += out.iter().filter(|output| matches!(output, Output::Offer { .. })).count();
    }
    assert_eq!(offered, 19, "eighty megabytes at once, and then they are ignored for a while");
    assert_eq!(node.received(AUTHOR, share(100)).len(), 1);
}
