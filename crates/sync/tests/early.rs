//! What comes ahead of its predecessor and is made durable waits on: over the end of the link that brought
//! it, for as long as it takes, and over a restart.

use base::{DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag};
use std::collections::{BTreeMap, BTreeSet};
use sync::{Config, Envelope, Input, Output, Sync};

const TAG: SpaceTag = SpaceTag([7; 16]);
const ME: DeviceId = DeviceId([1; 32]);
const PEER: DeviceId = DeviceId([2; 32]);
const LOG: LogId = LogId { device: DeviceId([9; 32]), incarnation: Incarnation([1; 8]) };

fn chain(n: u64) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for seq in 0..n {
        let header = Header {
            kind: EntryKind::Content,
            tag: TAG,
            log: LOG,
            run: Run([1; 8]),
            seq,
            lamport: seq + 1,
            prev: all.last().map(Entry::hash),
            deps: Vec::new(),
            epoch: Some(EpochId([8; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        all.push(Entry::assemble(&header, &seq.to_be_bytes(), &[0; 64]).unwrap());
    }
    all
}

struct Node {
    sync: Sync,
    now: u64,
    stored: Vec<Hash>,
    kept: Vec<Entry>,
}

impl Node {
    fn new(stored: &[Entry], kept: Vec<Entry>) -> Node {
        let mut node = Node {
            sync: Sync::new(ME, Config::default(), 1),
            now: 1_000,
            stored: Vec::new(),
            kept: Vec::new(),
        };
        node.stored = stored.iter().map(Entry::hash).collect();
        let tips = stored.last().map(|e| (LOG, vec![(e.header().seq, e.hash())]));
        node.step(Input::Space { tag: TAG, logs: tips.into_iter().collect::<BTreeMap<_, _>>() });
        for entry in &kept {
            node.step(Input::Kept { tag: TAG, entry: entry.clone() });
        }
        node.kept = kept;
        node.step(Input::Allow { peer: PEER, tags: BTreeSet::from([TAG]) });
        node
    }

    fn meet(&mut self) {
        self.step(Input::Connected { peer: PEER });
        let announce = Some(vec![TAG]);
        let frontier = sync::Frontier { announce, ..Default::default() };
        self.step(Input::Received { peer: PEER, envelope: Envelope::Frontier(frontier) });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.sync.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = end;
        self.step(Input::Tick);
    }

    fn gets(&mut self, entry: &Entry) {
        let envelope = Envelope::Entries(vec![entry.bytes().to_vec()]);
        self.step(Input::Received { peer: PEER, envelope });
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.sync.step(self.now, input, &mut out);
            for output in out {
                match output {
                    Output::Deliver { entry, tag, .. } => {
                        let (log, seq, hash) = (LOG, entry.header().seq, entry.hash());
                        let (prev, bytes) = (entry.header().prev, entry.bytes().len());
                        assert!(prev.is_none_or(|prev| self.stored.contains(&prev)), "in order");
                        self.stored.push(hash);
                        inputs.push(Input::Stored { tag, log, seq, hash, prev, bytes });
                    }
                    Output::Keep { tag, entry } => {
                        self.kept.push(entry.clone());
                        inputs.push(Input::Kept { tag, entry });
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn what_is_durable_waits_when_its_link_is_gone_and_for_hours() {
    let all = chain(4);
    let mut node = Node::new(&[], Vec::new());
    node.meet();
    node.gets(&all[2]);
    node.gets(&all[3]);
    node.gets(&all[3]);
    assert_eq!(node.kept.len(), 0, "a link brings what is between at once");
    node.pass(20_000);
    assert_eq!(node.kept.len(), 2, "each is to be kept once");
    node.step(Input::Disconnected { peer: PEER });
    node.now += 5 * 3_600_000;
    node.meet();
    node.pass(20_000);
    assert_eq!(node.sync.held(), 2);
    node.gets(&all[0]);
    node.gets(&all[1]);
    assert_eq!(node.stored.len(), 4, "what waited follows");
    assert_eq!(node.sync.held(), 0);
}

#[test]
fn what_was_kept_is_given_back_after_a_restart_and_follows_what_it_waited_for() {
    let all = chain(5);
    let mut before = Node::new(&all[..1], Vec::new());
    before.meet();
    for entry in &all[2..] {
        before.gets(entry);
    }
    before.pass(20_000);
    assert_eq!((before.stored.len(), before.kept.len()), (1, 3));
    let mut node = Node::new(&all[..1], before.kept);
    assert_eq!((node.stored.len(), node.sync.held()), (1, 3));
    node.meet();
    node.gets(&all[1]);
    assert_eq!(node.stored.len(), 5);
    // What it waited for may also have been stored before the restart.
    let node = Node::new(&all[..2], all[2..].to_vec());
    assert_eq!(node.stored.len(), 5);
}

#[test]
fn what_a_bundle_brings_is_kept_at_once() {
    let all = chain(4);
    let mut node = Node::new(&[], Vec::new());
    node.meet();
    node.step(Input::Disconnected { peer: PEER });
    // Nobody is there to be asked for the first.
    node.gets(&all[1]);
    node.gets(&all[2]);
    assert_eq!((node.stored.len(), node.kept.len()), (0, 2));
    node.gets(&all[0]);
    assert_eq!(node.stored.len(), 3);
}
