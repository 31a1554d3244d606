//! `chorus unit`: the service that systemd runs for a user.

use crate::fail::Failure;
use crate::home::{Home, absolute};
use crate::show;
use base::Kind;
use std::path::{Path, PathBuf};

/// Print a systemd user unit that runs the node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to mount on, as for `up`
    mount: Option<PathBuf>,
}

/// What packagers install as it is.
const UNIT: &str = include_str!("../../chorus.service");
/// The line of it that names the program.
const START: &str = "ExecStart=/usr/bin/chorus up";

pub(crate) fn run(named: Option<&Path>, args: &Args) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::of(Kind::Io, format!("my own path: {e}")))?;
    let home = named.map(|dir| Home::find(Some(dir))).transpose()?;
    let mount = args.mount.as_deref().map(absolute).transpose()?;
    show::text(&unit(&program, home.as_ref().map(Home::dir), mount.as_deref())?);
    Ok(())
}

fn unit(program: &Path, home: Option<&Path>, mount: Option<&Path>) -> Result<String, Failure> {
    let mut start = format!("ExecStart={}", quoted(program)?);
    if let Some(home) = home {
        start.push_str(&format!(" --home {}", quoted(home)?));
    }
    start.push_str(" up");
    if let Some(mount) = mount {
        start.push_str(&format!(" -- {}", quoted(mount)?));
    }
    Ok(UNIT.replace(START, &start))
}

// One word of a command line in a unit: within quotes, what systemd would expand is doubled.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        Failure::usage(format!("{} cannot be written in a unit", path.display()), "name a path of plain text")
    })?;
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' | '$' => out.extend([c, c]),
            _ => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_this_program() {
        let plain = unit(Path::new("/opt/a b/chorus"), None, None).unwrap();
        assert!(plain.contains("\nExecStart=\"/opt/a b/chorus\" up\n"), "{plain}");
        assert!(plain.contains("\nType=notify\n") && !plain.contains(START));
        let all = unit(Path::new("/c"), Some(Path::new("/h%$")), Some(Path::new("/m\"\\"))).unwrap();
        assert!(all.contains("\nExecStart=\"/c\" --home \"/h%%$$\" up -- \"/m\\\"\\\\\"\n"), "{all}");
    }

    #[test]
    fn a_path_that_would_be_another_line_is_refused() {
        assert_eq!(quoted(Path::new("/a\nExecStartPre=/b")).unwrap_err().exit_code(), 2);
    }
}
