//! Two friends with a shared room, of whom one edits while a file is open at the other.

use crate::{Person, befriend, text, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What the files hold at first.
pub const BEFORE: &str = "alpha\nbeta\ngamma\ndelta\nepsilon\nzeta\neta\ntheta\n";

/// Ann, at whose mount programs run, and Bob.
pub struct Pair {
    /// Edits with programs.
    pub ann: Person,
    /// Edits meanwhile.
    pub bob: Person,
}

impl Pair {
    /// Two running friends who share the room `garden`.
    pub fn new() -> Pair {
        let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
        ann.up();
        bob.up();
        befriend(&ann, &bob, Some("garden"));
        Pair { ann, bob }
    }

    /// The room at Ann's.
    pub fn room(&self) -> PathBuf {
        self.ann.path("garden")
    }

    /// A file of the room at Ann's.
    pub fn mine(&self, name: &str) -> PathBuf {
        self.room().join(name)
    }

    /// The same file at Bob's.
    pub fn theirs(&self, name: &str) -> PathBuf {
        self.bob.path("garden").join(name)
    }

    /// A directory of Ann's beside the mount.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.ann.dir().join(name)
    }

    /// Ann makes files, and Bob gets them.
    pub fn make(&self, names: &[&str]) {
        names.iter().for_each(|name| fs::write(self.mine(name), BEFORE).expect("a file"));
        for name in names {
            wait_until(&format!("bob has {name}"), || text(&self.theirs(name)) == BEFORE);
        }
    }

    /// Bob replaces a line of each file, and Ann gets it. Ann's side is asked without reading: who reads in the
    /// name of the test must not stand in for the programs.
    pub fn bob_edits(&self, names: &[&str], line: &str, new: &str) {
        let grown = new.len() as u64 - line.len() as u64;
        let size = |path: &Path| fs::metadata(path).map(|m| m.len()).unwrap_or(0);
        let before: Vec<u64> = names.iter().map(|name| size(&self.mine(name))).collect();
        assert!(grown > 0, "an edit that shows in the size");
        for name in names {
            let now = text(&self.theirs(name));
            assert!(now.contains(line), "{line:?} in {name} of bob's: {now:?}");
            fs::write(self.theirs(name), now.replace(line, new)).expect("bob's edit");
        }
        for (name, before) in names.iter().zip(before) {
            wait_until(&format!("ann has bob's edit of {name}"), || size(&self.mine(name)) == before + grown);
        }
    }

    /// Waits until a file is the same text on both sides.
    pub fn both(&self, name: &str, wanted: &str) {
        for (who, path) in [("ann", self.mine(name)), ("bob", self.theirs(name))] {
            let end = std::time::Instant::now() + crate::wait::deadline() / 3;
            while text(&path) != wanted {
                let now = text(&path);
                assert!(std::time::Instant::now() < end, "{name} of {who}'s is {now:?}, not {wanted:?}");
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
        }
    }

    /// The file's object on Ann's side.
    pub fn id(&self, name: &str) -> String {
        id(&self.mine(name))
    }

    /// Who did what to a file, as Bob sees it: made once and edited since, by both.
    ///
    /// # Panics
    /// If its history is another.
    pub fn has_one_history(&self, name: &str) {
        let log = self.bob.ok(&["log", &format!("/garden/{name}")]);
        let made = log.lines().filter(|line| line.contains("made /")).count();
        let edits = |who: &str| log.lines().filter(|l| l.contains(who) && l.contains("edited /")).count();
        assert!(made == 1 && edits("me ") > 0 && edits("ann") > 0, "the history of {name}:\n{log}");
    }
}

impl Default for Pair {
    fn default() -> Pair {
        Pair::new()
    }
}

/// The object behind a name.
pub fn id(path: &Path) -> String {
    let mut value = vec![0; 256];
    let length = rustix::fs::getxattr(path, "user.chorus.id", &mut value).expect("user.chorus.id");
    String::from_utf8_lossy(&value[..length]).into_owned()
}

/// Looks at a room all the time, for names that come and go.
pub struct Lookout {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeSet<String>>>,
}

impl Lookout {
    /// Begins to look.
    pub fn start(room: PathBuf) -> Lookout {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::SeqCst) {
                let names = fs::read_dir(&room).into_iter().flatten().flatten();
                seen.extend(names.map(|entry| entry.file_name().to_string_lossy().into_owned()));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            seen
        });
        Lookout { stop, thread: Some(thread) }
    }

    /// Every name that was there at any time.
    pub fn end(mut self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("a thread").join().expect("a list of names")
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
