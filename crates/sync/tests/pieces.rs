//! Large entries come in pieces, and go on where a link broke.

use base::{DeviceId, Entry, EntryKind, Hash, Header, Incarnation, LogId, Run, SpaceTag, limit};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use sync::{Config, Cut, Envelope, Frontier, Input, Output, Piece, Sync, entry_envelopes};

const TAG: SpaceTag = SpaceTag([7; 16]);
const ME: DeviceId = DeviceId([1; 32]);
const PEER: DeviceId = DeviceId([2; 32]);

fn entry(n: u8, bytes: usize) -> Entry {
    let header = Header {
        kind: EntryKind::Content,
        tag: TAG,
        log: LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n; 8]) },
        run: Run([1; 8]),
        seq: 0,
        lamport: 1,
        prev: None,
        deps: Vec::new(),
        epoch: Some(base::EpochId([8; 32])),
        auth: Vec::new(),
        chunks: None,
    };
    let body: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
    Entry::assemble(&header, &body, &[0; 64]).unwrap()
}

fn cut(part: usize) -> Cut {
    Cut { part, ..Cut::default() }
}

fn pieces(entry: &Entry, cut: &Cut) -> Vec<Envelope> {
    entry_envelopes(TAG, vec![entry.bytes().to_vec()], cut)
}

struct Node {
    sync: Sync,
    now: u64,
}

impl Node {
    fn new() -> Node {
        let mut node = Node { sync: Sync::new(ME, Config::default(), 1), now: 0 };
        node.step(Input::Space { tag: TAG, logs: BTreeMap::new() });
        node.step(Input::Allow { peer: PEER, tags: BTreeSet::from([TAG]) });
        node.meet();
        node
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        self.now += 10;
        let mut out = Vec::new();
        self.sync.step(self.now, input, &mut out);
        out
    }

    fn meet(&mut self) -> Vec<Output> {
        let mut out = self.step(Input::Connected { peer: PEER });
        let announce = Frontier { announce: Some(vec![TAG]), ..Frontier::default() };
        out.extend(self.step(Input::Received { peer: PEER, envelope: Envelope::Frontier(announce) }));
        out
    }

    fn part(&mut self) {
        self.step(Input::Disconnected { peer: PEER });
    }

    fn hear(&mut self, envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Output> {
        let receive = |envelope| self.step(Input::Received { peer: PEER, envelope });
        envelopes.into_iter().flat_map(receive).collect()
    }
}

fn delivered(out: &[Output]) -> Vec<Entry> {
    let of = |output: &Output| match output {
        Output::Deliver { entry, .. } => Some(entry.clone()),
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

// What the sender is told of what is here.
fn begun(out: &[Output]) -> Vec<(Hash, u64)> {
    let of = |output: &Output| match output {
        Output::Send { envelope: Envelope::Begun { hash, from, .. }, .. } => Some((*hash, *from)),
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

#[test]
fn an_entry_goes_on_where_the_link_broke() {
    let (large, mut node) = (entry(3, 5000), Node::new());
    let sent = pieces(&large, &cut(1000));
    assert_eq!(sent.len(), large.bytes().len().div_ceil(1000));
    assert!(delivered(&node.hear(sent[..2].to_vec())).is_empty());
    node.part();
    // Before anything else is said.
    let out = node.meet();
    assert_eq!(begun(&out[..1]), [(large.hash(), 2000)]);
    let rest = pieces(&large, &Cut { begun: begun(&out).into_iter().collect(), ..cut(1000) });
    assert_eq!(rest.len(), sent.len() - 2);
    assert_eq!(delivered(&node.hear(rest)), [large]);
    node.part();
    assert_eq!(begun(&node.meet()), []);
}

#[test]
fn a_sender_goes_on_where_it_is_told_to() {
    let mut node = Node::new();
    let large = entry(1, 500_000);
    let stored = Input::Stored {
        tag: TAG,
        log: large.header().log,
        seq: 0,
        hash: large.hash(),
        prev: None,
        bytes: large.bytes().len(),
    };
    node.step(stored);
    node.part();
    let mut out = node.step(Input::Connected { peer: PEER });
    let told = Envelope::Begun { tag: TAG, hash: large.hash(), from: 300_000 };
    let lacking = sync::SpaceDelta { tag: TAG, whole: true, logs: Vec::new() };
    let frontier = Frontier { announce: Some(vec![TAG]), deltas: vec![lacking], ..Frontier::default() };
    out.extend(node.hear([told, Envelope::Frontier(frontier)]));
    let mut cuts = Vec::new();
    for _ in 0..500 {
        cuts.extend(out.drain(..).filter_map(|output| match output {
            Output::SendEntries { cut, .. } => Some(cut),
            _ => None,
        }));
        out = node.step(Input::Tick);
    }
    let cut = cuts.first().expect("what it lacks is sent");
    assert_eq!(cut.begun, BTreeMap::from([(large.hash(), 300_000)]));
    let sent: usize = pieces(&large, cut).iter().map(Envelope::payload).sum();
    assert_eq!(sent, large.bytes().len() - 300_000);
}

#[test]
fn small_entries_go_as_they_are() {
    let (small, large) = (entry(3, 10), entry(4, 3000));
    let list = vec![small.bytes().to_vec(), small.bytes().to_vec(), large.bytes().to_vec()];
    let words = |list, part| {
        let envelopes = entry_envelopes(TAG, list, &cut(part));
        envelopes.iter().map(Envelope::word).collect::<Vec<_>>()
    };
    assert_eq!(words(list.clone(), 2000), ["entries", "piece", "piece"]);
    assert_eq!(words(list, 4000), ["entries"]);
}

#[test]
fn what_is_no_entry_of_that_hash_is_begun_anew() {
    let (large, mut node) = (entry(3, 3000), Node::new());
    let mut sent = pieces(&large, &cut(1000));
    if let Envelope::Piece(piece) = &mut sent[1] {
        piece.bytes[5] ^= 1;
    }
    let out = node.hear(sent);
    assert!(delivered(&out).is_empty());
    assert_eq!(begun(&out), [(large.hash(), 0)]);
    assert_eq!(delivered(&node.hear(pieces(&large, &cut(1000)))), [large]);
}

// The entry was whole, was not taken, and is sent again from where the link had broken then.
#[test]
fn who_goes_on_where_nothing_is_hears_so() {
    let (large, mut node) = (entry(3, 5000), Node::new());
    let told = Cut { begun: BTreeMap::from([(large.hash(), 3000)]), ..cut(1000) };
    assert_eq!(begun(&node.hear(pieces(&large, &told))), [(large.hash(), 0)]);
    assert_eq!(delivered(&node.hear(pieces(&large, &cut(1000)))), [large]);
}

// However many are begun, of however large entries: a bound holds, and what is nearly whole is not given up.
#[test]
fn beginnings_are_bounded() {
    let mut node = Node::new();
    let piece = |n: u8, whole: u64, bytes: usize| {
        let log = LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n; 8]) };
        let (hash, bytes) = (Hash([n; 32]), vec![n; bytes]);
        Envelope::Piece(Piece { tag: TAG, log, seq: 0, hash, from: 0, whole, bytes })
    };
    let whole = limit::ENTRY_BYTES as u64;
    node.hear([piece(1, whole, 9000), piece(2, whole, 5000)]);
    node.hear((3..100).map(|n| piece(n, whole, n.into())));
    node.part();
    assert_eq!(begun(&node.meet()), [(Hash([1; 32]), 9000), (Hash([2; 32]), 5000)]);
    node.hear((100..200).map(|n| piece(n, 1000, n.into())));
    node.part();
    let kept = begun(&node.meet());
    assert!(kept.len() <= 16 && kept.contains(&(Hash([1; 32]), 9000)), "{kept:?}");
    // Nor may one be in more pieces than there is use for.
    let mut node = Node::new();
    let scattered = (1..3000).map(|n| {
        let log = LogId { device: DeviceId([201; 32]), incarnation: Incarnation([1; 8]) };
        let (hash, whole) = (Hash([201; 32]), 100_000);
        Envelope::Piece(Piece { tag: TAG, log, seq: 0, hash, from: 3 * n, whole, bytes: vec![1] })
    });
    assert!(begun(&node.hear(scattered)).contains(&(Hash([201; 32]), 0)));
}

// What somebody else brought whole is not kept in part.
#[test]
fn what_is_here_is_not_waited_for() {
    let (large, mut node) = (entry(3, 5000), Node::new());
    node.hear(pieces(&large, &cut(1000)).into_iter().take(2));
    let (log, seq, hash) = (large.header().log, 0, large.hash());
    node.step(Input::Stored { tag: TAG, log, seq, hash, prev: None, bytes: 5000 });
    node.part();
    assert_eq!(begun(&node.meet()), []);
}

proptest! {
    #[test]
    fn pieces_may_come_in_any_order_and_of_any_size(
        bytes in 1usize..20_000,
        parts in proptest::collection::vec((64usize..5000, any::<u32>()), 1..4),
        seed in any::<u64>(),
    ) {
        let (large, mut node) = (entry(3, bytes), Node::new());
        let mut sent: Vec<Envelope> = parts
            .iter()
            .flat_map(|(part, turn)| pieces(&large, &Cut { turn: Some(*turn), ..cut(*part) }))
            .collect();
        let mut state = seed;
        for n in (1..sent.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sent.swap(n, (state >> 33) as usize % (n + 1));
        }
        let out = node.hear(sent);
        prop_assert_eq!(delivered(&out), [large]);
    }
}
