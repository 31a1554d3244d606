//! Unison over a socket: both ways, when told, and without a cipher.

use crate::pair::{Kind, Pair};
use crate::program::{Program, command, run};
use harness::cost::Cost;
use harness::editor::installed;
use harness::namespace::{ADDRESSES, Cable};
use std::fs;
use std::path::PathBuf;

/// In batch mode, as it runs from a timer.
pub(crate) const KIND: Kind = Kind { name: "unison", missing, make, saves: 30, when_told: true };

const PORT: u16 = 5000;

struct Unison {
    dirs: [PathBuf; 2],
    namespace: String,
    _server: Program,
    home: tempfile::TempDir,
}

fn missing() -> Option<String> {
    (!installed("unison")).then(|| "unison is not installed (.ci/prepare peers)".to_owned())
}

fn make(cable: &Cable) -> anyhow::Result<Box<dyn Pair>> {
    let home = harness::scratch_dir();
    let dirs = ["a", "b"].map(|name| home.path().join(name));
    for dir in &dirs {
        fs::create_dir(dir)?;
    }
    let mut server = command(&cable.ends[1], home.path(), "unison");
    server.args(["-socket", &PORT.to_string()]).env("UNISON", home.path().join("server"));
    let server = Program::start(&mut server, &home.path().join("server.log"))?;
    // It answers nobody before it listens.
    std::thread::sleep(std::time::Duration::from_secs(1));
    Ok(Box::new(Unison { dirs, namespace: cable.ends[0].clone(), _server: server, home }))
}

impl Pair for Unison {
    fn dirs(&self) -> &[PathBuf; 2] {
        &self.dirs
    }

    fn carry(&mut self, cost: &mut Cost) -> anyhow::Result<()> {
        let mut unison = command(&self.namespace, self.home.path(), "unison");
        unison.arg(&self.dirs[0]);
        unison.arg(format!("socket://{}:{PORT}/{}", ADDRESSES[1], self.dirs[1].display()));
        unison.args(["-batch", "-ui", "text", "-confirmbigdel=false"]);
        unison.env("UNISON", self.home.path().join("client"));
        // 1: some were skipped, which is its answer where both have changed.
        run(&mut unison, cost, &[0, 1]).map(drop)
    }
}
