//! Golden vectors: `schema/vectors/{statement,membership,card}.txt`. `CHORUS_WRITE_VECTORS=1` writes
//! them anew, which is right only before a format is released.

use super::*;
use base::Hash;
use crypto::SealPublic;
use data_encoding::HEXLOWER;
use std::path::PathBuf;

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "schema", "vectors", file].iter().collect()
}

// Compares with the file, line by line, or writes it.
fn hold(file: &str, about: &str, values: &[(&str, Vec<u8>)]) {
    let mut text = format!("# {about}\n");
    for (name, bytes) in values {
        text.push_str(&format!("{name} {}\n", HEXLOWER.encode(bytes)));
    }
    if std::env::var_os("CHORUS_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::write(path(file), &text).unwrap();
    }
    let held = std::fs::read_to_string(path(file)).unwrap();
    for (held, made) in held.lines().zip(text.lines()) {
        assert_eq!(held, made, "in {file}");
    }
    assert_eq!(held.lines().count(), text.lines().count(), "in {file}");
}

fn cut() -> Cut {
    let log = |n| LogId { device: base::DeviceId([n; 32]), incarnation: Incarnation([n; 8]) };
    Cut::from([(log(1), (7, Hash([3; 32]))), (log(2), (0, Hash([4; 32])))])
}

/// One of each statement.
pub(super) fn statements() -> Vec<(&'static str, Statement)> {
    let alice = actor(10);
    let (root, seal) = (alice.root.id(), SealPublic([2; 32]));
    vec![
        ("first", Statement::First { root, recovery: alice.root.recovery().public(), nonce: [13; 16] }),
        ("certify", certify(&alice.id, &alice.device, &alice.seal.public(), 1, None)),
        ("certify-named", certify(&alice.id, &alice.device, &alice.seal.public(), 300, Some("küche"))),
        ("revoke", Statement::Revoke { device: alice.device.id(), cut: cut() }),
        ("rotate", Statement::Rotate { root, recovery: seal, number: 2, proof: [5; 64] }),
    ]
}

/// One of each operation.
pub(super) fn operations() -> Vec<(&'static str, Operation)> {
    let alice = actor(10);
    let wraps = |n: u8| {
        let device = Recipient::Device(alice.device.id());
        [device, Recipient::Recovery(alice.id)].map(|recipient| Wrap { recipient, sealed: [n; 80] }).to_vec()
    };
    let (person, epoch) = (alice.id, EpochId([6; 32]));
    let previous = vec![(EpochId([1; 32]), [2; 48]), (EpochId([2; 32]), [3; 48])];
    let genesis = |kind| Operation::Genesis { creator: person, nonce: [1; 16], kind };
    let add = |role| Operation::Add { person, role, epoch, wraps: wraps(7) };
    let set = |epoch, wraps| Operation::SetRole { person, role: Role::Reader, cut: cut(), epoch, wraps };
    let commit = Hash([8; 32]);
    vec![
        ("genesis-home", genesis(SpaceKind::Home)),
        ("genesis-shared", genesis(SpaceKind::Shared)),
        ("add-host", add(Role::Host)),
        ("add-reader", add(Role::Reader)),
        ("add-writer", add(Role::Writer)),
        ("add-admin", add(Role::Admin)),
        ("remove", Operation::Remove { person, cut: cut() }),
        ("set-role", set(None, vec![])),
        ("set-role-raised", set(Some(epoch), wraps(7))),
        (
            "epoch",
            Operation::Epoch {
                nonce: [9; 16],
                commit,
                topic: Hash([10; 32]),
                wraps: wraps(7),
                host_wraps: wraps(8),
                previous,
            },
        ),
    ]
}

#[test]
fn statements_are_what_they_were() {
    let mut values: Vec<_> = statements().into_iter().map(|(name, s)| (name, s.encode())).collect();
    for (name, bytes) in &values {
        let Ok(codec::Body::Known(read)) = codec::body::<Statement>(bytes, "statement") else {
            panic!("{name}")
        };
        assert_eq!(read.encode(), *bytes);
    }
    let alice = actor(10);
    values.push(("entry-first", alice.entries[0].bytes().to_vec()));
    values.push(("entry-certify", alice.entries[1].bytes().to_vec()));
    values.push(("person", alice.id.0.to_vec()));
    hold(
        "statement.txt",
        "Bodies of statements, and a person's first two entries. Seeds: tests/vectors.rs",
        &values,
    );
}

#[test]
fn operations_are_what_they_were() {
    let mut values: Vec<_> = operations().into_iter().map(|(name, o)| (name, o.encode())).collect();
    for (name, bytes) in &values {
        let Ok(codec::Body::Known(read)) = codec::body::<Operation>(bytes, "operation") else {
            panic!("{name}")
        };
        assert_eq!(read.encode(), *bytes);
    }
    let alice = actor(10);
    let space = made(&alice, SpaceKind::Shared);
    values.push(("entry-genesis", space.entries[0].bytes().to_vec()));
    values.push(("entry-epoch", space.entries[1].bytes().to_vec()));
    values.push(("space", space.id.0.to_vec()));
    values.push(("secret", space.secret.expose().to_vec()));
    hold(
        "membership.txt",
        "Bodies of operations, and a space's first two entries with the secret they wrap.",
        &values,
    );
}

#[test]
fn the_wraps_of_the_file_open() {
    let held = std::fs::read_to_string(path("membership.txt")).unwrap();
    let value = |wanted: &str| {
        let line = held.lines().find_map(|line| line.strip_prefix(&format!("{wanted} "))).unwrap();
        HEXLOWER.decode(line.as_bytes()).unwrap()
    };
    let alice = actor(10);
    let mut m = Membership::new(&Entry::decode(value("entry-genesis")).unwrap()).unwrap();
    let people = people(&[&alice]);
    m.settle(&people);
    let epoch = Entry::decode(value("entry-epoch")).unwrap();
    assert_eq!(m.insert(&epoch, &people).unwrap(), Outcome::Counts);
    let opened = m.open(&alice.recipient(), &alice.seal);
    assert_eq!(opened.secrets[&EpochId(epoch.hash().0)].expose().to_vec(), value("secret"));
}

#[test]
fn cards_and_pairing_are_what_they_were() {
    let alice = actor(10);
    let bare = Card::new(&alice.person(), &alice.device.id(), vec![]).unwrap();
    let mut full =
        Card::new(&alice.person(), &alice.device.id(), vec!["/ip4/192.0.2.7/tcp/4001".into()]).unwrap();
    full.token = Some([6; 16]);
    full.room = Some(("garden".to_owned(), SpaceId([7; 32])));
    full.name = Some("alice".to_owned());
    let values = [
        ("card", full.encode()),
        ("card-bare", bare.encode()),
        ("request", Request { token: [6; 16], card: bare.clone() }.encode()),
        ("answer", Answer::Card(bare).encode()),
        ("refused", Answer::Refused(PairingRefusal::Token).encode()),
        ("text", full.to_text().into_bytes()),
    ];
    hold("card.txt", "Peer cards and pairing messages; `text` is the peer file's text.", &values);
}
