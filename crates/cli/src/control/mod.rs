//! The control socket: how the program talks to its running node.
//!
//! A unix socket, 0600, in a home that is 0700; whoever connects must be the same user (the
//! kernel says who it is). One JSON object a line, at most `limit::CONTROL_LINE_BYTES`: a request
//! `{"verb": …, "args": {…}}` is answered by `{"ok": …}` or `{"error": {kind, message, hint}}`; long
//! work tells `{"progress": …}` before that.

mod carry;
pub(crate) mod client;
pub(crate) mod server;

use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use base::{Kind, limit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// What the node can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", content = "args", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Status {},
    Invite { path: Option<Place>, for_name: Option<String>, role: String },
    PeerAdd { card: String, name: Option<String> },
    PeerList {},
    PeerShow { name: String },
    PeerRemove { name: String },
    Share { path: Place, with: String, role: String },
    Join { spec: String, path: Option<Place> },
    Members { path: Place },
    Log { path: Place, max: usize },
    BundleExport { to: String, place: Destination, all: bool },
    BundleImport { path: PathBuf },
    Dtn(DtnWish),
    Down {},
}

/// Where bundles go: absolute paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Destination {
    /// One new file.
    File(PathBuf),
    /// A folder of them.
    Spool(PathBuf),
}

/// What is to change of how friends are reached over DTN; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DtnWish {
    /// The daemon's address; an empty one: none any more.
    pub(crate) daemon: Option<String>,
    /// Friends, each with the endpoint it was given.
    pub(crate) peers: Vec<(String, Option<String>)>,
    pub(crate) forget: Vec<String>,
    pub(crate) patience: Option<u64>,
}

/// How far a long work is; any number of them come before an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Ok(Value),
    Error(Failure),
    Progress(Step),
}

/// The socket by way of an open directory: a home's path may be longer than the 107 bytes that a
/// socket's address holds. The descriptor must live as long as the path is used.
pub(crate) fn socket_path(home: &Home) -> std::io::Result<(OwnedFd, PathBuf)> {
    use rustix::fs::{Mode, OFlags, open};
    let dir = open(home.dir(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), Home::SOCKET));
    Ok((dir, path))
}

/// Reads one line of bounded length; `None` at the end of the stream.
pub(crate) fn read_line(from: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let most = limit::CONTROL_LINE_BYTES as u64 + 1;
    from.by_ref()
        .take(most)
        .read_until(b'\n', &mut line)
        .map_err(|e| Failure::of(Kind::of_io(&e), format!("reading the control socket: {e}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 >= most {
            Failure::of(Kind::TooLarge, format!("a line over {} bytes", limit::CONTROL_LINE_BYTES))
        } else {
            Failure::of(Kind::Interrupted, "the control socket was closed within a line")
        });
    }
    line.pop();
    String::from_utf8(line).map(Some).map_err(|_| Failure::of(Kind::Invalid, "a line that is not UTF-8"))
}

/// Reads a request; `args` may be left out where there are none.
pub(crate) fn parse(line: &str) -> Result<Request, Failure> {
    let bad = |e: serde_json::Error| Failure::of(Kind::Invalid, format!("not a request: {e}"));
    let mut value: Value = serde_json::from_str(line).map_err(bad)?;
    if let Value::Object(map) = &mut value {
        map.entry("args").or_insert_with(|| Value::Object(Default::default()));
    }
    serde_json::from_value(value).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_object_a_line() {
        assert_eq!(parse(r#"{"verb":"status"}"#), Ok(Request::Status {}));
        assert_eq!(
            parse(r#"{"verb":"peer-show","args":{"name":"bob"}}"#),
            Ok(Request::PeerShow { name: "bob".into() })
        );
        for request in [Request::Down {}, Request::Join { spec: "a/b".into(), path: None }] {
            assert_eq!(parse(&serde_json::to_string(&request).unwrap()), Ok(request));
        }
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        let deep = "[".repeat(100_000);
        for line in [
            "",
            "{}",
            "[1]",
            "null",
            r#"{"verb":"fly"}"#,
            r#"{"verb":"status","args":{"x":1}}"#,
            "\u{0}",
            &deep,
        ] {
            assert_eq!(parse(line).unwrap_err().kind, "invalid", "{line:.20}");
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let long = vec![b'a'; limit::CONTROL_LINE_BYTES + 10];
        assert_eq!(read_line(&mut &long[..]).unwrap_err().kind, "too-large");
        assert_eq!(read_line(&mut &b"half"[..]).unwrap_err().kind, "interrupted");
        assert_eq!(read_line(&mut &b"\xff\n"[..]).unwrap_err().kind, "invalid");
        assert_eq!(read_line(&mut &b""[..]), Ok(None));
        assert_eq!(read_line(&mut &b"ab\ncd\n"[..]), Ok(Some("ab".into())));
    }
}
