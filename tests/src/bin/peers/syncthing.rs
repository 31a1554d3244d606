//! Syncthing, as it comes and with less patience. Relays, lookup, upgrades and reports are off.

use crate::pair::{Kind, Pair};
use crate::program::{Program, command};
use anyhow::Context;
use harness::editor::installed;
use harness::must;
use harness::namespace::{ADDRESSES, Cable};
use std::fs;
use std::path::{Path, PathBuf};

/// As it comes: it gathers changes for ten seconds.
pub(crate) const KIND: Kind =
    Kind { name: "syncthing", missing, make: |cable| make(cable, "10"), saves: 5, when_told: false };

/// It gathers changes for a second, the least it knows.
pub(crate) const TUNED: Kind =
    Kind { name: "syncthing-tuned", missing, make: |cable| make(cable, "1"), saves: 15, when_told: false };

struct Syncthing {
    dirs: [PathBuf; 2],
    _programs: Vec<Program>,
    _home: tempfile::TempDir,
}

fn missing() -> Option<String> {
    (!installed("syncthing")).then(|| "syncthing is not installed (.ci/prepare peers)".to_owned())
}

fn make(cable: &Cable, delay: &str) -> anyhow::Result<Box<dyn Pair>> {
    let home = harness::scratch_dir();
    let dirs = ["a", "b"].map(|name| home.path().join(name));
    let configs = ["config-a", "config-b"].map(|name| home.path().join(name));
    let mut ids = Vec::new();
    for ((dir, config), namespace) in dirs.iter().zip(&configs).zip(&cable.ends) {
        // It refuses a folder without this mark.
        fs::create_dir_all(dir.join(".stfolder"))?;
        let option = format!("--home={}", config.display());
        must(command(namespace, home.path(), "syncthing").args(["generate", "--no-default-folder", &option]));
        let id = must(command(namespace, home.path(), "syncthing").args(["--device-id", &option]));
        ids.push(id.trim().to_owned());
    }
    let mut programs = Vec::new();
    for side in 0..2 {
        let file = configs[side].join("config.xml");
        let made = fs::read_to_string(&file).context("the configuration it made")?;
        fs::write(&file, config(side, &ids, &made, &dirs[side], delay)?)?;
        let mut serve = command(&cable.ends[side], home.path(), "syncthing");
        serve.args(["serve", "--no-browser", "--no-restart", "--no-upgrade"]);
        serve.arg(format!("--home={}", configs[side].display()));
        let log = home.path().join(format!("log-{side}"));
        programs.push(Program::start(&mut serve, &log).context("starting syncthing")?);
    }
    Ok(Box::new(Syncthing { dirs, _programs: programs, _home: home }))
}

// The configuration that it made for itself, with what it brings for folders: what is left out there is zero and
// not its default, and with it no copy is made of what two have edited.
fn config(side: usize, ids: &[String], made: &str, dir: &Path, delay: &str) -> anyhow::Result<String> {
    let (devices, rest) = made.split_once("<gui").context("the part about the GUI")?;
    let (start, own) = devices.split_once("<device").context("its own device")?;
    let device = |n: usize| {
        let named =
            own.replace(&ids[side], &ids[n]).replace("dynamic", &format!("tcp://{}:22000", ADDRESSES[n]));
        format!("<device{named}")
    };
    let template = made.split_once("<defaults>").and_then(|(_, rest)| rest.split_once("</folder>"));
    let (folder, _) = template.context("the template of folders")?;
    let members = format!("<device id=\"{}\"></device>\n<minDiskFree", ids[1 - side]);
    let folder = folder
        .replacen("id=\"\"", "id=\"garden\"", 1)
        .replacen("path=\"~\"", &format!("path=\"{}\"", dir.display()), 1)
        .replacen("fsWatcherDelayS=\"10\"", &format!("fsWatcherDelayS=\"{delay}\""), 1)
        .replacen("<minDiskFree", &members, 1);
    let mut whole = format!("{start}{folder}</folder>\n{}{}<gui{rest}", device(0), device(1));
    for (option, value) in [
        ("listenAddress", &*format!("tcp://{}:22000", ADDRESSES[side])),
        ("globalAnnounceEnabled", "false"),
        ("localAnnounceEnabled", "false"),
        ("relaysEnabled", "false"),
        ("natEnabled", "false"),
        ("startBrowser", "false"),
        ("crashReportingEnabled", "false"),
        ("urAccepted", "-1"),
        ("autoUpgradeIntervalH", "0"),
        ("reconnectionIntervalS", "5"),
        ("stunServer", ""),
    ] {
        let (before, after) = whole.split_once(&format!("<{option}>")).with_context(|| option.to_owned())?;
        let (_, after) = after.split_once("</").with_context(|| option.to_owned())?;
        whole = format!("{before}<{option}>{value}</{after}");
    }
    Ok(whole.replacen("<gui enabled=\"true\"", "<gui enabled=\"false\"", 1))
}

impl Pair for Syncthing {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }
}
