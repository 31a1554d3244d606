//! Several nodes without a network between them: entries are handed over by the test, in any order
//! and amount.

mod alone;
mod fetching;
mod incarnations;
mod mended;
mod reclaimed;
mod replicas;
mod retraced;
mod rules;
mod sealing;
mod sharing;
mod together;

pub(crate) use replicas::Replicas;
