//! rsync with its own daemon: one way, when told, and without a cipher.

use crate::pair::{Kind, Pair};
use crate::program::{Program, command, run};
use harness::cost::Cost;
use harness::editor::installed;
use harness::namespace::{ADDRESSES, Cable};
use std::fs;
use std::path::PathBuf;

/// As its manual shows it.
pub(crate) const KIND: Kind = Kind { name: "rsync", missing, make, saves: 30, when_told: true };

const PORT: u16 = 8730;

struct Rsync {
    dirs: [PathBuf; 2],
    namespace: String,
    _daemon: Program,
    home: tempfile::TempDir,
}

fn missing() -> Option<String> {
    (!installed("rsync")).then(|| "rsync is not installed (.ci/prepare peers)".to_owned())
}

fn make(cable: &Cable) -> anyhow::Result<Box<dyn Pair>> {
    let home = harness::scratch_dir();
    let dirs = ["a", "b"].map(|name| home.path().join(name));
    for dir in &dirs {
        fs::create_dir(dir)?;
    }
    let config = home.path().join("rsyncd.conf");
    let module = format!("[b]\npath = {}\nread only = no\nuid = 0\ngid = 0\n", dirs[1].display());
    fs::write(&config, format!("use chroot = no\nreverse lookup = no\n{module}"))?;
    let mut daemon = command(&cable.ends[1], home.path(), "rsync");
    daemon.args(["--daemon", "--no-detach", "--address", ADDRESSES[1], "--port", &PORT.to_string()]);
    daemon.arg(format!("--config={}", config.display()));
    let daemon = Program::start(&mut daemon, &home.path().join("daemon.log"))?;
    // It answers nobody before it listens.
    std::thread::sleep(std::time::Duration::from_secs(1));
    Ok(Box::new(Rsync { dirs, namespace: cable.ends[0].clone(), _daemon: daemon, home }))
}

impl Pair for Rsync {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }

    fn carry(&mut self, cost: &mut Cost) -> anyhow::Result<()> {
        let to = format!("rsync://{}:{PORT}/b/", ADDRESSES[1]);
        let mut rsync = command(&self.namespace, self.home.path(), "rsync");
        rsync.arg("-a").arg(format!("{}/", self.dirs[0].display())).arg(to);
        run(&mut rsync, cost, &[0]).map(drop)
    }
}
