//! `chorus fsck`: check the store of a stopped node, or rebuild what is derived.

use crate::fail::Failure;
use crate::home::Home;
use crate::show;
use base::Kind;
use serde_json::json;
use std::process::ExitCode;

/// Check the store of a stopped node: every hash, signature and index
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Throw away everything derived and build it again from the entries
    #[arg(long)]
    rebuild: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<ExitCode, Failure> {
    home.must_be_mine()?;
    if !home.has_identity() {
        return Err(Failure::with_hint(
            Kind::NotFound,
            format!("there is no node in {}", home.dir().display()),
            "name its home with --home or CHORUS_HOME",
        ));
    }
    let report = node::fsck(home.dir(), args.rebuild).map_err(|e| match e.kind() {
        Kind::Running => {
            Failure::with_hint(Kind::Running, e.to_string(), "stop it with `chorus down`, then check")
        }
        _ => e.into(),
    })?;
    let sound = report.problems.is_empty();
    if args.json {
        show::json(&json!({
            "entries": report.entries, "objects": report.objects, "problems": report.problems, "rebuilt": args.rebuild,
        }))?;
    } else {
        for problem in &report.problems {
            show::line(format!("wrong: {problem}"));
        }
        let verdict = if sound { "sound" } else { "not sound" };
        show::line(format!("{verdict}: {} entries, {} objects", report.entries, report.objects));
        if !sound && !args.rebuild {
            show::line("next: chorus fsck --rebuild (the entries stay as they are)");
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
