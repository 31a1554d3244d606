//! What PATH means: a path on the mount, or one from the home room such as `/garden`.
//!
//! The program sends what was typed and where that is on this machine; the node's side, which
//! knows the mountpoint, decides.

pub(crate) use crate::control::Place;

use crate::fail::Failure;
use base::Kind;
use std::path::{Component, Path, PathBuf};

impl Place {
    /// Reads an argument in the current directory.
    pub(crate) fn typed(path: &Path) -> Result<Place, Failure> {
        let given = path.to_str().ok_or_else(|| {
            Failure::usage(format!("{} is not UTF-8", path.display()), "names in a room are UTF-8")
        })?;
        let full = resolved(path)?;
        Ok(Place { given: given.to_owned(), full: full.to_string_lossy().into_owned() })
    }

    /// The path from the home room, given where the mount is.
    pub(crate) fn in_home(&self, mount: Option<&Path>) -> Result<String, Failure> {
        if let Some(rest) = mount.and_then(|m| Path::new(&self.full).strip_prefix(m).ok()) {
            return Ok(from_root(rest));
        }
        let given = Path::new(&self.given);
        if given.is_absolute() || mount.is_none() {
            return Ok(from_root(&lexical(given)));
        }
        let mount = mount.map(|m| m.display().to_string()).unwrap_or_default();
        Err(Failure::with_hint(
            Kind::NotFound,
            format!("{} is not on the mount at {mount}", self.given),
            "give a path on the mount, or one from the home room that begins with a slash, such as /garden",
        ))
    }
}

// The last name is kept as it stands: a symlink on the mount is a thing of its own.
fn resolved(path: &Path) -> Result<PathBuf, Failure> {
    let full = crate::home::absolute(path)?;
    let parent = full.parent().and_then(|p| p.canonicalize().ok());
    Ok(match (parent, path.components().next_back(), full.file_name()) {
        (Some(parent), Some(Component::Normal(_)), Some(name)) => parent.join(name),
        _ => full.canonicalize().unwrap_or_else(|_| lexical(&full)),
    })
}

fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Path::new("/").join(out)
}

fn from_root(path: &Path) -> String {
    let mut out = String::new();
    for part in path.components() {
        if let Component::Normal(name) = part {
            out.push('/');
            out.push_str(&name.to_string_lossy());
        }
    }
    if out.is_empty() { "/".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(given: &str, full: &str) -> Place {
        Place { given: given.into(), full: full.into() }
    }

    #[test]
    fn a_path_on_the_mount_is_one_from_home() {
        let mount = Path::new("/home/ann/Chorus");
        let on = |given, full| place(given, full).in_home(Some(mount)).unwrap();
        assert_eq!(on("todo.txt", "/home/ann/Chorus/notes/todo.txt"), "/notes/todo.txt");
        assert_eq!(on("/home/ann/Chorus", "/home/ann/Chorus"), "/");
        assert_eq!(on("/garden", "/garden"), "/garden");
        assert_eq!(on("/a/../garden/./x", "/garden/x"), "/garden/x");
    }

    #[test]
    fn a_relative_path_elsewhere_is_refused_while_there_is_a_mount() {
        let there = place("garden", "/tmp/garden");
        assert!(there.in_home(Some(Path::new("/home/ann/Chorus"))).is_err());
        assert_eq!(there.in_home(None).unwrap(), "/garden");
        assert_eq!(place("../..", "/").in_home(None).unwrap(), "/");
    }

    #[test]
    fn what_is_typed_resolves_the_way_but_not_the_last_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/etc", real.join("link")).unwrap();
        let typed = Place::typed(&real.join("link")).unwrap();
        assert_eq!(typed.full, real.join("link").to_str().unwrap());
        assert_eq!(Place::typed(&real.join("link/.")).unwrap().full, real.join("link").to_str().unwrap());
    }
}
