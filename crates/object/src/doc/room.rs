//! Doors: what a room's document holds.
//!
//! A door is written once under its id and never deleted; that it is gone is said beside it, by a set that only grows.
//! So nothing that two people do at once can hide what either of them wrote. What the doors of all
//! rooms mean together is `space`'s view. Whatever in a room's document is no door is skipped.
//!
//! That nobody overwrites or deletes is not believed: doors are read from the changes themselves, not from the map
//! that the engine makes of them. A deletion means nothing, and of several doors under one id the one with
//! the smallest operation number (then actor) counts. So what a room shows is a function of the set of
//! changes, whatever their order.

use super::{Doc, Made};
use crate::error::{Error, Result};
use crate::heads::{Clock, counted};
use crate::kind::Type;
use automerge::legacy::{self, Key, OpType};
use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, Change, ChangeHash, ObjId, ROOT, ReadDoc, ScalarValue, ScalarValueRef, ValueRef};
use base::{Actor, DeviceId, DoorId, Hash, ObjectId, SpaceId, cbor, id::first16, limit};
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decoder, Encoder};
use std::collections::{BTreeMap, BTreeSet};

const DOOR: &str = "d/";
const GONE: &str = "g/";
/// Operations of one change of a room; a body holds far fewer doors than that.
pub(super) const OPS: usize = 262_144;
/// Actors in one clock.
const CLOCK: usize = 65_536;
/// Bytes of a name that is read; the view shows what is over `limit::NAME_BYTES` cut.
const NAME: usize = 16 * limit::NAME_BYTES;

/// What a door leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The space, where it is another one; such doors exist in home only.
    pub space: Option<SpaceId>,
    /// The object there.
    pub object: ObjectId,
}

/// What a door claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DoorKind {
    /// That its target is here.
    Place,
    /// Only a way to it.
    Link,
}

/// That somebody removed a door, or moved it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gone {
    /// What the remover had seen of the target.
    pub clock: Clock,
    /// The new door and its room, where it was moved.
    pub to: Option<(ObjectId, DoorId)>,
}

/// A named way from a room to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Its name, as it was given.
    pub name: Vec<u8>,
    /// What it leads to.
    pub target: Target,
    /// What it claims.
    pub kind: DoorKind,
    /// When it was made: the entry's lamport, and the device.
    pub at: (u64, DeviceId),
    /// Who removed it, sorted.
    pub gone: Vec<Gone>,
}

/// One thing done to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorOp {
    /// A new door. Renaming is a new door and a `Gone` of the old that names it.
    Add {
        /// Its id; random.
        id: DoorId,
        /// The door.
        door: Door,
    },
    /// A door is gone.
    Gone {
        /// Which.
        id: DoorId,
        /// What the remover knew.
        gone: Gone,
    },
}

#[derive(Clone, Default)]
struct Slot {
    /// The door, and the operation that put it there.
    door: Option<((u64, Actor), Door)>,
    gone: BTreeMap<String, Gone>,
}

/// The doors of a room, kept up change by change.
#[derive(Clone, Default)]
pub(super) struct Doors(BTreeMap<DoorId, Slot>);

impl Doors {
    /// What a change puts into the room. It has no more than `OPS` operations.
    pub(super) fn take(&mut self, change: &Change, touched: &mut BTreeSet<DoorId>) {
        let actor = counted(change.actor_id().to_bytes());
        for (op, counter) in change.decode().operations.iter().zip(change.start_op().get()..) {
            let (legacy::ObjectId::Root, Key::Map(key)) = (&op.obj, &op.key) else { continue };
            if let OpType::Put(ScalarValue::Bytes(bytes)) = &op.action {
                touched.extend(self.put(key, (counter, actor), bytes));
            }
        }
    }

    // Answers the door concerned, if this makes it another.
    fn put(&mut self, key: &str, at: (u64, Actor), bytes: &[u8]) -> Option<DoorId> {
        if let Some(id) = key.strip_prefix(DOOR) {
            let id = DoorId::from_hex(id).ok().filter(|id| door_key(id) == key)?;
            if self.0.get(&id).and_then(|slot| slot.door.as_ref()).is_some_and(|(first, _)| *first <= at) {
                return None;
            }
            let door = cbor::decode(bytes, "door").ok()?;
            self.0.entry(id).or_default().door = Some((at, door));
            return Some(id);
        }
        let (id, name) = key.strip_prefix(GONE)?.split_once('/')?;
        let id = DoorId::from_hex(id).ok().filter(|id| gone_key(id, name) == key)?;
        // The name is of the bytes: all that stand under one key are equal.
        if gone_name(bytes) != name || self.0.get(&id).is_some_and(|slot| slot.gone.contains_key(name)) {
            return None;
        }
        let gone = cbor::decode(bytes, "gone").ok()?;
        self.0.entry(id).or_default().gone.insert(name.to_owned(), gone);
        Some(id)
    }
}

impl Slot {
    fn door(&self) -> Option<Door> {
        let mut door = self.door.as_ref()?.1.clone();
        door.gone = self.gone.values().cloned().collect();
        door.gone.sort();
        Some(door)
    }
}

/// The doors of a room that was loaded.
pub(super) fn read(am: &Automerge) -> Doors {
    let mut doors = Doors::default();
    let mut shown = 0;
    let mut alone = true;
    for item in am.map_range(ROOT, ..) {
        shown += 1;
        alone &= !item.conflict;
        if let (ObjId::Id(counter, actor, _), ValueRef::Scalar(ScalarValueRef::Bytes(bytes))) =
            (item.id(), &item.value)
        {
            doors.put(&item.key, (counter, counted(actor.to_bytes())), bytes);
        }
    }
    // Where every operation shows, nothing lies under it.
    if alone && am.stats().num_ops == shown {
        return doors;
    }
    let mut doors = Doors::default();
    for change in am.get_changes(&[]) {
        doors.take(&change, &mut BTreeSet::new());
    }
    doors
}

fn door_key(id: &DoorId) -> String {
    format!("{DOOR}{}", id.hex())
}

fn gone_key(id: &DoorId, name: &str) -> String {
    format!("{GONE}{}/{name}", id.hex())
}

fn gone_name(bytes: &[u8]) -> String {
    DoorId(first16(&Hash::of(&[bytes]))).hex()
}

impl Doc {
    /// All doors of a room, removed ones included; none where the object is no room.
    pub fn doors(&self) -> BTreeMap<DoorId, Door> {
        self.shown.doors.0.iter().filter_map(|(id, slot)| Some((*id, slot.door()?))).collect()
    }

    /// One door of a room.
    pub fn door(&self, id: &DoorId) -> Option<Door> {
        self.shown.doors.0.get(id)?.door()
    }

    /// Does all of this to a room in one change, on the version that the document has. None if all of it was so already.
    ///
    /// Errors: an object that is no room; a name over its limit.
    pub fn edit_room(&mut self, actor: &Actor, time_ms: i64, ops: &[DoorOp]) -> Result<Option<Made>> {
        if self.kind() != Type::Room {
            return Err(Error::Unfit { wanted: "room" });
        }
        let mut puts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for op in ops {
            match op {
                DoorOp::Add { door, .. } if door.name.len() > limit::NAME_BYTES => {
                    return Err(base::Error::Limit { what: "name", limit: limit::NAME_BYTES }.into());
                }
                DoorOp::Add { id, door } => self.add(&mut puts, id, door),
                DoorOp::Gone { id, gone } => self.remove(&mut puts, id, gone),
            }
        }
        if puts.is_empty() {
            return Ok(None);
        }
        if puts.len() > OPS {
            return Err(Error::TooLarge { what: "edit of a room", limit: OPS });
        }
        self.guard(|doc| {
            let heads = doc.am.get_heads();
            let made = doc.commit(actor, time_ms, &heads, |tx| put_all(tx, &puts))?;
            let change = doc.am.get_change_by_hash(&ChangeHash(made.hash.0)).ok_or(Error::Panicked)?;
            doc.shown.doors.take(&change, &mut BTreeSet::new());
            Ok(Some(made))
        })
    }

    // A door that is there is never written again.
    fn add(&self, puts: &mut BTreeMap<String, Vec<u8>>, id: &DoorId, door: &Door) {
        if self.shown.doors.0.get(id).is_none_or(|slot| slot.door.is_none()) {
            puts.entry(door_key(id)).or_insert_with(|| cbor::encode(door));
        }
        for gone in &door.gone {
            self.remove(puts, id, gone);
        }
    }

    fn remove(&self, puts: &mut BTreeMap<String, Vec<u8>>, id: &DoorId, gone: &Gone) {
        let bytes = cbor::encode(gone);
        let name = gone_name(&bytes);
        if self.shown.doors.0.get(id).is_none_or(|slot| !slot.gone.contains_key(&name)) {
            puts.insert(gone_key(id, &name), bytes);
        }
    }
}

fn put_all(tx: &mut Transaction<'_>, puts: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    for (key, bytes) in puts {
        tx.put(ROOT, key.as_str(), ScalarValue::Bytes(bytes.clone()))?;
    }
    Ok(())
}

impl<C> minicbor::Encode<C> for Door {
    // Without `gone`, which stands beside it.
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        e.array(6)?.bytes(&self.name)?.encode(self.target.space)?.encode(self.target.object)?;
        e.u8(match self.kind {
            DoorKind::Place => 0,
            DoorKind::Link => 1,
        })?;
        e.u64(self.at.0)?.encode(self.at.1)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Door {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        cbor::expect_array(d, 6)?;
        Ok(Door {
            name: cbor::bytes_within(d, NAME)?.to_vec(),
            target: Target { space: d.decode()?, object: d.decode()? },
            kind: match d.u8()? {
                0 => DoorKind::Place,
                1 => DoorKind::Link,
                _ => return Err(DecodeError::message("kind of door")),
            },
            at: (d.u64()?, d.decode()?),
            gone: Vec::new(),
        })
    }
}

impl<C> minicbor::Encode<C> for Gone {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        e.array(2)?.array(self.clock.len() as u64)?;
        for (actor, seq) in &self.clock {
            e.array(2)?.encode(actor)?.u64(*seq)?;
        }
        match &self.to {
            Some((room, door)) => e.array(2)?.encode(room)?.encode(door)?.ok(),
            None => e.null()?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Gone {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        cbor::expect_array(d, 2)?;
        let mut clock = Clock::new();
        for _ in 0..cbor::array_len(d, CLOCK)? {
            cbor::expect_array(d, 2)?;
            clock.insert(d.decode()?, d.u64()?);
        }
        let to = if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            None
        } else {
            cbor::expect_array(d, 2)?;
            Some((d.decode()?, d.decode()?))
        };
        Ok(Gone { clock, to })
    }
}
