//! The program's side of the control socket.

use super::{Answer, Request, read_line, socket_path};
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
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer however long the node needs.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        let gone = |e: std::io::Error| Failure::of(Kind::of_io(&e), format!("talking to the node: {e}"));
        let mut line = serde_json::to_string(request)
            .map_err(|e| Failure::of(Kind::Invalid, format!("writing a request: {e}")))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(gone)?;
        let answer = read_line(&mut self.stream)?.ok_or_else(|| {
            Failure::with_hint(
                Kind::Interrupted,
                "the node stopped before it answered",
                "start it with `chorus up` and look whether it was done",
            )
        })?;
        let strange = |e: serde_json::Error| {
            Failure::with_hint(
                Kind::Unsupported,
                format!("the node answered in words unknown here: {e}"),
                "the running node may be of another version: `chorus down`, then `chorus up`",
            )
        };
        match serde_json::from_str(&answer).map_err(strange)? {
            Answer::Ok(value) => serde_json::from_value(value).map_err(strange),
            Answer::Error(failure) => Err(failure),
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
