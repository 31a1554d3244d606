//! A clock that jumps by years and back while the node runs: what everybody wrote is there, and times stay sane
//! for who has the right one.
//!
//! The clock of one node's process is changed from outside (`faketime`), as an administrator or a dead battery
//! would change the machine's.

use harness::{Person, befriend, shell, text, wait_until};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const YEAR: u64 = 365 * 86_400;
const HOUR: u64 = 3_600;

/// The clock of one person's node.
struct Clock(PathBuf);

impl Clock {
    fn of(person: &mut Person) -> Clock {
        let clock = Clock(person.dir().join("clock"));
        clock.set("+0");
        let find = "ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib*/faketime/libfaketime.so.1 2>/dev/null | head -1";
        let library = shell(person.dir(), &format!("set +e; {find}")).trim().to_owned();
        assert!(!library.is_empty(), "faketime is not installed: .ci/prepare test does it");
        for (name, value) in [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            // What is waited for is measured by another clock, which nobody sets.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ] {
            person.set_env(name, value);
        }
        clock
    }

    /// From now on the clock is wrong by so much (`+30y`, `-5h`).
    fn set(&self, wrong: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{wrong}\n")).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn changed(path: &std::path::Path) -> u64 {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What the history of a file says of the last change by somebody.
fn said_by(person: &Person, who: &str, path: &str) -> u64 {
    let log = person.json(&["log", path]);
    let line = log.as_array().unwrap().iter().find(|line| line["who"] == who);
    line.expect("a line of the history")["time"].as_u64().unwrap()
}

fn append(path: &std::path::Path, line: &str) {
    let mut file = fs::File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

struct Garden {
    ann: Person,
    bob: Person,
    clock: Clock,
    lines: Vec<String>,
}

impl Garden {
    /// Both add a line to the same file at the same time, and Ann makes another file; all of it arrives.
    fn both_edit(&mut self, when: &str) {
        let files = [self.ann.path("garden/f"), self.bob.path("garden/f")];
        for (path, who) in files.iter().zip(["ann", "bob"]) {
            append(path, &format!("{who} {when}"));
            self.lines.push(format!("{who} {when}"));
        }
        fs::write(self.ann.path(&format!("garden/{when}")), when).unwrap();
        wait_until(&format!("both have both lines, {when}"), || {
            let texts = files.each_ref().map(|path| text(path));
            let all = |text: &String| {
                self.lines.iter().all(|line| text.lines().filter(|l| l == line).count() == 1)
                    && text.lines().count() == self.lines.len()
            };
            texts[0] == texts[1] && all(&texts[0])
        });
        let made = self.bob.path(&format!("garden/{when}"));
        wait_until("the new file is there", || text(&made) == when);
    }

    /// Whose clock is right sees nothing from the future, and what came last is the newest.
    fn bobs_times_are_sane(&self, newest: &str) {
        let room = self.bob.path("garden");
        for entry in fs::read_dir(&room).unwrap() {
            let path = entry.unwrap().path();
            assert!(changed(&path) <= now() + 60, "{} is from the future", path.display());
            assert!(changed(&path) + HOUR > now(), "{} is from the past", path.display());
        }
        let first = shell(&room, "ls -t | grep -v '^f$' | head -1");
        assert_eq!(first.trim(), newest);
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_wedges_nothing() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    let clock = Clock::of(&mut ann);
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    fs::write(ann.path("garden/f"), "").unwrap();
    wait_until("the file is there", || bob.path("garden/f").exists());
    let mut garden = Garden { ann, bob, clock, lines: Vec::new() };
    garden.both_edit("before");

    garden.clock.set("+30y");
    garden.both_edit("ahead");
    assert!(said_by(&garden.bob, "ann", "/garden/ahead") > now() + 29 * YEAR, "her clock is wrong indeed");
    garden.bobs_times_are_sane("ahead");
    // An invitation of then does not stay open for thirty years.
    let invitation = garden.ann.ok(&["invite", "--for", "cem"]);

    garden.clock.set("-5h");
    garden.both_edit("behind");
    assert!(said_by(&garden.bob, "ann", "/garden/behind") < now() - 4 * HOUR, "her clock is wrong indeed");
    garden.bobs_times_are_sane("behind");
    // Somebody else is expected: while nobody is, strangers are not even told that they are refused.
    garden.ann.ok(&["invite", "--for", "dora"]);
    let mut cem = Person::new("cem");
    cem.up();
    let card = cem.dir().join("card");
    fs::write(&card, invitation).unwrap();
    let _ = cem.run(&["peer", "add", card.to_str().unwrap(), "--name", "ann"]);
    wait_until("the invitation is refused", || cem.status()["problems"].to_string().contains("did not take"));
    assert!(!garden.ann.status()["peers"].to_string().contains("cem"));
    cem.down();

    // A start in the past, after entries of the future.
    garden.ann.down();
    garden.ann.up();
    wait_until("they meet again", || garden.ann.sees("bob") && garden.bob.sees("ann"));
    garden.both_edit("restarted");
    garden.bobs_times_are_sane("restarted");
    garden.ann.kill();
    // As after an empty battery; no system lets it be earlier than that.
    garden.clock.set(&format!("-{}", now() - HOUR));
    garden.ann.up();
    wait_until("they meet again", || garden.ann.sees("bob") && garden.bob.sees("ann"));
    garden.both_edit("1970");
    let at = garden.ann.path("garden/1970").metadata().unwrap().modified().unwrap();
    assert!(at < SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR), "her clock is wrong indeed");
    garden.bobs_times_are_sane("1970");
    garden.clock.set("+0");
    garden.both_edit("right");
    garden.bobs_times_are_sane("right");
    for mut person in [garden.ann, garden.bob] {
        person.down();
        let report = person.json(&["fsck"]);
        assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
    }
}
