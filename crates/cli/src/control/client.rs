//! The program's side of the control socket.

use super::{Answer, Request, Step, read_line, socket_path};
use crate::fail::Failure;
use crate::home::Home;
use base::Kind;
use serde::de::DeserializeOwned;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connection to the running node.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects; fails with a hint where no node runs in this home.
    pub(crate) fn connect(home: &Home) -> Result<Client, Failure> {
        let stream = socket_path(home)
            .and_then(|(_dir, path)| UnixStream::connect(path))
            .map_err(|e| unconnected(home, &e))?;
        // It would be waited for as long as nobody lets it go on.
        if let Some(pid) = listener(&stream).filter(|pid| is_halted(*pid)) {
            return Err(Failure::with_hint(
                Kind::Busy,
                format!("the node (pid {pid}) is halted (SIGSTOP, or a debugger)"),
                format!("let it go on: kill -CONT {pid}"),
            ));
        }
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer however long the node needs.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        self.ask_watched(request, &mut |_| {})
    }

    /// The same, hearing how far it is.
    pub(crate) fn ask_watched<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        watch: &mut dyn FnMut(&Step),
    ) -> Result<T, Failure> {
        let gone = |e: std::io::Error| Failure::of(Kind::of_io(&e), format!("talking to the node: {e}"));
        let mut line = serde_json::to_string(request)
            .map_err(|e| Failure::of(Kind::Invalid, format!("writing a request: {e}")))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(gone)?;
        let strange = |e: serde_json::Error| {
            Failure::with_hint(
                Kind::Unsupported,
                format!("the node answered in words unknown here: {e}"),
                "the running node may be of another version: `chorus down`, then `chorus up`",
            )
        };
        loop {
            let answer = read_line(&mut self.stream)?.ok_or_else(|| {
                Failure::with_hint(
                    Kind::Interrupted,
                    "the node stopped before it answered",
                    "start it with `chorus up` and look whether it was done",
                )
            })?;
            match serde_json::from_str(&answer).map_err(strange)? {
                Answer::Progress(step) => watch(&step),
                Answer::Ok(value) => return serde_json::from_value(value).map_err(strange),
                Answer::Error(failure) => return Err(failure),
            }
        }
    }

    /// Waits until the node's process has closed its end. Answers whether it did in time.
    pub(crate) fn wait_closed(mut self, most: Duration) -> bool {
        if self.stream.get_ref().set_read_timeout(Some(most)).is_err() {
            return false;
        }
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }
}

/// Connects, asks once.
pub(crate) fn ask<T: DeserializeOwned>(home: &Home, request: &Request) -> Result<T, Failure> {
    Client::connect(home)?.ask(request)
}

// The process that listens; none if it is not one of this process's world.
fn listener(stream: &UnixStream) -> Option<i32> {
    rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.pid.as_raw_nonzero().get())
}

fn is_halted(pid: i32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    // PID (NAME) STATE …, and a name may hold anything.
    let state = stat.iter().rposition(|b| *b == b')').and_then(|end| stat.get(end + 2));
    matches!(state, Some(b'T' | b't'))
}

fn unconnected(home: &Home, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::NotFound | E::ConnectionRefused => Failure::with_hint(
            Kind::NotFound,
            "the node is not running",
            format!("start it with `chorus up` (its home is {})", home.dir().display()),
        ),
        E::PermissionDenied => Failure::with_hint(
            Kind::Denied,
            format!("{} belongs to another user", home.dir().display()),
            "run this as the user who runs the node, or name your own home with --home",
        ),
        _ => Failure::of(Kind::of_io(error), format!("connecting to the node: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_is_halted_is_seen() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let becomes = |halted| {
            let end = std::time::Instant::now() + Duration::from_secs(30);
            while is_halted(pid.as_raw_nonzero().get()) != halted {
                assert!(std::time::Instant::now() < end);
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        becomes(false);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        becomes(true);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        becomes(false);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
