//! What is done while something is being sealed.

use super::Replicas;
use super::replicas::write;
use crate::seal::Sealed;

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
    for entry in core.all_entries(&tag).unwrap() {
        if friend.entry_record(&entry.hash()).unwrap().is_none() {
            friend.take_entry(&entry, false).unwrap();
        }
    }
    let names: Vec<_> = friend.list(&root, None, 9).unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["file"]);
    assert!(core.state.read().space(&replicas.space).unwrap().pending.changes.is_empty());
}
