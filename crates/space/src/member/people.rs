//! Everybody whose statements are here.

use super::error::Error;
use super::outcome::{Missing, Outcome};
use super::person::Person;
use base::{DeviceId, Entry, PersonId, SpaceTag};
use std::collections::{BTreeMap, BTreeSet};

/// The persons known, friends or not, and whose device is whose.
#[derive(Clone, Debug, Default)]
pub struct People {
    persons: BTreeMap<PersonId, Person>,
    tags: BTreeMap<SpaceTag, PersonId>,
    devices: BTreeMap<DeviceId, BTreeSet<PersonId>>,
}

impl People {
    /// Nobody.
    pub fn new() -> People {
        People::default()
    }

    /// Takes any statement: a first one makes its person known. One of somebody unknown is not
    /// kept, and waits outside for their first. Errors as [`Person::insert`].
    pub fn insert(&mut self, entry: &Entry) -> Result<Outcome, Error> {
        if entry.header().is_genesis() {
            let id = PersonId(entry.hash().0);
            if !self.persons.contains_key(&id) {
                let person = Person::new(entry)?;
                self.tags.insert(id.space().tag(), id);
                self.persons.insert(id, person);
            }
            return Ok(Outcome::Counts);
        }
        let tag = entry.header().tag;
        let Some(person) = self.tags.get(&tag).and_then(|id| self.persons.get_mut(id)) else {
            return Ok(Outcome::Waits(Missing::Person(tag)));
        };
        let outcome = person.insert(entry)?;
        for device in person.devices().keys() {
            self.devices.entry(*device).or_default().insert(person.id());
        }
        Ok(outcome)
    }

    /// Somebody, by id.
    pub fn get(&self, person: &PersonId) -> Option<&Person> {
        self.persons.get(person)
    }

    /// Everybody, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.persons.values()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.persons.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty()
    }

    /// Who goes by a tag, for the space that their statements form.
    pub fn by_tag(&self, tag: &SpaceTag) -> Option<&Person> {
        self.persons.get(self.tags.get(tag)?)
    }

    /// Whose device it is; of several (a device can agree to be two persons') the smallest id.
    pub fn person_of(&self, device: &DeviceId) -> Option<PersonId> {
        self.persons_of(device).next()
    }

    /// Everybody whose device it is.
    pub fn persons_of(&self, device: &DeviceId) -> impl Iterator<Item = PersonId> {
        self.devices.get(device).into_iter().flatten().copied()
    }
}
