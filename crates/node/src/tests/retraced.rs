//! What comes and goes before anybody is told leaves nothing; and names are what a plain model says they are.

use super::Replicas;
use super::replicas::{text, write};
use crate::api::What;
use crate::core::Core;
use base::{Kind, Oid};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A name in a room.
type Place<'a> = (Oid, &'a str);

/// What a name leads to: a file by its number, or a room.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    File(u32),
    Room(u32, BTreeMap<String, Node>),
}

/// A change of names: rooms and names are small numbers.
#[derive(Clone, Debug)]
enum Act {
    Create(usize, usize),
    Mkdir(usize, usize),
    Rename((usize, usize), (usize, usize)),
    Exchange((usize, usize), (usize, usize)),
    Link((usize, usize), (usize, usize)),
    Unlink(usize, usize),
    Rmdir(usize, usize),
    // Back by the way that it came.
    Back,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn act() -> impl Strategy<Value = Act> {
    let at = || (0..3usize, 0..NAMES.len());
    prop_oneof![
        2 => at().prop_map(|(r, n)| Act::Create(r, n)),
        1 => at().prop_map(|(r, n)| Act::Mkdir(r, n)),
        4 => (at(), at()).prop_map(|(a, b)| Act::Rename(a, b)),
        2 => (at(), at()).prop_map(|(a, b)| Act::Exchange(a, b)),
        2 => (at(), at()).prop_map(|(a, b)| Act::Link(a, b)),
        2 => at().prop_map(|(r, n)| Act::Unlink(r, n)),
        1 => at().prop_map(|(r, n)| Act::Rmdir(r, n)),
        3 => Just(Act::Back),
    ]
}

// The rooms of a node, the root first, in the order of their paths.
fn rooms(core: &Core, root: Oid) -> Vec<Oid> {
    let mut all = vec![root];
    for found in core.list(&root, None, usize::MAX).unwrap() {
        if found.what == What::Room {
            all.extend(rooms(core, found.target.oid()));
        }
    }
    all
}

fn room_of(core: &Core, root: Oid, n: usize) -> Oid {
    let all = rooms(core, root);
    all[n % all.len()]
}

// What is shown, by the identity of what names lead to.
fn shown(core: &Core, room: Oid) -> BTreeMap<String, (Oid, Option<BTreeMap<String, String>>)> {
    let mut all = BTreeMap::new();
    for found in core.list(&room, None, usize::MAX).unwrap() {
        let oid = found.target.oid();
        let inside = (found.what == What::Room).then(|| {
            shown(core, oid).into_iter().map(|(name, inner)| (name, format!("{inner:?}"))).collect()
        });
        all.insert(found.name, (oid, inside));
    }
    all
}

struct Play<'a> {
    core: &'a Core,
    root: Oid,
    model: BTreeMap<String, Node>,
    made: u32,
    before: Vec<((Oid, String), (Oid, String))>,
}

// The room of the model at a path that the node has.
fn inside<'a>(model: &'a mut BTreeMap<String, Node>, path: &[String]) -> &'a mut BTreeMap<String, Node> {
    let mut at = model;
    for name in path {
        at = match at.get_mut(name) {
            Some(Node::Room(_, inner)) => inner,
            other => panic!("the node shows a room where the model has {other:?}"),
        };
    }
    at
}

impl Play<'_> {
    fn path(&self, room: Oid) -> Vec<String> {
        let mut todo = vec![(self.root, Vec::new())];
        while let Some((at, path)) = todo.pop() {
            if at == room {
                return path;
            }
            for found in self.core.list(&at, None, usize::MAX).unwrap() {
                if found.what == What::Room {
                    let mut longer = path.clone();
                    longer.push(found.name);
                    todo.push((found.target.oid(), longer));
                }
            }
        }
        panic!("a room without a way to it");
    }

    fn at(&mut self, room: Oid) -> &mut BTreeMap<String, Node> {
        let path = self.path(room);
        inside(&mut self.model, &path)
    }

    fn same(&self, room: Oid, model: &BTreeMap<String, Node>) {
        let found = self.core.list(&room, None, usize::MAX).unwrap();
        let names: Vec<&str> = found.iter().map(|found| &*found.name).collect();
        assert_eq!(names, model.keys().map(String::as_str).collect::<Vec<_>>());
        for found in &found {
            match &model[&found.name] {
                Node::File(n) => assert_eq!(text(self.core, &found.target.oid()), n.to_string()),
                Node::Room(_, inner) => {
                    assert_eq!(found.what, What::Room);
                    self.same(found.target.oid(), inner);
                }
            }
        }
    }

    fn perform(&mut self, act: &Act) {
        let core = self.core;
        let room = |n: usize| room_of(core, self.root, n);
        match act {
            Act::Create(r, n) => {
                let (room, name) = (room(*r), NAMES[*n]);
                if !self.at(room).contains_key(name) {
                    self.made += 1;
                    let made = self.made;
                    write(core, room, name, &made.to_string());
                    self.at(room).insert(name.into(), Node::File(made));
                }
            }
            Act::Mkdir(r, n) => {
                let (room, name) = (room(*r), NAMES[*n]);
                if core.locked(|core| core.mkdir(room, name)).is_ok() {
                    self.made += 1;
                    let made = self.made;
                    // It was made already: the way to its parent is the same.
                    let old = self.at(room).insert(name.into(), Node::Room(made, BTreeMap::new()));
                    assert!(old.is_none(), "a room took the name of {old:?}");
                }
            }
            Act::Rename(from, to) => {
                let (from, to) = ((room(from.0), NAMES[from.1]), (room(to.0), NAMES[to.1]));
                self.rename(from, to);
            }
            Act::Back => {
                if let Some((from, to)) = self.before.pop() {
                    // A room may be gone meanwhile.
                    let all = rooms(core, self.root);
                    if all.contains(&from.0) && all.contains(&to.0) {
                        self.rename((to.0, &to.1), (from.0, &from.1));
                        self.before.pop();
                    }
                }
            }
            Act::Exchange(a, b) => {
                let (a, b) = ((room(a.0), NAMES[a.1]), (room(b.0), NAMES[b.1]));
                let paths = (self.path(a.0), self.path(b.0));
                if core.locked(|core| core.exchange(a.0, a.1, b.0, b.1)).is_ok() {
                    let one = inside(&mut self.model, &paths.0).remove(a.1).unwrap();
                    let other = match (a.0, a.1) == (b.0, b.1) {
                        true => one.clone(),
                        false => inside(&mut self.model, &paths.1).remove(b.1).unwrap(),
                    };
                    inside(&mut self.model, &paths.0).insert(a.1.into(), other);
                    inside(&mut self.model, &paths.1).insert(b.1.into(), one);
                }
            }
            Act::Link(from, to) => {
                let (from, to) = ((room(from.0), NAMES[from.1]), (room(to.0), NAMES[to.1]));
                let Some(Node::File(n)) = self.at(from.0).get(from.1).cloned() else { return };
                let oid = core.lookup(&from.0, from.1).unwrap().target.oid();
                let taken = self.at(to.0).contains_key(to.1);
                let done = core.locked(|core| core.link(oid, to.0, to.1));
                assert_eq!(done.is_err(), taken, "{done:?}");
                self.at(to.0).entry(to.1.into()).or_insert(Node::File(n));
            }
            Act::Unlink(r, n) => {
                let (room, name) = (room(*r), NAMES[*n]);
                let is_file = matches!(self.at(room).get(name), Some(Node::File(_)));
                assert_eq!(core.locked(|core| core.unlink(room, name)).is_ok(), is_file);
                if is_file {
                    self.at(room).remove(name);
                }
            }
            Act::Rmdir(r, n) => {
                let (room, name) = (room(*r), NAMES[*n]);
                let empty = matches!(self.at(room).get(name), Some(Node::Room(_, inner)) if inner.is_empty());
                assert_eq!(core.locked(|core| core.rmdir(room, name)).is_ok(), empty);
                if empty {
                    self.at(room).remove(name);
                }
            }
        }
    }

    fn rename(&mut self, from: (Oid, &str), to: (Oid, &str)) {
        let paths = (self.path(from.0), self.path(to.0));
        let same = {
            let at = |room: Oid, name: &str| self.core.lookup(&room, name).ok().map(|f| f.target.oid());
            at(from.0, from.1).is_some() && at(from.0, from.1) == at(to.0, to.1)
        };
        match self.core.locked(|core| core.rename(from.0, from.1, to.0, to.1, false)) {
            // Two names of one file: POSIX says that nothing happens.
            Ok(()) if same => {}
            Ok(()) => {
                let moved = inside(&mut self.model, &paths.0).remove(from.1).unwrap();
                inside(&mut self.model, &paths.1).insert(to.1.into(), moved);
                self.before.push(((from.0, from.1.into()), (to.0, to.1.into())));
            }
            Err(e) => assert!(
                matches!(
                    e.kind(),
                    Kind::NotFound | Kind::Invalid | Kind::NotEmpty | Kind::IsRoom | Kind::NotRoom
                ),
                "{e}"
            ),
        }
    }
}

fn entries(replicas: &Replicas, n: usize) -> usize {
    replicas.core(n).all_entries(&replicas.space.tag()).unwrap().len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    // Parts of work, each sealed at its end. Wherever a part leads back to what was there before, nothing is made.
    #[test]
    fn names_are_as_a_plain_model_has_them(
        parts in prop::collection::vec((prop::collection::vec(act(), 1..16), any::<bool>()), 1..6)
    ) {
        let mut replicas = Replicas::new(2);
        let root = replicas.root();
        let (mut model, mut made) = (BTreeMap::new(), 0);
        for (acts, restart) in parts {
            let (was, told) = (shown(replicas.core(0), root), entries(&replicas, 0));
            let mut play = Play { core: replicas.core(0), root, model, made, before: Vec::new() };
            for act in &acts {
                play.perform(act);
                play.same(root, &play.model);
            }
            (model, made) = (play.model, play.made);
            if restart {
                replicas.restart(0);
                let play = Play { core: replicas.core(0), root, model, made, before: Vec::new() };
                play.same(root, &play.model);
                model = play.model;
            }
            let back = shown(replicas.core(0), root) == was;
            replicas.core(0).seal_all(true).unwrap();
            if back {
                prop_assert_eq!(entries(&replicas, 0), told, "what came and went was told: {:?}", acts);
            }
            replicas.exchange();
            replicas.check_oracle();
            prop_assert_eq!(replicas.tree(0), replicas.tree(1));
        }
    }

    // Two who change names apart, one of whom goes back and forth, agree afterwards.
    #[test]
    fn whoever_goes_back_and_forth_agrees_with_others(
        parts in prop::collection::vec((prop::collection::vec(act(), 1..10), 0..2usize, 0..4usize), 2..10)
    ) {
        let replicas = Replicas::new(2);
        let root = replicas.root();
        for (acts, who, most) in parts {
            let core = replicas.core(who);
            let mut back: Vec<(Place<'_>, Place<'_>)> = Vec::new();
            for act in acts {
                let room = |n: usize| room_of(core, root, n);
                let _ = match act {
                    Act::Create(r, n) if core.lookup(&room(r), NAMES[n]).is_err() => {
                        write(core, room(r), NAMES[n], NAMES[n]);
                        Ok(())
                    }
                    Act::Mkdir(r, n) => core.locked(|c| c.mkdir(room(r), NAMES[n])).map(drop),
                    Act::Rename(a, b) => {
                        let (a, b) = ((room(a.0), NAMES[a.1]), (room(b.0), NAMES[b.1]));
                        back.push((a, b));
                        core.locked(|c| c.rename(a.0, a.1, b.0, b.1, false))
                    }
                    Act::Back => match back.pop() {
                        Some((a, b)) => core.locked(|c| c.rename(b.0, b.1, a.0, a.1, false)),
                        None => Ok(()),
                    },
                    Act::Exchange(a, b) => {
                        core.locked(|c| c.exchange(room(a.0), NAMES[a.1], room(b.0), NAMES[b.1]))
                    }
                    Act::Link(a, b) => match core.lookup(&room(a.0), NAMES[a.1]) {
                        Ok(found) => core.locked(|c| c.link(found.target.oid(), room(b.0), NAMES[b.1])),
                        Err(_) => Ok(()),
                    },
                    Act::Unlink(r, n) => core.locked(|c| c.unlink(room(r), NAMES[n])),
                    Act::Rmdir(r, n) => core.locked(|c| c.rmdir(room(r), NAMES[n])),
                    Act::Create(..) => Ok(()),
                };
            }
            replicas.check_oracle();
            // What the other made comes in while this one's is not sealed yet.
            for entry in replicas.core(1 - who).all_entries(&replicas.space.tag()).unwrap().iter().take(most * 8) {
                core.take_entry(entry, false).unwrap();
            }
            replicas.check_oracle();
        }
        replicas.exchange();
        replicas.check_oracle();
        prop_assert_eq!(replicas.tree(0), replicas.tree(1));
    }
}
