//! Who was away catches up; who comes late gets all; what is derived can be thrown away.

use harness::compare::Also;
use harness::{Person, befriend, sample, shell, text, wait_same, wait_until};
use std::fs;

#[test]
fn a_node_that_was_off_catches_up() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    fs::write(ann.path("garden/diary"), "day 0\n").unwrap();
    wait_until("bob has the diary", || text(&bob.path("garden/diary")) == "day 0\n");
    bob.down();
    shell(&ann.path("garden"), "for n in $(seq 1 200); do echo day $n >> diary; done");
    sample::make_tree(&ann.path("garden/more"), 150, 3 << 20);
    shell(&ann.path("garden"), "mkdir old; mv diary old/; rm -r 'more/part 3'");
    bob.up();
    wait_same(&ann.path("garden/more"), &bob.path("garden/more"), Also::ModesAndTimes);
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    assert_eq!(text(&bob.path("garden/old/diary")).lines().count(), 201);
}

#[test]
fn a_late_joiner_gets_all_from_whoever_is_there() {
    let (mut ann, mut bob, mut carl) = (Person::new("ann"), Person::new("bob"), Person::new("carl"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    sample::make_tree(&ann.path("garden/tree"), 120, 2 << 20);
    shell(&bob.path("garden"), "for n in $(seq 1 50); do echo $n >> counted; done");
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    carl.up();
    befriend(&ann, &carl, None);
    harness::share_room(&ann, &carl, "garden", "writer");
    wait_same(&ann.path("garden/tree"), &carl.path("garden/tree"), Also::ModesAndTimes);
    wait_same(&ann.path("garden"), &carl.path("garden"), Also::Modes);
}

#[test]
fn what_is_derived_can_be_rebuilt() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    sample::make_tree(&ann.path("garden/tree"), 140, 5 << 20);
    shell(
        &ann.path("garden"),
        "seq 100 > lines; sed -i 's/^5/five /' lines; ln lines also; ln -s lines soft; mv tree/part\\ 1 .",
    );
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    fs::write(ann.path("private"), "mine\n").unwrap();
    // Where it cannot change meanwhile.
    let before = ann.dir().join("before");
    shell(ann.dir(), "cp -a mnt before");
    let theirs = bob.dir().join("before");
    shell(bob.dir(), "cp -a mnt before");
    for person in [&mut ann, &mut bob] {
        person.down();
        let sound = person.json(&["fsck"]);
        assert_eq!(sound["problems"].as_array().unwrap().len(), 0, "{sound}");
        let rebuilt = person.json(&["fsck", "--rebuild"]);
        assert_eq!(rebuilt["problems"].as_array().unwrap().len(), 0, "{rebuilt}");
        assert_eq!(sound["entries"], rebuilt["entries"]);
        assert_eq!(sound["objects"], rebuilt["objects"]);
    }
    ann.up();
    assert_eq!(harness::differences(&before, ann.mount(), Also::ModesAndTimes), Vec::<String>::new());
    bob.up();
    assert_eq!(harness::differences(&theirs, bob.mount(), Also::ModesAndTimes), Vec::<String>::new());
    shell(&bob.path("garden"), "echo after >> lines");
    wait_until("they still hear each other", || text(&ann.path("garden/lines")).ends_with("after\n"));
}
