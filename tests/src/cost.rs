//! What programs cost: the processor time and the memory of all processes in a network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at the processes, so that looking costs little beside what is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// What the kernel calls a clock tick towards programs, on every machine this runs on.
const TICK: Duration = Duration::from_millis(10);

/// Watches the processes of some namespaces, those that end meanwhile too: what one did since it was last
/// looked at is not counted.
pub struct Cost {
    namespaces: Vec<u64>,
    // By process id and the time it began: ids come again.
    worked: BTreeMap<(u32, u64), Duration>,
    peaks: Vec<u64>,
    looked: Option<Instant>,
}

impl Cost {
    /// Of the processes in these.
    ///
    /// # Panics
    /// If one is not there.
    pub fn of(namespaces: &[String]) -> Cost {
        let inode =
            |name: &String| fs::metadata(Path::new("/run/netns").join(name)).expect("a namespace").ino();
        let namespaces: Vec<u64> = namespaces.iter().map(inode).collect();
        Cost { peaks: vec![0; namespaces.len()], namespaces, worked: BTreeMap::new(), looked: None }
    }

    /// Looks, unless it just did.
    pub fn look(&mut self) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.look_now();
        }
    }

    /// Looks.
    pub fn look_now(&mut self) {
        let mut memory = vec![0; self.namespaces.len()];
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let dir = process.path();
            // A process may end while it is looked at.
            let Some(side) = self.side(&dir) else { continue };
            let Some((began, worked)) = worked(&dir) else { continue };
            self.worked.insert((pid, began), worked);
            memory[side] += peak(&dir).unwrap_or(0);
        }
        for (peak, now) in self.peaks.iter_mut().zip(memory) {
            *peak = now.max(*peak);
        }
        self.looked = Some(Instant::now());
    }

    /// Time that processors worked for them so far.
    pub fn cpu(&mut self) -> Duration {
        self.look_now();
        self.worked.values().sum()
    }

    /// KiB that the processes of each namespace held at once, at most: of each process the most it ever held.
    pub fn peaks(&mut self) -> &[u64] {
        self.look_now();
        &self.peaks
    }

    fn side(&self, process: &Path) -> Option<usize> {
        let link = fs::read_link(process.join("ns/net")).ok()?;
        let inode: u64 = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
        self.namespaces.iter().position(|namespace| *namespace == inode)
    }
}

fn worked(process: &Path) -> Option<(u64, Duration)> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name before may hold anything, brackets too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(11)? + number(12)?;
    Some((number(19)?, TICK * u32::try_from(ticks).ok()?))
}

fn peak(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}
