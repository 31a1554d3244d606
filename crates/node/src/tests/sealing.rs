//! What is done while something is being sealed.

use super::Replicas;
use super::replicas::write;
use crate::core::Core;
use crate::seal::Sealed;
use base::{Entry, Oid, SpaceTag};

// What is sealed here and not yet there.
fn lacking(core: &Core, friend: &Core, tag: &SpaceTag) -> Vec<Entry> {
    let mut entries = core.all_entries(tag).unwrap();
    entries.retain(|entry| friend.entry_record(&entry.hash()).unwrap().is_none());
    entries
}

fn names(core: &Core, room: &Oid) -> Vec<String> {
    core.list(room, None, 9).unwrap().into_iter().map(|found| found.name).collect()
}

#[test]
fn what_was_done_to_a_room_since_it_was_looked_at_is_sealed_with_what_builds_on_it() {
    let replicas = Replicas::new(2);
    let (core, friend) = (replicas.core(0), replicas.core(1));
    let (root, tag) = (replicas.root(), replicas.space.tag());
    write(core, root, "file", "words");
    let (due, _) = core.due(&tag, true);
    // As `cp -a` ends, while a large file is cut.
    core.set_attr(&root, Some(0o700), Some(std::time::UNIX_EPOCH)).unwrap();
    core.seal_space(&tag, due.expect("a file is due"), &mut Sealed::default()).unwrap();
    // Nothing more is sealed: this is all that a friend hears until something else happens.
    lacking(core, friend, &tag).iter().for_each(|entry| drop(friend.take_entry(entry, false).unwrap()));
    assert_eq!(names(friend, &root), ["file"]);
    assert!(core.state.read().space(&replicas.space).unwrap().pending.changes.is_empty());
}

// Births go ahead in entries of their own: whoever makes a room while another's birth of it is here makes the same one.
#[test]
fn a_room_that_another_is_making_is_the_same_room() {
    let replicas = Replicas::new(2);
    let (core, friend) = (replicas.core(0), replicas.core(1));
    let (root, tag) = (replicas.root(), replicas.space.tag());
    let made = core.mkdir(root, "objects").unwrap();
    core.seal_all(true).unwrap();
    let entries = lacking(core, friend, &tag);
    assert_eq!(entries.len(), 2, "a birth, and the door");
    friend.take_entry(&entries[0], false).unwrap();
    assert!(friend.list(&root, None, 9).unwrap().is_empty());
    assert_eq!(friend.mkdir(root, "objects").unwrap(), made);
    friend.take_entry(&entries[1], false).unwrap();
    assert_eq!(names(friend, &root), ["objects"]);
}

// What was known of a room that came and went is not taken for the next one's.
#[test]
fn a_room_made_again_before_anybody_heard_of_the_first_is_as_it_is_asked_for() {
    let replicas = Replicas::new(2);
    let (core, friend) = (replicas.core(0), replicas.core(1));
    let (root, tag) = (replicas.root(), replicas.space.tag());
    let first = core.mkdir(root, "d").unwrap();
    core.set_attr(&first, Some(0o700), None).unwrap();
    core.rmdir(root, "d").unwrap();
    let second = core.mkdir(root, "d").unwrap();
    assert_eq!(first, second);
    core.set_attr(&second, Some(0o700), None).unwrap();
    assert_eq!(core.attr(&second).unwrap().perm & 0o777, 0o700);
    write(core, second, "file", "words");
    core.seal_all(true).unwrap();
    lacking(core, friend, &tag).iter().for_each(|entry| drop(friend.take_entry(entry, false).unwrap()));
    assert_eq!(names(friend, &second), ["file"]);
}
