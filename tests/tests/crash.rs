//! kill -9 at random moments: what was acknowledged is there afterwards.
//!
//! The promises are those of `docs/semantics.md`: what `fsync` answered is durable; what `close`
//! answered is durable 10 ms later, in order. `CHORUS_TORTURE=N` runs N rounds instead of a few.

use harness::compare::Also;
use harness::{Person, befriend, shell, text, wait_same, wait_until};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What one round's writer was told.
#[derive(Default)]
struct Told {
    synced: Vec<(PathBuf, String)>,
    closed: Vec<(PathBuf, String, Instant)>,
}

fn rounds() -> u64 {
    std::env::var("CHORUS_TORTURE").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

// The promise is 10 ms; the clock of a busy machine is coarser than that.
const GROUP_COMMIT: Duration = Duration::from_millis(500);

fn write_on(room: &Path, round: u64, stop: &AtomicBool, told: &Mutex<Told>) {
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let synced = n % 5 == 0;
        let path = room.join(format!("r{round}-{n}"));
        let content = format!("round {round} file {n}\n").repeat(1 + n % 40);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(content.as_bytes())?;
            if synced {
                file.sync_all()?;
            }
            // Dropping a file hides what close answered; here the order of the lines is enough.
            drop(file);
            Ok(())
        };
        if write().is_err() {
            return;
        }
        let mut told = told.lock().unwrap();
        if synced {
            told.synced.push((path, content));
        } else {
            told.closed.push((path, content, Instant::now()));
        }
    }
}

fn edit_on(file: &Path, round: u64, stop: &AtomicBool, told: &Mutex<Vec<String>>) {
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let line = format!("edit {round}.{n}");
        let append = || -> std::io::Result<()> {
            let mut file = File::options().append(true).open(file)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        };
        if append().is_err() {
            return;
        }
        told.lock().unwrap().push(line);
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_both_converge() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let mut numbers = harness::sample::Numbers::from(std::process::id().into());
    let (mut files, mut lines) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let name = format!("edited{round}");
        fs::write(ann.path("garden").join(&name), "start\n").unwrap();
        wait_until("bob has the file", || bob.path("garden").join(&name).exists());
        let stop = Arc::new(AtomicBool::new(false));
        let (told, said) = (Arc::new(Mutex::new(Told::default())), Arc::new(Mutex::new(Vec::new())));
        let (room, edited) = (ann.path("garden"), bob.path("garden").join(&name));
        let writer = std::thread::spawn({
            let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
            move || write_on(&room, round, &stop, &told)
        });
        let editor = std::thread::spawn({
            let (stop, said) = (Arc::clone(&stop), Arc::clone(&said));
            move || edit_on(&edited, round, &stop, &said)
        });
        std::thread::sleep(Duration::from_millis(300 + numbers.below(1500)));
        let killed = Instant::now();
        if round % 2 == 0 {
            ann.kill()
        } else {
            bob.kill()
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        editor.join().unwrap();
        if round % 2 == 0 {
            ann.up()
        } else {
            bob.up()
        }
        let told = std::mem::take(&mut *told.lock().unwrap());
        check_files(&told, killed, round % 2 == 0);
        files.extend(told.synced);
        lines.push((name, std::mem::take(&mut *said.lock().unwrap())));
    }
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Nothing);
    for (path, content) in &files {
        assert_eq!(&text(path), content, "{}", path.display());
    }
    for (name, told) in &lines {
        let found = text(&ann.path("garden").join(name));
        for line in told {
            assert_eq!(found.lines().filter(|l| l == line).count(), 1, "{line} in {name}");
        }
    }
    for person in [&mut ann, &mut bob] {
        person.down();
        let report = person.json(&["fsck"]);
        assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
    }
}

fn check_files(told: &Told, killed: Instant, was_killed: bool) {
    for (path, content) in &told.synced {
        assert_eq!(&text(path), content, "{} was synced", path.display());
    }
    let mut lost = None;
    for (path, content, closed) in &told.closed {
        if &text(path) == content {
            assert!(lost.is_none(), "{} is there but {lost:?}, closed before it, is not", path.display());
        } else {
            assert!(was_killed, "{} is gone, though its node lived", path.display());
            let young = *closed + GROUP_COMMIT > killed;
            assert!(
                young,
                "{} was closed {:?} before the crash",
                path.display(),
                killed.duration_since(*closed)
            );
            lost = Some(path.clone());
        }
    }
}

#[test]
fn a_copy_cut_by_kill_9_leaves_whole_files() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let sample = ann.dir().join("sample");
    harness::sample::make_tree(&sample, 600, 8 << 20);
    let mut copy = std::process::Command::new("cp")
        .args(["-a", "sample/.", "mnt/garden/"])
        .current_dir(ann.dir())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    ann.kill();
    let _ = copy.wait();
    ann.up();
    // Again, and this time to its end.
    shell(ann.dir(), "cp -a sample/. mnt/garden/");
    wait_same(&sample, &ann.path("garden"), Also::Modes);
    wait_same(&sample, &bob.path("garden"), Also::Modes);
}
