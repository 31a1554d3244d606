//! chorus: two people, two mounts, a room.

use crate::pair::{Kind, Pair};
use harness::namespace::{ADDRESSES, Cable};
use harness::{Person, befriend};
use std::path::PathBuf;

/// What is at home here.
pub(crate) const KIND: Kind = Kind { name: "chorus", missing, make, saves: 100, when_told: false };

struct Room {
    dirs: [PathBuf; 2],
    _people: [Person; 2],
}

fn missing() -> Option<String> {
    None
}

fn make(cable: &Cable) -> anyhow::Result<Box<dyn Pair>> {
    let person = |name: &str, n: usize| Person::in_namespace(name, &cable.ends[n], ADDRESSES[n]);
    let (mut ann, mut bob) = (person("ann", 0), person("bob", 1));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let dirs = [ann.path("garden"), bob.path("garden")];
    Ok(Box::new(Room { dirs, _people: [ann, bob] }))
}

impl Pair for Room {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }
}
