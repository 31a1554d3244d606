//! What the view is told of objects, and what it answers.

use super::door::Target;
use base::{DoorId, Hash, ObjectId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an object is, as far as the tree cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BornKind {
    /// A room.
    Room,
    /// A symlink of a user's own.
    Link,
    /// A file, by the code of its type.
    File(u64),
}

/// That an object's birth is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Born {
    /// What it is.
    pub kind: BornKind,
    /// The hash of its bytes at birth, so that equal files that nobody edited show once.
    pub content: Option<Hash>,
}

/// How a name leads to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// It is here: a file, a user's symlink, or a room in its place.
    Place,
    /// A way to a room whose place is elsewhere, or that has none: to be shown as a symlink that follows it.
    Link,
    /// A way into another space.
    Elsewhere,
}

/// One name in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The name.
    pub name: Arc<str>,
    /// The door it stands for: a placed room's place, else the earliest of `doors`.
    pub door: DoorId,
    /// All doors of this room that act together under the name; removing and moving acts on each. Empty for
    /// another version of a file, which no door's removal removes.
    pub doors: Arc<[DoorId]>,
    /// What it leads to.
    pub target: Target,
    /// How.
    pub how: How,
    /// Whether it shows although its doors were removed, because of something the remover had not seen.
    pub returned: bool,
    /// The version that shows under this name, where it is not the newest.
    pub version: Option<Hash>,
}

/// What became of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The room.
    pub room: ObjectId,
    /// The name.
    pub name: Arc<str>,
    /// What it was.
    pub before: Option<Shown>,
    /// What it is.
    pub after: Option<Shown>,
}

/// What caches and watchers must hear: the net effect of one or several inputs on each name.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// One for each name that is not what it was.
    pub changes: Vec<Changed>,
    index: BTreeMap<(ObjectId, Arc<str>), usize>,
}

impl Delta {
    /// Adds a change, on top of what the same name went through before.
    pub fn add(&mut self, change: Changed) {
        let key = (change.room, change.name.clone());
        // The index is a hint: whoever holds the delta may have taken changes out of it.
        let at = self.index.get(&key).copied().filter(|at| {
            self.changes.get(*at).is_some_and(|c| c.room == change.room && c.name == change.name)
        });
        let Some(at) = at else {
            if change.before != change.after {
                self.index.insert(key, self.changes.len());
                self.changes.push(change);
            }
            return;
        };
        self.changes[at].after = change.after;
        if self.changes[at].before == self.changes[at].after {
            self.changes.swap_remove(at);
            self.index.remove(&key);
            if let Some(moved) = self.changes.get(at) {
                self.index.insert((moved.room, moved.name.clone()), at);
            }
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
