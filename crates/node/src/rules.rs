//! What a room's members agreed not to share: names that are scratch in it and in the rooms below.
//!
//! The rule is an attribute of the room, so it travels as permissions do, is copied with the room, and everybody's
//! builds and caches stay where they were made. A rule speaks of what is made from now on: what is shared already
//! stays shared, whatever it is called.

use crate::core::Core;
use crate::error::{Error, Result};
use crate::state::Space;
use base::{Kind, ObjectId, Oid, limit};
use glob::Pattern;
use object::{Meta, MetaEdit};
use std::sync::Arc;

/// The attribute that names scratch: patterns of shells for single names, separated by white space.
pub const SCRATCH: &str = "user.scratch";

/// The names that one room's rule means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule(Arc<[Pattern]>);

impl Rule {
    /// Reads a rule. What a friend wrote may hold anything: what is no pattern, and what is too much, means nothing.
    pub(crate) fn read(text: &[u8]) -> Option<Rule> {
        let words = std::str::from_utf8(text).ok()?.split_whitespace();
        let patterns: Vec<Pattern> =
            words.take(limit::SCRATCH_PATTERNS).filter_map(|w| pattern(w).ok()).collect();
        (!patterns.is_empty()).then(|| Rule(patterns.into()))
    }

    /// The rule among a room's attributes.
    pub(crate) fn of(meta: &Meta) -> Option<Rule> {
        Rule::read(meta.xattrs.get(SCRATCH)?)
    }

    /// The rule as it is written.
    pub(crate) fn text(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(Pattern::as_str).collect();
        words.join(" ")
    }

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// Refuses what is not a rule, before anybody else hears of it. Errors: says which word it is, and why.
pub(crate) fn check(text: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(text).map_err(|_| invalid("the names are not text"))?;
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() > limit::SCRATCH_PATTERNS {
        let most = limit::SCRATCH_PATTERNS;
        return Err(Error::refused(Kind::TooLarge, format!("a room has room for {most} scratch names")));
    }
    words.into_iter().try_for_each(|word| pattern(word).map(drop).map_err(invalid))
}

// Patterns name names, not paths; and one of stars alone would keep everything here.
fn pattern(word: &str) -> std::result::Result<Pattern, String> {
    let shown = base::print::safe(word);
    if word.len() > limit::NAME_BYTES {
        return Err(format!("{shown:.32}… is longer than a name can be"));
    }
    if word.contains('/') {
        return Err(format!("{shown}: a pattern is for single names; set it on the room in which they are"));
    }
    if word.chars().all(|c| c == '*') {
        return Err(format!("{shown} would keep everything in the room from being shared"));
    }
    Pattern::new(word).map_err(|e| format!("{shown}: {}", e.msg))
}

fn invalid(why: impl Into<String>) -> Error {
    Error::refused(Kind::Invalid, why.into())
}

impl Space {
    /// Whether rules of this room, or of one above it, name this.
    pub(crate) fn names_scratch(&self, room: &ObjectId, name: &str) -> bool {
        let mut at = *room;
        loop {
            let rule = self.heads.get(&at).and_then(|head| head.rule.as_ref());
            if rule.is_some_and(|rule| rule.names(name)) {
                return true;
            }
            match self.view.above(at) {
                Some(above) => at = above,
                None => return false,
            }
        }
    }
}

impl Core {
    /// The scratch names of a room, its own and not those of rooms above.
    pub(crate) fn scratch_names(&self, room: &Oid) -> Result<Vec<String>> {
        self.must_be_room_to_rule(room)?;
        let text = self.with_space(&room.space, |space| {
            let rule = space.heads.get(&room.object).and_then(|head| head.rule.as_ref());
            Ok(rule.map(Rule::text).unwrap_or_default())
        })?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Gives a room other scratch names; none: it names none any more.
    pub(crate) fn set_scratch_names(&self, room: &Oid, names: &[String]) -> Result<()> {
        self.must_be_room_to_rule(room)?;
        let text = names.join(" ");
        let value = (!names.is_empty()).then(|| text.into_bytes());
        if value.is_none() && self.scratch_names(room)?.is_empty() {
            return Ok(());
        }
        self.set_meta(room, MetaEdit { xattrs: [(SCRATCH.to_owned(), value)].into(), ..MetaEdit::default() })
    }

    fn must_be_room_to_rule(&self, room: &Oid) -> Result<()> {
        if self.with_space(&room.space, |space| Ok(space.is_room(&room.object)))? {
            return Ok(());
        }
        Err(Error::refused(Kind::NotRoom, "only a room names what is scratch in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_shells() {
        let rule = Rule::read(b"target *.o\n.cache  [ab]?").unwrap();
        for name in ["target", "x.o", ".cache", "a1", "b2"] {
            assert!(rule.names(name), "{name}");
        }
        for name in ["targets", "x.oo", "cache", "c1", "a", "Target"] {
            assert!(!rule.names(name), "{name}");
        }
        assert_eq!(rule.text(), "target *.o .cache [ab]?");
    }

    #[test]
    fn what_a_friend_wrote_means_what_can_be_read_of_it() {
        assert_eq!(Rule::read(b"\xff *.o"), None);
        assert_eq!(Rule::read(b"  "), None);
        assert_eq!(Rule::read(b"* ** [a a/b"), None);
        assert_eq!(Rule::read(b"[a *.o").unwrap().text(), "*.o");
        let many = "*.o ".repeat(limit::SCRATCH_PATTERNS + 9);
        assert_eq!(Rule::read(many.as_bytes()).unwrap().0.len(), limit::SCRATCH_PATTERNS);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        assert!(check(b"target *.o").is_ok() && check(b"").is_ok());
        for (text, why) in [
            (&b"build/out"[..], "build/out: a pattern is for single names"),
            (b"*", "would keep everything"),
            (b"[a", "[a: "),
            (b"\xff", "not text"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        assert_eq!(
            check("a ".repeat(limit::SCRATCH_PATTERNS + 1).as_bytes()).unwrap_err().kind(),
            Kind::TooLarge
        );
    }
}
