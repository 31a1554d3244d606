//! Making statements and operations.

use super::error::Error;
use super::membership::Membership;
use super::operation::{Operation, SpaceKind};
use super::person::Person;
use super::role::Role;
use super::statement::{PROOF_DOMAIN, Statement, proof_message};
use super::wrap::{Recipient, Secret, wrap_all};
use base::{DeviceId, Entry, EntryKind, Hash, Header, Incarnation, LogId, PersonId, Run, SpaceId, SpaceTag};
use crypto::{DeviceKey, EpochSecret, RootKey, SealPublic};
use std::collections::BTreeMap;

// The header of an entry in clear that builds on `prev` alone.
fn header(kind: EntryKind, tag: SpaceTag, log: LogId, run: Run, prev: Option<&Entry>) -> Header {
    Header {
        kind,
        tag,
        log,
        run,
        seq: prev.map_or(0, |entry| entry.header().seq + 1),
        lamport: prev.map_or(1, |entry| entry.header().lamport + 1),
        prev: prev.map(Entry::hash),
        deps: Vec::new(),
        epoch: None,
        auth: Vec::new(),
        chunks: None,
    }
}

/// The statement that a device is a person's, with the device's consent. The root key or another
/// device of theirs signs the entry it goes into.
pub fn certify(
    person: &PersonId,
    device: &DeviceKey,
    seal: &SealPublic,
    number: u64,
    name: Option<&str>,
) -> Statement {
    let id: DeviceId = device.id();
    let proof = device.sign(PROOF_DOMAIN, &person.space(), &proof_message(&id, seal, number));
    Statement::Certify { device: id, seal: *seal, number, name: name.map(str::to_owned), proof }
}

/// The two entries that make a new person: their first statement and the certificate of their first
/// device, both in the log of the root key. `nonce` must be random.
pub fn first_person(
    root: &RootKey,
    device: &DeviceKey,
    seal: &SealPublic,
    incarnation: Incarnation,
    run: Run,
    nonce: [u8; 16],
) -> Result<Vec<Entry>, Error> {
    let log = LogId { device: root.id(), incarnation };
    let statement = Statement::First { root: root.id(), recovery: root.recovery().public(), nonce };
    let head = header(EntryKind::Statement, SpaceTag::default(), log, run, None);
    let first = root.sign().sign_entry(&SpaceId::default(), &head, &statement.encode())?;
    let person = PersonId(first.hash().0);
    let head = header(EntryKind::Statement, person.space().tag(), log, run, Some(&first));
    let statement = certify(&person, device, seal, 1, None);
    let second = root.sign().sign_entry(&person.space(), &head, &statement.encode())?;
    Ok(vec![first, second])
}

/// A space just made.
#[derive(Clone, Debug)]
pub struct NewSpace {
    /// Its id.
    pub id: SpaceId,
    /// Genesis and first epoch, the first two entries of the device's log there.
    pub entries: Vec<Entry>,
    /// The first epoch's secret.
    pub secret: EpochSecret,
}

fn recipients(person: &Person) -> BTreeMap<Recipient, SealPublic> {
    let devices = person.devices().iter().map(|(id, cert)| (Recipient::Device(*id), cert.seal));
    devices.chain([(Recipient::Recovery(person.id()), person.recovery())]).collect()
}

fn half(seed: &[u8; 32], purpose: &str) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&crypto::expand_seed(seed, purpose)[..16]);
    out
}

/// Makes a space with its first epoch, wrapped for the devices and the recovery key of `person`,
/// whose device signs. `seed` must be random and used for this only: nonces and the epoch's secret
/// come from it. Errors if the device is not the person's.
pub fn create_space(
    device: &DeviceKey,
    person: &Person,
    kind: SpaceKind,
    incarnation: Incarnation,
    run: Run,
    seed: &[u8; 32],
) -> Result<NewSpace, Error> {
    if !person.devices().contains_key(&device.id()) {
        return Err(Error::Uncertified);
    }
    let log = LogId { device: device.id(), incarnation };
    let genesis =
        Operation::Genesis { creator: person.id(), nonce: half(seed, "chorus/seed-genesis/1"), kind };
    let head = header(EntryKind::Membership, SpaceTag::default(), log, run, None);
    let genesis = device.sign_entry(&SpaceId::default(), &head, &genesis.encode())?;
    let id = SpaceId(genesis.hash().0);

    let secret = EpochSecret::new(*crypto::expand_seed(seed, "chorus/seed-epoch/1"));
    let epoch = first_epoch(&id, &recipients(person), &secret, seed)?;
    let mut head = header(EntryKind::Membership, id.tag(), log, run, Some(&genesis));
    head.auth = vec![genesis.hash()];
    let epoch = device.sign_entry(&id, &head, &epoch.encode())?;
    Ok(NewSpace { id, entries: vec![genesis, epoch], secret })
}

fn first_epoch(
    space: &SpaceId,
    readers: &BTreeMap<Recipient, SealPublic>,
    secret: &EpochSecret,
    seed: &[u8; 32],
) -> Result<Operation, Error> {
    let nonce = half(seed, "chorus/seed-epoch-nonce/1");
    let wrap_seed = crypto::expand_seed(seed, "chorus/seed-wrap/1");
    Ok(Operation::Epoch {
        nonce,
        commit: secret.commit(),
        topic: secret.topic_secret().commit(),
        wraps: wrap_all(Secret::Epoch, space, &nonce, secret.expose(), readers, &wrap_seed)?,
        host_wraps: Vec::new(),
        previous: Vec::new(),
    })
}

/// The operation that makes `person` a member, with the current epoch's secret wrapped for their
/// devices and recovery key (T only for a host). An admin signs it, over the current heads. `seed`
/// must be random. Errors if there is no epoch, or `secret` is not the current one's.
pub fn add_member(
    membership: &Membership,
    person: &Person,
    role: Role,
    secret: &EpochSecret,
    seed: &[u8; 32],
) -> Result<Operation, Error> {
    let epoch = membership.current_epoch().ok_or(Error::NoEpoch)?;
    let nonce = match membership.operation(&Hash(epoch.0)) {
        Some(Operation::Epoch { nonce, commit, .. }) if *commit == secret.commit() => *nonce,
        _ => return Err(Error::NoEpoch),
    };
    let topic = secret.topic_secret();
    let (which, bytes) =
        if role.may_read() { (Secret::Epoch, secret.expose()) } else { (Secret::Topic, topic.expose()) };
    let wraps = wrap_all(which, &membership.id(), &nonce, bytes, &recipients(person), seed)?;
    Ok(Operation::Add { person: person.id(), role, epoch, wraps })
}
