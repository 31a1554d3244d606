//! A made-up world of nodes around the `sync` machine: links with latency, loss, bandwidth and
//! contact, stores that are durable a moment later, crashes, cuts at a byte, peers that lie.
//!
//! Everything follows from a seed: the same seed gives the same trace, to the last byte of the last
//! envelope. [`World`] is for tests in Rust; [`Scenario`] reads a description in TOML, and `play`
//! turns it into [`Figures`], which are compared with the last that were recorded. Nothing here
//! reads a file or a clock; that is left to the program.

mod audit;
mod expect;
mod figure;
mod gossip;
mod hostile;
mod node;
mod play;
mod run;
mod scenario;
mod setup;
mod unit;
mod wire;
mod world;

pub use audit::Audit;
pub use figure::{Figures, Recorded, compare, read_recorded, spread, write_recorded};
pub use node::{Chunk, SimNode};
pub use play::{Played, play};
pub use scenario::Scenario;
pub use wire::Link;
pub use world::{Counts, TAG, World, all};
