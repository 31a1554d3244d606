//! The node's side of the control socket.
//!
//! Plain threads: one that accepts, one for each connection, at most `CONNECTIONS` at a time.

use super::{Answer, Request, Step, carry, parse, read_line, socket_path};
use crate::facts::{Befriended, Given, Past, Peer, Person, Stopped, Whole, role_word};
use crate::fail::Failure;
use crate::home::Home;
use crate::show::json_line;
use base::Kind;
use node::{Node, Role};
use serde::Serialize;
use serde_json::Value;
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Connections served at a time.
const CONNECTIONS: usize = 64;
/// How long a connection may be silent before it is closed.
const SILENCE: Duration = Duration::from_secs(60);

/// Between two words on how far a work is.
const STEPS: Duration = Duration::from_millis(200);

/// Why the node ends.
pub(crate) enum Ending {
    /// The process got a signal.
    Signal,
    /// A program asked for it.
    Asked(Stop),
}

/// Asks the main thread to stop the node. It answers when the node is stopped, and then waits
/// until the answer was passed on.
pub(crate) struct Stop {
    /// Where the outcome goes.
    pub(crate) done: Sender<Result<Stopped, Failure>>,
    /// Closed once the outcome was sent.
    pub(crate) told: Receiver<()>,
}

/// What every connection needs.
pub(crate) struct Served {
    /// The node.
    pub(crate) node: Node,
    /// Its home.
    pub(crate) home: Home,
    /// Where it is mounted.
    pub(crate) mount: Option<PathBuf>,
    /// Where a wish to stop goes.
    pub(crate) stop: Sender<Ending>,
}

/// Takes the socket's place. Call it only while the store's lock is held: then whatever is there
/// was left by a process that is gone.
pub(crate) fn bind(home: &Home) -> Result<UnixListener, Failure> {
    let during = |e: std::io::Error| Failure::io("making the control socket in", home.dir(), &e);
    let (_dir, path) = socket_path(home).map_err(during)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(during(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(during)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(during)?;
    Ok(listener)
}

/// Removes the socket; whoever comes now hears that no node runs.
pub(crate) fn unbind(home: &Home) {
    if let Ok((_dir, path)) = socket_path(home) {
        let _ = std::fs::remove_file(path);
    }
}

/// Serves until the process ends.
pub(crate) fn serve(listener: UnixListener, served: Served) -> Result<(), Failure> {
    let served = Arc::new(served);
    let open = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors, most likely: others will be closed meanwhile.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            if !is_ours(&stream) {
                continue;
            }
            if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::SeqCst);
                let busy = Failure::of(Kind::Busy, "the node serves as many programs as it can");
                send(&stream, &Answer::Error(busy));
                continue;
            }
            let (served, count) = (Arc::clone(&served), Arc::clone(&open));
            let spawned = std::thread::Builder::new().name("control".into()).spawn(move || {
                converse(&stream, &served);
                count.fetch_sub(1, Ordering::SeqCst);
            });
            if spawned.is_err() {
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    std::thread::Builder::new()
        .name("control-accept".into())
        .spawn(accept)
        .map(drop)
        .map_err(|e| Failure::of(Kind::Io, format!("starting a thread: {e}")))
}

// The directory's mode keeps others out already; this holds where somebody opened it.
fn is_ours(stream: &UnixStream) -> bool {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) => peer.uid == rustix::process::geteuid() || peer.uid.is_root(),
        Err(_) => false,
    }
}

fn converse(stream: &UnixStream, served: &Served) {
    let _ = stream.set_read_timeout(Some(SILENCE));
    let mut reader = BufReader::new(stream);
    loop {
        let line = match read_line(&mut reader) {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(failure) => {
                send(stream, &Answer::Error(failure));
                return;
            }
        };
        let answered = match parse(&line) {
            Ok(Request::Down {}) => return stop(stream, served),
            Ok(Request::BundleExport { to, place, all }) => {
                carry::export(&served.node, &to, &place, all, &mut told(stream)).and_then(value)
            }
            Ok(Request::BundleImport { path }) => {
                carry::import(&served.node, &path, &mut told(stream)).and_then(value)
            }
            Ok(request) => answer(served, request),
            Err(failure) => Err(failure),
        };
        if !send(stream, &answered.map_or_else(Answer::Error, Answer::Ok)) {
            return;
        }
    }
}

// Tells the program how far a work is, a few times a second.
fn told(stream: &UnixStream) -> impl FnMut(node::Progress) + '_ {
    let mut last: Option<std::time::Instant> = None;
    move |step: node::Progress| {
        if last.is_none_or(|last| last.elapsed() >= STEPS) {
            last = Some(std::time::Instant::now());
            let what = step.what.to_owned();
            send(stream, &Answer::Progress(Step { what, done: step.done, total: step.total }));
        }
    }
}

fn stop(stream: &UnixStream, served: &Served) {
    let (done, outcome) = channel();
    let (telling, told) = channel::<()>();
    if served.stop.send(Ending::Asked(Stop { done, told })).is_err() {
        return;
    }
    let outcome = outcome
        .recv()
        .unwrap_or_else(|_| Err(Failure::of(Kind::Interrupted, "the node was stopped by a signal")));
    send(stream, &outcome.and_then(value).map_or_else(Answer::Error, Answer::Ok));
    drop(telling);
    // The connection is closed by the end of the process: that is what the other side waits for.
    std::thread::sleep(SILENCE);
}

fn send(mut stream: &UnixStream, answer: &Answer) -> bool {
    match json_line(answer) {
        Ok(line) => stream.write_all(format!("{line}\n").as_bytes()).is_ok(),
        Err(_) => false,
    }
}

fn answer(served: &Served, request: Request) -> Result<Value, Failure> {
    let node = &served.node;
    let at = |place: &crate::place::Place| place.in_home(served.mount.as_deref());
    match request {
        Request::Status {} => {
            let mount = served.mount.as_deref().map(|m| m.display().to_string());
            value(Whole::of(node.status(), &served.home.dir().display().to_string(), mount.as_deref()))
        }
        Request::Map { dot } => value(if dot { node.map_dot() } else { node.map_text() }),
        Request::Invite { path, for_name, role } => {
            let path = path.as_ref().map(at).transpose()?;
            value(node.invite(path.as_deref(), for_name.as_deref(), role_of(&role)?)?)
        }
        Request::PeerAdd { card, name } => {
            let added = node.peer_add(&card, name.as_deref())?;
            value(Befriended {
                name: added.name,
                fingerprint: added.fingerprint,
                room: added.room,
                met: added.met,
            })
        }
        Request::PeerList {} => value(node.peers().into_iter().map(Peer::from).collect::<Vec<_>>()),
        Request::PeerShow { name } => value(Peer::from(node.peer_show(&name)?)),
        Request::PeerRemove { name } => value(node.peer_remove(&name)?),
        Request::Share { path, with, role } => {
            let shared = node.share(&at(&path)?, &with, role_of(&role)?)?;
            value(Given { name: shared.name, space: shared.space.hex() })
        }
        Request::Join { spec, path } => {
            let path = path.as_ref().map(at).transpose()?;
            value(node.join(&spec, path.as_deref())?)
        }
        Request::Members { path } => {
            let mut members = node.members(&at(&path)?)?;
            members.sort_by(|a, b| (!a.me, &a.name).cmp(&(!b.me, &b.name)));
            value(members.into_iter().map(Person::from).collect::<Vec<_>>())
        }
        Request::Log { path, max } => {
            value(node.log(&at(&path)?, max)?.into_iter().map(Past::from).collect::<Vec<_>>())
        }
        Request::Scratch { path, names } => {
            let path = at(&path)?;
            if let Some(names) = names {
                node.set_scratch_names(&path, &names)?;
            }
            value(node.scratch_names(&path)?)
        }
        Request::Dtn(wish) => carry::dtn(node, wish).and_then(value),
        Request::BundleExport { .. } | Request::BundleImport { .. } | Request::Down {} => {
            Err(Failure::of(Kind::Invalid, "answered elsewhere"))
        }
    }
}

fn value<T: Serialize>(of: T) -> Result<Value, Failure> {
    serde_json::to_value(of).map_err(|e| Failure::of(Kind::Invalid, format!("writing JSON: {e}")))
}

fn role_of(word: &str) -> Result<Role, Failure> {
    [Role::Reader, Role::Writer]
        .into_iter()
        .find(|role| role_word(*role) == word)
        .ok_or_else(|| Failure::usage(format!("{word} is not a role"), "the roles are reader and writer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a-long-name".repeat(12));
        std::fs::create_dir(&deep).unwrap();
        let home = Home::find(Some(&deep)).unwrap();
        (dir, home)
    }

    #[test]
    fn the_socket_is_closed_to_others_and_may_lie_deep() {
        let (_dir, home) = home();
        let listener = bind(&home).unwrap();
        let mode = std::fs::metadata(home.dir().join(Home::SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
        bind(&home).unwrap();
        unbind(&home);
        assert!(!home.dir().join(Home::SOCKET).exists());
    }

    #[test]
    fn a_stream_from_the_same_user_is_taken() {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(is_ours(&a));
        assert!(send(&a, &Answer::Error(Failure::of(Kind::Busy, "x\u{9b}"))));
        drop(a);
        let mut line = String::new();
        BufReader::new(b).read_line(&mut line).unwrap();
        assert!(line.contains("\\u009b"));
    }

    #[test]
    fn roles_are_words() {
        assert!(matches!(role_of("writer"), Ok(Role::Writer)));
        assert_eq!(role_of("king").unwrap_err().exit_code(), 2);
    }
}
