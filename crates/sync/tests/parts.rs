//! Large chunks come in parts, and go on where a link broke.

use base::{ChunkId, DeviceId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};
use sync::{Config, Envelope, Frontier, Input, Output, Part, Sync, chunk_envelopes};

const TAG: SpaceTag = SpaceTag([7; 16]);
const ME: DeviceId = DeviceId([1; 32]);

fn friend(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

fn id(n: u8) -> ChunkId {
    ChunkId([n; 32])
}

struct Node {
    sync: Sync,
    now: u64,
}

impl Node {
    fn new(friends: &[DeviceId]) -> Node {
        let mut node = Node { sync: Sync::new(ME, Config::default(), 1), now: 0 };
        node.step(Input::Space { tag: TAG, logs: BTreeMap::new() });
        for peer in friends {
            node.step(Input::Allow { peer: *peer, tags: BTreeSet::from([TAG]) });
        }
        node
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        self.now += 10;
        let mut out = Vec::new();
        self.sync.step(self.now, input, &mut out);
        out
    }

    // What is said when a link with a friend comes up who announces the space.
    fn meet(&mut self, peer: DeviceId) -> Vec<Output> {
        let mut out = self.step(Input::Connected { peer });
        let announce = Frontier { announce: Some(vec![TAG]), ..Frontier::default() };
        out.extend(self.step(Input::Received { peer, envelope: Envelope::Frontier(announce) }));
        out
    }

    fn hear(&mut self, peer: DeviceId, envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Output> {
        envelopes.into_iter().flat_map(|envelope| self.step(Input::Received { peer, envelope })).collect()
    }
}

// The chunks that are asked for: whole, or from which byte on.
fn asked(out: &[Output]) -> Vec<(ChunkId, u64)> {
    let of = |output: &Output| match output {
        Output::Send { envelope: Envelope::Want(want), .. } => {
            want.chunks.iter().map(|(_, id)| (*id, 0)).collect()
        }
        Output::Send { envelope: Envelope::Rest { id, from, .. }, .. } => vec![(*id, *from)],
        _ => Vec::new(),
    };
    out.iter().flat_map(of).collect()
}

fn delivered(out: &[Output]) -> Vec<(ChunkId, Vec<u8>)> {
    let of = |output: &Output| match output {
        Output::DeliverChunk { id, bytes, .. } => Some((*id, bytes.clone())),
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|n| (n / 7) as u8).collect()
}

#[test]
fn a_chunk_goes_on_where_the_link_broke() {
    let mut node = Node::new(&[friend(2)]);
    node.step(Input::ChunksWanted { tag: TAG, ids: vec![id(1), id(2)] });
    assert_eq!(asked(&node.meet(friend(2))), [(id(1), 0), (id(2), 0)]);
    let whole = bytes(1000);
    let sent = chunk_envelopes(TAG, id(1), Some(whole.clone()), 0, 300);
    assert_eq!(delivered(&node.hear(friend(2), sent.take(2))), []);
    node.step(Input::Disconnected { peer: friend(2) });
    // The second is not begun: it is asked for whole, and behind the first.
    assert_eq!(asked(&node.meet(friend(2))), [(id(1), 600), (id(2), 0)]);
    let rest: Vec<Envelope> = chunk_envelopes(TAG, id(1), Some(whole.clone()), 600, 300).collect();
    assert_eq!(rest.iter().map(Envelope::payload).collect::<Vec<_>>(), [300, 100]);
    assert_eq!(delivered(&node.hear(friend(2), rest)), [(id(1), whole)]);
}

#[test]
fn a_small_chunk_is_one_message_and_who_has_more_than_there_is_begins_anew() {
    let small: Vec<Envelope> = chunk_envelopes(TAG, id(1), Some(bytes(300)), 0, 300).collect();
    assert_eq!(small, [Envelope::Chunk { tag: TAG, id: id(1), bytes: Some(bytes(300)) }]);
    assert_eq!(chunk_envelopes(TAG, id(1), Some(bytes(300)), 300, 300).collect::<Vec<_>>(), small);
    let none: Vec<Envelope> = chunk_envelopes(TAG, id(1), None, 5, 300).collect();
    assert_eq!(none, [Envelope::Chunk { tag: TAG, id: id(1), bytes: None }]);
}

#[test]
fn parts_that_do_not_follow_are_thrown_away_and_asked_for_again() {
    let mut node = Node::new(&[friend(2)]);
    node.step(Input::ChunksWanted { tag: TAG, ids: vec![id(1)] });
    node.meet(friend(2));
    let part = |from, whole| Envelope::Part(Part { tag: TAG, id: id(1), from, whole, bytes: bytes(100) });
    node.hear(friend(2), [part(0, 1000)]);
    assert_eq!(asked(&node.hear(friend(2), [part(300, 1000)])), [(id(1), 0)], "a hole");
    node.hear(friend(2), [part(0, 1000)]);
    assert_eq!(asked(&node.hear(friend(2), [part(100, 2000)])), [(id(1), 0)], "another length");
    let out = node.hear(friend(2), [part(0, 200), part(100, 200)]);
    assert_eq!(delivered(&out).len(), 1);
    // What nobody asked for is not kept.
    assert_eq!(asked(&node.hear(friend(2), [part(0, 1000)])), []);
}

#[test]
fn another_friend_is_asked_for_all_of_it() {
    let mut node = Node::new(&[friend(2), friend(3)]);
    node.step(Input::ChunksWanted { tag: TAG, ids: vec![id(1)] });
    node.meet(friend(2));
    let whole = bytes(1000);
    node.hear(friend(2), chunk_envelopes(TAG, id(1), Some(whole.clone()), 0, 300).take(2));
    node.meet(friend(3));
    let out = node.step(Input::Disconnected { peer: friend(2) });
    assert_eq!(asked(&out), [(id(1), 0)], "nobody answers for what somebody else began");
    let out = node.hear(friend(3), chunk_envelopes(TAG, id(1), Some(whole.clone()), 0, 300));
    assert_eq!(delivered(&out), [(id(1), whole)]);
    node.step(Input::ChunkStored { tag: TAG, id: id(1) });
    assert_eq!(asked(&node.meet(friend(2))), [], "it is here");
}

#[test]
fn beginnings_of_friends_who_are_gone_are_bounded() {
    const BEGUN: usize = 4 << 20;
    let most = limit::PARTIAL_BYTES / BEGUN;
    let friends: Vec<DeviceId> = (2..2 + 3 * most as u8).map(friend).collect();
    let mut node = Node::new(&friends);
    for peer in &friends {
        node.step(Input::ChunksWanted { tag: TAG, ids: vec![id(peer.0[0])] });
        node.meet(*peer);
        let begun = chunk_envelopes(TAG, id(peer.0[0]), Some(bytes(limit::CHUNK_BYTES)), 0, BEGUN);
        node.hear(*peer, begun.take(1));
        node.step(Input::Disconnected { peer: *peer });
    }
    let resumed = friends.iter().filter(|peer| {
        let out = node.meet(**peer);
        node.step(Input::Disconnected { peer: **peer });
        asked(&out).iter().any(|(_, from)| *from > 0)
    });
    assert_eq!(resumed.count(), most);
}
