//! Starts real nodes for whole-system tests: the `chorus` program itself, real mounts, real
//! namespaces. Nothing of chorus is linked in; what a user can do is what a test can do.
//!
//! Not here: what one crate can test alone.

pub mod compare;
pub mod console;
pub mod cost;
pub mod editor;
pub mod meanwhile;
pub mod namespace;
pub mod person;
pub mod relay;
pub mod sample;
pub mod user;
pub mod wait;

pub use compare::{differences, wait_same};
pub use meanwhile::Pair;
pub use person::{Person, acquaint, befriend, share_room};
pub use user::User;
pub use wait::{wait_for, wait_until};

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program under test: `CHORUS_BIN`, else the one built beside the running test.
///
/// # Panics
/// If it was not built.
pub fn chorus() -> PathBuf {
    if let Some(named) = std::env::var_os("CHORUS_BIN") {
        return PathBuf::from(named);
    }
    let me = std::env::current_exe().expect("the path of this test");
    let found = me.ancestors().skip(1).take(2).map(|dir| dir.join("chorus")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no chorus program beside {}; build it first: cargo build -p chorus-cli", me.display())
    })
}

/// A directory for one test, removed at its end. Not below `/tmp`, where vim makes no backups
/// and saves in another way than elsewhere.
pub fn scratch_dir() -> tempfile::TempDir {
    let below = std::env::var_os("CHORUS_TEST_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    tempfile::Builder::new().prefix("chorus-test-").tempdir_in(below).expect("a directory for the test")
}

/// Runs a command to its end and answers its output.
///
/// # Panics
/// If it cannot be started or fails; the message has all it said.
pub fn must(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("starting {command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?} failed: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a line of shell in a directory.
///
/// # Panics
/// As [`must`].
pub fn shell(dir: &Path, line: &str) -> String {
    must(Command::new("bash").arg("-euc").arg(line).current_dir(dir))
}

/// Reads a file as text; nothing where it is missing or unreadable.
pub fn text(path: &Path) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}
