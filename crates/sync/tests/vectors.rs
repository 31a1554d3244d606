//! Golden bytes: every build must write and read exactly these (`schema/vectors/envelope.txt`).

use base::{ChunkId, DeviceId, Hash, Incarnation, LogId, SpaceTag};
use std::collections::BTreeMap;
use sync::{
    Cells, Comparison, Config, Envelope, Frontier, Hello, Input, LogRange, More, Output, Part, Piece,
    SpaceDelta, Sync, Want, cells,
};

fn log(n: u8) -> LogId {
    LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n + 1; 8]) }
}

fn tag(n: u8) -> SpaceTag {
    SpaceTag([n; 16])
}

fn envelopes() -> Vec<(&'static str, Envelope)> {
    let range = LogRange { tag: tag(1), log: log(2), from: 3, to: 70_000 };
    let delta = |whole, logs| SpaceDelta { tag: tag(1), whole, logs };
    let frontier = Frontier {
        announce: Some(vec![tag(1), tag(2)]),
        greet: true,
        pull: false,
        deltas: vec![delta(
            true,
            vec![(log(2), vec![(5, Hash([6; 32])), (9, Hash([7; 32]))]), (log(3), vec![])],
        )],
        chunks: vec![(tag(1), ChunkId([8; 32]))],
    };
    let ack = Frontier {
        deltas: vec![delta(false, vec![(log(2), vec![(10, Hash([9; 32]))])])],
        ..Frontier::default()
    };
    let want = Want {
        ranges: vec![range],
        hashes: vec![(tag(1), Hash([4; 32]))],
        chunks: vec![(tag(2), ChunkId([5; 32]))],
    };
    let hello =
        Hello { version: 1, node: DeviceId([1; 32]), digest: Hash([2; 32]), time: 0x0102_0304_0506_0708 };
    vec![
        ("hello", Envelope::Hello(hello)),
        ("share", Envelope::Share { name: "garden".into(), entries: vec![b"first".to_vec(), vec![]] }),
        ("frontier", Envelope::Frontier(frontier)),
        ("ack", Envelope::Frontier(ack)),
        ("want", Envelope::Want(want)),
        ("absent", Envelope::Absent { ranges: vec![range], hashes: vec![(tag(3), Hash([1; 32]))] }),
        ("entries", Envelope::Entries(vec![b"an entry".to_vec()])),
        ("chunk", Envelope::Chunk { tag: tag(1), id: ChunkId([2; 32]), bytes: Some(b"sealed".to_vec()) }),
        ("no-chunk", Envelope::Chunk { tag: tag(1), id: ChunkId([2; 32]), bytes: None }),
        (
            "part",
            Envelope::Part(Part {
                tag: tag(1),
                id: ChunkId([2; 32]),
                from: 131_072,
                whole: 131_080,
                bytes: b"the rest".to_vec(),
            }),
        ),
        ("rest", Envelope::Rest { tag: tag(1), id: ChunkId([2; 32]), from: 131_072 }),
        (
            "piece",
            Envelope::Piece(Piece {
                tag: tag(1),
                log: log(2),
                seq: 70_000,
                hash: Hash([3; 32]),
                from: 131_072,
                whole: 131_080,
                bytes: b"the rest".to_vec(),
            }),
        ),
        ("begun", Envelope::Begun { tag: tag(1), hash: Hash([3; 32]), from: 131_072 }),
        ("addr", Envelope::Addr(b"record".to_vec())),
        ("hello-over-two-spaces", hello_over_two_spaces()),
        ("cells", some_cells()),
        ("more", Envelope::More(More { of: comparison(), have: 32, need: 64 })),
        ("hello-over-many-branches", hello_over_many_branches()),
    ]
}

fn comparison() -> Comparison {
    Comparison { tag: tag(1), log: log(2), salt: 0x0102_0304_0506_0708 }
}

// The cells 2, 3 and 4 of three entries.
fn some_cells() -> Envelope {
    let items = [(3, Hash([4; 32])), (5, Hash([6; 32])), (70_000, Hash([7; 32]))];
    let cells = cells::encode(&items, comparison().salt, 2, 5);
    Envelope::Cells(Cells { of: comparison(), top: 80_000, entries: 3, from: 2, cells })
}

// What a node says that shares a log with more branches than tips are named: the sum is in it.
fn hello_over_many_branches() -> Envelope {
    let tips = (4..20).map(|n| (u64::from(n), Hash([n; 32]))).collect();
    hello_over(
        BTreeMap::from([(tag(1), BTreeMap::from([(log(5), tips)]))]),
        &[Input::Sum { tag: tag(1), log: log(5), sum: Hash([10; 32]) }],
    )
}

// What a node says that shares two spaces, one of them empty, with a peer: the digest's recipe.
fn hello_over_two_spaces() -> Envelope {
    let logs = BTreeMap::from([(log(5), vec![(3, Hash([6; 32])), (4, Hash([7; 32]))]), (log(8), vec![])]);
    hello_over(BTreeMap::from([(tag(1), logs), (tag(2), BTreeMap::new())]), &[])
}

fn hello_over(spaces: BTreeMap<SpaceTag, BTreeMap<LogId, sync::Tips>>, further: &[Input]) -> Envelope {
    let (me, peer) = (DeviceId([1; 32]), DeviceId([2; 32]));
    let mut sync = Sync::new(me, Config::default(), 0);
    let mut out = Vec::new();
    for (tag, logs) in spaces {
        sync.step(0, Input::Space { tag, logs }, &mut out);
    }
    for input in further {
        sync.step(0, input.clone(), &mut out);
    }
    sync.step(0, Input::Allow { peer, tags: [tag(1), tag(2), tag(3)].into() }, &mut out);
    sync.step(0, Input::Connected { peer }, &mut out);
    out.clear();
    let announce = Frontier { announce: Some(vec![tag(1), tag(2), tag(4)]), ..Frontier::default() };
    let envelope = Envelope::Frontier(announce);
    sync.step(1_000, Input::Received { peer, envelope }, &mut out);
    let hello = out.into_iter().find_map(|output| match output {
        Output::Send { envelope: Envelope::Hello(hello), .. } => Some(hello),
        _ => None,
    });
    Envelope::Hello(hello.expect("a hello follows the announcement"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn golden_vectors_are_written_and_read_as_ever() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/envelope.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let golden: BTreeMap<&str, &str> =
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(' ')).collect();
    let envelopes = envelopes();
    assert_eq!(golden.len(), envelopes.len());
    for (name, envelope) in envelopes {
        let bytes = envelope.encode();
        assert_eq!(golden.get(name).copied(), Some(hex(&bytes).as_str()), "{name}");
        assert_eq!(Envelope::decode(&bytes).unwrap(), envelope, "{name}");
    }
}

#[test]
fn the_digest_follows_its_recipe() {
    let Envelope::Hello(hello) = hello_over_two_spaces() else { panic!("a hello") };
    let mut first = b"chorus/frontier/1".to_vec();
    first.extend([5; 32]);
    first.extend([6; 8]);
    first.extend(2u64.to_be_bytes());
    for (seq, hash) in [(3u64, [6u8; 32]), (4, [7; 32])] {
        first.extend(seq.to_be_bytes());
        first.extend(hash);
    }
    let (first, second) = (Hash::of(&[&first]), Hash::of(&[b"chorus/frontier/1"]));
    let root = Hash::of(&[b"chorus/root-of-frontiers/1", &[1; 16], &first.0, &[2; 16], &second.0]);
    let digest = Hash::of(&[b"chorus/hello/1", &[1; 32], &[2; 32], &1_000u64.to_be_bytes(), &root.0]);
    assert_eq!(hello.digest, digest);
}
