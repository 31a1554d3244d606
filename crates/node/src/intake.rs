//! The way in: an entry of a friend (or of this node's own log, when the index is built again) is
//! verified, stored and applied.
//!
//! An entry is applied once all that it builds on is; until then it is stored and waits. What it
//! holds is judged, never trusted: a bad item is left out and noted, the rest stands.

use crate::core::{Core, Writer};
use crate::error::Result;
use crate::incarnation::Why;
use crate::record::{self, EntryRecord};
use crate::seal::note_statement;
use base::{Entry, EntryKind, Hash, SpaceId, SpaceTag};
use space::member::{Outcome, Recipient, Refusal, Verdict};
use store::{Batch, Ticket};

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Took {
    /// Stored; durable once the ticket is.
    Stored(Ticket),
    /// The same, and others here build on it: it was missing below them.
    Filled(Ticket),
    /// It was here.
    Known,
    /// What its log has before it is not here.
    Missing,
    /// Its author, or what lets them, is not known yet.
    Waits,
    /// It does not count; why.
    Refused(String),
}

pub(crate) const WRONG_CLOCK: &str = "its clock is not what it builds on";

impl Core {
    /// Takes an entry that arrived. `replay` is for what is in the store already.
    pub(crate) fn take_entry(&self, entry: &Entry, replay: bool) -> Result<Took> {
        let tag = entry.space_tag();
        if !replay && self.has_entry(entry)? {
            return Ok(Took::Known);
        }
        let Some(space) = self.space_of_tag(&tag) else {
            return Ok(Took::Refused("a space that is not held here".into()));
        };
        if let Err(e) = crypto::verify_entry(&space, entry) {
            return Ok(Took::Refused(e.to_string()));
        }
        let mut writer = self.write();
        // Another way may have brought it meanwhile.
        if !replay && self.has_entry(entry)? {
            return Ok(Took::Known);
        }
        if !replay && entry.header().log == self.log() && self.entry_record(&entry.hash())?.is_none() {
            // Nobody but this device signs its entries, and it does not have this one.
            self.begin_incarnation(Why::Forked, Batch::new())?;
        }
        if let Some(took) = self.vet(&tag, entry)? {
            return Ok(took);
        }
        let took = self.take_kind(&mut writer, &space, &tag, entry)?;
        match took {
            Took::Stored(ticket) if !replay && !self.is_tip(&tag, entry)? => Ok(Took::Filled(ticket)),
            took => Ok(took),
        }
    }

    fn take_kind(&self, writer: &mut Writer, space: &SpaceId, tag: &SpaceTag, entry: &Entry) -> Result<Took> {
        let hash = entry.hash();
        match entry.header().kind {
            EntryKind::Statement => self.take_statement(tag, entry),
            EntryKind::Membership => {
                let took = self.take_operation(tag, entry)?;
                // A key that came with it may open what waited.
                let mut arrived: Vec<Hash> =
                    self.with_space(space, |s| Ok(s.epochs.keys().map(|epoch| Hash(epoch.0)).collect()))?;
                arrived.push(hash);
                for hash in arrived {
                    self.retry(writer, tag, &hash)?;
                }
                Ok(took)
            }
            EntryKind::Content => self.take_content(writer, tag, entry),
        }
    }

    // What must hold of any entry before a byte of it is kept: it is of the kind that its log is made
    // of, it follows the one before it, and what it builds on is of the same space. Something in
    // clear also waits until its clock can be checked.
    fn vet(&self, tag: &SpaceTag, entry: &Entry) -> Result<Option<Took>> {
        let header = entry.header();
        let of_space = self.state.read().spaces.contains_key(tag);
        if of_space == (header.kind == EntryKind::Statement) {
            return Ok(Some(Took::Refused("an entry of the wrong kind for its log".into())));
        }
        if let Some(prev) = &header.prev {
            match self.entry_record(prev)? {
                None => return Ok(Some(Took::Missing)),
                Some(at) if at.tag == *tag && at.log == header.log && at.seq + 1 == header.seq => {}
                Some(_) => return Ok(Some(Took::Refused("it does not follow the entry it names".into()))),
            }
        }
        for dep in &header.deps {
            match self.entry_record(dep)? {
                Some(at) if at.tag != *tag => {
                    return Ok(Some(Took::Refused("it builds on an entry of another space".into())));
                }
                None if header.kind != EntryKind::Content => return Ok(Some(Took::Waits)),
                _ => {}
            }
        }
        if header.kind != EntryKind::Content && self.right_lamport(entry)? != header.lamport {
            return Ok(Some(Took::Refused(WRONG_CLOCK.into())));
        }
        Ok(None)
    }

    pub(crate) fn space_of_tag(&self, tag: &SpaceTag) -> Option<SpaceId> {
        let state = self.state.read();
        let statements = || state.statements.get(tag).map(|(person, _)| person.space());
        let members = || state.member_by_tag(tag).map(|person| person.space());
        state.spaces.get(tag).map(|s| s.id).or_else(statements).or_else(members)
    }

    // Whether an entry is here. Where some are known to be missing the index is not believed alone.
    fn has_entry(&self, entry: &Entry) -> Result<bool> {
        let Some(at) = self.entry_record(&entry.hash())? else { return Ok(false) };
        if !self.holes.lock().contains(&(at.tag, at.log)) {
            return Ok(true);
        }
        Ok(self.store.contains(&record::entry_key(&at.tag, &at.log, at.seq, &entry.hash()))?)
    }

    /// Where an entry is, if it is here.
    pub(crate) fn entry_record(&self, hash: &Hash) -> Result<Option<EntryRecord>> {
        match self.store.get(&record::hash_key(hash))? {
            Some(bytes) => Ok(Some(record::from_bytes(&bytes, "entry record")?)),
            None => Ok(None),
        }
    }

    fn take_statement(&self, tag: &SpaceTag, entry: &Entry) -> Result<Took> {
        match self.state.write().people.insert(entry) {
            Ok(Outcome::Counts | Outcome::Later) => {}
            Ok(Outcome::Waits(_) | Outcome::Refused(Refusal::Crowded)) => return Ok(Took::Waits),
            Ok(Outcome::Refused(why)) => return Ok(Took::Refused(why.to_string())),
            Err(e) => return Ok(Took::Refused(e.to_string())),
        }
        let mut batch = Batch::new();
        if let Some(person) = self.state.read().people.by_tag(tag) {
            batch.put(record::node_key("person", &person.id().0), Vec::new());
        }
        self.put_entry(&mut batch, entry, tag, true, entry.header().lamport);
        let ticket = self.store.apply(batch)?;
        let mut state = self.state.write();
        note_statement(&mut state, tag, entry);
        let crate::state::State { spaces, people, .. } = &mut *state;
        for space in spaces.values_mut() {
            space.membership.settle(people);
            self.read_membership(space);
        }
        Ok(Took::Stored(ticket))
    }

    fn take_operation(&self, tag: &SpaceTag, entry: &Entry) -> Result<Took> {
        let outcome = {
            let mut state = self.state.write();
            let crate::state::State { spaces, people, .. } = &mut *state;
            let Some(space) = spaces.get_mut(tag) else { return Ok(Took::Refused("no such space".into())) };
            space.membership.insert(entry, people)
        };
        let outcome = match outcome {
            Ok(Outcome::Waits(_) | Outcome::Refused(Refusal::Crowded)) => return Ok(Took::Waits),
            Ok(Outcome::Refused(why)) => return Ok(Took::Refused(why.to_string())),
            Err(e) => return Ok(Took::Refused(e.to_string())),
            Ok(outcome) => outcome,
        };
        let mut batch = Batch::new();
        self.put_entry(&mut batch, entry, tag, true, entry.header().lamport);
        let tip = self.is_tip(tag, entry)?;
        let ticket = self.store.apply(batch)?;
        let mut state = self.state.write();
        let crate::state::State { spaces, .. } = &mut *state;
        if let Some(space) = spaces.get_mut(tag) {
            let header = entry.header();
            space.logs.store(header.log, header.seq, entry.hash(), header.prev, tip);
            space.logs.apply(header.log, header.seq, entry.hash(), header.prev, header.lamport);
            if matches!(outcome, Outcome::Later) {
                space.later.insert(entry.hash());
            }
            self.read_membership(space);
        }
        Ok(Took::Stored(ticket))
    }

    /// Reads my role and the keys that I can open out of a space's membership.
    pub(crate) fn read_membership(&self, space: &mut crate::state::Space) {
        space.role = space.membership.role(&self.me.person);
        let opened = space.membership.open(&Recipient::Device(self.device), &self.keys.seal);
        for epoch in &opened.broken {
            tracing::warn!("the key of epoch {epoch} of space {} does not open", space.id);
        }
        space.epochs.extend(opened.secrets);
    }

    fn take_content(&self, writer: &mut Writer, tag: &SpaceTag, entry: &Entry) -> Result<Took> {
        let verdict = {
            let state = self.state.read();
            let Some(space) = state.spaces.get(tag) else { return Ok(Took::Refused("no such space".into())) };
            space.membership.judge(entry.header(), &state.people)
        };
        match verdict {
            Verdict::Refused(why) => return Ok(Took::Refused(why.to_string())),
            Verdict::Waits(_) => return Ok(Took::Waits),
            Verdict::Counts => {}
        }
        match self.missing(tag, entry)? {
            Some(missing) => {
                let mut batch = Batch::new();
                self.put_entry(&mut batch, entry, tag, false, entry.header().lamport);
                let new = self.entry_record(&entry.hash())?.is_none();
                let tip = self.is_tip(tag, entry)?;
                let ticket = self.store.apply(batch)?;
                if let Some(space) = self.state.write().spaces.get_mut(tag) {
                    let header = entry.header();
                    if new {
                        space.logs.store(header.log, header.seq, entry.hash(), header.prev, tip);
                    }
                    space.waiting.entry(missing).or_default().insert(entry.hash());
                }
                Ok(Took::Stored(ticket))
            }
            None => {
                let ticket = self.apply_entry(writer, tag, entry)?;
                self.retry(writer, tag, &entry.hash())?;
                Ok(Took::Stored(ticket))
            }
        }
    }

    // The first thing that an entry builds on and that is not applied yet.
    fn missing(&self, tag: &SpaceTag, entry: &Entry) -> Result<Option<Hash>> {
        let header = entry.header();
        for hash in header.prev.iter().chain(&header.deps) {
            if !self.entry_record(hash)?.is_some_and(|at| at.applied) {
                return Ok(Some(*hash));
            }
        }
        let Some(epoch) = header.epoch else { return Ok(None) };
        let opens = self.state.read().spaces.get(tag).is_some_and(|s| s.epochs.contains_key(&epoch));
        Ok(if opens { None } else { Some(Hash(epoch.0)) })
    }

    // Applies what waited for an entry, and what waited for that.
    pub(crate) fn retry(&self, writer: &mut Writer, tag: &SpaceTag, hash: &Hash) -> Result<()> {
        let mut arrived = vec![*hash];
        while let Some(hash) = arrived.pop() {
            let waiting = match self.state.write().spaces.get_mut(tag) {
                Some(space) => space.waiting.remove(&hash).unwrap_or_default(),
                None => return Ok(()),
            };
            let mut waiting = waiting.into_iter();
            while let Some(next) = waiting.next() {
                match self.try_again(writer, tag, &next) {
                    Ok(true) => arrived.push(next),
                    Ok(false) => {}
                    Err(e) => {
                        // They wait on, for the next that comes or the next start.
                        if let Some(space) = self.state.write().spaces.get_mut(tag) {
                            space.waiting.entry(hash).or_default().extend(waiting.chain([next]));
                        }
                        return Err(e);
                    }
                }
            }
        }
        Ok(())
    }

    // Applies an entry that waited, if nothing is missing any more.
    fn try_again(&self, writer: &mut Writer, tag: &SpaceTag, hash: &Hash) -> Result<bool> {
        let Some(entry) = self.read_entry(hash)? else { return Ok(false) };
        match self.missing(tag, &entry)? {
            None => self.apply_entry(writer, tag, &entry).map(|_| true),
            Some(missing) => {
                if let Some(space) = self.state.write().spaces.get_mut(tag) {
                    space.waiting.entry(missing).or_default().insert(*hash);
                }
                Ok(false)
            }
        }
    }

    /// Reads an entry back by its hash.
    pub(crate) fn read_entry(&self, hash: &Hash) -> Result<Option<Entry>> {
        let Some(at) = self.entry_record(hash)? else { return Ok(None) };
        match self.store.get(&record::entry_key(&at.tag, &at.log, at.seq, hash))? {
            Some(bytes) => Ok(Some(Entry::decode(bytes)?)),
            None => Ok(None),
        }
    }
}
