//! The columns of a change: what they claim, and what form the operations in them have.
//!
//! In a text the engine does what it is told only where every element is one letter: over several in one element,
//! or over a letter with another put over it, an edit at some byte does something else than it says. Such documents
//! nothing here makes, and a change that would make one is refused.

use super::input::Input;
use super::{CHANGE_OPS, Refusal};

/// The columns a change may have, in this order: object, key, insert, action, value, predecessors.
const COLUMNS: [u64; 12] = [1, 2, 17, 19, KEY, INSERT, ACTION, VALUE, LETTERS, PREDECESSORS, 113, 115];
/// The string that an operation is about; none where that is an element of a text.
const KEY: u64 = 21;
const INSERT: u64 = 52;
const ACTION: u64 = 66;
/// The type and length of a value.
const VALUE: u64 = 86;
/// The values themselves.
const LETTERS: u64 = 87;
const PREDECESSORS: u64 = 112;

const SET: u64 = 1;
const DELETE: u64 = 3;
const MAKE_TEXT: u64 = 4;
/// The type of a value that is a string.
const STRING: u64 = 6;

/// What a change costs whoever applies it.
pub(super) struct Cost {
    /// Operations.
    pub(super) ops: u64,
    /// What they replace.
    pub(super) predecessors: u64,
}

/// A change's columns.
pub(super) struct Columns<'a> {
    /// What they cost.
    pub(super) cost: Cost,
    key: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value: &'a [u8],
    letters: &'a [u8],
}

/// Reads what is behind a change's header, where `actors` are named. Nothing is built, and no run followed.
pub(super) fn columns<'a>(input: &mut Input<'a>, actors: u64) -> Result<Columns<'a>, Refusal> {
    let specs = specs(input).ok_or(Refusal::Malformed)?;
    let mut columns = Columns {
        cost: Cost { ops: 0, predecessors: 0 },
        key: &[],
        insert: &[],
        action: &[],
        value: &[],
        letters: &[],
    };
    let mut allowed = COLUMNS.iter();
    for (spec, len) in specs {
        if !allowed.any(|other| *other == spec) {
            return Err(Refusal::Operation);
        }
        let data = input.take(len).ok_or(Refusal::Malformed)?;
        match spec {
            ACTION => {
                columns.action = data;
                columns.cost.ops = runs(data)?.count;
            }
            // The engine collects an operation's predecessors before it looks at them.
            PREDECESSORS => columns.cost.predecessors = runs(data)?.sum,
            KEY => columns.key = data,
            INSERT => columns.insert = data,
            VALUE => columns.value = data,
            LETTERS => columns.letters = data,
            1 | 17 | 113 if runs(data)?.greatest >= actors => return Err(Refusal::Malformed),
            _ => {}
        }
    }
    // What follows the columns is an author's name, which no change of ours carries.
    if !input.0.is_empty() {
        return Err(Refusal::Malformed);
    }
    if columns.cost.ops.max(columns.cost.predecessors) > CHANGE_OPS as u64 {
        return Err(Refusal::Inflated);
    }
    Ok(columns)
}

fn specs(input: &mut Input<'_>) -> Option<Vec<(u64, usize)>> {
    let count = input.uleb()?;
    if count > COLUMNS.len() as u64 {
        return None;
    }
    (0..count).map(|_| Some((input.uleb()?, usize::try_from(input.uleb()?).ok()?))).collect()
}

impl Columns<'_> {
    /// Whether each operation is of a form that edits have: a key is set, deleted or made a text; in a text, one
    /// letter comes, or an element goes.
    pub(super) fn are_edits(&self) -> bool {
        self.walk().is_some()
    }

    fn walk(&self) -> Option<()> {
        let mut actions = Runs::new(self.action, Input::uleb);
        let mut keys = Runs::new(self.key, |input| input.prefixed().map(drop));
        let mut values = Runs::new(self.value, Input::uleb);
        let mut inserts = Flags::new(self.insert);
        let mut letters = Input(self.letters);
        for _ in 0..self.cost.ops {
            let (key, insert) = (keys.next()?, inserts.next()?);
            let value = values.next()?.unwrap_or(0);
            let bytes = letters.take(usize::try_from(value >> 4).ok()?)?;
            match (key, actions.next()??, insert) {
                (Some(()), SET | DELETE | MAKE_TEXT, false) | (None, DELETE, false) => {}
                (None, SET, true) if value & 15 == STRING => {
                    let mut chars = std::str::from_utf8(bytes).ok()?.chars();
                    chars.next()?;
                    if chars.next().is_some() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }
}

/// The values of a column one by one, of runs (n > 0, value), (-n, n values), (0, n nulls); then nulls.
struct Runs<'a, T> {
    input: Input<'a>,
    read: fn(&mut Input<'a>) -> Option<T>,
    left: u64,
    /// What the run repeats; none where each value stands for itself.
    same: Option<Option<T>>,
}

impl<'a, T: Clone> Runs<'a, T> {
    fn new(data: &'a [u8], read: fn(&mut Input<'a>) -> Option<T>) -> Runs<'a, T> {
        Runs { input: Input(data), read, left: 0, same: None }
    }

    // None for a column that is no such thing, Some(None) for a null.
    fn next(&mut self) -> Option<Option<T>> {
        while self.left == 0 {
            if self.input.0.is_empty() {
                return Some(None);
            }
            match self.input.sleb()? {
                0 => (self.left, self.same) = (self.input.uleb()?, Some(None)),
                n @ 1.. => {
                    (self.left, self.same) = (n.unsigned_abs(), Some(Some((self.read)(&mut self.input)?)))
                }
                n => (self.left, self.same) = (n.unsigned_abs(), None),
            }
        }
        self.left -= 1;
        match &self.same {
            Some(same) => Some(same.clone()),
            None => (self.read)(&mut self.input).map(Some),
        }
    }
}

/// A column of lengths, of what is false and true in turn; then what is false.
struct Flags<'a> {
    input: Input<'a>,
    left: u64,
    flag: bool,
}

impl<'a> Flags<'a> {
    fn new(data: &'a [u8]) -> Flags<'a> {
        Flags { input: Input(data), left: 0, flag: true }
    }

    fn next(&mut self) -> Option<bool> {
        while self.left == 0 {
            if self.input.0.is_empty() {
                return Some(false);
            }
            (self.left, self.flag) = (self.input.uleb()?, !self.flag);
        }
        self.left -= 1;
        Some(self.flag)
    }
}

#[derive(Default)]
struct Tally {
    count: u64,
    sum: u64,
    greatest: u64,
}

// Runs of unsigned integers, counted without being followed.
fn runs(data: &[u8]) -> Result<Tally, Refusal> {
    let mut input = Input(data);
    let mut tally = Tally::default();
    while !input.0.is_empty() {
        let n = input.sleb().ok_or(Refusal::Malformed)?;
        let mut add = |value: u64, times: u64| {
            tally.count = tally.count.saturating_add(times);
            tally.sum = tally.sum.saturating_add(value.saturating_mul(times));
            tally.greatest = tally.greatest.max(value);
        };
        match n {
            0 => add(0, input.uleb().ok_or(Refusal::Malformed)?),
            1.. => add(input.uleb().ok_or(Refusal::Malformed)?, n.unsigned_abs()),
            _ => {
                for _ in 0..n.unsigned_abs() {
                    add(input.uleb().ok_or(Refusal::Malformed)?, 1);
                }
            }
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_without_being_followed() {
        // Ten millions of 3, two literals, five nulls.
        let data = [0x80, 0xad, 0xe2, 0x04, 3, 0x7e, 7, 8, 0, 5];
        let tally = runs(&data).unwrap();
        assert_eq!((tally.count, tally.greatest), (10_000_007, 8));
        assert!(runs(&[0x81]).is_err());
    }

    #[test]
    fn runs_and_flags_are_followed_to_their_end() {
        let mut values = Runs::new(&[2, 3, 0x7e, 7, 8, 0, 1], Input::uleb);
        let read: Vec<_> = (0..7).map(|_| values.next().unwrap()).collect();
        assert_eq!(read, [Some(3), Some(3), Some(7), Some(8), None, None, None]);
        assert_eq!(Runs::new(&[0x7e, 7], Input::uleb).next(), Some(Some(7)));
        assert_eq!(Runs::new(&[2], Input::uleb).next(), None);
        let mut flags = Flags::new(&[1, 2]);
        let read: Vec<_> = (0..4).map(|_| flags.next().unwrap()).collect();
        assert_eq!(read, [false, true, true, false]);
    }
}
