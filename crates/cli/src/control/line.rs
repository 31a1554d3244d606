//! Lines of the control socket: what one may be, and what it asks.

use base::limit;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, Read};
use std::path::PathBuf;

/// What the node can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", content = "args", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Status {},
    Map { dot: bool },
    Invite { path: Option<Place>, for_name: Option<String>, role: String },
    PeerAdd { card: String, name: Option<String> },
    PeerList {},
    PeerShow { name: String },
    PeerRemove { name: String },
    Share { path: Place, with: String, role: String },
    Join { spec: String, path: Option<Place> },
    Members { path: Place },
    Log { path: Place, max: usize },
    Scratch { path: Place, names: Option<Vec<String>> },
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

/// A path as it was typed, and its absolute form on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// As typed.
    pub(crate) given: String,
    /// The same from the file system's root, symlinks of the way there resolved.
    pub(crate) full: String,
}

/// Why a line is none.
#[derive(Debug)]
pub(crate) enum Bad {
    Read(std::io::Error),
    Long,
    Cut,
    NotText,
    NotRequest(serde_json::Error),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bad::Read(e) => write!(f, "reading the control socket: {e}"),
            Bad::Long => write!(f, "a line over {} bytes", limit::CONTROL_LINE_BYTES),
            Bad::Cut => f.write_str("the control socket was closed within a line"),
            Bad::NotText => f.write_str("a line that is not UTF-8"),
            Bad::NotRequest(e) => write!(f, "not a request: {e}"),
        }
    }
}

/// Reads one line of bounded length; `None` at the end of the stream.
pub(crate) fn read_line(from: &mut impl BufRead) -> Result<Option<String>, Bad> {
    let mut line = Vec::new();
    let most = limit::CONTROL_LINE_BYTES as u64 + 1;
    from.by_ref().take(most).read_until(b'\n', &mut line).map_err(Bad::Read)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 >= most { Bad::Long } else { Bad::Cut });
    }
    line.pop();
    String::from_utf8(line).map(Some).map_err(|_| Bad::NotText)
}

/// Reads a request; `args` may be left out where there are none.
pub(crate) fn parse(line: &str) -> Result<Request, Bad> {
    let mut value: Value = serde_json::from_str(line).map_err(Bad::NotRequest)?;
    if let Value::Object(map) = &mut value {
        map.entry("args").or_insert_with(|| Value::Object(Default::default()));
    }
    serde_json::from_value(value).map_err(Bad::NotRequest)
}
