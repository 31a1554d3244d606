//! Control files: names that are reachable and never listed, text out. A table, so that a later file is one row.

use crate::error::{Result, not_found};
use node::Node;

/// What a control name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Control {
    /// `.chorus` in home's root.
    Chorus,
    /// A file of the table, by its row.
    File(usize),
}

struct Row {
    name: &'static str,
    text: fn(&Node) -> String,
}

const FILES: &[Row] = &[
    Row { name: "status", text: Node::status_text },
    Row { name: "map", text: Node::map_text },
    Row { name: "map.dot", text: Node::map_dot },
];

impl Control {
    /// The name below `.chorus`.
    pub(crate) fn find(name: &[u8]) -> Result<Control> {
        FILES.iter().position(|row| row.name.as_bytes() == name).map(Control::File).ok_or_else(not_found)
    }

    /// The files, with their names.
    pub(crate) fn all() -> impl Iterator<Item = (&'static str, Control)> {
        FILES.iter().enumerate().map(|(n, row)| (row.name, Control::File(n)))
    }

    /// Whether it is a room.
    pub(crate) fn is_room(self) -> bool {
        self == Control::Chorus
    }

    /// The number a face knows it by: below those of all objects.
    pub(crate) fn ino(self) -> u64 {
        match self {
            Control::Chorus => 2,
            Control::File(n) => 3 + n as u64,
        }
    }

    /// What reading it gives now.
    pub(crate) fn text(self, node: &Node) -> String {
        match self {
            Control::Chorus => String::new(),
            Control::File(n) => FILES.get(n).map(|row| (row.text)(node)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_reachable_by_name() {
        for (name, file) in Control::all() {
            assert_eq!(Control::find(name.as_bytes()).unwrap(), file);
            assert!(!file.is_room());
        }
        assert!(Control::find(b"key").is_err());
        assert_ne!(Control::Chorus.ino(), Control::File(0).ino());
    }
}
