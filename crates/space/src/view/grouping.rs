//! Who shares a name (rule 5): the doors of one room under one label become the names that it shows.

use super::door::{self, Age, Target};
use super::naming;
use super::shown::{BornKind, How, Shown};
use base::{DoorId, Hash};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A door of the group, with what the view knows of its target.
pub(super) struct Bearer {
    /// Since when it has the name: its own age, or that of the first of those whose name it took over.
    pub(super) age: Age,
    /// The first of those.
    pub(super) eldest: DoorId,
    pub(super) door: DoorId,
    pub(super) target: Target,
    pub(super) how: How,
    pub(super) returned: bool,
    /// What an unedited file is: equal ones show once.
    pub(super) unedited: Option<(BornKind, Hash)>,
    /// Other versions of the target.
    pub(super) versions: Vec<Hash>,
}

// Doors that act together.
struct Unit {
    bearers: Vec<Bearer>,
}

impl Unit {
    fn first(&self) -> &Bearer {
        &self.bearers[0]
    }

    // The door the unit stands for: of the earliest door's target, the place before links.
    fn main(&self) -> &Bearer {
        let target = self.first().target;
        self.bearers.iter().find(|b| b.target == target && b.how != How::Link).unwrap_or(self.first())
    }

    fn shown(&self, name: &str, version: Option<Hash>) -> Shown {
        let main = self.main();
        let doors =
            if version.is_none() { self.bearers.iter().map(|b| b.door).collect() } else { Arc::from([]) };
        Shown {
            name: Arc::from(name),
            door: main.door,
            doors,
            target: main.target,
            how: main.how,
            returned: main.returned,
            version,
        }
    }
}

/// The names of a group. `taken` says which names the room has plain.
pub(super) fn names(label: &str, bearers: Vec<Bearer>, taken: impl Fn(&str) -> bool) -> Vec<Shown> {
    let units = units(bearers);
    let mut out: Vec<Shown> = units.first().map(|unit| unit.shown(label, None)).into_iter().collect();
    let mut digits = Vec::new();
    let mut whose = Vec::new();
    for (n, unit) in units.iter().enumerate() {
        let door = unit.first().eldest.hex();
        if n > 0 {
            whose.push((unit, None));
            digits.push(door.clone());
        }
        for version in &unit.main().versions {
            whose.push((unit, Some(*version)));
            // Two files of one name may have one version: the door tells them apart.
            digits.push(format!("{version}{door}"));
        }
    }
    let named = naming::suffixed(label, &digits, taken);
    out.extend(named.iter().zip(whose).map(|(name, (unit, version))| unit.shown(name, version)));
    out
}

// The earliest first; each one's doors the earliest first.
fn units(mut bearers: Vec<Bearer>) -> Vec<Unit> {
    bearers.sort_by_key(|b| b.age);
    let mut units: Vec<Unit> = Vec::new();
    let mut by_target: BTreeMap<Target, usize> = BTreeMap::new();
    let mut by_content: BTreeMap<(BornKind, Hash), usize> = BTreeMap::new();
    for bearer in bearers {
        let same = by_target.get(&bearer.target).or_else(|| by_content.get(&bearer.unedited?)).copied();
        let at = same.unwrap_or(units.len());
        by_target.insert(bearer.target, at);
        if let Some(content) = bearer.unedited {
            by_content.insert(content, at);
        }
        match units.get_mut(at) {
            Some(unit) => unit.bearers.push(bearer),
            None => units.push(Unit { bearers: vec![bearer] }),
        }
    }
    units
}

/// What is equal between two files that show once: never true of rooms or of edited files.
pub(super) fn unedited(kind: BornKind, content: Option<Hash>, edited: bool) -> Option<(BornKind, Hash)> {
    if edited || kind == BornKind::Room { None } else { content.map(|hash| (kind, hash)) }
}

/// The label of a door: how its name is shown where nobody else wants it.
pub(super) fn label(door: &door::Door, guarded: Option<&str>) -> Arc<str> {
    Arc::from(match guarded.filter(|name| name.as_bytes() == door.name) {
        Some(name) => base::name::disguised(name),
        None => base::name::shown(&door.name),
    })
}
