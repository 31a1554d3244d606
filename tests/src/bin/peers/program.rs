//! Programs that run in a namespace, and end with what started them.

use anyhow::{Context, bail};
use harness::cost::Cost;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(10);
/// Between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(2);

/// A command in a namespace, with a home of its own: nothing of the user's is read or written.
pub(crate) fn command(namespace: &str, home: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    // It replaces itself by the program: the process stays the same.
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").current_dir(home).stdin(Stdio::null());
    command
}

/// A program that runs until this ends.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Program> {
        let out = File::create(log).context("a log")?;
        let said = out.try_clone().context("a log")?;
        Ok(Program(
            command.stdout(out).stderr(said).spawn().with_context(|| format!("starting {command:?}"))?,
        ))
    }

    /// Starts it with pipes to talk over.
    pub(crate) fn talk(
        command: &mut Command,
        log: &Path,
    ) -> anyhow::Result<(Program, ChildStdin, ChildStdout)> {
        let said = File::create(log).context("a log")?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let pipes = (child.stdin.take().context("its input")?, child.stdout.take().context("its output")?);
        Ok((Program(child), pipes.0, pipes.1))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let end = Instant::now() + ENDING;
        while Instant::now() < end {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, and looks meanwhile at what it costs.
pub(crate) fn run(command: &mut Command, cost: &mut Cost, fine: &[i32]) -> anyhow::Result<ExitStatus> {
    let mut log = tempfile::tempfile().context("a log")?;
    let out = log.try_clone().context("a log")?;
    let said = log.try_clone().context("a log")?;
    let mut child =
        Program(command.stdout(out).stderr(said).spawn().with_context(|| format!("{command:?}"))?);
    let status = loop {
        cost.look();
        match child.0.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    if status.code().is_none_or(|code| !fine.contains(&code)) {
        use std::io::{Read, Seek};
        let mut words = String::new();
        log.rewind()?;
        log.read_to_string(&mut words)?;
        bail!("{command:?} ended with {status}: {words}");
    }
    Ok(status)
}
