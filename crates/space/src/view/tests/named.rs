//! The cases that a naive reading gets wrong, and every row of the table of two people at once that concerns the
//! tree.

use super::world::{ROOT, World, tree};
use base::ObjectId;

fn met(mut world: World) -> World {
    world.meet();
    world
}

fn both(f: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(2);
    f(&mut world);
    met(world)
}

fn file(world: &mut World, name: &str) -> ObjectId {
    world.create(0, ROOT, name, 1).unwrap()
}

fn room(world: &mut World, name: &str) -> ObjectId {
    world.mkdir(0, ROOT, name).unwrap()
}

#[test]
fn an_edit_between_two_removals_does_not_bring_the_first_name_back() {
    let world = both(|w| {
        let id = file(w, "a");
        assert!(w.ln(0, ROOT, "a", ROOT, "b"));
        assert!(w.rm(0, ROOT, "a"));
        w.edit(0, id);
        assert!(w.rm(0, ROOT, "b"));
    });
    assert!(tree(world.view(1)).is_empty());
    assert!(world.view(1).lost().is_empty());
}

#[test]
fn moved_twice_then_removed_while_edited_returns_at_the_last_name() {
    let world = both(|w| {
        let id = file(w, "a");
        assert!(w.mv(0, ROOT, "a", ROOT, "b"));
        assert!(w.mv(0, ROOT, "b", ROOT, "c"));
        w.meet();
        assert!(w.rm(0, ROOT, "c"));
        w.edit(1, id);
    });
    assert_eq!(tree(world.view(0)), ["c!"]);
}

#[test]
fn moved_twice_in_one_entry_the_last_name_is_the_later() {
    // Both moves carry one lamport; which name it returns under must not be left to random ids.
    use super::world::{Item, here};
    use crate::view::{Door, DoorKind, Gone};
    use base::DoorId;
    for (b, c) in [(1, 2), (2, 1)] {
        let mut w = World::new(2);
        let id = file(&mut w, "a");
        let a = w.view(0).lookup(ROOT, "a").unwrap().door;
        let (b, c) = (DoorId([b; 16]), DoorId([c; 16]));
        let door = |name: &str| Door {
            name: name.into(),
            target: here(id),
            kind: DoorKind::Place,
            at: Default::default(),
            gone: Vec::new(),
        };
        let to = |door| Gone { clock: Default::default(), to: Some((ROOT, door)) };
        let items = vec![
            Item::Add(ROOT, b, door("b")),
            Item::Gone(ROOT, a, to(b)),
            Item::Add(ROOT, c, door("c")),
            Item::Gone(ROOT, b, to(c)),
        ];
        w.seal(0, items);
        w.meet();
        assert!(w.rm(0, ROOT, "c"));
        w.edit(1, id);
        w.meet();
        assert_eq!(tree(w.view(0)), ["c!"]);
    }
}

#[test]
fn two_removals_that_each_saw_another_edit_remove() {
    let mut w = World::new(4);
    let id = file(&mut w, "a");
    w.meet();
    w.edit(0, id);
    w.edit(1, id);
    w.send(0, 2, 9);
    w.send(1, 3, 9);
    assert!(w.rm(2, ROOT, "a"));
    assert!(w.rm(3, ROOT, "a"));
    w.meet();
    assert!(tree(w.view(0)).is_empty());
}

#[test]
fn one_removal_that_saw_one_of_two_edits_does_not() {
    let mut w = World::new(3);
    let id = file(&mut w, "a");
    w.meet();
    w.edit(0, id);
    w.edit(1, id);
    w.send(0, 2, 9);
    assert!(w.rm(2, ROOT, "a"));
    w.meet();
    assert_eq!(tree(w.view(2)), ["a!"]);
    // It can be removed again, for good.
    assert!(w.rm(0, ROOT, "a"));
    w.meet();
    assert!(tree(w.view(2)).is_empty());
}

#[test]
fn removing_a_room_with_all_in_it_while_a_file_is_edited() {
    let world = both(|w| {
        let r = room(w, "R");
        let id = w.create(0, r, "f", 1).unwrap();
        w.create(0, r, "g", 2).unwrap();
        w.meet();
        w.rm_r(0, ROOT, "R");
        w.edit(1, id);
    });
    assert_eq!(tree(world.view(0)), ["R/!", "R/f!"]);
}

#[test]
fn removing_a_room_while_something_is_made_in_it() {
    let world = both(|w| {
        let r = room(w, "R");
        w.meet();
        assert!(w.rm(0, ROOT, "R"));
        w.create(1, r, "new", 1).unwrap();
        w.mkdir(1, r, "sub").unwrap();
    });
    assert_eq!(tree(world.view(0)), ["R/!", "R/new", "R/sub/"]);
}

#[test]
fn rmdir_while_the_last_file_is_removed_leaves_nothing() {
    let mut w = World::new(2);
    let r = room(&mut w, "R");
    w.create(0, r, "x", 1).unwrap();
    w.meet();
    w.rm_r(0, ROOT, "R");
    assert!(w.rm(1, r, "x"));
    w.meet();
    assert!(tree(w.view(0)).is_empty());
    assert!(!w.view(0).is_kept(r));
    assert_eq!(w.view(0).place(r), None);
}

#[test]
fn rooms_moved_into_each_other() {
    let mut w = World::new(2);
    let a = room(&mut w, "A");
    let b = room(&mut w, "B");
    w.create(0, a, "in-a", 1).unwrap();
    w.create(0, b, "in-b", 2).unwrap();
    w.meet();
    assert!(w.mv(0, ROOT, "A", b, "A"));
    assert!(w.mv(1, ROOT, "B", a, "B"));
    w.meet();
    // The second device's claim is the later one, and is passed over.
    assert_eq!(tree(w.view(0)), ["B/!", "B/A/", "B/A/B@", "B/A/in-a", "B/in-b"]);
    // It can be moved on from there.
    assert!(w.mv(0, ROOT, "B", ROOT, "C"));
    w.meet();
    assert_eq!(tree(w.view(1)), ["C/", "C/A/", "C/A/B@", "C/A/in-a", "C/in-b"]);
}

#[test]
fn three_rooms_moved_into_each_other_in_a_ring() {
    let mut w = World::new(3);
    let rooms: Vec<ObjectId> = ["A", "B", "C"].iter().map(|name| room(&mut w, name)).collect();
    w.meet();
    for (n, name) in ["A", "B", "C"].iter().enumerate() {
        assert!(w.mv(n, ROOT, name, rooms[(n + 1) % 3], name));
    }
    w.meet();
    assert_eq!(tree(w.view(0)), ["C/!", "C/B/", "C/B/A/", "C/B/A/C@"]);
}

#[test]
fn a_ring_whose_way_out_was_removed_stays_in_the_tree() {
    let mut w = World::new(3);
    let p = room(&mut w, "P");
    let x = room(&mut w, "X");
    let b = w.mkdir(0, p, "B").unwrap();
    w.meet();
    assert!(w.mv(0, p, "B", x, "B"));
    w.send(0, 2, 9);
    assert!(w.rm(2, x, "B"));
    assert!(w.mv(0, ROOT, "P", b, "P"));
    assert!(w.mv(1, ROOT, "X", b, "X"));
    w.meet();
    for room in [p, x, b] {
        assert!(w.view(0).path(room).is_some(), "{:?}", tree(w.view(0)));
    }
}

#[test]
fn half_a_move_hides_nothing() {
    use super::world::{Item, here};
    use crate::view::{Delta, Door, DoorKind, Gone};
    use base::DoorId;
    let mut w = World::new(1);
    let id = file(&mut w, "a");
    let old = w.view(0).lookup(ROOT, "a").unwrap().door;
    let new = DoorId([9; 16]);
    let gone = Gone { clock: Default::default(), to: Some((ROOT, new)) };
    w.seal(0, vec![Item::Gone(ROOT, old, gone)]);
    assert_eq!(tree(w.view(0)), ["a"]);
    let door = Door {
        name: b"b".to_vec(),
        target: here(id),
        kind: DoorKind::Place,
        at: Default::default(),
        gone: Vec::new(),
    };
    w.seal(0, vec![Item::Add(ROOT, new, door)]);
    assert_eq!(tree(w.view(0)), ["b"]);
    // The other half alone, and taken back.
    let mut out = Delta::default();
    w.replicas[0].view.forget_door(ROOT, new, &mut out);
    assert_eq!(tree(w.view(0)), ["a"]);
    assert_eq!(out.changes.len(), 2);
}

#[test]
fn a_symlink_to_a_room_does_not_move_it() {
    let mut w = World::new(2);
    let r = room(&mut w, "R");
    let s = room(&mut w, "S");
    w.create(0, r, "f", 1).unwrap();
    assert!(w.ln(0, ROOT, "R", s, "way"));
    w.meet();
    assert_eq!(tree(w.view(1)), ["R/", "R/f", "S/", "S/way@"]);
    // It follows.
    assert!(w.mv(1, ROOT, "R", ROOT, "T"));
    w.meet();
    assert_eq!(tree(w.view(0)), ["S/", "S/way@", "T/", "T/f"]);
    assert_eq!(w.view(0).path(r), Some(vec!["T".to_owned()]));
    // And goes on when the room is no more, as a symlink does.
    w.rm_r(0, ROOT, "T");
    assert_eq!(tree(w.view(0)), ["S/", "S/way@"]);
    assert!(w.rm(0, s, "way"));
    assert_eq!(tree(w.view(0)), ["S/"]);
}

#[test]
fn the_same_file_name_made_by_both() {
    let mut w = World::new(2);
    w.create(0, ROOT, "f.txt", 1).unwrap();
    w.create(1, ROOT, "f.txt", 2).unwrap();
    w.meet();
    let lines = tree(w.view(0));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "f.txt");
    assert!(lines[1].starts_with("f~") && lines[1].ends_with(".txt") && lines[1].len() == "f~0123.txt".len());
    // The earlier has the plain name.
    let first = w.view(0).lookup(ROOT, "f.txt").unwrap().door;
    assert_eq!(w.view(0).door_state(ROOT, first).unwrap().at.1, base::DeviceId([1; 32]));
}

#[test]
fn the_same_file_made_by_both_shows_once_until_one_is_edited() {
    let mut w = World::new(2);
    let id = w.create(0, ROOT, "f", 1).unwrap();
    w.create(1, ROOT, "f", 1).unwrap();
    w.meet();
    assert_eq!(tree(w.view(0)), ["f"]);
    assert_eq!(w.view(0).lookup(ROOT, "f").unwrap().doors.len(), 2);
    w.edit(0, id);
    assert_eq!(tree(w.view(0)).len(), 2);
    w.meet();
    let mut w = World::new(2);
    w.create(0, ROOT, "f", 1).unwrap();
    w.create(1, ROOT, "f", 1).unwrap();
    w.meet();
    assert!(w.rm(1, ROOT, "f"));
    w.meet();
    assert!(tree(w.view(0)).is_empty());
}

#[test]
fn the_same_room_made_by_both_is_one() {
    let mut w = World::new(2);
    let a = w.mkdir(0, ROOT, "src").unwrap();
    let b = w.mkdir(1, ROOT, "src").unwrap();
    assert_eq!(a, b);
    w.create(0, a, "x", 1).unwrap();
    w.create(1, b, "y", 2).unwrap();
    w.meet();
    assert_eq!(tree(w.view(0)), ["src/", "src/x", "src/y"]);
    w.rm_r(1, ROOT, "src");
    w.meet();
    assert!(tree(w.view(0)).is_empty());
    // Made again it is another one.
    assert_eq!(w.view(0).next_room_n(ROOT, "src"), 1);
}

#[test]
fn rename_while_edited_and_rename_while_renamed() {
    let mut w = World::new(2);
    let id = file(&mut w, "a");
    w.meet();
    assert!(w.mv(0, ROOT, "a", ROOT, "b"));
    w.edit(1, id);
    w.meet();
    assert_eq!(tree(w.view(0)), ["b"]);
    assert!(w.mv(0, ROOT, "b", ROOT, "c"));
    assert!(w.mv(1, ROOT, "b", ROOT, "d"));
    w.meet();
    // Two doors to one object; edits through either are edits of it.
    assert_eq!(tree(w.view(0)), ["c", "d"]);
    assert_eq!(w.view(0).links(id), 2);
}

#[test]
fn delete_while_edited_the_edit_wins() {
    let mut w = World::new(2);
    let id = file(&mut w, "a");
    w.meet();
    assert!(w.rm(0, ROOT, "a"));
    w.edit(1, id);
    w.meet();
    assert_eq!(tree(w.view(0)), ["a!"]);
    // A second name does not cost it the first.
    assert!(w.ln(0, ROOT, "a", ROOT, "b"));
    w.meet();
    assert_eq!(tree(w.view(1)), ["a", "b"]);
}

#[test]
fn delete_while_renamed_the_new_name_stays() {
    let mut w = World::new(2);
    file(&mut w, "a");
    w.meet();
    assert!(w.rm(0, ROOT, "a"));
    assert!(w.mv(1, ROOT, "a", ROOT, "b"));
    w.meet();
    assert_eq!(tree(w.view(0)), ["b"]);
}

#[test]
fn a_room_moved_by_both_is_at_the_later_claim() {
    let mut w = World::new(2);
    let r = room(&mut w, "R");
    let (s, t) = (room(&mut w, "S"), room(&mut w, "T"));
    w.create(0, r, "f", 1).unwrap();
    w.meet();
    assert!(w.mv(0, ROOT, "R", s, "R"));
    assert!(w.mv(1, ROOT, "R", t, "R"));
    w.meet();
    assert_eq!(tree(w.view(0)), ["S/", "S/R@", "T/", "T/R/", "T/R/f"]);
    // Removed, it is removed at both.
    w.rm_r(0, t, "R");
    w.meet();
    assert_eq!(tree(w.view(1)), ["S/", "T/"]);
}

#[test]
fn a_room_moved_into_one_that_is_removed_meanwhile() {
    let mut w = World::new(2);
    let r = room(&mut w, "R");
    let s = room(&mut w, "S");
    w.create(0, r, "f", 1).unwrap();
    w.meet();
    assert!(w.mv(0, ROOT, "R", s, "R"));
    assert!(w.rm(1, ROOT, "S"));
    w.meet();
    assert_eq!(tree(w.view(0)), ["S/!", "S/R/", "S/R/f"]);
}

#[test]
fn a_room_moved_then_removed_comes_back_where_it_was_last() {
    let mut w = World::new(2);
    let (p, q) = (room(&mut w, "P"), room(&mut w, "Q"));
    let c = w.mkdir(0, p, "C").unwrap();
    let f = w.create(0, c, "f", 1).unwrap();
    assert!(w.mv(0, p, "C", q, "C"));
    w.meet();
    w.rm_r(0, ROOT, "Q");
    w.edit(1, f);
    w.meet();
    assert_eq!(tree(w.view(0)), ["P/", "Q/!", "Q/C/!", "Q/C/f!"]);
}

#[test]
fn a_room_that_is_claimed_anew_keeps_its_name() {
    // It was removed while something was made in it; in between, a file took its name.
    let mut w = World::new(2);
    let id = room(&mut w, "c.d");
    w.meet();
    for name in ["x", "y"] {
        assert!(w.create(0, id, name, name.as_bytes()[0]).is_some());
    }
    assert!(w.rm(1, ROOT, "c.d"));
    assert!(w.create(1, ROOT, "c.d", 1).is_some());
    w.send(0, 1, usize::MAX);
    let path = w.view(1).path(id);
    assert!(w.rm(1, id, "x"));
    assert_eq!(w.view(1).path(id), path);
    w.meet();
    assert_eq!(w.view(0).path(id), path);
    // And one that has the name with digits keeps those.
    let mut w = World::new(3);
    assert!(w.create(2, ROOT, "b", 1).is_some());
    assert!(w.create(0, ROOT, "a", 1).is_some());
    let id = room(&mut w, "b");
    w.send(0, 1, usize::MAX);
    assert!(w.create(0, id, "x", 3).is_some());
    assert!(w.create(0, id, "y", 4).is_some());
    assert!(w.rm(1, ROOT, "b"));
    w.send(1, 0, usize::MAX);
    w.send(2, 0, usize::MAX);
    let path = w.view(0).path(id);
    assert!(path.as_ref().is_some_and(|path| path[0].starts_with("b~")));
    assert!(w.rm(0, id, "x"));
    assert_eq!(w.view(0).path(id), path);
}
