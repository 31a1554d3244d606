//! The same line, edited on both sides while they cannot reach each other: what is left.

use crate::found::{self, Found};
use crate::row::At;
use harness::text;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long they are apart: longer than any of them waits before it looks at what changed.
const APART: Duration = Duration::from_secs(14);
/// For so long nothing must change any more.
const STILL: Duration = Duration::from_secs(14);
/// And at most this long is waited for it.
const LIMIT: Duration = Duration::from_secs(150);
/// What each writes.
const EDITS: [&str; 2] = ["anchovies", "bananas"];

/// Measures it, once.
pub(crate) fn measure(at: &mut At<'_>, found: &mut Found) -> anyhow::Result<()> {
    if at.round > 0 {
        return Ok(());
    }
    let dirs = at.pair.dirs().clone().map(|dir| dir.join("apart"));
    let lines: String = (0..20).map(|n| format!("line {n}\n")).collect();
    fs::create_dir(&dirs[0])?;
    fs::write(dirs[0].join("list.txt"), &lines)?;
    at.pair.carry(at.cost)?;
    crate::row::wait(at.cost, "the list", || text(&dirs[1].join("list.txt")) == lines)?;
    // What compares times must see another.
    std::thread::sleep(Duration::from_secs(2));
    at.cable.cut();
    for (dir, edit) in dirs.iter().zip(EDITS) {
        fs::write(dir.join("list.txt"), lines.replacen("line 10\n", &format!("line 10: {edit}\n"), 1))?;
    }
    std::thread::sleep(APART);
    at.cable.heal();
    at.pair.meet(at.cost)?;
    settled(&dirs, at);
    let seen = [shown(&dirs[0]), shown(&dirs[1])];
    let left = if seen[0] == seen[1] { words(&seen[0]) } else { parted(&seen) };
    found.say(at.kind.name, found::APART, left);
    Ok(())
}

// Each file's name and which edits are in it.
type Shown = Vec<(String, [bool; 2])>;

fn shown(dir: &Path) -> Shown {
    let mut files: Shown = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| {
            let text = text(&file.path());
            (file.file_name().to_string_lossy().into_owned(), EDITS.map(|edit| text.contains(edit)))
        })
        .collect();
    files.sort();
    files
}

fn settled(dirs: &[std::path::PathBuf; 2], at: &mut At<'_>) {
    let end = Instant::now() + LIMIT;
    let look = || [shown(&dirs[0]), shown(&dirs[1])];
    let (mut last, mut since) = (look(), Instant::now());
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
        at.cost.look();
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > STILL && (last[0] == last[1] || since.elapsed() > LIMIT / 2) {
            return;
        }
    }
}

fn words(files: &Shown) -> String {
    let list = files.iter().find(|(name, _)| name == "list.txt").map(|(_, edits)| *edits);
    let beside = |edit: usize| files.iter().any(|(name, edits)| name != "list.txt" && edits[edit]);
    match list {
        Some([true, true]) => "both edits in the file".into(),
        Some([true, false]) if beside(1) => "A's edit, B's in a conflict copy".into(),
        Some([false, true]) if beside(0) => "B's edit, A's in a conflict copy".into(),
        Some([true, false]) => "A's edit; B's is lost".into(),
        Some([false, true]) => "B's edit; A's is lost".into(),
        _ => "neither edit is in the file".into(),
    }
}

fn parted(seen: &[Shown; 2]) -> String {
    let has = |side: usize, edit: usize| seen[side].iter().any(|(_, edits)| edits[edit]);
    if has(0, 0) && has(1, 1) && !has(0, 1) && !has(1, 0) {
        "skipped: each side has its own".into()
    } else {
        format!("the sides differ: A {}, B {}", words(&seen[0]), words(&seen[1]))
    }
}
