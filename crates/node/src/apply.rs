//! Applying an entry: its births and changes go into documents, the index and the view, in one batch.

use crate::api::Event;
use crate::clock;
use crate::core::{Core, Writer};
use crate::documents::{put_birth, put_changes};
use crate::error::Result;
use crate::head::Head;
use crate::intake::WRONG_CLOCK;
use crate::record;
use crate::steps::{born_of, door_record, set_content};
use base::{Actor, DoorId, Entry, Hash, Kind, ObjectId, Oid, SpaceId, SpaceTag, limit};
use object::{Birth, Body, Content, Item, Manifest, Type};
use space::view::Delta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Batch, Ticket};

// What applying an entry adds, gathered before anything is shown.
#[derive(Default)]
struct Applying {
    heads: BTreeMap<ObjectId, Head>,
    births: Vec<Birth>,
    // Rooms of mine that were still to be sealed, and that somebody else made too.
    met: Vec<ObjectId>,
    doors: Vec<(ObjectId, DoorId, object::Door)>,
    edited: BTreeSet<ObjectId>,
    // Texts as they are now: whoever reads them next need not open the document again.
    texts: BTreeMap<ObjectId, (object::Heads, Arc<[u8]>)>,
    // Of the edited, those whose bytes or names are others now.
    moved: BTreeSet<ObjectId>,
    manifests: Vec<Manifest>,
    notes: Vec<String>,
}

// The changes that an entry has of one object, and under which actors its signer may have made them.
#[derive(Default)]
struct Changes {
    bytes: Vec<Vec<u8>>,
    authors: BTreeSet<Actor>,
}

impl Core {
    pub(crate) fn apply_entry(&self, writer: &mut Writer, tag: &SpaceTag, entry: &Entry) -> Result<Ticket> {
        let mut applying = Applying::default();
        let mut batch = Batch::new();
        let remote = entry.header().log != self.log();
        let space = self.space_of_tag(tag).ok_or_else(crate::core::no_object)?;
        // A clock that lies moves nobody's: what counts is what it should have said.
        let lamport = self.right_lamport(entry)?;
        match self.open_entry(&space, entry)? {
            Opened::Body(body) => {
                let touched: Vec<ObjectId> = body
                    .items
                    .iter()
                    .filter_map(|item| match item {
                        Item::Change(change) => Some(change.object),
                        Item::Birth(_) => None,
                    })
                    .collect();
                let outcome = self.apply_body(writer, &space, entry, body, &mut applying, &mut batch);
                if outcome.is_err() {
                    forget_docs(writer, &space, &touched);
                    outcome?;
                }
            }
            Opened::Later => {
                if let Some(space) = self.state.write().spaces.get_mut(tag) {
                    space.later.insert(entry.hash());
                }
            }
            Opened::Bad(why) => {
                applying.notes.push(format!(
                    "entry {} of {} is left out: {why}",
                    entry.hash(),
                    self.name_of_device(&entry.header().log.device)
                ));
            }
        }
        self.put_entry(&mut batch, entry, tag, true, lamport);
        let new = match self.entry_record(&entry.hash())? {
            None => Some(self.is_tip(tag, entry)?),
            Some(_) => None,
        };
        let ticket = match self.store.apply(batch) {
            Ok(ticket) => ticket,
            Err(e) => {
                let touched: Vec<ObjectId> = applying.edited.iter().copied().collect();
                forget_docs(writer, &space, &touched);
                return Err(e.into());
            }
        };
        for note in std::mem::take(&mut applying.notes) {
            self.problem(note);
        }
        let manifests = std::mem::take(&mut applying.manifests);
        let texts: Vec<ObjectId> = applying
            .edited
            .iter()
            .filter(|id| applying.heads.get(*id).is_some_and(|h| h.kind == Type::Text))
            .copied()
            .collect();
        self.show_applied(&space, entry, lamport, new, applying, remote);
        for manifest in manifests {
            self.tell_link(crate::link::ToLink::Fetch { tag: *tag, manifest: Box::new(manifest) });
        }
        if remote && !writer.replaying {
            for object in texts {
                if let Err(e) = self.settle_doubles(writer, &Oid { space, object }) {
                    self.problem(format!("a replacement that two made may stand twice: {e}"));
                }
            }
        }
        Ok(ticket)
    }

    /// Opens an entry's body.
    pub(crate) fn open_entry(&self, space: &SpaceId, entry: &Entry) -> Result<Opened> {
        let header = entry.header();
        let Some(secret) = header.epoch.and_then(|epoch| self.epoch_secret(&space.tag(), &epoch)) else {
            return Ok(Opened::Bad("its key is not here".into()));
        };
        if self.right_lamport(entry)? != header.lamport {
            return Ok(Opened::Bad(WRONG_CLOCK.into()));
        }
        let packed = match crypto::open_body(&secret, space, &header.log, entry.header_bytes(), entry.body())
        {
            Ok(packed) => packed,
            Err(e) => return Ok(Opened::Bad(e.to_string())),
        };
        let plain = match crypto::unpack(&packed, limit::BODY_BYTES) {
            Ok(plain) => plain,
            Err(e) => return Ok(Opened::Bad(e.to_string())),
        };
        match Body::decode(&plain) {
            Ok(body) => Ok(Opened::Body(body)),
            Err(e) if e.kind() == Kind::Unsupported => Ok(Opened::Later),
            Err(e) => Ok(Opened::Bad(e.to_string())),
        }
    }

    // A lamport is one more than the greatest that the entry builds on.
    pub(crate) fn right_lamport(&self, entry: &Entry) -> Result<u64> {
        let header = entry.header();
        let mut greatest: u64 = 0;
        for hash in header.prev.iter().chain(&header.deps) {
            greatest = greatest.max(self.entry_record(hash)?.map_or(0, |at| at.lamport));
        }
        Ok(greatest.saturating_add(1))
    }

    fn apply_body(
        &self,
        writer: &mut Writer,
        space: &SpaceId,
        entry: &Entry,
        body: Body,
        applying: &mut Applying,
        batch: &mut Batch,
    ) -> Result<()> {
        let mut changes: BTreeMap<ObjectId, Changes> = BTreeMap::new();
        let header = entry.header();
        let mut order = Vec::new();
        for item in body.items {
            match item {
                Item::Birth(birth) => self.apply_birth(space, entry, birth, applying, batch)?,
                Item::Change(change) => {
                    let list = changes.entry(change.object).or_default();
                    if list.bytes.is_empty() {
                        order.push(change.object);
                    }
                    // The signature says whose it is; an earlier incarnation of theirs is theirs too.
                    let incarnation = change.incarnation.unwrap_or(header.log.incarnation);
                    list.authors.insert(Actor::derive(
                        space,
                        &header.log.device,
                        &incarnation,
                        &header.run,
                        &change.object,
                    ));
                    list.bytes.push(change.bytes);
                }
            }
        }
        for object in order {
            let changes = changes.remove(&object).unwrap_or_default();
            self.apply_changes(writer, &Oid { space: *space, object }, entry, &changes, applying, batch)?;
        }
        Ok(())
    }

    fn apply_birth(
        &self,
        space: &SpaceId,
        entry: &Entry,
        birth: Birth,
        applying: &mut Applying,
        batch: &mut Batch,
    ) -> Result<()> {
        let tag = space.tag();
        // Two people may make one room; and a room of mine may still wait to be sealed. It is born then, and
        // no longer mine to take back.
        let (known, mine) = self.with_space(space, |s| {
            let newborn = s.pending.births.get(&birth.id);
            let mine = newborn.is_some_and(|n| birth.kind == Type::Room && n.birth == birth);
            Ok((s.heads.get(&birth.id).cloned(), mine))
        })?;
        if let (Some(mut head), true) = (known.clone(), mine) {
            if !head.edited {
                put_birth(batch, &tag, &birth, &mut head);
            }
            batch.put(record::head_key(&tag, &birth.id), record::to_bytes(&head.to_record()));
            batch.remove(record::newborn_key(&tag, &birth.id));
            applying.met.push(birth.id);
            applying.heads.insert(birth.id, head);
            return Ok(());
        }
        if known.is_some() || applying.heads.contains_key(&birth.id) || birth.id == space.root() {
            return Ok(());
        }
        let now = clock::now_ns();
        let mut head = Head::new(birth.kind, entry.header().log.device, birth.meta.mtime.unwrap_or(now));
        (head.ctime, head.atime) = (Some(now), Some(now));
        // What this device knew of it before the index was made again.
        if let Some(local) = self.stored_local(&Oid { space: *space, object: birth.id })? {
            head.set_local(local);
        }
        head.set_meta(&birth.meta);
        set_content(&mut head, &birth.content);
        put_birth(batch, &tag, &birth, &mut head);
        head.put(batch, &tag, &birth.id);
        if let Content::Manifest(manifest) = &birth.content
            && manifest.is_plain()
        {
            self.put_new_chunks(batch, &tag, manifest)?;
            applying.manifests.push(manifest.clone());
        }
        applying.heads.insert(birth.id, head);
        applying.births.push(birth);
        Ok(())
    }

    fn apply_changes(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        entry: &Entry,
        Changes { bytes: changes, authors }: &Changes,
        applying: &mut Applying,
        batch: &mut Batch,
    ) -> Result<()> {
        let tag = oid.space.tag();
        let object = oid.object;
        let shown = self.with_space(&oid.space, |s| Ok(s.heads.get(&object).cloned()))?;
        let born_here = applying.births.iter().find(|b| b.id == object).cloned();
        let mut head = match applying.heads.get(&object).cloned().or(shown) {
            Some(head) => head,
            None if object == oid.space.root() => Head::new(Type::Room, self.device, clock::now_ns()),
            None => {
                applying.notes.push(format!("a change of an object that was never born ({object})"));
                return Ok(());
            }
        };
        let opened = match born_here {
            Some(birth) => {
                object::Doc::born(&birth).map_err(Into::into).map(|doc| drop(writer.docs.put(*oid, doc)))
            }
            None => self.doc(writer, oid).map(drop),
        };
        if let Err(e) = opened {
            applying.notes.push(format!("an object cannot be opened, and a change of it is left out: {e}"));
            return Ok(());
        }
        let header = entry.header();
        let writer_replaying = writer.replaying;
        let doc = self.doc(writer, oid)?;
        let was = doc.meta().mtime;
        let before = doc.heads();
        let shown = shown_content(doc);
        let applied = match doc.apply(changes, &|actor| authors.contains(actor)) {
            Ok(applied) => applied,
            Err(e) => {
                // The document is rebuilt from its image without the culprit.
                writer.docs.pop(oid);
                applying.notes.push(format!(
                    "a change by {} broke an object and is left out: {e}",
                    self.name_of_device(&entry.header().log.device)
                ));
                return Ok(());
            }
        };
        for refused in &applied.refused {
            applying.notes.push(format!(
                "a change by {} is left out: {:?}",
                self.name_of_device(&entry.header().log.device),
                refused.why
            ));
        }
        if !applied.changed && applied.waiting == 0 {
            return Ok(());
        }
        let foreign = header.log != self.log() && !writer_replaying && doc.kind() == Type::Text;
        let overlaps = if foreign { doc.overlaps(changes, &before) } else { Vec::new() };
        let explicit = doc.meta().mtime.filter(|now| was != Some(*now));
        let room = doc.kind() == Type::Room;
        let doors: Vec<_> = if room {
            applied.doors.iter().filter_map(|id| doc.door(id).map(|door| (*id, door))).collect()
        } else {
            Vec::new()
        };
        // Only new content or new names are a change to whoever looks at times.
        let moved = !applied.doors.is_empty() || shown_content(doc) != shown;
        put_changes(batch, &tag, &object, &mut head, doc, &applied.append);
        let kept = if writer_replaying { self.stored_local(oid)? } else { None };
        head.ctime = Some(clock::now_ns());
        match (explicit, kept) {
            (_, Some(kept)) => head.set_local(kept),
            (Some(explicit), None) => head.mtime = explicit,
            (None, None) if moved => head.mtime = clock::now_ns(),
            (None, None) => {}
        }
        head.put(batch, &tag, &object);
        if doc.kind() == Type::Text && !writer_replaying {
            applying.texts.insert(object, (head.heads.clone(), doc.as_text().as_bytes().into()));
        }
        for version in doc.versions() {
            if let Content::Manifest(manifest) = &version.content
                && manifest.is_plain()
            {
                self.put_new_chunks(batch, &tag, manifest)?;
                applying.manifests.push(manifest.clone());
            }
        }
        for (id, door) in doors {
            batch.put(record::door_key(&tag, &object, &id), record::to_bytes(&door_record(&door)));
            applying.doors.push((object, id, door));
        }
        applying.heads.insert(object, head);
        applying.edited.insert(object);
        if moved {
            applying.moved.insert(object);
        }
        if overlaps.contains(&Some(true)) {
            self.note_overlap(*oid, true);
        } else if overlaps.contains(&None) {
            // Whoever made it had seen everything.
            self.note_overlap(*oid, false);
        }
        Ok(())
    }

    fn show_applied(
        &self,
        space_id: &SpaceId,
        entry: &Entry,
        lamport: u64,
        new: Option<bool>,
        mut applying: Applying,
        remote: bool,
    ) {
        let mut delta = Delta::default();
        let mut events = Vec::new();
        {
            let mut state = self.state.write();
            let Some(space) = state.space_mut(space_id) else { return };
            let header = entry.header();
            if let Some(tip) = new {
                space.logs.store(header.log, header.seq, entry.hash(), header.prev, tip);
            }
            space.logs.apply(header.log, header.seq, entry.hash(), header.prev, lamport);
            for id in &applying.met {
                space.pending.births.remove(id);
            }
            for birth in &applying.births {
                space.view.born(birth.id, born_of(birth), &mut delta);
            }
            for (id, head) in applying.heads {
                if applying.edited.contains(&id) {
                    space.view.edited(id, &head.clock, &mut delta);
                    space.view.extra(id, head.others.clone(), &mut delta);
                    let oid = Oid { space: *space_id, object: id };
                    let mut rendered = self.rendered.lock();
                    match applying.texts.remove(&id) {
                        Some((heads, text)) => rendered.put(oid, heads, text),
                        None => rendered.forget(&oid),
                    }
                    drop(rendered);
                    events.push(match applying.moved.contains(&id) {
                        true => Event::Content { oid, remote },
                        false => Event::Attr { oid, remote },
                    });
                }
                space.heads.insert(id, head);
            }
            for (room, id, mut door) in applying.doors {
                // What I did to it and did not seal yet stands on top.
                if let Some(gones) = space.pending.gones.get(&(room, id)) {
                    door.gone.extend(gones.iter().cloned());
                }
                space.view.door(room, id, door, &mut delta);
            }
        }
        {
            let mut state = self.state.write();
            if let Some(space) = state.space_mut(space_id) {
                for change in delta.changes.iter().filter_map(|c| c.after.as_ref()) {
                    space.unlinked.remove(&change.target.object);
                }
            }
        }
        self.tell_names(space_id, &delta, remote);
        self.emit(events);
    }

    // Where a friend made the same replacement as I did, the author of the later one takes it back.
    pub(crate) fn settle_doubles(&self, writer: &mut Writer, oid: &Oid) -> Result<()> {
        let actor = self.actor(oid);
        let mine: BTreeSet<Actor> = self.own.read().actors(oid, &self.device).collect();
        let writable = self.with_space(&oid.space, |s| Ok(s.writable()))?;
        if !writable {
            return Ok(());
        }
        let doc = self.doc(writer, oid)?;
        if let Some(made) = doc.take_back_doubles(&|a| mine.contains(a), &actor, clock::now_ms())? {
            self.keep_made(writer, oid, &made, Batch::new(), None)?;
        }
        Ok(())
    }
}

// What a document shows, in a word: rooms by their doors, which are told apart elsewhere.
fn shown_content(doc: &object::Doc) -> Hash {
    match doc.kind() {
        Type::Room => Hash::default(),
        Type::Text => Hash::of(&[doc.as_text().as_bytes()]),
        _ => Hash::of(&doc.versions().iter().map(|v| v.hash.as_ref()).collect::<Vec<&[u8]>>()),
    }
}

// Documents that have what the store has not are read again when they are next needed.
fn forget_docs(writer: &mut Writer, space: &SpaceId, objects: &[ObjectId]) {
    for object in objects {
        writer.docs.pop(&Oid { space: *space, object: *object });
    }
}

/// What is in an entry.
pub(crate) enum Opened {
    /// Births and changes.
    Body(Body),
    /// Something that a later version will know.
    Later,
    /// Nothing that counts; why.
    Bad(String),
}
