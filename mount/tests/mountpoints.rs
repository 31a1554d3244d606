//! Mountpoints that are not fit, mounts that died, mounts in use.

mod house;

use house::House;
use mount::{Ended, Error, Mount, MountOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tree::Tree;

fn start(tree: &Tree, path: &Path) -> Result<Mount, Error> {
    Mount::start(tree.clone(), path, &MountOptions::default())
}

#[test]
fn what_is_not_fit_is_refused() {
    let house = House::new();
    let other = house.scratch().join("other");
    let refused = |path: &Path| start(&house.tree, path).err().unwrap();
    assert!(matches!(refused(&other), Error::Missing(_)));
    std::fs::write(&other, "").unwrap();
    assert!(matches!(refused(&other), Error::NotDirectory(_)));
    assert!(matches!(refused(house.scratch()), Error::NotEmpty(_)));
    assert!(matches!(refused(&house.root()), Error::Busy(_)));
}

#[test]
fn what_lies_below_is_read_only_while_mounted() {
    let mut house = House::new();
    let before = 0o755;
    assert_eq!(house.mount.take().unwrap().stop().unwrap(), Ended::Unmounted);
    assert_eq!(house.root().metadata().unwrap().mode() & 0o777, before);
    let below = std::fs::File::open(house.root()).unwrap();
    let mount = start(&house.tree, &house.root()).unwrap();
    assert_eq!(below.metadata().unwrap().mode() & 0o777, 0o555);
    drop(mount);
    assert_eq!(below.metadata().unwrap().mode() & 0o777, before);
}

#[test]
fn a_mount_in_use_vanishes_and_what_was_written_is_kept() {
    let mut house = House::new();
    house.write("f", "x");
    let mut file = std::fs::File::options().append(true).open(house.at("f")).unwrap();
    std::io::Write::write_all(&mut file, b"y").unwrap();
    // This process has it open, and is not named among the others.
    assert_eq!(house.mount.take().unwrap().stop().unwrap(), Ended::WhenUnused(Vec::new()));
    assert_eq!(std::fs::read_dir(house.root()).unwrap().count(), 0);
    let oid = house.oid("f");
    assert_eq!(house.node.attr(oid).unwrap().size, 2);
    // What is written after that is kept as well, as long as the node runs.
    std::io::Write::write_all(&mut file, b"z").unwrap();
    file.sync_all().unwrap();
    assert_eq!(house.node.attr(oid).unwrap().size, 3);
}

#[test]
fn a_mount_that_is_asked_whether_it_answers_is_in_nobodys_way() {
    let mut house = House::new();
    let pulse = mount::Pulse::start(&house.root()).unwrap();
    for _ in 0..3 {
        pulse.wait();
    }
    assert_eq!(house.mount.take().unwrap().stop().unwrap(), Ended::Unmounted);
    // Whatever is there now answers as well.
    pulse.wait();
}

#[test]
fn a_mount_that_died_is_cleaned_up() {
    let mut house = House::new();
    house.write("f", "x");
    // What a kill leaves: the connection is gone, the mount is not.
    let minor = rustix::fs::minor(house.root().metadata().unwrap().dev());
    let abort = format!("/sys/fs/fuse/connections/{minor}/abort");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "fusectl", "none", "/sys/fs/fuse/connections"])
        .output();
    drop(mounted);
    if std::fs::write(&abort, "1").is_err() {
        // No control file system here, and none may be mounted: nothing to break the mount with.
        return;
    }
    assert_eq!(house.root().read_dir().unwrap_err().raw_os_error(), Some(107));
    let again = start(&house.tree, &house.root()).unwrap();
    assert_eq!(std::fs::read_to_string(house.at("f")).unwrap(), "x");
    again.stop().unwrap();
    drop(house.mount.take());
}
