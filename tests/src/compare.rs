//! Whether two directories are the same: names, kinds, bytes, modes, times, where links lead.

use crate::wait::deadline;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is compared beside names, kinds, bytes and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// Nothing more.
    Nothing,
    /// Permission bits.
    Modes,
    /// Permission bits, and the times of files.
    ModesAndTimes,
}

#[derive(Debug, PartialEq, Eq)]
struct Shape {
    kind: &'static str,
    link: Option<PathBuf>,
    size: u64,
    mode: u32,
    mtime: Option<(i64, i64)>,
}

/// What differs, a line each, at most 30. Bytes are only looked at when nothing else differs.
pub fn differences(a: &Path, b: &Path, also: Also) -> Vec<String> {
    let (mut in_a, mut in_b) = (BTreeMap::new(), BTreeMap::new());
    let mut out = Vec::new();
    for (dir, shapes) in [(a, &mut in_a), (b, &mut in_b)] {
        if let Err(e) = walk(dir, Path::new(""), also, shapes) {
            out.push(format!("walking {}: {e}", dir.display()));
        }
    }
    for (name, shape) in &in_a {
        match in_b.get(name) {
            None => out.push(format!("only in {}: {}", a.display(), name.display())),
            Some(other) if other != shape => out.push(format!("{}: {shape:?} and {other:?}", name.display())),
            Some(_) => {}
        }
    }
    let only_b = in_b.keys().filter(|name| !in_a.contains_key(*name));
    out.extend(only_b.map(|name| format!("only in {}: {}", b.display(), name.display())));
    if out.is_empty() {
        let files = in_a.iter().filter(|(_, shape)| shape.kind == "file");
        let differ = files.filter(|(name, _)| !same_bytes(&a.join(name), &b.join(name)));
        out.extend(differ.map(|(name, _)| format!("{}: other bytes", name.display())));
    }
    out.truncate(30);
    out
}

/// Waits until nothing differs.
///
/// # Panics
/// If something still does at the deadline; the message names it.
pub fn wait_same(a: &Path, b: &Path, also: Also) {
    let end = Instant::now() + deadline();
    loop {
        let found = differences(a, b, also);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{} and {} differ:\n{}", a.display(), b.display(), found.join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The names below a directory, sorted, directories with a slash at their end.
pub fn names(dir: &Path) -> Vec<String> {
    let mut shapes = BTreeMap::new();
    if let Err(e) = walk(dir, Path::new(""), Also::Nothing, &mut shapes) {
        return vec![format!("{}: {e}", dir.display())];
    }
    let shown = |(name, shape): (&PathBuf, &Shape)| {
        let end = if shape.kind == "directory" { "/" } else { "" };
        format!("{}{end}", name.display())
    };
    shapes.iter().map(shown).collect()
}

fn walk(root: &Path, at: &Path, also: Also, into: &mut BTreeMap<PathBuf, Shape>) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(at))? {
        let name = at.join(entry?.file_name());
        let path = root.join(&name);
        let meta = fs::symlink_metadata(&path)?;
        let (is_link, is_file) = (meta.is_symlink(), meta.is_file());
        let kind = if meta.is_dir() {
            "directory"
        } else if is_link {
            "link"
        } else if is_file {
            "file"
        } else {
            "other"
        };
        let link = if is_link { Some(fs::read_link(&path)?) } else { None };
        let mode = if also == Also::Nothing || is_link { 0 } else { meta.permissions().mode() & 0o777 };
        let timed = is_file && also == Also::ModesAndTimes;
        let mtime = timed.then(|| (meta.mtime(), meta.mtime_nsec()));
        let size = if is_file { meta.size() } else { 0 };
        into.insert(name.clone(), Shape { kind, link, size, mode, mtime });
        if meta.is_dir() {
            walk(root, &name, also, into)?;
        }
    }
    Ok(())
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let (Ok(mut a), Ok(mut b)) = (File::open(a), File::open(b)) else {
        return false;
    };
    // Small files are many, and making a large buffer for each is slower than reading it.
    let room = a.metadata().map_or(1 << 20, |meta| meta.len().clamp(1 << 10, 1 << 20) as usize);
    let (mut left, mut right) = (vec![0; room], vec![0; room]);
    loop {
        match (fill(&mut a, &mut left), fill(&mut b, &mut right)) {
            (Ok(n), Ok(m)) if left[..n] == right[..m] => {
                if n == 0 {
                    return true;
                }
            }
            _ => return false,
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut full = 0;
    while full < buffer.len() {
        match file.read(&mut buffer[full..])? {
            0 => break,
            n => full += n,
        }
    }
    Ok(full)
}
