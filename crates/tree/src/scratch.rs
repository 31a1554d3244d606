//! What names say: of backups and temporaries; and names that no door can have.

use crate::error::{Error, Result};
use base::Kind;

pub use node::is_scratch;

/// Whether a name is kept for control files and is never a door.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name == b".room" || name == b".chorus"
}

/// A name somebody wants to make, as text. Errors: over 255 bytes, not valid, or kept for control
/// files (so an archive or a clone that contains such names cannot reach those).
pub(crate) fn new_name(name: &[u8]) -> Result<&str> {
    if is_reserved(name) {
        return Err(Error::refused(Kind::Denied, "that name is kept for control files"));
    }
    base::name::check(name).map_err(|error| match error {
        base::Error::Limit { .. } => Error::refused(Kind::NameTooLong, "the name is longer than 255 bytes"),
        _ => Error::refused(Kind::Invalid, "the name holds characters that names here cannot have"),
    })
}

/// Whether moving `from` to `to` in one room looks like setting a backup aside: `F` to `F~`, `F.bak`.
pub(crate) fn sets_aside(from: &str, to: &str) -> bool {
    to.len() > from.len() && (to.starts_with(from) || to.trim_start_matches(['.', '#']).starts_with(from))
}

/// Whether a file that is moved from `from` to `to` may be an editor's backup, in whatever folder; such a name holds the other.
/// A temporary that takes the name it was made for is none, nor is a log that is rotated.
pub(crate) fn may_set_aside(from: &str, to: &str) -> bool {
    to.contains(from) && !is_rotation(from, to)
}

/// Whether `to` is what an editor calls the backup of `from`.
pub(crate) fn is_backup(from: &str, to: &str) -> bool {
    let suffix = to.strip_prefix(from).or_else(|| to.strip_prefix('.').and_then(|to| to.strip_prefix(from)));
    suffix.is_some_and(|suffix| matches!(suffix, ".bak" | ".orig" | ".old" | ".backup") || is_tilde(suffix))
}

/// As `is_backup`, and so named that it is nothing else: `F~`, `F.~1~`.
pub(crate) fn is_plainly_backup(from: &str, to: &str) -> bool {
    to.strip_prefix(from).is_some_and(is_tilde)
}

fn is_tilde(suffix: &str) -> bool {
    let number = suffix.strip_prefix(".~").and_then(|rest| rest.strip_suffix('~'));
    suffix == "~" || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether moving `from` to `to` is how a log is rotated: `F` to `F.1`, which is to be kept and shared.
fn is_rotation(from: &str, to: &str) -> bool {
    let number = to.strip_prefix(from).and_then(|rest| rest.strip_prefix(['.', '-']));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_impossible_names_are_refused() {
        assert_eq!(new_name(b"a b.txt").unwrap(), "a b.txt");
        assert_eq!(new_name(b".room").unwrap_err().kind(), Kind::Denied);
        assert_eq!(new_name(b".chorus").unwrap_err().kind(), Kind::Denied);
        assert_eq!(new_name(b"a\x1bb").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(new_name(b"\xff").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(new_name(&[b'a'; 256]).unwrap_err().kind(), Kind::NameTooLong);
    }

    #[test]
    fn a_backup_is_told_from_a_temporary() {
        assert!(sets_aside("a.txt", "a.txt~"));
        assert!(sets_aside("a.txt", ".a.txt.bak"));
        assert!(!sets_aside("a.txt.new", "a.txt"));
        assert!(!sets_aside("sedXYZ", "a.txt"));
        assert!(
            is_backup("a", "a~")
                && is_backup("a", "a.bak")
                && is_backup("a", ".a.orig")
                && is_backup("a", "a.~12~")
        );
        assert!(
            !is_backup("a", "a.gz")
                && !is_backup("a", "a.out")
                && !is_backup("a", "a.~~")
                && !is_backup("a", "a")
        );
        assert!(may_set_aside("a", "a~") && may_set_aside("a", "%home%a~") && may_set_aside("a", "a"));
        assert!(!may_set_aside("a.lock", "a") && !may_set_aside("tmp1", "a") && !may_set_aside("a", "a.1"));
        assert!(is_plainly_backup("a", "a~") && !is_plainly_backup("a", "a.bak"));
        assert!(is_rotation("app.log", "app.log.1") && is_rotation("app.log", "app.log-20261121"));
        assert!(
            !is_rotation("a.txt", "a.txt~") && !is_rotation("a.txt", "a.txt.") && !is_rotation("a", "b.1")
        );
    }
}
