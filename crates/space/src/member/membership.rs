//! One space: who is a member, as what, and which epochs there are.
//!
//! Operations form a DAG by `auth`. Whether one counts depends on what its author knew (its past)
//! and on the statements of people, never on the order of arrival: in this version authority only
//! grows, so a signer who was admin in the operation's past may do what admins may. A person's role
//! is the highest that counting operations gave them.

use super::codec::{self, Body};
use super::error::{Error, Refusal};
use super::operation::{Operation, SpaceKind};
use super::outcome::{Missing, Outcome, Verdict};
use super::past::Past;
use super::people::People;
use super::role::Role;
use base::{DeviceId, Entry, EntryKind, EpochId, Hash, Header, PersonId, SpaceId, limit};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) body: Body<Operation>,
    // None while something it builds on is not here.
    pub(super) placed: Option<Placed>,
}

#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) place: usize,
    pub(super) depth: u64,
    pub(super) past: Past,
    pub(super) outcome: Outcome,
    // Whether its signer was an admin in its past.
    pub(super) by_admin: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) place: usize,
    pub(super) person: PersonId,
    pub(super) role: Role,
}

/// The membership of one space, from the set of its operations.
#[derive(Clone, Debug)]
pub struct Membership {
    id: SpaceId,
    creator: PersonId,
    kind: SpaceKind,
    pub(super) held: BTreeMap<Hash, Held>,
    // What follows is derived from `held` and the people.
    places: usize,
    blocked: BTreeMap<Hash, BTreeSet<Hash>>,
    pub(super) grants: Vec<Grant>,
    // Places of operations that wait for statements, and what for.
    waiting: Vec<(usize, Missing)>,
    // Places of epoch operations, later ones too.
    epochs: Vec<(usize, EpochId)>,
}

impl Membership {
    /// The space whose genesis this is. Errors if it is none or its signature does not hold.
    ///
    /// Nothing counts before [`Membership::settle`] has seen the creator's statements.
    pub fn new(genesis: &Entry) -> Result<Membership, Error> {
        let id = SpaceId(genesis.hash().0);
        crypto::verify_entry(&id, genesis)?;
        let not_genesis = Error::NotA { expected: "genesis" };
        if genesis.header().kind != EntryKind::Membership || !genesis.header().is_genesis() {
            return Err(not_genesis);
        }
        let body = codec::body(genesis.body(), "membership operation")?;
        let (creator, kind) = match &body {
            Body::Known(Operation::Genesis { creator, kind, .. }) => (*creator, *kind),
            Body::Known(_) => return Err(not_genesis),
            Body::Newer => {
                let version = codec::version_of(genesis.body()).unwrap_or_default();
                return Err(Error::Newer { what: "genesis", version });
            }
        };
        let held = Held { entry: genesis.clone(), body, placed: None };
        let mut membership = Membership {
            id,
            creator,
            kind,
            held: BTreeMap::from([(genesis.hash(), held)]),
            places: 0,
            blocked: BTreeMap::new(),
            grants: Vec::new(),
            waiting: Vec::new(),
            epochs: Vec::new(),
        };
        membership.settle(&People::new());
        Ok(membership)
    }

    /// Takes an operation. Errors, and keeps nothing, if it is not of this space, its signature does
    /// not hold, or there are too many by admins.
    ///
    /// What is refused for what it is (its size, a body that does not decode, no heads, a second
    /// genesis, another than a host in a home) can never count and is not kept. What is refused for
    /// who signed it may count once more of their statements are here, and is kept within the bounds
    /// of its signer, as is what waits; beyond them it must be offered again. So the same set of
    /// operations comes to the same in any order, as long as no signer is over their bounds; and one
    /// who is takes nothing from others.
    pub fn insert(&mut self, entry: &Entry, people: &People) -> Result<Outcome, Error> {
        let hash = entry.hash();
        if let Some(outcome) = self.outcome(&hash) {
            return Ok(outcome);
        }
        if entry.header().kind != EntryKind::Membership {
            return Err(Error::NotA { expected: "membership operation" });
        }
        if entry.body().len() > limit::OPERATION_BYTES {
            return Ok(Outcome::Refused(Refusal::Large));
        }
        crypto::verify_entry(&self.id, entry)?;
        let Ok(body) = codec::body(entry.body(), "membership operation") else {
            return Ok(Outcome::Refused(Refusal::Malformed));
        };
        if let Some(refusal) = self.never_counts(entry.header(), &body) {
            return Ok(Outcome::Refused(refusal));
        }
        let held = Held { entry: entry.clone(), body, placed: None };
        if let Some(outcome) = self.crowded(&held, people)? {
            return Ok(outcome);
        }
        self.held.insert(hash, held);
        self.place(hash, people);
        Ok(self.outcome(&hash).unwrap_or(Outcome::Refused(Refusal::Foreign)))
    }

    /// Judges everything again, after people made statements. True if anything changed.
    pub fn settle(&mut self, people: &People) -> bool {
        let before: Vec<_> = self.outcomes().collect();
        self.places = 0;
        self.blocked.clear();
        self.grants.clear();
        self.waiting.clear();
        self.epochs.clear();
        for held in self.held.values_mut() {
            held.placed = None;
        }
        let hashes: Vec<Hash> = self.held.keys().copied().collect();
        for hash in hashes {
            self.place(hash, people);
        }
        before != self.outcomes().collect::<Vec<_>>()
    }

    // Places an operation whose past is all here, then those that waited for it.
    fn place(&mut self, hash: Hash, people: &People) {
        let mut ready = vec![hash];
        while let Some(hash) = ready.pop() {
            let Some(held) = self.held.get(&hash) else { continue };
            if held.placed.is_some() {
                continue;
            }
            let auth = &held.entry.header().auth;
            if let Some(first) = auth.iter().find(|hash| self.placed(hash).is_none()) {
                self.blocked.entry(*first).or_default().insert(hash);
                continue;
            }
            let placed = self.judge_operation(held, people);
            self.note(hash, &placed);
            if let Some(held) = self.held.get_mut(&hash) {
                held.placed = Some(placed);
            }
            self.places += 1;
            ready.extend(self.blocked.remove(&hash).unwrap_or_default());
        }
    }

    pub(super) fn placed(&self, hash: &Hash) -> Option<&Placed> {
        self.held.get(hash)?.placed.as_ref()
    }

    pub(super) fn judge_operation(&self, held: &Held, people: &People) -> Placed {
        let header = held.entry.header();
        let past = self.past_of(&header.auth);
        let depth =
            header.auth.iter().filter_map(|hash| self.placed(hash)).map(|p| p.depth + 1).max().unwrap_or(0);
        let outcome = self.judge_body(&held.body, header, &past, people);
        let by_admin = self.role_in_past(&header.log.device, &past, people) == Ok(Role::Admin);
        Placed { place: self.places, depth, past, outcome, by_admin }
    }

    // What an author who named these heads knew.
    fn past_of(&self, auth: &[Hash]) -> Past {
        let mut past = Past::default();
        for placed in auth.iter().filter_map(|hash| self.placed(hash)) {
            past.join(&placed.past);
            past.insert(placed.place);
        }
        past
    }

    fn judge_body(&self, body: &Body<Operation>, header: &Header, past: &Past, people: &People) -> Outcome {
        if let Some(refusal) = self.never_counts(header, body) {
            return Outcome::Refused(refusal);
        }
        if let Body::Known(Operation::Genesis { .. }) = body {
            return self.judge_genesis(header, people);
        }
        let role = match self.role_in_past(&header.log.device, past, people) {
            Ok(role) => role,
            Err(Verdict::Waits(missing)) => return Outcome::Waits(missing),
            Err(Verdict::Refused(refusal)) => return Outcome::Refused(refusal),
            // Never given as an error.
            Err(Verdict::Counts) => return Outcome::Later,
        };
        let allowed = |needs: Role, then: Outcome| {
            if role >= needs { then } else { self.unless_waiting(past, Refusal::Role { has: role, needs }) }
        };
        let epoch_known = |place: usize| past.contains(place);
        match body {
            Body::Newer | Body::Known(Operation::Genesis { .. }) => Outcome::Later,
            Body::Known(Operation::Add { epoch, .. }) => {
                if !self.epochs.iter().any(|(place, id)| id == epoch && epoch_known(*place)) {
                    self.unless_waiting(past, Refusal::NotEpoch)
                } else {
                    allowed(Role::Admin, Outcome::Counts)
                }
            }
            // Everybody may go; saying who else may is for admins.
            Body::Known(Operation::Remove { person, .. }) => {
                let oneself = people.persons_of(&header.log.device).any(|signer| signer == *person);
                allowed(if oneself { Role::Host } else { Role::Admin }, Outcome::Later)
            }
            Body::Known(Operation::SetRole { .. }) => allowed(Role::Admin, Outcome::Later),
            Body::Known(Operation::Epoch { .. }) => {
                let first = !self.epochs.iter().any(|(place, _)| epoch_known(*place));
                allowed(Role::Writer, if first { Outcome::Counts } else { Outcome::Later })
            }
        }
    }

    fn judge_genesis(&self, header: &Header, people: &People) -> Outcome {
        let device = header.log.device;
        if people.persons_of(&device).any(|person| person == self.creator) {
            Outcome::Counts
        } else if people.get(&self.creator).is_some() && people.person_of(&device).is_some() {
            Outcome::Refused(Refusal::NotCreator)
        } else {
            Outcome::Waits(Missing::Device(device))
        }
    }

    // The highest role that operations in the past gave to a person whose device it is.
    fn role_in_past(&self, device: &DeviceId, past: &Past, people: &People) -> Result<Role, Verdict> {
        let persons: Vec<PersonId> = people.persons_of(device).collect();
        if persons.is_empty() {
            return Err(Verdict::Waits(Missing::Device(*device)));
        }
        let given = self.grants.iter().filter(|g| past.contains(g.place) && persons.contains(&g.person));
        given.map(|g| g.role).max().ok_or_else(|| match self.waiting_in(past) {
            Some(missing) => Verdict::Waits(missing.clone()),
            None => Verdict::Refused(Refusal::NotMember),
        })
    }

    fn waiting_in(&self, past: &Past) -> Option<&Missing> {
        self.waiting.iter().filter(|(place, _)| past.contains(*place)).map(|(_, missing)| missing).min()
    }

    // What is refused for want of authority may yet count, if something that could have given it
    // still waits.
    fn unless_waiting(&self, past: &Past, refusal: Refusal) -> Outcome {
        match self.waiting_in(past) {
            Some(missing) => Outcome::Waits(missing.clone()),
            None => Outcome::Refused(refusal),
        }
    }

    fn note(&mut self, hash: Hash, placed: &Placed) {
        let place = placed.place;
        let operation = match self.held.get(&hash).map(|held| &held.body) {
            Some(Body::Known(operation)) => Some(operation),
            _ => None,
        };
        match (&placed.outcome, operation) {
            (Outcome::Waits(missing), _) => self.waiting.push((place, missing.clone())),
            (Outcome::Counts, Some(Operation::Genesis { creator, .. })) => {
                self.grants.push(Grant { place, person: *creator, role: Role::Admin });
            }
            (Outcome::Counts, Some(Operation::Add { person, role, .. })) => {
                self.grants.push(Grant { place, person: *person, role: *role });
            }
            (Outcome::Counts | Outcome::Later, Some(Operation::Epoch { .. })) => {
                self.epochs.push((place, EpochId(hash.0)));
            }
            _ => {}
        }
    }

    /// What became of an operation; none if it is not kept.
    pub fn outcome(&self, hash: &Hash) -> Option<Outcome> {
        let held = self.held.get(hash)?;
        Some(match &held.placed {
            Some(placed) => placed.outcome.clone(),
            None => Outcome::Waits(Missing::Entries(self.missing(&held.entry.header().auth))),
        })
    }

    /// Every operation kept and what became of it, by hash.
    pub fn outcomes(&self) -> impl Iterator<Item = (Hash, Outcome)> {
        self.held.keys().filter_map(|hash| Some((*hash, self.outcome(hash)?)))
    }

    // Which operations that these hashes build on are not here, sorted.
    fn missing(&self, auth: &[Hash]) -> Vec<Hash> {
        let mut missing = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut next: Vec<Hash> = auth.to_vec();
        while let Some(hash) = next.pop() {
            match self.held.get(&hash) {
                _ if !seen.insert(hash) => {}
                None => {
                    missing.insert(hash);
                }
                Some(held) if held.placed.is_none() => next.extend(&held.entry.header().auth),
                Some(_) => {}
            }
        }
        missing.into_iter().collect()
    }

    /// Whether an entry of content counts, by its header: its signer must have been a writer in what
    /// the header says the author knew, and its epoch one of this space. Its signature is not looked
    /// at here.
    pub fn judge(&self, header: &Header, people: &People) -> Verdict {
        if header.kind != EntryKind::Content || header.tag != self.id.tag() {
            return Verdict::Refused(Refusal::Foreign);
        }
        if header.auth.is_empty() {
            return Verdict::Refused(Refusal::NoHeads);
        }
        if header.auth.iter().any(|hash| self.placed(hash).is_none()) {
            return Verdict::Waits(Missing::Entries(self.missing(&header.auth)));
        }
        let past = self.past_of(&header.auth);
        match self.role_in_past(&header.log.device, &past, people) {
            Err(verdict) => verdict,
            Ok(role) if role.may_write() => self.judge_epoch(header.epoch),
            Ok(role) => match self.waiting_in(&past) {
                Some(missing) => Verdict::Waits(missing.clone()),
                None => Verdict::Refused(Refusal::Role { has: role, needs: Role::Writer }),
            },
        }
    }

    fn judge_epoch(&self, epoch: Option<EpochId>) -> Verdict {
        let Some(epoch) = epoch else { return Verdict::Refused(Refusal::NotEpoch) };
        let hash = Hash(epoch.0);
        let Some(held) = self.held.get(&hash) else {
            return Verdict::Waits(Missing::Entries(vec![hash]));
        };
        match (&held.body, self.outcome(&hash)) {
            (Body::Newer, Some(Outcome::Later)) => Verdict::Waits(Missing::Version),
            (Body::Known(Operation::Epoch { .. }), Some(outcome)) => match outcome {
                Outcome::Counts => Verdict::Counts,
                Outcome::Waits(missing) => Verdict::Waits(missing),
                Outcome::Later => Verdict::Waits(Missing::Version),
                Outcome::Refused(_) => Verdict::Refused(Refusal::NotEpoch),
            },
            _ => Verdict::Refused(Refusal::NotEpoch),
        }
    }

    /// The space's id: the hash of its genesis.
    pub fn id(&self) -> SpaceId {
        self.id
    }

    /// Who made it.
    pub fn creator(&self) -> PersonId {
        self.creator
    }

    /// What it is for.
    pub fn kind(&self) -> SpaceKind {
        self.kind
    }

    /// The members and their roles.
    pub fn members(&self) -> BTreeMap<PersonId, Role> {
        let mut members: BTreeMap<PersonId, Role> = BTreeMap::new();
        for grant in &self.grants {
            let role = members.entry(grant.person).or_insert(grant.role);
            *role = grant.role.max(*role);
        }
        members
    }

    /// A person's role; none for whoever is no member.
    pub fn role(&self, person: &PersonId) -> Option<Role> {
        self.grants.iter().filter(|g| g.person == *person).map(|g| g.role).max()
    }

    /// The role of the person whose device it is; none for whoever is no member.
    pub fn role_of_device(&self, device: &DeviceId, people: &People) -> Option<Role> {
        people.persons_of(device).filter_map(|person| self.role(&person)).max()
    }

    /// The epochs that count, the most senior (least deep, then smaller hash) first.
    pub fn epochs(&self) -> Vec<EpochId> {
        let mut epochs: Vec<(u64, Hash)> = self
            .epochs
            .iter()
            .filter_map(|(_, id)| {
                let placed = self.placed(&Hash(id.0))?;
                (placed.outcome == Outcome::Counts).then_some((placed.depth, Hash(id.0)))
            })
            .collect();
        epochs.sort();
        epochs.into_iter().map(|(_, hash)| EpochId(hash.0)).collect()
    }

    /// The epoch to seal under: of those that count the deepest, then the smaller hash. None before
    /// the first has come.
    pub fn current_epoch(&self) -> Option<EpochId> {
        let depth = |id: &EpochId| self.placed(&Hash(id.0)).map_or(0, |placed| placed.depth);
        self.epochs().into_iter().max_by_key(|id| (depth(id), Reverse(*id)))
    }

    /// An operation kept, decoded; none if it is not here, or not understood.
    pub fn operation(&self, hash: &Hash) -> Option<&Operation> {
        match &self.held.get(hash)?.body {
            Body::Known(operation) => Some(operation),
            Body::Newer => None,
        }
    }

    /// Every operation kept, each after all that it builds on: what a new member is handed.
    pub fn entries(&self) -> Vec<&Entry> {
        let mut placed: Vec<(u64, &Entry)> = self
            .held
            .values()
            .map(|held| (held.placed.as_ref().map_or(u64::MAX, |placed| placed.depth), &held.entry))
            .collect();
        placed.sort_by_key(|(depth, entry)| (*depth, entry.hash()));
        placed.into_iter().map(|(_, entry)| entry).collect()
    }

    /// How many operations are kept that a later version will evaluate.
    pub fn later(&self) -> usize {
        self.outcomes().filter(|(_, outcome)| *outcome == Outcome::Later).count()
    }

    /// Members whose statements are not here.
    pub fn unknown_people(&self, people: &People) -> Vec<PersonId> {
        let members = self.members().into_keys().chain([self.creator]).collect::<BTreeSet<_>>();
        members.into_iter().filter(|person| people.get(person).is_none()).collect()
    }

    /// The operations that count, by hash.
    pub(super) fn counting(&self) -> impl Iterator<Item = (Hash, &Operation)> {
        self.held.iter().filter_map(|(hash, held)| match (&held.placed, &held.body) {
            (Some(placed), Body::Known(operation)) if placed.outcome == Outcome::Counts => {
                Some((*hash, operation))
            }
            _ => None,
        })
    }
}
