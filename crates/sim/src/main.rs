//! `make sim`: plays scenarios, prints what they cost beside what was last recorded, and says which bound is broken.

use sim::{Scenario, compare, play, read_recorded, spread, write_recorded};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "usage: sim [--short] [--record] [--seeds N] [--figures FILE] [SCENARIO.toml | DIRECTORY]...

Plays each scenario and prints its figures beside those in FILE; with --record they are written there.
--short plays the short form, which make test plays as well. --seeds N plays each from N seeds, its own and those
that follow it, and prints the least, the mean and the most of each figure.";

struct Asked {
    short: bool,
    record: bool,
    seeds: Option<u64>,
    figures: PathBuf,
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run(&asked)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let figures = here.join("figures.toml");
    let mut asked = Asked { short: false, record: false, seeds: None, figures, paths: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => asked.short = true,
            "--record" => asked.record = true,
            "--seeds" => asked.seeds = Some(words.next().and_then(|n| n.parse().ok()).ok_or(HELP)?),
            "--figures" => asked.figures = words.next().ok_or(HELP)?.into(),
            word if word.starts_with('-') => return Err(HELP.into()),
            path => asked.paths.push(path.into()),
        }
    }
    if asked.paths.is_empty() {
        asked.paths.push(here.join("scenarios"));
    }
    Ok(asked)
}

fn scenarios(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let list = std::fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut found: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|file| file.extension().is_some_and(|e| e == "toml"));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn run(asked: &Asked) -> Result<bool, String> {
    let form = if asked.short { "-short" } else { "" };
    let recorded = match std::fs::read_to_string(&asked.figures) {
        Ok(text) => read_recorded(&text).map_err(|e| format!("{}: {e}", asked.figures.display()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(e) => return Err(format!("{}: {e}", asked.figures.display())),
    };
    let mut found = BTreeMap::new();
    let mut broken = 0;
    for file in scenarios(&asked.paths)? {
        let name =
            file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()) + form;
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let scenario = Scenario::read(&text, asked.short).map_err(|e| format!("{}: {e}", file.display()))?;
        if let Some(seeds) = asked.seeds {
            broken += from_seeds(&name, scenario, seeds);
            continue;
        }
        let began = std::time::Instant::now();
        let played = play(&scenario);
        println!("{name}: {} ({:.1} s)", scenario.title, began.elapsed().as_secs_f64());
        print!("{}", compare(&played.figures, recorded.get(&name)));
        for why in &played.broken {
            println!("  BROKEN: {why}");
        }
        println!();
        broken += played.broken.len();
        found.insert(name, played.figures);
    }
    if asked.record {
        let text = write_recorded(&recorded, &found);
        std::fs::write(&asked.figures, text).map_err(|e| format!("{}: {e}", asked.figures.display()))?;
        println!("recorded in {}", asked.figures.display());
    }
    println!("{broken} bounds broken");
    Ok(broken == 0)
}

// Plays the same from one seed after the other: what holds for one may hold by luck. How often a bound was broken.
fn from_seeds(name: &str, mut scenario: Scenario, seeds: u64) -> usize {
    let first = scenario.seed;
    let mut broken = 0;
    let mut all = Vec::new();
    println!("{name}: {}, from {seeds} seeds", scenario.title);
    for seed in first..first.saturating_add(seeds) {
        scenario.seed = seed;
        let played = play(&scenario);
        for why in &played.broken {
            println!("  BROKEN from seed {seed}: {why}");
        }
        broken += played.broken.len();
        all.push(played.figures);
    }
    println!("{}", spread(&all));
    broken
}
