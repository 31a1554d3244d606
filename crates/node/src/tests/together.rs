//! Random work on several nodes with any, and partial, delivery: one tree, one text, no word lost.

use super::Replicas;
use super::replicas::{text, write};
use crate::api::{NewContent, What};
use crate::core::Core;
use base::Oid;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One thing that somebody does.
#[derive(Clone, Copy, Debug)]
enum Op {
    Create(u8),
    Mkdir(u8),
    Append(u8),
    Prepend(u8),
    Remove(u8),
    Rename(u8, u8),
    Link(u8, u8),
    Carry(u8, u8),
}

fn op() -> impl Strategy<Value = (u8, Op)> {
    let any = any::<u8>;
    let op = prop_oneof![
        3 => any().prop_map(Op::Create),
        2 => any().prop_map(Op::Mkdir),
        4 => any().prop_map(Op::Append),
        2 => any().prop_map(Op::Prepend),
        2 => any().prop_map(Op::Remove),
        3 => (any(), any()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (any(), any()).prop_map(|(a, b)| Op::Link(a, b)),
        5 => (any(), any()).prop_map(|(a, b)| Op::Carry(a, b)),
    ];
    (any(), op)
}

// Everything that one shows: rooms, and files with the room and name of each.
fn places(core: &Core, root: Oid) -> (Vec<Oid>, Vec<(Oid, String, Oid)>) {
    let (mut rooms, mut files) = (vec![root], Vec::new());
    let mut next = 0;
    while next < rooms.len() {
        for found in core.list(&rooms[next], None, usize::MAX).unwrap() {
            match found.what {
                What::Room => rooms.push(found.target.oid()),
                What::Text => files.push((rooms[next], found.name, found.target.oid())),
                _ => {}
            }
        }
        next += 1;
    }
    (rooms, files)
}

fn pick<T: Clone>(all: &[T], n: u8) -> Option<T> {
    if all.is_empty() { None } else { Some(all[n as usize % all.len()].clone()) }
}

struct World {
    replicas: Replicas,
    words: BTreeSet<String>,
    next: usize,
}

impl World {
    fn act(&mut self, who: u8, op: Op) {
        let root = self.replicas.root();
        let core = self.replicas.core(who as usize);
        let (rooms, files) = places(core, root);
        match op {
            Op::Create(n) => {
                let room = pick(&rooms, n).unwrap();
                let name = format!("f{}", n % 3);
                if core.lookup(&room, &name).is_err() {
                    self.next += 1;
                    let word = format!("word{}", self.next);
                    write(core, room, &name, &format!("{word}\n"));
                }
            }
            Op::Mkdir(n) => {
                let room = pick(&rooms, n).unwrap();
                let _ = core.locked(|core| core.mkdir(room, &format!("d{}", n % 3)));
            }
            Op::Append(n) | Op::Prepend(n) => {
                let Some((_, _, file)) = pick(&files, n) else { return };
                self.next += 1;
                let word = format!("word{}", self.next);
                let (version, _) = core.read(&file).unwrap();
                let old = text(core, &file);
                let new = match op {
                    Op::Append(_) => format!("{old}{word}\n"),
                    _ => format!("{word}\n{old}"),
                };
                // What was never sent can still vanish with its file, as it would on a disk.
                let sealed =
                    !core.state.read().space(&root.space).unwrap().pending.births.contains_key(&file.object);
                core.save(&file, &version, NewContent::Bytes(new.into())).unwrap();
                if sealed {
                    self.words.insert(word);
                }
            }
            Op::Remove(n) => match pick(&files, n) {
                Some((room, name, _)) if n % 2 == 0 => core.locked(|core| core.unlink(room, &name)).unwrap(),
                _ => {
                    let Some((parent, name)) = pick(&rooms, n)
                        .and_then(|room| crate::read::place(&core.state.read(), &room))
                        .filter(|(parent, _)| parent.space == root.space)
                    else {
                        return;
                    };
                    let _ = core.locked(|core| core.rmdir(parent, &name));
                }
            },
            Op::Rename(a, b) => {
                let to = pick(&rooms, b).unwrap();
                let source = if a % 2 == 0 {
                    pick(&files, a).map(|(room, name, _)| (room, name))
                } else {
                    pick(&rooms, a).and_then(|room| crate::read::place(&core.state.read(), &room))
                };
                let Some((from, name)) = source.filter(|(from, _)| from.space == root.space) else { return };
                let new = format!("n{}", b % 4);
                let _ = core.locked(|core| core.rename(from, &name, to, &new, true));
            }
            Op::Link(a, b) => {
                let (Some((_, _, file)), Some(room)) = (pick(&files, a), pick(&rooms, b)) else { return };
                let _ = core.locked(|core| core.link(file, room, &format!("l{}", b % 3)));
            }
            Op::Carry(to, most) => {
                let most = if most % 3 == 0 { usize::MAX } else { most as usize % 3 };
                self.replicas.carry(who as usize, to as usize, most);
            }
        }
    }

    // Every word that was written stands exactly once in the text of some object, shown or removed.
    fn check_words(&self) {
        let core = self.replicas.core(0);
        let objects: Vec<Oid> = {
            let state = core.state.read();
            let space = state.space(&self.replicas.space).unwrap();
            let texts = space.heads.iter().filter(|(_, head)| head.kind == object::Type::Text);
            texts.map(|(id, _)| Oid { space: space.id, object: *id }).collect()
        };
        let all: Vec<String> = objects.iter().map(|oid| text(core, oid)).collect();
        for word in &self.words {
            let line = format!("{word}\n");
            let times: usize =
                all.iter().map(|t| t.lines().filter(|l| **l == line[..line.len() - 1]).count()).sum();
            assert_eq!(times, 1, "{word} stands {times} times in {all:?}");
        }
    }
}

// The names in a space's root.
fn names(core: &Core, root: &Oid) -> Vec<String> {
    core.list(root, None, usize::MAX).unwrap().into_iter().map(|f| f.name).collect()
}

#[test]
fn what_is_moved_or_removed_twice_in_a_moment_leaves_no_old_name() {
    let replicas = Replicas::new(2);
    let (core, root) = (replicas.core(0), replicas.root());
    let file = write(core, root, "t", "text");
    replicas.exchange();
    core.locked(|core| core.rename(root, "t", root, "f", false)).unwrap();
    core.locked(|core| core.link(file, root, "l")).unwrap();
    core.locked(|core| core.unlink(root, "f")).unwrap();
    assert_eq!(names(core, &root), ["l"]);
    core.locked(|core| core.rename(root, "l", root, "m", false)).unwrap();
    core.locked(|core| core.rename(root, "m", root, "n", false)).unwrap();
    assert_eq!(names(core, &root), ["n"]);
    replicas.exchange();
    assert_eq!(names(replicas.core(1), &root), ["n"]);
    core.locked(|core| core.rename(root, "n", root, "o", false)).unwrap();
    core.locked(|core| core.unlink(root, "o")).unwrap();
    assert_eq!(names(core, &root), [] as [&str; 0]);
    replicas.exchange();
    assert_eq!(names(replicas.core(1), &root), [] as [&str; 0]);
}

#[test]
fn what_was_edited_under_a_second_name_does_not_come_back_under_its_first() {
    let replicas = Replicas::new(2);
    let (core, root) = (replicas.core(0), replicas.root());
    let file = write(core, root, "first", "text");
    replicas.exchange();
    core.locked(|core| core.link(file, root, "second")).unwrap();
    core.locked(|core| core.unlink(root, "first")).unwrap();
    core.append(&file, b" and more").unwrap();
    core.locked(|core| core.unlink(root, "second")).unwrap();
    assert_eq!(names(core, &root), [] as [&str; 0]);
    replicas.exchange();
    for core in [core, replicas.core(1)] {
        assert_eq!(names(core, &root), [] as [&str; 0]);
    }
}

#[test]
fn a_room_that_two_make_is_no_longer_one_persons_to_take_back() {
    let replicas = Replicas::new(2);
    let (first, second, root) = (replicas.core(0), replicas.core(1), replicas.root());
    first.locked(|core| core.mkdir(root, "d")).unwrap();
    second.locked(|core| core.mkdir(root, "d")).unwrap();
    // The birth arrives, and not yet the door.
    assert_eq!(replicas.carry(0, 1, 1), 1);
    second.locked(|core| core.rmdir(root, "d")).unwrap();
    assert_eq!(names(second, &root), [] as [&str; 0]);
    replicas.exchange();
    for core in [first, second] {
        assert_eq!(names(core, &root), ["d"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nodes_that_meet_show_one_tree_and_every_word(
        n in 3usize..=5,
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = World { replicas: Replicas::new(n), words: BTreeSet::new(), next: 0 };
        for (who, op) in ops {
            world.act(who, op);
        }
        world.replicas.check_oracle();
        world.replicas.exchange();
        world.replicas.check_oracle();
        let first = world.replicas.tree(0);
        for n in 1..world.replicas.all.len() {
            prop_assert_eq!(&world.replicas.tree(n), &first);
        }
        world.check_words();
    }
}

// More with CHORUS_TORTURE, for `make torture`.
fn cases() -> u32 {
    std::env::var("CHORUS_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}
