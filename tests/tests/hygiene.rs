//! A node that is halted, that finds no room, that is left by a crash: it says so, hangs nobody and loses nothing.

use harness::{Pair, Person, must, text, wait_until};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the node is halted: longer with `CHORUS_TORTURE`, so that its friends give the connection up.
fn halt() -> Duration {
    let long = std::env::var_os("CHORUS_TORTURE").is_some();
    Duration::from_secs(if long { 90 } else { 4 })
}

#[test]
fn a_node_that_is_halted_goes_on_where_it_was() {
    let pair = Pair::new();
    pair.make(&["theirs", "mine", "both"]);
    pair.ann.halt(true);
    // Programs at her mount wait, and those at his do not.
    let work = "cd mnt/garden; echo from ann >> both; echo new > made; cat theirs > /dev/null; mv mine moved; echo done";
    let waiting =
        Command::new("bash").args(["-euc", work]).current_dir(pair.ann.dir()).stdout(Stdio::piped()).spawn();
    for name in ["theirs", "both"] {
        let now = text(&pair.theirs(name));
        fs::write(pair.theirs(name), now.replace("gamma\n", "gamma by bob\n")).unwrap();
    }
    for verb in [&["status"][..], &["down"], &["up", "--detach", "--no-mount"]] {
        let said = pair.ann.fails(1, verb);
        assert!(said.contains("halted") && said.contains("kill -CONT"), "{verb:?}: {said}");
    }
    let doctor = String::from_utf8(pair.ann.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("BAD   node") && doctor.contains("kill -CONT"), "{doctor}");
    std::thread::sleep(halt());
    pair.ann.halt(false);
    let done = waiting.unwrap().wait_with_output().unwrap();
    assert!(done.status.success() && done.stdout == b"done\n", "{done:?}");
    let bobs = harness::meanwhile::BEFORE.replace("gamma\n", "gamma by bob\n");
    pair.both("theirs", &bobs);
    pair.both("both", &format!("{bobs}from ann\n"));
    pair.both("made", "new\n");
    pair.both("moved", harness::meanwhile::BEFORE);
    wait_until("both see each other again", || pair.ann.sees("bob") && pair.bob.sees("ann"));
    fs::write(pair.theirs("after"), "after\n").unwrap();
    pair.both("after", "after\n");
}

#[test]
fn a_mount_in_use_does_not_keep_a_node_from_stopping() {
    let mut ann = Person::new("ann");
    ann.up();
    let mut file = fs::File::create(ann.path("f")).unwrap();
    std::io::Write::write_all(&mut file, b"kept\n").unwrap();
    let mut standing = Command::new("sleep").arg("1000").current_dir(ann.mount()).spawn().unwrap();
    let said = ann.ok(&["down"]);
    assert!(said.contains("in use by") && said.contains(&format!("sleep ({})", standing.id())), "{said}");
    ann.ended();
    assert!(std::io::Write::write_all(&mut file, b"late\n").is_err(), "what comes later is refused");
    assert!(fs::read_dir(ann.mount()).unwrap().next().is_none(), "the mount is gone");
    ann.up();
    assert_eq!(text(&ann.path("f")), "kept\n");
    ann.down();
    standing.kill().unwrap();
    standing.wait().unwrap();
}

struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn make(at: std::path::PathBuf) -> SmallDisk {
        fs::create_dir(&at).unwrap();
        must(Command::new("mount").args(["-t", "tmpfs", "-o", "size=40m", "small"]).arg(&at));
        SmallDisk(at)
    }

    fn fill(&self) {
        let filler = format!("of={}", self.filler().display());
        let _ = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(filler).output();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn refused_for_want_of_room(ann: &Person) {
    let mount = ann.mount().to_str().unwrap();
    for how in [&["up", mount][..], &["up", "--detach", mount]] {
        let said = ann.fails(1, how);
        assert!(said.contains("full") || said.contains("No space left"), "{said}");
        assert!(said.contains("make room"), "{said}");
    }
    assert!(!is_mounted(ann.mount()));
}

fn is_mounted(at: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}

#[test]
fn a_node_that_finds_a_full_disk_says_so_and_starts_once_there_is_room() {
    let place = harness::scratch_dir();
    let disk = SmallDisk::make(place.path().join("disk"));
    let mut ann = Person::bare("ann");
    ann.move_home(disk.0.join("home"));
    // The first start of all.
    disk.fill();
    refused_for_want_of_room(&ann);
    fs::remove_file(disk.filler()).unwrap();
    ann.up();
    fs::write(ann.path("f"), "kept\n").unwrap();
    ann.down();
    // Any later one.
    disk.fill();
    refused_for_want_of_room(&ann);
    fs::remove_file(disk.filler()).unwrap();
    ann.up();
    assert_eq!(text(&ann.path("f")), "kept\n");
    ann.down();
    let report = ann.json(&["fsck"]);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
}
