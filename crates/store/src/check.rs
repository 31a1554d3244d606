//! The quick check: every record intact, every value complete, nothing missing, nothing left over.

use crate::Error;
use crate::engine::Engine;
use crate::range::after_prefix;
use crate::record::{self, Head, Meta, Pieces};

// More than this many faults say nothing that the first did not.
const FAULTS: usize = 64;

/// What the quick check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Keys looked at.
    pub keys: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// What is wrong, a sentence each, at most 64; empty where all is well.
    pub faults: Vec<String>,
}

impl Check {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }
}

/// Looks at every record; `meta` says what there should be. Answers also what there is.
pub(crate) fn run(engine: &Engine, meta: &Meta) -> Result<(Check, Meta), Error> {
    let mut check = Check::default();
    let mut found = Meta { seq: meta.seq, ..Meta::default() };
    let mut pieces = 0;
    let prefix = record::head_key(&[]);
    let mut iter = engine.iter(prefix.clone(), after_prefix(&prefix))?;
    while let Some(step) = engine.step(|| iter.next()) {
        let (key, head) = step?;
        check.keys += 1;
        found.add(&head);
        match record::read_head(&key, &head) {
            Some(Head::Inline(value)) => check.bytes += value.len() as u64,
            Some(Head::Pieces(at)) => {
                check.bytes += u64::from(at.len);
                pieces += u64::from(at.count());
                check_pieces(engine, &key, &at, &mut check)?;
            }
            None => check.fault(format!("the record {} is damaged", name(&key))),
        }
    }
    let (there, newest) = count_pieces(engine)?;
    // A piece of a batch after the last says that the record of the last batch is too old.
    found.seq = found.seq.max(newest);
    if there > pieces && check.is_ok() {
        check.fault(format!("{} pieces belong to no value", there - pieces));
    }
    if found != *meta {
        check.fault(format!(
            "{} records where {} were written, or others than those",
            found.heads, meta.heads
        ));
    }
    Ok((check, found))
}

fn check_pieces(engine: &Engine, key: &[u8], at: &Pieces, check: &mut Check) -> Result<(), Error> {
    for n in 0..at.count() {
        let piece_key = at.key(n);
        let record = engine.get(&piece_key)?;
        let intact = record.as_ref().and_then(|r| record::read_piece(&piece_key, r)).map(<[u8]>::len);
        if intact != Some(at.len_of(n)) {
            check.fault(format!("piece {n} of the record {} is missing or damaged", name(key)));
            return Ok(());
        }
    }
    Ok(())
}

// How many pieces there are, and the newest batch that wrote one.
fn count_pieces(engine: &Engine) -> Result<(u64, u64), Error> {
    let mut iter = engine.iter(record::PIECES.to_vec(), after_prefix(record::PIECES))?;
    let (mut n, mut newest) = (0, 0);
    while let Some(step) = engine.step(|| iter.next()) {
        newest = record::piece_seq(&step?.0).unwrap_or(newest);
        n += 1;
    }
    Ok((n, newest))
}

/// A key for a message: readable where it is text, shortened where it is long.
pub(crate) fn name(key: &[u8]) -> String {
    let key = record::caller_key(key);
    let shown: String = key.iter().take(24).map(|b| b.escape_ascii().to_string()).collect();
    if key.len() > 24 { format!("{shown}…") } else { shown }
}
