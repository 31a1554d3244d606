//! Golden bytes of what is inside a bundle, and a machine that is fed by nothing but bundles.

use base::{ChunkId, DeviceId, Hash, Incarnation, LogId, PersonId, SpaceTag};
use std::collections::BTreeMap;
use sync::{
    Composer, Config, Envelope, Frontier, Input, Item, Items, LogRange, Opening, SpaceDelta, Sync, Want,
};

const TAG: SpaceTag = SpaceTag([1; 16]);

fn log(n: u8) -> LogId {
    LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n + 1; 8]) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn golden_bytes_are_written_and_read_as_ever() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/bundle.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let golden: BTreeMap<&str, &str> =
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(' ')).collect();
    let delta = SpaceDelta { tag: TAG, whole: true, logs: vec![(log(2), vec![(5, Hash([6; 32]))])] };
    let frontier = Frontier { announce: Some(vec![TAG]), deltas: vec![delta], ..Frontier::default() };
    let envelopes = [
        Envelope::Frontier(frontier),
        Envelope::Want(Want { chunks: vec![(TAG, ChunkId([3; 32]))], ..Want::default() }),
        Envelope::Entries(vec![b"an entry".to_vec()]),
        Envelope::Chunk { tag: TAG, id: ChunkId([4; 32]), bytes: Some(b"sealed".to_vec()) },
    ];
    let opening = Opening { from: DeviceId([7; 32]), to: PersonId([8; 32]), number: 9 };
    let (mut composer, mut stream) = Composer::begin(&opening);
    for envelope in &envelopes {
        stream.extend(composer.add(envelope));
    }
    let digest = composer.digest();
    stream.extend(composer.close(&[5; 64]));
    assert_eq!(golden.get("stream").copied(), Some(hex(&stream).as_str()));
    assert_eq!(golden.get("digest").copied(), Some(hex(&digest.0).as_str()));
    let mut items = Items::default();
    items.push(&stream);
    let mut found = Vec::new();
    while let Some(item) = items.read().unwrap() {
        found.push(item);
    }
    let mut want = vec![Item::Opening(opening)];
    want.extend(envelopes.into_iter().map(Item::Envelope));
    want.push(Item::Closing { digest, signature: [5; 64] });
    assert_eq!(found, want);
}

// A node that holds one space with two logs, and a friend in it.
fn node(me: u8, friend: u8, tops: &[(u8, u64)]) -> Sync {
    let mut sync = Sync::new(DeviceId([me; 32]), Config::default(), 0);
    let logs = tops.iter().map(|(n, top)| (log(*n), vec![(*top, Hash([*n; 32]))])).collect();
    let mut out = Vec::new();
    sync.step(0, Input::Space { tag: TAG, logs }, &mut out);
    sync.step(0, Input::Allow { peer: DeviceId([friend; 32]), tags: [TAG].into() }, &mut out);
    assert!(out.is_empty(), "nobody is there to be told anything: {out:?}");
    sync
}

fn range(n: u8, from: u64, to: u64) -> LogRange {
    LogRange { tag: TAG, log: log(n), from, to }
}

#[test]
fn a_report_that_came_without_a_link_acknowledges_what_it_names() {
    let (ann, bob) = (DeviceId([1; 32]), DeviceId([2; 32]));
    let mut one = node(1, 2, &[(1, 9), (2, 4)]);
    let other = node(2, 1, &[(1, 6), (2, 7)]);
    // Nothing is known of him: everything.
    assert_eq!(one.lacking(&bob, false), [range(1, 0, 9), range(2, 0, 4)]);
    for frontier in other.report(&ann) {
        one.step(1, Input::Received { peer: bob, envelope: Envelope::Frontier(frontier) }, &mut Vec::new());
    }
    assert_eq!(one.lacking(&bob, false), [range(1, 7, 9)]);
    assert_eq!(one.lacking(&bob, true), [range(1, 0, 9), range(2, 0, 4)]);
    assert_eq!(one.announced(&bob), Some(&[TAG].into()));
    // What is kept of that over a restart gives the same answer.
    let known = one.frontier_of(&bob, &TAG).unwrap();
    let mut again = node(1, 2, &[(1, 9), (2, 4)]);
    let recall = Input::Recall { peer: bob, announced: [TAG].into(), frontiers: [(TAG, known)].into() };
    again.step(0, recall, &mut Vec::new());
    assert_eq!(again.lacking(&bob, false), [range(1, 7, 9)]);
}

#[test]
fn of_a_fork_everything_goes_along() {
    let bob = DeviceId([2; 32]);
    let mut one = Sync::new(DeviceId([1; 32]), Config::default(), 0);
    let tips = vec![(4, Hash([4; 32])), (9, Hash([9; 32]))];
    let mut out = Vec::new();
    one.step(0, Input::Space { tag: TAG, logs: [(log(1), tips)].into() }, &mut out);
    one.step(0, Input::Allow { peer: bob, tags: [TAG].into() }, &mut out);
    let frontiers = [(TAG, [(log(1), vec![(4, Hash([4; 32]))])].into())].into();
    one.step(0, Input::Recall { peer: bob, announced: [TAG].into(), frontiers }, &mut out);
    assert_eq!(one.lacking(&bob, false), [range(1, 0, 9)]);
}

#[test]
fn who_is_no_member_is_told_and_given_nothing() {
    let one = node(1, 2, &[(1, 9)]);
    let stranger = DeviceId([3; 32]);
    assert_eq!(one.lacking(&stranger, true), []);
    let told: Vec<_> = one.report(&stranger).into_iter().flat_map(|f| f.deltas).collect();
    assert_eq!(told, []);
}
