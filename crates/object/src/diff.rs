//! What an edit did: lines first, then the words in lines that changed.
//!
//! 1. Common lines at both ends are set aside; the middle is compared line by line.
//! 2. Where as many lines came as went, each is compared with its counterpart, word by word; other
//!    groups are compared as a whole. Where less than a third of the letters stayed, words found on both
//!    sides say nothing: the words are replaced together.
//! 3. A splice deletes and inserts whole words: letters made `seveine` of nine and seven.
//!
//! A *word* is a run of letters, digits and `_`, apostrophes within it included. One that begins with a digit (or `v` and
//! a digit) goes on over `. , : - / +` as long as a letter or digit follows, so that `0.1.0`, `2026-11-21`, `10:30` and
//! `v2.0-rc.1` change as a whole, while `foo(bar)` and `a.b` stay apart. Blanks are one word a run, every other
//! character is one by itself.
//!
//! A replaced or deleted word takes the blank before it along, and a word inserted brings it: two people who replace one
//! word by different ones get both, apart, and words put at one place do not run together.
//!
//! Work is bounded by size, never by a clock: all replicas and all runs answer alike. The comparison is E. W. Myers' algorithm with
//! the work limits of the `similar` crate; groups over [`GROUP_WORDS`] are replaced whole.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::HashMap;
use std::ops::Range;

/// Words on one side of a group of lines above which it is replaced as a whole.
const GROUP_WORDS: usize = 20_000;

/// One change of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Where in the old text, in bytes; on a character's boundary.
    pub at: usize,
    /// How many bytes of the old text go.
    pub delete: usize,
    /// What comes there.
    pub insert: String,
}

/// What makes `new` of `old`: splices of the old text, in order, apart. Empty for equal texts.
pub fn diff(old: &str, new: &str) -> Vec<Splice> {
    let mut edits = Vec::new();
    for (gone, come) in changed_lines(old, new) {
        words(old, new, gone, come, &mut edits);
    }
    with_blanks(old, new, edits)
}

/// A byte range of the old text and of the new one that takes its place.
type Edit = (Range<usize>, Range<usize>);

// The places where pieces of a text begin, and its end.
fn starts(pieces: &[&str], from: usize) -> Vec<usize> {
    let mut at = from;
    let mut out = Vec::with_capacity(pieces.len() + 1);
    out.push(at);
    for piece in pieces {
        at += piece.len();
        out.push(at);
    }
    out
}

/// Pieces by number, so that comparing two is comparing two numbers.
#[derive(Default)]
struct Numbers<'a>(HashMap<&'a str, u32>);

impl<'a> Numbers<'a> {
    fn of(&mut self, pieces: &[&'a str]) -> Vec<u32> {
        pieces
            .iter()
            .map(|piece| {
                let next = self.0.len() as u32;
                *self.0.entry(piece).or_insert(next)
            })
            .collect()
    }
}

fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<DiffOp> {
    let mut numbers = Numbers::default();
    let (old, new) = (numbers.of(old), numbers.of(new));
    capture_diff_slices(Algorithm::Myers, &old, &new)
}

// Groups of lines that changed, as byte ranges.
fn changed_lines(old: &str, new: &str) -> Vec<Edit> {
    let (head, tail) = common_ends(old, new);
    let (old_mid, new_mid) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let old_lines: Vec<&str> = old_mid.split_inclusive('\n').collect();
    let new_lines: Vec<&str> = new_mid.split_inclusive('\n').collect();
    let (old_at, new_at) = (starts(&old_lines, head), starts(&new_lines, head));
    let mut groups: Vec<Edit> = Vec::new();
    for op in compare(&old_lines, &new_lines) {
        if let DiffOp::Equal { .. } = op {
            continue;
        }
        let (gone, come) = (op.old_range(), op.new_range());
        let paired = gone.len() == come.len();
        if paired {
            for (o, n) in gone.zip(come) {
                groups.push((old_at[o]..old_at[o + 1], new_at[n]..new_at[n + 1]));
            }
        } else {
            groups.push((old_at[gone.start]..old_at[gone.end], new_at[come.start]..new_at[come.end]));
        }
    }
    groups
}

// How many bytes of whole lines are common at the beginning and at the end.
fn common_ends(old: &str, new: &str) -> (usize, usize) {
    let same = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    if same == old.len() && same == new.len() {
        return (same, 0);
    }
    let head = old.as_bytes()[..same].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let (old, new) = (&old.as_bytes()[head..], &new.as_bytes()[head..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let whole = |text: &[u8], n: usize| n == text.len() || text[text.len() - n - 1] == b'\n';
    let tail = (0..=same).rev().find(|n| whole(old, *n) && whole(new, *n)).unwrap_or(0);
    (head, tail)
}

// The words that changed between two groups of lines.
fn words(old: &str, new: &str, gone: Range<usize>, come: Range<usize>, out: &mut Vec<Edit>) {
    let old_words = split(&old[gone.clone()]);
    let new_words = split(&new[come.clone()]);
    if gone.is_empty() || come.is_empty() || old_words.len().max(new_words.len()) > GROUP_WORDS {
        return out.push((gone, come));
    }
    let (old_at, new_at) = (starts(&old_words, gone.start), starts(&new_words, come.start));
    let ops = compare(&old_words, &new_words);
    let edit = |gone: Range<usize>, come: Range<usize>| {
        (old_at[gone.start]..old_at[gone.end], new_at[come.start]..new_at[come.end])
    };
    if alike(&old_words, &new_words, &ops) {
        let changed = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
        out.extend(changed.map(|op| edit(op.old_range(), op.new_range())));
    } else {
        // What both begin and end with stays: indentation, the line feed.
        let head = old_words.iter().zip(&new_words).take_while(|(a, b)| a == b).count();
        let most = old_words.len().min(new_words.len()) - head;
        let ends = old_words.iter().rev().zip(new_words.iter().rev());
        let tail = ends.take(most).take_while(|(a, b)| a == b).count();
        out.push(edit(head..old_words.len() - tail, head..new_words.len() - tail));
    }
}

// Whether enough stayed for common words to mean that a thought stayed: a third of the shorter side's letters.
fn alike(old: &[&str], new: &[&str], ops: &[DiffOp]) -> bool {
    let letters = |words: &[&str]| words.iter().filter(|w| is_word(w)).map(|w| w.len()).sum::<usize>();
    let stayed: usize = ops
        .iter()
        .filter(|op| matches!(op, DiffOp::Equal { .. }))
        .map(|op| letters(&old[op.old_range()]))
        .sum();
    stayed * 3 >= letters(old).min(letters(new))
}

fn is_word(word: &str) -> bool {
    word.chars().next().is_some_and(in_word)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn split(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if is_blank(first) {
            rest.find(|c| !is_blank(c)).unwrap_or(rest.len())
        } else if in_word(first) {
            word_len(rest)
        } else {
            first.len_utf8()
        };
        let (word, tail) = rest.split_at(len);
        out.push(word);
        rest = tail;
    }
    out
}

fn word_len(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let mut head = text.chars();
    let first = head.next().unwrap_or(' ');
    let number =
        first.is_numeric() || (matches!(first, 'v' | 'V') && head.next().is_some_and(char::is_numeric));
    while let Some((at, c)) = chars.next() {
        let goes_on = |next: Option<&(usize, char)>| next.is_some_and(|(_, next)| in_word(*next));
        let joint = match c {
            '\'' | '\u{2019}' => true,
            '.' | ',' | ':' | '-' | '/' | '+' => number,
            _ => false,
        };
        if !(in_word(c) || joint && goes_on(chars.peek())) {
            return at;
        }
    }
    text.len()
}

// Blanks go with the word behind them, so that what two people put at one place stays apart.
fn with_blanks(old: &str, new: &str, edits: Vec<Edit>) -> Vec<Splice> {
    let mut out: Vec<Splice> = Vec::with_capacity(edits.len());
    for (gone, come) in edits {
        let free = out.last().map_or(0, |last| last.at + last.delete);
        let insert = &new[come.clone()];
        let Some(blank) = blank_before(old, gone.start).filter(|at| *at >= free) else {
            out.push(Splice { at: gone.start, delete: gone.len(), insert: insert.to_owned() });
            continue;
        };
        let blank = &old[blank..gone.start];
        let goes = &old[gone.clone()];
        let at = gone.start - blank.len();
        out.push(match (goes.is_empty(), insert.is_empty()) {
            // An insertion "new " behind a blank is the insertion " new" before it.
            (true, false) if insert.ends_with(blank) => {
                Splice { at, delete: 0, insert: format!("{blank}{}", &insert[..insert.len() - blank.len()]) }
            }
            // A deletion likewise.
            (false, true) if goes.ends_with(blank) => {
                Splice { at, delete: gone.len(), insert: String::new() }
            }
            (false, false) if is_word(goes) && is_word(insert) => {
                Splice { at, delete: gone.len() + blank.len(), insert: format!("{blank}{insert}") }
            }
            _ => Splice { at: gone.start, delete: gone.len(), insert: insert.to_owned() },
        });
    }
    out
}

// Where the blank begins that stands right before a place.
fn blank_before(text: &str, at: usize) -> Option<usize> {
    text[..at].chars().next_back().filter(|c| is_blank(*c)).map(|c| at - c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patched(old: &str, splices: &[Splice]) -> String {
        let mut text = old.to_owned();
        for splice in splices.iter().rev() {
            text.replace_range(splice.at..splice.at + splice.delete, &splice.insert);
        }
        text
    }

    fn one(old: &str, new: &str) -> (String, String) {
        let splices = diff(old, new);
        assert_eq!(splices.len(), 1, "{splices:?}");
        (old[splices[0].at..splices[0].at + splices[0].delete].to_owned(), splices[0].insert.clone())
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn words_are_whole() {
        let words = "version = \"0.1.0\" don't 2026-11-21 10:30. foo(bar) a.b v2.0-rc.1, grün_1";
        let found: Vec<&str> = split(words).into_iter().filter(|w| is_word(w)).collect();
        let wanted = [
            "version",
            "0.1.0",
            "don't",
            "2026-11-21",
            "10:30",
            "foo",
            "bar",
            "a",
            "b",
            "v2.0-rc.1",
            "grün_1",
        ];
        assert_eq!(found, wanted);
        assert_eq!(split(words).concat(), words);
    }

    #[test]
    fn a_replaced_word_takes_the_blank_before_it_along() {
        assert_eq!(one("a nine b c\n", "a seven b c\n"), pair(" nine", " seven"));
        assert_eq!(one("nine lives are left\n", "seven lives are left\n"), pair("nine", "seven"));
        assert_eq!(one("v = \"0.1.0\"\n", "v = \"0.2.0\"\n"), pair("0.1.0", "0.2.0"));
        assert_eq!(one("the brown fox ran\n", "the quick brown fox ran\n"), pair("", " quick"));
        assert_eq!(one("the quick brown fox ran\n", "the brown fox ran\n"), pair(" quick", ""));
    }

    #[test]
    fn lines_come_and_go_whole() {
        assert_eq!(one("a\nb\nc\n", "a\nc\n"), pair("b\n", ""));
        assert_eq!(one("a\nc\n", "a\nb\nc\n"), pair("", "b\n"));
        assert_eq!(one("a\n", "a\nb"), pair("", "b"));
        assert_eq!(diff("a", "a"), vec![]);
    }

    #[test]
    fn a_line_that_has_nothing_in_common_is_replaced_at_once() {
        assert_eq!(one("    to be or not\n", "    lorem ipsum or dolor\n").1, " lorem ipsum or dolor");
    }

    // Bounded by work: the figures are from a build without optimisation, with room to spare.
    #[test]
    fn large_texts_take_no_time_to_speak_of() {
        let lines =
            |n: usize, word: &str| (0..n).map(|i| format!("{word} {i} and {}\n", i * 7)).collect::<String>();
        let noise = |seed: u64| {
            let mut x = seed;
            (0..20_000)
                .map(|_| {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    format!("{} {}\n", (x >> 33) % 50, (x >> 40) % 50)
                })
                .collect::<String>()
        };
        let cases = [
            (lines(5_000, "old"), lines(5_000, "new")),
            (lines(40_000, "old"), lines(39_000, "new")),
            (noise(1), noise(2)),
            ("x ".repeat(400_000), "y x ".repeat(200_000)),
        ];
        for (old, new) in cases {
            let start = std::time::Instant::now();
            assert_eq!(patched(&old, &diff(&old, &new)), new);
            assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn splices_make_the_new_text(old in "[ab0.é \n]{0,60}", new in "[ab0.é \n]{0,60}") {
            let splices = diff(&old, &new);
            prop_assert_eq!(patched(&old, &splices), new);
            let mut end = 0;
            for splice in &splices {
                prop_assert!(splice.at >= end);
                end = splice.at + splice.delete;
            }
        }
    }
}
