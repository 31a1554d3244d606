//! An ordinary user, who mounts by `fusermount3`: in mounts of their own, since the machine's `/dev/fuse` may be
//! closed to everybody but root.

use crate::{chorus, scratch_dir};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The user `daemon` of every Unix.
const ID: u32 = 1;
/// Makes the device and the program available, then only keeps the namespace alive.
const KEEP: &str = r#"
mkdir "$1/dev"
mount -t tmpfs -o mode=755 device "$1/dev"
mknod -m "$2" "$1/dev/fuse" c 10 229
mount --bind "$1/dev/fuse" /dev/fuse
touch "$1/chorus"
mount --bind "$3" "$1/chorus"
echo ready
exec sleep 1000000
"#;

/// An ordinary user in a namespace of mounts, which ends with this.
pub struct User {
    // Keeps the namespace.
    keeper: Child,
    dir: tempfile::TempDir,
}

impl User {
    /// With a `/dev/fuse` that everybody may open, as most systems have it.
    pub fn new() -> User {
        User::with_device("0666")
    }

    /// With a `/dev/fuse` of these permissions.
    ///
    /// # Panics
    /// If this is not root, who alone can make it.
    pub fn with_device(mode: &str) -> User {
        let dir = scratch_dir();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("open to others");
        let mut keeper = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", KEEP, "keep"])
            .arg(dir.path())
            .arg(mode)
            .arg(chorus())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut said = String::new();
        let read = BufReader::new(keeper.stdout.take().expect("its output")).read_line(&mut said);
        assert!(read.is_ok() && said == "ready\n", "no namespace of mounts: run it as root");
        User { keeper, dir }
    }

    /// Their number, of user and group.
    pub fn id(&self) -> u32 {
        ID
    }

    /// The program where this user may run it.
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.path().join("chorus")
    }

    /// What runs a command as this user. Each replaces itself by the next: the process stays the same.
    pub(crate) fn by(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.keeper.id())];
        words.extend(["--".to_owned()]);
        words.extend(outside());
        words
    }
}

/// What runs a command as this user among everybody's mounts.
pub fn outside() -> Vec<String> {
    let (uid, gid) = (format!("--reuid={ID}"), format!("--regid={ID}"));
    ["setpriv", &uid, &gid, "--clear-groups", "--"].map(str::to_owned).to_vec()
}

impl Default for User {
    fn default() -> User {
        User::new()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
