//! Who is not root mounts by `fusermount3`: everything works as for root, and what does not is explained.

use harness::{Person, User, must, text};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

/// What `chorus doctor` finds, by its word, and how bad that is.
fn found(person: &Person, what: &str) -> Vec<(String, String)> {
    let out = person.run(&["doctor", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
    let of = findings.iter().filter(|f| f["what"] == what);
    of.map(|f| (f["verdict"].as_str().unwrap().to_owned(), f.to_string())).collect()
}

fn bad(person: &Person) -> Vec<String> {
    let whats = ["fuse", "mounting", "clock", "home", "disk", "node", "mount", "network"];
    let all = whats.iter().flat_map(|what| found(person, what));
    all.filter(|(verdict, _)| verdict == "bad").map(|(_, whole)| whole).collect()
}

/// Whether the user could write below the mount, where only the others' view of the mounts leads.
fn may_write_below(person: &Person) -> bool {
    let stray = person.mount().join("stray");
    let words = harness::user::outside();
    let touched = Command::new(&words[0])
        .args(&words[1..])
        .arg("touch")
        .arg(&stray)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let _ = fs::remove_file(stray);
    touched.success()
}

#[test]
fn an_ordinary_user_mounts_works_and_is_cleaned_up_after() {
    let user = User::new();
    let mut ann = Person::as_user("ann", &user);
    fs::set_permissions(ann.mount(), PermissionsExt::from_mode(0o700)).unwrap();
    ann.up();
    must(&mut ann.shell(
        "echo one > mnt/f; sync mnt/f; mkdir mnt/d; mv mnt/f mnt/d/f; echo two >> mnt/d/f; sync mnt/d/f",
    ));
    assert_eq!(must(&mut ann.shell("cat mnt/d/f; stat -c %U mnt/d/f")), "one\ntwo\ndaemon\n");
    // Large files too, which the kernel does not read by itself for everybody.
    must(&mut ann.shell(
        "head -c 3000000 /dev/urandom > big; cp big mnt/big; for n in 1 2 3; do cmp big mnt/big; done",
    ));
    assert_eq!(bad(&ann), Vec::<String>::new());
    assert!(found(&ann, "mount").iter().all(|(verdict, _)| verdict == "good"));
    assert!(!may_write_below(&ann), "the bare mountpoint is protected");

    // A crash: nothing hangs, the mountpoint stays protected, and the next start cleans up.
    ann.kill();
    let ls = ann.shell("ls mnt").output().unwrap();
    assert!(!ls.status.success(), "a dead mount answers errors at once");
    assert!(!may_write_below(&ann), "the bare mountpoint is protected after a crash");
    let dead = found(&ann, "mount");
    assert!(dead[0].1.contains("dead mount") && dead[0].1.contains("chorus up"), "{dead:?}");
    ann.up();
    assert_eq!(
        must(&mut ann.shell("cat mnt/d/f; grep -c fuse.chorus /proc/self/mounts")),
        "one\ntwo\n1\n",
        "one mount, and no dead one below it"
    );
    ann.down();
    assert!(fs::read_dir(ann.mount()).unwrap().next().is_none(), "nothing stays below");
    assert_eq!(ann.mount().metadata().unwrap().mode() & 0o777, 0o700, "it is as it was, over a crash");
    assert!(may_write_below(&ann));
    assert_eq!(must(&mut ann.shell("grep -c fuse.chorus /proc/self/mounts || true")), "0\n");
}

#[test]
fn a_mount_in_use_goes_all_the_same_and_its_users_are_named() {
    let user = User::new();
    let mut ann = Person::as_user("ann", &user);
    ann.up();
    let mut busy = ann
        .shell("exec 3> mnt/f; cd mnt; echo kept >&3; echo ready; read -r; echo late >&3 || echo refused; exec 3>&-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut says = BufReader::new(busy.stdout.take().unwrap()).lines();
    assert_eq!(says.next().unwrap().unwrap(), "ready");
    let said = ann.ok(&["down"]);
    assert!(said.contains("in use by bash") && said.contains(&busy.id().to_string()), "{said}");
    ann.ended();
    // What it writes now is refused, not swallowed.
    busy.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(says.next().unwrap().unwrap(), "refused");
    let _ = busy.wait();
    ann.up();
    assert_eq!(must(&mut ann.shell("cat mnt/f")), "kept\n");
    ann.down();
}

#[test]
fn what_keeps_an_ordinary_user_from_mounting_is_explained() {
    let closed = User::with_device("0600");
    let ann = Person::as_user("ann", &closed);
    let mount = ann.mount().to_str().unwrap().to_owned();
    for how in [&["up", &mount][..], &["up", "--detach", &mount]] {
        let said = ann.fails(1, how);
        assert!(said.contains("/dev/fuse") && said.contains("chmod 0666 /dev/fuse"), "{said}");
    }
    let device = found(&ann, "fuse");
    assert!(device[0].0 == "bad" && device[0].1.contains("chmod 0666 /dev/fuse"), "{device:?}");
    assert!(may_write_below(&ann), "the mountpoint is left as it was");

    // Somebody else's directory, somebody else's home.
    let user = User::new();
    let bob = Person::as_user("bob", &user);
    let theirs = harness::scratch_dir();
    fs::create_dir(theirs.path().join("mnt")).unwrap();
    fs::set_permissions(theirs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let said = bob.fails(1, &["up", theirs.path().join("mnt").to_str().unwrap()]);
    assert!(said.contains("fusermount3") && said.contains("access"), "{said}");
    let root = Person::new("root");
    let home = bob.home().to_str().unwrap();
    for verb in [&["up", "--no-mount"][..], &["up", "--detach", "--no-mount"], &["fsck"], &["init"]] {
        let words: Vec<&str> = ["--home", home].iter().chain(verb).copied().collect();
        let said = root.fails(1, &words);
        assert!(said.contains("belongs to user 1") && said.contains("--home"), "{said}");
    }
    let said = bob.fails(1, &["--home", root.home().to_str().unwrap(), "up", "--no-mount"]);
    assert!(said.contains("belongs to user 0") && !said.contains("admin"), "{said}");
    assert!(text(&bob.home().join("log")).is_empty());
    for left in fs::read_dir(bob.home()).unwrap() {
        assert_eq!(left.unwrap().metadata().unwrap().uid(), user.id(), "root left nothing in there");
    }
}
