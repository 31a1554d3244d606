//! What a face repeats through itself so that who watches it hears of a friend's change.
//!
//! A change that comes from elsewhere raises no events in the kernel. The face therefore does it once more, by
//! ordinary calls on itself, which are answered from here without effect: until its replay a change is to the
//! replaying thread as if it had not been, and afterwards the kernel believes what is so. Whatever raises an event
//! is compared with the truth before it is answered; what is no longer so fails, and nobody hears of it.

use crate::error::Result;
use crate::inode::{Key, ROOT};
use crate::pending::{Due, Pending, Place, Touch};
use crate::tree::{Sort, Stat, Tree};
use crate::watch::{Heard, News};
use base::Oid;
use node::{Target, What};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Numbers for things that are gone, lent from the replay's look at them to their removal: above the control
/// files', below all objects'.
const GHOSTS: std::ops::Range<u64> = 1 << 15..1 << 16;
/// Rooms one inside the other that a path may lead through.
const DEPTH: usize = 512;

/// A name in a room, for the calls of a face on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The room's number.
    pub parent: u64,
    /// The room's path from the root, as whoever watches believes it; empty for the root.
    pub path: String,
    /// The name; `.` for the room itself.
    pub name: String,
}

/// What is to be done once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the name.
    Appear {
        /// Where.
        at: Spot,
        /// What.
        sort: Sort,
        /// Whether there are bytes in it.
        filled: bool,
    },
    /// Remove the name.
    Vanish {
        /// Where.
        at: Spot,
        /// What.
        sort: Sort,
    },
    /// Rename.
    Move {
        /// The name it had.
        from: Spot,
        /// The name it has.
        to: Spot,
    },
    /// Write the file, without changing it.
    Modify {
        /// Where.
        at: Spot,
    },
    /// Set the times they have.
    Attrib {
        /// Where.
        at: Spot,
    },
}

/// One replay: what to do, and what the answers to it are made of.
#[derive(Debug)]
pub struct Replay {
    /// What to do.
    pub act: Act,
    // What appears, moves or vanishes.
    pub(crate) key: Option<Key>,
    // Vanishes with its last name.
    pub(crate) ends: bool,
    pub(crate) ghost: u64,
}

/// What waits to be replayed.
pub struct Replays {
    pub(crate) tree: Tree,
    state: Mutex<State>,
    wake: Condvar,
    ghosts: AtomicU64,
}

#[derive(Default)]
struct State {
    pending: Pending,
    ready: VecDeque<Replay>,
    ended: bool,
}

impl Replays {
    /// Nothing yet.
    pub fn new(tree: Tree) -> Replays {
        Replays { tree, state: Mutex::default(), wake: Condvar::new(), ghosts: AtomicU64::new(0) }
    }

    /// Takes in what a face has just dropped from its caches. Never waits.
    pub fn hear(&self, news: News) {
        let now = Instant::now();
        for heard in news.heard {
            if !self.is_watchable(&heard) {
                continue;
            }
            let mut state = self.state.lock();
            let kept = match heard {
                Heard::Name { room, name, before, after } => {
                    state.pending.name(room, &name, before, after, now)
                }
                Heard::Object { oid, touch } => state.pending.object(oid, touch, now),
                Heard::Much { room } => {
                    state.pending.room(room);
                    true
                }
            };
            drop(state);
            if !kept {
                tracing::debug!("more changes than can be replayed: of some, only the room is told");
            }
            self.wake.notify_all();
        }
    }

    /// Waits until something is due. False: it is over.
    pub fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return false;
            }
            match state.pending.due() {
                _ if !state.ready.is_empty() => return true,
                Some(due) if due <= Instant::now() => return true,
                Some(due) => drop(self.wake.wait_until(&mut state, due)),
                None => self.wake.wait(&mut state),
            }
        }
    }

    /// What is to be replayed now, if anything is.
    pub fn next(&self) -> Option<Replay> {
        loop {
            let due = {
                let mut state = self.state.lock();
                if state.ended {
                    return None;
                }
                if let Some(replay) = state.ready.pop_front() {
                    return Some(replay);
                }
                state.pending.take(Instant::now())?
            };
            let planned = match due {
                Due::Name(place, believed) => self.of_name(&place, believed, 0),
                Due::Object(oid, touch) => self.of_object(oid, touch),
                Due::Room(room) => self.room_itself(room).into_iter().collect(),
            };
            self.state.lock().ready.extend(planned);
        }
    }

    /// A move that could not be made as one is made as a removal and a making.
    pub fn failed(&self, replay: &Replay) {
        let Act::Move { from, to } = replay.act.clone() else { return };
        let Some(Key::Object(oid)) = replay.key else { return };
        let Ok(stat) = self.tree.getattr_of(oid) else { return };
        let filled = stat.size > 0;
        self.tree.0.inodes.lock().untell(from.parent, &from.name);
        let gone = self.replay(Act::Vanish { at: from, sort: stat.sort }, replay.key.clone());
        let made = self.replay(Act::Appear { at: to, sort: stat.sort, filled }, replay.key.clone());
        let mut state = self.state.lock();
        state.ready.push_front(made);
        state.ready.push_front(gone);
    }

    /// Ends the waiting; nothing more is replayed.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.wake.notify_all();
    }

    // Who watches holds the room, or the file itself, and what is held the kernel has a number for.
    fn is_watchable(&self, heard: &Heard) -> bool {
        let held = |oid: Oid| self.tree.0.inodes.lock().primary(&Key::Object(oid)).is_some();
        match heard {
            Heard::Name { room, before, .. } => {
                held(*room) || before.is_some_and(|target| matches!(target, Target::Object(oid) if held(oid)))
            }
            Heard::Object { oid, .. } => held(*oid) || self.room_of_file(*oid).is_some_and(held),
            Heard::Much { room } => held(*room),
        }
    }

    fn room_of_file(&self, oid: Oid) -> Option<Oid> {
        let path = self.tree.0.node.path(oid)?;
        let (room, _) = path.rsplit_once('/')?;
        self.tree.0.node.resolve(if room.is_empty() { "/" } else { room }).ok()
    }

    fn of_name(&self, place: &Place, believed: Option<Target>, depth: usize) -> Vec<Replay> {
        let node = &self.tree.0.node;
        let found = node.lookup(place.0, &place.1).ok();
        let truth = found.as_ref().map(|found| found.target);
        let mut out = Vec::new();
        let Some(at) = self.spot(place) else { return out };
        if truth == believed {
            // Another version of the same object.
            if found.is_some_and(|found| found.version.is_some()) {
                out.push(self.replay(Act::Modify { at }, None));
            }
            return out;
        }
        if let Some(target) = believed {
            match self.went(place, target) {
                Some(there) => out.extend(self.moved(at.clone(), target.oid(), &there)),
                None => out.extend(self.vanished(place, at.clone(), target, depth)),
            }
        }
        let (Some(found), Some(target)) = (found, truth) else { return out };
        match self.came(place, target) {
            Some(from) => {
                out.push(self.replay(Act::Move { from, to: at }, Some(Key::Object(target.oid()))));
            }
            None => out.extend(self.appeared(place, at, &found)),
        }
        out
    }

    fn appeared(&self, place: &Place, at: Spot, found: &node::Found) -> Option<Replay> {
        let key = crate::tree::key_of_found(place.0, found);
        let (sort, filled) = match found.target {
            Target::LinkTo(_) => (Sort::Link, false),
            Target::Object(oid) => {
                let stat = self.tree.getattr_of(oid).ok()?;
                self.state.lock().pending.take_object(&oid);
                (stat.sort, stat.size > 0)
            }
        };
        Some(self.replay(Act::Appear { at, sort, filled }, Some(key)))
    }

    fn vanished(&self, place: &Place, at: Spot, target: Target, depth: usize) -> Vec<Replay> {
        let mut out = Vec::new();
        let (sort, key, ends) = match target {
            Target::LinkTo(to) => (Sort::Link, Key::Way { room: place.0, to }, false),
            Target::Object(oid) => {
                let sort = self.tree.getattr_of(oid).map_or(Sort::File, |stat| stat.sort);
                if sort == Sort::Room && depth < DEPTH {
                    // What was in it goes first: afterwards there is no way to it.
                    let inside = self.state.lock().pending.within(oid);
                    for place in inside {
                        let believed = self.state.lock().pending.take_name(&place);
                        if let Some(believed) = believed {
                            out.extend(self.of_name(&place, believed, depth + 1));
                        }
                    }
                }
                (sort, Key::Object(oid), self.is_nowhere(oid))
            }
        };
        out.push(Replay { ends, ..self.replay(Act::Vanish { at, sort }, Some(key)) });
        out
    }

    fn moved(&self, from: Spot, oid: Oid, there: &Place) -> Option<Replay> {
        let to = self.spot(there)?;
        self.state.lock().pending.take_name(there);
        Some(self.replay(Act::Move { from, to }, Some(Key::Object(oid))))
    }

    // Where what was believed to be at a place has gone, if nobody was told yet.
    fn went(&self, place: &Place, target: Target) -> Option<Place> {
        let Target::Object(oid) = target else { return None };
        let there = self.state.lock().pending.arrived(&oid).cloned()?;
        (there != *place && self.is_at(oid, &there)).then_some(there)
    }

    // Where what is at a place was, if nobody was told yet that it is not there any more.
    fn came(&self, place: &Place, target: Target) -> Option<Spot> {
        let Target::Object(oid) = target else { return None };
        if !self.is_at(oid, place) {
            return None;
        }
        let from = self.state.lock().pending.left(&oid).cloned()?;
        if from == *place || self.is_at(oid, &from) {
            return None;
        }
        let spot = self.spot(&from)?;
        self.state.lock().pending.emptied(&from);
        Some(spot)
    }

    fn is_at(&self, oid: Oid, place: &Place) -> bool {
        let found = self.tree.0.node.lookup(place.0, &place.1);
        found.is_ok_and(|found| found.target == Target::Object(oid) && found.version.is_none())
    }

    fn is_nowhere(&self, oid: Oid) -> bool {
        self.tree.0.node.path(oid).is_none()
    }

    fn of_object(&self, oid: Oid, touch: Touch) -> Vec<Replay> {
        let Ok(attr) = self.tree.0.node.attr(oid) else { return Vec::new() };
        match (attr.what, touch) {
            // Its names are told one by one.
            (What::Room, Touch::Content) => Vec::new(),
            (What::Room, _) => self.room_itself(oid).into_iter().collect(),
            (what, touch) => {
                let written = what != What::Link && touch != Touch::Attr;
                let set = what == What::Link || touch != Touch::Content;
                let acts = self.spots(oid).into_iter().flat_map(|at| {
                    let modify = written.then(|| Act::Modify { at: at.clone() });
                    modify.into_iter().chain(set.then_some(Act::Attrib { at }))
                });
                acts.map(|act| self.replay(act, None)).collect()
            }
        }
    }

    fn room_itself(&self, room: Oid) -> Option<Replay> {
        let parent = self.tree.0.inodes.lock().primary(&Key::Object(room))?;
        let at = Spot { parent, path: self.path(room)?, name: ".".to_owned() };
        Some(self.replay(Act::Attrib { at }, None))
    }

    // The names of a file: one that the node knows, and those that the kernel knows.
    fn spots(&self, oid: Oid) -> Vec<Spot> {
        let mut places: Vec<Place> = Vec::new();
        if let Some(path) = self.tree.0.node.path(oid)
            && let Some((_, name)) = path.rsplit_once('/')
            && let Some(room) = self.room_of_file(oid)
        {
            places.push((room, name.into()));
        }
        {
            let inodes = self.tree.0.inodes.lock();
            let names = inodes.primary(&Key::Object(oid)).map(|ino| inodes.names_of(ino)).unwrap_or_default();
            for (parent, name) in names {
                if let Some(Key::Object(room)) = inodes.get(*parent).map(|inode| &inode.key)
                    && !places.contains(&(*room, name.clone()))
                {
                    places.push((*room, name.clone()));
                }
            }
        }
        // What a pending name will tell is not told before it.
        let state = self.state.lock();
        places.retain(|place| state.pending.believed(place).is_none());
        drop(state);
        places.iter().filter_map(|place| self.spot(place)).collect()
    }

    fn spot(&self, place: &Place) -> Option<Spot> {
        let parent = self.tree.0.inodes.lock().number(&Key::Object(place.0));
        Some(Spot { parent, path: self.path(place.0)?, name: place.1.to_string() })
    }

    // The way to a room as whoever watches believes it: what is pending is not yet so.
    fn path(&self, room: Oid) -> Option<String> {
        let (node, mut at, mut names) = (&self.tree.0.node, room, Vec::<Arc<str>>::new());
        while at != self.tree.0.root {
            let left = self.state.lock().pending.left(&at).cloned();
            let (parent, name) = match left {
                Some(place) => place,
                None => {
                    let path = node.path(at)?;
                    (node.parent(at)?, path.rsplit('/').next()?.into())
                }
            };
            names.push(name);
            at = parent;
            if names.len() > DEPTH {
                return None;
            }
        }
        names.reverse();
        Some(names.join("/"))
    }

    fn replay(&self, act: Act, key: Option<Key>) -> Replay {
        let n = self.ghosts.fetch_add(1, Ordering::Relaxed) % (GHOSTS.end - GHOSTS.start);
        Replay { act, key, ends: false, ghost: GHOSTS.start + n }
    }

    // Where a pending name is believed to lead to.
    pub(crate) fn believed(&self, parent: u64, name: &str) -> Option<Key> {
        let room = self.tree.room_of(parent).ok()?;
        match self.state.lock().pending.believed(&(room, name.into()))?? {
            Target::Object(oid) => Some(Key::Object(oid)),
            Target::LinkTo(_) => None,
        }
    }
}

impl Tree {
    fn getattr_of(&self, oid: Oid) -> Result<Stat> {
        let attr = self.0.node.attr(oid)?;
        self.stat_object(ROOT, oid, &attr)
    }
}
