//! The picture of who hears whom says what is so, and what is no more.

use harness::namespace::{ADDRESSES, Cable};
use harness::{Person, befriend, share_room, text, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The strings of a line of DOT, after the shape of the line was looked at.
fn checked_line<'a>(line: &'a str, nodes: &mut BTreeSet<&'a str>) -> Vec<String> {
    let (head, rest) = line.split_once(" [").unwrap_or_else(|| panic!("attributes in {line:?}"));
    let attributes = rest.strip_suffix("];").unwrap_or_else(|| panic!("an end of {line:?}"));
    let head = head.strip_prefix("  ").expect("an indented statement");
    match head.split_once(" -> ") {
        Some((from, to)) => {
            assert!(nodes.contains(from) && nodes.contains(to), "an edge between what was named: {line:?}")
        }
        None => assert!(
            head.chars().all(|c| c.is_ascii_alphanumeric()) && nodes.insert(head),
            "each is named once: {line:?}"
        ),
    }
    // What is outside of quotes is only names, commas and equals signs.
    let (mut strings, mut open, mut escaped) = (Vec::new(), false, false);
    for c in attributes.chars() {
        match (open, escaped, c) {
            (true, true, _) => escaped = false,
            (true, false, '\\') => escaped = true,
            (false, _, '"') => {
                open = true;
                strings.push(String::new());
            }
            (true, false, '"') => open = false,
            (true, false, c) => strings.last_mut().expect("an open string").push(c),
            (false, _, c) => assert!(c.is_ascii_alphabetic() || "=, ".contains(c), "{c:?} in {line:?}"),
        }
    }
    assert!(!open, "a closed string: {line:?}");
    strings
}

/// The labels of the edges, each with its ends' labels.
fn edges(dot: &str) -> Vec<(String, String, String)> {
    let body = dot.strip_prefix("digraph chorus {\n").and_then(|d| d.strip_suffix("}\n")).expect("a digraph");
    let mut nodes = BTreeSet::new();
    let mut labels = BTreeMap::new();
    let mut edges = Vec::new();
    for line in body.lines() {
        let label = checked_line(line, &mut nodes).pop().expect("a label");
        match line.trim_start().split_once(" [").and_then(|(head, _)| head.split_once(" -> ")) {
            Some((from, to)) => edges.push((from.to_owned(), to.to_owned(), label)),
            None => drop(labels.insert(line.trim_start().split(' ').next().unwrap().to_owned(), label)),
        }
    }
    edges.into_iter().map(|(from, to, label)| (labels[&from].clone(), labels[&to].clone(), label)).collect()
}

#[test]
fn a_link_that_is_cut_shows_on_the_map_and_so_does_who_brings_what() {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let cable = Cable::lay();
    let mut ann = Person::in_namespace("ann", &cable.ends[0], ADDRESSES[0]);
    let mut bob = Person::in_namespace("bob", &cable.ends[1], ADDRESSES[1]);
    let mut carl = Person::in_namespace("carl", &cable.ends[1], "127.0.0.1");
    for person in [&mut ann, &mut bob, &mut carl] {
        person.up();
    }
    // Ann and Carl hear Bob only.
    befriend(&bob, &ann, Some("garden"));
    befriend(&bob, &carl, None);
    share_room(&bob, &carl, "garden", "writer");
    fs::write(carl.path("garden/from carl"), "hello\n").unwrap();
    wait_until("ann has what carl wrote", || text(&ann.path("garden/from carl")) == "hello\n");
    let line = |person: &Person, of: &str| {
        let map = text(&person.mount().join(".chorus/map"));
        map.lines().find(|line| line.contains(&format!(" {of}: "))).unwrap_or_default().to_owned()
    };
    let stands = |line: String| {
        line.contains("── ")
            && line.contains(", heard ")
            && line.contains("in step")
            && line.ends_with("; /garden")
    };
    wait_until("the map shows the links", || {
        stands(line(&ann, "bob")) && stands(line(&bob, "ann")) && stands(line(&bob, "carl"))
    });
    // Whoever Carl is, Ann knows through whom she hears of him.
    wait_until("the map shows what came through bob", || {
        ann.ok(&["status", "--map"]).lines().last().is_some_and(|line| line.ends_with(" came this way"))
    });
    let dot = ann.ok(&["status", "--map", "--dot"]);
    let drawn = edges(&dot);
    let label_of = |from: &str, to: &str| {
        drawn.iter().find(|edge| edge.0 == from && edge.1 == to).map_or(dot.as_str(), |edge| &edge.2)
    };
    assert!(
        label_of("ann", "bob").starts_with("tcp, ") || label_of("ann", "bob").starts_with("quic, "),
        "{dot}"
    );
    assert!(
        drawn.iter().any(|(from, to, label)| from != "ann" && to == "bob" && label.contains("entr")),
        "{dot}"
    );
    assert_eq!(edges(&text(&ann.mount().join(".chorus/map.dot"))).len(), drawn.len());
    // The same facts for scripts.
    let peers = ann.status()["peers"].clone();
    assert!(["tcp", "quic"].map(Some).contains(&peers[0]["carrier"].as_str()), "{peers}");
    assert!(peers[0]["last_heard"].as_u64() >= peers[0]["last_seen"].as_u64(), "{peers}");
    assert!(peers[0]["brings"].as_array().is_some_and(|brings| !brings.is_empty()), "{peers}");

    cable.cut();
    fs::write(ann.path("garden/from ann"), "are you there?\n").unwrap();
    let cut = |line: String| line.contains("┄┄ ") && line.contains(": away, heard ");
    wait_until("both ends show the cut", || cut(line(&ann, "bob")) && cut(line(&bob, "ann")));
    wait_until("ann's shows what bob lacks", || line(&ann, "bob").contains(", they lack "));
    assert!(stands(line(&bob, "carl")), "what was not cut stands: {}", line(&bob, "carl"));
    let dot = ann.ok(&["status", "--dot"]);
    assert!(edges(&dot).iter().any(|(_, to, label)| to == "bob" && label.starts_with("away, ")), "{dot}");
    cable.heal();
    wait_until("the map shows the link again", || stands(line(&ann, "bob")) && stands(line(&bob, "ann")));
}
