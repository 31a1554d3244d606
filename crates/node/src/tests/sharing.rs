//! A room of home becomes a space while it is worked in; a space is joined and nothing of it is lost.

use super::replicas::{text, write};
use crate::api::{NewContent, Target, What};
use crate::copying::{Copying, see};
use crate::core::Core;
use crate::record::{Placing, SpaceRecord};
use base::{Kind, Oid, SpaceId};
use space::member::Role;
use std::path::Path;
use store::Batch;

fn open(dir: &Path) -> Core {
    Core::open(dir, Some("somebody")).unwrap().0
}

fn close(core: Core) {
    core.seal_all(true).unwrap();
    core.store.clone().close().unwrap();
}

fn mkdir(core: &Core, room: Oid, name: &str) -> Oid {
    core.locked(|core| core.mkdir(room, name)).unwrap()
}

// A way to a room that has its place elsewhere.
fn link_room(core: &Core, room: Oid, name: &str, to: Oid) {
    let target = object::Target { space: None, object: to.object };
    core.locked(|core| {
        let step = core.with_space(&room.space, |space| {
            core.add_door(space, room.object, name, target, object::DoorKind::Link, false)
        })?;
        core.perform(&room.space, vec![step])
    })
    .unwrap();
}

fn save(core: &Core, oid: &Oid, content: &[u8]) {
    let (version, _) = core.read(oid).unwrap();
    core.save(oid, &version, NewContent::Bytes(content.to_vec())).unwrap();
}

fn names(core: &Core, path: &str) -> Vec<String> {
    let room = core.resolve(path).unwrap();
    core.list(&room, None, usize::MAX).unwrap().into_iter().map(|f| f.name).collect()
}

fn read(core: &Core, path: &str) -> String {
    text(core, &core.resolve(path).unwrap())
}

// A share that was stopped right after the space was made: its room is still to be copied.
fn begin(core: &Core, path: &str) -> SpaceId {
    let room = core.resolve(path).unwrap();
    let made = core.new_space().unwrap();
    let placing = Placing { path: path.into(), from: Some(room.object) };
    let name = path.rsplit('/').next().unwrap().to_string();
    let record = SpaceRecord { id: made.id, name, home: false, unplaced: Some(placing) };
    core.adopt_space(record, &made.entries, Batch::new()).unwrap();
    made.id
}

fn spaces(core: &Core) -> usize {
    core.state.read().spaces.len()
}

#[test]
fn a_shared_room_holds_all_that_the_room_held() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let inner = mkdir(&core, room, "inner");
    let file = write(&core, room, "file", "words");
    core.set_attr(&file, Some(0o600), None).unwrap();
    core.locked(|core| core.link(file, inner, "same")).unwrap();
    core.locked(|core| core.symlink(room, "link", b"inner/same")).unwrap();
    let large: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_be_bytes()).collect();
    let blob = write(&core, inner, "large", "");
    save(&core, &blob, &large);
    let swap = core.locked(|core| core.create(room, ".file.swp", 0o600, true)).unwrap();
    core.save(&swap, &Default::default(), NewContent::Bytes(b"scratch".to_vec())).unwrap();
    link_room(&core, room, "way", inner);
    let space = core.space_to_share("/room").unwrap();

    assert_eq!(core.resolve("/room").unwrap(), Oid { space, object: space.root() });
    assert_eq!(names(&core, "/room"), [".file.swp", "file", "inner", "link", "way"]);
    let way = core.lookup(&core.resolve("/room").unwrap(), "way").unwrap();
    assert_eq!(way.target, Target::LinkTo(core.resolve("/room/inner").unwrap()));
    assert_eq!(names(&core, "/room/inner"), ["large", "same"]);
    assert_eq!(read(&core, "/room/file"), "words");
    assert_eq!(core.resolve("/room/file").unwrap(), core.resolve("/room/inner/same").unwrap());
    assert_eq!(core.attr(&core.resolve("/room/file").unwrap()).unwrap().perm, 0o600);
    assert_eq!(core.attr(&core.resolve("/room/inner/large").unwrap()).unwrap().size, large.len() as u64);
    assert_eq!(core.read_link(&core.resolve("/room/link").unwrap()).unwrap(), b"inner/same");
    let scratch = core.resolve("/room/.file.swp").unwrap();
    assert!(core.attr(&scratch).unwrap().local);
    assert_eq!(text(&core, &scratch), "scratch");
    assert_eq!(core.space_to_share("/room").unwrap(), space);
    assert_eq!(spaces(&core), 2);
}

#[test]
fn a_room_that_changed_since_it_was_copied_is_not_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let file = write(&core, room, "file", "old");
    let space = begin(&core, "/room");
    let root = Oid { space, object: space.root() };
    let copies = std::cell::RefCell::default();
    let copy = || {
        core.seal_all(true).unwrap();
        let seen = see(&core.state.read(), &room).unwrap();
        Copying::new(&core, &core.me.home, &seen, &mut copies.borrow_mut()).run(room.object, root).unwrap();
        seen
    };
    let changes: [&dyn Fn(); 5] = [
        &|| save(&core, &file, b"new"),
        &|| {
            write(&core, room, "late", "");
        },
        &|| core.locked(|core| core.rename(room, "late", room, "later", false)).unwrap(),
        &|| core.set_attr(&file, Some(0o640), None).unwrap(),
        &|| core.locked(|core| core.unlink(room, "later")).unwrap(),
    ];
    for change in changes {
        let seen = copy();
        change();
        assert!(!core.swap_room(&room, &space, &seen, &copies.borrow()).unwrap());
        assert_eq!(core.resolve("/room").unwrap(), room);
    }
    let seen = copy();
    assert!(core.swap_room(&room, &space, &seen, &copies.borrow()).unwrap());
    assert_eq!(core.resolve("/room").unwrap(), root);
    assert_eq!(names(&core, "/room"), ["file"]);
    assert_eq!(read(&core, "/room/file"), "new");
    assert_eq!(core.attr(&core.resolve("/room/file").unwrap()).unwrap().perm, 0o640);
}

#[test]
fn what_changes_between_the_copy_and_the_swap_is_copied_too() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let files: Vec<Oid> = (0..40).map(|n| write(&core, room, &format!("f{n:02}"), "old")).collect();
    let inner = mkdir(&core, room, "inner");
    std::thread::scope(|scope| {
        let sharing = scope.spawn(|| core.space_to_share("/room"));
        for (n, file) in files.iter().enumerate() {
            save(&core, file, format!("new {n}").as_bytes());
            let _ =
                core.locked(|core| core.rename(room, &format!("f{n:02}"), inner, &format!("g{n:02}"), false));
            if core.lookup(&room, "late").is_err()
                && core.lookup(&core.root(), "room").unwrap().target.oid() == room
            {
                write(&core, room, "late", "late");
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        sharing.join().unwrap().unwrap();
    });
    // Whatever was written is in the space, before the swap and after it.
    let mut found = Vec::new();
    for path in ["/room", "/room/inner"] {
        for name in names(&core, path).into_iter().filter(|n| n.starts_with(['f', 'g'])) {
            found.push((name[1..].parse::<usize>().unwrap(), read(&core, &format!("{path}/{name}"))));
        }
    }
    found.sort();
    assert_eq!(found.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    for (n, content) in found {
        assert_eq!(content, format!("new {n}"));
    }
}

#[test]
fn a_share_that_was_stopped_goes_on_with_the_room_as_it_is_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let first = write(&core, room, "first", "old");
    write(&core, room, "gone", "x");
    write(&core, room, "kind", "a file");
    let space = begin(&core, "/room");
    let root = Oid { space, object: space.root() };
    // What a former try copied.
    write(&core, root, "first", "old");
    write(&core, root, "gone", "x");
    mkdir(&core, root, "kind");
    core.seal_all(true).unwrap();
    // Days of work.
    save(&core, &first, b"new");
    core.locked(|core| core.unlink(room, "gone")).unwrap();
    write(&core, room, "second", "later");
    close(core);

    let core = open(dir.path());
    core.finish_all_placings();
    assert_eq!(core.resolve("/room").unwrap(), root);
    assert_eq!(names(&core, "/room"), ["first", "kind", "second"]);
    assert_eq!(read(&core, "/room/first"), "new");
    assert_eq!(read(&core, "/room/kind"), "a file");
    assert_eq!(read(&core, "/room/second"), "later");
    assert_eq!(spaces(&core), 2);
    // The swap was made and its record lost: nothing happens twice.
    core.state.write().space_mut(&space).unwrap().placing =
        Some(Placing { path: "/room".into(), from: Some(room.object) });
    core.finish_all_placings();
    assert_eq!(names(&core, "/room"), ["first", "kind", "second"]);
    assert_eq!(names(&core, "/"), ["room"]);
}

#[test]
fn sharing_again_goes_on_with_the_space_that_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let space = begin(&core, "/room");
    // Somebody is just making a file: the share waits, and then refuses; nothing is lost.
    let file = core.locked(|core| core.create(room, "file", 0o644, false)).unwrap();
    assert_eq!(core.space_to_share("/room").unwrap_err().kind(), Kind::Busy);
    assert_eq!(core.resolve("/room").unwrap(), room);
    core.save(&file, &Default::default(), NewContent::Bytes(b"words".to_vec())).unwrap();
    assert_eq!(core.space_to_share("/room").unwrap(), space);
    assert_eq!(read(&core, "/room/file"), "words");
    assert_eq!(spaces(&core), 2);
    // Whoever had the old file open goes on in the shared one.
    save(&core, &file, b"words and more");
    assert_eq!(read(&core, "/room/file"), "words and more");
    assert_eq!(names(&core, "/"), ["room"]);
}

#[test]
fn a_save_of_what_was_opened_before_the_share_is_an_edit_of_the_shared_file() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    let file = write(&core, room, "file", "one\n");
    core.seal_all(true).unwrap();
    let (first, _) = core.read(&file).unwrap();
    save(&core, &file, b"one\ntwo\n");
    let (opened, _) = core.read(&file).unwrap();
    core.space_to_share("/room").unwrap();
    let shared = core.resolve("/room/file").unwrap();
    assert_ne!(shared, file);
    save(&core, &shared, b"zero\none\ntwo\n");
    // Saved twice by whoever opened it before.
    let content = |text: &str| NewContent::Bytes(text.as_bytes().to_vec());
    let same = core.save(&file, &opened, content("one\ntwo\n")).unwrap();
    assert_eq!(same.wrote, opened);
    let saved = core.save(&file, &same.wrote, content("one\ntwo\nthree\n")).unwrap();
    assert!(saved.merged);
    core.save(&file, &saved.wrote, content("one\ntwo\nthree\nfour\n")).unwrap();
    assert_eq!(read(&core, "/room/file"), "zero\none\ntwo\nthree\nfour\n");
    core.append(&file, b"five\n").unwrap();
    core.set_attr(&file, Some(0o600), None).unwrap();
    assert_eq!(read(&core, "/room/file"), "zero\none\ntwo\nthree\nfour\nfive\n");
    assert_eq!(core.attr(&shared).unwrap().perm, 0o600);
    // Edits of a version that the shared file never had, each of them once.
    let saved = core.save(&file, &first, content("half\none\n")).unwrap();
    assert_eq!(read(&core, "/room/file"), "half\nzero\none\ntwo\nthree\nfour\nfive\n");
    core.save(&file, &saved.wrote, content("half\none\nand more\n")).unwrap();
    core.seal_all(true).unwrap();
    let lines = read(&core, "/room/file");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort();
    assert_eq!(lines, ["and more", "five", "four", "half", "one", "three", "two", "zero"]);
    assert_eq!(core.resolve("/room/file").unwrap(), shared);
    assert_eq!(names(&core, "/"), ["room"]);
}

#[test]
fn a_room_removed_before_its_swap_leaves_no_space_behind() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    mkdir(&core, core.root(), "room");
    let space = begin(&core, "/room");
    write(&core, Oid { space, object: space.root() }, "copied", "x");
    core.seal_all(true).unwrap();
    core.locked(|core| core.rmdir(core.root(), "room")).unwrap();
    core.finish_all_placings();
    assert_eq!(spaces(&core), 1);
    close(core);
    let core = open(dir.path());
    assert_eq!(spaces(&core), 1);
    assert_eq!(core.store.range(&crate::record::entries_of(&space.tag())).count(), 0);
}

#[test]
fn what_cannot_go_along_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let core = open(dir.path());
    let room = mkdir(&core, core.root(), "room");
    mkdir(&core, room, "inner");
    core.space_to_share("/room/inner").unwrap();
    assert_eq!(core.space_to_share("/room").unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(spaces(&core), 2);
    assert_eq!(core.resolve("/room").unwrap(), room);
    let other = mkdir(&core, core.root(), "other");
    link_room(&core, other, "way", room);
    assert_eq!(core.space_to_share("/other").unwrap_err().kind(), Kind::Unsupported);
}

// A friend's space, whose invitation comes after its first content; and what they hand over.
fn offered(a: &Core, b: &Core) -> SpaceId {
    for (from, to) in [(a, b), (b, a)] {
        let person = from.state.read().people.get(&from.me.person).cloned().unwrap();
        to.keep_person(&person).unwrap();
    }
    let room = mkdir(a, a.root(), "theirs");
    write(a, room, "file", "words");
    let space = a.space_to_share("/theirs").unwrap();
    a.seal_all(true).unwrap();
    a.add_member(&space, &b.me.person, Role::Writer).unwrap();
    let (name, entries) = a.share_entries(&space.tag()).unwrap();
    b.take_offer(&a.device, &name, entries);
    space
}

#[test]
fn a_join_survives_a_restart_before_the_logs_arrive() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (a, b) = (open(dirs[0].path()), open(dirs[1].path()));
    let space = offered(&a, &b);
    let offer = b.offers().unwrap().pop().unwrap();
    assert_eq!(b.join_offer(offer, None).unwrap(), "/theirs");
    assert!(b.offers().unwrap().is_empty());
    close(b);

    let b = open(dirs[1].path());
    b.finish_all_placings();
    assert!(b.offers().unwrap().is_empty());
    assert_eq!(b.with_space(&space, |s| Ok(s.role)).unwrap(), Some(Role::Writer));
    b.epoch_to_seal(&space).unwrap();
    assert_eq!(b.offered_operations(&space).unwrap().len(), 3);
    for entry in a.all_entries(&space.tag()).unwrap() {
        b.take_entry(&entry, false).unwrap();
    }
    assert_eq!(read(&b, "/theirs/file"), "words");
    // Now the log says all of it, and the offer is put away.
    b.finish_all_placings();
    assert!(b.offered_operations(&space).unwrap().is_empty());
    close(b);
    let b = open(dirs[1].path());
    assert_eq!(b.with_space(&space, |s| Ok(s.role)).unwrap(), Some(Role::Writer));
    assert_eq!(read(&b, "/theirs/file"), "words");
}

#[test]
fn an_offer_of_a_held_space_brings_what_is_new_in_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b, c] = [0, 1, 2].map(|n: usize| open(dirs[n].path()));
    let space = offered(&a, &b);
    let offer = b.offers().unwrap().pop().unwrap();
    b.join_offer(offer, None).unwrap();
    let person = c.state.read().people.get(&c.me.person).cloned().unwrap();
    a.keep_person(&person).unwrap();
    a.add_member(&space, &c.me.person, Role::Reader).unwrap();
    let (name, entries) = a.share_entries(&space.tag()).unwrap();
    assert!(b.take_offer(&a.device, &name, entries.clone()));
    assert_eq!(b.with_space(&space, |s| Ok(s.membership.role(&c.me.person))).unwrap(), Some(Role::Reader));
    assert!(!b.take_offer(&a.device, &name, entries), "the second brings nothing");
    assert_eq!(spaces(&b), 2);
}

#[test]
fn a_joined_room_is_placed_once_and_under_a_free_name() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (a, b) = (open(dirs[0].path()), open(dirs[1].path()));
    let space = offered(&a, &b);
    let offer = b.offers().unwrap().pop().unwrap();
    b.join_offer(offer.clone(), None).unwrap();
    // Its door is there, and the record that says so was lost.
    let unplaced = Some(Placing { path: "/theirs".into(), from: None });
    b.state.write().space_mut(&space).unwrap().placing = unplaced;
    b.finish_all_placings();
    assert_eq!(names(&b, "/"), ["theirs"]);
    assert_eq!(b.join_offer(offer, None).unwrap(), "/theirs");

    // The door is still to come, and its name was taken meanwhile.
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path());
    let space = offered(&a_second(&dirs[0], a), &c);
    let offer = c.offers().unwrap().pop().unwrap();
    mkdir(&c, c.root(), "theirs");
    assert!(c.join_offer(offer.clone(), Some("/theirs")).is_err());
    assert_eq!(c.join_offer(offer, Some("/theirs/")).unwrap_err().kind(), Kind::Exists);
    let offer = c.offers().unwrap().pop().unwrap();
    assert_eq!(c.join_offer(offer, None).unwrap(), "/theirs-2");
    let found = c.lookup(&c.root(), "theirs-2").unwrap();
    assert_eq!((found.what, found.target), (What::Room, Target::Object(Oid { space, object: space.root() })));
}

// The same person again, without what is in the way.
fn a_second(dir: &tempfile::TempDir, a: Core) -> Core {
    a.locked(|core| core.rename(core.root(), "theirs", core.root(), "before", false)).unwrap();
    close(a);
    open(dir.path())
}

#[test]
fn an_operation_that_would_not_count_is_neither_stored_nor_shown() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b, c] = [0, 1, 2].map(|n: usize| open(dirs[n].path()));
    let space = offered(&a, &b);
    let offer = b.offers().unwrap().pop().unwrap();
    b.join_offer(offer, None).unwrap();
    let person = c.state.read().people.get(&c.me.person).cloned().unwrap();
    b.keep_person(&person).unwrap();
    let before = b.all_entries(&space.tag()).unwrap().len();
    assert_eq!(b.add_member(&space, &c.me.person, Role::Writer).unwrap_err().kind(), Kind::Denied);
    // Even where this node takes itself for an admin.
    b.state.write().space_mut(&space).unwrap().role = Some(Role::Admin);
    assert_eq!(b.add_member(&space, &c.me.person, Role::Writer).unwrap_err().kind(), Kind::Denied);
    assert_eq!(b.all_entries(&space.tag()).unwrap().len(), before);
    assert_eq!(b.with_space(&space, |s| Ok(s.membership.role(&c.me.person))).unwrap(), None);
}

#[test]
fn a_removed_friend_does_not_come_back_by_being_heard() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (a, b) = (open(dirs[0].path()), open(dirs[1].path()));
    let card = a.invite(None, None, Role::Writer).unwrap();
    b.peer_add(&card, Some("anna")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..200).for_each(|_| b.heard(&a.device)));
        b.peer_remove("anna").unwrap();
    });
    assert!(b.peers().is_empty());
    close(b);
    assert!(open(dirs[1].path()).peers().is_empty());
}
