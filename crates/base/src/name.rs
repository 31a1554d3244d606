//! Names of doors: which are valid, and how others are shown.

use crate::error::Error;
use crate::limit;

/// What git calls a repository, and a file that says where one is: by this name programs find commands to run.
pub const REPOSITORY: &str = ".git";

/// Whether a character changes how the text around it is shown or is no text at all: controls,
/// bidirectional marks, line and paragraph separators, zero-width and byte-order marks.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

// A joiner between letters spells words in several scripts and emoji; alone it deceives nobody
// about direction, so names may hold it.
fn is_refused(c: char) -> bool {
    is_deceptive(c) && !matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether a name can be made here as it stands.
pub fn is_valid(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > limit::NAME_BYTES || name == b"." || name == b".." {
        return false;
    }
    match std::str::from_utf8(name) {
        Ok(text) => !text.chars().any(|c| c == '/' || is_refused(c)),
        Err(_) => false,
    }
}

/// A name that somebody wants to make here: as text, or why not.
pub fn check(name: &[u8]) -> Result<&str, Error> {
    if name.len() > limit::NAME_BYTES {
        return Err(Error::Limit { what: "name", limit: limit::NAME_BYTES });
    }
    if !is_valid(name) {
        return Err(Error::Name);
    }
    std::str::from_utf8(name).map_err(|_| Error::Name)
}

/// How a door's name is shown: as it stands where it is valid, percent-escaped where not.
///
/// `%` itself is escaped only in names that need escaping. What is still too long afterwards is
/// cut, which rule 5 of the tree view then makes unique.
pub fn shown(name: &[u8]) -> String {
    if is_valid(name) {
        return String::from_utf8_lossy(name).into_owned();
    }
    let mut out = String::new();
    if name.is_empty() {
        out.push_str("%00");
    }
    if name == b"." || name == b".." {
        return name.iter().map(|b| format!("%{b:02x}")).collect();
    }
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '/' || c == '%' || is_refused(c) {
                let mut buffer = [0; 4];
                for b in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("%{b:02x}"));
                }
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("%{b:02x}"));
        }
    }
    let mut end = out.len().min(limit::NAME_BYTES);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

/// How a name is shown that is valid and must not be had: its first byte escaped.
pub fn disguised(name: &str) -> String {
    let Some(first) = name.chars().next() else { return shown(b"") };
    let rest = &name[first.len_utf8()..];
    format!("{}{rest}", first.to_string().bytes().map(|b| format!("%{b:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_stand_as_they_are() {
        for name in ["a", "naïve file.txt", "100%", "日本語", ".hidden", "a\u{200d}b"] {
            assert_eq!(shown(name.as_bytes()), name);
        }
    }

    #[test]
    fn others_are_escaped() {
        assert_eq!(shown(b".."), "%2e%2e");
        assert_eq!(shown(b"a/b%"), "a%2fb%25");
        assert_eq!(shown(b"\x1b[31m"), "%1b[31m");
        assert_eq!(shown("x\u{202e}txt.exe".as_bytes()), "x%e2%80%aetxt.exe");
        assert_eq!(shown(b"\xff"), "%ff");
        assert_eq!(disguised(REPOSITORY), "%2egit");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_always_a_valid_name(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(is_valid(shown(&name).as_bytes()));
        }
    }
}
