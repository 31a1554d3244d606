//! Programs that watch files hear of a friend's changes, and what they hear is so.

use harness::editor::Terminal;
use harness::{Person, befriend, shell, text, wait_until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

struct Pair {
    ann: Person,
    bob: Person,
}

fn pair(with: &[&str]) -> Pair {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up_with(with);
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    Pair { ann, bob }
}

impl Pair {
    fn mine(&self, name: &str) -> PathBuf {
        self.ann.path("garden").join(name)
    }

    fn theirs(&self, name: &str) -> PathBuf {
        self.bob.path("garden").join(name)
    }

    // What happens just after entr ran its command it takes for the command's doing, on any disk: then once more.
    fn until(&self, what: &str, line: &str, done: impl Fn() -> bool) {
        let mut again = Instant::now();
        wait_until(what, || {
            if Instant::now() >= again {
                shell(&self.bob.path("garden"), line);
                again = Instant::now() + Duration::from_secs(2);
            }
            done()
        });
    }

    fn both(&self, name: &str, content: &str) {
        fs::write(self.theirs(name), content).unwrap();
        wait_until(&format!("ann has {name}"), || text(&self.mine(name)) == content);
    }
}

/// A program that runs beside the test, ended with it.
struct Beside(Child);

impl Beside {
    fn start(dir: &Path, line: &str) -> Beside {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec {line}")]).current_dir(dir).stdin(Stdio::null());
        Beside(command.spawn().unwrap())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `inotifywait` says of a directory.
struct Watch {
    out: PathBuf,
    _run: Beside,
}

impl Watch {
    fn of(person: &Person, dir: &Path, more: &str) -> Watch {
        let (out, said) = (person.dir().join("events"), person.dir().join("established"));
        let line = format!(
            "inotifywait -m {more} --format '%e %f' '{}' >>'{}' 2>'{}'",
            dir.display(),
            out.display(),
            said.display()
        );
        let run = Beside::start(person.dir(), &line);
        wait_until("inotifywait watches", || text(&said).contains("Watches established"));
        Watch { out, _run: run }
    }

    fn heard(&self) -> Vec<String> {
        text(&self.out).lines().map(str::to_owned).collect()
    }

    /// Waits for events, and answers all since the last call but opening and looking.
    fn take(&self, wanted: &[&str]) -> Vec<String> {
        let end = Instant::now() + harness::wait::deadline();
        while !wanted.iter().all(|one| self.heard().iter().any(|line| line == one)) {
            assert!(Instant::now() < end, "{wanted:?} is not in {:#?}", self.heard());
            std::thread::sleep(Duration::from_millis(10));
        }
        // Whatever is too much would come now.
        std::thread::sleep(Duration::from_millis(300));
        let heard = self.heard();
        fs::write(&self.out, "").unwrap();
        let loud =
            |line: &String| !["OPEN", "ACCESS", "CLOSE_NOWRITE"].iter().any(|quiet| line.starts_with(quiet));
        heard.into_iter().filter(loud).collect()
    }
}

fn heads(path: &Path) -> String {
    let mut value = vec![0; 4096];
    let length = rustix::fs::getxattr(path, "user.chorus.heads", &mut value).expect("user.chorus.heads");
    String::from_utf8_lossy(&value[..length]).into_owned()
}

#[test]
fn who_watches_a_room_hears_each_change_of_a_friend_once() {
    let pair = pair(&[]);
    let watch = Watch::of(&pair.ann, &pair.ann.path("garden"), "");
    fs::create_dir(pair.theirs("shed")).unwrap();
    assert_eq!(watch.take(&["CREATE,ISDIR shed"]), ["CREATE,ISDIR shed"]);

    fs::write(pair.theirs("f"), "one\n").unwrap();
    assert_eq!(watch.take(&["CLOSE_WRITE,CLOSE f"]), ["CREATE f", "MODIFY f", "CLOSE_WRITE,CLOSE f"]);
    assert_eq!(text(&pair.mine("f")), "one\n");
    let (ino, before) = (pair.mine("f").metadata().unwrap().ino(), SystemTime::now());

    shell(&pair.bob.path("garden"), "echo two >> f");
    assert_eq!(watch.take(&["CLOSE_WRITE,CLOSE f"]), ["MODIFY f", "CLOSE_WRITE,CLOSE f"]);
    let now = pair.mine("f").metadata().unwrap();
    assert_eq!((now.len(), now.ino(), text(&pair.mine("f"))), (8, ino, "one\ntwo\n".into()));
    assert!(now.modified().unwrap() >= before, "the time is that of the friend's change");
    wait_until("both have one version", || heads(&pair.mine("f")) == heads(&pair.theirs("f")));

    fs::set_permissions(pair.theirs("f"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(watch.take(&["ATTRIB f"]), ["ATTRIB f"]);
    assert_eq!(pair.mine("f").metadata().unwrap().mode() & 0o777, 0o600);

    fs::set_permissions(pair.theirs("f"), fs::Permissions::from_mode(0o400)).unwrap();
    shell(&pair.bob.path("garden"), "echo three >> f");
    assert_eq!(watch.take(&["ATTRIB f", "MODIFY f"]).len(), 3, "ATTRIB, MODIFY and CLOSE_WRITE");

    fs::rename(pair.theirs("f"), pair.theirs("g")).unwrap();
    assert_eq!(watch.take(&["MOVED_TO g"]), ["MOVED_FROM f", "MOVED_TO g"]);
    assert_eq!((pair.mine("g").metadata().unwrap().ino(), pair.mine("f").exists()), (ino, false));

    fs::rename(pair.theirs("g"), pair.theirs("shed/g")).unwrap();
    assert_eq!(watch.take(&["MOVED_FROM g"]), ["MOVED_FROM g"]);
    assert_eq!(pair.mine("shed/g").metadata().unwrap().ino(), ino);

    fs::rename(pair.theirs("shed/g"), pair.theirs("h")).unwrap();
    assert_eq!(watch.take(&["MOVED_TO h"]), ["MOVED_TO h"]);

    fs::remove_file(pair.theirs("h")).unwrap();
    assert_eq!(watch.take(&["DELETE h"]), ["DELETE h"]);
    assert!(!pair.mine("h").exists());

    fs::create_dir(pair.theirs("room")).unwrap();
    assert_eq!(watch.take(&["CREATE,ISDIR room"]), ["CREATE,ISDIR room"]);
    fs::rename(pair.theirs("room"), pair.theirs("hall")).unwrap();
    assert_eq!(watch.take(&["MOVED_TO,ISDIR hall"]), ["MOVED_FROM,ISDIR room", "MOVED_TO,ISDIR hall"]);
    fs::remove_dir(pair.theirs("hall")).unwrap();
    assert_eq!(watch.take(&["DELETE,ISDIR hall"]), ["DELETE,ISDIR hall"]);

    // A room goes with what is in it.
    shell(&pair.bob.path("garden"), "mkdir old; echo x > old/x");
    watch.take(&["CREATE,ISDIR old"]);
    wait_until("x is there", || text(&pair.mine("old/x")) == "x\n");
    let inner = Watch::of(&pair.bob, &pair.mine("old"), "-e delete,delete_self");
    shell(&pair.bob.path("garden"), "rm -r old");
    assert_eq!(watch.take(&["DELETE,ISDIR old"]), ["DELETE,ISDIR old"]);
    assert!(inner.take(&["DELETE_SELF "]).contains(&"DELETE_SELF ".to_owned()), "the room itself is watched");

    std::os::unix::fs::symlink("shed", pair.theirs("link")).unwrap();
    assert_eq!(watch.take(&["CREATE link"]), ["CREATE link"]);
    assert_eq!(fs::read_link(pair.mine("link")).unwrap(), Path::new("shed"));

    // What I do myself the kernel tells alone.
    fs::write(pair.mine("mine"), "x").unwrap();
    assert_eq!(
        watch.take(&["CLOSE_WRITE,CLOSE mine"]),
        ["CREATE mine", "MODIFY mine", "CLOSE_WRITE,CLOSE mine"]
    );
    assert!(!pair.ann.ok(&["log", "/garden/shed"]).contains("me  edited"), "nothing was changed here");
    assert_eq!(shell(&pair.ann.path("garden"), "ls"), "link\nmine\nshed\n");
}

#[test]
fn entr_tail_and_vim_show_what_a_friend_wrote() {
    let pair = pair(&[]);
    pair.both("f", "one\n");
    let (ran, said) = (pair.ann.dir().join("ran"), pair.ann.dir().join("tail"));
    let room = pair.ann.path("garden");
    let _entr = Beside::start(&room, &format!("entr -n cp f '{}' <<< f", ran.display()));
    let _tail = Beside::start(&room, &format!("tail -f f >'{}'", said.display()));
    let vim = Terminal::start(
        &room,
        "vim -u NONE -N -i NONE -n --cmd 'set autoread' f +'call timer_start(100, {-> execute(\"checktime\")}, {\"repeat\": -1})'",
    );
    vim.wait_screen("one");
    wait_until("entr ran its command at first", || text(&ran) == "one\n");
    wait_until("tail printed what there was", || text(&said) == "one\n");
    pair.until("entr ran its command", "echo two >> f", || text(&ran).contains("two\n"));
    wait_until("tail printed the line", || text(&said).starts_with("one\ntwo\n"));
    vim.wait_screen("two");
    // Replaced, as editors do.
    pair.until("entr ran its command", "echo three > f.new && mv f.new f", || text(&ran) == "three\n");
    vim.wait_screen("three");
    vim.type_text(":q!");
    vim.press(&["Enter"]);
    vim.wait_end();
}

#[test]
fn a_burst_is_heard_and_the_tree_is_right() {
    const FILES: usize = 2000;
    let pair = pair(&[]);
    fs::create_dir(pair.theirs("many")).unwrap();
    wait_until("the room is there", || pair.mine("many").is_dir());
    let watch = Watch::of(&pair.ann, &pair.mine("many"), "-e create -e delete");
    shell(&pair.theirs("many"), &format!("for n in $(seq {FILES}); do echo $n > f$n; done"));
    let heard = |what: &str| {
        let mut names: Vec<_> = watch.heard().into_iter().filter(|line| line.starts_with(what)).collect();
        names.sort();
        names.dedup();
        names.len()
    };
    wait_until("all are heard of", || heard("CREATE ") == FILES);
    let list = "ls -1 | wc -l; cat f* | sort -n | md5sum";
    assert_eq!(shell(&pair.mine("many"), list), shell(&pair.theirs("many"), list));
    let numbers = "stat -c '%n %i %s' f* | md5sum";
    let before = shell(&pair.mine("many"), numbers);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(shell(&pair.mine("many"), numbers), before, "numbers and sizes stay");

    // Many changes of one file, the last of which counts.
    shell(&pair.theirs("many"), "for n in $(seq 200); do echo $n > f1; done; rm f?*1");
    wait_until("the last is there", || {
        text(&pair.mine("many/f1")) == "200\n" && !pair.mine("many/f1991").exists()
    });
    wait_until("what was removed is heard of", || heard("DELETE ") == FILES / 10 - 1);
    assert_eq!(shell(&pair.mine("many"), "ls"), shell(&pair.theirs("many"), "ls"));
}

/// Kills a node as a crash does; false: it is still there, because one of its threads waits for the node itself.
fn dies(person: &Person) -> bool {
    let process = PathBuf::from(format!("/proc/{}", person.pid()));
    shell(person.dir(), &format!("kill -9 {}", person.pid()));
    let gone = || {
        let alone = fs::read_dir(process.join("task")).map_or(0, Iterator::count) <= 1;
        alone
            && !matches!(text(&process.join("stat")).rsplit(") ").next(), Some(rest) if !rest.starts_with('Z'))
    };
    let end = Instant::now() + Duration::from_secs(20);
    while !gone() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let died = gone();
    if !died {
        // Only so that the test can end.
        let _ = Command::new("umount").arg("-f").arg(person.mount()).status();
    }
    died
}

#[test]
fn a_burst_is_in_nobodys_way() {
    const FILES: usize = 1500;
    let mut pair = pair(&[]);
    let burst = |pair: &Pair, room: &str| {
        fs::create_dir(pair.theirs(room)).unwrap();
        wait_until("the room is there", || pair.mine(room).is_dir());
        let line = format!("bash -c 'for n in $(seq {FILES}); do echo $n > f$n; done'");
        let writes = Beside::start(&pair.theirs(room), &line);
        wait_until("the burst has begun", || fs::read_dir(pair.mine(room)).unwrap().count() > 50);
        writes
    };
    let writes = burst(&pair, "busy");
    // Somebody uses it, too.
    let open = fs::File::open(pair.mine("busy/f1")).unwrap();
    pair.ann.down();
    assert!(fs::read_dir(pair.ann.mount()).unwrap().next().is_none(), "it is unmounted");
    drop((open, writes));
    let rounds = std::env::var("CHORUS_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for round in 0..rounds {
        pair.ann.up();
        wait_until("they meet again", || pair.ann.sees("bob"));
        let room = format!("r{round}");
        let mut writes = burst(&pair, &room);
        std::thread::sleep(Duration::from_millis(40 * (round % 5)));
        assert!(dies(&pair.ann), "its own calls on its own mount keep it from dying");
        pair.ann.kill();
        writes.0.wait().unwrap();
    }
    pair.ann.up();
    let all = || fs::read_dir(pair.mine("r0")).is_ok_and(|names| names.count() == FILES);
    wait_until("all is there", all);
    let list = "cat f* | sort -n | md5sum";
    assert_eq!(shell(&pair.mine("r0"), list), shell(&pair.theirs("r0"), list));
}

#[test]
fn switched_off_nobody_hears_and_all_else_works() {
    let pair = pair(&["--no-wake"]);
    let watch =
        Watch::of(&pair.ann, &pair.ann.path("garden"), "-e create,modify,close_write,delete,move,attrib");
    pair.both("f", "one\n");
    pair.both("f", "one\ntwo\n");
    fs::rename(pair.theirs("f"), pair.theirs("g")).unwrap();
    wait_until("it is renamed", || pair.mine("g").exists() && !pair.mine("f").exists());
    fs::remove_file(pair.theirs("g")).unwrap();
    wait_until("it is gone", || !pair.mine("g").exists());
    assert_eq!(watch.heard(), [""; 0]);
    fs::write(pair.mine("mine"), "x").unwrap();
    wait_until("my own changes are heard", || watch.heard().contains(&"CREATE mine".to_owned()));
}
