//! The same answers from everything at once. Slow, simple, and free of the bookkeeping that could be wrong: tests
//! hold the view against it, and a check of the store can.

use super::door::{Clock, Door, DoorAt};
use super::shown::{Born, How, Shown};
use super::{Group, Held, Mode, Object, View, door, grouping, placing};
use base::{Hash, ObjectId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a view was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The root room.
    pub root: ObjectId,
    /// The births that are here.
    pub births: BTreeMap<ObjectId, Born>,
    /// The clocks of edited objects.
    pub clocks: BTreeMap<ObjectId, Clock>,
    /// The versions besides the newest.
    pub versions: BTreeMap<ObjectId, Vec<Hash>>,
    /// All doors.
    pub doors: BTreeMap<DoorAt, Door>,
}

impl View {
    /// What this view was told.
    pub fn facts(&self) -> Facts {
        let objects = || self.objects.iter();
        let doors = self
            .rooms
            .iter()
            .flat_map(|(room, r)| r.doors.iter().map(|(id, h)| ((*room, *id), h.door.clone())));
        Facts {
            root: self.root,
            births: objects().filter_map(|(id, o)| Some((*id, o.born?))).collect(),
            clocks: objects().map(|(id, o)| (*id, o.clock.clone())).filter(|(_, c)| !c.is_empty()).collect(),
            versions: objects()
                .map(|(id, o)| (*id, o.versions.clone()))
                .filter(|(_, v)| !v.is_empty())
                .collect(),
            doors: doors.collect(),
        }
    }
}

/// The view of these facts.
pub fn recompute(facts: &Facts) -> View {
    let mut view = told(facts);
    let mut claims = Vec::new();
    for at in facts.doors.keys().filter(|at| view.is_claim(at)) {
        let (Some(age), Some(target)) = (view.age(at), door::here(&facts.doors[at].target)) else { continue };
        claims.push(placing::Claim { age, at: *at, target, void: view.is_void(at) });
    }
    (view.places, view.tangled) = placing::place_all(facts.root, claims);
    // What shows decides which rooms are kept, and that what shows; the tree is as deep as the rounds are many.
    loop {
        let modes: Vec<(DoorAt, Option<Mode>)> =
            facts.doors.iter().map(|(at, door)| (*at, mode(&view, facts, at, door))).collect();
        let mut changed = false;
        for (at, mode) in modes {
            let Some(held) = view.rooms.get_mut(&at.0).and_then(|room| room.doors.get_mut(&at.1)) else {
                continue;
            };
            changed |= held.mode != mode;
            held.mode = mode;
        }
        for room in view.rooms.values_mut() {
            room.showing = room.doors.values().filter(|held| held.mode.is_some()).count();
        }
        if !changed {
            break;
        }
    }
    let rooms: Vec<ObjectId> = view.rooms.keys().copied().collect();
    for room in rooms {
        name_all(&mut view, room);
    }
    view
}

fn told(facts: &Facts) -> View {
    let mut view = View::new(facts.root);
    let object =
        |view: &mut View, id: ObjectId, set: &dyn Fn(&mut Object)| set(view.objects.entry(id).or_default());
    for (id, born) in &facts.births {
        object(&mut view, *id, &|o| o.born = Some(*born));
    }
    for (id, clock) in &facts.clocks {
        object(&mut view, *id, &|o| o.clock = clock.clone());
    }
    for (id, versions) in &facts.versions {
        object(&mut view, *id, &|o| o.versions = versions.clone());
    }
    for (at, door) in &facts.doors {
        object(&mut view, door::object_of(&door.target), &|o| o.add_door(*at));
        let held = Held { label: grouping::label(door, None), door: door.clone(), mode: None };
        view.rooms.entry(at.0).or_default().doors.insert(at.1, held);
        for to in door.gone.iter().filter_map(|gone| gone.to) {
            view.moved.entry(to).or_default().insert(*at);
        }
    }
    view
}

// Rules 1 to 4 for one door.
fn mode(view: &View, facts: &Facts, at: &DoorAt, door: &Door) -> Option<Mode> {
    if !view.is_room(at.0) {
        return None;
    }
    let void = view.is_void(at);
    let Some(target) = door::here(&door.target) else {
        return (!void).then_some(Mode { how: How::Elsewhere, returned: false });
    };
    if view.is_room(target) {
        if view.places.get(&target) == Some(at) {
            return view.is_kept(target).then_some(Mode { how: How::Place, returned: void });
        }
        return (!void).then_some(Mode { how: How::Link, returned: false });
    }
    facts.births.get(&target)?;
    let all = || facts.doors.iter().filter(|(_, d)| door::here(&d.target) == Some(target));
    if !void {
        return Some(Mode { how: How::Place, returned: false });
    }
    let latest =
        all().filter(|(at, _)| view.is_room(at.0)).max_by_key(|(at, _)| view.age(at)).map(|(at, _)| at);
    let some_open = all().any(|(at, _)| view.is_room(at.0) && !view.is_void(at));
    if some_open || latest != Some(at) {
        return None;
    }
    // Every removal together: the greatest number anyone had seen of each actor.
    let mut seen = Clock::new();
    for gone in all().flat_map(|(_, d)| &d.gone) {
        for (actor, seq) in &gone.clock {
            let known = seen.entry(*actor).or_default();
            *known = (*known).max(*seq);
        }
    }
    let clock = facts.clocks.get(&target)?;
    let unseen = clock.iter().any(|(actor, seq)| seen.get(actor).is_none_or(|known| known < seq));
    unseen.then_some(Mode { how: How::Place, returned: true })
}

// Rule 5 for one room.
fn name_all(view: &mut View, id: ObjectId) {
    let Some(mut room) = view.rooms.remove(&id) else { return };
    for (door, held) in room.doors.iter().filter(|(_, held)| held.mode.is_some()) {
        room.groups.entry(held.label.clone()).or_insert_with(Group::default).doors.push(*door);
    }
    let named: Vec<(Arc<str>, Vec<Shown>)> = room
        .groups
        .iter()
        .map(|(label, group)| (label.clone(), view.names(id, &room, label, &group.doors)))
        .collect();
    for (label, names) in named {
        if names.len() > 1 {
            room.crowded.insert(label.clone());
        }
        if let Some(group) = room.groups.get_mut(&label) {
            group.names = names.iter().map(|shown| shown.name.clone()).collect();
        }
        room.shown.extend(names.into_iter().map(|shown| (shown.name.clone(), shown)));
    }
    let rooms = room.shown.values().filter(|shown| view.is_directory(shown));
    room.rooms = rooms.map(|shown| shown.name.clone()).collect();
    view.rooms.insert(id, room);
}
