//! Whether two edits of one version touch the same words: both are kept, and somebody should look.

use crate::diff::{Splice, diff};

/// Bytes of a text above which nobody looks.
const LOOKED_AT: usize = 256 << 10;

/// Whether `mine` and `theirs` changed the same words of `base`, each in another way.
pub fn overlap(base: &str, mine: &str, theirs: &str) -> bool {
    if mine == theirs || base.len().max(mine.len()).max(theirs.len()) > LOOKED_AT {
        return false;
    }
    let takes = |splices: Vec<Splice>| splices.into_iter().filter(|splice| splice.delete > 0);
    let (mut mine, mut theirs) = (takes(diff(base, mine)).peekable(), takes(diff(base, theirs)).peekable());
    while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
        let (a_end, b_end) = (a.at + a.delete, b.at + b.delete);
        if a.at < b_end && b.at < a_end && a != b {
            return true;
        }
        if a_end <= b_end {
            mine.next().map(drop)
        } else {
            theirs.next().map(drop)
        };
    }
    false
}

/// How far a text is from another, in bytes that go or come.
pub fn distance(from: &str, to: &str) -> usize {
    diff(from, to).iter().map(|splice| splice.delete + splice.insert.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_different_changes_of_the_same_words_overlap() {
        let base = "one two three\nfour five\n";
        assert!(overlap(base, "one 2 three\nfour five\n", "one TWO three\nfour five\n"));
        assert!(overlap(base, "one three\nfour five\n", "one TWO three\nfour five\n"));
        assert!(!overlap(base, "one 2 three\nfour five\n", "one 2 three\nfour five\n"));
        assert!(!overlap(base, "one 2 three\nfour five\n", "one 2 three\nfour 5\n"));
        assert!(!overlap(base, "one 2 three\nfour five\n", "one two 3\nfour five\n"));
        assert!(!overlap(base, "one two three\nfour five\nsix\n", "one two three\nfour five\nseven\n"));
        assert!(overlap("a b\nc\nd e\n", "a B\nc\nd 5\n", "A b\nc\nd E\n"));
    }

    #[test]
    fn what_was_edited_is_nearest_to_what_it_is_an_edit_of() {
        let (old, new) = ("a\nb\nc\n", "a\nb\nc by a friend\n");
        assert!(distance(old, "A\nb\nc\n") < distance(new, "A\nb\nc\n"));
        assert_eq!(distance(old, old), 0);
    }
}
