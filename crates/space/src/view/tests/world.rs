//! A small world of replicas: each makes operations as a node would, packs each into an entry, and gets the
//! others' entries late, in parts, in any order that keeps causes before effects.

use crate::view::{
    Born, BornKind, Changed, Clock, Delta, Door, DoorAt, DoorKind, Gone, How, Shown, Target, View, recompute,
};
use base::{Actor, DeviceId, DoorId, Hash, ObjectId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const ROOT: ObjectId = ObjectId([0; 16]);

#[derive(Clone, Debug)]
pub(super) enum Item {
    Born(ObjectId, Born),
    Add(ObjectId, DoorId, Door),
    Gone(ObjectId, DoorId, Gone),
    Edit(ObjectId, Actor, u64),
}

#[derive(Clone, Debug)]
struct Entry {
    author: usize,
    lamport: u64,
    deps: Vec<usize>,
    items: Vec<Item>,
}

pub(super) struct Replica {
    pub(super) view: View,
    have: Vec<usize>,
    lamport: u64,
    doors: BTreeMap<DoorAt, Door>,
    pub(super) clocks: BTreeMap<ObjectId, Clock>,
    /// What a cache that believes every delta would hold.
    cache: BTreeMap<(ObjectId, Arc<str>), Shown>,
}

pub(super) struct World {
    logs: Vec<Vec<Entry>>,
    pub(super) replicas: Vec<Replica>,
    drawn: u64,
}

pub(super) fn here(object: ObjectId) -> Target {
    Target { space: None, object }
}

fn device(n: usize) -> DeviceId {
    DeviceId([n as u8 + 1; 32])
}

impl World {
    pub(super) fn new(n: usize) -> World {
        let replica = |_| Replica {
            view: View::new(ROOT),
            have: vec![0; n],
            lamport: 0,
            doors: BTreeMap::new(),
            clocks: BTreeMap::new(),
            cache: BTreeMap::new(),
        };
        World { logs: vec![Vec::new(); n], replicas: (0..n).map(replica).collect(), drawn: 0 }
    }

    fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        base::id::first16(&Hash::of(&[&self.drawn.to_be_bytes()]))
    }

    fn add(
        &mut self,
        items: &mut Vec<Item>,
        room: ObjectId,
        name: &str,
        target: ObjectId,
        kind: DoorKind,
    ) -> DoorId {
        let id = DoorId(self.draw());
        let door =
            Door { name: name.into(), target: here(target), kind, at: Default::default(), gone: Vec::new() };
        items.push(Item::Add(room, id, door));
        id
    }

    /// Seals what replica `r` did into its next entry, and applies it there.
    pub(super) fn seal(&mut self, r: usize, mut items: Vec<Item>) {
        let lamport = self.replicas[r].lamport + 1;
        for item in &mut items {
            if let Item::Add(_, _, door) = item {
                door.at = (lamport, device(r));
            }
        }
        let entry = Entry { author: r, lamport, deps: self.replicas[r].have.clone(), items };
        self.logs[r].push(entry.clone());
        self.replicas[r].apply(&entry, false);
    }

    /// Gives `to` the next entries of `from`'s own log that it can take, at most `max`. Whether all are there now.
    pub(super) fn send(&mut self, from: usize, to: usize, max: usize) -> bool {
        for _ in 0..max {
            let Some(entry) = self.logs[from].get(self.replicas[to].have[from]).cloned() else { return true };
            let ready = entry.deps.iter().zip(&self.replicas[to].have).all(|(need, have)| need <= have);
            if !ready {
                return false;
            }
            self.replicas[to].apply(&entry, (to + entry.lamport as usize) % 2 == 1);
        }
        self.replicas[to].have[from] == self.logs[from].len()
    }

    /// Gives everybody everything.
    pub(super) fn meet(&mut self) {
        let n = self.replicas.len();
        loop {
            let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b);
            let all: Vec<bool> = pairs.map(|(from, to)| self.send(from, to, usize::MAX)).collect();
            if all.iter().all(|done| *done) {
                break;
            }
        }
        for replica in &self.replicas {
            assert_eq!(replica.view, self.replicas[0].view);
        }
    }

    pub(super) fn view(&self, r: usize) -> &View {
        &self.replicas[r].view
    }

    // Operations, on names of a room. They do what they can and say whether they did it.

    pub(super) fn create(&mut self, r: usize, room: ObjectId, name: &str, content: u8) -> Option<ObjectId> {
        if self.view(r).lookup(room, name).is_some() {
            return None;
        }
        let id = ObjectId(self.draw());
        let born = Born { kind: BornKind::File(0), content: Some(Hash([content; 32])) };
        let mut items = vec![Item::Born(id, born)];
        self.add(&mut items, room, name, id, DoorKind::Place);
        self.settle(r, &mut items, room);
        self.seal(r, items);
        Some(id)
    }

    pub(super) fn mkdir(&mut self, r: usize, room: ObjectId, name: &str) -> Option<ObjectId> {
        if self.view(r).lookup(room, name).is_some() {
            return None;
        }
        let n = self.view(r).next_room_n(room, name);
        let id = ObjectId::of_room(&room, name.as_bytes(), n);
        let mut items = vec![Item::Born(id, Born { kind: BornKind::Room, content: None })];
        self.add(&mut items, room, name, id, DoorKind::Place);
        self.settle(r, &mut items, room);
        self.seal(r, items);
        Some(id)
    }

    // Claims anew what would not outlast a change of names in this room.
    fn settle(&mut self, r: usize, items: &mut Vec<Item>, room: ObjectId) {
        for one in self.view(r).unsettled(room) {
            let moved: Vec<DoorAt> = items
                .iter()
                .filter_map(
                    |item| if let Item::Gone(room, door, _) = item { Some((*room, *door)) } else { None },
                )
                .collect();
            if one.doors.iter().any(|at| moved.contains(at)) {
                continue;
            }
            let name = String::from_utf8(one.name).unwrap();
            let door = self.add(items, one.parent, &name, one.room, DoorKind::Place);
            for old in one.doors {
                self.gone(r, items, old, Some((one.parent, door)));
            }
        }
    }

    fn seen(&self, r: usize, at: &DoorAt) -> Clock {
        let target = self.replicas[r].doors[at].target.object;
        self.replicas[r].clocks.get(&target).cloned().unwrap_or_default()
    }

    fn gone(&self, r: usize, items: &mut Vec<Item>, at: DoorAt, to: Option<DoorAt>) {
        let clock = self.seen(r, &at);
        items.push(Item::Gone(at.0, at.1, Gone { clock, to }));
    }

    fn removal(&self, r: usize, room: ObjectId, shown: &Shown) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        let mut doors: BTreeSet<DoorAt> = shown.doors.iter().map(|door| (room, *door)).collect();
        if is_dir(self.view(r), shown) {
            if self.view(r).list(shown.target.object).next().is_some() {
                return None;
            }
            doors.extend(self.view(r).claims(shown.target.object));
        }
        for at in doors {
            self.gone(r, &mut items, at, None);
        }
        Some(items)
    }

    /// `rm` of a file or link, `rmdir` of an empty room.
    pub(super) fn rm(&mut self, r: usize, room: ObjectId, name: &str) -> bool {
        let Some(shown) = self.view(r).lookup(room, name).cloned() else { return false };
        let Some(mut items) = self.removal(r, room, &shown) else { return false };
        self.settle(r, &mut items, room);
        self.seal(r, items);
        true
    }

    pub(super) fn rm_r(&mut self, r: usize, room: ObjectId, name: &str) {
        let Some(shown) = self.view(r).lookup(room, name).cloned() else { return };
        if is_dir(self.view(r), &shown) {
            let names: Vec<Arc<str>> =
                self.view(r).list(shown.target.object).map(|s| s.name.clone()).collect();
            for name in names {
                self.rm_r(r, shown.target.object, &name);
            }
        }
        self.rm(r, room, name);
    }

    pub(super) fn mv(&mut self, r: usize, room: ObjectId, name: &str, to: ObjectId, new: &str) -> bool {
        let Some(shown) = self.view(r).lookup(room, name).cloned() else { return false };
        let dir = is_dir(self.view(r), &shown);
        let mut at = Some(to);
        while let Some(above) = at {
            if dir && above == shown.target.object {
                return false;
            }
            at = self.view(r).place(above).map(|(parent, _)| parent);
        }
        let mut items = Vec::new();
        if let Some(there) = self.view(r).lookup(to, new).cloned() {
            if there.target == shown.target || is_dir(self.view(r), &there) != dir {
                return false;
            }
            let Some(removal) = self.removal(r, to, &there) else { return false };
            items.extend(removal);
        }
        let kind = if shown.how == How::Link { DoorKind::Link } else { DoorKind::Place };
        let door = self.add(&mut items, to, new, shown.target.object, kind);
        for old in shown.doors.iter() {
            self.gone(r, &mut items, (room, *old), Some((to, door)));
        }
        self.settle(r, &mut items, room);
        self.settle(r, &mut items, to);
        self.seal(r, items);
        if dir {
            assert_eq!(self.view(r).place(shown.target.object).map(|(parent, _)| parent), Some(to));
            for room in [room, to] {
                assert!(self.view(r).path(room).is_some());
            }
        }
        true
    }

    /// `ln` of a file; of a room, `ln -s`.
    pub(super) fn ln(&mut self, r: usize, room: ObjectId, name: &str, to: ObjectId, new: &str) -> bool {
        let Some(shown) = self.view(r).lookup(room, name).cloned() else { return false };
        if self.view(r).lookup(to, new).is_some() {
            return false;
        }
        let kind = if self.view(r).is_file(shown.target.object) { DoorKind::Place } else { DoorKind::Link };
        let mut items = Vec::new();
        self.add(&mut items, to, new, shown.target.object, kind);
        if shown.returned && kind == DoorKind::Place {
            let door = self.add(&mut items, room, name, shown.target.object, kind);
            for old in shown.doors.iter() {
                self.gone(r, &mut items, (room, *old), Some((room, door)));
            }
        }
        self.seal(r, items);
        true
    }

    pub(super) fn edit(&mut self, r: usize, object: ObjectId) {
        let actor = Actor([r as u8 + 1; 16]);
        let seq = self.replicas[r].clocks.get(&object).and_then(|c| c.get(&actor)).map_or(1, |n| n + 1);
        self.seal(r, vec![Item::Edit(object, actor, seq)]);
    }
}

pub(super) fn is_dir(view: &View, shown: &Shown) -> bool {
    shown.how == How::Place && view.is_room(shown.target.object)
}

impl Replica {
    fn apply(&mut self, entry: &Entry, backwards: bool) {
        assert_eq!(self.have[entry.author], entry.deps[entry.author]);
        self.have[entry.author] += 1;
        self.lamport = self.lamport.max(entry.lamport);
        let mut out = Delta::default();
        // What is in one entry may reach the view in any order.
        let mut items = entry.items.clone();
        if backwards {
            items.reverse();
        }
        for item in &items {
            if let Item::Add(room, id, door) = item {
                self.doors.insert((*room, *id), door.clone());
            }
        }
        for item in items {
            match item {
                Item::Born(id, born) => self.view.born(id, born, &mut out),
                Item::Add(room, id, _) => self.view.door(room, id, self.doors[&(room, id)].clone(), &mut out),
                Item::Gone(room, id, gone) => {
                    let door = self.doors.get_mut(&(room, id)).unwrap();
                    door.gone.push(gone);
                    self.view.door(room, id, door.clone(), &mut out);
                }
                Item::Edit(object, actor, seq) => {
                    let clock = self.clocks.entry(object).or_default();
                    clock.insert(actor, seq.max(clock.get(&actor).copied().unwrap_or(0)));
                    self.view.edited(object, clock, &mut out);
                }
            }
        }
        believe(&mut self.cache, out);
        check(&self.view, &self.cache);
        // Whoever makes something makes a door to it.
        assert_eq!(self.view.lost(), []);
    }
}

/// Does to a cache what a delta says, and holds the delta to what the cache had.
pub(super) fn believe(cache: &mut BTreeMap<(ObjectId, Arc<str>), Shown>, out: Delta) {
    for Changed { room, name, before, after } in out.changes {
        assert_ne!(before, after);
        let key = (room, name);
        assert_eq!(cache.get(&key), before.as_ref());
        match after {
            Some(shown) => cache.insert(key, shown),
            None => cache.remove(&key),
        };
    }
}

/// What must hold of every view at every moment.
pub(super) fn check(view: &View, cache: &BTreeMap<(ObjectId, Arc<str>), Shown>) {
    assert_eq!(*view, recompute(&view.facts()));
    let mut shown: BTreeMap<(ObjectId, Arc<str>), Shown> = BTreeMap::new();
    for room in view.facts().doors.keys().map(|(room, _)| *room).collect::<BTreeSet<_>>() {
        for one in view.list(room) {
            assert!(base::name::is_valid(one.name.as_bytes()), "{}", one.name);
            shown.insert((room, one.name.clone()), one.clone());
        }
    }
    assert_eq!(&shown, cache);
    let (rooms, files) = reach(view);
    let lost = reach_lost(view);
    let facts = view.facts();
    for (id, born) in &facts.births {
        let there = if born.kind == BornKind::Room { &rooms } else { &files };
        let live = is_live(view, *id);
        let found = there.contains(id) || lost.contains(id) || is_twin(view, *id);
        assert!(!live || found, "{id:?} is live and nowhere");
        assert!(live || !(there.contains(id)), "{id:?} is dead and somewhere");
        if there.contains(id) {
            assert!(view.path(*id).is_some());
        }
    }
}

// Said again in the words of the model, from the facts alone.
fn is_live(view: &View, id: ObjectId) -> bool {
    let facts = view.facts();
    if id == ROOT {
        return true;
    }
    let here = |at: &DoorAt| view.is_room(at.0) && facts.doors.contains_key(at);
    let void = |d: &Door| d.gone.iter().any(|g| g.to.is_none_or(|to| here(&to)));
    let doors: Vec<(&DoorAt, &Door)> =
        facts.doors.iter().filter(|(_, d)| d.target == self::here(id)).collect();
    if facts.births[&id].kind == BornKind::Room {
        let claimed = doors.iter().any(|(at, d)| here(at) && !void(d) && d.kind == DoorKind::Place);
        return claimed || view.list(id).next().is_some();
    }
    if doors.iter().any(|(at, d)| here(at) && !void(d)) {
        return true;
    }
    let none = Clock::new();
    let edits = facts
        .clocks
        .get(&id)
        .unwrap_or(&none)
        .iter()
        .flat_map(|(actor, n)| (1..=*n).map(move |n| (*actor, n)));
    let seen = |(actor, n): (Actor, u64)| {
        doors.iter().flat_map(|(_, d)| &d.gone).any(|g| g.clock.get(&actor).is_some_and(|known| *known >= n))
    };
    let any_door = doors.iter().any(|(at, _)| here(at));
    any_door && edits.into_iter().any(|edit| !seen(edit))
}

// Shown once together with its equal.
fn is_twin(view: &View, id: ObjectId) -> bool {
    view.doors_of(id).into_iter().any(|(room, door)| view.shown_of(room, door).unwrap().target != here(id))
}

/// The rooms and files that can be walked to from the root. Fails where a room is at two places.
pub(super) fn reach(view: &View) -> (BTreeSet<ObjectId>, BTreeSet<ObjectId>) {
    reach_from(view, vec![view.root()])
}

fn reach_lost(view: &View) -> BTreeSet<ObjectId> {
    let (mut rooms, files) =
        reach_from(view, view.lost().into_iter().filter(|id| view.is_room(*id)).collect());
    rooms.extend(files);
    rooms.extend(view.lost());
    rooms
}

fn reach_from(view: &View, starts: Vec<ObjectId>) -> (BTreeSet<ObjectId>, BTreeSet<ObjectId>) {
    let (mut rooms, mut files): (BTreeSet<ObjectId>, BTreeSet<ObjectId>) = Default::default();
    let mut queue = starts;
    while let Some(room) = queue.pop() {
        assert!(rooms.insert(room), "{room:?} is at two places");
        for shown in view.list(room) {
            if is_dir(view, shown) {
                queue.push(shown.target.object);
            } else if shown.how == How::Place {
                files.insert(shown.target.object);
            }
        }
    }
    (rooms, files)
}

/// The tree as lines: `path`, `path/` for rooms, `path@` for links, `path!` for what returned.
pub(super) fn tree(view: &View) -> Vec<String> {
    fn walk(view: &View, room: ObjectId, above: &str, out: &mut Vec<String>) {
        for shown in view.list(room) {
            let path = format!("{above}{}", shown.name);
            let returned = if shown.returned { "!" } else { "" };
            if is_dir(view, shown) {
                out.push(format!("{path}/{returned}"));
                walk(view, shown.target.object, &format!("{path}/"), out);
            } else {
                out.push(format!("{path}{}{returned}", if shown.how == How::Link { "@" } else { "" }));
            }
        }
    }
    let mut out = Vec::new();
    walk(view, view.root(), "", &mut out);
    out
}
