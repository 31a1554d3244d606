//! Peers that lie, flood or talk nonsense: memory and work stay bounded, the others are served,
//! and nothing panics.

use base::{ChunkId, DeviceId, Hash, Incarnation, LogId, SpaceTag, limit};
use proptest::prelude::*;
use sim::{Link, TAG, World};
use std::collections::BTreeSet;
use sync::{Config, Envelope, Frontier, Hello, Input, LogRange, Output, Part, Piece, SpaceDelta, Sync, Want};

fn log(n: u8) -> LogId {
    LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n; 8]) }
}

fn h(n: u64) -> Hash {
    Hash::of(&[&n.to_be_bytes()])
}

// Node 0 is honest, node 1 too, node 2 is the test's. All are connected and share one space.
fn with_puppet(seed: u64) -> World {
    let mut world = World::new(3, seed);
    world.nodes[2].puppet = true;
    world.share(TAG, &[0, 1, 2]);
    world.mesh(&[0, 1, 2], Link::LAN);
    for to in [0, 1] {
        let frontier = Frontier { announce: Some(vec![TAG]), ..Frontier::default() };
        world.send(2, to, &Envelope::Frontier(frontier));
    }
    world.run_for(10_000);
    world
}

fn still_works(world: &mut World) {
    let before = world.count(1);
    world.edit(0, TAG, 100);
    world.run_until(5_000, |w| w.count(1) == before + 1).expect("the honest go on");
    assert!(world.equal(&[0, 1], TAG));
}

fn tell(world: &mut World, logs: Vec<(LogId, Vec<(u64, Hash)>)>, whole: bool) {
    let delta = SpaceDelta { tag: TAG, whole, logs };
    world.send(
        2,
        0,
        &Envelope::Frontier(Frontier { deltas: vec![delta], pull: true, ..Frontier::default() }),
    );
}

#[test]
fn a_frontier_without_end_costs_one_small_request() {
    let mut world = with_puppet(1);
    world.nodes[2].inbox.clear();
    tell(&mut world, vec![(log(1), vec![(1 << 60, h(1))]), (log(2), vec![(u64::MAX, h(2))])], false);
    world.run_for(300_000);
    let wants: Vec<&Want> = world.nodes[2]
        .inbox
        .iter()
        .filter_map(|e| match e {
            Envelope::Want(want) => Some(want),
            _ => None,
        })
        .collect();
    assert!(!wants.is_empty() && wants.len() < 40, "asks, and then less and less: {}", wants.len());
    assert!(wants.iter().flat_map(|w| &w.ranges).all(|r| r.to - r.from < 1 << 16));
    let view = world.nodes[0].sync.peer(&world.nodes[2].id).unwrap();
    assert!(view.behind_us > 1 << 60);
    still_works(&mut world);
}

#[test]
fn made_up_logs_are_bounded() {
    let mut world = with_puppet(2);
    for n in 0..20u64 {
        let mut ids: Vec<LogId> = (0..4_000u64)
            .map(|m| LogId { device: DeviceId(h(n * 10_000 + m).0), incarnation: Incarnation([0; 8]) })
            .collect();
        ids.sort_unstable();
        tell(&mut world, ids.into_iter().map(|id| (id, vec![(5, h(n))])).collect(), false);
        world.run_for(1_000);
    }
    assert!(!world.nodes[0].misbehaved.is_empty());
    let view = world.nodes[0].sync.peer(&world.nodes[2].id).unwrap();
    assert!(view.behind_us <= 6 * limit::FRONTIER_LOGS as u64, "{view:?}");
    still_works(&mut world);
}

#[test]
fn a_million_tiny_wants_are_served_within_bounds() {
    let mut world = with_puppet(3);
    for _ in 0..50 {
        world.edit(0, TAG, 2_000);
    }
    world.run_for(10_000);
    let id = *world.nodes[0].sync.frontier(&TAG).unwrap().keys().next().unwrap();
    world.counts = Default::default();
    for n in 0..2_000u64 {
        let range = |k: u64| LogRange { tag: TAG, log: id, from: (n + k) % 50, to: (n + k) % 50 };
        let want = Want { ranges: (0..limit::WANTS as u64).map(range).collect(), ..Want::default() };
        world.send(2, 0, &Envelope::Want(want));
        if n % 100 == 0 {
            world.run_for(10);
        }
    }
    world.run_for(1_000);
    let bytes = world.counts.bytes.get("entries").copied().unwrap_or(0);
    println!("128,000 wants: {bytes} B of entries, {:?}", world.counts.envelopes);
    assert!(bytes <= 3 << 20, "never more under way than the first window, unacknowledged");
    assert!(!world.nodes[0].misbehaved.is_empty());
    still_works(&mut world);
}

#[test]
fn what_is_not_yours_and_what_is_not_here_answer_alike() {
    let mut world = with_puppet(4);
    let private = SpaceTag([9; 16]);
    world.history(0, private, 3, 50);
    world.hold(0, private);
    world.run_for(1_000);
    let secret = *world.nodes[0].sync.frontier(&private).unwrap().keys().next().unwrap();
    let nowhere = SpaceTag([10; 16]);
    let mut answers = Vec::new();
    for tag in [private, nowhere] {
        world.nodes[2].inbox.clear();
        let want = Want {
            ranges: vec![LogRange { tag, log: secret, from: 0, to: 2 }],
            hashes: vec![(tag, h(1))],
            chunks: vec![(tag, ChunkId([1; 32]))],
        };
        world.send(2, 0, &Envelope::Want(want));
        world.run_for(100);
        let kinds: Vec<_> = world.nodes[2].inbox.iter().map(|e| (e.word(), e.encode().len())).collect();
        answers.push(kinds);
    }
    assert_eq!(answers[0].len(), 2);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn floods_end_in_misbehaved_and_harm_nobody_else() {
    let flood = |seed: u64, make: &dyn Fn(&mut World, u64) -> Envelope| {
        let mut world = with_puppet(seed);
        for n in 0..3_000 {
            let envelope = make(&mut world, n);
            world.send(2, 0, &envelope);
        }
        world.run_for(1_000);
        assert!(!world.nodes[0].misbehaved.is_empty());
        assert_eq!(world.nodes[0].misbehaved.len(), 1, "told once");
        still_works(&mut world);
        world.run_for(120_000);
        still_works(&mut world);
    };
    flood(10, &|w, n| Envelope::Hello(Hello { version: 1, node: w.nodes[2].id, digest: h(n), time: n }));
    flood(11, &|w, n| Envelope::Hello(Hello { version: 1, node: w.nodes[1].id, digest: h(n), time: n }));
    flood(12, &|_, n| Envelope::Entries(vec![n.to_be_bytes().to_vec()]));
    flood(13, &|_, n| Envelope::Chunk { tag: TAG, id: ChunkId(h(n).0), bytes: Some(vec![0; 10]) });
    flood(14, &|w, n| {
        Envelope::Entries(vec![w.entry_after(2, TAG, Some((n + 7, h(n))), 10).bytes().to_vec()])
    });
    flood(15, &|_, _| Envelope::Frontier(Frontier { greet: true, ..Frontier::default() }));
    flood(16, &|_, _| Envelope::Share { name: "x".into(), entries: Vec::new() });
}

#[test]
fn invalid_entries_are_refused_and_the_good_ones_beside_them_kept() {
    let mut world = with_puppet(5);
    let good = world.entry_after(2, TAG, None, 20);
    let mut bad = good.bytes().to_vec();
    let at = good.bytes().len() - 66 - 8;
    bad[at - 12..at - 4].fill(255);
    let bad_at = (0..bad.len() - 8).find(|i| bad[*i..*i + 8] == [255; 8]).unwrap();
    bad.copy_from_slice(good.bytes());
    let body_at = (0..bad.len()).find(|i| bad[*i..].starts_with(&good.body()[..8])).unwrap();
    bad[body_at..body_at + 8].fill(255);
    assert!(bad_at > 0);
    let after_bad = world.entry_after(2, TAG, Some((0, Hash::of(&[&bad]))), 20);
    let after_good = world.entry_after(2, TAG, Some((0, good.hash())), 20);
    let list = [bad, after_bad.bytes().to_vec(), after_good.bytes().to_vec(), good.bytes().to_vec()];
    world.send(2, 0, &Envelope::Entries(list.to_vec()));
    world.run_for(5_000);
    let hashes: BTreeSet<Hash> = world.nodes[0].durable.keys().map(|k| k.3).collect();
    assert_eq!(hashes, [good.hash(), after_good.hash()].into());
    still_works(&mut world);
}

fn any_tag() -> impl Strategy<Value = SpaceTag> {
    (0u8..3).prop_map(|n| SpaceTag([n + 6; 16]))
}

fn any_seq() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..5, 1 => Just(u64::MAX), 1 => limit::CLOCK - 2..=limit::CLOCK, 1 => any::<u64>()]
}

fn any_log() -> impl Strategy<Value = LogId> {
    (0u8..4).prop_map(log)
}

fn any_hash() -> impl Strategy<Value = Hash> {
    (0u64..6).prop_map(h)
}

fn any_peer() -> impl Strategy<Value = DeviceId> {
    (0u8..4).prop_map(|n| DeviceId([n; 32]))
}

fn any_tips() -> impl Strategy<Value = Vec<(u64, Hash)>> {
    proptest::collection::btree_set((any_seq(), any_hash()), 0..3).prop_map(|set| set.into_iter().collect())
}

fn any_frontier() -> impl Strategy<Value = Frontier> {
    let delta = (any_tag(), any::<bool>(), proptest::collection::btree_map(any_log(), any_tips(), 0..3));
    let announce = proptest::option::of(proptest::collection::btree_set(any_tag(), 0..3));
    (announce, any::<bool>(), any::<bool>(), proptest::collection::vec(delta, 0..2)).prop_map(
        |(announce, greet, pull, deltas)| Frontier {
            announce: announce.map(|set| set.into_iter().collect()),
            greet,
            pull,
            deltas: deltas
                .into_iter()
                .map(|(tag, whole, logs)| SpaceDelta { tag, whole, logs: logs.into_iter().collect() })
                .collect(),
            chunks: Vec::new(),
        },
    )
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    (any_tag(), any_log(), any_seq(), any_hash()).prop_map(|(tag, log, seq, prev)| {
        let header = base::Header {
            kind: base::EntryKind::Content,
            tag,
            log,
            run: base::Run([1; 8]),
            seq,
            lamport: seq.saturating_add(1),
            prev: (seq > 0).then_some(prev),
            deps: Vec::new(),
            epoch: Some(base::EpochId([8; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        base::Entry::assemble(&header, b"body", &[0; 64]).map(|e| e.bytes().to_vec()).unwrap_or_default()
    })
}

fn any_want() -> impl Strategy<Value = Want> {
    let range = (any_tag(), any_log(), any_seq(), any_seq()).prop_map(|(tag, log, a, b)| LogRange {
        tag,
        log,
        from: a.min(b),
        to: a.max(b),
    });
    (
        proptest::collection::vec(range, 0..4),
        proptest::collection::vec((any_tag(), any_hash()), 0..3),
        proptest::collection::vec((any_tag(), any_hash().prop_map(|hash| ChunkId(hash.0))), 0..3),
    )
        .prop_map(|(ranges, hashes, chunks)| Want { ranges, hashes, chunks })
}

fn any_logs() -> impl Strategy<Value = std::collections::BTreeMap<LogId, Vec<(u64, Hash)>>> {
    proptest::collection::btree_map(any_log(), any_tips(), 0..3)
}

fn any_tags() -> impl Strategy<Value = BTreeSet<SpaceTag>> {
    proptest::collection::btree_set(any_tag(), 0..3)
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        4 => any_frontier().prop_map(Envelope::Frontier),
        2 => any_want().prop_map(Envelope::Want),
        1 => any_want().prop_map(|want| Envelope::Absent { ranges: want.ranges, hashes: want.hashes }),
        4 => proptest::collection::vec(any_entry(), 0..4).prop_map(Envelope::Entries),
        1 => (any_peer(), any_hash(), any::<u64>())
            .prop_map(|(node, digest, time)| Envelope::Hello(Hello { version: 1, node, digest, time })),
        1 => (any_tag(), any_hash(), any::<bool>()).prop_map(|(tag, id, some)| Envelope::Chunk {
            tag,
            id: ChunkId(id.0),
            bytes: some.then(|| vec![1]),
        }),
        1 => (any_tag(), any_hash(), 0u64..4, 1u64..4).prop_map(|(tag, id, from, whole)| Envelope::Part(Part {
            tag,
            id: ChunkId(id.0),
            from,
            whole: from + whole,
            bytes: vec![1],
        })),
        1 => (any_tag(), any_hash(), 1u64..9)
            .prop_map(|(tag, id, from)| Envelope::Rest { tag, id: ChunkId(id.0), from }),
        2 => (any_tag(), any_log(), any_seq(), any_hash(), 0u64..4, 1u64..4).prop_map(
            |(tag, log, seq, hash, from, whole)| {
                Envelope::Piece(Piece { tag, log, seq, hash, from, whole: from + whole, bytes: vec![1] })
            }
        ),
        1 => (any_tag(), any_hash(), 0u64..9).prop_map(|(tag, hash, from)| Envelope::Begun { tag, hash, from }),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => (any_tag(), any_logs()).prop_map(|(tag, logs)| Input::Space { tag, logs }),
        1 => any_tag().prop_map(|tag| Input::Drop { tag }),
        3 => (any_peer(), any_tags()).prop_map(|(peer, tags)| Input::Allow { peer, tags }),
        1 => any_peer().prop_map(|peer| Input::Forget { peer }),
        1 => (any_peer(), any_tags(), any_tag(), any_logs()).prop_map(|(peer, announced, tag, logs)| Input::Recall {
            peer,
            announced,
            frontiers: [(tag, logs)].into(),
        }),
        3 => any_peer().prop_map(|peer| Input::Connected { peer }),
        1 => any_peer().prop_map(|peer| Input::Disconnected { peer }),
        10 => (any_peer(), any_envelope()).prop_map(|(peer, envelope)| Input::Received { peer, envelope }),
        3 => (any_peer(), any_tag(), any_envelope())
            .prop_map(|(via, tag, envelope)| Input::Gossip { via, tag, envelope }),
        3 => (any_tag(), any_log(), any_seq(), any_hash(), any_hash()).prop_map(|(tag, log, seq, hash, prev)| {
            Input::Stored { tag, log, seq, hash, prev: Some(prev), bytes: 70_000 }
        }),
        1 => (any_peer(), 0u64..20, any_seq(), 0usize..2_000_000)
            .prop_map(|(peer, job, next, bytes)| Input::Sent { peer, job, next, bytes, queued: bytes / 2 }),
        1 => (any_tag(), any_hash())
            .prop_map(|(tag, id)| Input::ChunksWanted { tag, ids: vec![ChunkId(id.0), ChunkId([3; 32])] }),
        2 => Just(Input::Tick),
    ]
}

// Answers what the node must answer, in one of the ways it may.
fn answer(output: &Output, choice: u8) -> Option<Input> {
    match output {
        Output::Deliver { from, tag, entry } => {
            let (log, seq, hash) = (entry.header().log, entry.header().seq, entry.hash());
            let tag = *tag;
            Some(match choice % 4 {
                0 => Input::Known { tag, log, seq, hash },
                1 => Input::Refused { tag, log, seq, hash },
                2 => Input::Missing { from: *from, tag, entry: entry.clone() },
                _ => Input::Stored {
                    tag,
                    log,
                    seq,
                    hash,
                    prev: entry.header().prev,
                    bytes: entry.bytes().len(),
                },
            })
        }
        Output::SendEntries { peer, job, from, .. } => Some(Input::Sent {
            peer: *peer,
            job: *job,
            next: from.saturating_add(u64::from(choice)),
            bytes: usize::from(choice) * 1000,
            queued: 0,
        }),
        Output::SendEntry { peer, job, .. } | Output::SendChunk { peer, job, .. } => {
            Some(Input::Sent { peer: *peer, job: *job, next: 0, bytes: usize::from(choice), queued: 0 })
        }
        Output::DeliverChunk { tag, id, .. } if choice.is_multiple_of(2) => {
            Some(Input::ChunkStored { tag: *tag, id: *id })
        }
        Output::DeliverChunk { tag, id, .. } => Some(Input::ChunkFailed { tag: *tag, id: *id }),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_sequence_of_inputs_panics_or_never_ends(
        inputs in proptest::collection::vec((any_input(), 0u64..4_000, any::<u8>()), 1..60),
    ) {
        let mut sync = Sync::new(DeviceId([0; 32]), Config::default(), 1);
        let mut now = 0;
        for (input, wait, choice) in inputs {
            now += wait;
            let mut todo = vec![input];
            let mut steps = 0;
            while let Some(input) = todo.pop() {
                let mut out = Vec::new();
                sync.step(now, input, &mut out);
                for output in &out {
                    if let Output::Send { envelope, .. } = output {
                        prop_assert_eq!(&Envelope::decode(&envelope.encode()).unwrap(), envelope);
                    }
                    todo.extend(answer(output, choice));
                }
                steps += 1;
                if steps > 200 {
                    break;
                }
            }
            let _ = sync.next_wake();
            for peer in sync.peers().copied().collect::<Vec<_>>() {
                let _ = (sync.peer(&peer), sync.frontier_of(&peer, &SpaceTag([7; 16])));
            }
        }
        // Left alone it comes to rest: each wake is later than the last.
        for _ in 0..50 {
            let Some(at) = sync.next_wake() else { break };
            now = now.max(at);
            let mut out = Vec::new();
            sync.step(now, Input::Tick, &mut out);
            prop_assert!(sync.next_wake().is_none_or(|next| next > now), "a wake that is never done");
        }
    }

    #[test]
    fn envelopes_read_back(envelope in any_envelope()) {
        let bytes = envelope.encode();
        match Envelope::decode(&bytes) {
            Ok(again) => prop_assert_eq!(again, envelope),
            // Generated deltas may name one space twice, which no reader takes.
            Err(_) => prop_assert!(matches!(envelope, Envelope::Frontier(_))),
        }
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::decode(&bytes);
    }

    #[test]
    fn a_damaged_envelope_never_panics(envelope in any_envelope(), at in any::<usize>(), with in any::<u8>()) {
        let mut bytes = envelope.encode();
        let at = at % bytes.len();
        bytes[at] = with;
        if let Ok(read) = Envelope::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    for head in [
        &[0x82, 5, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255][..],
        &[0x82, 5, 0x99, 0x40, 0x00],
        &[0x86, 2, 0x9a, 0, 16, 0, 0],
        &[0x84, 3, 0x98, 65],
        &[0x82, 5, 0x9f, 0xff],
    ] {
        assert!(Envelope::decode(head).is_err());
    }
    assert!(Envelope::decode(&vec![0x82; limit::ENVELOPE_BYTES + 1]).is_err());
    assert!(Envelope::decode(&[]).is_err());
    let mut other =
        Envelope::Hello(Hello { version: 1, node: DeviceId([1; 32]), digest: h(1), time: 2 }).encode();
    assert_eq!(other.len(), 73);
    other[0] = 2;
    assert!(Envelope::decode(&other).is_err());
}
