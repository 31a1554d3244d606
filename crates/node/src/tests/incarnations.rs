//! New numbers for a home that may have a double, and what of the old ones is still to be sealed.

use super::Replicas;
use super::replicas::{text, write};
use crate::api::NewContent;
use crate::core::Core;
use crate::incarnation::Why;
use base::{LogId, Oid};
use std::collections::BTreeSet;
use store::Batch;

fn save(core: &Core, oid: &Oid, content: &str) {
    let (version, _) = core.read(oid).unwrap();
    core.save(oid, &version, NewContent::Bytes(content.into())).unwrap();
}

fn begin_again(core: &Core) {
    let _writer = core.write();
    core.begin_incarnation(Why::Moved, Batch::new()).unwrap();
}

fn logs_of(core: &Core, replicas: &Replicas, of: &Core) -> BTreeSet<LogId> {
    let entries = core.all_entries(&replicas.space.tag()).unwrap();
    entries.iter().map(|e| e.header().log).filter(|log| log.device == of.device).collect()
}

#[test]
fn what_was_not_sealed_yet_is_sealed_under_the_new_numbers_and_counts() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    let file = write(replicas.core(0), root, "f", "one\n");
    replicas.exchange();
    save(replicas.core(0), &file, "one\ntwo\n");
    let newborn = write(replicas.core(0), root, "new", "made before\n");
    begin_again(replicas.core(0));
    save(replicas.core(0), &file, "one\ntwo\nthree\n");
    save(replicas.core(0), &newborn, "made before\nand after\n");
    begin_again(replicas.core(0));
    replicas.exchange();
    for n in 0..2 {
        assert_eq!(text(replicas.core(n), &file), "one\ntwo\nthree\n");
        assert_eq!(text(replicas.core(n), &newborn), "made before\nand after\n");
        assert!(replicas.core(n).state.read().problems.is_empty());
    }
    save(replicas.core(0), &file, "one\ntwo\nthree\nfour\n");
    replicas.restart(0);
    begin_again(replicas.core(0));
    replicas.exchange();
    save(replicas.core(1), &file, "one\ntwo\nthree\nfour\nfive\n");
    replicas.exchange();
    assert_eq!(text(replicas.core(0), &file), "one\ntwo\nthree\nfour\nfive\n");
    assert_eq!(replicas.tree(0), replicas.tree(1));
    assert!(logs_of(replicas.core(1), &replicas, replicas.core(0)).len() >= 2);
    replicas.restart(0);
    assert_eq!(text(replicas.core(0), &file), "one\ntwo\nthree\nfour\nfive\n");
}

// A home, and the same home again as it was earlier.
fn doubled(before: impl FnOnce(&Replicas)) -> (Replicas, usize) {
    let mut replicas = Replicas::new(2);
    before(&replicas);
    replicas.exchange();
    let double = replicas.double(0);
    (replicas, double)
}

#[test]
fn two_homes_with_the_same_numbers_both_count_and_the_one_that_learns_it_begins_anew() {
    let (replicas, double) = doubled(|r| {
        write(r.core(0), r.root(), "f", "one\n");
    });
    let (a, b, copy) = (replicas.core(0), replicas.core(1), replicas.core(double));
    let root = replicas.root();
    // Nothing told the copy that it is one: both use the same numbers.
    let log = a.log();
    assert_eq!(copy.log(), log);
    write(a, root, "by the original", "a\n");
    write(copy, root, "by the copy", "c\n");
    write(copy, root, "more by the copy", "c\n");
    a.seal_all(true).unwrap();
    copy.seal_all(true).unwrap();
    replicas.carry(0, 1, usize::MAX);
    // Only over b do they hear of each other.
    replicas.carry_all(double, 1);
    replicas.carry_all(1, 0);
    replicas.carry_all(1, double);
    assert_ne!(a.log(), log);
    assert_ne!(copy.log(), log);
    assert_ne!(copy.log(), a.log());
    write(a, root, "later", "a\n");
    write(copy, root, "later too", "c\n");
    write(b, root, "by b", "b\n");
    for _ in 0..3 {
        for (from, to) in [(0, 1), (double, 1), (1, 0), (1, double)] {
            replicas.carry_all(from, to);
        }
    }
    assert_eq!(replicas.tree(0), replicas.tree(1));
    assert_eq!(replicas.tree(double), replicas.tree(1));
    assert_eq!(replicas.tree(1).len(), 7);
    for core in [a, b, copy] {
        let state = core.state.read();
        let space = state.space(&replicas.space).unwrap();
        assert_eq!(space.logs.tips[&log].len(), 2, "both branches are named");
        assert!(space.waiting.is_empty());
        assert!(state.problems.is_empty(), "{:?}", state.problems);
        drop(state);
        assert!(core.status().notes.iter().any(|note| note.contains("twice under the same numbers")));
    }
    assert!(a.status().notes.iter().any(|note| note.contains("another copy of this home")));
}

#[test]
fn a_friend_names_both_branches_in_what_they_write_next() {
    let (replicas, double) = doubled(|r| {
        write(r.core(0), r.root(), "f", "one\n");
    });
    let root = replicas.root();
    let log = replicas.core(0).log();
    write(replicas.core(0), root, "by the original", "a\n");
    write(replicas.core(double), root, "by the copy", "c\n");
    replicas.carry_all(0, 1);
    replicas.carry_all(double, 1);
    let b = replicas.core(1);
    write(b, root, "by b", "b\n");
    b.seal_all(true).unwrap();
    let tips: Vec<_> = b.state.read().space(&replicas.space).unwrap().logs.tips[&log].clone();
    let entries = b.all_entries(&replicas.space.tag()).unwrap();
    let named = |hash| entries.iter().any(|e| e.header().log == b.log() && e.header().deps.contains(hash));
    assert_eq!(tips.len(), 2);
    assert!(tips.iter().all(|(_, hash)| named(hash)), "an entry builds on every branch");
}

#[test]
fn what_came_too_early_is_kept_over_a_restart_until_it_is_stored() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    for name in ["one", "two"] {
        write(replicas.core(0), root, name, "text\n");
        replicas.core(0).seal_all(true).unwrap();
    }
    let tag = replicas.space.tag();
    let log = replicas.core(0).log();
    let entries = replicas.core(0).all_entries(&tag).unwrap();
    let missing = |e: &&base::Entry| {
        e.header().log == log && replicas.core(1).entry_record(&e.hash()).unwrap().is_none()
    };
    let new: Vec<base::Entry> = entries.iter().filter(missing).cloned().collect();
    assert!(new.len() >= 3);
    let b = replicas.core(1);
    let late = new[1..].iter().map(|entry| b.keep_early(&tag, entry).unwrap()).collect::<Vec<_>>();
    assert!(late.iter().all(|kept| *kept), "{late:?}");
    // Nothing that somebody made up.
    let mut bytes = new[1].bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(!b.keep_early(&tag, &base::Entry::decode(bytes).unwrap()).unwrap());
    replicas.restart(1);
    let kept: Vec<_> = replicas.core(1).kept_early().into_iter().map(|(_, entry)| entry.hash()).collect();
    assert_eq!(kept, new[1..].iter().map(base::Entry::hash).collect::<Vec<_>>());
    for entry in &new {
        replicas.core(1).take_entry(entry, false).unwrap();
    }
    assert_eq!(replicas.core(1).kept_early(), []);
    assert_eq!(replicas.tree(0), replicas.tree(1));
}
