//! Homes that are copied, restored or set back: no number is used for two things where it can be known,
//! everything written counts, everybody ends up with the same, and `status` says it.

use harness::namespace::possible;
use harness::{Person, befriend, shell, text, wait_until};
use std::fs;
use std::path::Path;

fn copy_home(from: &Path, to: &Path) {
    shell(Path::new("/"), &format!("cp -a {} {}", from.display(), to.display()));
}

fn notes(person: &Person) -> String {
    let status = person.status();
    assert_eq!(status["problems"].as_array().map(Vec::len), Some(0), "{}: {status}", person.name);
    status["notes"].as_array().expect("notes").iter().map(|n| format!("{n}\n")).collect()
}

fn all_have(people: &[&Person], files: &[(&str, &str)]) {
    for person in people {
        for (name, content) in files {
            wait_until(&format!("{} has {name}", person.name), || {
                text(&person.path("garden").join(name)) == *content
            });
        }
    }
}

#[test]
fn a_copied_home_and_its_original_run_side_by_side() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    shell(&ann.path("garden"), "echo one > shared; echo a > f0");
    all_have(&[&bob], &[("shared", "one\n"), ("f0", "a\n")]);
    ann.down();
    let mut copy = Person::bare("ann");
    copy_home(ann.home(), copy.home());
    ann.up();
    copy.up();
    shell(&ann.path("garden"), "for n in 1 2 3; do echo original > o$n; done; echo two >> shared");
    shell(&copy.path("garden"), "for n in 1 2 3; do echo copy > c$n; done; sed -i s/one/uno/ shared");
    let files = [
        ("o1", "original\n"),
        ("o3", "original\n"),
        ("c1", "copy\n"),
        ("c3", "copy\n"),
        ("f0", "a\n"),
        ("shared", "uno\ntwo\n"),
    ];
    all_have(&[&bob, &ann, &copy], &files);
    assert!(notes(&copy).contains("was copied, moved or restored"), "{}", notes(&copy));
    assert!(copy.ok(&["doctor"]).contains("was copied, moved or restored"));
    for person in [&ann, &bob] {
        assert_eq!(notes(person), "", "no number was used twice");
    }
    shell(&bob.path("garden"), "echo b > from-bob");
    all_have(&[&ann, &copy], &[("from-bob", "b\n")]);
}

#[test]
fn a_home_restored_from_an_old_backup_loses_nothing_and_uses_no_number_twice() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    shell(&ann.path("garden"), "echo early > early");
    all_have(&[&bob], &[("early", "early\n")]);
    ann.down();
    let backup = ann.dir().join("backup");
    copy_home(ann.home(), &backup);
    ann.up();
    shell(&ann.path("garden"), "echo after > after; echo more >> early");
    all_have(&[&bob], &[("after", "after\n"), ("early", "early\nmore\n")]);
    bob.down();
    ann.kill();
    let _ = std::process::Command::new("umount").arg("-l").arg(ann.mount()).status();
    // Put back in place, over what is there.
    fs::remove_dir_all(ann.home().join("store")).unwrap();
    shell(Path::new("/"), &format!("cp -a {}/. {}", backup.display(), ann.home().display()));
    ann.up();
    assert!(notes(&ann).contains("was copied, moved or restored"), "{}", notes(&ann));
    // Before anybody could tell it what it had written.
    shell(&ann.path("garden"), "for n in 1 2 3 4 5; do echo new > n$n; done; sed -i s/early/late/ early");
    bob.up();
    let files = [("n1", "new\n"), ("n5", "new\n"), ("after", "after\n"), ("early", "late\nmore\n")];
    all_have(&[&bob, &ann], &files);
    assert_eq!(notes(&bob), "", "no number was used twice");
    ann.down();
    ann.up();
    assert_eq!(notes(&ann), "", "it is said once");
    all_have(&[&ann], &files);
}

#[test]
fn a_disk_that_was_set_back_under_a_node_is_found_out_and_both_histories_count() {
    assert!(possible(), "this test mounts a disk: run it as root");
    let (mut ann, mut bob) = (Person::bare("ann"), Person::new("bob"));
    // Nothing in a restored image tells that it was restored.
    shell(ann.dir(), "truncate -s 128M image; mkfs.ext4 -q image; mkdir disk; mount -o loop image disk");
    let disk = Disk(ann.dir().join("disk"));
    ann.move_home(disk.0.join("home"));
    ann.ok(&["init", "--name", "ann"]);
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    shell(&ann.path("garden"), "echo early > early");
    all_have(&[&bob], &[("early", "early\n")]);
    ann.down();
    shell(ann.dir(), "umount disk; cp image earlier; mount -o loop image disk");
    ann.up();
    shell(&ann.path("garden"), "echo after > after; echo more >> early");
    all_have(&[&bob], &[("after", "after\n"), ("early", "early\nmore\n")]);
    ann.down();
    bob.down();
    shell(ann.dir(), "umount disk; mv earlier image; mount -o loop image disk");
    ann.up();
    assert_eq!(notes(&ann), "", "nothing shows it yet");
    let entries = |ann: &Person| {
        let status = ann.status();
        let spaces = status["spaces"].as_array().expect("spaces");
        spaces.iter().map(|space| space["entries"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let before = entries(&ann);
    shell(&ann.path("garden"), "for n in 1 2 3; do echo new > n$n; done; sed -i s/early/late/ early");
    wait_until("it is sealed under numbers that were used before", || entries(&ann) > before);
    bob.up();
    let files = [("n1", "new\n"), ("n3", "new\n"), ("after", "after\n"), ("early", "late\nmore\n")];
    all_have(&[&bob, &ann], &files);
    wait_until("ann knows", || notes(&ann).contains("another copy of this home"));
    for person in [&ann, &bob] {
        assert!(notes(person).contains("wrote twice under the same numbers"), "{}", notes(person));
    }
    shell(&ann.path("garden"), "echo on > goes-on");
    shell(&bob.path("garden"), "echo too > bob-too");
    all_have(&[&bob, &ann], &[("goes-on", "on\n"), ("bob-too", "too\n")]);
    wait_until("in step", || ann.status()["peers"][0]["behind_us"] == 0);
    ann.down();
}

struct Disk(std::path::PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
