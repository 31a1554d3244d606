//! One replica alone is an ordinary file system: held against the simplest one there is.

use super::world::{ROOT, World, is_dir};
use crate::view::How;
use base::ObjectId;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Node {
    Dir(BTreeMap<String, usize>),
    File,
    /// To a directory.
    Link(usize),
}

// Inodes; the first is the root.
struct Disk(Vec<Node>);

impl Disk {
    fn dir(&self, at: usize) -> &BTreeMap<String, usize> {
        match &self.0[at] {
            Node::Dir(names) => names,
            _ => unreachable!(),
        }
    }

    fn dir_mut(&mut self, at: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.0[at] {
            Node::Dir(names) => names,
            _ => unreachable!(),
        }
    }

    fn is_dir(&self, at: usize) -> bool {
        matches!(self.0[at], Node::Dir(_))
    }

    fn make(&mut self, at: usize, name: &str, node: Node) -> bool {
        if self.dir(at).contains_key(name) {
            return false;
        }
        self.0.push(node);
        let new = self.0.len() - 1;
        self.dir_mut(at).insert(name.to_owned(), new);
        true
    }

    fn removable(&self, node: usize) -> bool {
        !self.is_dir(node) || self.dir(node).is_empty()
    }

    fn rm(&mut self, at: usize, name: &str) -> bool {
        match self.dir(at).get(name) {
            Some(node) if self.removable(*node) => self.dir_mut(at).remove(name).is_some(),
            _ => false,
        }
    }

    fn holds(&self, above: usize, below: usize) -> bool {
        above == below || self.is_dir(above) && self.dir(above).values().any(|n| self.holds(*n, below))
    }

    fn mv(&mut self, at: usize, name: &str, to: usize, new: &str) -> bool {
        let Some(node) = self.dir(at).get(name).copied() else { return false };
        if self.is_dir(node) && self.holds(node, to) {
            return false;
        }
        if let Some(there) = self.dir(to).get(new).copied() {
            if there == node || self.is_dir(there) != self.is_dir(node) || !self.removable(there) {
                return false;
            }
            // Two links to one directory are one target; the replica leaves them as they are.
            if matches!((&self.0[there], &self.0[node]), (Node::Link(a), Node::Link(b)) if a == b) {
                return false;
            }
        }
        self.dir_mut(at).remove(name);
        self.dir_mut(to).insert(new.to_owned(), node);
        true
    }

    fn dirs(&self) -> Vec<(String, usize)> {
        let mut out = vec![(String::new(), 0)];
        let mut next = 0;
        while let Some((path, at)) = out.get(next).cloned() {
            out.extend(
                self.dir(at)
                    .iter()
                    .filter(|(_, n)| self.is_dir(**n))
                    .map(|(s, n)| (format!("{path}/{s}"), *n)),
            );
            next += 1;
        }
        out
    }
}

fn room_of(world: &World, path: &str) -> ObjectId {
    path.split('/')
        .filter(|s| !s.is_empty())
        .fold(ROOT, |at, name| world.view(0).lookup(at, name).unwrap().target.object)
}

// Same names, same kinds, one object for one inode.
fn same(world: &World, disk: &Disk, room: ObjectId, dir: usize, seen: &mut BTreeMap<usize, ObjectId>) {
    let names: Vec<String> = world.view(0).list(room).map(|s| s.name.to_string()).collect();
    assert_eq!(names, disk.dir(dir).keys().cloned().collect::<Vec<_>>());
    for (name, node) in disk.dir(dir) {
        let shown = world.view(0).lookup(room, name).unwrap();
        assert!(!shown.returned);
        let inode = match disk.0[*node] {
            Node::Link(to) => to,
            _ => *node,
        };
        assert_eq!(*seen.entry(inode).or_insert(shown.target.object), shown.target.object);
        match &disk.0[*node] {
            Node::Dir(_) => {
                assert!(is_dir(world.view(0), shown));
                same(world, disk, shown.target.object, *node, seen);
            }
            Node::File => assert_eq!((shown.how, is_dir(world.view(0), shown)), (How::Place, false)),
            Node::Link(_) => assert_eq!(shown.how, How::Link),
        }
    }
}

fn step(world: &mut World, disk: &mut Disk, op: (u8, u8, u8, u8, u8)) {
    const NAMES: [&str; 5] = ["a", "b", "c.txt", "d", "a~12"];
    let dirs = disk.dirs();
    let (at, dir) = dirs[op.1 as usize % dirs.len()].clone();
    let (to, to_dir) = dirs[op.2 as usize % dirs.len()].clone();
    let (room, to_room) = (room_of(world, &at), room_of(world, &to));
    let (name, new) = (NAMES[op.3 as usize % 5], NAMES[op.4 as usize % 5]);
    let node = disk.dir(dir).get(name).copied();
    match op.0 {
        0 | 1 => assert_eq!(world.create(0, room, name, op.4).is_some(), disk.make(dir, name, Node::File)),
        2 | 3 => {
            assert_eq!(world.mkdir(0, room, name).is_some(), disk.make(dir, name, Node::Dir(BTreeMap::new())))
        }
        4 | 5 => assert_eq!(world.rm(0, room, name), disk.rm(dir, name)),
        6 | 7 => assert_eq!(world.mv(0, room, name, to_room, new), disk.mv(dir, name, to_dir, new)),
        8 => match node {
            Some(node) if matches!(disk.0[node], Node::File) => {
                let free = !disk.dir(to_dir).contains_key(new);
                assert_eq!(world.ln(0, room, name, to_room, new), free);
                disk.dir_mut(to_dir).entry(new.to_owned()).or_insert(node);
                let object = world.view(0).lookup(room, name).unwrap().target.object;
                world.edit(0, object);
            }
            Some(node) if disk.is_dir(node) => {
                assert_eq!(world.ln(0, room, name, to_room, new), disk.make(to_dir, new, Node::Link(node)));
            }
            _ => {}
        },
        _ => {
            world.rm_r(0, room, name);
            disk.dir_mut(dir).remove(name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn alone_it_is_a_file_system(ops in proptest::collection::vec(
        (0u8..10, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..60)) {
        let mut world = World::new(1);
        let mut disk = Disk(vec![Node::Dir(BTreeMap::new())]);
        for op in ops {
            step(&mut world, &mut disk, op);
            same(&world, &disk, ROOT, 0, &mut BTreeMap::new());
        }
    }
}
