//! Two people do things at once, apart; afterwards both have the same tree and every edit.
//!
//! Each case is a row of the table in `docs/semantics.md`. All are done in one parting, so that
//! they also meet each other; one case that fails does not hide the others.

use harness::compare::{Also, names};
use harness::{Person, befriend, shell, text, wait_same};
use std::path::Path;

struct Case {
    name: &'static str,
    before: &'static str,
    ann: &'static str,
    bob: &'static str,
    after: fn(&Path) -> Result<(), String>,
}

fn must_be(
    found: impl PartialEq<&'static str> + std::fmt::Debug,
    wanted: &'static str,
) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, wanted {wanted:?}")) }
}

fn has(dir: &Path, file: &str, words: &[&str]) -> Result<(), String> {
    let found = text(&dir.join(file));
    let missing: Vec<_> = words.iter().filter(|word| found.matches(**word).count() != 1).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{file} has not once {missing:?}:\n{found}")) }
}

fn listed(dir: &Path, wanted: &[&str]) -> Result<(), String> {
    let found = names(dir);
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, wanted {wanted:?}")) }
}

const CASES: &[Case] = &[
    Case {
        name: "different-lines",
        before: "seq 1 30 | sed 's/^/line /' > f",
        ann: "sed -i 's/^line 5$/line 5 ann/' f",
        bob: "sed -i 's/^line 25$/line 25 bob/' f",
        after: |d| has(d, "f", &["line 5 ann\n", "line 25 bob\n", "line 17\n"]),
    },
    Case {
        name: "same-line",
        before: "echo 'the quick fox jumps over the lazy dog' > f",
        ann: "sed -i 's/quick/swift/' f",
        bob: "sed -i 's/lazy/sleepy/' f",
        after: |d| must_be(text(&d.join("f")), "the swift fox jumps over the sleepy dog\n"),
    },
    Case {
        name: "same-word",
        before: "echo 'I ate nine pears' > f",
        ann: "sed -i 's/nine/seven/' f",
        bob: "sed -i 's/nine/eleven/' f",
        after: |d| has(d, "f", &["seven", "eleven", "I ate ", " pears\n"]),
    },
    Case {
        name: "same-replacement",
        before: "echo 'version = \"0.1.0\"' > f",
        ann: "sed -i 's/0.1.0/0.2.0/' f",
        bob: "sed -i 's/0.1.0/0.2.0/' f",
        after: |d| must_be(text(&d.join("f")), "version = \"0.2.0\"\n"),
    },
    Case {
        name: "both-append",
        before: "echo start > f",
        ann: "echo ann >> f",
        bob: "echo bob >> f",
        after: |d| has(d, "f", &["start\n", "ann\n", "bob\n"]),
    },
    Case {
        name: "rename-and-edit",
        before: "echo first > f",
        ann: "mv f g",
        bob: "echo second >> f",
        after: |d| listed(d, &["g"]).and_then(|()| must_be(text(&d.join("g")), "first\nsecond\n")),
    },
    Case {
        name: "rename-and-rename",
        before: "echo first > f",
        ann: "mv f ann",
        bob: "mv f bob",
        after: |d| {
            let found = names(d);
            let whole = found.iter().all(|name| text(&d.join(name)) == "first\n");
            if whole && !found.is_empty() && !found.contains(&"f".into()) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        },
    },
    Case {
        name: "delete-and-edit",
        before: "echo first > f; echo other > gone",
        ann: "rm f gone",
        bob: "echo second >> f",
        after: |d| listed(d, &["f"]).and_then(|()| must_be(text(&d.join("f")), "first\nsecond\n")),
    },
    Case {
        name: "same-new-name",
        before: "true",
        ann: "echo from ann > new.txt",
        bob: "echo from bob > new.txt",
        after: |d| {
            let found = names(d);
            let texts: String = found.iter().map(|name| text(&d.join(name))).collect();
            let both = texts.contains("from ann") && texts.contains("from bob");
            let named = found.contains(&"new.txt".into())
                && found.iter().any(|n| n.starts_with("new~") && n.ends_with(".txt"));
            if found.len() == 2 && both && named { Ok(()) } else { Err(format!("{found:?} {texts:?}")) }
        },
    },
    Case {
        name: "same-new-file",
        before: "true",
        ann: "echo the same > new",
        bob: "echo the same > new",
        after: |d| listed(d, &["new"]),
    },
    Case {
        name: "same-new-room",
        before: "true",
        ann: "mkdir -p src/deep; echo a > src/a; echo a > src/deep/a",
        bob: "mkdir -p src/deep; echo b > src/b; echo b > src/deep/b",
        after: |d| listed(d, &["src/", "src/a", "src/b", "src/deep/", "src/deep/a", "src/deep/b"]),
    },
    Case {
        name: "rmdir-and-create",
        before: "mkdir room; echo old > room/old",
        ann: "rm -r room",
        bob: "echo new > room/new",
        after: |d| listed(d, &["room/", "room/new"]),
    },
    Case {
        name: "remove-room-and-edit",
        before: "mkdir room; echo one > room/f; echo two > room/g",
        ann: "rm -r room",
        bob: "echo more >> room/f",
        after: |d| {
            listed(d, &["room/", "room/f"]).and_then(|()| must_be(text(&d.join("room/f")), "one\nmore\n"))
        },
    },
    Case {
        name: "rooms-into-each-other",
        before: "mkdir a b; echo a > a/in-a; echo b > b/in-b",
        ann: "mv a b/",
        bob: "mv b a/",
        // One move counts. The door of the other is there too, and follows its room: a symlink.
        after: |d| {
            let found = names(d);
            let ways = [
                ["a/", "a/b/", "a/b/a", "a/b/in-b", "a/in-a"],
                ["b/", "b/a/", "b/a/b", "b/a/in-a", "b/in-b"],
            ];
            let link =
                ["a/b/a", "b/a/b"].iter().filter(|p| d.join(p).is_symlink() && d.join(p).is_dir()).count();
            if link == 1 && ways.iter().any(|way| found == way) { Ok(()) } else { Err(format!("{found:?}")) }
        },
    },
    Case {
        name: "room-to-two-places",
        before: "mkdir a b room; echo in > room/f",
        ann: "mv room a/",
        bob: "mv room b/",
        after: |d| {
            let at = [d.join("a/room"), d.join("b/room")];
            let places = at.iter().filter(|p| p.is_dir() && !p.is_symlink()).count();
            let read = at.iter().any(|p| text(&p.join("f")) == "in\n");
            if places == 1 && read { Ok(()) } else { Err(format!("{:?}", names(d))) }
        },
    },
    Case {
        name: "move-room-and-edit-inside",
        before: "mkdir a room; echo in > room/f",
        ann: "mv room a/",
        bob: "echo more >> room/f; echo new > room/g",
        after: |d| {
            listed(d, &["a/", "a/room/", "a/room/f", "a/room/g"])
                .and_then(|()| must_be(text(&d.join("a/room/f")), "in\nmore\n"))
        },
    },
    Case {
        name: "two-versions-of-a-photo",
        before: "head -c 100 /dev/zero > p.jpg",
        ann: "head -c 200 /dev/zero > p.jpg",
        bob: "head -c 300 /dev/zero > p.jpg",
        after: |d| {
            let found = names(d);
            let mut sizes: Vec<u64> =
                found.iter().filter_map(|n| d.join(n).metadata().ok()).map(|m| m.len()).collect();
            sizes.sort_unstable();
            if sizes == [200, 300] && found.contains(&"p.jpg".into()) {
                Ok(())
            } else {
                Err(format!("{found:?} {sizes:?}"))
            }
        },
    },
    Case {
        name: "a-key-is-never-spliced",
        before: "printf 'aaaa\\nbbbb\\n' > id.asc",
        ann: "printf 'aaaa\\ncccc\\n' > id.asc",
        bob: "printf 'dddd\\nbbbb\\n' > id.asc",
        after: |d| {
            let mut texts: Vec<String> = names(d).iter().map(|n| text(&d.join(n))).collect();
            texts.sort();
            if texts == ["aaaa\ncccc\n", "dddd\nbbbb\n"] { Ok(()) } else { Err(format!("{texts:?}")) }
        },
    },
    Case {
        name: "mode-and-edit",
        before: "echo 'echo hi' > run.sh; chmod 644 run.sh",
        ann: "chmod 755 run.sh",
        bob: "echo 'echo ho' >> run.sh",
        after: |d| {
            use std::os::unix::fs::PermissionsExt;
            let mode = d.join("run.sh").metadata().map(|m| m.permissions().mode() & 0o777).unwrap_or(0);
            if mode != 0o755 {
                return Err(format!("mode {mode:o}"));
            }
            must_be(text(&d.join("run.sh")), "echo hi\necho ho\n")
        },
    },
    Case {
        name: "hard-link-removed-and-edited",
        before: "echo x > a; ln a b",
        ann: "rm a",
        bob: "echo y >> b",
        after: |d| listed(d, &["b"]).and_then(|()| must_be(text(&d.join("b")), "x\ny\n")),
    },
];

fn each(person: &Person, line: fn(&Case) -> &'static str) {
    for case in CASES {
        shell(&person.path("garden").join(case.name), line(case));
    }
}

#[test]
fn every_edit_made_apart_is_there_and_both_see_one_tree() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    for case in CASES {
        std::fs::create_dir(ann.path("garden").join(case.name)).unwrap();
    }
    each(&ann, |case| case.before);
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    // Each is alone while they write: neither can have heard of the other's edit.
    bob.down();
    each(&ann, |case| case.ann);
    ann.down();
    bob.up();
    each(&bob, |case| case.bob);
    ann.up();
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    harness::wait_until("neither lacks anything", || {
        let status = ann.status();
        status["peers"][0]["connected"] == true
            && status["peers"][0]["behind_us"] == 0
            && status["peers"][0]["behind_them"] == 0
    });
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Modes);
    let mut wrong = Vec::new();
    for (who, person) in [("ann", &ann), ("bob", &bob)] {
        for case in CASES {
            if let Err(why) = (case.after)(&person.path("garden").join(case.name)) {
                wrong.push(format!("{} on {who}'s mount: {why}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
