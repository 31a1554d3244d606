//! Golden vectors: `schema/vectors/{keys,ids,entry,sealing,opening}.txt`. `CHORUS_WRITE_VECTORS=1` writes
//! them anew, which is right only before a format is released.

use base::{
    Actor, DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, ObjectId, PersonId, Run,
    SpaceId, SpaceTag,
};
use crypto::{DeviceKey, EpochSecret, RootKey, SealKey, fingerprint};
use data_encoding::HEXLOWER;
use std::path::PathBuf;

const SPACE: SpaceId = SpaceId([1; 32]);
const BODY: &[u8] = b"body";

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "schema", "vectors", file].iter().collect()
}

type Values = Vec<(&'static str, Vec<u8>)>;

fn write(file: &str, about: &str, values: &Values) {
    if std::env::var_os("CHORUS_WRITE_VECTORS").is_none() {
        return;
    }
    let mut text = format!("# {about}\n");
    for (name, bytes) in values {
        text.push_str(&format!("{name} {}\n", HEXLOWER.encode(bytes)));
    }
    std::fs::create_dir_all(path("")).unwrap();
    std::fs::write(path(file), text).unwrap();
}

fn held(file: &str) -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            (name.to_owned(), HEXLOWER.decode(hex.as_bytes()).unwrap())
        })
        .collect()
}

fn value(file: &str, name: &str) -> Vec<u8> {
    held(file).into_iter().find(|(n, _)| n == name).unwrap().1
}

// What must come out the same for ever.
fn hold(file: &str, about: &str, values: &Values) {
    write(file, about, values);
    let held = held(file);
    assert_eq!(held.len(), values.len(), "in {file}");
    for ((name, held), (_, made)) in held.iter().zip(values) {
        assert_eq!(HEXLOWER.encode(held), HEXLOWER.encode(made), "{name} in {file}");
    }
}

fn key() -> DeviceKey {
    DeviceKey::from_seed([2; 32])
}

fn log() -> LogId {
    LogId { device: key().id(), incarnation: Incarnation([3; 8]) }
}

fn secret() -> EpochSecret {
    EpochSecret::new([4; 32])
}

fn header() -> Header {
    Header {
        kind: EntryKind::Content,
        tag: SPACE.tag(),
        log: log(),
        run: Run([5; 8]),
        seq: 300,
        lamport: 70_000,
        prev: Some(Hash([6; 32])),
        deps: vec![Hash([7; 32]), Hash([8; 32])],
        epoch: Some(EpochId([9; 32])),
        auth: vec![Hash([10; 32])],
        chunks: Some(Hash([11; 32])),
    }
}

#[test]
fn keys() {
    let root = RootKey::from_entropy(&[1; 32]);
    let topic = secret().topic_secret();
    let values: Values = vec![
        ("device-of-seed-02", key().id().0.to_vec()),
        ("seal-of-seed-02", SealKey::from_seed([2; 32]).public().0.to_vec()),
        ("root-of-entropy-01", root.id().0.to_vec()),
        ("root-seed", root.sign().seed().to_vec()),
        ("recovery-of-entropy-01", root.recovery().public().0.to_vec()),
        ("recovery-seed", root.recovery().seed().to_vec()),
        ("epoch-commit", secret().commit().0.to_vec()),
        ("epoch-topic-secret", topic.expose().to_vec()),
        ("epoch-chunk-key", secret().chunk_key(&Hash([5; 32])).to_vec()),
        ("epoch-entry-key", secret().entry_key(&SPACE, &log()).to_vec()),
        ("topic-commit", topic.commit().0.to_vec()),
        ("topic-name", topic.topic().into_bytes()),
        ("fingerprint-of-01", fingerprint(&[1; 32]).into_bytes()),
    ];
    hold(
        "keys.txt",
        "Keys from fixed seeds (32 times the byte named); epoch and topic of the secret 04…",
        &values,
    );
}

#[test]
fn ids() {
    let room = ObjectId::of_room(&SPACE.root(), "grün".as_bytes(), 2);
    let actor = Actor::derive(&SPACE, &DeviceId([2; 32]), &Incarnation([3; 8]), &Run([5; 8]), &room);
    let values: Values = vec![
        ("tag", SPACE.tag().0.to_vec()),
        ("person-tag", PersonId([2; 32]).space().tag().0.to_vec()),
        ("root", SPACE.root().0.to_vec()),
        ("room", room.0.to_vec()),
        ("actor", actor.0.to_vec()),
        ("log", log().to_bytes().to_vec()),
    ];
    hold("ids.txt", "Ids derived in the space 01…: room is the third `grün` in the root.", &values);
}

#[test]
fn entry() {
    let signed = key().sign_entry(&SPACE, &header(), BODY).unwrap();
    let genesis = Header {
        kind: EntryKind::Membership,
        tag: SpaceTag::default(),
        seq: 0,
        lamport: 1,
        prev: None,
        deps: vec![],
        epoch: None,
        auth: vec![],
        chunks: None,
        ..header()
    };
    let genesis = key().sign_entry(&SPACE, &genesis, BODY).unwrap();
    let values: Values = vec![
        ("header", header().to_bytes()),
        ("entry", signed.bytes().to_vec()),
        ("hash", signed.hash().0.to_vec()),
        ("genesis", genesis.bytes().to_vec()),
        ("space", genesis.hash().0.to_vec()),
    ];
    hold("entry.txt", "Entries of device seed 02…, one of content in the space 01…, one a genesis.", &values);
    let read = Entry::decode(value("entry.txt", "entry")).unwrap();
    assert_eq!(read.header(), &header());
    assert_eq!(crypto::verify_entry(&SPACE, &read), Ok(()));
    let read = Entry::decode(value("entry.txt", "genesis")).unwrap();
    assert_eq!(crypto::verify_entry(&SpaceId(read.hash().0), &read), Ok(()));
}

#[test]
fn sealing() {
    let header = header().to_bytes();
    let (id, chunk, plain) = crypto::seal_chunk(&secret(), b"chunk");
    let values: Values = vec![
        ("body", crypto::seal_body(&secret(), &SPACE, &log(), &header, BODY, [12; 24])),
        ("chunk", chunk),
        ("chunk-id", id.0.to_vec()),
        ("chunk-plain", plain.0.to_vec()),
        ("frame", secret().topic_secret().seal_frame([12; 24], b"frame")),
        (
            "previous",
            crypto::seal_previous(&secret(), &SPACE, &EpochId([9; 32]), &EpochSecret::new([13; 32])).to_vec(),
        ),
    ];
    hold(
        "sealing.txt",
        "Sealed under the epoch secret 04… in the space 01…, nonce 0c…; the header of entry.txt.",
        &values,
    );
}

// How a wrap draws its ephemeral key, and how well packing compresses, may change; what was wrapped
// and packed must open.
#[test]
fn what_was_wrapped_and_packed_opens() {
    let seal = SealKey::from_seed([2; 32]);
    let text = b"the same words over and over, ".repeat(20);
    let values: Values = vec![
        ("wrap", crypto::wrap(&seal.public(), b"info", &[14; 32], &[15; 32]).unwrap()),
        ("packed", crypto::pack(&text)),
        ("stored", crypto::pack(b"short")),
    ];
    let file = "opening.txt";
    write(
        file,
        "Opens: `wrap` with seal seed 02…, info `info`, to 0e…; `packed` to text; `stored` to `short`.",
        &values,
    );
    assert_eq!(*crypto::unwrap_secret(&seal, b"info", &value(file, "wrap")).unwrap(), [14; 32]);
    assert_eq!(crypto::unpack(&value(file, "packed"), 10_000).unwrap(), text);
    assert_eq!(crypto::unpack(&value(file, "stored"), 10_000).unwrap(), b"short");
}
