//! What was found, and the table of it.

use crate::KINDS;
use crate::row::Sizes;
use std::collections::BTreeMap;

pub(crate) const SAVE: &str = "save";
pub(crate) const CHANGED: &str = "changed";
pub(crate) const INSERTED: &str = "inserted";
pub(crate) const IDLE: &str = "idle";
pub(crate) const APART: &str = "apart";
pub(crate) const SMALL: &str = "small";
pub(crate) const SMALL_AFTER: &str = "small after";
pub(crate) const SMALL_WIRE: &str = "small wire";
pub(crate) const SMALL_CPU: &str = "small cpu";
pub(crate) const LARGE: &str = "large";
pub(crate) const LARGE_RATE: &str = "large rate";
pub(crate) const LARGE_WIRE: &str = "large wire";
pub(crate) const LARGE_CPU: &str = "large cpu";
pub(crate) const MEMORY_A: &str = "memory a";
pub(crate) const MEMORY_B: &str = "memory b";

/// Figures and words, by who and what.
#[derive(Default)]
pub(crate) struct Found {
    figures: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    words: BTreeMap<(&'static str, &'static str), String>,
    failed: Vec<String>,
    skipped: Vec<(&'static str, String)>,
}

impl Found {
    /// One more figure.
    pub(crate) fn add(&mut self, kind: &'static str, what: &'static str, figure: f64) {
        if what != SAVE {
            eprintln!("  {what}: {figure:.1}");
        }
        self.figures.entry((kind, what)).or_default().push(figure);
    }

    /// Says how the saves were so far.
    pub(crate) fn saves(&self, kind: &'static str) {
        if let Some(saves) = self.figures.get(&(kind, SAVE)) {
            eprintln!("  {SAVE}: {:.1} ({:.1}), {} of them", share(saves, 50), share(saves, 99), saves.len());
        }
    }

    /// What cannot be counted.
    pub(crate) fn say(&mut self, kind: &'static str, what: &'static str, words: String) {
        eprintln!("  {what}: {words}");
        self.words.insert((kind, what), words);
    }

    /// Somebody did not do what was asked for.
    pub(crate) fn fail(&mut self, kind: &str, what: &str, why: &anyhow::Error) {
        eprintln!("  {what} failed: {why:#}");
        self.failed.push(format!("{kind}: {what} failed: {why:#}"));
    }

    /// Somebody takes no part.
    pub(crate) fn skip(&mut self, kind: &'static str, why: String) {
        eprintln!("{kind} is skipped: {why}");
        self.skipped.push((kind, why));
    }

    /// Prints the table: a column each, as Markdown.
    pub(crate) fn print(&self, sizes: &Sizes) {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).filter(|kind| self.knows(kind)).collect();
        println!("\n| medians | {} |", kinds.join(" | "));
        println!("|---|{}", "---|".repeat(kinds.len()));
        let (files, mib) = (sizes.files, sizes.mib);
        let row = |what: &str, cell: &dyn Fn(&str) -> Option<String>| {
            let cells: Vec<String> =
                kinds.iter().map(|kind| cell(kind).unwrap_or_else(|| "–".into())).collect();
            println!("| {what} | {} |", cells.join(" | "));
        };
        row("small file saved on A, seen on B: median (p99), ms", &|kind| {
            let saves = self.figures.get(&key(kind, SAVE)?)?;
            Some(format!("{:.1} ({:.1})", share(saves, 50), share(saves, 99)))
        });
        let number = |what: &'static str, digits: usize| {
            move |kind: &str| Some(format!("{:.digits$}", share(self.figures.get(&key(kind, what)?)?, 50)))
        };
        row(&format!("{files} files of 1 KiB, s"), &number(SMALL, 2));
        row("  of that, after the copy on A had ended, s", &number(SMALL_AFTER, 2));
        row("  wire for that, MB", &number(SMALL_WIRE, 2));
        row("  processors for that, s", &number(SMALL_CPU, 1));
        row(&format!("{mib} MiB in one file, until read and compared, s"), &number(LARGE, 2));
        row("  MB/s", &number(LARGE_RATE, 0));
        row("  wire for that, MB", &number(LARGE_WIRE, 1));
        row("  processors for that, s", &number(LARGE_CPU, 1));
        row("wire, one line changed in 1 MB of text, B", &number(CHANGED, 0));
        row("wire, one line inserted, B", &number(INSERTED, 0));
        row("wire, idle, B a minute", &|kind| {
            let when_told = KINDS.iter().any(|known| known.name == kind && known.when_told);
            if when_told { Some("runs when told".into()) } else { number(IDLE, 0)(kind) }
        });
        row("the same line edited on both sides, apart", &|kind| self.words.get(&key(kind, APART)?).cloned());
        row("memory at most, A / B, MiB", &|kind| {
            Some(format!("{} / {}", number(MEMORY_A, 0)(kind)?, number(MEMORY_B, 0)(kind)?))
        });
        println!(
            "\nwire: what the cable's interface counted, both ways, headers too; memory: over all rows."
        );
        println!(
            "rsync and Unison run without a cipher, each save by a run; processors: of their processes alone."
        );
        for (kind, why) in &self.skipped {
            println!("skipped: {kind}: {why}");
        }
        for failed in &self.failed {
            println!("{failed}");
        }
    }

    fn knows(&self, kind: &str) -> bool {
        self.figures.keys().any(|(known, _)| *known == kind)
    }
}

// The names are the table's own.
fn key(kind: &str, what: &'static str) -> Option<(&'static str, &'static str)> {
    KINDS.iter().find(|known| known.name == kind).map(|known| (known.name, what))
}

// The one below which so many of a hundred are.
fn share(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
