//! The same between two machines: two network namespaces and a cable.

use harness::compare::Also;
use harness::namespace::{ADDRESSES, Cable};
use harness::{Person, befriend, sample, shell, text, wait_same, wait_until};
use std::fs;

fn machines() -> (Cable, Person, Person) {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let cable = Cable::lay();
    let mut ann = Person::in_namespace("ann", &cable.ends[0], ADDRESSES[0]);
    let mut bob = Person::in_namespace("bob", &cable.ends[1], ADDRESSES[1]);
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    (cable, ann, bob)
}

#[test]
fn a_tree_is_identical_on_another_machine() {
    let (_cable, ann, bob) = machines();
    sample::make_tree(&ann.dir().join("sample"), 2050, 100 << 20);
    shell(ann.dir(), "cp -a sample mnt/garden/sample");
    wait_same(&ann.dir().join("sample"), &bob.path("garden/sample"), Also::ModesAndTimes);
}

#[test]
fn both_write_while_the_cable_is_out() {
    let (cable, ann, bob) = machines();
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    fs::write(ann.path("garden/story"), &lines).unwrap();
    wait_until("bob has the story", || text(&bob.path("garden/story")) == lines);
    cable.cut();
    shell(ann.mount(), "sed -i 's/^line 3$/line 3 by ann/' garden/story; echo a > garden/from-ann");
    shell(bob.mount(), "sed -i 's/^line 30$/line 30 by bob/' garden/story; echo b > garden/from-bob");
    // Nothing waits for a cable.
    assert!(text(&ann.path("garden/story")).contains("line 3 by ann\n"));
    assert!(!text(&ann.path("garden/story")).contains("by bob"));
    cable.heal();
    let merged = lines.replace("line 3\n", "line 3 by ann\n").replace("line 30\n", "line 30 by bob\n");
    wait_until("ann has both", || text(&ann.path("garden/story")) == merged);
    wait_until("bob has both", || text(&bob.path("garden/story")) == merged);
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
}

#[test]
fn a_large_file_arrives_though_the_cable_is_pulled_in_between() {
    let (cable, ann, bob) = machines();
    let mut numbers = sample::Numbers::from(7);
    fs::write(ann.dir().join("big"), numbers.bytes(60 << 20)).unwrap();
    shell(ann.dir(), "cp big mnt/garden/big");
    wait_until("bob hears of it", || bob.path("garden/big").exists());
    cable.cut();
    std::thread::sleep(std::time::Duration::from_secs(2));
    cable.heal();
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Nothing);
    shell(ann.dir(), &format!("cmp big '{}'", bob.path("garden/big").display()));
}
