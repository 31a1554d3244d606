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

/// It gathers changes for a tenth of a second.
pub(crate) const TUNED: Kind =
    Kind { name: "syncthing-tuned", missing, make: |cable| make(cable, "0.1"), saves: 15, when_told: false };

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
        fs::write(configs[side].join("config.xml"), config(side, &ids, &dirs[side], delay))?;
        let mut serve = command(&cable.ends[side], home.path(), "syncthing");
        serve.args(["serve", "--no-browser", "--no-restart", "--no-upgrade"]);
        serve.arg(format!("--home={}", configs[side].display()));
        let log = home.path().join(format!("log-{side}"));
        programs.push(Program::start(&mut serve, &log).context("starting syncthing")?);
    }
    Ok(Box::new(Syncthing { dirs, _programs: programs, _home: home }))
}

fn config(side: usize, ids: &[String], dir: &Path, delay: &str) -> String {
    let device = |n: usize| {
        let (id, address) = (&ids[n], ADDRESSES[n]);
        format!("<device id=\"{id}\" name=\"{n}\"><address>tcp://{address}:22000</address></device>\n")
    };
    let off =
        ["globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "startBrowser"];
    let off: String = off.iter().map(|word| format!("<{word}>false</{word}>\n")).collect();
    format!(
        "<configuration version=\"36\">\n\
         <folder id=\"garden\" label=\"garden\" path=\"{}\" type=\"sendreceive\" rescanIntervalS=\"3600\" \
         fsWatcherEnabled=\"true\" fsWatcherDelayS=\"{delay}\">\n\
         <device id=\"{}\"></device><device id=\"{}\"></device>\n</folder>\n{}{}\
         <gui enabled=\"false\"></gui>\n\
         <options>\n<listenAddress>tcp://{}:22000</listenAddress>\n{off}\
         <crashReportingEnabled>false</crashReportingEnabled>\n<urAccepted>-1</urAccepted>\n\
         <autoUpgradeIntervalH>0</autoUpgradeIntervalH>\n<reconnectionIntervalS>5</reconnectionIntervalS>\n\
         <stunServer></stunServer>\n</options>\n</configuration>\n",
        dir.display(),
        ids[0],
        ids[1],
        device(0),
        device(1),
        ADDRESSES[side],
    )
}

impl Pair for Syncthing {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }
}
