//! Whatever goes wrong: a clear error with a hint, nothing lost, no panic.

use harness::namespace::possible;
use harness::{Person, must, shell, text, wait_until};
use std::fs;
use std::process::Command;

#[test]
fn every_verb_says_what_is_wrong_and_what_to_do() {
    let mut ann = Person::new("ann");
    let missing = ann.dir().join("missing");
    let missing = missing.to_str().unwrap();
    for args in [
        &["fly"][..],
        &["up", "a", "b"],
        &["share", "x"],
        &["join"],
        &["invite", "--role", "king"],
        &["peer", "add"],
        &["join", "bob"],
    ] {
        ann.fails(2, args);
    }
    for args in
        [&["status"][..], &["down"], &["invite"], &["peer", "list"], &["members", "/x"], &["log", "/x"]]
    {
        let said = ann.fails(1, args);
        assert!(said.contains("not running") && said.contains("chorus up"), "{args:?}: {said}");
    }
    ann.fails(1, &["init"]);
    ann.up();
    let garbage = ann.dir().join("garbage");
    let garbage_path = garbage.to_str().unwrap();
    for content in [
        &b""[..],
        b"hello",
        b"\xff\xfe\0",
        &[b'a'; 70_000],
        b"-----BEGIN CHORUS PEER FILE-----\n!!!!\n-----END CHORUS PEER FILE-----\n",
    ] {
        fs::write(&garbage, content).unwrap();
        ann.fails(1, &["peer", "add", garbage_path]);
    }
    let mut card = ann.ok(&["invite"]);
    fs::write(&garbage, &card).unwrap();
    ann.fails(1, &["peer", "add", garbage_path]);
    // One letter changed in the middle of a true one.
    let at = card.len() / 2;
    let other = if card.as_bytes()[at] == b'A' { "B" } else { "A" };
    card.replace_range(at..at + 1, other);
    fs::write(&garbage, &card).unwrap();
    ann.fails(1, &["peer", "add", garbage_path]);
    for args in [
        &["peer", "add", missing][..],
        &["peer", "show", "nobody"],
        &["peer", "remove", "nobody"],
        &["members", "/nowhere"],
        &["log", "/nowhere"],
        &["share", "/nowhere", "--with", "nobody"],
        &["join", "nobody/nothing"],
        &["invite", "/nowhere"],
        &["fsck"],
    ] {
        ann.fails(1, args);
    }
    assert!(ann.is_running());
}

#[test]
fn a_second_up_of_one_home_is_refused() {
    let mut ann = Person::new("ann");
    ann.up();
    fs::write(ann.path("f"), "x\n").unwrap();
    let said = ann.fails(1, &["up", "--no-mount"]);
    assert!(said.contains("running"), "{said}");
    let said = ann.fails(1, &["up", "--detach", "--no-mount"]);
    assert!(said.contains("running"), "{said}");
    assert_eq!(text(&ann.path("f")), "x\n");
}

#[test]
fn a_mountpoint_that_will_not_do_is_refused() {
    let mut ann = Person::new("ann");
    let dir = ann.dir().to_owned();
    fs::create_dir(dir.join("full")).unwrap();
    fs::write(dir.join("full/precious"), "keep\n").unwrap();
    fs::write(dir.join("file"), "keep\n").unwrap();
    for name in ["missing", "full", "file"] {
        let said = ann.fails(1, &["up", dir.join(name).to_str().unwrap()]);
        assert!(said.contains(name), "{said}");
        let said = ann.fails(1, &["up", "--detach", dir.join(name).to_str().unwrap()]);
        assert!(said.contains(name), "{said}");
    }
    assert_eq!(text(&dir.join("full/precious")), "keep\n");
    // Another node's mount is busy.
    ann.up();
    let bob = Person::new("bob");
    bob.fails(1, &["up", ann.mount().to_str().unwrap()]);
    bob.fails(1, &["status"]);
    fs::write(ann.path("f"), "x\n").unwrap();
}

#[test]
fn a_dead_mount_is_cleaned_up() {
    let mut ann = Person::new("ann");
    ann.up();
    shell(ann.mount(), "echo kept > f; sync f");
    ann.kill();
    assert!(fs::read_dir(ann.mount()).is_err(), "a killed node leaves a mount that answers errors at once");
    ann.up();
    assert_eq!(text(&ann.path("f")), "kept\n");
    ann.down();
    assert!(fs::read_dir(ann.mount()).unwrap().next().is_none(), "nothing stays below");
}

#[test]
fn what_is_written_below_the_mount_while_the_node_is_down_is_not_hidden() {
    let mut ann = Person::new("ann");
    ann.up();
    ann.down();
    fs::write(ann.path("stray"), "mine\n").unwrap();
    let said = ann.fails(1, &["up", ann.mount().to_str().unwrap()]);
    assert!(said.contains("empty"), "{said}");
    assert_eq!(text(&ann.path("stray")), "mine\n");
}

#[test]
fn the_home_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let mut ann = Person::new("ann");
    ann.up();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(ann.home()), 0o700);
    assert_eq!(mode(&ann.home().join("control.sock")), 0o600);
    for key in fs::read_dir(ann.home().join("keys")).unwrap() {
        assert_eq!(mode(&key.unwrap().path()), 0o600);
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line =
        mounts.lines().find(|l| l.contains(ann.mount().to_str().unwrap())).expect("the mount is listed");
    assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
}

struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn make(at: std::path::PathBuf, size: &str) -> SmallDisk {
        fs::create_dir(&at).unwrap();
        must(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"]).arg(&at));
        SmallDisk(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_the_edit_and_loses_nothing_before_it() {
    assert!(possible(), "this test mounts a small disk: run it as root");
    let place = harness::scratch_dir();
    let disk = SmallDisk::make(place.path().join("disk"), "80m");
    let mut ann = Person::bare("ann");
    ann.move_home(disk.0.join("home"));
    ann.up();
    shell(ann.mount(), "echo before > before; sync before");
    let filler = disk.0.join("filler");
    let _ =
        Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display())).output();
    let mut refused = None;
    for n in 0..400 {
        let mut numbers = harness::sample::Numbers::from(n);
        let path = ann.path(&format!("big{n}"));
        let written =
            fs::write(&path, numbers.bytes(300_000)).and_then(|()| fs::File::open(&path)?.sync_all());
        if let Err(e) = written {
            refused = Some(e);
            break;
        }
    }
    assert_eq!(refused.expect("a full disk").raw_os_error(), Some(28), "ENOSPC");
    assert!(ann.is_running());
    assert_eq!(text(&ann.path("before")), "before\n");
    fs::remove_file(&filler).unwrap();
    wait_until("it goes on", || fs::write(ann.path("after"), "after\n").is_ok());
    shell(ann.mount(), "sync after");
    ann.down();
    let report = ann.json(&["fsck"]);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
    ann.up();
    assert_eq!(text(&ann.path("before")) + &text(&ann.path("after")), "before\nafter\n");
    ann.down();
}
