//! What a node holds in memory: spaces with their views, heads and logs; people and friends.
//!
//! Readers take the read side of one lock for the moment of a look-up; the writer takes the write
//! side for the moment of publishing what it has already stored.

use crate::head::Head;
use crate::logs::Logs;
use crate::record::{Bulk, PeerRecord, Placing};
use base::{DeviceId, DoorId, EpochId, Hash, ObjectId, PersonId, SpaceId, SpaceTag};
use crypto::EpochSecret;
use object::Birth;
use space::member::{Membership, People, Role};
use space::view::View;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// Everything that a node knows.
pub(crate) struct State {
    pub(crate) spaces: BTreeMap<SpaceTag, Space>,
    pub(crate) people: People,
    /// The logs of people's statements, by the tag of the person.
    pub(crate) statements: BTreeMap<SpaceTag, (PersonId, Logs)>,
    pub(crate) peers: BTreeMap<String, PeerRecord>,
    pub(crate) home: SpaceTag,
    /// What went wrong and a person should know; a line each.
    pub(crate) problems: BTreeSet<String>,
    /// What a person should know, though nothing needs to be done; a line each.
    pub(crate) notes: BTreeSet<String>,
    /// Texts in which two people changed the same words, as far as was seen in this run.
    pub(crate) overlaps: BTreeSet<base::Oid>,
}

/// One space.
pub(crate) struct Space {
    pub(crate) id: SpaceId,
    pub(crate) tag: SpaceTag,
    pub(crate) name: String,
    pub(crate) is_home: bool,
    pub(crate) placing: Option<Placing>,
    pub(crate) view: View,
    pub(crate) heads: HashMap<ObjectId, Head>,
    pub(crate) membership: Membership,
    pub(crate) epochs: BTreeMap<EpochId, EpochSecret>,
    pub(crate) logs: Logs,
    pub(crate) pending: Pending,
    pub(crate) role: Option<Role>,
    /// Entries stored that wait for what they build on, by what is missing.
    pub(crate) waiting: BTreeMap<Hash, BTreeSet<Hash>>,
    /// Entries whose body this version does not know.
    pub(crate) later: BTreeSet<Hash>,
    /// Objects that this node's own unlink left without a door, and that an open handle may still write.
    pub(crate) unlinked: BTreeSet<ObjectId>,
    /// When it was opened, in nanoseconds since 1970: the time of a root that nobody changed yet.
    pub(crate) since: i64,
}

/// What is made here and not yet sealed into an entry.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) births: BTreeMap<ObjectId, Newborn>,
    pub(crate) doors: BTreeMap<(ObjectId, DoorId), PendingAdd>,
    pub(crate) gones: BTreeMap<(ObjectId, DoorId), Vec<object::Gone>>,
    /// By number: the order in which they were made.
    pub(crate) changes: BTreeMap<u64, ObjectId>,
    /// When the oldest door operation or settled birth came; they gather a moment.
    pub(crate) since: Option<Instant>,
}

/// A door that is not yet sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingAdd {
    pub(crate) local: bool,
}

/// An object that is not yet sealed: it can still vanish without a trace.
#[derive(Clone, Debug)]
pub(crate) struct Newborn {
    pub(crate) birth: Birth,
    pub(crate) bulk: Option<Bulk>,
    /// Never sent.
    pub(crate) local: bool,
    /// Its maker has it open and has not saved yet.
    pub(crate) open: bool,
    /// Whether a record of it is in the store.
    pub(crate) stored: bool,
}

impl Newborn {
    /// Whether it is to be sealed with what gathers now.
    pub(crate) fn is_due(&self) -> bool {
        !self.open && !self.local
    }
}

impl State {
    /// The space of an id, if it is held here.
    pub(crate) fn space(&self, id: &SpaceId) -> Option<&Space> {
        self.spaces.get(&id.tag())
    }

    /// The space of an id, to change it.
    pub(crate) fn space_mut(&mut self, id: &SpaceId) -> Option<&mut Space> {
        self.spaces.get_mut(&id.tag())
    }

    /// The petname of a person, if they are a friend.
    pub(crate) fn petname(&self, person: &PersonId) -> Option<&str> {
        self.peers.iter().find(|(_, peer)| peer.person == *person).map(|(name, _)| name.as_str())
    }

    /// The member of a space here whose statements go by a tag.
    pub(crate) fn member_by_tag(&self, tag: &SpaceTag) -> Option<PersonId> {
        let shared = self.spaces.values().filter(|s| !s.is_home);
        shared.flat_map(|s| s.membership.members().into_keys()).find(|person| person.space().tag() == *tag)
    }

    /// The devices of a friend: those certified, and the one the invitation came from.
    pub(crate) fn devices(&self, peer: &PeerRecord) -> BTreeSet<DeviceId> {
        let mut devices: BTreeSet<DeviceId> =
            self.people.get(&peer.person).map(|p| p.devices().keys().copied().collect()).unwrap_or_default();
        devices.insert(peer.device);
        devices
    }
}

impl Space {
    /// Whether I may change what is in it.
    pub(crate) fn writable(&self) -> bool {
        self.role.is_some_and(|role| role.may_write())
    }

    /// Whether this node's own unlink took an object's last name, and nothing brought it back.
    pub(crate) fn is_unlinked(&self, object: &ObjectId) -> bool {
        self.unlinked.contains(object) && self.view.doors_of(*object).is_empty()
    }

    /// Whether an object is a room of this space.
    pub(crate) fn is_room(&self, object: &ObjectId) -> bool {
        *object == self.id.root() || self.heads.get(object).is_some_and(|h| h.kind == object::Type::Room)
    }
}
