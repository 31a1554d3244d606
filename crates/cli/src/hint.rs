//! What to do next, for every kind of error: the one map the program prints from.

use base::Kind;

/// One line for a person who just met this kind of error.
pub(crate) fn of(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "look for the right name with `chorus status`, `chorus peer list` or `ls`",
        Kind::Exists => "choose another name, or remove what has this one first",
        Kind::NotRoom => "name a room (a directory)",
        Kind::IsRoom => "name a file, not a room",
        Kind::NotEmpty => "move what is inside elsewhere first, or name another",
        Kind::Denied => "`chorus members PATH` shows who may do what; ask an admin of the room for a role",
        Kind::ReadOnly => "you may read here but not write; copy it to a room of your own to change it",
        Kind::Invalid => "check what was given; `chorus help VERB` shows what is meant",
        Kind::NameTooLong => "use a name of at most 255 bytes",
        Kind::TooLarge => "it is over a limit; split it",
        Kind::NoSpace => {
            "make room on the disk that holds the home and try again; nothing saved is lost, and a node that runs goes on by itself"
        }
        Kind::CrossSpace => {
            "copy it and remove the original; what is shared with others cannot be moved over"
        }
        Kind::Busy => "wait until it is no longer in use, or stop what uses it, and try again",
        Kind::Executing => "end the program first, or write the new one beside it and move it over",
        Kind::Stale => "it changed meanwhile; look again and repeat",
        Kind::Unsupported => "a newer chorus made this; upgrade, nothing of it is lost",
        Kind::Corrupt => {
            "ask for it again if it was sent to you; if it is your store, stop the node and run `chorus fsck`"
        }
        Kind::Poisoned => "the disk failed to keep a write; check it, then `chorus down` and `chorus up`",
        Kind::Unreachable => {
            "`chorus doctor` says who can be reached; it arrives when a friend who has it is online"
        }
        Kind::Interrupted => "nothing was lost; try again",
        Kind::Running => "`chorus status` shows the running node, `chorus down` stops it",
        Kind::NoAttribute => "`getfattr -d FILE` lists the attributes there are",
        Kind::Loop => "the rooms or symlinks lead in a circle; name the end of the way directly",
        Kind::Io => "`chorus doctor` checks the machine; nothing that was saved is lost",
    }
}
