//! FUSE: translates the kernel's words to the tree's, and nothing else.
//!
//! What a name, an open or a save means is the tree's to say; what is here is the translation, the mountpoint's
//! hygiene, the one thread that tells the kernel what it must no longer believe, and the one that repeats friends'
//! changes for those who watch.

mod errno;
mod error;
mod face;
mod filesystem;
mod hand;
mod mountpoint;
mod pulse;
mod replay;
mod session;
mod through;
mod translate;
mod users;
mod waiting;

pub use error::Error;
pub use mountpoint::dead;
pub use pulse::Pulse;
pub use session::{Ended, Mount, MountOptions};
pub use users::User;
