//! What a face must drop from its caches, and when.

use crate::inode::Key;
use crate::pending::Touch;
use crate::tree::Tree;
use base::Oid;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use node::{Event, Target, What};
use std::sync::atomic::Ordering;

/// Something a face may have cached is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidate {
    /// A name in a room leads elsewhere, or nowhere.
    Name {
        /// The room's number.
        parent: u64,
        /// The name.
        name: String,
    },
    /// Size, times or permissions.
    Attr {
        /// The number.
        ino: u64,
    },
    /// As `Attr`, and the bytes.
    Content {
        /// The number.
        ino: u64,
    },
}

/// What is new.
#[derive(Debug, Default)]
pub struct News {
    /// What the face must drop.
    pub old: Vec<Invalidate>,
    /// What others did, for those who watch.
    pub(crate) heard: Vec<Heard>,
}

/// Something others did.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A name leads elsewhere.
    Name { room: Oid, name: String, before: Option<Target>, after: Option<Oid> },
    /// An object changed.
    Object { oid: Oid, touch: Touch },
    /// So much that it is only known where.
    Much { room: Oid },
}

/// Listens to what becomes old. For one thread of a face, which serves no requests.
pub struct Watch {
    tree: Tree,
    events: Receiver<Event>,
    ended: Receiver<()>,
}

/// Ends a watch when it is dropped.
pub struct WatchEnd(#[allow(dead_code)] Sender<()>);

impl Tree {
    /// Begins to listen.
    pub fn watch(&self) -> (Watch, WatchEnd) {
        let (sender, ended) = bounded(0);
        (Watch { tree: self.clone(), events: self.0.node.events(), ended }, WatchEnd(sender))
    }

    /// An object has a newer version than what the faces may hold: what they must drop.
    pub(crate) fn outdated(&self, oid: Oid) -> Vec<Invalidate> {
        let key = Key::Object(oid);
        let held = self.0.copies.lock().get(&oid).and_then(std::sync::Weak::upgrade);
        if held.is_some_and(|copy| copy.state().is_database()) {
            // Whoever opens it next must find the file, and the locks, of those who have it open.
            return Vec::new();
        }
        let mut inodes = self.0.inodes.lock();
        let Some(ino) = inodes.primary(&key) else { return Vec::new() };
        let Some(inode) = inodes.get_mut(ino) else { return Vec::new() };
        // Pages are cached by inode, and would mix two versions under an open handle: the new one gets a new
        // inode, as if the file had been replaced.
        if inode.opens > 0 && inode.cached.is_some() {
            let names = inodes.set_apart(&key);
            return names
                .into_iter()
                .map(|(parent, name)| Invalidate::Name { parent, name: name.to_string() })
                .collect();
        }
        inode.cached = None;
        vec![Invalidate::Content { ino }]
    }

    fn is_room(&self, oid: Oid) -> bool {
        self.0.node.attr(oid).is_ok_and(|attr| attr.what == What::Room)
    }

    /// Tells the faces; never waits.
    pub(crate) fn notice(&self, notice: Invalidate) {
        if self.0.notices.0.try_send(notice).is_err() {
            self.0.behind.store(true, Ordering::Relaxed);
        }
    }
}

impl Watch {
    /// Waits for what comes next. None: the watch was ended, or the node stopped.
    pub fn next(&self) -> Option<News> {
        let notices = &self.tree.0.notices.1;
        let mut out = select! {
            recv(self.events) -> event => self.of_event(event.ok()?),
            recv(notices) -> notice => self.of_notice(notice.ok()?),
            recv(self.ended) -> _ => return None,
        };
        if self.tree.0.behind.swap(false, Ordering::Relaxed) {
            out = self.everything();
        }
        Some(out)
    }

    fn of_event(&self, event: Event) -> News {
        match event {
            Event::Name { room, name, remote, before, after } => {
                let old = self.of_name(room, &name, remote, after);
                let heard = remote.then_some(Heard::Name { room, name, before, after });
                News { old, heard: heard.into_iter().collect() }
            }
            Event::Content { oid, remote: true } => News {
                old: self.tree.outdated(oid),
                heard: vec![Heard::Object { oid, touch: Touch::Content }],
            },
            Event::Attr { oid, remote: true } => {
                let ino = self.tree.0.inodes.lock().primary(&Key::Object(oid));
                let old = ino.map(|ino| Invalidate::Attr { ino }).into_iter().collect();
                News { old, heard: vec![Heard::Object { oid, touch: Touch::Attr }] }
            }
            // What was done through a face, that face knows.
            Event::Content { .. } | Event::Attr { .. } => News::default(),
            Event::Behind => self.everything(),
        }
    }

    // A save in which a friend's words were merged: nobody has written what the file shows now.
    fn of_notice(&self, notice: Invalidate) -> News {
        let key = match &notice {
            Invalidate::Content { ino } => self.tree.key_of(*ino).ok(),
            Invalidate::Name { parent, name } => self.tree.find(*parent, name.as_bytes()).ok(),
            Invalidate::Attr { .. } => None,
        };
        let heard = match key {
            Some(Key::Object(oid)) => vec![Heard::Object { oid, touch: Touch::Content }],
            _ => Vec::new(),
        };
        News { old: vec![notice], heard }
    }

    fn of_name(&self, room: Oid, name: &str, remote: bool, after: Option<Oid>) -> Vec<Invalidate> {
        let (parent, told) = {
            let inodes = self.tree.0.inodes.lock();
            let Some(parent) = inodes.primary(&Key::Object(room)) else { return Vec::new() };
            let told =
                inodes.told(parent, name).and_then(|ino| inodes.get(ino)).map(|inode| inode.key.clone());
            (parent, told)
        };
        let mut out = Vec::new();
        if remote {
            // What it lists too: who has it open and begins anew lists what is there.
            out.push(Invalidate::Content { ino: parent });
        }
        let same = told == after.map(Key::Object);
        if told.is_some() && !same && self.is_wrong(parent, name) {
            out.push(Invalidate::Name { parent, name: name.to_owned() });
        }
        out
    }

    // Whether the kernel believes what is not so; if it does, it is about to be told.
    fn is_wrong(&self, parent: u64, name: &str) -> bool {
        let truth = self.tree.find(parent, name.as_bytes()).ok();
        let mut inodes = self.tree.0.inodes.lock();
        let Some(ino) = inodes.told(parent, name) else { return false };
        let believed = inodes.get(ino).map(|inode| inode.key.clone());
        let right =
            truth.is_some_and(|key| believed.as_ref() == Some(&key) && inodes.primary(&key) == Some(ino));
        if right {
            return false;
        }
        inodes.untell(parent, name);
        true
    }

    fn everything(&self) -> News {
        let (names, inos) = self.tree.0.inodes.lock().everything();
        let mut out = News::default();
        for (parent, name) in names {
            let believed = {
                let inodes = self.tree.0.inodes.lock();
                let ino = inodes.told(parent, &name);
                ino.and_then(|ino| inodes.get(ino)).map(|inode| inode.key.clone())
            };
            if !self.is_wrong(parent, &name) {
                continue;
            }
            out.heard.extend(self.was(parent, &name, believed));
            out.old.push(Invalidate::Name { parent, name: name.to_string() });
        }
        for ino in &inos {
            // Which of its names are new nobody can say any more.
            let room = self.tree.room_of(*ino).ok().filter(|oid| self.tree.is_room(*oid));
            out.heard.extend(room.map(|room| Heard::Much { room }));
        }
        out.old.extend(inos.into_iter().map(|ino| Invalidate::Content { ino }));
        out
    }

    fn was(&self, parent: u64, name: &str, believed: Option<Key>) -> Option<Heard> {
        let room = self.tree.room_of(parent).ok()?;
        let before = match believed? {
            Key::Object(oid) | Key::Version(oid, _) => Target::Object(oid),
            Key::Way { to, .. } => Target::LinkTo(to),
            Key::Control(_) => return None,
        };
        let after = match self.tree.find(parent, name.as_bytes()) {
            Ok(Key::Object(oid)) => Some(oid),
            _ => None,
        };
        Some(Heard::Name { room, name: name.to_owned(), before: Some(before), after })
    }
}
