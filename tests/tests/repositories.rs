//! git and cargo on the mount: a repository in a shared room is its owner's, survives what a disk's would, and friends who
//! want to share one push to a bare one. `CHORUS_REPOSITORY=N`: with N files; `CHORUS_TORTURE=N`: N rounds of `kill -9`.

use harness::{Pair, Person, must, sample, shell, text, wait_until};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

// The same whatever this machine's user has set.
fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "somebody").env(format!("GIT_{who}_EMAIL"), "some@body");
    }
    command
}

fn git(dir: &Path, line: &str) -> String {
    must(git_command(dir).args(line.split(' '))).trim().to_owned()
}

fn commit(dir: &Path, message: &str) {
    git(dir, "add --all");
    must(git_command(dir).args(["commit", "-q", "-m", message]));
}

fn is_sound(dir: &Path) {
    assert_eq!(git(dir, "fsck --strict --no-progress --no-dangling"), "", "{}", dir.display());
}

// What git compares to know whether it has to read a file again.
fn stamps(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for name in git(dir, "ls-files -z").split('\0').filter(|name| !name.is_empty()) {
        let at = fs::symlink_metadata(dir.join(name)).unwrap();
        let times = (at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec());
        out.push(format!("{name} {} {} {} {times:?}", at.ino(), at.size(), at.mode()));
    }
    out
}

// Nothing differs but what git keeps for itself.
fn same_work(a: &Path, b: &Path) -> bool {
    let diff = Command::new("diff").args(["-rq", "--no-dereference", "--exclude=.git"]).args([a, b]).output();
    diff.is_ok_and(|diff| diff.status.success())
}

fn unshared(person: &Person) -> Vec<String> {
    let status = person.status();
    let list = status["unshared"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|pair| Some(pair[0].as_str()?.to_owned())).collect()
}

fn files() -> usize {
    std::env::var("CHORUS_REPOSITORY").ok().and_then(|n| n.parse().ok()).unwrap_or(250)
}

#[test]
fn a_repository_in_a_shared_room_is_ones_own() {
    let mut pair = Pair::new();
    let (app, theirs) = (pair.mine("app"), pair.theirs("app"));
    sample::make_tree(&app, files(), 0);
    git(&app, "init -q -b main");
    commit(&app, "all");
    for n in 0..12 {
        fs::write(app.join("counter"), format!("{n}\n")).unwrap();
        commit(&app, &format!("n {n}"));
    }
    git(&app, "checkout -q -b side HEAD~5");
    fs::write(app.join("side"), "beside\n").unwrap();
    commit(&app, "side");
    git(&app, "checkout -q main");
    git(&app, "merge -q --no-edit side");
    git(&app, "gc -q --prune=now");
    is_sound(&app);
    assert_eq!(git(&app, "rev-list --count HEAD"), "15");

    // To the disk and back, and as another work tree.
    let (disk, back, tree) = (pair.aside("disk"), pair.mine("back"), pair.mine("tree"));
    for (from, to) in [(&app, &disk), (&disk, &back)] {
        must(git_command(pair.ann.dir()).args(["clone", "-q", "--no-hardlinks"]).args([from, to]));
        is_sound(to);
        assert_eq!(git(to, "status --porcelain"), "");
    }
    must(git_command(&app).args(["worktree", "add", "-q"]).arg(&tree).arg("side"));
    assert_eq!(git(&tree, "status --porcelain"), "");

    // Bob has the files; not one of git's, and none is waited for.
    for name in ["app", "back", "tree"] {
        wait_until(&format!("bob has {name}"), || same_work(&pair.mine(name), &pair.theirs(name)));
    }
    assert_eq!(shell(&pair.bob.path("garden"), "find . -name '*git' -o -name HEAD"), "");
    assert_eq!(unshared(&pair.ann), ["/garden/app/.git", "/garden/back/.git", "/garden/tree/.git"]);
    assert_eq!(unshared(&pair.bob), Vec::<String>::new());

    // After a restart nothing has to be read again.
    let before = stamps(&app);
    pair.ann.down();
    pair.ann.up();
    assert_eq!(stamps(&app), before);
    assert_eq!(git(&app, "diff-files --name-only"), "", "the stamps in the index hold");
    is_sound(&app);

    // git as an editor, of what bob sees; and bob as the editor, of what git sees.
    // Looked at by others than the test, which is to write as one who read the newest only.
    let size = |n: u64| move |at: &Path| fs::metadata(at.join("counter")).is_ok_and(|at| at.len() == n);
    git(&app, "checkout -q HEAD~3");
    wait_until("bob has what was checked out", || size(2)(&theirs) && same_work(&app, &theirs));
    git(&app, "checkout -q main");
    wait_until("bob has the newest", || size(3)(&theirs) && same_work(&app, &theirs));
    fs::write(theirs.join("counter"), "bob was here\n").unwrap();
    pair.both("app/counter", "bob was here\n");
    assert_eq!(git(&app, "diff --name-only"), "counter");

    // Bob's repository in the same room is another.
    git(&theirs, "init -q -b main");
    commit(&theirs, "of bob");
    assert_eq!(git(&theirs, "rev-list --count HEAD"), "1");
    assert_eq!(git(&app, "rev-list --count HEAD"), "15");
    assert_eq!(unshared(&pair.bob), ["/garden/app/.git"]);
    // He removes all that he has; what is ann's alone stays with her.
    fs::remove_dir_all(&theirs).unwrap();
    wait_until("the files are gone", || git(&app, "ls-files --deleted") == git(&app, "ls-files"));
    // Whoever watches hears of each, and until then the kernel knows the name.
    let rooms: Vec<PathBuf> = (0..17).map(|n| app.join(format!("part {n}"))).collect();
    wait_until("and the rooms", || !rooms.iter().any(|room| room.exists()));
    git(&app, "checkout -q -- .");
    assert_eq!(git(&app, "status --porcelain"), "");
    wait_until("bob has all again", || same_work(&app, &theirs));
    fs::remove_dir_all(&app).unwrap();
    assert_eq!(unshared(&pair.ann), ["/garden/back/.git", "/garden/tree/.git"]);
}

#[test]
fn a_repository_of_home_stays_at_home_when_its_room_is_shared() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    let app = ann.path("app");
    sample::make_tree(&app, 60, 0);
    git(&app, "init -q -b main");
    commit(&app, "all");
    assert_eq!(unshared(&ann), Vec::<String>::new(), "at home nobody else writes");
    harness::befriend(&ann, &bob, Some("app"));
    wait_until("bob has the files", || same_work(&app, &bob.path("app")));
    assert!(!bob.path("app/.git").exists());
    assert_eq!(unshared(&ann), ["/app/.git"]);
    is_sound(&app);
    git(&app, "update-index -q --refresh");
    assert_eq!(git(&app, "status --porcelain"), "");
    // What leaves it is copied, and is everybody's then.
    shell(&app, "mv .git ../app/copied.git");
    git(&app.join("copied.git"), "config core.bare true");
    is_sound(&app.join("copied.git"));
    assert_eq!(unshared(&ann), Vec::<String>::new());
    wait_until("bob has the repository", || {
        let fsck =
            git_command(bob.dir()).args(["--git-dir", "mnt/app/copied.git", "fsck", "--strict"]).output();
        bob.path("app/copied.git/HEAD").exists() && fsck.is_ok_and(|fsck| fsck.status.success())
    });
}

// Commits, one after the other, each noted elsewhere once git has said that it is made, and the name that it moved into
// place is synced: git leaves that to the disk.
const COMMITTING: &str = "n=0; while true; do n=$((n+1)); echo $n > f$((n % 7)); git add . && git commit -q --allow-empty -m $n || exit 0; \
    sync .git/refs/heads && git rev-parse HEAD >> \"$0\"; done";

#[test]
fn kill_9_loses_no_commit_that_was_told() {
    let mut pair = Pair::new();
    let (repo, told) = (pair.mine("repo"), pair.aside("told"));
    fs::create_dir(&repo).unwrap();
    git(&repo, "init -q -b main");
    git(&repo, "config core.fsync all");
    git(&repo, "config gc.auto 0");
    let rounds = std::env::var("CHORUS_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for round in 0..rounds {
        File::create(&told).unwrap();
        let mut bash = Command::new("bash");
        bash.env_clear().envs(git_command(&repo).get_envs().filter_map(|(k, v)| Some((k, v?))));
        bash.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", pair.ann.dir());
        bash.args(["-c", COMMITTING]).arg(&told).current_dir(&repo);
        let mut committing = bash.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("some are told", || text(&told).lines().count() > 3);
        std::thread::sleep(Duration::from_millis(37 * (round % 11)));
        pair.ann.kill();
        let end = Instant::now() + Duration::from_secs(30);
        while committing.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "git hangs on a dead mount");
            std::thread::sleep(Duration::from_millis(20));
        }
        pair.ann.up();
        is_sound(&repo);
        let last = text(&told).lines().last().unwrap().to_owned();
        git(&repo, &format!("merge-base --is-ancestor {last} HEAD"));
        // As after a power cut on a disk: who held the locks is dead.
        shell(&repo, "find .git -name '*.lock' -delete");
        git(&repo, "reset -q --hard");
        git(&repo, "clean -fdq");
        assert_eq!(git(&repo, "status --porcelain"), "");
    }
    wait_until("bob has the files", || same_work(&repo, &pair.theirs("repo")));
    assert!(!pair.theirs("repo/.git").exists());
}

#[test]
fn friends_push_to_a_bare_repository_each_to_branches_of_their_own() {
    let pair = Pair::new();
    // As the manual says it.
    git(&pair.room(), "init -q --bare -b main app.git");
    let bare = pair.mine("app.git");
    git(&bare, "config gc.auto 0");
    wait_until("bob has it", || same_work(&bare, &pair.theirs("app.git")));
    let people = [("ann", &pair.ann), ("bob", &pair.bob)];
    let works: Vec<PathBuf> = people.iter().map(|(_, person)| person.dir().join("work")).collect();
    for ((name, person), work) in people.iter().zip(&works) {
        let garden = person.path("garden/app.git");
        git(person.dir(), "init -q -b main work");
        must(git_command(work).args(["remote", "add", "garden"]).arg(&garden));
        git(work, &format!("config remote.garden.push refs/heads/*:refs/heads/{name}/*"));
        must(git_command(work).args(["config", "remote.garden.receivepack", RECEIVE]));
    }
    // What runs at a push is not the friend's to say.
    let ran = pair.aside("ran");
    for hook in ["pre-receive", "update", "post-receive", "post-update"] {
        let hook = pair.theirs("app.git/hooks").join(hook);
        fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\n", ran.display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for key in ["core.alternateRefsCommand", "core.fsmonitor", "gc.recentObjectsHook"] {
        let run = format!("touch '{}' #", ran.display());
        must(git_command(&pair.theirs("app.git")).args(["config", key, &run]));
    }
    wait_until("ann has bob's settings", || same_work(&bare, &pair.theirs("app.git")));
    wait_until("ann has bob's hooks", || {
        fs::metadata(bare.join("hooks/post-update")).is_ok_and(|at| at.mode() & 0o111 != 0 && at.size() > 0)
    });
    // Both at once.
    std::thread::scope(|scope| {
        for ((name, _), work) in people.iter().zip(&works) {
            scope.spawn(move || {
                for n in 0..8 {
                    fs::write(work.join(name), format!("{n}\n")).unwrap();
                    commit(work, &format!("{name} {n}"));
                    git(work, "push -q garden");
                }
            });
        }
    });
    wait_until("both have both", || same_work(&bare, &pair.theirs("app.git")));
    assert!(!ran.exists(), "a hook of a friend ran");
    let heads: Vec<String> = works.iter().map(|work| git(work, "rev-parse HEAD")).collect();
    for ((_, person), work) in people.iter().zip(&works) {
        let garden = person.path("garden/app.git");
        is_sound(&garden);
        let refs = git(&garden, "for-each-ref --format=%(refname)=%(objectname)");
        assert_eq!(refs, format!("refs/heads/ann/main={}\nrefs/heads/bob/main={}", heads[0], heads[1]));
        git(work, "fetch -q garden");
        git(work, "merge -q --allow-unrelated-histories --no-edit garden/ann/main garden/bob/main");
        assert_eq!((text(&work.join("ann")), text(&work.join("bob"))), ("7\n".into(), "7\n".into()));
        assert_eq!(person.status()["overlaps"].as_array().map(Vec::len), Some(0), "one writer, no overlap");
        assert_eq!(unshared(person), Vec::<String>::new());
    }
}

// As git takes in what was pushed, but that each directory is made by both at once.
#[test]
fn what_is_linked_into_a_room_that_both_make_stays_there() {
    let pair = Pair::new();
    fs::create_dir(pair.mine("objects")).unwrap();
    wait_until("bob has it", || pair.theirs("objects").is_dir());
    let sides = [("ann", pair.mine("objects")), ("bob", pair.theirs("objects"))];
    std::thread::scope(|scope| {
        for (name, objects) in &sides {
            scope.spawn(move || {
                for n in 0..300 {
                    let aside = objects.join(format!("incoming-{name}-{n}"));
                    let (from, to) = (aside.join("x"), objects.join(format!("d{}", n % 150)));
                    fs::create_dir(&aside).unwrap();
                    fs::write(&from, format!("{name} {n}\n")).unwrap();
                    if let Err(error) = fs::create_dir(&to) {
                        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{to:?}");
                    }
                    let last = to.join(format!("{name}{n}"));
                    fs::hard_link(&from, &last).unwrap();
                    fs::remove_file(&from).unwrap();
                    let read = fs::read_to_string(&last).map_err(|error| error.kind());
                    assert_eq!(read, Ok(format!("{name} {n}\n")), "{last:?}");
                    fs::remove_dir(&aside).unwrap();
                }
            });
        }
    });
    wait_until("both have all", || same_work(&sides[0].1, &sides[1].1));
    assert_eq!(fs::read_dir(&sides[0].1).unwrap().count(), 150);
}

const RECEIVE: &str = "git -c core.hooksPath=/dev/null -c core.alternateRefsCommand=true -c receive.autogc=false \
    -c receive.denyCurrentBranch=refuse receive-pack";

#[test]
fn cargo_builds_what_changed_and_nothing_else() {
    let pair = Pair::new();
    let cargo = |args: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args).arg("--offline").current_dir(pair.room());
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
        ] {
            command.env_remove(name);
        }
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "cargo {args:?}: {said}");
        said
    };
    cargo(&["new", "--quiet", "--vcs", "none", "small"]);
    fs::write(pair.mine("small/src/lib.rs"), "pub fn word() -> &'static str { \"ann\" }\n").unwrap();
    fs::write(pair.mine("small/src/main.rs"), "fn main() { println!(\"{}\", small::word()) }\n").unwrap();
    let build = || cargo(&["build", "-v", "--manifest-path", "small/Cargo.toml"]);
    let program = pair.mine("small/target/debug/small");
    assert!(build().contains("Compiling small"));
    assert_eq!(must(&mut Command::new(&program)), "ann\n");
    let again = build();
    assert!(again.contains("Fresh small") && !again.contains("Compiling"), "{again}");
    wait_until("bob has the source", || text(&pair.theirs("small/src/lib.rs")).contains("ann"));
    fs::write(pair.theirs("small/src/lib.rs"), "pub fn word() -> &'static str { \"bob\" }\n").unwrap();
    wait_until("ann has bob's", || text(&pair.mine("small/src/lib.rs")).contains("bob"));
    assert!(build().contains("Compiling small"));
    assert_eq!(must(&mut Command::new(&program)), "bob\n");
    let again = build();
    assert!(again.contains("Fresh small"), "{again}");
    // What was built is a file like others.
    wait_until("bob can run what ann built", || {
        let run = Command::new(pair.theirs("small/target/debug/small")).output();
        run.is_ok_and(|run| run.stdout == b"bob\n")
    });
}
