//! What a room's rule names stays where it was made: a build in a shared room, seen from both sides.

use harness::{Person, befriend, compare::names, shell, text, wait_until};
use std::fs;

#[test]
fn what_a_build_makes_is_not_sent_and_what_it_is_made_of_is() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    fs::create_dir(ann.path("garden/src")).unwrap();
    assert_eq!(ann.ok(&["scratch", "mnt/garden", "target", "*.o"]), "target\n*.o\n");
    wait_until("bob's node knows the rule", || bob.ok(&["scratch", "mnt/garden"]) == "target\n*.o\n");
    wait_until("bob has the room", || bob.path("garden/src").is_dir());

    let build = "mkdir -p target/debug && echo bytes > target/debug/app && cp -a target/debug target/release
        echo 'int x;' > src/x.c && echo code > src/tmp.1 && mv src/tmp.1 src/x.o && ln -s target/debug/app run";
    shell(&bob.path("garden"), build);
    // What has only a local name can be moved among such names, read after a restart, and removed.
    bob.down();
    bob.up();
    shell(&bob.path("garden"), "mv src/x.o src/y.o && rm -r target/release && cat target/debug/app");
    fs::write(bob.path("garden/done.txt"), "built\n").unwrap();
    wait_until("ann has what came last", || text(&ann.path("garden/done.txt")) == "built\n");
    assert_eq!(names(&ann.path("garden")), ["done.txt", "run", "src/", "src/x.c"]);
    let status = bob.status();
    let unshared: Vec<String> =
        status["unshared"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let why = "named as scratch by a rule of its room";
    assert_eq!(
        unshared,
        [format!(r#"["/garden/target","{why}"]"#), format!(r#"["/garden/src/y.o","{why}"]"#)]
    );

    // Ann makes her own beside it; what leaves the name is shared.
    shell(&ann.path("garden"), "mkdir target && echo mine > target/app && mv target/app app && rmdir target");
    wait_until("bob has what ann moved out", || text(&bob.path("garden/app")) == "mine\n");
    assert_eq!(text(&bob.path("garden/target/debug/app")), "bytes\n");
    shell(&bob.path("garden"), "mv src/y.o src/y.txt");
    wait_until("ann has what is scratch no more", || text(&ann.path("garden/src/y.txt")) == "code\n");

    let refused = ann.run(&["scratch", "mnt/garden", "*"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("would keep everything in the room from being shared"), "{said}");
    assert_eq!(
        ann.ok(&["scratch", "mnt/garden", "--none"]),
        "no names are scratch in this room, but those of editors\n"
    );
}
