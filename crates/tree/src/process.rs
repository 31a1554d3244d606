//! Who asks: from the thread id of a request to a process that keeps its identity over its life.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A process: its thread group and when that started, which together no other process ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// The thread group's id.
    pub tgid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// Who a request comes from. Only valid while the asker waits for the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// The thread's id; 0 where the kernel does not say.
    pub tid: u32,
}

/// How long an answer of `/proc` is believed: a thread id cannot come round in that time.
const BELIEVED: Duration = Duration::from_millis(400);
/// Threads remembered at once.
const REMEMBERED: usize = 512;

/// A small cache over `/proc`.
#[derive(Default)]
pub(crate) struct Processes {
    seen: Mutex<HashMap<u32, (Instant, Option<ProcessKey>)>>,
}

impl Processes {
    /// The process of a thread that waits for us. None: it is gone, or in another pid namespace.
    pub(crate) fn identify(&self, caller: Caller) -> Option<ProcessKey> {
        if caller.tid == 0 {
            return None;
        }
        let now = Instant::now();
        if let Some((at, key)) = self.seen.lock().get(&caller.tid)
            && now.duration_since(*at) < BELIEVED
        {
            return *key;
        }
        let key = read(caller.tid);
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(caller.tid, (now, key));
        key
    }
}

fn read(tid: u32) -> Option<ProcessKey> {
    let tgid = tgid_of(&std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?)?;
    // A command name may hold any byte.
    let stat = std::fs::read(format!("/proc/{tgid}/stat")).ok()?;
    Some(ProcessKey { tgid, start: start_of(&String::from_utf8_lossy(&stat))? })
}

fn tgid_of(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

// The command's name stands in parentheses and may hold spaces and parentheses itself; the start
// time is the 22nd field, the 20th after it.
fn start_of(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_process_are_one() {
        let processes = Processes::default();
        let tid = |thread: rustix::thread::Pid| Caller { tid: thread.as_raw_nonzero().get() as u32 };
        let main = processes.identify(tid(rustix::thread::gettid())).unwrap();
        let other = std::thread::scope(|scope| {
            scope.spawn(|| processes.identify(tid(rustix::thread::gettid()))).join().unwrap().unwrap()
        });
        assert_eq!(main, other);
        assert_eq!(main.tgid, std::process::id());
        assert_eq!(processes.identify(Caller { tid: 0 }), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "12 (a) b ) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(start_of(stat), Some(777));
        assert_eq!(start_of("12 (a) S 1"), None);
        assert_eq!(tgid_of("Name:\tx\nTgid:\t42\nPid:\t43\n"), Some(42));
    }
}
