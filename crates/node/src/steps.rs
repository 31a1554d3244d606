//! What a change of names does to the journal, the view and the store: small steps, performed as one.
//!
//! A step that concerns only what is not sealed yet leaves no trace once it is undone; that is how
//! an editor's temporary files come and go without anyone hearing of them.

use crate::api::{Event, Target as Leads};
use crate::core::{Core, no_space};
use crate::error::Result;
use crate::head::Head;
use crate::record::{self, DoorRecord, GoneRecord, PendingBirth, PendingDoor, PendingGones};
use crate::state::{Newborn, PendingAdd, Space};
use base::{DoorId, Hash, ObjectId, Oid, SpaceId};
use object::{Content, Door, DoorKind, Gone, Target};
use space::view::{Delta, How, Shown};
use std::time::Instant;
use store::Batch;

/// One thing that happens to a space's names.
pub(crate) enum Step {
    /// An object comes to be.
    Born(Newborn),
    /// An object that was never sealed ceases to be.
    Forget(ObjectId),
    /// A door appears.
    Add { room: ObjectId, id: DoorId, door: Door, local: bool },
    /// A door that was never sealed disappears.
    Cancel { room: ObjectId, id: DoorId },
    /// A door is passed over.
    Gone { room: ObjectId, id: DoorId, gone: Gone },
    /// An unsealed passing-over in favour of a door that is no more becomes another.
    Redirect { room: ObjectId, id: DoorId, was: (ObjectId, DoorId), gone: Gone },
    /// The newest unsealed passing-over of a door is taken back.
    Ungone { room: ObjectId, id: DoorId },
}

impl Core {
    /// Performs steps in one space: in the store as one batch, then in memory. The caller holds
    /// the writer's lock.
    pub(crate) fn perform(&self, id: &SpaceId, steps: Vec<Step>) -> Result<()> {
        // What is stored and what is shown agree on when it was.
        let now = crate::clock::now_ns();
        let (batch, clears) = {
            let state = self.state.read();
            let space = state.space(id).ok_or_else(|| no_space(id))?;
            let edited = |id: &ObjectId| space.heads.get(id).is_some_and(|head| head.edited);
            let clears = steps.iter().any(|step| matches!(step, Step::Forget(id) if edited(id)));
            (self.batch_of(space, &steps, now), clears)
        };
        // Names are read from the store only when it is opened; images may be read sooner.
        let ticket = if clears { self.store.apply(batch)? } else { self.store.defer(batch)? };
        let mut delta = Delta::default();
        let mut garbage = Vec::new();
        let idle = {
            let mut state = self.state.write();
            let space = state.space_mut(id).ok_or_else(|| no_space(id))?;
            let idle = space.pending.since.is_none();
            for step in steps {
                self.take_step(space, step, now, &mut delta, &mut garbage);
            }
            idle && space.pending.since.is_some()
        };
        self.garbage.lock().extend(garbage.into_iter().map(|name| (ticket, name)));
        self.tell_names(id, &delta, false);
        // While something gathers, the sealer looks again by itself.
        if idle {
            self.wake_sealer();
        }
        Ok(())
    }

    fn batch_of(&self, space: &Space, steps: &[Step], now: i64) -> Batch {
        let mut batch = Batch::new();
        let mut gones = std::collections::BTreeMap::new();
        let in_memory = |object: &ObjectId| {
            space.pending.births.get(object).is_some_and(|n| !n.stored)
                && !steps.iter().any(|s| matches!(s, Step::Born(n) if n.birth.id == *object && !n.open))
                || steps.iter().any(|s| matches!(s, Step::Born(n) if n.birth.id == *object && n.open))
        };
        for step in steps {
            match step {
                Step::Born(newborn) if newborn.open => {}
                Step::Born(newborn) => put_newborn(&mut batch, space, newborn),
                Step::Forget(object) => {
                    batch.remove(record::newborn_key(&space.tag, object));
                    batch.remove(record::local_key(&space.tag, object));
                    if !space.heads.get(object).is_some_and(|head| head.edited) {
                        continue;
                    }
                    batch.remove(record::head_key(&space.tag, object));
                    batch.remove_prefix(&record::image_of(&space.tag, object));
                    for (n, _) in space.pending.changes.iter().filter(|(_, o)| *o == object) {
                        batch.remove(record::pending_change_key(&space.tag, *n));
                    }
                }
                Step::Add { room, id, door, local } => {
                    if !here(&door.target).is_some_and(|object| in_memory(&object)) {
                        put_pending_door(&mut batch, space, room, id, door, *local);
                    }
                }
                Step::Cancel { room, id } => batch.remove(record::pending_door_key(&space.tag, room, id)),
                Step::Gone { room, id, gone } => {
                    let list = gones.entry((*room, *id)).or_insert_with(|| {
                        space.pending.gones.get(&(*room, *id)).cloned().unwrap_or_default()
                    });
                    list.push(gone.clone());
                }
                Step::Redirect { room, id, was, gone } => {
                    let list = gones.entry((*room, *id)).or_insert_with(|| {
                        space.pending.gones.get(&(*room, *id)).cloned().unwrap_or_default()
                    });
                    redirect(list, was, gone);
                }
                Step::Ungone { room, id } => {
                    let list = gones.entry((*room, *id)).or_insert_with(|| {
                        space.pending.gones.get(&(*room, *id)).cloned().unwrap_or_default()
                    });
                    list.pop();
                }
            }
        }
        put_touched(&mut batch, space, steps, now, &in_memory);
        for ((room, id), list) in gones {
            let key = record::pending_gone_key(&space.tag, &room, &id);
            if list.is_empty() {
                batch.remove(key);
            } else {
                batch.put(
                    key,
                    record::to_bytes(&PendingGones { gones: list.iter().map(gone_record).collect() }),
                );
            }
        }
        batch
    }

    fn take_step(
        &self,
        space: &mut Space,
        step: Step,
        now: i64,
        delta: &mut Delta,
        garbage: &mut Vec<[u8; 16]>,
    ) {
        match step {
            Step::Born(mut newborn) => {
                newborn.stored = !newborn.open;
                let id = newborn.birth.id;
                space.view.born(id, born_of(&newborn.birth), delta);
                let mut head = newborn_head(&newborn, self.device);
                if let Some(shown) = space.heads.get(&id) {
                    head = Head { mtime: shown.mtime, ..head }.local_of(shown);
                }
                space.heads.insert(id, head);
                if newborn.is_due() {
                    space.pending.since.get_or_insert_with(Instant::now);
                }
                space.pending.births.insert(id, newborn);
            }
            Step::Forget(object) => {
                if let Some(bulk) = space.pending.births.remove(&object).and_then(|n| n.bulk) {
                    garbage.push(bulk.name);
                }
                space.pending.changes.retain(|_, o| *o != object);
                if space.heads.remove(&object).is_some_and(|head| head.edited) {
                    self.forgotten.lock().insert(Oid { space: space.id, object });
                }
                space.view.forget_object(object, delta);
                self.rendered.lock().forget(&Oid { space: space.id, object });
            }
            Step::Add { room, id, door, local } => {
                if let Some(object) = here(&door.target) {
                    space.unlinked.remove(&object);
                }
                match local {
                    true => space.view.own_door(room, id, door, delta),
                    false => space.view.door(room, id, door, delta),
                }
                touch_target(space, room, id, now);
                space.pending.doors.insert((room, id), PendingAdd { local });
                if !local {
                    space.pending.since.get_or_insert_with(Instant::now);
                }
                touch_room(space, &room, self.device, now);
            }
            Step::Cancel { room, id } => {
                touch_target(space, room, id, now);
                space.view.forget_door(room, id, delta);
                space.pending.doors.remove(&(room, id));
                touch_room(space, &room, self.device, now);
            }
            Step::Gone { room, id, gone } => {
                touch_target(space, room, id, now);
                if let Some(mut door) = space.view.door_state(room, id).cloned() {
                    door.gone.push(gone.clone());
                    space.view.door(room, id, door, delta);
                }
                space.pending.gones.entry((room, id)).or_default().push(gone);
                space.pending.since.get_or_insert_with(Instant::now);
                touch_room(space, &room, self.device, now);
            }
            Step::Redirect { room, id, was, gone } => {
                if let Some(gones) = space.pending.gones.get_mut(&(room, id)) {
                    redirect(gones, &was, &gone);
                }
                if let Some(mut door) = space.view.door_state(room, id).cloned() {
                    redirect(&mut door.gone, &was, &gone);
                    space.view.door(room, id, door, delta);
                }
            }
            Step::Ungone { room, id } => {
                let undone = space.pending.gones.get_mut(&(room, id)).and_then(Vec::pop);
                if space.pending.gones.get(&(room, id)).is_some_and(Vec::is_empty) {
                    space.pending.gones.remove(&(room, id));
                }
                if let (Some(undone), Some(mut door)) = (undone, space.view.door_state(room, id).cloned()) {
                    door.gone.retain(|g| *g != undone);
                    if let Some(object) = here(&door.target) {
                        space.unlinked.remove(&object);
                    }
                    space.view.door(room, id, door, delta);
                }
                touch_target(space, room, id, now);
                touch_room(space, &room, self.device, now);
            }
        }
    }
}

// The times that a change of names moves, of what is in the store already. What is only in memory moves its
// room's when it gets there.
fn put_touched(
    batch: &mut Batch,
    space: &Space,
    steps: &[Step],
    now: i64,
    in_memory: &dyn Fn(&ObjectId) -> bool,
) {
    let mut touched = std::collections::BTreeMap::new();
    for step in steps {
        let (room, target) = match step {
            Step::Add { room, door, .. } => (room, here(&door.target)),
            Step::Cancel { room, id } | Step::Gone { room, id, .. } | Step::Ungone { room, id } => {
                (room, space.view.door_state(*room, *id).and_then(|door| here(&door.target)))
            }
            _ => continue,
        };
        if target.is_some_and(|object| in_memory(&object)) {
            continue;
        }
        for (object, moved) in target.map(|target| (target, false)).into_iter().chain([(*room, true)]) {
            let Some(head) = space.heads.get(&object) else { continue };
            let local = touched.entry(object).or_insert_with(|| head.to_local());
            local.ctime = Some(now);
            local.mtime = if moved { now } else { local.mtime };
        }
    }
    for step in steps {
        if let Step::Forget(object) = step {
            touched.remove(object);
        }
    }
    for (object, local) in touched {
        batch.put(record::local_key(&space.tag, &object), record::to_bytes(&local));
    }
}

fn redirect(gones: &mut [Gone], was: &(ObjectId, DoorId), gone: &Gone) {
    for old in gones.iter_mut().filter(|g| g.to == Some(*was)) {
        *old = gone.clone();
    }
}

/// The journal's record of a birth that is not sealed, with the doors that lead to it.
pub(crate) fn put_newborn(batch: &mut Batch, space: &Space, newborn: &Newborn) {
    let mut birth = newborn.birth.clone();
    if newborn.bulk.is_some() {
        // The bulk file has it; the manifest is made again when it is sealed.
        birth.content = Content::Bytes(Vec::new());
    }
    let room = (birth.kind == object::Type::Room).then(|| std::mem::take(&mut birth.meta));
    let room = room.filter(|meta| *meta != object::Meta::default());
    let record = PendingBirth { birth: birth.to_bytes(), local: newborn.local, bulk: newborn.bulk, room };
    batch.put(record::newborn_key(&space.tag, &birth.id), record::to_bytes(&record));
    for (room, id) in space.view.doors_of(birth.id) {
        if let (Some(pending), Some(door)) =
            (space.pending.doors.get(&(room, id)), space.view.door_state(room, id))
        {
            put_pending_door(batch, space, &room, &id, door, pending.local);
        }
    }
}

fn put_pending_door(
    batch: &mut Batch,
    space: &Space,
    room: &ObjectId,
    id: &DoorId,
    door: &Door,
    local: bool,
) {
    let record = PendingDoor { door: door_record(door), local };
    batch.put(record::pending_door_key(&space.tag, room, id), record::to_bytes(&record));
}

// A room's time is that of its last change of names.
fn touch_room(space: &mut Space, room: &ObjectId, device: base::DeviceId, now: i64) {
    space.root_head(room, device);
    if let Some(head) = space.heads.get_mut(room) {
        head.mtime = now;
        head.ctime = Some(now);
    }
}

// What a name leads to changes with it.
fn touch_target(space: &mut Space, room: ObjectId, id: DoorId, now: i64) {
    let target = space.view.door_state(room, id).and_then(|door| here(&door.target));
    if let Some(object) = target {
        space.touch(&object, now);
    }
}

/// What the view is told of a birth.
pub(crate) fn born_of(birth: &object::Birth) -> space::view::Born {
    use space::view::{Born, BornKind};
    let kind = match birth.kind {
        object::Type::Room => BornKind::Room,
        object::Type::Link => BornKind::Link,
        other => BornKind::File(other.code()),
    };
    let content = match &birth.content {
        Content::Bytes(bytes) => Some(Hash::of(&[bytes])),
        Content::Manifest(manifest) => Some(manifest.hash()),
        Content::Empty => None,
    };
    Born { kind, content }
}

/// The head of an object that is not sealed yet.
pub(crate) fn newborn_head(newborn: &Newborn, author: base::DeviceId) -> Head {
    let birth = &newborn.birth;
    let mtime = birth.meta.mtime.unwrap_or_else(crate::clock::now_ns);
    let mut head = Head::new(birth.kind, author, mtime);
    let now = crate::clock::now_ns();
    (head.ctime, head.atime) = (Some(now), Some(now));
    head.set_meta(&birth.meta);
    set_content(&mut head, &birth.content);
    if let Some(bulk) = newborn.bulk {
        head.size = bulk.size;
        head.chunked = true;
    }
    head
}

/// Notes in a head what content an unedited object has.
pub(crate) fn set_content(head: &mut Head, content: &Content) {
    match content {
        Content::Empty => {
            head.size = 0;
            head.content = None;
            head.chunked = false;
        }
        Content::Bytes(bytes) => {
            head.size = bytes.len() as u64;
            head.content = Some(Hash::of(&[bytes]));
            head.chunked = false;
        }
        Content::Manifest(manifest) => {
            head.size = manifest.size;
            head.content = Some(manifest.hash());
            head.chunked = true;
        }
    }
}

/// The events of a change of the view. A name that was made here where none was is no news: nobody can
/// have believed otherwise, and whoever made it knows.
pub(crate) fn name_events(space: &SpaceId, delta: &Delta, remote: bool) -> Vec<Event> {
    delta
        .changes
        .iter()
        .filter(|change| remote || change.before.is_some())
        .map(|change| Event::Name {
            room: Oid { space: *space, object: change.room },
            name: change.name.to_string(),
            remote,
            before: change.before.as_ref().map(|shown| leads(space, shown)),
            after: change.after.as_ref().map(|shown| leads(space, shown).oid()),
        })
        .collect()
}

/// Where a shown name leads.
pub(crate) fn leads(space: &SpaceId, shown: &Shown) -> Leads {
    let oid = target_oid(space, &shown.target);
    match shown.how {
        How::Link => Leads::LinkTo(oid),
        _ => Leads::Object(oid),
    }
}

/// The object at the end of a door.
pub(crate) fn target_oid(space: &SpaceId, target: &Target) -> Oid {
    Oid { space: target.space.unwrap_or(*space), object: target.object }
}

/// The object of this space that a door leads to.
pub(crate) fn here(target: &Target) -> Option<ObjectId> {
    if target.space.is_none() { Some(target.object) } else { None }
}

/// A door as the index keeps it.
pub(crate) fn door_record(door: &Door) -> DoorRecord {
    DoorRecord {
        name: door.name.clone(),
        space: door.target.space,
        object: door.target.object,
        link: door.kind == DoorKind::Link,
        lamport: door.at.0,
        device: door.at.1,
        gone: door.gone.iter().map(gone_record).collect(),
    }
}

/// A door from the index.
pub(crate) fn door_of(record: DoorRecord) -> Door {
    Door {
        name: record.name,
        target: Target { space: record.space, object: record.object },
        kind: if record.link { DoorKind::Link } else { DoorKind::Place },
        at: (record.lamport, record.device),
        gone: record.gone.into_iter().map(gone_of).collect(),
    }
}

fn gone_record(gone: &Gone) -> GoneRecord {
    GoneRecord { clock: gone.clock.iter().map(|(a, n)| (*a, *n)).collect(), to: gone.to }
}

pub(crate) fn gone_of(record: GoneRecord) -> Gone {
    Gone { clock: record.clock.into_iter().collect(), to: record.to }
}
