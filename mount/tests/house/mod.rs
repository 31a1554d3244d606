//! A node of its own, mounted for real, in directories that vanish with it.

#![allow(dead_code, reason = "each test file uses some of it")]

use mount::{Mount, MountOptions};
use node::{Node, Options};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tree::Tree;

/// A mounted house; taken apart in the order of its fields.
pub(crate) struct House {
    pub(crate) mount: Option<Mount>,
    pub(crate) tree: Tree,
    pub(crate) node: Node,
    dir: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> House {
        // In the system's temporary directory, editors make no backups.
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(base).unwrap();
        let dir = tempfile::tempdir_in(base).unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        let (node, tree, mount) = start(dir.path());
        House { mount: Some(mount), node, tree, dir }
    }

    /// Stops everything and starts it again on the same home.
    pub(crate) fn restart(self) -> House {
        let House { mount, tree, node, dir } = self;
        mount.unwrap().stop().unwrap();
        node.stop().unwrap();
        // The store is free once nobody holds it.
        drop((tree, node));
        let (node, tree, mount) = start(dir.path());
        House { mount: Some(mount), tree, node, dir }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.at(path), text).unwrap();
    }

    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    /// Runs a script in the mount's root; what it printed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let (ok, text) = self.try_sh(script);
        assert!(ok, "{script}\n{text}");
        text
    }

    pub(crate) fn try_sh(&self, script: &str) -> (bool, String) {
        let run = Command::new("bash")
            .args(["-c", &format!("exec 2>&1; {script}")])
            .current_dir(self.root())
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (run.status.success(), String::from_utf8_lossy(&run.stdout).into_owned())
    }

    pub(crate) fn xattr(&self, path: &str, name: &str) -> Option<String> {
        let mut value = vec![0; 4096];
        let n = rustix::fs::lgetxattr(self.at(path), name, &mut value[..]).ok()?;
        value.truncate(n);
        Some(String::from_utf8(value).unwrap())
    }

    /// Waits until what was just born is sealed: until then it has no versions, and nobody else has heard of it.
    pub(crate) fn settle(&self) {
        let start = Instant::now();
        while !self.is_sealed() {
            assert!(start.elapsed() < Duration::from_secs(60), "what was made is not sealed");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // Whether all that is in the root has a history, but for what is never to be sent.
    fn is_sealed(&self) -> bool {
        let names = std::fs::read_dir(self.root()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).all(|name| {
            self.node.attr(self.oid(&name)).unwrap().local || !self.node.log(&name, 1).unwrap().is_empty()
        })
    }

    /// The object that a name leads to.
    pub(crate) fn id(&self, path: &str) -> String {
        self.xattr(path, "user.chorus.id").unwrap()
    }

    pub(crate) fn oid(&self, path: &str) -> node::Oid {
        self.node.resolve(path).unwrap()
    }

    /// An edit that did not come through the mount: what a friend's looks like to it.
    pub(crate) fn edit_beside(&self, path: &str, from: &str, to: &str) {
        let oid = self.oid(path);
        let (version, node::Body::Bytes(bytes)) = self.node.read(oid).unwrap() else { panic!("not small") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        let new = text.replace(from, to).into_bytes();
        self.node.save(oid, &version, node::NewContent::Bytes(new)).unwrap();
    }
}

fn start(dir: &Path) -> (Node, Tree, Mount) {
    let node = Node::start(Options { home: dir.join("home"), listen: Vec::new(), network: false }).unwrap();
    let tree = Tree::new(node.clone()).unwrap();
    let mount = Mount::start(tree.clone(), &dir.join("mnt"), &MountOptions::default()).unwrap();
    (node, tree, mount)
}
