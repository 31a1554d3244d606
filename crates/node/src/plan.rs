//! What the link thread is told of friends and spaces, all of it at a time.

use crate::core::Core;
use base::{DeviceId, Hash, SpaceTag};
use crypto::TopicSecret;
use std::collections::{BTreeMap, BTreeSet};

/// What the link thread is to know of friends and spaces.
pub(crate) struct Plan {
    pub(crate) held: BTreeMap<SpaceTag, BTreeMap<base::LogId, Vec<(u64, Hash)>>>,
    pub(crate) allowed: BTreeMap<DeviceId, BTreeSet<SpaceTag>>,
    pub(crate) friends: BTreeMap<DeviceId, Vec<String>>,
    pub(crate) topics: BTreeMap<String, (SpaceTag, TopicSecret)>,
    pub(crate) pairing_open: bool,
    pub(crate) people: usize,
    pub(crate) pairings: Vec<(DeviceId, Vec<String>, Vec<u8>)>,
}

impl Core {
    /// What a new member of a space is handed: its name; genesis, operations and the members'
    /// statements.
    pub(crate) fn share_entries(&self, tag: &SpaceTag) -> Option<(String, Vec<Vec<u8>>)> {
        let state = self.state.read();
        let space = state.spaces.get(tag).filter(|s| !s.is_home)?;
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for person in space.membership.members().keys() {
            if let Some(person) = state.people.get(person) {
                entries.extend(person.entries().map(|e| e.bytes().to_vec()));
            }
        }
        entries.extend(space.membership.entries().into_iter().map(|e| e.bytes().to_vec()));
        Some((space.name.clone(), entries))
    }

    /// What the link thread is to know.
    pub(crate) fn link_plan(&self) -> Plan {
        let state = self.state.read();
        let mut plan = Plan {
            held: BTreeMap::new(),
            allowed: BTreeMap::new(),
            friends: BTreeMap::new(),
            topics: BTreeMap::new(),
            pairing_open: self.pairing_open(),
            people: state.people.len(),
            pairings: self.open_pairings(&state),
        };
        for (tag, space) in &state.spaces {
            plan.held.insert(*tag, space.logs.tips.clone());
            // Members who are nobody's friends here are known by what others pass on of them.
            for person in space.membership.members().keys().filter(|_| !space.is_home) {
                plan.held.entry(person.space().tag()).or_default();
            }
            if let Some(secret) = space.membership.current_epoch().and_then(|e| space.epochs.get(&e))
                && !space.is_home
            {
                let topic = secret.topic_secret();
                plan.topics.insert(topic.topic(), (*tag, topic));
            }
        }
        for (tag, (_, logs)) in &state.statements {
            plan.held.insert(*tag, logs.tips.clone());
        }
        for peer in state.peers.values() {
            for device in state.devices(peer) {
                plan.friends.insert(device, peer.addrs.clone());
                let tags = shared_tags(&state, &peer.person);
                plan.allowed.insert(device, tags);
            }
        }
        plan
    }
}

// The spaces in which somebody is a member, and the statements of everybody in them.
fn shared_tags(state: &crate::state::State, person: &base::PersonId) -> BTreeSet<SpaceTag> {
    let mut tags = BTreeSet::new();
    for (tag, space) in state.spaces.iter().filter(|(_, s)| !s.is_home) {
        if space.membership.role(person).is_some() {
            tags.insert(*tag);
            tags.extend(space.membership.members().keys().map(|p| p.space().tag()));
        }
    }
    tags
}
