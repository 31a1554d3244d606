//! Sessions written in the documentation, run as they stand.
//!
//! A block fenced as `console` holds lines `NAME$ command` and what the command prints. In what
//! it prints `…` stands for any text within a line, and a line of `…` alone for any lines. Each
//! NAME is a person with a home of their own; all of them share one working directory for files
//! they hand to each other, which the text calls `/tmp/chorus`.

use crate::{Person, chorus, wait_for};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// One command and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who types it.
    pub who: String,
    /// What is typed.
    pub line: String,
    /// What is printed, lines with `…` in them.
    pub prints: Vec<String>,
}

/// The steps of every `console` block of a page, in order.
pub fn steps(page: &str) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = !inside && line.trim() == "```console";
        } else if inside {
            match line.split_once("$ ") {
                Some((who, typed)) if !who.is_empty() && who.chars().all(|c| c.is_ascii_lowercase()) => {
                    out.push(Step { who: who.into(), line: typed.into(), prints: Vec::new() });
                }
                _ => {
                    if let Some(step) = out.last_mut() {
                        step.prints.push(line.into());
                    }
                }
            }
        }
    }
    out
}

/// Runs the steps of a page. A step whose output does not fit yet is run again until it does:
/// what a friend wrote takes a moment. Only steps that change nothing are: `cat`, `ls`, `chorus
/// status`, `chorus peer list`, `chorus members`.
///
/// # Panics
/// If a step fails or never prints what the page says.
pub fn run(page: &str) {
    let shared = crate::scratch_dir();
    let mut people: BTreeMap<String, Person> = BTreeMap::new();
    for step in steps(page) {
        let person = people.entry(step.who.clone()).or_insert_with(|| {
            let person = Person::bare(&step.who);
            std::fs::remove_dir(person.mount()).expect("an empty directory");
            person
        });
        let mut last = String::new();
        let repeatable = ["cat ", "ls", "chorus status", "chorus peer list", "chorus members"];
        if repeatable.iter().any(|word| step.line.starts_with(word)) {
            let seen = std::time::Instant::now();
            wait_for(&format!("{step:?}"), || {
                last = typed(person, shared.path(), &step.line);
                let late = seen.elapsed() + std::time::Duration::from_secs(2) > crate::wait::deadline();
                assert!(!late || fits(&step.prints, &last), "{step:?}\nprinted\n{last}");
                fits(&step.prints, &last).then_some(())
            });
        } else {
            last = typed(person, shared.path(), &step.line);
            assert!(fits(&step.prints, &last), "{step:?}\nprinted\n{last}");
        }
    }
    for person in people.values() {
        let _ = typed(person, shared.path(), "chorus down");
    }
}

fn typed(person: &Person, shared: &Path, line: &str) -> String {
    let program = chorus();
    let dir = program.parent().unwrap_or(Path::new("/")).display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let line = line.replace("/tmp/chorus", &shared.display().to_string());
    let out = Command::new("bash")
        .arg("-c")
        .arg(format!("exec 2>&1; cd; {line}"))
        .env("HOME", person.dir())
        .env("USER", &person.name)
        .env("CHORUS_HOME", person.home())
        .env("PATH", format!("{dir}:{path}"))
        .output()
        .expect("bash");
    String::from_utf8_lossy(&out.stdout).replace(&shared.display().to_string(), "/tmp/chorus")
}

/// Whether what was printed fits what the page says.
pub fn fits(says: &[String], printed: &str) -> bool {
    let lines: Vec<&str> = printed.lines().collect();
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    fits_lines(&says, &lines)
}

fn fits_lines(says: &[&str], lines: &[&str]) -> bool {
    match says.split_first() {
        None => lines.is_empty(),
        Some((&"…", rest)) => (0..=lines.len()).any(|skip| fits_lines(rest, &lines[skip..])),
        Some((first, rest)) => match lines.split_first() {
            Some((line, more)) => fits_line(first, line) && fits_lines(rest, more),
            None => false,
        },
    }
}

fn fits_line(says: &str, line: &str) -> bool {
    let mut parts = says.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.trim_end().strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = Some(part);
    }
    // Without `…` all of it must fit; with one at the end anything may follow.
    rest.is_empty() || last == Some("") || last.is_some_and(|part| rest.ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_from_console_blocks_only() {
        let page = "text\n```console\nann$ ls\na\nb\nbob$ cat x\n```\n```sh\nann$ no\n```\n";
        let found = steps(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].prints, ["a", "b"]);
        assert_eq!((found[1].who.as_str(), found[1].line.as_str()), ("bob", "cat x"));
    }

    #[test]
    fn dots_stand_for_anything() {
        let says = |lines: &[&str]| lines.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        assert!(fits(&says(&["a … c"]), "a b c\n"));
        assert!(fits(&says(&["me …"]), "me x y\n"));
        assert!(!fits(&says(&["a … c"]), "a b d\n"));
        assert!(fits(&says(&["a", "…", "z"]), "a\nb\nc\nz\n"));
        assert!(!fits(&says(&["a"]), "a\nb\n"));
        assert!(!fits(&says(&["a"]), "ab\n"));
    }
}
