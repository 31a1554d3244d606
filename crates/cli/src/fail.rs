//! What the program says when it could not do what it was asked.

use crate::hint;
use base::Kind;
use base::print::safe;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// For files and directories that this user may not use.
const DENIED: &str = "look who may: `ls -ld` on it and on what it lies in; or name another place";

/// Why a verb failed, as it is printed and as it goes over the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// `base::Kind::word`, or `usage`.
    pub(crate) kind: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: String,
}

impl Failure {
    /// A failure with the hint that belongs to its kind.
    pub(crate) fn of(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind: kind.word().into(), message: message.into(), hint: hint::of(kind).into() }
    }

    /// A failure for which something better than its kind's hint can be said.
    pub(crate) fn with_hint(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: kind.word().into(), message: message.into(), hint: hint.into() }
    }

    /// What the machine answered while something was done with a path.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Failure {
        Failure::of_machine(Kind::of_io(error), format!("{what} {}: {error}", path.display()))
    }

    // What the machine denies, no admin of a room can give.
    fn of_machine(kind: Kind, message: String) -> Failure {
        match kind {
            Kind::Denied => Failure::with_hint(kind, message, DENIED),
            _ => Failure::of(kind, message),
        }
    }

    /// An argument that cannot mean anything.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: "usage".into(), message: message.into(), hint: hint.into() }
    }

    /// 2 for wrong usage, 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.kind == "usage" { 2 } else { 1 }
    }

    /// Prints both lines to stderr, escaped.
    pub(crate) fn print(&self) {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "error: {}\nhint: {}", safe(&self.message), safe(&self.hint));
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Failure {
        match error {
            node::Error::Io { .. } | node::Error::Store(_) => {
                Failure::of_machine(error.kind(), error.to_string())
            }
            _ => Failure::of(error.kind(), error.to_string()),
        }
    }
}

impl From<mount::Error> for Failure {
    fn from(error: mount::Error) -> Failure {
        match error.kind() {
            Kind::Busy | Kind::NotEmpty | Kind::NotFound | Kind::NotRoom => Failure::with_hint(
                error.kind(),
                error.to_string(),
                "name an empty directory that nothing is mounted on: `chorus up DIR`; nothing was changed",
            ),
            kind => Failure::with_hint(kind, error.to_string(), "`chorus doctor` checks what a mount needs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_2_and_failure_is_1() {
        assert_eq!(Failure::usage("a", "b").exit_code(), 2);
        assert_eq!(Failure::of(Kind::NotFound, "a").exit_code(), 1);
    }

    #[test]
    fn what_the_machine_denies_is_no_matter_of_roles() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::io("making", Path::new("/x"), &denied).hint, DENIED);
        let what = String::new();
        assert_eq!(Failure::from(node::Error::Io { what, error: denied }).hint, DENIED);
        let refused = node::Error::Refused { kind: Kind::Denied, text: String::new() };
        assert!(Failure::from(refused).hint.contains("role"));
    }
}
