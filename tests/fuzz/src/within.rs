//! Decoders that are their crates' own affair, built in from the same files.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../crates/net/src/answer.rs"]
pub(crate) mod answer;
#[path = "../../../crates/net/src/frame.rs"]
pub(crate) mod frame;
#[path = "../../../crates/node/src/bundle/head.rs"]
pub(crate) mod head;
#[path = "../../../crates/node/src/record.rs"]
pub(crate) mod index;
#[path = "../../../crates/cli/src/control/line.rs"]
pub(crate) mod line;
#[path = "../../../crates/node/src/dtn/piece.rs"]
pub(crate) mod piece;
#[path = "../../../crates/store/src/record.rs"]
pub(crate) mod record;
#[path = "../../../crates/store/src/stamp.rs"]
pub(crate) mod stamp;
