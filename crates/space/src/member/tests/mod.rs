//! Tests of people and membership, over a small cast made from fixed seeds.

mod cards;
mod garbage;
mod order;
mod persons;
mod quota;
mod space;
mod vectors;

use super::*;
use base::{Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, PersonId, Run, SpaceId};
use crypto::{DeviceKey, EpochSecret, RootKey, SealKey};
use std::collections::BTreeMap;

/// Somebody with one device, and all their keys.
struct Actor {
    root: RootKey,
    device: DeviceKey,
    seal: SealKey,
    entries: Vec<Entry>,
    id: PersonId,
}

fn actor(seed: u8) -> Actor {
    let root = RootKey::from_entropy(&[seed; 32]);
    let device = DeviceKey::from_seed([seed + 1; 32]);
    let seal = SealKey::from_seed([seed + 2; 32]);
    let nonce = [seed + 3; 16];
    let entries = first_person(&root, &device, &seal.public(), incarnation(), Run([2; 8]), nonce).unwrap();
    let id = PersonId(entries[0].hash().0);
    Actor { root, device, seal, entries, id }
}

impl Actor {
    fn person(&self) -> Person {
        let mut person = Person::new(&self.entries[0]).unwrap();
        for entry in &self.entries[1..] {
            person.insert(entry).unwrap();
        }
        person
    }

    fn recipient(&self) -> Recipient {
        Recipient::Device(self.device.id())
    }
}

fn incarnation() -> Incarnation {
    Incarnation([1; 8])
}

fn people(actors: &[&Actor]) -> People {
    let mut people = People::new();
    for entry in actors.iter().flat_map(|actor| &actor.entries) {
        people.insert(entry).unwrap();
    }
    people
}

/// A statement by `signer`, after those in `before`.
fn state(signer: &DeviceKey, person: &PersonId, statement: &[u8], seq: u64, before: &Entry) -> Entry {
    let header = Header {
        kind: EntryKind::Statement,
        tag: person.space().tag(),
        log: LogId { device: signer.id(), incarnation: incarnation() },
        run: Run([2; 8]),
        seq,
        lamport: before.header().lamport + 1,
        prev: (seq > 0).then(|| before.hash()),
        deps: if seq > 0 { vec![] } else { vec![before.hash()] },
        epoch: None,
        auth: vec![],
        chunks: None,
    };
    signer.sign_entry(&person.space(), &header, statement).unwrap()
}

/// An operation by `signer` over these heads. `seq` keeps entries of one signer apart.
fn operate(signer: &DeviceKey, space: &SpaceId, operation: &[u8], seq: u64, auth: &[Hash]) -> Entry {
    let mut auth = auth.to_vec();
    auth.sort();
    let header = Header {
        kind: EntryKind::Membership,
        tag: space.tag(),
        log: LogId { device: signer.id(), incarnation: incarnation() },
        run: Run([2; 8]),
        seq,
        lamport: seq + 2,
        prev: (seq > 0).then_some(Hash([9; 32])),
        deps: if seq > 0 { vec![] } else { vec![Hash([9; 32])] },
        epoch: None,
        auth,
        chunks: None,
    };
    signer.sign_entry(space, &header, operation).unwrap()
}

/// The header of a content entry.
fn content(signer: &DeviceKey, space: &SpaceId, epoch: EpochId, auth: Vec<Hash>) -> Header {
    Header {
        kind: EntryKind::Content,
        tag: space.tag(),
        log: LogId { device: signer.id(), incarnation: incarnation() },
        run: Run([2; 8]),
        seq: 1,
        lamport: 9,
        prev: Some(Hash([9; 32])),
        deps: vec![],
        epoch: Some(epoch),
        auth,
        chunks: None,
    }
}

/// A space that `creator` just made.
fn made(creator: &Actor, kind: SpaceKind) -> NewSpace {
    create_space(&creator.device, &creator.person(), kind, incarnation(), Run([2; 8]), &[77; 32]).unwrap()
}

fn membership(space: &NewSpace, people: &People) -> Membership {
    let mut membership = Membership::new(&space.entries[0]).unwrap();
    membership.settle(people);
    assert_eq!(membership.insert(&space.entries[1], people).unwrap(), Outcome::Counts);
    membership
}

/// Adds somebody over the present heads.
fn add(
    m: &mut Membership,
    people: &People,
    by: &Actor,
    who: &Actor,
    role: Role,
    secret: &EpochSecret,
) -> Entry {
    let operation = add_member(m, &who.person(), role, secret, &[5; 32]).unwrap();
    let seq = 10 + m.entries().len() as u64;
    let entry = operate(&by.device, &m.id(), &operation.encode(), seq, &m.heads());
    assert_eq!(m.insert(&entry, people).unwrap(), Outcome::Counts);
    entry
}

fn roles(pairs: &[(&Actor, Role)]) -> BTreeMap<PersonId, Role> {
    pairs.iter().map(|(actor, role)| (actor.id, *role)).collect()
}
