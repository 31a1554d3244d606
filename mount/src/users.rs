//! Who still uses a mount: asked when it cannot be unmounted, so that people can be told.

use std::path::Path;

/// As many are named; whoever reads it looks at the first few.
const MOST: usize = 16;

/// A process that stands in a mount or has something of it open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its process id.
    pub pid: u32,
    /// What the kernel calls it.
    pub name: String,
}

/// The processes that use what is mounted there, as far as this user may look at them. Only the names of what they
/// use are read, never the mount itself.
pub(crate) fn of(mount: &Path) -> Vec<User> {
    let me = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let using = pids.filter(|pid| *pid != me && uses(*pid, mount)).take(MOST);
    using.map(|pid| User { pid, name: name(pid) }).collect()
}

fn uses(pid: u32, mount: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let inside = |link: &Path| std::fs::read_link(link).is_ok_and(|target| target.starts_with(mount));
    let open = || std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    ["cwd", "root", "exe"].iter().any(|link| inside(&process.join(link)))
        || open().any(|entry| inside(&entry.path()))
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn who_stands_in_it_and_who_has_a_file_open_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        std::fs::write(place.join("f"), "").unwrap();
        assert_eq!(of(&place), []);
        let wait = |command: &mut Command| command.stdout(Stdio::null()).spawn().unwrap();
        let mut standing = wait(Command::new("sleep").arg("60").current_dir(&place));
        let file = std::fs::File::open(place.join("f")).unwrap();
        let mut holding = wait(Command::new("sleep").arg("60").stdin(file));
        let mut found: Vec<u32> = of(&place).iter().map(|user| user.pid).collect();
        let mut both = [standing.id(), holding.id()];
        found.sort_unstable();
        both.sort_unstable();
        assert_eq!(found, both);
        assert!(of(&place).iter().all(|user| user.name == "sleep"));
        for child in [&mut standing, &mut holding] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
