//! Names that several things want (rule 5): who has it plain, and what the others are called.
//!
//! The names of one group are a function of the group and of which plain names the room has, never of
//! the order in which doors came. That they collide neither with each other nor with those of other
//! groups follows from their form: a suffix is `~` and hex digits that tell the members of the group
//! apart; where a plain name took even all digits, a number follows after a `-`; where the name had
//! to be cut to fit, `~-` and all digits stand, which no other door has.

use base::limit::NAME_BYTES;

/// The fewest digits of a suffix.
const DIGITS: usize = 4;
/// The longest extension that is kept when a name is cut.
const EXTENSION_BYTES: usize = 32;

/// The names of things that want one label and may not have it plain, in the order of their digits
/// given; digits are told apart by being nobody's else.
pub(super) fn suffixed(label: &str, digits: &[String], taken: impl Fn(&str) -> bool) -> Vec<String> {
    let mut order: Vec<usize> = (0..digits.len()).collect();
    order.sort_by(|a, b| digits[*a].cmp(&digits[*b]));
    let mut names = vec![String::new(); digits.len()];
    for (i, at) in order.iter().enumerate() {
        let own = &digits[*at];
        let before = i.checked_sub(1).map_or(0, |j| shared(own, &digits[order[j]]));
        let after = order.get(i + 1).map_or(0, |j| shared(own, &digits[*j]));
        let least = (before.max(after) + 1).max(DIGITS).min(own.len());
        names[*at] = one(label, own, least, &taken);
    }
    names
}

/// Whether a plain name looks as if `suffixed` could have made it.
pub(super) fn looks_suffixed(name: &str) -> bool {
    name.match_indices('~').any(|(at, _)| {
        let tail = &name.as_bytes()[at + 1..];
        let hex = tail.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        hex >= DIGITS || tail.first() == Some(&b'-')
    })
}

fn one(label: &str, digits: &str, least: usize, taken: impl Fn(&str) -> bool) -> String {
    for n in least..=digits.len() {
        match with_tail(label, &format!("~{}", &digits[..n])) {
            Some(name) if !taken(&name) => return name,
            Some(_) => {}
            None => break,
        }
    }
    let mut n = 1u64;
    loop {
        let end = if n == 1 { digits.to_owned() } else { format!("{digits}-{n}") };
        let name = with_tail(label, &format!("~{end}")).unwrap_or_else(|| cut(label, &format!("~-{end}")));
        if !taken(&name) {
            return name;
        }
        n += 1;
    }
}

// Before the last dot that is not the first character.
fn split(label: &str) -> (&str, &str) {
    match label.rfind('.') {
        Some(dot) if dot > 0 => label.split_at(dot),
        _ => (label, ""),
    }
}

fn with_tail(label: &str, tail: &str) -> Option<String> {
    let (stem, extension) = split(label);
    (label.len() + tail.len() <= NAME_BYTES).then(|| format!("{stem}{tail}{extension}"))
}

fn cut(label: &str, tail: &str) -> String {
    let (mut stem, mut extension) = split(label);
    if extension.len() > EXTENSION_BYTES {
        (stem, extension) = (label, "");
    }
    let mut end = stem.len().min(NAME_BYTES.saturating_sub(tail.len() + extension.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}{extension}", &stem[..end])
}

fn shared(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}
