//! Figures: what a scenario cost, beside what it cost when that was last recorded.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What was found, in the order in which it is printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        // As many digits as are recorded, so that what was read back compares equal.
        self.0.push((name.into(), (value * 1000.0).round() / 1000.0));
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// What is over or under a bound, in words; an unknown name is, too.
    pub fn broken(&self, at_most: &BTreeMap<String, f64>, at_least: &BTreeMap<String, f64>) -> Vec<String> {
        let mut broken = Vec::new();
        for (bounds, word) in [(at_most, "at most"), (at_least, "at least")] {
            for (name, bound) in bounds {
                match self.get(name) {
                    None => broken.push(format!("there is no figure `{name}`")),
                    Some(value) if (word == "at most") == (value <= *bound) || value == *bound => {}
                    Some(value) => broken.push(format!(
                        "{name} is {}, {word} {} was asked for",
                        number(value),
                        number(*bound)
                    )),
                }
            }
        }
        broken
    }
}

/// Figures by scenario, as they are kept.
pub type Recorded = BTreeMap<String, BTreeMap<String, f64>>;

/// Reads what was recorded.
///
/// # Errors
/// Where the text is no such record.
pub fn read_recorded(text: &str) -> Result<Recorded, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

/// What is to be recorded: figures that were found take the place of older ones, scenario by scenario.
pub fn write_recorded(old: &Recorded, found: &BTreeMap<String, Figures>) -> String {
    let mut all: BTreeMap<&str, Vec<(String, f64)>> = old
        .iter()
        .map(|(name, figures)| (name.as_str(), figures.iter().map(|(k, v)| (k.clone(), *v)).collect()))
        .collect();
    for (name, figures) in found {
        all.insert(name, figures.0.clone());
    }
    let mut text =
        String::from("# What each scenario cost when it was last recorded: `make sim RECORD=1`.\n");
    for (name, figures) in all {
        let _ = write!(text, "\n[{name}]\n");
        for (figure, value) in figures {
            let _ = writeln!(text, "{figure} = {}", plain(value));
        }
    }
    text
}

/// The table of one scenario: each figure, what it was, and how it moved.
pub fn compare(figures: &Figures, recorded: Option<&BTreeMap<String, f64>>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  {:<38} {:>14} {:>14}   moved", "", "now", "recorded");
    for (name, value) in &figures.0 {
        let before = recorded.and_then(|all| all.get(name));
        let (was, moved) = match before {
            None => ("-".to_owned(), if recorded.is_some() { "new".to_owned() } else { String::new() }),
            Some(before) if before == value => (number(*before), String::new()),
            Some(before) if *before == 0.0 => (number(*before), "from nothing".to_owned()),
            Some(before) => (number(*before), format!("{:+.1} %", (value / before - 1.0) * 100.0)),
        };
        let _ = writeln!(text, "  {:<38} {:>14} {was:>14}   {moved}", name.replace('_', " "), number(*value));
    }
    let gone = recorded.into_iter().flatten().filter(|(name, _)| figures.get(name).is_none());
    for (name, before) in gone {
        let _ = writeln!(text, "  {:<38} {:>14} {:>14}   gone", name.replace('_', " "), "-", number(*before));
    }
    text
}

/// The least, the mean and the most of each figure over several plays.
pub fn spread(all: &[Figures]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  {:<38} {:>14} {:>14} {:>14}", "", "least", "mean", "most");
    for (name, _) in all.first().into_iter().flat_map(|figures| &figures.0) {
        let values: Vec<f64> = all.iter().filter_map(|figures| figures.get(name)).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (name, least, mean, most) = (name.replace('_', " "), number(least), number(mean), number(most));
        let _ = writeln!(text, "  {name:<38} {least:>14} {mean:>14} {most:>14}");
    }
    text
}

fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    if text.ends_with(".000") { text.trim_end_matches('0').to_owned() + "0" } else { text }
}

fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 1000.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_reads_back_and_only_what_moved_is_marked() {
        let mut figures = Figures::default();
        figures.add("bytes", 1_234_567.0);
        figures.add("share", 0.987_654);
        let text = write_recorded(&Recorded::new(), &BTreeMap::from([("a".to_owned(), figures.clone())]));
        let recorded = read_recorded(&text).unwrap();
        assert_eq!(recorded["a"]["share"], 0.988);
        assert!(!compare(&figures, recorded.get("a")).contains('%'));
        let mut other = Figures::default();
        other.add("bytes", 2_469_134.0);
        other.add("fresh", 1.0);
        let table = compare(&other, recorded.get("a"));
        assert!(table.contains("2,469,134      1,234,567   +100.0 %"), "{table}");
        assert!(table.contains("new") && table.contains("gone"), "{table}");
    }

    #[test]
    fn several_plays_are_told_by_their_least_mean_and_most() {
        let play = |value: f64| {
            let mut figures = Figures::default();
            figures.add("bytes", value);
            figures
        };
        let table = spread(&[play(30.0), play(10.0), play(20.0)]);
        assert!(
            table.contains(
                "bytes                                              10             20             30"
            ),
            "{table}"
        );
    }

    #[test]
    fn a_bound_that_is_broken_is_named_and_one_of_nothing_too() {
        let mut figures = Figures::default();
        figures.add("duplicates", 2.5);
        let bound = |name: &str, value| BTreeMap::from([(name.to_owned(), value)]);
        let none = BTreeMap::new();
        assert!(figures.broken(&bound("duplicates", 2.5), &bound("duplicates", 2.5)).is_empty());
        assert_eq!(figures.broken(&bound("duplicates", 2.0), &none).len(), 1);
        assert_eq!(figures.broken(&none, &bound("duplicates", 3.0)).len(), 1);
        assert_eq!(figures.broken(&bound("duplicatse", 9.0), &none).len(), 1);
    }
}
