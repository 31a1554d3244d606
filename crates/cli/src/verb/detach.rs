//! `chorus up --detach`: the same program again in a session of its own.

use crate::control::Request;
use crate::control::client::{Client, ask};
use crate::facts::Whole;
use crate::fail::Failure;
use crate::home::Home;
use crate::verb::up::{Args, print_ready};
use base::Kind;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often it is looked whether the node answers.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of the log's end that are searched for the reason of a failed start.
const REASON_BYTES: u64 = 64 << 10;

/// Starts the node in the background, and comes back when it answers or has failed.
pub(crate) fn run(home: &Home, args: &Args, mountpoint: Option<&Path>) -> Result<(), Failure> {
    match Client::connect(home) {
        Ok(mut client) => {
            let whole: Whole = client.ask(&Request::Status {})?;
            return Err(Failure::of(Kind::Running, format!("already running (pid {})", whole.pid)));
        }
        // There is one, which is halted.
        Err(failure) if failure.kind == Kind::Busy.word() => return Err(failure),
        Err(_) => {}
    }
    let log = open_log(home)?;
    let before = log.metadata().map_err(|e| Failure::io("reading", &home.log(), &e))?.len();
    let mut child = start(home, args, mountpoint, log)?;
    loop {
        if let Ok(whole) = ask::<Whole>(home, &Request::Status {}) {
            return print_ready(&whole, args.json);
        }
        match child.try_wait() {
            Ok(None) => std::thread::sleep(PAUSE),
            Ok(Some(_)) => return Err(reason(home, before)),
            Err(e) => return Err(Failure::of(Kind::Io, format!("waiting for the node: {e}"))),
        }
    }
}

fn open_log(home: &Home) -> Result<File, Failure> {
    if !home.dir().exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(home.dir());
        made.map_err(|e| Failure::io("making", home.dir(), &e))?;
    }
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(home.log());
    log.map_err(|e| Failure::io("opening", &home.log(), &e))
}

fn start(home: &Home, args: &Args, mountpoint: Option<&Path>, log: File) -> Result<Child, Failure> {
    let failed = |e: std::io::Error| Failure::of(Kind::Io, format!("starting the node: {e}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("--home").arg(home.dir()).args(["up", "--session"]);
    for address in &args.listen {
        command.arg("--listen").arg(address);
    }
    if args.no_wake {
        command.arg("--no-wake");
    }
    match mountpoint {
        Some(at) => command.arg("--").arg(at),
        None => command.arg("--no-mount"),
    };
    // It is nobody's service: this process comes back.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    command.spawn().map_err(failed)
}

fn reason(home: &Home, before: u64) -> Failure {
    let mut said = String::new();
    if let Ok(mut log) = File::open(home.log()) {
        let end = log.seek(SeekFrom::End(0)).unwrap_or(before);
        let from = before.max(end.saturating_sub(REASON_BYTES));
        let mut bytes = Vec::new();
        if log.seek(SeekFrom::Start(from)).is_ok() && log.take(REASON_BYTES).read_to_end(&mut bytes).is_ok() {
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    let last = |start: &str| said.lines().rev().find_map(|l| l.strip_prefix(start)).map(str::to_owned);
    let see = || format!("see {}", home.log().display());
    match last("error: ") {
        Some(error) => Failure::with_hint(Kind::Io, error, last("hint: ").unwrap_or_else(see)),
        // Then it could not write down why, either.
        None if is_full(home.dir()) => {
            Failure::of(Kind::NoSpace, format!("the disk that holds {} is full", home.dir().display()))
        }
        None => Failure::with_hint(Kind::Io, "the node ended before it was ready", see()),
    }
}

fn is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail == 0)
}
