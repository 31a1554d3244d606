//! One person: what their statements come to.

use super::codec::{self, Body};
use super::error::{Error, Refusal};
use super::outcome::{Missing, Outcome};
use super::statement::Statement;
use base::{DeviceId, Entry, EntryKind, Hash, LogId, PersonId, limit};
use crypto::SealPublic;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A device of a person, as its valid certificate has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCert {
    /// Where secrets for it are wrapped to.
    pub seal: SealPublic,
    /// The certificate's number.
    pub number: u64,
    /// What its owner calls it; a suggestion.
    pub name: Option<String>,
    /// The entry that certifies it.
    pub entry: Hash,
}

#[derive(Clone, Debug)]
struct Held {
    entry: Entry,
    body: Body<Statement>,
}

/// A person: their first statement, and every other that counts or may yet, in whatever order.
#[derive(Clone, Debug)]
pub struct Person {
    id: PersonId,
    root: DeviceId,
    recovery: SealPublic,
    held: BTreeMap<Hash, Held>,
    devices: BTreeMap<DeviceId, DeviceCert>,
    // For each device one certificate that leads to the root without a circle.
    ground: BTreeMap<DeviceId, Hash>,
}

impl Person {
    /// The person whose first statement this is. Errors if it is none, or not signed by the root
    /// key that it names.
    pub fn new(first: &Entry) -> Result<Person, Error> {
        let id = PersonId(first.hash().0);
        crypto::verify_entry(&id.space(), first)?;
        let not_first = Error::NotA { expected: "first statement" };
        if first.header().kind != EntryKind::Statement || !first.header().is_genesis() {
            return Err(not_first);
        }
        let body = codec::body(first.body(), "statement")?;
        match &body {
            Body::Known(Statement::First { root, recovery, .. }) if *root == first.header().log.device => {
                let held =
                    BTreeMap::from([(first.hash(), Held { entry: first.clone(), body: body.clone() })]);
                Ok(Person {
                    id,
                    root: *root,
                    recovery: *recovery,
                    held,
                    devices: BTreeMap::new(),
                    ground: BTreeMap::new(),
                })
            }
            Body::Newer => {
                let version = codec::version_of(first.body()).unwrap_or_default();
                Err(Error::Newer { what: "first statement", version })
            }
            Body::Known(_) => Err(not_first),
        }
    }

    /// Takes a statement. Keeps nothing of what is refused: it can never count, or too much of its
    /// signer waits already. Errors, and keeps nothing, if it is not of this person, its signature
    /// does not hold, or there are too many that count.
    pub fn insert(&mut self, entry: &Entry) -> Result<Outcome, Error> {
        if let Some(outcome) = self.outcome(&entry.hash()) {
            return Ok(outcome);
        }
        if entry.header().kind != EntryKind::Statement {
            return Err(Error::NotA { expected: "statement" });
        }
        if entry.body().len() > limit::STATEMENT_BYTES {
            return Ok(Outcome::Refused(Refusal::Large));
        }
        crypto::verify_entry(&self.id.space(), entry)?;
        let body = match self.read(entry) {
            Ok(body) => body,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let signer = entry.header().log.device;
        let known = self.is_theirs(&signer);
        // What waits never takes the place of what counts, nor one who waits that of another.
        let beside = |signers: &dyn Fn(&DeviceId) -> bool| {
            self.held.values().filter(|held| signers(&held.entry.header().log.device)).count()
        };
        if known && beside(&|other| self.is_theirs(other)) >= limit::STATEMENTS {
            let limit = limit::STATEMENTS;
            return Err(base::Error::Limit { what: "number of statements", limit }.into());
        }
        if !known
            && (beside(&|other| *other == signer) >= limit::WAITING
                || beside(&|other| !self.is_theirs(other)) >= limit::WAITING_UNKNOWN)
        {
            return Ok(Outcome::Refused(Refusal::Crowded));
        }
        self.held.insert(entry.hash(), Held { entry: entry.clone(), body });
        self.evaluate();
        Ok(self.outcome(&entry.hash()).unwrap_or(Outcome::Refused(Refusal::Foreign)))
    }

    // Whether what this key signs is theirs.
    fn is_theirs(&self, signer: &DeviceId) -> bool {
        *signer == self.root || self.devices.contains_key(signer)
    }

    fn read(&self, entry: &Entry) -> Result<Body<Statement>, Refusal> {
        match codec::body::<Statement>(entry.body(), "statement") {
            Err(_) => Err(Refusal::Malformed),
            Ok(Body::Known(Statement::First { .. })) => Err(Refusal::SecondBeginning),
            Ok(Body::Known(statement)) if !statement.is_agreed(&self.id) => Err(Refusal::NoConsent),
            Ok(body) => Ok(body),
        }
    }

    // A certificate holds if the root or a device that itself holds one signed it. Of several for
    // one device the highest number holds, then the root's, then the smaller hash; each had that
    // device's consent.
    fn evaluate(&mut self) {
        let mut best: BTreeMap<DeviceId, (u64, bool, Reverse<Hash>)> = BTreeMap::new();
        let mut counted: BTreeSet<Hash> = BTreeSet::new();
        self.ground.clear();
        loop {
            let before = counted.len();
            for (hash, held) in &self.held {
                let Body::Known(Statement::Certify { device, number, .. }) = &held.body else { continue };
                let signer = held.entry.header().log.device;
                let by_root = signer == self.root;
                if (by_root || best.contains_key(&signer)) && counted.insert(*hash) {
                    self.ground.entry(*device).or_insert(*hash);
                    let rank = (*number, by_root, Reverse(*hash));
                    let entry = best.entry(*device).or_insert(rank);
                    *entry = rank.max(*entry);
                }
            }
            if counted.len() == before {
                break;
            }
        }
        self.devices = best
            .into_iter()
            .filter_map(|(device, (_, _, Reverse(hash)))| match &self.held.get(&hash)?.body {
                Body::Known(Statement::Certify { seal, number, name, .. }) => Some((
                    device,
                    DeviceCert { seal: *seal, number: *number, name: name.clone(), entry: hash },
                )),
                _ => None,
            })
            .collect();
    }

    /// What became of a statement; none if it is not kept.
    pub fn outcome(&self, hash: &Hash) -> Option<Outcome> {
        let held = self.held.get(hash)?;
        let signer = held.entry.header().log.device;
        Some(match &held.body {
            _ if *hash == Hash(self.id.0) => Outcome::Counts,
            _ if !self.is_theirs(&signer) => Outcome::Waits(Missing::Device(signer)),
            Body::Known(Statement::Certify { .. }) => Outcome::Counts,
            _ => Outcome::Later,
        })
    }

    /// The hash of their first statement.
    pub fn id(&self) -> PersonId {
        self.id
    }

    /// Their root key.
    pub fn root(&self) -> DeviceId {
        self.root
    }

    /// Where epochs are wrapped to so that the recovery phrase opens them.
    pub fn recovery(&self) -> SealPublic {
        self.recovery
    }

    /// Their devices, by key.
    pub fn devices(&self) -> &BTreeMap<DeviceId, DeviceCert> {
        &self.devices
    }

    /// Every statement kept, the first one first and each after what it builds on: in this order a
    /// receiver who knows nothing can take them one by one.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.held.values().map(|held| &held.entry).collect();
        entries.sort_by_key(|entry| (!entry.header().is_genesis(), entry.header().lamport, entry.hash()));
        entries.into_iter()
    }

    /// How many statements are kept that a later version will evaluate.
    pub fn later(&self) -> usize {
        self.held.keys().filter(|hash| self.outcome(hash) == Some(Outcome::Later)).count()
    }

    /// The newest statement of each log: its seq and hash. Of a forked log the smaller hash.
    pub fn tips(&self) -> BTreeMap<LogId, (u64, Hash)> {
        let mut tips: BTreeMap<LogId, (u64, Hash)> = BTreeMap::new();
        for (hash, held) in &self.held {
            let header = held.entry.header();
            let tip = tips.entry(header.log).or_insert((header.seq, *hash));
            if header.seq > tip.0 {
                *tip = (header.seq, *hash);
            }
        }
        tips
    }

    /// The statements that prove a device to be theirs, the first one first, and no others: what
    /// goes on a card. Empty if it is not theirs.
    pub fn proof_of(&self, device: &DeviceId) -> Vec<Entry> {
        let Some(cert) = self.devices.get(device) else { return Vec::new() };
        let mut hashes = vec![cert.entry];
        let mut next = *device;
        while let Some(held) = self.ground.get(&next).and_then(|hash| self.held.get(hash)) {
            if held.entry.hash() != cert.entry {
                hashes.push(held.entry.hash());
            }
            next = held.entry.header().log.device;
            if next == self.root {
                break;
            }
        }
        hashes.push(Hash(self.id.0));
        hashes.iter().rev().filter_map(|hash| self.held.get(hash)).map(|held| held.entry.clone()).collect()
    }
}
