//! Waits for many files to come, looking at each directory only until it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Between two words about how far it is.
const WORD: Duration = Duration::from_secs(10);

/// When what came.
pub(crate) struct Arrival {
    /// The first directory.
    pub(crate) first: Duration,
    /// Everything.
    pub(crate) all: Duration,
}

/// Waits for `objects` files in directories of `in_one` below a directory.
///
/// # Panics
/// If they are not there within the limit.
pub(crate) fn await_all(
    there: &Path,
    objects: usize,
    in_one: usize,
    start: Instant,
    limit: Duration,
) -> Arrival {
    let mut counts: BTreeMap<std::ffi::OsString, usize> = BTreeMap::new();
    let (mut first, mut spoken) = (None, Instant::now());
    loop {
        for dir in fs::read_dir(there).into_iter().flatten().flatten() {
            let count = counts.entry(dir.file_name()).or_default();
            if *count < in_one {
                *count = fs::read_dir(dir.path()).map_or(0, Iterator::count);
            }
        }
        if !counts.is_empty() {
            first.get_or_insert_with(|| start.elapsed());
        }
        let have: usize = counts.values().sum();
        if have == objects {
            return Arrival { first: first.unwrap_or_default(), all: start.elapsed() };
        }
        assert!(start.elapsed() < limit, "{have} of {objects} files came within {limit:?}");
        if spoken.elapsed() > WORD {
            eprintln!("  {:.0} s: {have} files", start.elapsed().as_secs_f64());
            spoken = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
}
