//! The control socket: how the program talks to its running node.
//!
//! A unix socket, 0600, in a home that is 0700; whoever connects must be the same user (the
//! kernel says who it is). One JSON object a line, at most `limit::CONTROL_LINE_BYTES`: a request
//! `{"verb": …, "args": {…}}` is answered by `{"ok": …}` or `{"error": {kind, message, hint}}`; long
//! work tells `{"progress": …}` before that.

mod carry;
pub(crate) mod client;
mod line;
pub(crate) mod server;

pub(crate) use line::{Destination, DtnWish, Place, Request, Step};

use crate::fail::Failure;
use crate::home::Home;
use base::Kind;
use line::Bad;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::BufRead;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

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
    Ok(line::read_line(from)?)
}

/// Reads a request; `args` may be left out where there are none.
pub(crate) fn parse(line: &str) -> Result<Request, Failure> {
    Ok(line::parse(line)?)
}

impl From<Bad> for Failure {
    fn from(bad: Bad) -> Failure {
        let kind = match &bad {
            Bad::Read(e) => Kind::of_io(e),
            Bad::Long => Kind::TooLarge,
            Bad::Cut => Kind::Interrupted,
            Bad::NotText | Bad::NotRequest(_) => Kind::Invalid,
        };
        Failure::of(kind, bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::limit;

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
