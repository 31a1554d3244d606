//! The worked example of `docs/protocol.md`: one person, one space, one entry, one hello, every step's bytes.
//!
//! They are golden (`schema/vectors/story.txt`), what is made now must be the same, and the page must show each of
//! them. `CHORUS_WRITE_VECTORS=1` writes them anew, which is right only before a format is released.

use base::{
    Actor, DeviceId, DoorId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, ObjectId, PersonId,
    Run, SpaceId, cbor,
};
use crypto::{DeviceKey, EpochSecret, RootKey, SealKey};
use data_encoding::HEXLOWER;
use object::{Birth, Body, Change, Content, Doc, Door, DoorKind, DoorOp, Item, Meta, Target, Type};
use space::member::{
    Card, Membership, Operation, PROOF_DOMAIN, People, Person, Recipient, Request, SpaceKind, Statement,
    create_space, first_person, proof_message,
};
use std::collections::BTreeMap;
use sync::{Config, Envelope, Frontier, Input, LogRange, Output, SpaceDelta, Sync, Want};

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/story.txt");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
const INCARNATION: Incarnation = Incarnation([4; 8]);
const RUN: Run = Run([5; 8]);
const TIME: i64 = 1_700_000_000_000;

struct Ann {
    root: RootKey,
    device: DeviceKey,
    seal: SealKey,
    statements: Vec<Entry>,
}

fn ann() -> Ann {
    let root = RootKey::from_entropy(&[1; 32]);
    let device = DeviceKey::from_seed([2; 32]);
    let seal = SealKey::from_seed([3; 32]);
    let statements = first_person(&root, &device, &seal.public(), INCARNATION, RUN, [6; 16]).unwrap();
    Ann { root, device, seal, statements }
}

impl Ann {
    fn person(&self) -> Person {
        let mut person = Person::new(&self.statements[0]).unwrap();
        person.insert(&self.statements[1]).unwrap();
        person
    }

    fn log(&self) -> LogId {
        LogId { device: self.device.id(), incarnation: INCARNATION }
    }
}

fn bob() -> DeviceId {
    DeviceKey::from_seed([10; 32]).id()
}

struct Teller(Vec<(&'static str, String, Vec<u8>)>);

impl Teller {
    fn tell(&mut self, name: &'static str, bytes: impl AsRef<[u8]>) {
        self.0.push((name, String::new(), bytes.as_ref().to_vec()));
    }

    fn entry(&mut self, name: &'static str, space: &SpaceId, entry: &Entry) {
        let signed_for = if entry.header().is_genesis() { SpaceId::default() } else { *space };
        crypto::verify_entry(space, entry).unwrap();
        let message = [b"chorus/entry/1\0", &signed_for.0[..], entry.signed_bytes()].concat();
        let parts: [(&str, &[u8]); 6] = [
            (".header", entry.header_bytes()),
            (".body", entry.body()),
            (".message", &message),
            (".signature", &entry.signature()),
            (".entry", entry.bytes()),
            (".hash", &entry.hash().0),
        ];
        self.0.extend(parts.map(|(part, bytes)| (name, part.to_owned(), bytes.to_vec())));
    }
}

fn person(told: &mut Teller, ann: &Ann) {
    let id = PersonId(ann.statements[0].hash().0);
    told.tell("root.entropy", [1; 32]);
    told.tell("root.seed", ann.root.sign().seed().as_slice());
    told.tell("root.key", ann.root.id().0);
    told.tell("recovery.seed", ann.root.recovery().seed().as_slice());
    told.tell("recovery.key", ann.root.recovery().public().0);
    told.tell("device.seed", [2; 32]);
    told.tell("device.key", ann.device.id().0);
    told.tell("seal.seed", [3; 32]);
    told.tell("seal.key", ann.seal.public().0);
    told.entry("first", &id.space(), &ann.statements[0]);
    told.tell("person.tag", id.space().tag().0);
    let body = cbor::decode::<Statement>(ann.statements[1].body(), "statement");
    let Ok(Statement::Certify { device, seal, number, .. }) = body else { panic!("a certificate") };
    let message = proof_message(&device, &seal, number);
    told.tell("proof.message", [PROOF_DOMAIN.as_bytes(), b"\0", &id.0, &message].concat());
    told.tell("proof.signature", ann.device.sign(PROOF_DOMAIN, &id.space(), &message));
    told.entry("certify", &id.space(), &ann.statements[1]);
}

fn space(told: &mut Teller, ann: &Ann) -> (SpaceId, EpochId, EpochSecret) {
    let made =
        create_space(&ann.device, &ann.person(), SpaceKind::Shared, INCARNATION, RUN, &[7; 32]).unwrap();
    let (id, secret, epoch) = (made.id, made.secret, EpochId(made.entries[1].hash().0));
    told.entry("genesis", &id, &made.entries[0]);
    told.tell("space.tag", id.tag().0);
    told.tell("space.root", id.root().0);
    told.tell("epoch.secret", secret.expose());
    told.tell("epoch.commit", secret.commit().0);
    told.tell("topic.secret", secret.topic_secret().expose());
    told.tell("topic.commit", secret.topic_secret().commit().0);
    let body = cbor::decode::<Operation>(made.entries[1].body(), "operation");
    let Ok(Operation::Epoch { nonce, wraps, .. }) = body else { panic!("an epoch") };
    let recipient = Recipient::Device(ann.device.id());
    let wrap = wraps.iter().find(|wrap| wrap.recipient == recipient).unwrap();
    let info = [b"chorus/wrap-epoch/1\0", &id.0[..], &nonce, &recipient.to_bytes()].concat();
    assert_eq!(crypto::unwrap_secret(&ann.seal, &info, &wrap.sealed).unwrap().as_slice(), secret.expose());
    told.tell("wrap.info", info);
    told.tell("wrap.sealed", wrap.sealed);
    told.entry("epoch", &id, &made.entries[1]);
    // Whoever reads the two entries with the device's sealing key has the secret.
    let mut people = People::new();
    ann.statements.iter().for_each(|entry| drop(people.insert(entry).unwrap()));
    let mut membership = Membership::new(&made.entries[0]).unwrap();
    membership.settle(&people);
    membership.insert(&made.entries[1], &people).unwrap();
    assert_eq!(membership.open(&recipient, &ann.seal).secrets[&epoch], secret);
    (id, epoch, secret)
}

// A file that is born, and a door in the root that leads to it.
fn body(told: &mut Teller, ann: &Ann, space: &SpaceId) -> Vec<u8> {
    let file = ObjectId([8; 16]);
    let hello = Content::Bytes(b"hello\n".to_vec());
    let birth = Birth { id: file, kind: Type::Text, meta: Meta::default(), content: hello };
    let actor = Actor::derive(space, &ann.device.id(), &INCARNATION, &RUN, &space.root());
    let door = Door {
        name: b"greeting".to_vec(),
        target: Target { space: None, object: file },
        kind: DoorKind::Place,
        at: (3, ann.device.id()),
        gone: Vec::new(),
    };
    told.tell("room.actor", actor.0);
    told.tell("door", cbor::encode(&door));
    let room = Birth { id: space.root(), kind: Type::Room, meta: Meta::default(), content: Content::Empty };
    let mut room = Doc::born(&room).unwrap();
    told.tell("room.first-change", room.birth_hash().0);
    let made = room.edit_room(&actor, TIME, &[DoorOp::Add { id: DoorId([9; 16]), door }]).unwrap().unwrap();
    told.tell("room.change", &made.change);
    let change = Change { object: space.root(), bytes: made.change, incarnation: None };
    let body = Body { time: TIME, items: vec![Item::Birth(birth), Item::Change(change)] }.encode();
    told.tell("body", &body);
    body
}

fn content(told: &mut Teller, ann: &Ann, space: &SpaceId, epoch: EpochId, secret: &EpochSecret) -> Entry {
    let body = body(told, ann, space);
    // How well packing compresses may change; what was packed opens.
    let packed = recorded("body.packed").unwrap_or_else(|| crypto::pack(&body));
    assert_eq!(crypto::unpack(&packed, 1 << 20).unwrap(), body);
    told.tell("body.packed", &packed);
    let header = Header {
        kind: EntryKind::Content,
        tag: space.tag(),
        log: ann.log(),
        run: RUN,
        seq: 2,
        lamport: 3,
        prev: Some(Hash(epoch.0)),
        deps: Vec::new(),
        epoch: Some(epoch),
        auth: vec![Hash(epoch.0)],
        chunks: None,
    };
    told.tell("body.key", secret.entry_key(space, &ann.log()).as_slice());
    let sealed = crypto::seal_body(secret, space, &ann.log(), &header.to_bytes(), &packed, [12; 24]);
    let entry = ann.device.sign_entry(space, &header, &sealed).unwrap();
    told.entry("content", space, &entry);
    let (id, chunk, plain) = crypto::seal_chunk(secret, b"a chunk of a large file");
    told.tell("chunk.plain", b"a chunk of a large file");
    told.tell("chunk.plain-hash", plain.0);
    told.tell("chunk.key", secret.chunk_key(&plain).as_slice());
    told.tell("chunk.sealed", &chunk);
    told.tell("chunk.id", id.0);
    entry
}

// What Ann's node says to Bob's once he announced the space.
fn hello(told: &mut Teller, ann: &Ann, space: &SpaceId, entry: &Entry) {
    let (tag, tip) = (space.tag(), (entry.header().seq, entry.hash()));
    let announce = Envelope::Frontier(Frontier { announce: Some(vec![tag]), ..Frontier::default() });
    let mut sync = Sync::new(ann.device.id(), Config::default(), 0);
    let mut out = Vec::new();
    sync.step(0, Input::Space { tag, logs: BTreeMap::from([(ann.log(), vec![tip])]) }, &mut out);
    sync.step(0, Input::Allow { peer: bob(), tags: [tag].into() }, &mut out);
    sync.step(0, Input::Connected { peer: bob() }, &mut out);
    sync.step(1_000, Input::Received { peer: bob(), envelope: announce.clone() }, &mut out);
    let said = out.into_iter().find_map(|output| match output {
        Output::Send { envelope: Envelope::Hello(hello), .. } => Some(hello),
        _ => None,
    });
    let said = said.expect("a hello follows the announcement");
    let log = [&ann.log().to_bytes()[..], &1u64.to_be_bytes(), &tip.0.to_be_bytes(), &tip.1.0].concat();
    let space_root = Hash::of(&[b"chorus/frontier/1", &log]);
    let root = Hash::of(&[b"chorus/root-of-frontiers/1", &tag.0, &space_root.0]);
    told.tell("peer.key", bob().0);
    told.tell("announce", announce.encode());
    told.tell("hello.log", &log);
    told.tell("hello.space-root", space_root.0);
    told.tell("hello.root", root.0);
    let time = 1_000u64.to_be_bytes();
    let digest = Hash::of(&[b"chorus/hello/1", &ann.device.id().0, &bob().0, &time, &root.0]);
    assert_eq!(digest, said.digest);
    told.tell("hello.digest", digest.0);
    let bytes = Envelope::Hello(said).encode();
    told.tell("hello", &bytes);
    told.tell("hello.frame", [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat());
}

fn wire(told: &mut Teller, ann: &Ann, space: &SpaceId, entry: &Entry, secret: &EpochSecret) {
    let (tag, tip) = (space.tag(), (entry.header().seq, entry.hash()));
    let delta = SpaceDelta { tag, whole: true, logs: vec![(ann.log(), vec![tip])] };
    told.tell(
        "frontier",
        Envelope::Frontier(Frontier { deltas: vec![delta], ..Frontier::default() }).encode(),
    );
    let range = LogRange { tag, log: ann.log(), from: 0, to: 2 };
    told.tell("want", Envelope::Want(Want { ranges: vec![range], ..Want::default() }).encode());
    let entries = Envelope::Entries(vec![entry.bytes().to_vec()]).encode();
    told.tell("entries", &entries);
    let topic = secret.topic_secret();
    told.tell("gossip.topic", topic.topic());
    told.tell("gossip.frame", topic.seal_frame([13; 24], &entries));
    let addresses = vec!["/ip4/192.0.2.7/tcp/4001".to_owned()];
    let mut card = Card::new(&ann.person(), &ann.device.id(), addresses).unwrap();
    card.name = Some("ann".into());
    told.tell("pairing.request", Request { token: [14; 16], card: card.clone() }.encode());
    card.token = Some([15; 16]);
    told.tell("card", card.encode());
    told.tell("card.text", card.to_text());
}

fn story() -> Vec<(String, Vec<u8>)> {
    let mut told = Teller(Vec::new());
    let ann = ann();
    person(&mut told, &ann);
    let (id, epoch, secret) = space(&mut told, &ann);
    let entry = content(&mut told, &ann, &id, epoch, &secret);
    hello(&mut told, &ann, &id, &entry);
    wire(&mut told, &ann, &id, &entry, &secret);
    told.0.into_iter().map(|(name, part, bytes)| (format!("{name}{part}"), bytes)).collect()
}

/// The examples of a text: `name hex`, the hex perhaps over several lines.
fn examples<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<u8>> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in lines {
        let hex = match line.strip_prefix("  ") {
            Some(more) => more,
            None => {
                let (next, hex) = line.split_once(' ').unwrap_or((line, ""));
                name = next.to_owned();
                assert!(!out.contains_key(&name), "{name} stands there twice");
                hex
            }
        };
        out.entry(name.clone()).or_default().push_str(hex.trim());
    }
    let bytes =
        |name: &str, hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
    out.iter().map(|(name, hex)| (name.clone(), bytes(name, hex))).collect()
}

fn golden() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(STORY).unwrap_or_default();
    examples(text.lines().filter(|line| !line.starts_with('#')))
}

fn recorded(name: &str) -> Option<Vec<u8>> {
    golden().remove(name)
}

#[test]
fn the_story_is_as_it_was_written_down() {
    let story = story();
    if std::env::var_os("CHORUS_WRITE_VECTORS").is_some() {
        let mut text = String::from(
            "# The worked example of docs/protocol.md. Made and read by crates/space/tests/story.rs.\n",
        );
        story.iter().for_each(|(name, bytes)| text.push_str(&format!("{name} {}\n", HEXLOWER.encode(bytes))));
        std::fs::write(STORY, text).unwrap();
    }
    let golden = golden();
    assert_eq!(story.len(), golden.len());
    for (name, bytes) in story {
        assert_eq!(golden.get(&name).map(|b| HEXLOWER.encode(b)), Some(HEXLOWER.encode(&bytes)), "{name}");
    }
}

#[test]
fn the_page_shows_what_is_so() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside = if fence { *line == "```example" } else { inside };
        inside && !fence
    });
    let shown = examples(lines);
    let golden = golden();
    for (name, bytes) in &golden {
        let there = shown.get(name).map(|bytes| HEXLOWER.encode(bytes));
        assert_eq!(there, Some(HEXLOWER.encode(bytes)), "{name} in the page");
    }
    assert_eq!(shown.len(), golden.len(), "the page shows no other examples");
}
