//! Opening a node: making its identity at the first time, and reading the store into memory.

use crate::core::{Core, Writer, read_me};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::head::Head;
use crate::home::{Home, Keys, random_bytes};
use crate::incarnation::Own;
use crate::listings::Listings;
use crate::logs::Logs;
use crate::record::{
    self, HeadRecord, LogRecord, Me, PeerRecord, PendingBirth, PendingChange, PendingDoor, PendingGones,
    SpaceRecord,
};
use crate::rendered::Rendered;
use crate::state::{Newborn, Pending, PendingAdd, Space, State};
use crate::steps::{born_of, door_of, gone_of, newborn_head};
use base::{
    DoorId, Entry, EntryKind, Hash, Incarnation, Kind, LogId, ObjectId, PersonId, Run, SpaceTag, limit,
};
use crossbeam_channel::Receiver;
use parking_lot::{Condvar, Mutex, RwLock};
use space::member::{Membership, People, SpaceKind};
use space::view::{Delta, View};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use store::{Batch, Store};

/// How long edits that nobody waits for gather before the disk is asked to make them durable.
const GROUP_COMMIT: std::time::Duration = std::time::Duration::from_millis(40);

/// Bulk files whose first chunks are kept until the rest is cut.
const AHEAD: std::num::NonZeroUsize = std::num::NonZeroUsize::new(16).unwrap();
/// Blobs whose layout is kept for readers.
const LAYOUTS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(64).unwrap();

/// A core, and what wakes its sealing thread.
pub(crate) type OpenedCore = (Core, Receiver<()>);

impl Core {
    /// Opens a home, making the identity at the first time; refuses if another process runs it.
    pub(crate) fn open(dir: &Path, name: Option<&str>) -> Result<OpenedCore> {
        let home = Home::open(dir)?;
        let opened =
            Store::open(&home.store(), store::Options { group_commit: GROUP_COMMIT, ..Default::default() })?;
        let keys = home.keys()?;
        let me = match read_me(&opened.store)? {
            Some(me) => me,
            None => make_identity(&opened.store, &keys, name)?,
        };
        let (core, woken) = Core::with_store(opened.store, keys, me)?;
        core.settle_in(&home)?;
        Ok((core, woken))
    }

    /// Reads a store into memory.
    pub(crate) fn with_store(store: Store, keys: Keys, me: Me) -> Result<OpenedCore> {
        let run = Run(random_bytes()?);
        let own = Own::begin_run(&store, &run, me.incarnation)?;
        let (wake, woken) = crossbeam_channel::bounded(1);
        let device = keys.device.id();
        let core = Core {
            keys,
            device,
            run,
            own: RwLock::new(own),
            store,
            state: RwLock::new(State {
                spaces: BTreeMap::new(),
                people: People::new(),
                statements: BTreeMap::new(),
                peers: BTreeMap::new(),
                home: me.home.tag(),
                problems: BTreeSet::new(),
                notes: BTreeSet::new(),
                overlaps: BTreeSet::new(),
            }),
            me,
            log: Mutex::default(),
            writer: Mutex::new(Writer::new()),
            rendered: Mutex::new(Rendered::new()),
            forgotten: Mutex::default(),
            sharing: Mutex::default(),
            dtn: crate::dtn::Dtn::default(),
            telling: Mutex::default(),
            friends: Mutex::default(),
            events: Events::default(),
            listings: Listings::default(),
            sealer: wake,
            link: RwLock::new(None),
            stopping: AtomicBool::new(false),
            garbage: Mutex::default(),
            // The first look is at what the last run left.
            replaced: limit::SUPERSEDED_BYTES.into(),
            linked: Default::default(),
            fetching: Default::default(),
            partial: RwLock::default(),
            layouts: Mutex::new(lru::LruCache::new(LAYOUTS)),
            early: Mutex::default(),
            holes: Mutex::default(),
            links: Mutex::default(),
            traffic: crate::traffic::Traffic::default(),
            brought: Mutex::default(),
            net: RwLock::new(None),
            arrivals: (Mutex::new(0), Condvar::new()),
            moved: crate::moved::Moved::new(),
            reads: Mutex::default(),
            cutting: crossbeam_channel::unbounded(),
            ahead: Mutex::new(lru::LruCache::new(AHEAD)),
        };
        // A rebuild that was interrupted begins again: half an index is worse than none.
        if core.store.contains(&record::node_key("rebuild", b""))? {
            crate::check::delete_derived(&core.store)?;
        }
        core.write().replaying = true;
        core.load()?;
        core.write().replaying = false;
        core.load_holes()?;
        core.load_early()?;
        let mut batch = Batch::new();
        batch.remove(record::node_key("rebuild", b""));
        core.store.apply(batch)?;
        Ok((core, woken))
    }

    /// Reads everything that is in the store; what is derived and missing is built again from the entries.
    pub(crate) fn load(&self) -> Result<()> {
        self.load_people()?;
        for found in self.store.range(&record::node_key("peer", b"")) {
            let (key, value) = found?;
            let name = String::from_utf8_lossy(&key[record::node_key("peer", b"").len()..]).into_owned();
            let peer: PeerRecord = record::from_bytes(&value, "peer record")?;
            self.state.write().peers.insert(name, peer);
        }
        let mut records = Vec::new();
        for found in self.store.range(&record::node_key("space", b"")) {
            let (_, value) = found?;
            records.push(record::from_bytes::<SpaceRecord>(&value, "space record")?);
        }
        for space in records {
            self.load_space(space)?;
        }
        let used = self.used_bulk()?;
        self.store.bulk().retain(&|name| used.contains(name))?;
        Ok(())
    }

    fn load_people(&self) -> Result<()> {
        let mut persons = Vec::new();
        for found in self.store.range(&record::node_key("person", b"")) {
            let (key, _) = found?;
            persons.push(PersonId::from_slice(&key[key.len() - PersonId::LEN..])?);
        }
        for person in persons {
            let tag = person.space().tag();
            let mut entries = self.all_entries(&tag)?;
            entries.sort_by_key(|e| (e.header().lamport, e.hash()));
            let mut state = self.state.write();
            state.statements.insert(tag, (person, Logs::default()));
            for entry in &entries {
                // Nothing that was once stored may keep the node from starting.
                if let Err(e) = state.people.insert(entry) {
                    state.problems.insert(format!("a stored statement does not count: {e}"));
                }
                crate::seal::note_statement(&mut state, &tag, entry);
            }
        }
        Ok(())
    }

    /// Reads one space into memory.
    pub(crate) fn load_space(&self, space: SpaceRecord) -> Result<()> {
        let tag = space.id.tag();
        let mut logs = self.load_logs(&tag)?;
        let rebuild = logs.tips.is_empty();
        let clear = self.clear_entries(&tag, rebuild)?;
        let genesis = clear.iter().find(|e| e.header().is_genesis() && e.hash().0 == space.id.0);
        let Some(genesis) = genesis else {
            return Err(Error::refused(
                Kind::Corrupt,
                format!("space {} has lost its first entry", space.id),
            ));
        };
        let mut membership = Membership::new(genesis)?;
        let offered = self.offered_operations(&space.id)?;
        {
            let mut state = self.state.write();
            for entry in clear.iter().chain(&offered) {
                if let Err(e) = membership.insert(entry, &state.people) {
                    state.problems.insert(format!("a stored operation does not count: {e}"));
                }
            }
            membership.settle(&state.people);
        }
        if rebuild {
            logs = Logs::default();
        }
        let mut held = Space {
            id: space.id,
            tag,
            name: space.name,
            is_home: space.home,
            placing: space.unplaced,
            view: match space.home {
                true => View::new(space.id.root()),
                false => View::guarding(space.id.root(), base::name::REPOSITORY),
            },
            heads: HashMap::new(),
            membership,
            epochs: BTreeMap::new(),
            logs,
            pending: Pending::default(),
            role: None,
            waiting: BTreeMap::new(),
            later: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            since: crate::clock::now_ns(),
        };
        self.read_membership(&mut held);
        self.load_view(&mut held)?;
        self.load_local(&mut held)?;
        // The numbers of the journal are taken before anything else can take them.
        for found in self.store.range(&record::pending_of(b'c', &tag)) {
            let (key, _) = found?;
            let n =
                u64::from_be_bytes(key[key.len() - 8..].try_into().map_err(|_| crate::core::no_object())?);
            let mut writer = self.write();
            writer.next_change = writer.next_change.max(n + 1);
        }
        self.state.write().spaces.insert(tag, held);
        self.listings.all_changed();
        if rebuild {
            self.replay(&tag)?;
        } else {
            self.apply_stored(&tag)?;
        }
        self.load_pending(&tag)
    }

    fn load_logs(&self, tag: &SpaceTag) -> Result<Logs> {
        let mut logs = Logs::default();
        for found in self.store.range(&record::logs_of(tag)) {
            let (key, value) = found?;
            let log = LogId::from_slice(&key[key.len() - LogId::LEN..])?;
            let mut known = record::from_bytes::<LogRecord>(&value, "log record")?;
            if known.sum.is_none() {
                known = self.recount(tag, &log, known)?;
            }
            logs.load(log, known);
        }
        Ok(logs)
    }

    // Membership operations: by their index, or from all entries where there is none.
    fn clear_entries(&self, tag: &SpaceTag, all: bool) -> Result<Vec<Entry>> {
        if all {
            let mut entries = self.all_entries(tag)?;
            entries.retain(|e| e.header().kind == EntryKind::Membership);
            return Ok(entries);
        }
        let mut entries = Vec::new();
        for found in self.store.range(&record::clear_of(tag)) {
            let (key, _) = found?;
            let hash = Hash::from_slice(&key[key.len() - Hash::LEN..])?;
            entries.extend(self.read_entry(&hash)?);
        }
        Ok(entries)
    }

    /// Every entry of a space, by log and number.
    pub(crate) fn all_entries(&self, tag: &SpaceTag) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in self.store.range(&record::entries_of(tag)) {
            entries.push(Entry::decode(found?.1)?);
        }
        Ok(entries)
    }

    fn load_view(&self, space: &mut Space) -> Result<()> {
        let mut delta = Delta::default();
        for found in self.store.range(&record::heads_of(&space.tag)) {
            let (key, value) = found?;
            let id = ObjectId::from_slice(&key[key.len() - ObjectId::LEN..])?;
            let head = Head::from_record(record::from_bytes::<HeadRecord>(&value, "head")?);
            space.view.born(id, head.born(), &mut delta);
            if head.edited {
                space.view.edited(id, &head.clock, &mut delta);
                space.view.extra(id, head.others.clone(), &mut delta);
            }
            space.heads.insert(id, head);
            delta.changes.clear();
        }
        for found in self.store.range(&record::doors_of(&space.tag)) {
            let (key, value) = found?;
            let (room, door) = door_ids(&key)?;
            space.view.door(room, door, door_of(record::from_bytes(&value, "door")?), &mut delta);
            delta.changes.clear();
        }
        Ok(())
    }

    // What was made and not sealed when the node last stopped: it shows, and is sealed first.
    fn load_pending(&self, tag: &SpaceTag) -> Result<()> {
        let mut delta = Delta::default();
        let mut unsealed: BTreeMap<ObjectId, Vec<Vec<u8>>> = BTreeMap::new();
        let births: Vec<_> = self.store.range(&record::pending_of(b'b', tag)).collect::<Result<_, _>>()?;
        let doors: Vec<_> = self.store.range(&record::pending_of(b'd', tag)).collect::<Result<_, _>>()?;
        let gones: Vec<_> = self.store.range(&record::pending_of(b'g', tag)).collect::<Result<_, _>>()?;
        let changes: Vec<_> = self.store.range(&record::pending_of(b'c', tag)).collect::<Result<_, _>>()?;
        let mut writer = self.write();
        let mut state = self.state.write();
        let Some(space) = state.spaces.get_mut(tag) else { return Ok(()) };
        for (_, value) in births {
            let pending: PendingBirth = record::from_bytes(&value, "pending birth")?;
            let mut birth = object::Birth::from_bytes(&pending.birth)?;
            birth.meta = pending.room.unwrap_or(birth.meta);
            let newborn =
                Newborn { birth, bulk: pending.bulk, local: pending.local, open: false, stored: true };
            let id = newborn.birth.id;
            let mut head = newborn_head(&newborn, self.device);
            let oid = base::Oid { space: space.id, object: id };
            if let Some(local) = self.stored_local(&oid)? {
                head.set_local(local);
            }
            // One that was edited already has a head in the index.
            if !space.heads.contains_key(&id) {
                space.view.born(id, born_of(&newborn.birth), &mut delta);
                space.heads.insert(id, head);
            }
            space.pending.births.insert(id, newborn);
        }
        for (key, value) in doors {
            let (room, id) = door_ids(&key)?;
            let pending: PendingDoor = record::from_bytes(&value, "pending door")?;
            match pending.local {
                true => space.view.own_door(room, id, door_of(pending.door), &mut delta),
                false => space.view.door(room, id, door_of(pending.door), &mut delta),
            }
            space.pending.doors.insert((room, id), PendingAdd { local: pending.local });
        }
        for (key, value) in gones {
            let (room, id) = door_ids(&key)?;
            let pending: PendingGones = record::from_bytes(&value, "pending removal")?;
            let gones: Vec<_> = pending.gones.into_iter().map(gone_of).collect();
            if let Some(mut door) = space.view.door_state(room, id).cloned() {
                door.gone.extend(gones.iter().cloned());
                space.view.door(room, id, door, &mut delta);
            }
            space.pending.gones.insert((room, id), gones);
        }
        for (key, value) in changes {
            let n =
                u64::from_be_bytes(key[key.len() - 8..].try_into().map_err(|_| crate::core::no_object())?);
            let change: PendingChange = record::from_bytes(&value, "pending change")?;
            space.pending.changes.insert(n, change.object);
            unsealed.entry(change.object).or_default().push(change.bytes);
            writer.next_change = writer.next_change.max(n + 1);
        }
        let doors = !space.pending.doors.is_empty() || !space.pending.gones.is_empty();
        let newborn = space.pending.births.values().any(|n| !n.local);
        if doors || newborn || !unsealed.is_empty() {
            space.pending.since = Some(Instant::now());
        }
        let id = space.id;
        drop(state);
        for (object, changes) in unsealed {
            self.apply_unsealed(&mut writer, &base::Oid { space: id, object }, &changes)?;
        }
        Ok(())
    }

    // The image has them already, unless it was just made again from the entries alone.
    fn apply_unsealed(&self, writer: &mut Writer, oid: &base::Oid, changes: &[Vec<u8>]) -> Result<()> {
        let tag = oid.space.tag();
        let doc = self.doc(writer, oid)?;
        if !doc.apply(changes, &|_| true)?.changed {
            return Ok(());
        }
        let head = self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).cloned()))?;
        let mut head =
            head.unwrap_or_else(|| Head::new(object::Type::Room, self.device, crate::clock::now_ns()));
        let mut batch = Batch::new();
        crate::documents::put_changes(&mut batch, &tag, &oid.object, &mut head, doc, changes);
        batch.put(record::head_key(&tag, &oid.object), record::to_bytes(&head.to_record()));
        self.store.apply(batch)?;
        let mut state = self.state.write();
        if let Some(space) = state.space_mut(&oid.space) {
            let mut delta = Delta::default();
            space.view.edited(oid.object, &head.clock, &mut delta);
            space.view.extra(oid.object, head.others.clone(), &mut delta);
            space.heads.insert(oid.object, head);
        }
        Ok(())
    }

    // Entries that were stored and not applied: what they wait for may be here.
    fn apply_stored(&self, tag: &SpaceTag) -> Result<()> {
        let mut entries = Vec::new();
        for found in self.store.range(&record::waiting_of(tag)) {
            let (key, _) = found?;
            entries.extend(self.read_entry(&Hash::from_slice(&key[key.len() - Hash::LEN..])?)?);
        }
        self.replay_entries(entries)
    }

    // Builds everything derived again from all entries.
    fn replay(&self, tag: &SpaceTag) -> Result<()> {
        let mut entries = self.all_entries(tag)?;
        let mut batch = Batch::new();
        {
            let mut state = self.state.write();
            for entry in entries.iter().filter(|e| e.header().kind != EntryKind::Content) {
                if let Some(space) = state.spaces.get_mut(tag) {
                    let header = entry.header();
                    space.logs.store(header.log, header.seq, entry.hash(), header.prev, true);
                    space.logs.apply(header.log, header.seq, entry.hash(), header.prev, header.lamport);
                }
            }
        }
        for entry in entries.iter().filter(|e| e.header().kind != EntryKind::Content) {
            self.put_entry(&mut batch, entry, tag, true, entry.header().lamport);
        }
        self.store.apply(batch)?;
        entries.retain(|e| e.header().kind == EntryKind::Content);
        self.replay_entries(entries)
    }

    fn replay_entries(&self, mut entries: Vec<Entry>) -> Result<()> {
        entries.sort_by_key(|e| (e.header().lamport, e.hash()));
        for entry in entries {
            match self.take_entry(&entry, true) {
                Ok(crate::intake::Took::Refused(why)) => {
                    self.problem(format!("a stored entry ({}) does not count: {why}", entry.hash()));
                }
                Ok(_) => {}
                Err(Error::Store(e)) => return Err(e.into()),
                Err(e) => self.problem(format!("a stored entry ({}) is left out: {e}", entry.hash())),
            }
        }
        Ok(())
    }

    /// The bulk files that a record names.
    pub(crate) fn used_bulk(&self) -> Result<BTreeSet<[u8; 16]>> {
        let mut used = BTreeSet::new();
        for found in self.store.range(b"b") {
            used.insert(record::from_bytes::<record::BlobRecord>(&found?.1, "blob record")?.bulk.name);
        }
        for found in self.store.range(b"pb") {
            used.extend(record::from_bytes::<PendingBirth>(&found?.1, "pending birth")?.bulk.map(|b| b.name));
        }
        Ok(used)
    }

    /// Notes a space in the store and in memory: its record, and the entries it begins with.
    pub(crate) fn adopt_space(&self, space: SpaceRecord, entries: &[Entry], mut batch: Batch) -> Result<()> {
        let tag = space.id.tag();
        batch.put(record::node_key("space", &tag.0), record::to_bytes(&space));
        let mut logs = Logs::default();
        for entry in entries {
            put_clear(&mut batch, &mut logs, entry, &tag);
        }
        self.store.apply(batch)?;
        self.store.sync()?;
        self.load_space(space)
    }
}

/// Adds an entry in clear, applied, to a batch, before there is a space in memory to hold it.
pub(crate) fn put_clear(batch: &mut Batch, logs: &mut Logs, entry: &Entry, tag: &SpaceTag) {
    let header = entry.header();
    let hash = entry.hash();
    logs.store(header.log, header.seq, hash, header.prev, true);
    logs.apply(header.log, header.seq, hash, header.prev, header.lamport);
    batch.put(record::entry_key(tag, &header.log, header.seq, &hash), entry.bytes().to_vec());
    let at = record::EntryRecord {
        tag: *tag,
        log: header.log,
        seq: header.seq,
        lamport: header.lamport,
        applied: true,
    };
    batch.put(record::hash_key(&hash), record::to_bytes(&at));
    batch.put(record::clear_key(tag, &hash), Vec::new());
    batch.put(record::log_key(tag, &header.log), record::to_bytes(&logs.record(&header.log)));
}

/// Puts a person's statements into a batch, so that they are known at the next opening.
pub(crate) fn put_person(batch: &mut Batch, person: &PersonId, entries: &[Entry]) {
    let tag = person.space().tag();
    let mut logs = Logs::default();
    for entry in entries {
        put_clear(batch, &mut logs, entry, &tag);
    }
    batch.put(record::node_key("person", &person.0), Vec::new());
}

fn door_ids(key: &[u8]) -> Result<(ObjectId, DoorId)> {
    let at = key.len() - ObjectId::LEN - DoorId::LEN;
    let (room, door) = key[at..].split_at(ObjectId::LEN);
    Ok((ObjectId::from_slice(room)?, DoorId::from_slice(door)?))
}

// A new person with this device, and their home. All of it is durable before it is used.
fn make_identity(store: &Store, keys: &Keys, name: Option<&str>) -> Result<Me> {
    let incarnation = Incarnation(random_bytes()?);
    let run = Run(random_bytes()?);
    let statements = space::member::first_person(
        &keys.root,
        &keys.device,
        &keys.seal.public(),
        incarnation,
        run,
        random_bytes()?,
    )?;
    let person = PersonId(statements[0].hash().0);
    let mut people = People::new();
    for entry in &statements {
        people.insert(entry)?;
    }
    let known = people.get(&person).ok_or_else(crate::core::no_object)?;
    let made = space::member::create_space(
        &keys.device,
        known,
        SpaceKind::Home,
        incarnation,
        run,
        &random_bytes()?,
    )?;
    let me = Me {
        person,
        incarnation,
        home: made.id,
        name: name.map(str::to_owned).unwrap_or_else(default_name),
        listen: Vec::new(),
    };
    let home = SpaceRecord { id: made.id, name: "home".into(), home: true, unplaced: None };
    let mut batch = Batch::new();
    let mut logs = Logs::default();
    put_person(&mut batch, &person, &statements);
    for entry in &made.entries {
        put_clear(&mut batch, &mut logs, entry, &made.id.tag());
    }
    batch.put(record::node_key("space", &made.id.tag().0), record::to_bytes(&home));
    batch.put(record::node_key("me", b""), record::to_bytes(&me));
    store.apply(batch)?;
    store.sync()?;
    Ok(me)
}

fn default_name() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    user.ok().filter(|u| base::name::is_valid(u.as_bytes())).unwrap_or_else(|| "me".into())
}
