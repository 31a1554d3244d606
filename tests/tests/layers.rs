//! A crate names only crates below it: the table of `docs/architecture.md`, held.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Who may name whom. What stands here stands in the architecture page, and the other way round.
const MAY_NAME: [(&str, &[&str]); 14] = [
    ("base", &[]),
    ("crypto", &["base"]),
    ("object", &["base"]),
    ("space", &["base", "crypto", "object"]),
    ("sync", &["base"]),
    ("sim", &["base", "sync"]),
    ("store", &["base"]),
    ("net", &["base"]),
    ("node", &["base", "crypto", "object", "space", "sync", "store", "net"]),
    ("tree", &["base", "node"]),
    ("mount", &["base", "tree"]),
    ("cli", &["base", "crypto", "object", "space", "sync", "store", "net", "node", "tree", "mount"]),
    ("tests", &[]),
    ("fuzz", &["base", "crypto", "object", "space", "sync"]),
];

fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn ours(name: &Value) -> Option<&str> {
    name.as_str()?.strip_prefix("chorus-")
}

#[test]
fn a_crate_names_only_crates_below_it() {
    let may: BTreeMap<&str, BTreeSet<&str>> =
        MAY_NAME.iter().map(|(name, below)| (*name, below.iter().copied().collect())).collect();
    let mut seen = BTreeSet::new();
    for package in packages() {
        let name =
            ours(&package["name"]).unwrap_or_else(|| panic!("{} is not named chorus-…", package["name"]));
        let allowed = may.get(name).unwrap_or_else(|| panic!("{name} has no place in the house"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            // What a crate's own tests need is not part of the house.
            if dependency["kind"] == "dev" {
                continue;
            }
            if let Some(below) = ours(&dependency["name"]) {
                assert!(allowed.contains(below), "{name} must not name {below}");
            }
        }
    }
    assert_eq!(seen, may.keys().map(|name| name.to_string()).collect(), "every crate of the house is there");
}

#[test]
fn pure_crates_do_no_io_and_keep_no_time() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates"));
    let words = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::time::Instant",
        "SystemTime::now",
        "tokio",
        "async fn",
        "getrandom",
        "HashMap",
    ];
    for name in ["base", "crypto", "object", "space", "sync", "sim"] {
        // The simulator's program reads scenarios and tells how long it took; its library does neither.
        let sources = sources(&root.join(name).join("src"));
        for file in sources.into_iter().filter(|file| !file.ends_with("main.rs")) {
            let text = std::fs::read_to_string(&file).unwrap();
            // A file's own tests may read vectors.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_test = file.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs");
            for line in code.lines().filter(|l| !is_test && !l.trim_start().starts_with("//")) {
                let found = words.iter().find(|word| line.contains(*word));
                assert!(found.is_none(), "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn the_heart_asks_one_place_what_time_it_is() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut asked = Vec::new();
    for dir in ["crates/node/src", "crates/tree/src", "crates/store/src", "mount/src"] {
        for file in sources(&root.join(dir)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            if code.contains("SystemTime::now") || code.contains("UNIX_EPOCH.elapsed") {
                asked.push(file.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    assert_eq!(asked, [std::path::Path::new("crates/node/src/clock.rs")]);
}

fn sources(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}
