//! iroh-docs with iroh-blobs: the program of `tests/iroh`, one at each end, told when something changed.

use crate::pair::{Kind, Pair};
use crate::program::{Program, command};
use anyhow::{Context, bail};
use harness::cost::Cost;
use harness::namespace::{ADDRESSES, Cable};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};

/// A document whose keys are paths.
pub(crate) const KIND: Kind = Kind { name: "iroh-docs", missing, make, saves: 100, when_told: false };

struct End {
    _program: Program,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

struct Document {
    dirs: [PathBuf; 2],
    ends: [End; 2],
    _home: tempfile::TempDir,
}

// Beside the directory that this program was built into.
fn program() -> PathBuf {
    let me = std::env::current_exe().unwrap_or_default();
    let target = me.ancestors().nth(2).unwrap_or(Path::new("target")).to_owned();
    target.join("iroh/release/chorus-iroh")
}

fn missing() -> Option<String> {
    let program = program();
    (!program.is_file()).then(|| format!("{} was not built; make bench-peers says why", program.display()))
}

fn make(cable: &Cable) -> anyhow::Result<Box<dyn Pair>> {
    let home = harness::scratch_dir();
    let dirs = ["a", "b"].map(|name| home.path().join(name));
    for dir in &dirs {
        fs::create_dir(dir)?;
    }
    let start = |side: usize, more: &[&str]| -> anyhow::Result<(End, String)> {
        let mut end = command(&cable.ends[side], home.path(), program());
        end.arg(more[0]).arg(&dirs[side]).arg(home.path().join(format!("store-{side}")));
        end.arg(format!("{}:4002", ADDRESSES[side])).args(&more[1..]);
        let log = home.path().join(format!("log-{side}"));
        let (program, to, from) = Program::talk(&mut end, &log)?;
        let mut end = End { _program: program, to, from: BufReader::new(from) };
        let ticket = end.line().with_context(|| harness::text(&log))?;
        Ok((end, ticket))
    };
    let (first, ticket) = start(0, &["make"])?;
    let (second, _) = start(1, &["join", &ticket])?;
    Ok(Box::new(Document { dirs, ends: [first, second], _home: home }))
}

impl End {
    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the program ended");
        }
        Ok(line.trim().to_owned())
    }

    fn tell(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.to, "{word}")?;
        let answer = self.line()?;
        if answer != "done" {
            bail!("{word} was answered by {answer:?}");
        }
        Ok(())
    }
}

impl Pair for Document {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }

    fn carry(&mut self, _: &mut Cost) -> anyhow::Result<()> {
        self.ends[0].tell("scan")
    }

    fn meet(&mut self, _: &mut Cost) -> anyhow::Result<()> {
        self.ends[0].tell("scan")?;
        self.ends[1].tell("scan")?;
        self.ends[1].tell("sync")
    }
}
