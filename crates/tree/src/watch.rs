//! What a face must drop from its caches, and when.

use crate::inode::Key;
use crate::tree::Tree;
use base::Oid;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use node::Event;
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

    /// Tells the faces; never waits.
    pub(crate) fn notice(&self, notice: Invalidate) {
        if self.0.notices.0.try_send(notice).is_err() {
            self.0.behind.store(true, Ordering::Relaxed);
        }
    }
}

impl Watch {
    /// Waits for what comes next. None: the watch was ended, or the node stopped.
    pub fn next(&self) -> Option<Vec<Invalidate>> {
        let notices = &self.tree.0.notices.1;
        let mut out = select! {
            recv(self.events) -> event => self.of_event(event.ok()?),
            recv(notices) -> notice => vec![notice.ok()?],
            recv(self.ended) -> _ => return None,
        };
        if self.tree.0.behind.swap(false, Ordering::Relaxed) {
            out = self.everything();
        }
        Some(out)
    }

    fn of_event(&self, event: Event) -> Vec<Invalidate> {
        match event {
            Event::Name { room, name, remote, after } => self.of_name(room, name, remote, after),
            Event::Content { oid, remote: true } => self.tree.outdated(oid),
            Event::Attr { oid, remote: true } => {
                let ino = self.tree.0.inodes.lock().primary(&Key::Object(oid));
                ino.map(|ino| Invalidate::Attr { ino }).into_iter().collect()
            }
            // What was done through a face, that face knows.
            Event::Content { .. } | Event::Attr { .. } => Vec::new(),
            Event::Behind => self.everything(),
        }
    }

    fn of_name(&self, room: Oid, name: String, remote: bool, after: Option<Oid>) -> Vec<Invalidate> {
        let (parent, told) = {
            let inodes = self.tree.0.inodes.lock();
            let Some(parent) = inodes.primary(&Key::Object(room)) else { return Vec::new() };
            let told =
                inodes.told(parent, &name).and_then(|ino| inodes.get(ino)).map(|inode| inode.key.clone());
            (parent, told)
        };
        let mut out = Vec::new();
        if remote {
            out.push(Invalidate::Attr { ino: parent });
        }
        let same = told == after.map(Key::Object);
        if told.is_some() && !same && self.is_wrong(parent, &name) {
            out.push(Invalidate::Name { parent, name });
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

    fn everything(&self) -> Vec<Invalidate> {
        let (names, inos) = self.tree.0.inodes.lock().everything();
        let wrong = names.into_iter().filter(|(parent, name)| self.is_wrong(*parent, name));
        let mut out: Vec<_> =
            wrong.map(|(parent, name)| Invalidate::Name { parent, name: name.to_string() }).collect();
        out.extend(inos.into_iter().map(|ino| Invalidate::Content { ino }));
        out
    }
}
