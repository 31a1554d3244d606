//! Sealing: what is pending becomes entries of this device's log.
//!
//! Edits are sealed at once; births and door operations gather for a moment first, so that what
//! comes and goes is never sent. One thread does it; what arrives while it waits for the disk is
//! gathered into the next entries.

use crate::api::Version;
use crate::blob;
use crate::clock;
use crate::core::Core;
use crate::documents::{put_birth, put_changes, small_bytes};
use crate::due::{Due, changes_of_sealed, due_doors};
use crate::entry::next_lamport;
use crate::error::Result;
use crate::head::Head;
use crate::link::ToLink;
use crate::record::{self, PendingChange};
use crate::state::{Newborn, Space, State};
use crate::steps::{born_of, door_record, newborn_head};
use base::{Entry, ObjectId, Oid, Run, SpaceTag, limit};
use object::{Change, Content, DoorOp, Item, Type};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Batch, Ticket};

/// How long births and door operations gather.
pub(crate) const GATHER: Duration = Duration::from_millis(100);
/// The same as long as no link is up: nobody waits, and what is gone or back by then is never sent to anybody.
pub(crate) const GATHER_ALONE: Duration = Duration::from_secs(2);

/// An entry that was made and stored, and is told once it is durable.
pub(crate) struct Fresh {
    pub(crate) entry: Entry,
    pub(crate) tag: SpaceTag,
}

impl Core {
    /// The sealing thread: until the node stops.
    pub(crate) fn seal_loop(&self, wake: &crossbeam_channel::Receiver<()>) {
        let mut wait = GATHER;
        loop {
            let _ = wake.recv_timeout(wait);
            if self.is_stopping() {
                return;
            }
            self.remove_garbage();
            if let Err(e) = self.thin_superseded() {
                self.problem(format!("old versions of large files cannot be removed: {e}"));
            }
            wait = match self.seal_all(false) {
                Ok(next) => next,
                Err(e) => {
                    // What is pending stays in the journal and is tried again.
                    self.problem(format!("sealing failed, and is tried again: {e}"));
                    Duration::from_secs(1)
                }
            };
        }
    }

    // Files that no record names once a certain batch is durable.
    fn remove_garbage(&self) {
        let mut garbage = self.garbage.lock();
        garbage.retain(|(ticket, name)| {
            let keep = !self.store.durable(*ticket);
            if !keep {
                let _ = self.store.bulk().remove(name);
            }
            keep
        });
    }

    /// Seals what is due in all spaces, tells what became durable, and answers when to look again.
    pub(crate) fn seal_all(&self, now: bool) -> Result<Duration> {
        // Whoever seals now may count on everything before being told as well.
        let _telling = self.telling.lock();
        let tags: Vec<SpaceTag> = self.state.read().spaces.keys().copied().collect();
        let mut next = Duration::from_secs(5);
        let mut told = Vec::new();
        let mut ticket = None;
        let mut failed = None;
        for tag in tags {
            let (gathered, wait) = self.due(&tag, now);
            next = next.min(wait);
            let Some(due) = gathered else { continue };
            // One space that cannot be sealed must not keep the others from it.
            let mut sealed = Sealed::default();
            let outcome = self.seal_space(&tag, due, &mut sealed);
            told.append(&mut sealed.fresh);
            ticket = sealed.ticket.or(ticket);
            failed = outcome.err().or(failed);
        }
        if let Some(ticket) = ticket {
            // Durable before told: a sequence number must never be used twice.
            self.store.wait(ticket)?;
        }
        for fresh in told {
            self.tell_link(ToLink::Fresh(fresh));
        }
        failed.map_or(Ok(next), Err)
    }

    // Large newborns are cut before the writer's lock is taken.
    fn chunk_newborns(&self, tag: &SpaceTag, due: &Due) -> Result<()> {
        for id in &due.births {
            let found = {
                let state = self.state.read();
                let space = state.spaces.get(tag);
                space.and_then(|s| s.pending.births.get(id).and_then(|n| n.bulk).map(|bulk| (s.id, bulk)))
            };
            let Some((space, bulk)) = found else { continue };
            let (epoch, secret) = self.epoch_to_seal(&space)?;
            let manifest = match self.chunk(bulk, &epoch, &secret) {
                Ok(manifest) => manifest,
                // Removed or saved again meanwhile, or unreadable: the others go on.
                Err(e) => {
                    tracing::warn!("a large file cannot be shared yet: {e}");
                    continue;
                }
            };
            let _writer = self.writer.lock();
            let mut state = self.state.write();
            let newborn = state.spaces.get_mut(tag).and_then(|s| s.pending.births.get_mut(id));
            if let Some(newborn) = newborn.filter(|n| n.bulk == Some(bulk)) {
                newborn.birth.content = Content::Manifest(manifest);
            }
        }
        Ok(())
    }

    // While an entry is made and stored, whoever only adds what is new does not wait: the writer's lock is held
    // for a look before, and to show it after.
    pub(crate) fn seal_space(&self, tag: &SpaceTag, due: Due, sealed: &mut Sealed) -> Result<()> {
        self.chunk_newborns(tag, &due)?;
        let _log = self.log.lock();
        self.seal_births(tag, &due.births, sealed)?;
        self.seal_changes(tag, due, sealed)
    }

    // Births go ahead in entries of their own: an object shows once its door is there too.
    fn seal_births(&self, tag: &SpaceTag, births: &[ObjectId], sealed: &mut Sealed) -> Result<()> {
        let mut left = births;
        while !left.is_empty() {
            let (group, rest) = self.take_births(tag, left);
            left = rest;
            let outcome = self.seal_birth_group(tag, &group, sealed);
            self.writer.lock().sealing.clear();
            outcome?;
        }
        Ok(())
    }

    // As many newborns as fit in one entry, as they are now; until it is stored they stay so.
    fn take_births<'a>(&self, tag: &SpaceTag, births: &'a [ObjectId]) -> (Vec<Newborn>, &'a [ObjectId]) {
        let mut writer = self.writer.lock();
        let state = self.state.read();
        let Some(space) = state.spaces.get(tag) else { return (Vec::new(), &[]) };
        let mut group = Vec::new();
        let mut bytes = 0;
        for (n, id) in births.iter().enumerate() {
            let Some(newborn) = space.pending.births.get(id).filter(|newborn| newborn.is_due()) else {
                continue;
            };
            if newborn.bulk.is_some() && !matches!(newborn.birth.content, Content::Manifest(_)) {
                continue;
            }
            let size = newborn.birth.to_bytes().len();
            if !group.is_empty() && bytes + size > limit::GATHER_BYTES || group.len() >= limit::BODY_ITEMS / 2
            {
                return (group, births.get(n..).unwrap_or_default());
            }
            bytes += size;
            writer.sealing.insert((*tag, *id));
            group.push(newborn.clone());
        }
        (group, &[])
    }

    fn seal_birth_group(&self, tag: &SpaceTag, group: &[Newborn], sealed: &mut Sealed) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let items = group.iter().map(|n| Item::Birth(n.birth.clone())).collect();
        let mut batch = Batch::new();
        let entry = self.make_entry(tag, items, self.run, &mut batch)?;
        let mut heads = Vec::new();
        let mut contents = Vec::new();
        for newborn in group {
            let mut head = self.head_to_seal(tag, newborn);
            if let (Some(bulk), Content::Manifest(manifest)) = (newborn.bulk, &newborn.birth.content) {
                crate::steps::set_content(&mut head, &newborn.birth.content);
                blob::put_whole(&mut batch, tag, manifest, bulk);
            }
            // A room whose permissions were changed already has a document, and its image.
            if !head.edited {
                put_birth(&mut batch, tag, &newborn.birth, &mut head);
                contents.extend(self.shown_of(tag, newborn, &head));
            }
            head.put(&mut batch, tag, &newborn.birth.id);
            batch.remove(record::newborn_key(tag, &newborn.birth.id));
            heads.push((&newborn.birth, head));
        }
        sealed.ticket = Some(self.store.apply(batch)?);
        let mut late = Batch::new();
        {
            let _writer = self.writer.lock();
            let mut state = self.state.write();
            let Some(space) = state.spaces.get_mut(tag) else { return Ok(()) };
            note_entry(space, &entry);
            // It was here a moment ago: who opens it now does not wait for the store.
            for (oid, version, bytes) in contents {
                self.rendered.lock().put(oid, version, bytes);
            }
            for (birth, head) in heads {
                space.pending.births.remove(&birth.id);
                space.view.born(birth.id, born_of(birth), &mut Default::default());
                show_head(space, &birth.id, head, &mut late);
            }
            self.store.defer(late)?;
        }
        sealed.fresh.push(Fresh { entry, tag: *tag });
        Ok(())
    }

    // What a file that is about to be sealed shows, under the version it will have.
    fn shown_of(&self, tag: &SpaceTag, newborn: &Newborn, head: &Head) -> Option<(Oid, Version, Arc<[u8]>)> {
        let space = self.state.read().spaces.get(tag)?.id;
        let bytes = small_bytes(&newborn.birth.content).filter(|_| newborn.birth.kind != Type::Room)?;
        Some((Oid { space, object: newborn.birth.id }, head.heads.clone(), bytes))
    }

    // The head of an object that is about to be sealed: its time stays as it is shown, and a room that
    // was edited keeps what its document says.
    fn head_to_seal(&self, tag: &SpaceTag, newborn: &Newborn) -> Head {
        let state = self.state.read();
        let shown = state.spaces.get(tag).and_then(|s| s.heads.get(&newborn.birth.id));
        match shown {
            Some(shown) if shown.edited => shown.clone(),
            Some(shown) => Head { mtime: shown.mtime, ..newborn_head(newborn, self.device) }.local_of(shown),
            None => newborn_head(newborn, self.device),
        }
    }

    // Changes of rooms come after the doors they may speak of; one run an entry.
    fn seal_changes(&self, tag: &SpaceTag, mut due: Due, sealed: &mut Sealed) -> Result<()> {
        if due.doors {
            // What is done to the names of a room builds on all that was done to it, since `due` looked too.
            let state = self.state.read();
            let space = state.spaces.get(tag);
            due.changes = space.into_iter().flat_map(changes_of_sealed).map(|(n, _)| n).collect();
        }
        let mut by_run: BTreeMap<bool, Vec<RunChanges>> = BTreeMap::new();
        for n in due.changes {
            let Some(bytes) = self.store.get(&record::pending_change_key(tag, n))? else { continue };
            let change: PendingChange = record::from_bytes(&bytes, "pending change")?;
            let groups = by_run.entry(change.run == self.run).or_default();
            match groups.last_mut() {
                Some((run, changes)) if *run == change.run => changes.push((n, change)),
                _ => groups.push((change.run, vec![(n, change)])),
            }
        }
        for (run, changes) in by_run.remove(&false).unwrap_or_default() {
            self.seal_run(tag, run, changes, false, sealed)?;
        }
        let own: Vec<_> = by_run.remove(&true).unwrap_or_default().into_iter().flat_map(|(_, c)| c).collect();
        self.seal_run(tag, self.run, own, due.doors, sealed)
    }

    fn seal_run(
        &self,
        tag: &SpaceTag,
        run: Run,
        changes: Vec<(u64, PendingChange)>,
        doors: bool,
        sealed: &mut Sealed,
    ) -> Result<()> {
        let mut batch = Batch::new();
        let mut made = Vec::new();
        let mut more = false;
        if doors {
            (made, more) = self.room_changes(tag, &mut batch)?;
        }
        // The writer's lock keeps it as it is.
        let incarnation = self.incarnation();
        let mut items: Vec<Item> = made
            .iter()
            .map(|room| {
                Item::Change(Change { object: room.id, bytes: room.change.clone(), incarnation: None })
            })
            .collect();
        let mut numbers = Vec::new();
        let mut bytes = 0;
        let mut operations: u64 = made.iter().map(|room| object::operations(&room.change)).sum();
        let mut rest = Vec::new();
        for (n, change) in changes {
            let cost = object::operations(&change.bytes);
            let full = bytes + change.bytes.len() > limit::GATHER_BYTES
                || operations + cost > object::CHANGE_OPS as u64;
            if !items.is_empty() && full || items.len() >= limit::BODY_ITEMS || !rest.is_empty() {
                rest.push((n, change));
                continue;
            }
            operations += cost;
            bytes += change.bytes.len();
            batch.remove(record::pending_change_key(tag, n));
            let made_in = change.incarnation.unwrap_or_else(|| self.own.read().began_in(&change.run));
            items.push(Item::Change(Change {
                object: change.object,
                bytes: change.bytes,
                incarnation: (made_in != incarnation).then_some(made_in),
            }));
            numbers.push(n);
        }
        if items.is_empty() {
            if doors {
                self.gathered(tag, more);
            }
            return Ok(());
        }
        let outcome = self.make_entry(tag, items, run, &mut batch).and_then(|entry| {
            sealed.ticket = Some(self.store.apply(batch)?);
            Ok(entry)
        });
        let entry = match outcome {
            Ok(entry) => entry,
            Err(e) => {
                // The rooms' documents have what the store has not.
                let mut writer = self.writer.lock();
                for room in &made {
                    if let Some(id) = self.state.read().spaces.get(tag).map(|s| s.id) {
                        writer.docs.pop(&Oid { space: id, object: room.id });
                    }
                }
                return Err(e);
            }
        };
        self.show_sealed(tag, &entry, made, &numbers)?;
        sealed.fresh.push(Fresh { entry, tag: *tag });
        if doors {
            self.gathered(tag, more);
        }
        if rest.is_empty() { Ok(()) } else { self.seal_run(tag, run, rest, false, sealed) }
    }

    // Nothing is gathering any more, unless something must still wait.
    fn gathered(&self, tag: &SpaceTag, more: bool) {
        if let Some(space) = self.state.write().spaces.get_mut(tag) {
            let waiting = space.pending.births.values().any(|n| !n.open && !n.local);
            space.pending.since = (waiting || more).then(Instant::now);
        }
    }

    // The door operations that are due, as one change a room; both halves of a move with it.
    fn room_changes(&self, tag: &SpaceTag, batch: &mut Batch) -> Result<(Vec<RoomChange>, bool)> {
        let (space_id, lamport, (rooms, more)) = {
            let state = self.state.read();
            let Some(space) = state.spaces.get(tag) else { return Ok((Vec::new(), false)) };
            (space.id, next_lamport(space), due_doors(space))
        };
        let mut made = Vec::new();
        for (room, ops) in rooms {
            let oid = Oid { space: space_id, object: room };
            let mut door_ops = Vec::new();
            let mut journal = Batch::new();
            let mut doors = Vec::new();
            for (id, door, gones, added) in ops {
                let mut door = door;
                if added {
                    door.at = (lamport, self.device);
                    let plain = object::Door { gone: Vec::new(), ..door.clone() };
                    door_ops.push(DoorOp::Add { id, door: plain });
                    journal.remove(record::pending_door_key(tag, &room, &id));
                }
                for gone in &gones {
                    door_ops.push(DoorOp::Gone { id, gone: gone.clone() });
                }
                if !gones.is_empty() {
                    journal.remove(record::pending_gone_key(tag, &room, &id));
                }
                journal.put(record::door_key(tag, &room, &id), record::to_bytes(&door_record(&door)));
                doors.push((id, door));
            }
            let actor = self.actor(&oid);
            // Whoever changes the documents of rooms holds the log's lock, as we do: the writer's is for others.
            let edited = self.take_doc(&oid).and_then(|mut doc| {
                let change = doc.edit_room(&actor, clock::now_ms(), &door_ops)?;
                Ok((doc, change))
            });
            let (mut doc, change) = match edited {
                Ok((doc, Some(change))) => (doc, change),
                Ok((_, None)) => continue,
                Err(e) => {
                    // What concerns it stays in the journal; the other rooms go on.
                    self.problem(format!("names of a room cannot be sealed: {e}"));
                    continue;
                }
            };
            let head = self.with_space(&space_id, |s| Ok(s.heads.get(&room).cloned()))?;
            let mut head = head.unwrap_or_else(|| Head::new(Type::Room, self.device, clock::now_ns()));
            batch.append(journal);
            put_changes(batch, tag, &room, &mut head, &mut doc, std::slice::from_ref(&change.change));
            self.writer.lock().docs.put(oid, doc);
            head.put(batch, tag, &room);
            made.push(RoomChange { id: room, change: change.change, head, doors });
        }
        Ok((made, more))
    }

    fn show_sealed(
        &self,
        tag: &SpaceTag,
        entry: &Entry,
        made: Vec<RoomChange>,
        numbers: &[u64],
    ) -> Result<()> {
        let mut delta = Default::default();
        let mut late = Batch::new();
        let _writer = self.writer.lock();
        let mut state = self.state.write();
        let Some(space) = state.spaces.get_mut(tag) else { return Ok(()) };
        note_entry(space, entry);
        for n in numbers {
            space.pending.changes.remove(n);
        }
        for room in made {
            for (id, door) in room.doors {
                space.pending.doors.remove(&(room.id, id));
                space.pending.gones.remove(&(room.id, id));
                space.view.door(room.id, id, door, &mut delta);
            }
            show_head(space, &room.id, room.head, &mut late);
        }
        let id = space.id;
        self.store.defer(late)?;
        drop(state);
        self.tell_names(&id, &delta, false);
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Sealed {
    fresh: Vec<Fresh>,
    ticket: Option<Ticket>,
}

// The unsealed changes of one run, in order.
type RunChanges = (Run, Vec<(u64, PendingChange)>);

struct RoomChange {
    id: ObjectId,
    change: Vec<u8>,
    head: Head,
    doors: Vec<(base::DoorId, object::Door)>,
}

// Shows what was sealed. What was made in a room meanwhile moved its time, which was stored over.
fn show_head(space: &mut Space, id: &ObjectId, sealed: Head, late: &mut Batch) {
    let mut head = sealed;
    if let Some(shown) = space.heads.get(id) {
        let stored = head.to_local();
        head = Head { mtime: shown.mtime, ..head }.local_of(shown);
        if head.to_local() != stored {
            late.put(record::local_key(&space.tag, id), record::to_bytes(&head.to_local()));
        }
    }
    space.heads.insert(*id, head);
}

/// Notes an entry that was made here, stored and applied.
pub(crate) fn note_entry(space: &mut Space, entry: &Entry) {
    let header = entry.header();
    space.logs.store(header.log, header.seq, entry.hash(), header.prev, true);
    space.logs.apply(header.log, header.seq, entry.hash(), header.prev, header.lamport);
    let known = std::mem::take(&mut space.logs.built_on);
    let tips = space.logs.applied_tips().map(|(_, (_, hash, _))| *hash);
    space.logs.built_on =
        tips.filter(|hash| known.contains(hash) || header.deps.binary_search(hash).is_ok()).collect();
}

/// Notes an entry of a person's statements.
pub(crate) fn note_statement(state: &mut State, tag: &SpaceTag, entry: &Entry) {
    let person = state.people.by_tag(tag).map(|p| p.id());
    let known = state.statements.contains_key(tag);
    if let (Some(person), false) = (person, known) {
        state.statements.insert(*tag, (person, crate::logs::Logs::default()));
    }
    if let Some((_, logs)) = state.statements.get_mut(tag) {
        let header = entry.header();
        logs.store(header.log, header.seq, entry.hash(), header.prev, true);
        logs.apply(header.log, header.seq, entry.hash(), header.prev, header.lamport);
    }
}
