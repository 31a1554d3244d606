//! Power cuts, simulated: the writer is stopped, the block image of its filesystem is copied as it
//! is, without a sync or an unmount, and mounted elsewhere.

use crate::crash::{listen, start_writer, verify};
use crate::{Numbers, open};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A filesystem of its own, unmounted when dropped.
pub(crate) struct Mounted {
    dir: TempDir,
}

impl Mounted {
    /// Mounts an empty `tmpfs` or `ext4` of so many bytes; none where that is not permitted.
    pub(crate) fn new(kind: &str, bytes: u64) -> Option<Mounted> {
        if kind == "tmpfs" {
            let dir = tempfile::tempdir().unwrap();
            let size = format!("size={bytes}");
            return run("mount", &["-t", "tmpfs", "-o", &size, "none"], Some(dir.path()))
                .then_some(Mounted { dir });
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(bytes).unwrap();
        run("mkfs.ext4", &["-q", "-F"], Some(image.path())).then(|| Mounted::image(image.path()))?
    }

    /// Mounts an image of an ext4 filesystem; none where that is not permitted.
    pub(crate) fn image(image: &Path) -> Option<Mounted> {
        let dir = tempfile::tempdir().unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap()], Some(dir.path())).then_some(Mounted { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !run("umount", &[], Some(self.dir.path())) {
            run("umount", &["-l"], Some(self.dir.path()));
        }
    }
}

fn run(program: &str, args: &[&str], last: Option<&Path>) -> bool {
    let mut command = Command::new(program);
    command.args(args).args(last).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

fn signal(pid: u32, name: &str) {
    assert!(run("kill", &[name, &pid.to_string()], None));
}

fn new_image(home: &Path) -> Option<PathBuf> {
    let image = home.join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(192 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F"], Some(&image)).then_some(image)
}

#[test]
fn power_cut() {
    let rounds = std::env::var("CHORUS_TORTURE").ok().and_then(|r| r.parse().ok()).unwrap_or(4);
    let home = tempfile::tempdir().unwrap();
    let disk = new_image(home.path()).and_then(|image| Some((Mounted::image(&image)?, image)));
    let Some((mounted, image)) = disk else {
        eprintln!("not shown: mounting an image is not permitted here");
        return;
    };
    let mut numbers = Numbers(std::process::id().into());
    let copy = home.path().join("copy.img");
    for round in 0..rounds {
        let mut child = start_writer(&mounted.path().join("store"));
        let heard = listen(&mut child);
        thread::sleep(Duration::from_millis(100 + numbers.below(900)));
        signal(child.id(), "-STOP");
        assert!(run("cp", &["--sparse=always", image.to_str().unwrap()], Some(&copy)));
        // What it said before it was stopped is all in the pipe; its death ends the pipe.
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = heard.join().unwrap();
        let after = Mounted::image(&copy).unwrap();
        let dir = after.path().join("store");
        // A cut before the store was made leaves nothing, and nothing was acknowledged.
        let opened = open(&dir);
        let last = verify(&opened.store, acknowledged);
        println!("round {round}: {acknowledged} acknowledged, {last} there");
        opened.store.close().unwrap();
    }
}
