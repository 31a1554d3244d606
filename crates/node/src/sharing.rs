//! Sharing: a room of home becomes a space, a friend becomes a member, a space is joined.

use crate::api::{Member, Shared};
use crate::core::{Core, no_object};
use crate::error::{Error, Result};
use crate::home::random_bytes;
use crate::link::ToLink;
use crate::record::{self, OfferRecord, Placing, SpaceRecord};
use crate::seal::{Fresh, note_entry};
use crate::state::State;
use base::{DeviceId, Entry, EntryKind, Hash, Kind, Oid, PersonId, SpaceId};
use space::member::{Membership, NewSpace, Operation, Outcome, People, Role, SpaceKind};
use std::collections::{BTreeMap, BTreeSet};
use store::Batch;

/// Rooms that one friend may offer at a time.
const OFFERS: usize = 32;
/// Bytes of one offer.
const OFFER_BYTES: usize = 1 << 20;

impl Core {
    /// Adds a friend to the members of a room; a room of home becomes a space of its own first.
    pub(crate) fn share(&self, path: &str, with: &str, role: Role) -> Result<Shared> {
        if role == Role::Host {
            return Err(Error::refused(Kind::Unsupported, "hosts come with a later version"));
        }
        let friend = self.friend(with)?;
        let space = self.space_to_share(path)?;
        self.add_member(&space, &friend.person, role)?;
        let name = self.with_space(&space, |s| Ok(s.name.clone()))?;
        Ok(Shared { name, space })
    }

    /// The space at a path; a room of home is made one.
    pub(crate) fn space_to_share(&self, path: &str) -> Result<SpaceId> {
        let _sharing = self.sharing.lock();
        let oid = self.resolve(path)?;
        if oid == self.root() {
            return Err(Error::refused(Kind::Invalid, "home itself is yours alone; share a room in it"));
        }
        if oid.object == oid.space.root() {
            return Ok(oid.space);
        }
        if oid.space != self.me.home {
            return Err(Error::refused(
                Kind::Invalid,
                "a room inside a shared room is shared with it; move it to home to share it with others",
            ));
        }
        self.with_space(&oid.space, |space| crate::names::must_be_room(space, &oid.object))?;
        let path = self.path(&oid).ok_or_else(no_object)?;
        self.room_to_space(&oid, &path)
    }

    /// The first entries of a new space of mine.
    pub(crate) fn new_space(&self) -> Result<NewSpace> {
        let state = self.state.read();
        let me = state.people.get(&self.me.person).ok_or_else(no_object)?;
        Ok(space::member::create_space(
            &self.keys.device,
            me,
            SpaceKind::Shared,
            self.incarnation(),
            self.run,
            &random_bytes()?,
        )?)
    }

    /// Makes somebody a member; nothing happens if they are one with at least this role.
    pub(crate) fn add_member(&self, id: &SpaceId, person: &PersonId, role: Role) -> Result<()> {
        let _writing = self.write();
        let (_, secret) = self.epoch_to_seal(id)?;
        let operation = {
            let state = self.state.read();
            let space = state.space(id).ok_or_else(no_object)?;
            if space.membership.role(person).is_some_and(|has| has >= role) {
                return Ok(());
            }
            let known = state.people.get(person).ok_or_else(no_object)?;
            let operation =
                space::member::add_member(&space.membership, known, role, &secret, &random_bytes()?)?;
            if !space.role.is_some_and(|role| role.may_admin()) {
                return Err(Error::refused(Kind::Denied, "only an admin of the room may add members"));
            }
            operation
        };
        self.publish_operation(id, &operation)
    }

    // Signs an operation into this device's log, stores it, and once it is durable shows and tells it.
    // The caller holds the writer's lock.
    fn publish_operation(&self, id: &SpaceId, operation: &Operation) -> Result<()> {
        let tag = id.tag();
        let header =
            self.with_space(id, |space| Ok(self.next_header(space, EntryKind::Membership, self.run)))?;
        let entry = self.keys.device.sign_entry(id, &header, &operation.encode())?;
        let outcome = {
            let state = self.state.read();
            let space = state.space(id).ok_or_else(no_object)?;
            space.membership.clone().insert(&entry, &state.people)?
        };
        if outcome != Outcome::Counts {
            return Err(Error::refused(
                Kind::Denied,
                "that would not count with the room's other members; nothing is changed",
            ));
        }
        let mut batch = Batch::new();
        self.put_entry(&mut batch, &entry, &tag, true, header.lamport);
        let ticket = self.store.apply(batch)?;
        self.store.wait(ticket)?;
        {
            let mut state = self.state.write();
            let State { spaces, people, .. } = &mut *state;
            if let Some(space) = spaces.get_mut(&tag) {
                space.membership.insert(&entry, people)?;
                note_entry(space, &entry);
                self.read_membership(space);
            }
        }
        self.tell_link(ToLink::Fresh(Fresh { entry, tag }));
        Ok(())
    }

    /// Takes a space that a friend hands over: an offer, until it is joined. Whether it changed what
    /// is known of a space that is held.
    pub(crate) fn take_offer(&self, from: &DeviceId, name: &str, entries: Vec<Vec<u8>>) -> bool {
        match self.check_offer(from, name, entries) {
            Ok(Offered::New(space)) => {
                self.join_expected(&space);
                self.state.read().space(&space).is_some()
            }
            Ok(Offered::Held { changed }) => changed,
            Ok(Offered::Nothing) => false,
            Err(e) => {
                self.problem(format!(
                    "{} offered a room that does not count: {e}",
                    self.name_of_device(from)
                ));
                false
            }
        }
    }

    fn check_offer(&self, from: &DeviceId, name: &str, entries: Vec<Vec<u8>>) -> Result<Offered> {
        let Some(person) = self.state.read().people.person_of(from) else { return Ok(Offered::Nothing) };
        if entries.iter().map(Vec::len).sum::<usize>() > OFFER_BYTES {
            return Err(Error::refused(Kind::TooLarge, "it is larger than an offer may be"));
        }
        let decoded: Vec<Entry> =
            entries.iter().map(|b| Entry::decode(b.as_slice())).collect::<Result<_, _>>()?;
        if let Some(held) = self.held_space(&decoded) {
            let changed = self.take_operations(&held, &person, &decoded)?;
            return Ok(Offered::Held { changed });
        }
        let (id, membership, _) = read_offer(&decoded)?;
        let theirs = self.offers()?.into_iter().filter(|o| o.person == person);
        let others: Vec<_> = theirs.filter(|o| o.space != id).collect();
        if others.len() >= OFFERS {
            return Err(Error::refused(Kind::TooLarge, "they have offered many rooms that you did not join"));
        }
        if membership.role(&self.me.person).is_none() || membership.role(&person).is_none() {
            return Err(Error::refused(Kind::Denied, "it does not make both of us members"));
        }
        let offer = OfferRecord { person, space: id, name: base::name::shown(name.as_bytes()) };
        let mut batch = Batch::new();
        let key = offer_key(&offer);
        let entries: Vec<minicbor::bytes::ByteVec> = entries.into_iter().map(Into::into).collect();
        batch.put(record::node_key("offer", &key), record::to_bytes(&offer));
        batch.put(record::node_key("offered", &key), record::to_bytes(&entries));
        self.store.apply(batch)?;
        Ok(Offered::New(id))
    }

    // The space of an offer, if it is held here.
    fn held_space(&self, entries: &[Entry]) -> Option<SpaceId> {
        let genesis = entries.iter().find(|e| is_operation(e) && e.header().is_genesis())?;
        let id = SpaceId(genesis.hash().0);
        self.state.read().space(&id).map(|space| space.id)
    }

    // What a member hands over of a space that is held here: it counts at once, and is stored when it
    // arrives in its log.
    fn take_operations(&self, id: &SpaceId, from: &PersonId, entries: &[Entry]) -> Result<bool> {
        let new = self.with_space(id, |space| {
            let unknown = |e: &Entry| is_operation(e) && space.membership.outcome(&e.hash()).is_none();
            Ok(space.membership.role(from).is_some() && entries.iter().any(unknown))
        })?;
        if !new {
            return Ok(false);
        }
        let (_, offered, people) = read_offer(entries)?;
        for person in people.iter().filter(|person| offered.role(&person.id()).is_some()) {
            self.keep_person(person)?;
        }
        let mut writer = self.write();
        let keys = {
            let mut state = self.state.write();
            let State { spaces, people, .. } = &mut *state;
            let Some(space) = spaces.get_mut(&id.tag()) else { return Ok(false) };
            for entry in offered.entries() {
                if offered.outcome(&entry.hash()) == Some(Outcome::Counts) {
                    space.membership.insert(entry, people)?;
                }
            }
            space.membership.settle(people);
            self.read_membership(space);
            space.epochs.keys().map(|epoch| Hash(epoch.0)).collect::<Vec<_>>()
        };
        for key in keys {
            self.retry(&mut writer, &id.tag(), &key)?;
        }
        Ok(true)
    }

    /// The spaces offered and not joined.
    pub(crate) fn offers(&self) -> Result<Vec<OfferRecord>> {
        let mut offers = self.all_offers()?;
        let mut joined = BTreeSet::new();
        for offer in &offers {
            if self.store.contains(&record::node_key("space", &offer.space.tag().0))? {
                joined.insert(offer.space);
            }
        }
        offers.retain(|offer| !joined.contains(&offer.space));
        Ok(offers)
    }

    // The joined ones too, as long as what they brought is not all in the logs.
    fn all_offers(&self) -> Result<Vec<OfferRecord>> {
        let mut offers = Vec::new();
        for found in self.store.range(&record::node_key("offer", b"")) {
            offers.push(record::from_bytes(&found?.1, "offer")?);
        }
        Ok(offers)
    }

    fn offered_entries(&self, offer: &OfferRecord) -> Result<Vec<Entry>> {
        let stored =
            self.store.get(&record::node_key("offered", &offer_key(offer)))?.ok_or_else(no_object)?;
        let stored: Vec<minicbor::bytes::ByteVec> = record::from_bytes(&stored, "offer")?;
        Ok(stored.iter().map(|b| Entry::decode(b.as_slice())).collect::<Result<_, _>>()?)
    }

    /// The operations that came with the offer of a space that was joined: until its logs have
    /// arrived, they say who is a member.
    pub(crate) fn offered_operations(&self, space: &SpaceId) -> Result<Vec<Entry>> {
        let mut operations = Vec::new();
        for offer in self.all_offers()?.iter().filter(|offer| offer.space == *space) {
            operations.extend(self.offered_entries(offer)?.into_iter().filter(is_operation));
        }
        Ok(operations)
    }

    /// Puts away the offers of joined spaces whose operations are all stored in their logs.
    pub(crate) fn drop_used_offers(&self) -> Result<()> {
        let mut batch = Batch::new();
        for offer in self.all_offers()? {
            if self.state.read().space(&offer.space).is_none() {
                continue;
            }
            let mut arrived = true;
            for entry in self.offered_operations(&offer.space)? {
                arrived &= self.entry_record(&entry.hash())?.is_some();
            }
            if arrived {
                batch.remove(record::node_key("offer", &offer_key(&offer)));
                batch.remove(record::node_key("offered", &offer_key(&offer)));
            }
        }
        if !batch.is_empty() {
            self.store.apply(batch)?;
        }
        Ok(())
    }

    /// Joins a space if an invitation that was accepted promised it and its offer is here.
    pub(crate) fn join_expected(&self, space: &SpaceId) {
        let host = self.state.read().peers.values().find(|p| p.expects == Some(*space)).map(|p| p.person);
        let offers = self.offers().unwrap_or_default();
        if let Some(offer) = offers.into_iter().find(|o| o.space == *space && Some(o.person) == host)
            && let Err(e) = self.join_offer(offer, None)
        {
            self.problem(format!("the room that came with an invitation could not be joined: {e}"));
        }
    }

    /// Joins `NAME/SPACE`, with a door at a path.
    pub(crate) fn join(&self, spec: &str, path: Option<&str>) -> Result<String> {
        let wrong = || Error::refused(Kind::Invalid, "what to join is written NAME/SPACE");
        let (friend, name) = spec.split_once('/').ok_or_else(wrong)?;
        let person = self.friend(friend)?.person;
        let offers = self.offers()?;
        let offer = offers.into_iter().find(|o| {
            (o.name == name || o.space.hex().starts_with(name) && name.len() >= 8) && o.person == person
        });
        let offer = offer.ok_or_else(|| {
            Error::refused(
                Kind::NotFound,
                format!("{friend} offers nothing called {}", base::print::safe(name)),
            )
        })?;
        self.join_offer(offer, path)
    }

    /// Joins what was offered, with a door at a path; answers where the door is.
    pub(crate) fn join_offer(&self, offer: OfferRecord, path: Option<&str>) -> Result<String> {
        let _friends = self.friends.lock();
        if self.state.read().space(&offer.space).is_none() {
            self.adopt_offer(&offer, path)?;
        }
        self.finish_placing(&offer.space)?;
        self.drop_used_offers()?;
        self.tell_link(ToLink::Refresh);
        self.path(&Oid { space: offer.space, object: offer.space.root() }).ok_or_else(no_object)
    }

    // The offer stays until all that it brought is in the logs: a restart before that needs it again.
    fn adopt_offer(&self, offer: &OfferRecord, path: Option<&str>) -> Result<()> {
        let entries = self.offered_entries(offer)?;
        let (id, membership, people) = read_offer(&entries)?;
        let path = match path {
            Some(path) => self.free_path(path)?,
            None => format!("/{}", self.free_name_in(&self.root(), &offer.name)),
        };
        for person in people.iter() {
            self.keep_person(person)?;
        }
        let unplaced = Some(Placing { path, from: None });
        let record = SpaceRecord { id, name: offer.name.clone(), home: false, unplaced };
        let operations: Vec<Entry> = membership.entries().into_iter().cloned().collect();
        // The rest of their logs did not come with them: only what stands at a log's beginning is
        // stored, the others are fetched; who is a member is read from all of them.
        self.adopt_space(record, &contiguous(&operations), Batch::new())?;
        let mut state = self.state.write();
        let State { spaces, people, .. } = &mut *state;
        if let Some(space) = spaces.get_mut(&id.tag()) {
            for entry in &operations {
                space.membership.insert(entry, people)?;
            }
            space.membership.settle(people);
            self.read_membership(space);
        }
        Ok(())
    }

    // A path in home that is not taken.
    fn free_path(&self, path: &str) -> Result<String> {
        let path = format!("/{}", path.trim_matches('/'));
        if self.resolve(&path).is_ok() {
            return Err(Error::refused(Kind::Exists, format!("{} is taken", base::print::safe(&path))));
        }
        let room = path.rsplit_once('/').map_or("/", |(room, _)| room);
        if self.resolve(room)?.space != self.me.home {
            return Err(Error::refused(
                Kind::Invalid,
                "a room is joined in home, not inside another shared room",
            ));
        }
        Ok(path)
    }

    /// The members of the space at a path.
    pub(crate) fn members(&self, path: &str) -> Result<Vec<Member>> {
        let oid = self.resolve(path)?;
        let links = self.links.lock().clone();
        let state = self.state.read();
        let space = state.space(&oid.space).ok_or_else(no_object)?;
        let members = space.membership.members().into_iter().map(|(person, role)| {
            let me = person == self.me.person;
            let fingerprint = crypto::fingerprint(&person.0);
            let known = state.people.get(&person);
            let online =
                known.is_some_and(|p| p.devices().keys().any(|d| links.get(d).is_some_and(|l| l.connected)));
            let name = if me {
                "me".to_string()
            } else {
                state.petname(&person).unwrap_or(&fingerprint).to_string()
            };
            Member { name, role, online: online || me, me, fingerprint }
        });
        Ok(members.collect())
    }
}

// What became of an offer.
enum Offered {
    /// It is from nobody who is known.
    Nothing,
    /// It can be joined.
    New(SpaceId),
    /// It is of a space that is held here.
    Held { changed: bool },
}

// The space, membership and people that an offer speaks of, everything verified.
fn read_offer(entries: &[Entry]) -> Result<(SpaceId, Membership, People)> {
    let mut people = People::new();
    let mut statements: Vec<&Entry> =
        entries.iter().filter(|e| e.header().kind == EntryKind::Statement).collect();
    statements.sort_by_key(|e| (e.header().lamport, e.hash()));
    for entry in statements {
        people.insert(entry)?;
    }
    let genesis =
        entries.iter().find(|e| e.header().kind == EntryKind::Membership && e.header().is_genesis());
    let genesis = genesis.ok_or_else(|| Error::refused(Kind::Corrupt, "it has no beginning"))?;
    let mut membership = Membership::new(genesis)?;
    for entry in entries.iter().filter(|e| e.header().kind == EntryKind::Membership) {
        membership.insert(entry, &people)?;
    }
    membership.settle(&people);
    if membership.kind() != SpaceKind::Shared {
        return Err(Error::refused(Kind::Denied, "a home is nobody else's"));
    }
    Ok((SpaceId(genesis.hash().0), membership, people))
}

fn is_operation(entry: &Entry) -> bool {
    entry.header().kind == EntryKind::Membership
}

fn offer_key(offer: &OfferRecord) -> Vec<u8> {
    [offer.person.0, offer.space.0].concat()
}

/// The entries that follow each other from the beginning of their logs.
pub(crate) fn contiguous(entries: &[Entry]) -> Vec<Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|e| (e.header().log, e.header().seq));
    let mut next: BTreeMap<base::LogId, (u64, Option<Hash>)> = BTreeMap::new();
    let mut out = Vec::new();
    for entry in sorted {
        let header = entry.header();
        let (seq, prev) = next.get(&header.log).copied().unwrap_or((0, None));
        if header.seq == seq && header.prev == prev {
            next.insert(header.log, (seq + 1, Some(entry.hash())));
            out.push(entry.clone());
        }
    }
    out
}
