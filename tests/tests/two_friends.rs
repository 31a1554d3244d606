//! Two friends, one invite file, one room: what one copies in, the other has.

use harness::compare::Also;
use harness::{Person, befriend, differences, sample, shell, text, wait_same, wait_until};
use std::fs;
use std::process::Command;

fn friends(room: &str) -> (Person, Person) {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some(room));
    (ann, bob)
}

#[test]
fn a_line_saved_on_one_mount_appears_in_the_other() {
    let (ann, bob) = friends("garden");
    fs::write(ann.path("garden/todo.txt"), "sow beans\n").unwrap();
    wait_until("bob has the file", || text(&bob.path("garden/todo.txt")) == "sow beans\n");
    shell(bob.mount(), "echo 'water them' >> garden/todo.txt");
    wait_until("ann has the line", || text(&ann.path("garden/todo.txt")) == "sow beans\nwater them\n");
    shell(
        ann.mount(),
        "mv garden/todo.txt garden/done.txt; mkdir garden/beds; ln -s ../done.txt garden/beds/latest",
    );
    wait_until("bob has the rename and the room", || {
        text(&bob.path("garden/beds/latest")).ends_with("water them\n")
    });
    assert!(!bob.path("garden/todo.txt").exists());
    shell(bob.mount(), "rm -r garden/beds garden/done.txt");
    wait_until("ann's room is empty", || harness::compare::names(&ann.path("garden")).is_empty());
}

#[test]
fn a_tree_copied_in_is_identical_on_the_other_side() {
    let (ann, bob) = friends("garden");
    let sample = ann.dir().join("sample");
    sample::make_tree(&sample, 2100, 100 << 20);
    shell(ann.dir(), "cp -a sample mnt/garden/sample");
    let (here, there) = (ann.path("garden/sample"), bob.path("garden/sample"));
    let own = differences(&sample, &here, Also::ModesAndTimes);
    assert!(own.is_empty(), "on the mount it was copied to:\n{}", own.join("\n"));
    wait_same(&sample, &there, Also::ModesAndTimes);
    shell(ann.dir(), &format!("diff -r --no-dereference sample '{}'", there.display()));
    // And back out again, as any program copies.
    shell(bob.dir(), &format!("cp -a '{}' out", there.display()));
    assert_eq!(differences(&sample, &bob.dir().join("out"), Also::ModesAndTimes), Vec::<String>::new());
}

#[test]
fn ordinary_programs_work() {
    let (ann, bob) = friends("garden");
    let room = ann.path("garden");
    shell(
        &room,
        "mkdir -p a/b; echo one > a/b/x; cp a/b/x a/y; mv a/y a/b/z; ln a/b/x a/hard; ln -s b a/soft",
    );
    assert_eq!(shell(&room, "find . | sort"), ".\n./a\n./a/b\n./a/b/x\n./a/b/z\n./a/hard\n./a/soft\n");
    assert_eq!(shell(&room, "grep -rl one . | sort"), "./a/b/x\n./a/b/z\n./a/hard\n");
    assert_eq!(shell(&room, "stat -c %h a/b/x"), "2\n");
    shell(&room, "tar cf ../../out.tar a; rm -rf a; tar xf ../../out.tar; cat a/soft/z");
    wait_same(&room, &bob.path("garden"), Also::Modes);
    shell(
        &room,
        "git init -q repo; cd repo; git config user.email a@b; git config user.name a; \
         echo hello > f; git add f; git commit -qm first; echo more >> f; git commit -qam second; \
         git checkout -q HEAD~1; cat f | grep -qx hello; git checkout -q -; git fsck --strict; git status --porcelain",
    );
    assert_eq!(shell(&room, "cat repo/f"), "hello\nmore\n");
    wait_until("bob has the work tree", || text(&bob.path("garden/repo/f")) == "hello\nmore\n");
}

#[test]
fn a_third_friend_gets_all_and_three_converge() {
    let (ann, bob) = friends("garden");
    fs::write(ann.path("garden/before"), "here before carl\n").unwrap();
    let mut carl = Person::new("carl");
    carl.up();
    befriend(&ann, &carl, None);
    harness::share_room(&ann, &carl, "garden", "writer");
    wait_until("carl has what was there", || text(&carl.path("garden/before")) == "here before carl\n");
    fs::write(carl.path("garden/carl"), "from carl\n").unwrap();
    fs::write(bob.path("garden/bob"), "from bob\n").unwrap();
    // Carl and bob are no friends: ann passes it on.
    wait_until("bob has carl's", || text(&bob.path("garden/carl")) == "from carl\n");
    wait_until("carl has bob's", || text(&carl.path("garden/bob")) == "from bob\n");
    let members = carl.json(&["members", "/garden"]);
    assert_eq!(members.as_array().unwrap().len(), 3, "{members}");
    let log = bob.json(&["log", "/garden"]);
    assert!(log.as_array().unwrap().len() >= 3, "{log}");
}

#[test]
fn friends_are_listed_shown_and_removed() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, None);
    assert!(ann.ok(&["peer", "list"]).contains("bob"));
    let (theirs, own) = (ann.json(&["peer", "show", "bob"]), bob.status());
    assert_eq!(theirs["fingerprint"], own["me"]["fingerprint"], "both screens show the same");
    ann.ok(&["peer", "remove", "bob"]);
    assert_eq!(ann.json(&["peer", "list"]).as_array().unwrap().len(), 0);
    wait_until("bob is cut off", || !bob.sees("ann"));
    ann.fails(1, &["peer", "show", "bob"]);
}

#[test]
fn a_friend_with_a_shared_room_is_not_removed_silently() {
    let (ann, _bob) = friends("garden");
    let said = ann.fails(1, &["peer", "remove", "bob"]);
    assert!(said.contains("garden"), "{said}");
}

#[test]
fn a_reader_reads_and_is_refused_to_write() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, None);
    fs::create_dir(ann.path("paper")).unwrap();
    fs::write(ann.path("paper/news"), "read me\n").unwrap();
    harness::share_room(&ann, &bob, "paper", "reader");
    wait_until("bob can read", || text(&bob.path("paper/news")) == "read me\n");
    for refused in [
        fs::write(bob.path("paper/news"), "scribble\n"),
        fs::write(bob.path("paper/new"), "scribble\n"),
        fs::remove_file(bob.path("paper/news")),
        fs::create_dir(bob.path("paper/dir")),
        fs::rename(bob.path("paper/news"), bob.path("paper/olds")),
        std::os::unix::fs::symlink("x", bob.path("paper/link")),
    ] {
        let code = refused.unwrap_err().raw_os_error();
        let (rofs, acces, perm) = (30, 13, 1);
        assert!(code == Some(rofs) || code == Some(acces) || code == Some(perm), "errno {code:?}");
    }
    assert_eq!(text(&bob.path("paper/news")), "read me\n");
    assert_eq!(harness::compare::names(&ann.path("paper")), ["news"]);
}

#[test]
fn a_program_that_writes_without_a_rest_is_heard_all_the_same() {
    let (ann, bob) = friends("garden");
    let script = "for n in $(seq 60); do echo line $n; sleep 0.3; done > garden/log";
    let mut writer = Command::new("sh").args(["-c", script]).current_dir(ann.mount()).spawn().unwrap();
    let heard = bob.path("garden/log");
    wait_until("bob has some of it", || fs::read_to_string(&heard).is_ok_and(|log| log.contains("line 2\n")));
    assert!(writer.try_wait().unwrap().is_none(), "before the writer has ended");
    writer.kill().unwrap();
    writer.wait().unwrap();
    wait_until("bob has all of it", || text(&heard) == text(&ann.path("garden/log")));
}
