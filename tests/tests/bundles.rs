//! Friends who never meet: what one lacks goes to the other as a file, on a stick.

use harness::compare::Also;
use harness::namespace::Island;
use harness::{Person, acquaint, must, sample, shell, text, wait_same, wait_until};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

// Two who know each other by their cards, on machines without any network.
struct Apart {
    ann: Person,
    bob: Person,
    _islands: [Island; 2],
}

fn apart() -> Apart {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let islands = [Island::new(), Island::new()];
    let mut ann = Person::without_network("ann", &islands[0].name);
    let mut bob = Person::without_network("bob", &islands[1].name);
    ann.up();
    bob.up();
    acquaint(&ann, &bob);
    acquaint(&bob, &ann);
    fs::create_dir(ann.path("garden")).unwrap();
    ann.ok(&["share", "/garden", "--with", "bob"]);
    Apart { ann, bob, _islands: islands }
}

fn stick(person: &Person) -> PathBuf {
    let dir = person.dir().join("stick");
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn export(from: &Person, to: &str, spool: &Path) -> Value {
    from.json(&["bundle", "export", "--to", to, "--spool", name(spool)])
}

fn import(who: &Person, path: &Path) -> Value {
    who.json(&["bundle", "import", name(path)])
}

fn bundles(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

// What is here of the shared room.
fn entries_of(who: &Person) -> u64 {
    let status = who.status();
    let spaces = status["spaces"].as_array().unwrap().iter();
    spaces.filter(|space| space["name"] == "garden").map(|space| space["entries"].as_u64().unwrap()).sum()
}

#[test]
fn a_stick_is_all_that_goes_between_them() {
    let Apart { mut ann, bob, _islands } = apart();
    let stick = stick(&ann);
    let story: String = (0..60).map(|n| format!("line {n} of a long story\n")).collect();
    fs::write(ann.path("garden/story"), &story).unwrap();
    sample::make_tree(&ann.dir().join("sample"), 200, 2 << 20);
    shell(ann.dir(), "cp -a sample mnt/garden/sample");

    // The room is offered by the first, and filled by what comes with it.
    let first = export(&ann, "bob", &stick);
    assert_eq!(first["left"], 0);
    let taken = import(&bob, &stick);
    assert!(taken["unjoined"].as_u64().unwrap() > 0, "{taken}");
    bob.ok(&["join", "ann/garden", "/garden"]);
    import(&bob, &stick);
    assert_eq!(text(&bob.path("garden/story")), story);
    wait_same(&ann.dir().join("sample"), &bob.path("garden/sample"), Also::ModesAndTimes);

    // Importing twice changes nothing, and exporting twice writes nothing anew.
    let before = entries_of(&bob);
    let again = import(&bob, &stick);
    assert_eq!((again["entries"].as_u64(), again["chunks"].as_u64()), (Some(0), Some(0)), "{again}");
    assert_eq!(entries_of(&bob), before);
    let repeated = export(&ann, "bob", &stick);
    assert_eq!((repeated["entries"].as_u64(), repeated["chunks"].as_u64()), (Some(0), Some(0)), "{repeated}");
    assert!(repeated["covered"].as_u64().unwrap() > 0);

    // Both edit one file; the way back acknowledges what went there.
    shell(ann.mount(), "sed -i 's/^line 3 /line 3 by ann /' garden/story; echo a > garden/from-ann");
    shell(bob.mount(), "sed -i 's/^line 50 /line 50 by bob /' garden/story; echo b > garden/from-bob");
    export(&bob, "ann", &stick);
    import(&ann, &stick);
    let merged = story.replace("line 3 ", "line 3 by ann ").replace("line 50 ", "line 50 by bob ");
    assert_eq!(text(&ann.path("garden/story")), merged);
    // What bob has is known over a restart.
    ann.down();
    ann.up();
    let second = export(&ann, "bob", &stick);
    assert!(second["removed"].as_u64().unwrap() > 0, "{second}");
    import(&bob, &stick);
    assert_eq!(text(&bob.path("garden/story")), merged);
    assert_eq!(
        (text(&bob.path("garden/from-ann")), text(&ann.path("garden/from-bob"))),
        ("a\n".into(), "b\n".into())
    );
    let (whole, after) = (first["bytes"].as_u64().unwrap(), second["bytes"].as_u64().unwrap());
    println!("the first export had {whole} bytes, the one after an ack {after}");
    assert!(after * 20 < whole, "{first} {second}");
}

#[test]
fn what_is_damaged_foreign_or_out_of_order_changes_nothing() {
    let Apart { ann, mut bob, _islands } = apart();
    let stick = stick(&ann);
    fs::write(ann.path("garden/one"), "one\n").unwrap();
    export(&ann, "bob", &stick);
    import(&bob, &stick);
    bob.ok(&["join", "ann/garden", "/garden"]);
    fs::write(ann.path("garden/two"), "two\n").unwrap();
    export(&ann, "bob", &stick);
    let [first, second] = <[PathBuf; 2]>::try_from(bundles(&stick)).unwrap();
    let before = entries_of(&bob);

    let bytes = fs::read(&second).unwrap();
    let bad = bob.dir().join("bad");
    let refused = |bob: &Person, bytes: &[u8], word: &str| {
        fs::write(&bad, bytes).unwrap();
        let said = bob.fails(1, &["bundle", "import", name(&bad)]);
        assert!(said.contains(word), "{said}");
    };
    for at in [200, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        refused(&bob, &changed, "damaged");
        refused(&bob, &bytes[..at], "damaged");
    }
    refused(&bob, b"", "no bundle");
    refused(&bob, &vec![b'x'; 3 << 20], "no bundle");
    refused(&bob, b"chorusb9 and more", "newer");
    refused(&bob, &[&bytes[..], b"more"].concat(), "damaged");
    // The maker cannot open it: it is for somebody else.
    let said = ann.fails(1, &["bundle", "import", name(&second)]);
    assert!(said.contains("somebody else"), "{said}");
    // A stranger's, made for bob all the same.
    let mut eve = Person::without_network("eve", &_islands[0].name);
    eve.up_with(&["--no-mount"]);
    acquaint(&eve, &bob);
    let from_eve = eve.dir().join("for-bob");
    eve.ok(&["bundle", "export", "--to", "bob", name(&from_eve)]);
    let said = bob.fails(1, &["bundle", "import", name(&from_eve)]);
    assert!(said.contains("nobody you know"), "{said}");
    bob.fails(1, &["bundle", "import", "/nonexistent"]);
    ann.fails(1, &["bundle", "export", "--to", "nobody", name(&bad)]);
    ann.fails(1, &["bundle", "export", "--to", "bob", name(&bad)]);
    assert_eq!(entries_of(&bob), before);

    // What builds on something that is not here waits for it.
    let said = bob.run(&["bundle", "import", name(&second)]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{words}");
    assert!(words.contains("before it is missing") && words.contains("ann in garden"), "{words}");
    assert_eq!(text(&bob.path("garden/two")), "");
    import(&bob, &first);
    bob.down();
    bob.up();
    import(&bob, &second);
    assert_eq!(
        (text(&bob.path("garden/one")), text(&bob.path("garden/two"))),
        ("one\n".into(), "two\n".into())
    );
}

// A disk of its own, as small as a test wants it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(at: PathBuf, megabytes: u32) -> SmallDisk {
        fs::create_dir(&at).unwrap();
        must(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "stick"])
                .arg(&at),
        );
        SmallDisk(at)
    }

    fn resize(&self, megabytes: u32) {
        must(Command::new("mount").args(["-o", &format!("remount,size={megabytes}m")]).arg(&self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_large_file_goes_over_a_small_stick_and_a_node_that_is_killed() {
    let Apart { mut ann, mut bob, _islands } = apart();
    let disk = SmallDisk::new(ann.dir().join("small"), 40);
    fs::write(ann.dir().join("film"), sample::Numbers::from(3).bytes(100 << 20)).unwrap();
    shell(ann.dir(), "cp film mnt/garden/film");
    // What fits is written, and the rest is named.
    let spool = name(&disk.0).to_owned();
    let said = ann.run(&["bundle", "export", "--to", "bob", "--spool", &spool]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && words.contains("did not fit"), "{words}");
    let part = bundles(&disk.0);
    assert!(!part.is_empty());
    let of_film = |path: &Path| ann.fails(1, &["bundle", "export", "--to", "bob", name(path)]);
    assert!(of_film(&disk.0.join("film")).contains("hint: make room"));
    disk.resize(200);
    // Killed while it writes the rest: what is named is whole, and the next export goes on.
    let mut writing = quietly(ann.command(&["bundle", "export", "--to", "bob", "--spool", &spool]));
    wait_until("it writes", || disk_bytes(&disk.0) > 50 << 20 || writing.try_wait().unwrap().is_some());
    ann.kill();
    let _ = writing.wait();
    must(Command::new("umount").arg("-l").arg(ann.mount()));
    ann.up();
    let rest = export(&ann, "bob", &disk.0);
    assert!(rest["covered"].as_u64().unwrap() > 0 && rest["left"] == 0, "{rest}");
    let all = bundles(&disk.0);
    assert!(all.len() > part.len() && all.iter().all(|path| name(path).ends_with(".bundle")), "{all:?}");

    bob.ok(&["bundle", "import", name(&part[0])]);
    bob.ok(&["join", "ann/garden", "/garden"]);
    // Killed while it takes the rest in.
    let bulk = bob.home().join("store");
    let mut importing = quietly(bob.command(&["bundle", "import", &spool]));
    wait_until("some of the film is there", || {
        disk_bytes(&bulk) > 15 << 20 || importing.try_wait().unwrap().is_some()
    });
    bob.kill();
    let _ = importing.wait();
    must(Command::new("umount").arg("-l").arg(bob.mount()));
    bob.up();
    let taken = import(&bob, &disk.0);
    assert_eq!(taken["lacking"].as_array().map(Vec::len), Some(0), "{taken}");
    wait_until("bob has the film", || {
        Command::new("cmp")
            .arg(ann.dir().join("film"))
            .arg(bob.path("garden/film"))
            .output()
            .unwrap()
            .status
            .success()
    });
}

fn quietly(mut command: Command) -> Child {
    command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn disk_bytes(dir: &Path) -> u64 {
    let said = Command::new("du").args(["-s", "--block-size=1"]).arg(dir).output().unwrap();
    String::from_utf8_lossy(&said.stdout).split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn two_friends_hear_of_each_other_by_a_third() {
    let Apart { ann, bob, _islands } = apart();
    let mut carol = Person::without_network("carol", &_islands[0].name);
    carol.up();
    for friend in [&ann, &bob] {
        acquaint(friend, &carol);
        acquaint(&carol, friend);
    }
    ann.ok(&["share", "/garden", "--with", "carol"]);
    fs::write(ann.path("garden/from-ann"), "ann\n").unwrap();
    let mut carried = 0;
    let mut carry = |from: &Person, to: &Person, by: &Person| {
        carried += 1;
        let file = from.dir().join(format!("bundle-{carried}"));
        from.ok(&["bundle", "export", "--to", &to.name, name(&file)]);
        // Whoever carries it cannot open it.
        assert!(by.fails(1, &["bundle", "import", name(&file)]).contains("somebody else"));
        to.ok(&["bundle", "import", name(&file)]);
    };
    carry(&ann, &carol, &bob);
    carol.ok(&["join", "ann/garden", "/garden"]);
    carry(&ann, &carol, &bob);
    assert_eq!(text(&carol.path("garden/from-ann")), "ann\n");
    // Nothing ever goes from Ann to Bob, or back, but by Carol.
    carry(&carol, &bob, &ann);
    bob.ok(&["join", "carol/garden", "/garden"]);
    carry(&carol, &bob, &ann);
    assert_eq!(text(&bob.path("garden/from-ann")), "ann\n");
    fs::write(bob.path("garden/from-bob"), "bob\n").unwrap();
    carry(&bob, &carol, &ann);
    carry(&carol, &ann, &bob);
    assert_eq!(text(&ann.path("garden/from-bob")), "bob\n");
}
