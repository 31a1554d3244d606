//! The walkable tree: what a walk, an open and a save mean, for every face.
//!
//! A face (the mount, 9P) translates its protocol's words to those of [`Tree`] and back, and holds no rules of its
//! own. The tree holds what only exists while files are open: numbers for names, working copies, what each process
//! last read, and from that which version a save is an edit of. It writes nothing itself: edits go to the node.
//!
//! The promise it keeps: a save never loses a friend's words, and never doubles one's own.

mod answer;
mod attr;
mod backup;
mod caching;
mod change;
mod content;
mod control;
mod copy;
mod departure;
mod error;
mod handle;
mod idle;
mod inode;
mod listing;
mod memory;
mod open;
mod pending;
mod process;
mod range;
mod remember;
mod replay;
mod saving;
mod scratch;
mod settle;
mod symlink;
mod tree;
mod watch;

pub use attr::Changes;
pub use error::{Error, Result};
pub use handle::{Caching, How, Opened};
pub use inode::ROOT;
pub use listing::{Entry, OpenedRoom};
pub use node::{Owner, Special, now};
pub use process::Caller;
pub use range::Allocate;
pub use replay::{Act, Replay, Replays, Spot};
pub use scratch::is_scratch;
pub use symlink::is_contained;
pub use tree::{Sort, Stat, Tree};
pub use watch::{Invalidate, News, Watch, WatchEnd};
