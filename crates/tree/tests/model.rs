//! The tree held against a file system of a few maps: the same operations, the same names, bytes, permissions
//! and refusals, without a kernel. Nobody else writes here, so it must be what POSIX says.

use base::Kind;
use node::{Node, Options};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tree::{Caching, Caller, Changes, How, ROOT, Sort, Stat, Tree};

/// A file or a directory of the model.
#[derive(Clone, Debug)]
enum Thing {
    File { bytes: Vec<u8>, perm: u16, links: u32 },
    Link(Vec<u8>),
    Room(BTreeMap<String, usize>),
}

/// The file system of a few maps. Things stay, also those that nothing leads to: somebody may have them open.
struct Model {
    things: Vec<Thing>,
}

type Outcome<T = ()> = Result<T, Kind>;

impl Model {
    fn new() -> Model {
        Model { things: vec![Thing::Room(BTreeMap::new())] }
    }

    fn room(&mut self, at: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.things[at] {
            Thing::Room(names) => names,
            other => panic!("not a room: {other:?}"),
        }
    }

    fn rooms(&self) -> Vec<Vec<String>> {
        let mut found = vec![Vec::new()];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            next += 1;
            let Thing::Room(names) = &self.things[self.at(&path)] else { continue };
            for (name, thing) in names {
                if matches!(self.things[*thing], Thing::Room(_)) {
                    found.push([path.clone(), vec![name.clone()]].concat());
                }
            }
        }
        found
    }

    /// All names, with the rooms they are in.
    fn names(&self) -> Vec<(Vec<String>, String)> {
        let inside = |path: Vec<String>| match &self.things[self.at(&path)] {
            Thing::Room(names) => names.keys().map(|n| (path.clone(), n.clone())).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        self.rooms().into_iter().flat_map(inside).collect()
    }

    fn at(&self, path: &[String]) -> usize {
        path.iter().fold(0, |at, name| match &self.things[at] {
            Thing::Room(names) => names[name],
            other => panic!("not a room: {other:?}"),
        })
    }

    fn add(&mut self, room: usize, name: &str, thing: Thing) -> Outcome<usize> {
        if self.room(room).contains_key(name) {
            return Err(Kind::Exists);
        }
        self.things.push(thing);
        let new = self.things.len() - 1;
        self.room(room).insert(name.to_owned(), new);
        Ok(new)
    }

    fn drop_name(&mut self, room: usize, name: &str) {
        if let Some(thing) = self.room(room).remove(name)
            && let Thing::File { links, .. } = &mut self.things[thing]
        {
            *links -= 1;
        }
    }

    fn remove(&mut self, room: usize, name: &str, want_room: bool) -> Outcome {
        let thing = *self.room(room).get(name).ok_or(Kind::NotFound)?;
        match (&self.things[thing], want_room) {
            (Thing::Room(names), true) if names.is_empty() => {}
            (Thing::Room(_), true) => return Err(Kind::NotEmpty),
            (Thing::Room(_), false) => return Err(Kind::IsRoom),
            (_, true) => return Err(Kind::NotRoom),
            (_, false) => {}
        }
        self.drop_name(room, name);
        Ok(())
    }

    fn rename(&mut self, from: usize, name: &str, to: usize, new: &str, no_replace: bool) -> Outcome {
        let thing = *self.room(from).get(name).ok_or(Kind::NotFound)?;
        let old = self.room(to).get(new).copied();
        // In the order in which Linux looks.
        if no_replace && old.is_some() {
            return Err(Kind::Exists);
        }
        if self.is_below(to, thing) {
            return Err(Kind::Invalid);
        }
        if let Some(old) = old {
            if old == thing {
                return Ok(());
            }
            match (&self.things[thing], &self.things[old]) {
                (Thing::Room(_), Thing::Room(names)) if names.is_empty() => {}
                (Thing::Room(_), Thing::Room(_)) => return Err(Kind::NotEmpty),
                (Thing::Room(_), _) => return Err(Kind::NotRoom),
                (_, Thing::Room(_)) => return Err(Kind::IsRoom),
                _ => {}
            }
            self.drop_name(to, new);
        }
        self.room(from).remove(name);
        self.room(to).insert(new.to_owned(), thing);
        Ok(())
    }

    fn is_below(&self, room: usize, above: usize) -> bool {
        room == above
            || matches!(&self.things[above], Thing::Room(names) if names.values().any(|n| self.is_below(room, *n)))
    }

    fn bytes(&mut self, thing: usize) -> &mut Vec<u8> {
        match &mut self.things[thing] {
            Thing::File { bytes, .. } => bytes,
            other => panic!("not a file: {other:?}"),
        }
    }
}

/// What is done, to what is picked by these numbers.
#[derive(Clone, Debug)]
enum Op {
    Create(u8, u8, Vec<u8>, u8),
    Write(u8, u16, Vec<u8>),
    Replace(u8, Vec<u8>),
    Append(u8, Vec<u8>),
    Cut(u8, u16),
    Permit(u8, u8),
    Mkdir(u8, u8),
    Symlink(u8, u8, u8),
    Link(u8, u8, u8),
    Remove(u8, bool),
    Rename(u8, u8, u8, bool),
    Hold(u8),
    WriteHeld(u8, u16, Vec<u8>),
    Release(u8),
    Rest,
    Restart,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z \n]{0,40}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => "[a-z]{1,8}\n".prop_map(|line| line.repeat(12_000).into_bytes()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    prop_oneof![
        6 => (n(), n(), bytes(), n()).prop_map(|(a, b, c, d)| Op::Create(a, b, c, d)),
        4 => (n(), 0u16..300, bytes()).prop_map(|(a, b, c)| Op::Write(a, b, c)),
        3 => (n(), bytes()).prop_map(|(a, b)| Op::Replace(a, b)),
        3 => (n(), bytes()).prop_map(|(a, b)| Op::Append(a, b)),
        2 => (n(), 0u16..300).prop_map(|(a, b)| Op::Cut(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Op::Permit(a, b)),
        3 => (n(), n()).prop_map(|(a, b)| Op::Mkdir(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Op::Symlink(a, b, c)),
        2 => (n(), n(), n()).prop_map(|(a, b, c)| Op::Link(a, b, c)),
        4 => (n(), any::<bool>()).prop_map(|(a, b)| Op::Remove(a, b)),
        6 => (n(), n(), n(), any::<bool>()).prop_map(|(a, b, c, d)| Op::Rename(a, b, c, d)),
        2 => n().prop_map(Op::Hold),
        2 => (n(), 0u16..300, bytes()).prop_map(|(a, b, c)| Op::WriteHeld(a, b, c)),
        2 => n().prop_map(Op::Release),
        1 => Just(Op::Rest),
        1 => Just(Op::Restart),
    ]
}

const NAMES: [&str; 4] = ["a", "b.txt", "c", "with ä"];
const WRITE: How =
    How { read: true, write: true, truncate: false, append: false, exclusive: false, execute: false };

/// The tree and the model beside each other.
struct World {
    dir: tempfile::TempDir,
    running: Option<(Node, Tree)>,
    model: Model,
    /// Open handles, with the file each is open on.
    held: Vec<(u64, usize)>,
    /// What each directory's number listed when a kernel would have begun to keep it.
    kept: BTreeMap<u64, Vec<String>>,
}

fn start(dir: &std::path::Path) -> (Node, Tree) {
    let options = Options { home: dir.to_owned(), listen: Vec::new(), network: false };
    let node = Node::start(options).unwrap();
    (node.clone(), Tree::new(node).unwrap())
}

fn pick<T: Clone>(all: &[T], n: u8) -> Option<T> {
    if all.is_empty() { None } else { Some(all[usize::from(n) % all.len()].clone()) }
}

fn kind<T>(result: tree::Result<T>) -> Outcome<T> {
    result.map_err(|e| e.kind())
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let running = Some(start(dir.path()));
        World { dir, running, model: Model::new(), held: Vec::new(), kept: BTreeMap::new() }
    }

    fn tree(&self) -> &Tree {
        &self.running.as_ref().expect("it runs").1
    }

    fn caller() -> Caller {
        Caller::default()
    }

    fn ino(&self, path: &[String]) -> u64 {
        path.iter().fold(ROOT, |at, name| self.tree().lookup(at, name.as_bytes()).unwrap().ino)
    }

    fn stat(&self, room: &[String], name: &str) -> Stat {
        self.tree().lookup(self.ino(room), name.as_bytes()).unwrap()
    }

    fn file(&self, n: u8) -> Option<(Vec<String>, String, usize)> {
        let names = self.model.names().into_iter();
        let all = names.map(|(room, name)| {
            let thing = self.model.at(&[room.clone(), vec![name.clone()]].concat());
            (room, name, thing)
        });
        let files: Vec<_> =
            all.filter(|(_, _, thing)| matches!(self.model.things[*thing], Thing::File { .. })).collect();
        pick(&files, n)
    }

    fn open(&self, room: &[String], name: &str, how: How) -> u64 {
        self.tree().open(self.stat(room, name).ino, how, World::caller()).unwrap().handle
    }

    fn close(&self, handle: u64) {
        self.tree().flush(handle).unwrap();
        self.tree().release(handle);
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Create(room, name, bytes, perm) => self.create(room, name, bytes, perm),
            Op::Write(file, offset, bytes) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                let handle = self.open(&room, &name, WRITE);
                self.write(handle, thing, offset, &bytes);
                self.close(handle);
            }
            Op::Replace(file, bytes) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                let handle = self.open(&room, &name, How { truncate: true, ..WRITE });
                self.tree().write(handle, 0, &bytes).unwrap();
                self.close(handle);
                *self.model.bytes(thing) = bytes;
            }
            Op::Append(file, bytes) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                let handle = self.open(&room, &name, How { append: true, ..WRITE });
                self.tree().write(handle, 0, &bytes).unwrap();
                self.close(handle);
                self.model.bytes(thing).extend(bytes);
            }
            Op::Cut(file, size) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                let changes = Changes { size: Some(size.into()), ..Changes::default() };
                self.tree().setattr(self.stat(&room, &name).ino, changes, None, World::caller()).unwrap();
                self.model.bytes(thing).resize(size.into(), 0);
            }
            Op::Permit(file, bits) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                let new = 0o400 | u16::from(bits);
                let changes = Changes { perm: Some(new), ..Changes::default() };
                self.tree().setattr(self.stat(&room, &name).ino, changes, None, World::caller()).unwrap();
                let Thing::File { perm, .. } = &mut self.model.things[thing] else { return };
                *perm = new;
            }
            Op::Hold(file) => {
                let Some((room, name, thing)) = self.file(file) else { return };
                self.held.push((self.open(&room, &name, WRITE), thing));
            }
            Op::WriteHeld(n, offset, bytes) => {
                let Some((handle, thing)) = pick(&self.held, n) else { return };
                self.write(handle, thing, offset, &bytes);
                self.tree().flush(handle).unwrap();
            }
            Op::Release(n) => {
                let Some((handle, thing)) = pick(&self.held, n) else { return };
                self.held.retain(|(other, _)| *other != handle);
                self.check_handle(handle, thing);
                self.close(handle);
            }
            // What was made meanwhile gets a history.
            Op::Rest => std::thread::sleep(Duration::from_millis(150)),
            Op::Restart => self.restart(),
            op => self.act_on_names(op),
        }
    }

    fn write(&mut self, handle: u64, thing: usize, offset: u16, new: &[u8]) {
        self.tree().write(handle, offset.into(), new).unwrap();
        if new.is_empty() {
            return;
        }
        let (from, to) = (usize::from(offset), usize::from(offset) + new.len());
        let bytes = self.model.bytes(thing);
        bytes.resize(bytes.len().max(to), 0);
        bytes[from..to].copy_from_slice(new);
    }

    fn create(&mut self, room: u8, name: u8, bytes: Vec<u8>, perm: u8) {
        let (Some(room), Some(name)) = (pick(&self.model.rooms(), room), pick(&NAMES, name)) else { return };
        let perm = 0o600 | u16::from(perm & 0o77);
        let (parent, at) = (self.ino(&room), self.model.at(&room));
        let how = How { exclusive: true, ..WRITE };
        let found = kind(self.tree().create(parent, name.as_bytes(), perm, how, World::caller()));
        let wanted = self.model.add(at, name, Thing::File { bytes: bytes.clone(), perm, links: 1 });
        assert_eq!(found.as_ref().map(drop).map_err(|k| *k), wanted.map(drop));
        if let Ok((_, opened)) = found {
            for (n, part) in bytes.chunks(4096).enumerate() {
                self.tree().write(opened.handle, n as u64 * 4096, part).unwrap();
            }
            self.close(opened.handle);
        }
    }

    fn act_on_names(&mut self, op: Op) {
        let (Op::Mkdir(room, name) | Op::Symlink(room, name, _) | Op::Link(_, room, name)) = op else {
            return self.act_on_one_name(op);
        };
        let (Some(room), Some(name)) = (pick(&self.model.rooms(), room), pick(&NAMES, name)) else { return };
        let (parent, at) = (self.ino(&room), self.model.at(&room));
        let (found, wanted) = match op {
            Op::Symlink(_, _, n) => {
                let text = format!("to-{n}").into_bytes();
                let found = kind(self.tree().symlink(parent, name.as_bytes(), &text)).map(drop);
                (found, self.model.add(at, name, Thing::Link(text)).map(drop))
            }
            Op::Link(file, ..) => {
                let Some((of, old, thing)) = self.file(file) else { return };
                let ino = self.stat(&of, &old).ino;
                let found = kind(self.tree().link(ino, parent, name.as_bytes())).map(drop);
                let wanted = if self.model.room(at).contains_key(name) { Err(Kind::Exists) } else { Ok(()) };
                if wanted.is_ok() {
                    self.model.room(at).insert(name.to_owned(), thing);
                    let Thing::File { links, .. } = &mut self.model.things[thing] else { return };
                    *links += 1;
                }
                (found, wanted)
            }
            _ => {
                let found = kind(self.tree().mkdir(parent, name.as_bytes(), 0o755)).map(drop);
                (found, self.model.add(at, name, Thing::Room(BTreeMap::new())).map(drop))
            }
        };
        assert_eq!(found, wanted);
    }

    fn act_on_one_name(&mut self, op: Op) {
        let (Op::Remove(n, _) | Op::Rename(n, ..)) = op else { return };
        let Some((room, name)) = pick(&self.model.names(), n) else { return };
        let (parent, at) = (self.ino(&room), self.model.at(&room));
        let (found, wanted) = match op {
            Op::Remove(_, true) => {
                (kind(self.tree().rmdir(parent, name.as_bytes())), self.model.remove(at, &name, true))
            }
            Op::Remove(_, false) => (
                kind(self.tree().unlink(parent, name.as_bytes(), World::caller())),
                self.model.remove(at, &name, false),
            ),
            Op::Rename(_, to, new, no_replace) => {
                let (Some(to), Some(new)) = (pick(&self.model.rooms(), to), pick(&NAMES, new)) else {
                    return;
                };
                let (to_ino, to_at) = (self.ino(&to), self.model.at(&to));
                let found = self.tree().rename(
                    parent,
                    name.as_bytes(),
                    to_ino,
                    new.as_bytes(),
                    no_replace,
                    World::caller(),
                );
                (kind(found), self.model.rename(at, &name, to_at, new, no_replace))
            }
            _ => return,
        };
        assert_eq!(found, wanted, "{room:?} {name}");
    }

    // Everything that was closed is there afterwards.
    fn restart(&mut self) {
        for (handle, thing) in std::mem::take(&mut self.held) {
            self.check_handle(handle, thing);
            self.close(handle);
        }
        self.tree().finish();
        self.stop();
        self.running = Some(start(self.dir.path()));
    }

    fn stop(&mut self) {
        if let Some((node, tree)) = self.running.take() {
            drop(tree);
            node.stop().unwrap();
        }
    }

    fn check_handle(&mut self, handle: u64, thing: usize) {
        let wanted = self.model.bytes(thing).clone();
        let found = self.tree().read(handle, 0, wanted.len() + 1).unwrap();
        assert!(found == wanted, "a handle reads {} bytes, not {}", found.len(), wanted.len());
    }

    fn check(&mut self) {
        self.check_room(ROOT, 0);
        for (handle, thing) in self.held.clone() {
            self.check_handle(handle, thing);
        }
    }

    fn check_room(&mut self, ino: u64, at: usize) {
        let opened = self.tree().open_room(ino).unwrap();
        let entries = self.tree().list(opened.handle, 0, usize::MAX).unwrap();
        self.tree().close_room(opened.handle);
        let mut found: Vec<String> =
            entries.into_iter().map(|e| e.name).filter(|name| name != "." && name != "..").collect();
        found.sort();
        match opened.caching {
            Caching::Keep => assert_eq!(found, self.kept[&ino], "the kernel may not keep what is old"),
            _ => drop(self.kept.insert(ino, found.clone())),
        }
        let names = self.model.room(at).clone();
        assert_eq!(found, names.keys().cloned().collect::<Vec<_>>());
        for (name, thing) in names {
            let stat = self.tree().lookup(ino, name.as_bytes()).unwrap();
            match self.model.things[thing].clone() {
                Thing::Room(_) => {
                    assert_eq!(stat.sort, Sort::Room);
                    self.check_room(stat.ino, thing);
                }
                Thing::Link(text) => assert_eq!(self.tree().readlink(stat.ino).unwrap(), text),
                Thing::File { bytes, perm, links } => {
                    assert_eq!(
                        (stat.sort, stat.size, stat.perm, stat.links),
                        (Sort::File, bytes.len() as u64, perm, links),
                        "{name}"
                    );
                    let how = How { read: true, ..How::default() };
                    let handle = self.tree().open(stat.ino, how, World::caller()).unwrap().handle;
                    self.check_handle(handle, thing);
                    self.tree().release(handle);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn alone_it_is_a_file_system(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.act(op);
            world.check();
        }
        world.restart();
        world.check();
        world.stop();
    }
}

// More with CHORUS_TORTURE.
fn cases() -> u32 {
    std::env::var("CHORUS_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}
