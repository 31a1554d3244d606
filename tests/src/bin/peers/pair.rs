//! What all of them are: two directories that are kept alike.

use harness::cost::Cost;
use harness::namespace::Cable;
use std::path::PathBuf;

/// A program that can keep two directories alike.
pub(crate) struct Kind {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Why it cannot be had, if so.
    pub(crate) missing: fn() -> Option<String>,
    /// Makes a pair on both ends of a cable.
    pub(crate) make: fn(&Cable) -> anyhow::Result<Box<dyn Pair>>,
    /// Saves that are measured in a round: fewer where each takes long.
    pub(crate) saves: usize,
    /// Whether it only works when it is told to, as opposed to whenever something changes.
    pub(crate) when_told: bool,
}

/// Two directories that are kept alike, and what does so, which ends with this.
pub(crate) trait Pair {
    /// The two directories.
    fn dirs(&self) -> &[PathBuf; 2];

    /// Tells that the first has changed, where somebody must tell.
    fn carry(&mut self, _: &mut Cost) -> anyhow::Result<()> {
        Ok(())
    }

    /// Tells that both may have changed and reach each other again.
    fn meet(&mut self, cost: &mut Cost) -> anyhow::Result<()> {
        self.carry(cost)
    }
}
