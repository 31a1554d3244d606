//! What a symlink's text is when it is read: my own as written, a friend's only where it stays
//! inside its space, a door that follows a room as a relative path.

use base::name;

/// Where the text of a friend's symlink leads that would leave its space: nowhere that exists.
const OUTSIDE: &str = ".chorus/outside/";

/// Whether a friend's symlink stays within its space: `(../)*name(/name)*`, `.` allowed, with no more `..`
/// than `depth` (the number of rooms between the link's room and its space's root, 0 for the root), and
/// no name of a control file.
pub fn is_contained(target: &[u8], depth: usize) -> bool {
    if target.is_empty() || target.len() > base::limit::LINK_BYTES || target[0] == b'/' || target.contains(&0)
    {
        return false;
    }
    let (mut up, mut down) = (0, false);
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if down => return false,
            b".." => up += 1,
            b".room" | b".chorus" => return false,
            _ => down = true,
        }
    }
    up <= depth
}

/// The text a friend's symlink shows: its own where that is contained, else one that resolves nowhere and
/// can be printed safely.
pub(crate) fn shown(target: Vec<u8>, depth: usize) -> Vec<u8> {
    if is_contained(&target, depth) {
        return target;
    }
    format!("{OUTSIDE}{}", name::shown(&target)).into_bytes()
}

/// The relative path from one room to another, both given from home's root (`/a/b`).
pub(crate) fn relative(from: &str, to: &str) -> String {
    let parts =
        |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut out = vec![".."; from.len() - common];
    out.extend(to[common..].iter().map(String::as_str));
    if out.is_empty() { ".".to_owned() } else { out.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_friends_link_stays_in_its_space() {
        for (target, depth) in [
            ("a", 0),
            ("a/b", 0),
            ("./a", 0),
            ("../a", 1),
            ("../../a", 2),
            (".././a", 1),
            ("..", 1),
            (".", 0),
            ("a/", 0),
        ] {
            assert!(is_contained(target.as_bytes(), depth), "{target} at {depth}");
        }
        for (target, depth) in [
            ("", 0),
            ("/etc/passwd", 9),
            ("../a", 0),
            ("../../etc", 1),
            ("a/../../b", 3),
            ("a/..", 3),
            (".room/ctl", 0),
            ("../.chorus/key", 1),
            ("./.chorus", 0),
        ] {
            assert!(!is_contained(target.as_bytes(), depth), "{target} at {depth}");
        }
        assert!(!is_contained(&[b'a'; 5000], 0));
        assert!(!is_contained(b"a\0b", 0));
    }

    #[test]
    fn what_leads_outside_resolves_nowhere_and_prints_safely() {
        assert_eq!(shown(b"../../etc".to_vec(), 1), b".chorus/outside/..%2f..%2fetc");
        assert_eq!(shown(b"/\x1b[2J".to_vec(), 1), b".chorus/outside/%2f%1b[2J");
        assert_eq!(shown(b"a/b".to_vec(), 0), b"a/b");
    }

    #[test]
    fn a_door_that_follows_is_a_relative_path() {
        assert_eq!(relative("/", "/a"), "a");
        assert_eq!(relative("/a/b", "/a/c"), "../c");
        assert_eq!(relative("/a/b", "/a"), "..");
        assert_eq!(relative("/a", "/a"), ".");
        assert_eq!(relative("/a/b", "/x/y z"), "../../x/y z");
    }
}
