//! What kind of object a content becomes.

use base::limit;
use object::Type;

/// Bytes of a blob that travel inside entries; what is larger is chunked.
pub(crate) const INLINE_BYTES: u64 = 64 << 10;

/// Whether bytes can be a text: UTF-8 without NUL.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// The type of a file that is saved for the first time.
pub(crate) fn born_kind(name: &str, size: u64, text: bool) -> Type {
    if is_whole(name) {
        Type::Whole
    } else if text && size <= limit::TEXT_BORN_BYTES as u64 {
        Type::Text
    } else {
        Type::Blob
    }
}

/// The type that an existing file has after a save of such bytes.
pub(crate) fn saved_kind(was: Type, size: u64, text: bool) -> Type {
    match was {
        Type::Text if !text || size > limit::TEXT_BYTES as u64 => Type::Blob,
        other => other,
    }
}

/// Whether a file of this name is an editor's scratch: vim's swap files, emacs' locks and
/// autosaves, what FUSE makes of an open file that was removed. Such files are never sent.
pub fn is_scratch(name: &str) -> bool {
    is_swap(name)
        || name.starts_with(".#")
        || name.starts_with(".fuse_hidden")
        || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'))
}

// `.NAME.swp`, `.NAME.swo` and so on down to `.swa`; `.swp` alone is vim's for a file without a name.
fn is_swap(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with('.')
        && bytes.len() >= 4
        && bytes[..bytes.len() - 1].ends_with(b".sw")
        && matches!(bytes[bytes.len() - 1], b'a'..=b'p')
}

/// Whether this name says that a repository of git is here, or where one is. In a shared space it stays on this device.
pub(crate) fn is_repository(name: &str) -> bool {
    name == base::name::REPOSITORY
}

/// Why a file is never sent, by its path, and whether the rules of its room name it.
pub(crate) fn why_local(path: &str, ruled: bool) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    if is_repository(name) {
        "a git repository of this device alone: not backed up"
    } else if ruled {
        "named as scratch by a rule of its room"
    } else if ["-journal", "-wal", "-shm"].iter().any(|end| name.ends_with(end)) {
        "belongs to a database that is open on this device"
    } else if name.ends_with(".lock") {
        "a lock of git"
    } else if name.starts_with('.') || name.starts_with('#') {
        "a scratch file of an editor"
    } else {
        "a backup that an editor made"
    }
}

// Text that means something only as a whole: armoured keys, and what package managers write.
fn is_whole(name: &str) -> bool {
    const ENDINGS: [&str; 4] = [".asc", ".gpg", ".age", ".pem"];
    const NAMES: [&str; 12] = [
        "Cargo.lock",
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "poetry.lock",
        "Pipfile.lock",
        "uv.lock",
        "Gemfile.lock",
        "composer.lock",
        "go.sum",
        "flake.lock",
        "mix.lock",
    ];
    ENDINGS.iter().any(|e| name.ends_with(e)) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scratch_is_scratch() {
        for name in [".a.txt.swp", ".a.swo", ".swp", ".a.swa", ".#a", "#a#", ".fuse_hidden0001"] {
            assert!(is_scratch(name), "{name}");
        }
        for name in ["a.swp", ".a.swq", ".a.swpx", "a#", "#a", "##", "a~", ".sw", "swp", "4913", ".a.swz"] {
            assert!(!is_scratch(name), "{name}");
        }
    }

    #[test]
    fn what_must_not_be_merged_is_not() {
        assert_eq!(born_kind("key.asc", 10, true), Type::Whole);
        assert_eq!(born_kind("Cargo.lock", 10, true), Type::Whole);
        assert_eq!(born_kind("notes.txt", 10, true), Type::Text);
        assert_eq!(born_kind("photo", 10, false), Type::Blob);
        assert_eq!(born_kind("huge.txt", 3 << 20, true), Type::Blob);
        assert_eq!(saved_kind(Type::Text, 3 << 20, true), Type::Blob);
        assert_eq!(saved_kind(Type::Whole, 3, true), Type::Whole);
        assert!(!is_text(b"a\0b") && !is_text(b"\xff"));
    }
}
