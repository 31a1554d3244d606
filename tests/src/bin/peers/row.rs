//! What is measured of each pair.

use crate::apart;
use crate::found::{self, Found};
use crate::number;
use crate::pair::{Kind, Pair};
use anyhow::{Context, bail};
use harness::compare::{Also, differences};
use harness::cost::Cost;
use harness::namespace::Cable;
use harness::sample::Numbers;
use harness::text;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take before it is given up.
const LIMIT: Duration = Duration::from_secs(300);
/// After something arrived, until what belongs to it is over the cable too.
const AFTER: Duration = Duration::from_secs(2);
/// Lines that are changed in a round, and inserted.
const LINES: usize = 3;

/// How much.
pub(crate) struct Sizes {
    /// Many small files.
    pub(crate) files: usize,
    /// The large file.
    pub(crate) mib: usize,
    /// Seconds in which nothing happens.
    pub(crate) idle: usize,
    scratch: tempfile::TempDir,
}

/// One pair in one round.
pub(crate) struct At<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) pair: &'a mut dyn Pair,
    pub(crate) cable: &'a Cable,
    pub(crate) cost: &'a mut Cost,
    pub(crate) sizes: &'a Sizes,
    pub(crate) round: usize,
}

type Row = fn(&mut At<'_>, &mut Found) -> anyhow::Result<()>;

/// All of them, in the order in which they are measured.
pub(crate) const ROWS: [(&str, Row); 6] = [
    ("saves", saves),
    ("line", line),
    ("idle", idle),
    ("apart", apart::measure),
    ("small", small),
    ("large", large),
];

impl Sizes {
    /// As the environment says.
    pub(crate) fn from_environment() -> Sizes {
        let scratch = harness::scratch_dir();
        Sizes { files: number("FILES", 10_000), mib: number("MIB", 1024), idle: number("IDLE", 60), scratch }
    }

    // A tree of small files, made once.
    fn small(&self) -> anyhow::Result<PathBuf> {
        let from = self.scratch.path().join("small");
        if from.exists() {
            return Ok(from);
        }
        let mut numbers = Numbers::from(13);
        for n in 0..self.files {
            let dir = from.join(format!("d{}", n / 100));
            fs::create_dir_all(&dir)?;
            // Exactly 1 KiB, each other than the others.
            let mut text = format!("{n} {}", numbers.prose(1024));
            while !text.is_char_boundary(1024) || text.len() < 1024 {
                text.insert(0, ' ');
            }
            fs::write(dir.join(format!("f{n}")), &text[..1024])?;
        }
        Ok(from)
    }
}

/// Waits for something, which also says how long it took.
pub(crate) fn wait(cost: &mut Cost, what: &str, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > LIMIT {
            bail!("waited {LIMIT:?} in vain for {what}");
        }
        cost.look();
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

impl At<'_> {
    // Writes a file on the first side and waits until it is on the second.
    fn save(&mut self, name: &str, content: &str) -> anyhow::Result<Duration> {
        let [mine, theirs] = self.pair.dirs().clone().map(|dir| dir.join(name));
        let start = Instant::now();
        fs::write(mine, content)?;
        self.pair.carry(self.cost)?;
        let length = content.len() as u64;
        // Reading a large text again and again would be most of the work. No look at what it costs: that takes
        // longer than some need.
        while !(fs::metadata(&theirs).is_ok_and(|meta| meta.len() == length) && text(&theirs) == content) {
            if start.elapsed() > LIMIT {
                bail!("{name} did not arrive within {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(start.elapsed())
    }
}

fn saves(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    at.save("note.txt", &lines)?;
    for n in 0..at.kind.saves {
        // As people do: with pauses. Never the same length twice in a row, or rsync would not look into it.
        std::thread::sleep(Duration::from_millis(60 + (n as u64 * 37) % 80));
        let next = lines.replacen("line 20\n", &format!("line 20, save {n}{}\n", "!".repeat(n % 7)), 1);
        let took = at.save("note.txt", &next)?;
        found.add(at.kind.name, found::SAVE, took.as_secs_f64() * 1000.0);
    }
    Ok(())
}

fn line(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    let mut numbers = Numbers::from(11 + at.round as u64);
    let mut lines: Vec<String> = Vec::new();
    // Just below the size from which a newborn file is no text any more with chorus.
    while lines.iter().map(|line| line.len() + 1).sum::<usize>() < 1_000_000 {
        lines.extend((0..100).map(|_| numbers.prose(70).replace('\n', " ")));
    }
    at.save("book.txt", &(lines.join("\n") + "\n"))?;
    for (row, inserted) in [(found::CHANGED, false), (found::INSERTED, true)] {
        for n in 0..LINES {
            std::thread::sleep(AFTER);
            let place = numbers.below(lines.len() as u64) as usize;
            let new =
                format!("a line that was not there before, the {n}th of its kind, inserted: {inserted}");
            if inserted {
                lines.insert(place, new);
            } else {
                lines[place] = new;
            }
            let before = at.cable.carried();
            at.save("book.txt", &(lines.join("\n") + "\n"))?;
            std::thread::sleep(AFTER);
            found.add(at.kind.name, row, (at.cable.carried() - before) as f64);
        }
    }
    Ok(())
}

fn idle(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    if at.round > 0 || at.kind.when_told {
        return Ok(());
    }
    std::thread::sleep(Duration::from_secs(15));
    let before = at.cable.carried();
    std::thread::sleep(Duration::from_secs(at.sizes.idle as u64));
    let minute = (at.cable.carried() - before) as f64 * 60.0 / at.sizes.idle.max(1) as f64;
    found.add(at.kind.name, found::IDLE, minute);
    Ok(())
}

fn small(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    let from = at.sizes.small()?;
    let [mine, theirs] = at.pair.dirs().clone().map(|dir| dir.join("small"));
    let (before, worked) = (at.cable.carried(), at.cost.cpu());
    let start = Instant::now();
    copy(&from, &mine)?;
    let copied = start.elapsed();
    at.pair.carry(at.cost)?;
    wait(at.cost, "all small files", || count(&theirs) == at.sizes.files)?;
    let took = start.elapsed();
    wait(at.cost, "the same small files", || differences(&from, &theirs, Also::Nothing).is_empty())?;
    std::thread::sleep(AFTER);
    let name = at.kind.name;
    found.add(name, found::SMALL, took.as_secs_f64());
    found.add(name, found::SMALL_AFTER, (took - copied).as_secs_f64());
    found.add(name, found::SMALL_CPU, (at.cost.cpu() - worked).as_secs_f64());
    found.add(name, found::SMALL_WIRE, (at.cable.carried() - before) as f64 / 1e6);
    Ok(())
}

fn large(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    let bytes = (at.sizes.mib as u64) << 20;
    let from = at.sizes.scratch.path().join("large");
    if !from.exists() {
        let mut numbers = Numbers::from(17);
        let mut file = fs::File::create(&from)?;
        for _ in 0..at.sizes.mib {
            file.write_all(&numbers.bytes(1 << 20))?;
        }
        file.sync_all()?;
    }
    let [mine, theirs] = at.pair.dirs().clone().map(|dir| dir.join("large"));
    let (before, worked) = (at.cable.carried(), at.cost.cpu());
    let start = Instant::now();
    copy(&from, &mine)?;
    at.pair.carry(at.cost)?;
    wait(at.cost, "the large file", || fs::metadata(&theirs).is_ok_and(|meta| meta.len() == bytes))?;
    if !Command::new("cmp").args([&from, &theirs]).status()?.success() {
        bail!("the large file has other bytes");
    }
    let took = start.elapsed();
    std::thread::sleep(AFTER);
    let name = at.kind.name;
    found.add(name, found::LARGE, took.as_secs_f64());
    found.add(name, found::LARGE_RATE, bytes as f64 / 1e6 / took.as_secs_f64());
    found.add(name, found::LARGE_CPU, (at.cost.cpu() - worked).as_secs_f64());
    found.add(name, found::LARGE_WIRE, (at.cable.carried() - before) as f64 / 1e6);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-r").args([from, to]).status().context("cp")?;
    if !status.success() {
        bail!("cp to {} ended with {status}", to.display());
    }
    Ok(())
}

// Files below the directories below a directory; those that are still being written have other names.
fn count(dir: &Path) -> usize {
    let dirs = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = dirs.filter_map(|dir| fs::read_dir(dir.path()).ok()).flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with('f')).count()
}
