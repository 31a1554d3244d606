//! Who asks: from the thread id of a request to a process that keeps its identity over its life.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A process: its thread group and when that started, which together no other process ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProcessKey {
    /// The thread group's id.
    pub(crate) tgid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start: u64,
}

/// A process and the session it belongs to, as they were when it opened a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) process: ProcessKey,
    /// The leader of its session, which is what a terminal's shell is. None: that one is gone.
    pub(crate) session: Option<ProcessKey>,
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
/// Parents looked at, at most, above a process.
const ANCESTORS: usize = 32;

/// A small cache over `/proc`.
#[derive(Default)]
pub(crate) struct Processes {
    seen: Mutex<HashMap<u32, (Instant, Option<Who>)>>,
}

impl Processes {
    /// The process of a thread that waits for us. None: it is gone, or in another pid namespace.
    pub(crate) fn identify(&self, caller: Caller) -> Option<Who> {
        if caller.tid == 0 {
            return None;
        }
        let now = Instant::now();
        if let Some((at, who)) = self.seen.lock().get(&caller.tid)
            && now.duration_since(*at) < BELIEVED
        {
            return *who;
        }
        let who = read(caller.tid);
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(caller.tid, (now, who));
        who
    }
}

/// The processes above one, the nearest first.
pub(crate) fn ancestors(process: ProcessKey) -> Vec<ProcessKey> {
    let mut above = Vec::new();
    let mut at = Stat::of(process.tgid).filter(|stat| stat.start == process.start);
    while let Some(stat) = at.filter(|stat| stat.parent > 1 && above.len() < ANCESTORS) {
        at = Stat::of(stat.parent);
        above.extend(at.map(|parent| ProcessKey { tgid: stat.parent, start: parent.start }));
    }
    above
}

/// Whether a process is still there.
pub(crate) fn is_alive(process: ProcessKey) -> bool {
    Stat::of(process.tgid).is_some_and(|stat| stat.start == process.start)
}

/// This boot of the machine: start times count from it.
pub(crate) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn read(tid: u32) -> Option<Who> {
    let tgid = tgid_of(&std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?)?;
    let stat = Stat::of(tgid)?;
    let leads = if stat.session == tgid { Some(stat) } else { Stat::of(stat.session) };
    let session = leads.map(|leader| ProcessKey { tgid: stat.session, start: leader.start });
    Some(Who { process: ProcessKey { tgid, start: stat.start }, session })
}

fn tgid_of(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// What `/proc` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    session: u32,
    start: u64,
}

impl Stat {
    fn of(tgid: u32) -> Option<Stat> {
        // A command name may hold any byte.
        let text = std::fs::read(format!("/proc/{tgid}/stat")).ok()?;
        Stat::parse(&String::from_utf8_lossy(&text))
    }

    // The command's name stands in parentheses and may hold spaces and parentheses itself; after it come
    // the fields from the third on.
    fn parse(text: &str) -> Option<Stat> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Stat { parent, session, start: fields.nth(15)?.parse().ok()? })
    }
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
        assert_eq!(main.process.tgid, std::process::id());
        assert!(is_alive(main.process) && !is_alive(ProcessKey { start: 0, ..main.process }));
        assert_eq!(ancestors(main.process)[0].tgid, std::os::unix::process::parent_id());
        assert_eq!(processes.identify(Caller { tid: 0 }), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "12 (a) b ) S 1 12 13 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(Stat::parse(stat), Some(Stat { parent: 1, session: 13, start: 777 }));
        assert_eq!(Stat::parse("12 (a) S 1"), None);
        assert_eq!(tgid_of("Name:\tx\nTgid:\t42\nPid:\t43\n"), Some(42));
    }
}
