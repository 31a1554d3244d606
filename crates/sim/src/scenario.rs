//! What a scenario says, in TOML.

use crate::unit::{Rate, Size, Time};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A world, what happens in it, and what must come true.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub title: String,
    /// What everything random follows from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How long it runs before anything is written and counted.
    #[serde(default)]
    pub(crate) settle: Time,
    /// How long they may take to agree after the last write.
    pub(crate) within: Time,
    /// How long they are left alone at the end, to see what that costs.
    #[serde(default)]
    pub(crate) idle: Time,
    /// Until something is durable.
    #[serde(default = "store_delay")]
    pub(crate) store_delay: Time,
    /// They met before, and know where the others stood then.
    #[serde(default)]
    pub(crate) remember: bool,
    /// Nodes without keys.
    #[serde(default)]
    pub(crate) blind: Vec<usize>,
    /// Links whose bytes are told apart: from, to.
    #[serde(default)]
    pub(crate) watch: Vec<(usize, usize)>,
    #[serde(default)]
    pub(crate) config: Tuning,
    #[serde(default)]
    pub(crate) shape: Shape,
    /// The links of the shape.
    #[serde(default)]
    pub(crate) link: LinkSpec,
    #[serde(default)]
    pub(crate) links: Vec<Between>,
    #[serde(default)]
    pub(crate) history: Vec<History>,
    #[serde(default)]
    pub(crate) writes: Vec<Writes>,
    #[serde(default)]
    pub(crate) crashes: Vec<Crashes>,
    #[serde(default)]
    pub(crate) partitions: Vec<Partition>,
    #[serde(default)]
    pub(crate) forks: Vec<Fork>,
    #[serde(default)]
    pub(crate) chunks: Vec<Chunks>,
    #[serde(default)]
    pub(crate) hostile: Vec<Hostile>,
    /// Figures that must not be above.
    #[serde(default)]
    pub(crate) at_most: BTreeMap<String, f64>,
    /// Figures that must not be below.
    #[serde(default)]
    pub(crate) at_least: BTreeMap<String, f64>,
}

fn store_delay() -> Time {
    Time(4)
}

/// Where a node is set otherwise than by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tuning {
    pub(crate) hello_period: Option<Time>,
    pub(crate) jitter: Option<Time>,
    pub(crate) patience: Option<Time>,
    pub(crate) flight: Option<Size>,
}

/// Who is connected with whom from the start.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub(crate) enum Shape {
    #[default]
    None,
    Mesh,
    Line,
    Ring,
    /// A ring, and random links until the nodes have so many on the average.
    Random {
        degree: usize,
    },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkSpec {
    pub(crate) latency: Time,
    #[serde(default)]
    pub(crate) loss: f64,
    pub(crate) rate: Rate,
}

impl Default for LinkSpec {
    fn default() -> LinkSpec {
        LinkSpec { latency: Time(1), loss: 0.0, rate: Rate(50_000) }
    }
}

/// One link, for those that are not of the shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Between {
    pub(crate) between: (usize, usize),
    pub(crate) latency: Time,
    #[serde(default)]
    pub(crate) loss: f64,
    pub(crate) rate: Rate,
    /// What has left arrives, even if contact ends meanwhile.
    #[serde(default)]
    pub(crate) radio: bool,
    /// Nothing comes back.
    #[serde(default)]
    pub(crate) one_way: bool,
    /// When it is there; always, if not given.
    pub(crate) contact: Option<Contact>,
    /// How it breaks.
    pub(crate) cuts: Option<Cuts>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contact {
    #[serde(default)]
    pub(crate) first: Time,
    pub(crate) open: Time,
    pub(crate) every: Time,
}

/// The link breaks so many times, each at a random byte; the mean distance is what crosses it
/// divided by their number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cuts {
    pub(crate) times: u64,
    pub(crate) over: Size,
    pub(crate) pause: Time,
}

/// What was written before anything happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// Entries of each log.
    pub(crate) entries: usize,
    pub(crate) size: Size,
    /// Who wrote it; otherwise devices that are nowhere here did.
    pub(crate) by: Option<Vec<usize>>,
    /// How many of those.
    #[serde(default = "one")]
    pub(crate) logs: usize,
    /// Who else has it.
    #[serde(default)]
    pub(crate) at: Vec<usize>,
    /// Whether it came after the nodes met last, if they remember.
    #[serde(default)]
    pub(crate) since: bool,
}

fn one() -> usize {
    1
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Writes {
    /// In turn; anybody, if not given.
    pub(crate) by: Option<Vec<usize>>,
    pub(crate) count: usize,
    pub(crate) size: Size,
    #[serde(default)]
    pub(crate) first: Time,
    #[serde(default)]
    pub(crate) every: Time,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crashes {
    /// In turn; anybody, if not given.
    pub(crate) of: Option<Vec<usize>>,
    #[serde(default = "one")]
    pub(crate) count: usize,
    pub(crate) first: Time,
    #[serde(default)]
    pub(crate) every: Time,
    pub(crate) down: Time,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partition {
    pub(crate) sides: Vec<Vec<usize>>,
    pub(crate) from: Time,
    pub(crate) until: Time,
}

/// One log with two branches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fork {
    pub(crate) by: usize,
    /// Who has the one branch, of `trunk` entries.
    pub(crate) trunk: usize,
    pub(crate) trunk_at: Vec<usize>,
    /// Who has the other, which leaves the first after `after` and is `branch` long.
    pub(crate) after: usize,
    pub(crate) branch: usize,
    pub(crate) branch_at: Vec<usize>,
    pub(crate) size: Size,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chunks {
    pub(crate) count: usize,
    pub(crate) size: Size,
    /// Who has them: each of them all, or one of them each if they are `spread`.
    pub(crate) at: Vec<usize>,
    #[serde(default)]
    pub(crate) spread: bool,
    pub(crate) wanted_by: Vec<usize>,
    #[serde(default)]
    pub(crate) when: Time,
}

/// A node that is the scenario's: it answers nothing, and says this.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hostile {
    pub(crate) node: usize,
    pub(crate) says: Saying,
    pub(crate) count: usize,
    #[serde(default)]
    pub(crate) first: Time,
    pub(crate) every: Time,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Saying {
    /// Logs that reach to 2^60.
    Frontiers,
    /// Digests of nothing.
    Hellos,
    /// Entries whose predecessors exist nowhere.
    Gaps,
    /// The same few entries, asked for over and over.
    Wants,
    /// Bytes that are no entry.
    Junk,
    /// Entries that are no good.
    Invalid,
}

impl Scenario {
    /// Reads a description; of its short form, if that is asked for: what stands under `[short]` takes the
    /// place of what stands under the same name elsewhere.
    ///
    /// # Errors
    /// Where the text is no scenario: which line, and why.
    pub fn read(text: &str, short: bool) -> Result<Scenario, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        if let Some(toml::Value::Table(other)) = table.remove("short")
            && short
        {
            lay_over(&mut table, other);
        }
        let scenario: Scenario = table.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let links = self.links.iter().flat_map(|l| [l.between.0, l.between.1]);
        let named = links
            .chain(self.blind.iter().copied())
            .chain(self.watch.iter().flat_map(|(a, b)| [*a, *b]))
            .chain(self.history.iter().flat_map(|h| h.at.iter().chain(h.by.iter().flatten()).copied()))
            .chain(self.writes.iter().flat_map(|w| w.by.iter().flatten().copied()))
            .chain(self.crashes.iter().flat_map(|c| c.of.iter().flatten().copied()))
            .chain(self.partitions.iter().flat_map(|p| p.sides.iter().flatten().copied()))
            .chain(self.forks.iter().flat_map(|f| f.trunk_at.iter().chain(&f.branch_at).copied()))
            .chain(self.chunks.iter().flat_map(|c| c.at.iter().chain(&c.wanted_by).copied()))
            .chain(self.hostile.iter().map(|h| h.node));
        match named.max() {
            Some(most) if most >= self.nodes => {
                Err(format!("node {most} is named, and there are {} (from 0)", self.nodes))
            }
            _ if self.nodes == 0 => Err("a world without nodes".into()),
            _ => Ok(()),
        }
    }
}

fn lay_over(table: &mut toml::Table, other: toml::Table) {
    for (key, value) in other {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title = 'x'\nseed = 1\nnodes = 4\nwithin = '1 min'\n[shape]\nkind = 'mesh'\n[at_most]\na = 1\nb = 2\n[short]\nnodes = 2\n[short.at_most]\nb = 3\n";

    #[test]
    fn the_short_form_takes_the_place_of_what_it_names() {
        let (long, short) = (Scenario::read(TEXT, false).unwrap(), Scenario::read(TEXT, true).unwrap());
        assert_eq!((long.nodes, short.nodes), (4, 2));
        assert_eq!((long.at_most["b"], short.at_most["a"], short.at_most["b"]), (2.0, 1.0, 3.0));
    }

    #[test]
    fn what_is_no_scenario_is_refused_with_a_reason() {
        let why = |text: &str| Scenario::read(text, false).unwrap_err();
        assert!(why("title = 'x'").contains("seed"));
        assert!(why(&format!("{TEXT}\n[nonsense]\n")).contains("nonsense"));
        assert!(why(&format!("blind = [9]\n{TEXT}")).contains("node 9"));
        assert!(why(&TEXT.replace("1 min", "1 eon")).contains("eon"));
    }
}
