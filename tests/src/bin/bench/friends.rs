//! Two nodes: how soon, how much, at what cost in bytes and memory.

use crate::figure::{Figures, median, ms, s, share, wanted};
use harness::sample::Numbers;
use harness::{Person, befriend, shell, text, wait_until};
use std::fs;
use std::time::{Duration, Instant};

/// Samples of the time from a save to the friend's mount.
const SAVES: usize = 200;
/// Samples of the bytes that one changed line costs.
const LINES: usize = 9;

type Part = fn(&Person, &Person, usize, &mut Figures);

/// Measures everything that needs two people.
pub(crate) fn measure(rounds: usize, figures: &mut Figures) {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    eprintln!("two nodes are friends; measuring");
    figures.add("memory of an idle node, fresh", mib(resident(&ann)), "");
    let parts: [(&str, Part); 5] =
        [("saves", saves), ("line", line), ("small", small), ("large", large), ("idle", idle)];
    for (name, part) in parts {
        if std::env::var("BENCH_PART").map_or(true, |only| only == name) && wanted("friends") {
            part(&ann, &bob, rounds, figures);
        }
    }
    figures.add("memory of the sender after all that", mib(resident(&ann)), "");
    figures.add("memory of the receiver after all that", mib(resident(&bob)), "");
}

fn saves(ann: &Person, bob: &Person, _: usize, figures: &mut Figures) {
    let (mine, theirs) = (ann.path("garden/note.txt"), bob.path("garden/note.txt"));
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    fs::write(&mine, &lines).expect("a save");
    wait_until("bob has the note", || text(&theirs) == lines);
    let mut times = Vec::new();
    for n in 0..SAVES {
        // As people do: with pauses.
        std::thread::sleep(Duration::from_millis(60 + (n as u64 * 37) % 80));
        let next = lines.replacen("line 20\n", &format!("line 20, save {n}\n"), 1);
        let start = Instant::now();
        fs::write(&mine, &next).expect("a save");
        while text(&theirs) != next {
            assert!(start.elapsed() < Duration::from_secs(60), "save {n} never arrived");
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(start.elapsed());
    }
    let found = format!("{} (p99 {})", ms(median(&times)), ms(share(&times, 99)));
    figures.add("save on A, seen through B's mount", found, "≤ 10 ms, p99 ≤ 50 ms");
}

fn line(ann: &Person, bob: &Person, _: usize, figures: &mut Figures) {
    let mut numbers = Numbers::from(11);
    let mut lines: Vec<String> = Vec::new();
    // Just below the size from which a newborn file is no text any more.
    let mut bytes = 0;
    while bytes < 1_000_000 {
        lines.push(numbers.prose(70).replace('\n', " "));
        bytes += lines.last().map_or(0, String::len) + 1;
    }
    let whole = |lines: &[String]| lines.join("\n") + "\n";
    let (mine, theirs) = (ann.path("garden/book.txt"), bob.path("garden/book.txt"));
    fs::write(&mine, whole(&lines)).expect("a save");
    wait_until("bob has the book", || text(&theirs) == whole(&lines));
    let mut costs = Vec::new();
    let mut times = Vec::new();
    let mut work = Vec::new();
    for n in 0..LINES {
        std::thread::sleep(Duration::from_secs(2));
        let at = numbers.below(lines.len() as u64) as usize;
        lines[at] = format!("a changed line, the {n}th of its kind");
        let next = whole(&lines);
        let before = traffic(ann);
        let (worked, written) = (cpu(ann) + cpu(bob), modified(&theirs));
        let start = Instant::now();
        fs::write(&mine, &next).expect("a save");
        // Reading a whole text again and again would be most of the work.
        while modified(&theirs) == written {
            assert!(start.elapsed() < Duration::from_secs(60), "line {n} never arrived");
            std::thread::sleep(Duration::from_micros(500));
        }
        wait_until("bob has the line", || text(&theirs) == next);
        times.push(start.elapsed());
        work.push(cpu(ann) + cpu(bob) - worked);
        // Acknowledgements count too.
        std::thread::sleep(Duration::from_secs(1));
        costs.push(traffic(ann) - before);
    }
    figures.add(
        "wire bytes, both ways, one changed line in 1 MB of text",
        format!("{} B", median(&costs)),
        "≤ 2 KB",
    );
    figures.add("the same line, save to B's mount", ms(median(&times)), "");
    figures.add("the same line, CPU of both nodes", ms(median(&work)), "");
}

fn small(ann: &Person, bob: &Person, rounds: usize, figures: &mut Figures) {
    let from = ann.dir().join("small");
    let mut numbers = Numbers::from(13);
    for n in 0..10_000 {
        let dir = from.join(format!("d{}", n / 100));
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join(format!("f{n}")), numbers.prose(1024).get(..1000).unwrap_or("short"))
            .expect("a file");
    }
    let (mut times, mut copies, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let name = format!("small{round}");
        let before = traffic(ann);
        let start = Instant::now();
        shell(ann.dir(), &format!("cp -a small mnt/garden/{name}"));
        copies.push(start.elapsed());
        let there = bob.path("garden").join(&name);
        wait_until("bob has 10,000 files", || count(&there) == 10_000);
        times.push(start.elapsed());
        harness::wait_same(&from, &there, harness::compare::Also::Modes);
        costs.push(traffic(ann) - before);
    }
    figures.add("10,000 files of 1 KiB, cp on A until all are on B's mount", s(median(&times)), "≤ 8 s");
    figures.add("  of which cp itself", s(median(&copies)), "");
    figures.add("  wire bytes for that", format!("{:.1} MB", median(&costs) as f64 / 1e6), "");
}

fn large(ann: &Person, bob: &Person, rounds: usize, figures: &mut Figures) {
    let bytes: u64 = 1 << 30;
    let mut times = Vec::new();
    let mut copies = Vec::new();
    for round in 0..rounds {
        // New bytes each time: what is known would not be sent again.
        let mut numbers = Numbers::from(17 + round as u64);
        let from = ann.dir().join("large");
        {
            use std::io::Write;
            let mut file = fs::File::create(&from).expect("a file");
            for _ in 0..bytes >> 20 {
                file.write_all(&numbers.bytes(1 << 20)).expect("room on the disk");
            }
            file.sync_all().expect("a disk");
        }
        let name = format!("large{round}");
        let there = bob.path("garden").join(&name);
        let start = Instant::now();
        shell(ann.dir(), &format!("cp large mnt/garden/{name}"));
        copies.push(start.elapsed());
        wait_until("bob hears of it", || fs::metadata(&there).is_ok_and(|meta| meta.len() == bytes));
        shell(bob.dir(), &format!("cmp '{}' '{}'", from.display(), there.display()));
        times.push(start.elapsed());
        fs::remove_file(ann.path("garden").join(&name)).expect("a removal");
    }
    let rate = |time: Duration| format!("{} ({:.0} MB/s)", s(time), bytes as f64 / 1e6 / time.as_secs_f64());
    figures.add("1 GiB file, cp on A until read whole and compared on B", rate(median(&times)), "≥ 60 MB/s");
    figures.add("  of which cp itself", rate(median(&copies)), "");
}

fn idle(ann: &Person, _: &Person, _: usize, figures: &mut Figures) {
    std::thread::sleep(Duration::from_secs(15));
    let before = traffic(ann);
    std::thread::sleep(Duration::from_secs(60));
    figures.add(
        "idle traffic with one friend, both ways, a minute",
        format!("{} B", traffic(ann) - before),
        "",
    );
}

fn modified(path: &std::path::Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

// The time that all threads of a node have run.
fn cpu(person: &Person) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", person.pid())).expect("a node that runs");
    let ran = |task: fs::DirEntry| {
        let stat = text(&task.path().join("schedstat"));
        stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(ran).sum())
}

fn traffic(person: &Person) -> u64 {
    let status = person.status();
    let peers = status["peers"].as_array().cloned().unwrap_or_default();
    peers.iter().map(|p| p["bytes_in"].as_u64().unwrap_or(0) + p["bytes_out"].as_u64().unwrap_or(0)).sum()
}

fn count(dir: &std::path::Path) -> usize {
    let Ok(dirs) = fs::read_dir(dir) else { return 0 };
    dirs.flatten().filter_map(|dir| fs::read_dir(dir.path()).ok()).map(Iterator::count).sum()
}

fn resident(person: &Person) -> u64 {
    let status = text(std::path::Path::new(&format!("/proc/{}/status", person.pid())));
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0)
}

fn mib(kib: u64) -> String {
    format!("{:.0} MiB", kib as f64 / 1024.0)
}
