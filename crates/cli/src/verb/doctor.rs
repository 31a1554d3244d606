//! `chorus doctor`: what a node needs of this machine, and why a friend is not reached.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::Whole;
use crate::fail::Failure;
use crate::home::Home;
use crate::show::{self, ago, bytes};
use base::Kind;
use serde::Serialize;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

/// Check what the node needs of this machine, and say what to do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Below this the disk is as good as full.
const LITTLE_SPACE: u64 = 256 << 20;
/// This program is younger than any clock that is right: 2026-01-01.
const OLDEST_NOW: u64 = 1_767_225_600;

/// A mount that answers does so at once.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Note,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    what: &'static str,
    found: String,
    hint: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Good, what, found: found.into(), hint: None }
    }

    fn note(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, what, found: found.into(), hint: Some(hint.into()) }
    }

    fn bad(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Bad, what, found: found.into(), hint: Some(hint.into()) }
    }
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<ExitCode, Failure> {
    let mut findings = vec![fuse_device(), fusermount(), clock(), folder(home), disk(home)];
    match ask::<Whole>(home, &Request::Status {}) {
        Ok(whole) => running(&whole, &mut findings),
        Err(failure) => {
            let usual = failure.kind == Kind::NotFound.word();
            let finding = if usual { Finding::note } else { Finding::bad };
            findings.push(finding("node", failure.message, failure.hint));
            // A node that does not answer would keep who looks at its mount waiting.
            if usual {
                findings.extend(dead_mounts());
            }
        }
    }
    if args.json {
        show::json(&findings)?;
    } else {
        print(&findings);
    }
    let bad = findings.iter().any(|f| f.verdict == Verdict::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(findings: &[Finding]) {
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        show::line(format!("{mark}  {:<8}  {}", finding.what, finding.found));
        if let Some(hint) = &finding.hint {
            show::line(format!("      hint: {hint}"));
        }
    }
}

fn fuse_device() -> Finding {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::good("fuse", "/dev/fuse can be opened"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Finding::bad(
            "fuse",
            "/dev/fuse is missing",
            "load it: modprobe fuse (in a container: --device /dev/fuse)",
        ),
        Err(e) => Finding::bad(
            "fuse",
            format!("/dev/fuse: {e}"),
            "let everybody open it, as most systems do: sudo chmod 0666 /dev/fuse; or use `chorus up --no-mount`",
        ),
    }
}

fn fusermount() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::good("mounting", "root mounts without a helper");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let helper = std::env::split_paths(&path).map(|dir| dir.join("fusermount3")).find(|file| file.is_file());
    match helper.map(|file| fs::metadata(&file).map(|m| (file, m))) {
        Some(Ok((file, meta))) if meta.permissions().mode() & 0o4000 != 0 => {
            Finding::good("mounting", format!("{} is there", file.display()))
        }
        Some(Ok((file, _))) => Finding::bad(
            "mounting",
            format!("{} is not set-uid root", file.display()),
            "install the package fuse3 again",
        ),
        _ => Finding::bad("mounting", "fusermount3 is missing", "install the package fuse3"),
    }
}

fn clock() -> Finding {
    let now = show::unix(SystemTime::now());
    if now < OLDEST_NOW {
        return Finding::bad(
            "clock",
            format!("it says {}", show::date(now)),
            "set the clock; times of files would be wrong",
        );
    }
    Finding::good("clock", show::date(now))
}

fn folder(home: &Home) -> Finding {
    let dir = home.dir();
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Finding::note(
                "home",
                format!("{} does not exist yet", dir.display()),
                "the first `chorus up` makes it",
            );
        }
        Err(e) => return Finding::bad("home", format!("{}: {e}", dir.display()), "name another with --home"),
    };
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Finding::bad(
            "home",
            format!("{} belongs to another user", dir.display()),
            "name your own with --home",
        );
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let hint = format!("close it: chmod 700 {}", dir.display());
        return Finding::bad("home", format!("others may look into {}", dir.display()), hint);
    }
    Finding::good("home", dir.display().to_string())
}

fn disk(home: &Home) -> Finding {
    let there = home.dir().ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} free below {}", bytes(free), there.display());
            if free < LITTLE_SPACE {
                return Finding::bad(
                    "disk",
                    found,
                    "make room: edits fail once it is full (nothing saved is lost)",
                );
            }
            Finding::good("disk", found)
        }
        Err(e) => Finding::bad("disk", format!("{}: {e}", there.display()), "check the disk"),
    }
}

// A mount that answers no more keeps who asks it waiting, so that is left to a thread.
fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, answer) = channel();
    let asking = move || drop(tell.send(ask()));
    std::thread::Builder::new().spawn(asking).ok()?;
    answer.recv_timeout(PATIENCE).ok()
}

fn mounted(at: &str) -> Finding {
    let again = "`chorus down`, then `chorus up`";
    let path = PathBuf::from(at);
    match in_time(move || fs::metadata(path)) {
        Some(Ok(_)) => Finding::good("mount", format!("{at} answers")),
        Some(Err(e)) => Finding::bad("mount", format!("{at}: {e}"), again),
        None => Finding::bad("mount", format!("{at} does not answer"), again),
    }
}

// Left by nodes that were killed.
fn dead_mounts() -> Vec<Finding> {
    let dead = in_time(mount::dead).unwrap_or_default();
    let finding = |at: PathBuf| {
        let at = at.display();
        Finding::note(
            "mount",
            format!("a dead mount is left on {at}"),
            format!("`chorus up {at}` removes it and mounts anew; to remove it only: fusermount3 -uz {at}"),
        )
    };
    dead.into_iter().map(finding).collect()
}

fn running(whole: &Whole, findings: &mut Vec<Finding>) {
    findings.push(Finding::good("node", format!("runs, pid {}", whole.pid)));
    findings.push(match &whole.mount {
        Some(at) => mounted(at),
        None => Finding::note(
            "mount",
            "runs without a mount",
            "`chorus down`, then `chorus up` without --no-mount",
        ),
    });
    if whole.listening.is_empty() {
        findings.push(Finding::note(
            "network",
            "listens nowhere: friends cannot dial this node",
            "`chorus up --listen MULTIADDR`",
        ));
    }
    for address in &whole.listening {
        findings.push(Finding::good("network", format!("listens on {address}")));
    }
    for peer in &whole.peers {
        let name = &peer.name;
        findings.push(match (peer.connected, peer.last_seen) {
            (true, _) => Finding::good("friend", format!("{name} is connected")),
            (false, seen) => Finding::note(
                "friend",
                format!("{name} is not reached; last seen {}", seen.map_or_else(|| "never".into(), ago)),
                match &peer.addr {
                    Some(addr) => format!("is their node up, and does {addr} still lead to it? A new `chorus invite` carries new addresses"),
                    None => "no address is known; ask them for a new `chorus invite` file".into(),
                },
            ),
        });
    }
    findings.extend(whole.notes.iter().map(|n| Finding {
        verdict: Verdict::Note,
        what: "node",
        found: n.clone(),
        hint: None,
    }));
    findings.extend(
        whole.problems.iter().map(|p| Finding::bad("node", p.clone(), "see the log, and `chorus help`")),
    );
}
