//! `chorus bundle`: what a friend lacks as a sealed file, for a stick or a messenger.

use crate::control::client::Client;
use crate::control::{Destination, Request, Step};
use crate::facts::{Carried, Taken};
use crate::fail::Failure;
use crate::home::{Home, absolute};
use crate::show::{bytes, json, line};
use base::print::safe;
use serde::de::DeserializeOwned;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Carry changes by hand: what a friend lacks as a sealed file
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bundle {
    /// Write what a friend is not known to have, sealed for their devices
    Export {
        /// The friend, by their name here
        #[arg(long, value_name = "NAME")]
        to: String,
        /// A new file
        #[arg(required_unless_present = "spool", conflicts_with = "spool")]
        file: Option<PathBuf>,
        /// A folder (a stick) that holds bundles: takes what fits, writes nothing twice, and what the friend
        /// acknowledged is removed
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
        /// Everything, not only what they are not known to have
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a bundle, or all those in a folder
    Import {
        /// The file or folder
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(home: &Home, verb: Bundle) -> Result<ExitCode, Failure> {
    match verb {
        Bundle::Export { to, file, spool, all, json } => export(home, to, file, spool, all, json),
        Bundle::Import { path, json } => import(home, path, json),
    }
}

fn export(
    home: &Home,
    to: String,
    file: Option<PathBuf>,
    spool: Option<PathBuf>,
    all: bool,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let place = match (file, spool) {
        (_, Some(dir)) => Destination::Spool(absolute(&dir)?),
        (Some(file), None) => Destination::File(absolute(&file)?),
        (None, None) => {
            return Err(Failure::usage("nowhere to write to", "name a file, or a folder with --spool"));
        }
    };
    let done: Carried = watched(home, &Request::BundleExport { to: to.clone(), place, all })?;
    let code = if done.left > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if as_json {
        json(&done)?;
        return Ok(code);
    }
    line(format!(
        "{} with {} and {}, {} in all, for {to}",
        count(done.bundles, "bundle"),
        count_of(done.entries, "entry", "entries"),
        count(done.chunks, "piece"),
        bytes(done.bytes)
    ));
    if done.covered > 0 {
        line(format!("{} of it were there already", done.covered));
    }
    if done.removed > 0 {
        line(format!("removed {}: {to} has what was in them", count(done.removed, "bundle")));
    }
    if done.left > 0 {
        let what = format!("{} entries and pieces ({}) did not fit", done.left, bytes(done.left_bytes));
        eprintln!("error: {what}\nhint: make room there and run it again: it goes on where it stopped");
    } else if done.entries + done.chunks + done.covered == 0 {
        line(format!("{to} lacks nothing as far as is known; the bundle tells them what is here"));
    }
    Ok(code)
}

fn import(home: &Home, path: PathBuf, as_json: bool) -> Result<ExitCode, Failure> {
    let done: Taken = watched(home, &Request::BundleImport { path: absolute(&path)? })?;
    let whole = done.lacking.is_empty() && done.bad.is_empty();
    let code = if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if as_json {
        json(&done)?;
        return Ok(code);
    }
    let from = if done.from.is_empty() { "nobody".to_owned() } else { done.from.join(", ") };
    line(format!(
        "{} from {from}: {} and {} were new, {} were here",
        count(done.bundles, "bundle"),
        count_of(done.entries, "entry", "entries"),
        count(done.chunks, "piece"),
        done.known + done.known_chunks
    ));
    if done.foreign > 0 {
        line(format!(
            "{} for others, or of nobody you know, left as they are",
            count(done.foreign, "bundle")
        ));
    }
    if done.unjoined > 0 {
        line(format!(
            "{} are of rooms that you did not join: `chorus status` shows offers; join, then import again",
            count_of(done.unjoined, "entry", "entries")
        ));
    }
    if done.left_out > 0 {
        line(format!(
            "{} were left out: they do not count, or wait for what says who made them; `chorus status` may say more",
            count_of(done.left_out, "entry", "entries")
        ));
    }
    for text in &done.bad {
        eprintln!("error: {}", safe(text));
    }
    for text in &done.lacking {
        eprintln!("error: something before it is missing {}", safe(text));
    }
    if !done.bad.is_empty() {
        eprintln!("hint: copy them again, or ask for them again; the others were taken");
    } else if !whole {
        eprintln!(
            "hint: import the bundles that were made before, or ask for a new one; then import this again"
        );
    }
    Ok(code)
}

// On a terminal with a line that says how far it is.
fn watched<T: DeserializeOwned>(home: &Home, request: &Request) -> Result<T, Failure> {
    let shown = std::io::stderr().is_terminal();
    let mut any = false;
    let mut watch = |step: &Step| {
        if shown {
            any = true;
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K{} {} of {}",
                safe(&step.what),
                bytes(step.done),
                bytes(step.total)
            );
        }
    };
    let answer = Client::connect(home)?.ask_watched(request, &mut watch);
    if any {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    answer
}

fn count(n: u64, what: &str) -> String {
    count_of(n, what, &format!("{what}s"))
}

fn count_of(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
