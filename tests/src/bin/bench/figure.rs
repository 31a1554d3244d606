//! Medians, and the table of what was reached.

use std::time::Duration;

/// The lines of the table.
#[derive(Default)]
pub(crate) struct Figures(Vec<[String; 3]>);

impl Figures {
    /// Adds a line: what, how much, what is asked for.
    pub(crate) fn add(&mut self, what: &str, found: String, asked: &str) {
        eprintln!("  {what}: {found}");
        self.0.push([what.into(), found, asked.into()]);
    }

    /// Prints them all.
    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\n{:<82}   asked for", "two nodes on one machine, medians");
        for [what, found, asked] in &self.0 {
            println!("{what:<58} {found:>22}   {asked}");
        }
    }
}

/// The middle one.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    share(values, 50)
}

/// The one below which `percent` of them are.
///
/// # Panics
/// If there is none.
pub(crate) fn share<T: PartialOrd + Copy>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Milliseconds with one digit more.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Seconds with two digits.
pub(crate) fn s(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Whether a part is to be measured.
pub(crate) fn wanted(part: &str) -> bool {
    std::env::var("BENCH_ONLY").map_or(true, |only| only.split(',').any(|word| word == part))
}
