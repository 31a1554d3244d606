//! The one escaper for every string that came from elsewhere and is printed on a terminal.

use crate::name::is_deceptive;

/// The text with everything that could steer a terminal or deceive a reader written out as
/// `\u{…}`; line feeds too, so that what is one line stays one.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) && c != '\u{200d}' && c != '\u{200c}' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// As `safe`, for bytes that may not be text.
pub fn safe_bytes(bytes: &[u8]) -> String {
    safe(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_terminal_is_never_steered() {
        assert_eq!(super::safe("a\x1b[2Jb\r\nc"), "a\\u{1b}[2Jb\\u{d}\\u{a}c");
        assert_eq!(super::safe("grün 日本"), "grün 日本");
    }
}
