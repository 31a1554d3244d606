//! Friends: invitations, pairing, petnames.

use crate::api::{Added, PeerStatus};
use crate::clock;
use crate::core::{Core, no_object};
use crate::error::{Error, Result};
use crate::home::random_bytes;
use crate::link::ToLink;
use crate::record::{self, PeerRecord, TokenRecord};
use crate::state::State;
use base::{DeviceId, Kind, PersonId, SpaceId, name};
use space::member::{Answer, Card, PairingRefusal, Person, Request, Role, Token};
use std::time::{Duration, Instant};
use store::Batch;

/// How long `peer add` waits for the friend's answer before it goes on in the background.
const MEET_DEADLINE: Duration = Duration::from_secs(10);

/// How long an invitation may be answered.
const TOKEN_DAYS: u64 = 14;

/// Petnames that could be mistaken for something else.
const RESERVED: [&str; 4] = ["me", "-", ".", ".."];

impl Core {
    /// A card of this node.
    fn card(&self) -> Result<Card> {
        let state = self.state.read();
        let me = state.people.get(&self.me.person).ok_or_else(no_object)?;
        let mut card = Card::new(me, &self.device, self.addresses())?;
        card.name = Some(self.me.name.clone());
        Ok(card)
    }

    /// The addresses that friends can dial.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.net.read().as_ref().map(|net| net.listening()).unwrap_or_else(|| self.me.listen.clone())
    }

    /// Makes a peer file with a one-time token.
    pub(crate) fn invite(&self, path: Option<&str>, for_name: Option<&str>, role: Role) -> Result<String> {
        if let Some(name) = for_name {
            self.check_petname(name)?;
        }
        let space = match path {
            Some(path) => Some(self.space_to_share(path)?),
            None => None,
        };
        let token: Token = random_bytes()?;
        let record = TokenRecord {
            for_name: for_name.map(str::to_owned),
            space,
            role: role_code(role),
            used_by: None,
            made: clock::now_ms() as u64,
        };
        self.put_node("token", &token, &record)?;
        let mut card = self.card()?;
        card.token = Some(token);
        card.room = space.and_then(|id| self.state.read().space(&id).map(|s| (s.name.clone(), id)));
        self.tell_link(ToLink::Refresh);
        Ok(card.to_text())
    }

    fn put_node<T: minicbor::Encode<()>>(&self, what: &str, id: &[u8], value: &T) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(record::node_key(what, id), record::to_bytes(value));
        let ticket = self.store.apply(batch)?;
        Ok(self.store.wait(ticket)?)
    }

    fn check_petname(&self, name: &str) -> Result<()> {
        if !name::is_valid(name.as_bytes()) || RESERVED.contains(&name) || name.len() > 64 {
            return Err(Error::refused(
                Kind::Invalid,
                "a petname is a word without slashes and controls, up to 64 bytes",
            ));
        }
        if self.state.read().peers.contains_key(name) {
            return Err(Error::refused(Kind::Exists, format!("you already call somebody {name}")));
        }
        Ok(())
    }

    // The name given, else the one suggested, made unique.
    fn petname_for(&self, given: Option<&str>, suggested: Option<&str>) -> String {
        let state = self.state.read();
        // A name suggested from outside must not be taken for another, or for a flag.
        let plain = |n: &str| !n.starts_with('-') && !n.chars().any(name::is_deceptive);
        let usable =
            |n: &&str| name::is_valid(n.as_bytes()) && !RESERVED.contains(n) && n.len() <= 60 && plain(n);
        let base = given.or(suggested.filter(usable)).unwrap_or("friend").to_string();
        let mut name = base.clone();
        let mut n = 2;
        while state.peers.contains_key(&name) {
            name = format!("{base}-{n}");
            n += 1;
        }
        name
    }

    /// Adds the friend whose peer file this is, and pairs.
    pub(crate) fn peer_add(&self, text: &str, petname: Option<&str>) -> Result<Added> {
        let card = Card::from_text(text)?;
        let person = card.verify()?;
        let id = person.id();
        if id == self.me.person {
            return Err(Error::refused(Kind::Invalid, "this is your own peer file; give it to a friend"));
        }
        let name = self.add_friend(&card, &person, petname)?;
        if let Some((_, space)) = &card.room {
            self.join_expected(space);
        }
        self.tell_link(ToLink::Refresh);
        Ok(self.await_meeting(&name, &id, card.room.map(|(_, space)| space)))
    }

    fn add_friend(&self, card: &Card, person: &Person, petname: Option<&str>) -> Result<String> {
        let id = person.id();
        let _friends = self.friends.lock();
        let known = self.state.read().petname(&id).map(str::to_owned);
        let name = match (&known, petname) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => {
                self.check_petname(name)?;
                name.to_string()
            }
            (None, None) => self.petname_for(None, card.name.as_deref()),
        };
        let old = self.state.read().peers.get(&name).cloned();
        let peer = PeerRecord {
            person: id,
            addrs: card.addresses.clone(),
            met: old.as_ref().is_some_and(|p| p.met) && card.token.is_none(),
            seen: old.map_or(0, |p| p.seen),
            token: card.token.map(|t| t.to_vec().into()),
            expects: card.room.as_ref().map(|(_, space)| *space),
            device: card.device,
        };
        self.keep_friend(&name, peer, person)?;
        Ok(name)
    }

    // Pairing takes a moment; so does the room that comes with it.
    fn await_meeting(&self, name: &str, person: &PersonId, room: Option<SpaceId>) -> Added {
        let deadline = Instant::now() + MEET_DEADLINE;
        let met = || self.state.read().peers.get(name).is_some_and(|p| p.met);
        let joined = || room.and_then(|id| self.path(&base::Oid { space: id, object: id.root() }));
        let online = self.net.read().is_some();
        while online && Instant::now() < deadline && !(met() && (room.is_none() || joined().is_some())) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Added {
            name: name.to_string(),
            fingerprint: crypto::fingerprint(&person.0),
            room: joined(),
            met: met(),
        }
    }

    // A friend and their statements, in the store and in memory. The caller holds the friends' lock.
    fn keep_friend(&self, name: &str, peer: PeerRecord, person: &Person) -> Result<()> {
        self.keep_person(person)?;
        self.put_node("peer", name.as_bytes(), &peer)?;
        self.state.write().peers.insert(name.to_string(), peer);
        Ok(())
    }

    /// Takes in somebody's statements.
    pub(crate) fn keep_person(&self, person: &Person) -> Result<()> {
        let id = person.id();
        let tag = id.space().tag();
        let mut batch = Batch::new();
        batch.put(record::node_key("person", &id.0), Vec::new());
        let mut state = self.state.write();
        let mut logs = state.statements.get(&tag).map(|(_, logs)| logs.clone()).unwrap_or_default();
        let statements: Vec<base::Entry> = person.entries().cloned().collect();
        for entry in &statements {
            state.people.insert(entry)?;
        }
        for entry in crate::sharing::contiguous(&statements) {
            crate::open::put_clear(&mut batch, &mut logs, &entry, &tag);
        }
        state.statements.insert(tag, (id, logs));
        let State { spaces, people, .. } = &mut *state;
        for space in spaces.values_mut() {
            space.membership.settle(people);
            self.read_membership(space);
        }
        drop(state);
        self.store.apply(batch)?;
        Ok(())
    }

    /// Whether an invitation is out that nobody has answered.
    pub(crate) fn pairing_open(&self) -> bool {
        self.store
            .range(&record::node_key("token", b""))
            .filter_map(|found| found.ok())
            .filter_map(|(_, value)| record::from_bytes::<TokenRecord>(&value, "token").ok())
            .any(|token| token.used_by.is_none() && !token.is_over(clock::now_ms()))
    }

    /// The pairings that were asked for and not answered yet.
    pub(crate) fn open_pairings(&self, state: &State) -> Vec<(DeviceId, Vec<String>, Vec<u8>)> {
        let unmet = state.peers.values().filter(|p| !p.met && !p.addrs.is_empty());
        unmet
            .filter_map(|peer| {
                let token: Token = peer.token.as_ref()?.as_slice().try_into().ok()?;
                let me = state.people.get(&self.me.person)?;
                let mut card = Card::new(me, &self.device, self.addresses()).ok()?;
                card.name = Some(self.me.name.clone());
                Some((peer.device, peer.addrs.clone(), Request { token, card }.encode()))
            })
            .collect()
    }

    /// Answers somebody who read an invitation.
    ///
    /// The answer, and whether somebody became a friend by it.
    pub(crate) fn answer_pairing(&self, remote: &DeviceId, bytes: &[u8]) -> (Vec<u8>, bool) {
        let answer = match self.pair_with(remote, bytes) {
            Ok(card) => Answer::Card(card),
            Err(Pairing::Refused(refusal)) => Answer::Refused(refusal),
            Err(Pairing::Failed(e)) => {
                self.problem(format!("pairing failed: {e}"));
                Answer::Refused(PairingRefusal::Busy)
            }
        };
        (answer.encode(), matches!(answer, Answer::Card(_)))
    }

    fn pair_with(&self, remote: &DeviceId, bytes: &[u8]) -> Result<Card, Pairing> {
        let request = Request::decode(bytes).map_err(|_| Pairing::Refused(PairingRefusal::Card))?;
        let key = record::node_key("token", &request.token);
        let found = self.store.get(&key).map_err(Error::from)?;
        let token = found.ok_or(Pairing::Refused(PairingRefusal::Token))?;
        let mut token: TokenRecord = record::from_bytes(&token, "token").map_err(Error::from)?;
        if token.is_over(clock::now_ms()) {
            return Err(Pairing::Refused(PairingRefusal::Token));
        }
        let person = request.check(remote).map_err(|_| Pairing::Refused(PairingRefusal::Card))?;
        // The same person may ask again: our answer may have been lost.
        if token.used_by.is_some_and(|by| by != person.id()) {
            return Err(Pairing::Refused(PairingRefusal::Token));
        }
        self.take_friend(&token, &request.card, remote, &person)?;
        token.used_by = Some(person.id());
        self.put_node("token", &request.token, &token)?;
        if let Some(space) = token.space {
            self.add_member(&space, &person.id(), role_of(token.role))?;
        }
        Ok(self.card()?)
    }

    fn take_friend(
        &self,
        token: &TokenRecord,
        card: &Card,
        remote: &DeviceId,
        person: &Person,
    ) -> Result<()> {
        let _friends = self.friends.lock();
        let known = self.state.read().petname(&person.id()).map(str::to_owned);
        let name = known.unwrap_or_else(|| self.petname_for(token.for_name.as_deref(), card.name.as_deref()));
        let old = self.state.read().peers.get(&name).cloned();
        let peer = PeerRecord {
            person: person.id(),
            addrs: card.addresses.clone(),
            met: true,
            seen: clock::now_ms() as u64,
            token: None,
            expects: old.and_then(|p| p.expects),
            device: *remote,
        };
        self.keep_friend(&name, peer, person)
    }

    /// Takes the answer to a pairing that this node asked for.
    pub(crate) fn take_pairing_answer(&self, remote: &DeviceId, answer: Result<Vec<u8>, String>) {
        let outcome = answer.map_err(Error::from_text).and_then(|bytes| self.finish_pairing(remote, &bytes));
        if let Err(e) = outcome {
            // A friend who is away is no problem; it is tried again.
            tracing::info!("pairing is not answered yet: {e}");
        }
    }

    fn finish_pairing(&self, remote: &DeviceId, bytes: &[u8]) -> Result<()> {
        let answer = Answer::decode(bytes)?;
        let _friends = self.friends.lock();
        let found = {
            let state = self.state.read();
            state.peers.iter().find(|(_, p)| p.device == *remote).map(|(n, p)| (n.clone(), p.clone()))
        };
        let Some((name, mut peer)) = found else { return Ok(()) };
        match answer {
            Answer::Card(card) => {
                let person = card.verify()?;
                if person.id() != peer.person || card.device != *remote {
                    return Err(Error::refused(Kind::Denied, format!("somebody else answered for {name}")));
                }
                peer.met = true;
                peer.token = None;
                peer.seen = clock::now_ms() as u64;
                if !card.addresses.is_empty() {
                    peer.addrs = card.addresses;
                }
                self.keep_friend(&name, peer, &person)
            }
            Answer::Refused(refusal) => {
                if refusal == PairingRefusal::Token {
                    peer.token = None;
                    self.put_node("peer", name.as_bytes(), &peer)?;
                    self.state.write().peers.insert(name.clone(), peer);
                }
                self.problem(format!("{name} did not take the invitation's answer: {refusal}"));
                Ok(())
            }
        }
    }

    /// Notes that a friend was heard.
    pub(crate) fn heard(&self, device: &DeviceId) {
        let _friends = self.friends.lock();
        let found = {
            let state = self.state.read();
            state
                .peers
                .iter()
                .find(|(_, p)| state.devices(p).contains(device))
                .map(|(n, p)| (n.clone(), p.clone()))
        };
        let Some((name, mut peer)) = found else { return };
        peer.seen = clock::now_ms() as u64;
        let mut batch = Batch::new();
        batch.put(record::node_key("peer", name.as_bytes()), record::to_bytes(&peer));
        if let Err(e) = self.store.apply(batch) {
            tracing::warn!("noting when {name} was heard: {e}");
        }
        self.state.write().peers.insert(name, peer);
    }

    /// What people call the owner of a device.
    pub(crate) fn name_of_device(&self, device: &DeviceId) -> String {
        self.state.read().called(device)
    }

    /// The friend of a petname.
    pub(crate) fn friend(&self, name: &str) -> Result<PeerRecord> {
        self.state.read().peers.get(name).cloned().ok_or_else(|| {
            Error::refused(Kind::NotFound, format!("you call nobody {}", base::print::safe(name)))
        })
    }

    /// Forgets a friend with whom nothing is shared.
    pub(crate) fn peer_remove(&self, name: &str) -> Result<()> {
        let _friends = self.friends.lock();
        let status = self.peer_show(name)?;
        if !status.rooms.is_empty() {
            return Err(Error::refused(
                Kind::Busy,
                format!(
                    "you share {} with {name}; removing members comes with a later version",
                    status.rooms.join(", ")
                ),
            ));
        }
        let mut batch = Batch::new();
        batch.remove(record::node_key("peer", name.as_bytes()));
        for found in self.store.range(&record::node_key("token", b"")) {
            let (key, value) = found?;
            let token: TokenRecord = record::from_bytes(&value, "token")?;
            if token.used_by == Some(status.person) {
                batch.remove(key);
            }
        }
        let ticket = self.store.apply(batch)?;
        let peer = self.state.write().peers.remove(name);
        self.store.wait(ticket)?;
        self.tell_link(ToLink::Refresh);
        if let Some(peer) = peer {
            self.forget_bundles(&peer)?;
        }
        Ok(())
    }

    /// All friends.
    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        let state = self.state.read();
        state.peers.iter().map(|(name, peer)| self.peer_status(&state, name, peer)).collect()
    }

    /// One friend.
    pub(crate) fn peer_show(&self, name: &str) -> Result<PeerStatus> {
        let peer = self.friend(name)?;
        Ok(self.peer_status(&self.state.read(), name, &peer))
    }
}

impl TokenRecord {
    // An invitation that was forgotten must not stay open for ever; nor until then, if the clock was wrong by years.
    fn is_over(&self, now_ms: i64) -> bool {
        let age = (now_ms.max(0) as u64).abs_diff(self.made);
        self.used_by.is_none() && age > TOKEN_DAYS * 24 * 3_600_000
    }
}

enum Pairing {
    Refused(PairingRefusal),
    Failed(Error),
}

impl From<Error> for Pairing {
    fn from(error: Error) -> Pairing {
        Pairing::Failed(error)
    }
}

/// A role as records keep it.
pub(crate) fn role_code(role: Role) -> u8 {
    Role::ALL.iter().position(|r| *r == role).unwrap_or(0) as u8
}

fn role_of(code: u8) -> Role {
    Role::ALL.get(code as usize).copied().unwrap_or(Role::Reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_ends_whatever_the_clock_said_when_it_was_made() {
        let day = 24 * 3_600_000;
        let now = 20_000 * day;
        let made = |made: i64| TokenRecord {
            for_name: None,
            space: None,
            role: 0,
            used_by: None,
            made: made as u64,
        };
        for open in [0, 1, TOKEN_DAYS as i64, -1, -(TOKEN_DAYS as i64)] {
            assert!(!made(now - open * day).is_over(now), "{open} days ago");
        }
        for over in [TOKEN_DAYS as i64 + 1, 10_000, -(TOKEN_DAYS as i64) - 1, -10_000] {
            assert!(made(now - over * day).is_over(now), "{over} days ago");
        }
        let used = TokenRecord { used_by: Some(base::PersonId([1; 32])), ..made(0) };
        assert!(!used.is_over(now), "the same person may ask again");
    }
}
