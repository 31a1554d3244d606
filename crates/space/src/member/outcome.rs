//! What became of an entry.

use super::error::Refusal;
use base::{DeviceId, Hash, SpaceTag};

/// What something waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Membership operations that are not here, sorted.
    Entries(Vec<Hash>),
    /// A statement that certifies this device.
    Device(DeviceId),
    /// The first statement of the person whose log goes by this tag.
    Person(SpaceTag),
    /// A later version of the program.
    Version,
}

/// What became of a statement or an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has its effect.
    Counts,
    /// It is kept, and has no effect before this has come.
    Waits(Missing),
    /// It is understood or from a later version, kept and passed on, and takes effect in a later
    /// version of the program; status shows it.
    Later,
    /// It has no effect. It is kept, within bounds, only while what others state may change that.
    Refused(Refusal),
}

/// Whether an entry of content counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Counts,
    /// Nobody can say before this has come.
    Waits(Missing),
    /// It does not.
    Refused(Refusal),
}
