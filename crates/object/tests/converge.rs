//! Three people write words into one text, apart, in any order of delivery: one text, and no word is
//! lost that nobody who had seen it deleted.

use base::{Actor, ObjectId};
use object::{Birth, Content, Doc, Heads, Meta, Type};
use proptest::prelude::*;
use std::collections::BTreeSet;

const BIRTH: &str = "alpha beta gamma delta\nepsilon zeta eta theta\niota kappa lambda mu\n";

#[derive(Clone, Debug)]
enum Step {
    /// A new word before, after or instead of the word at a place, or a line, or none at all.
    Edit { who: usize, place: prop::sample::Index, how: u8, old_base: bool },
    /// Everything one has goes to another; backwards, and twice.
    Send { from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..3, any::<prop::sample::Index>(), 0u8..5, any::<bool>())
            .prop_map(|(who, place, how, old_base)| Step::Edit { who, place, how, old_base }),
        1 => (0usize..3, 0usize..3).prop_map(|(from, to)| Step::Send { from, to }),
    ]
}

struct Replica {
    doc: Doc,
    /// The changes it has, and what each brought and deleted.
    log: Vec<Vec<u8>>,
    bases: Vec<Heads>,
}

/// The text with one edit; the word that came and the one that went.
fn edited(text: &str, place: &prop::sample::Index, how: u8, word: &str) -> (String, Option<String>) {
    let words: Vec<(usize, &str)> =
        text.split_whitespace().map(|w| (w.as_ptr() as usize - text.as_ptr() as usize, w)).collect();
    if words.is_empty() {
        return (format!("{word}\n"), None);
    }
    let (at, old) = words[place.index(words.len())];
    let end = at + old.len();
    match how {
        0 => (format!("{}{word} {}", &text[..at], &text[at..]), None),
        1 => (format!("{} {word}{}", &text[..end], &text[end..]), None),
        2 => (format!("{}{word}{}", &text[..at], &text[end..]), Some(old.to_owned())),
        3 => {
            let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
            (format!("{}{word}\n{}", &text[..line], &text[line..]), None)
        }
        _ => (format!("{}{}", &text[..at], &text[end..]), Some(old.to_owned())),
    }
}

fn send(replicas: &mut [Replica], from: usize, to: usize) {
    if from == to {
        return;
    }
    let mut changes: Vec<Vec<u8>> = replicas[from].log.iter().rev().cloned().collect();
    changes.extend(replicas[from].log.iter().cloned());
    let applied = replicas[to].doc.apply(&changes, &|_| true).unwrap();
    assert_eq!(applied.refused, vec![]);
    let known: BTreeSet<Vec<u8>> = replicas[to].log.iter().cloned().collect();
    let news: Vec<Vec<u8>> = replicas[from].log.iter().filter(|c| !known.contains(*c)).cloned().collect();
    replicas[to].log.extend(news);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn texts_converge_and_lose_no_word(steps in proptest::collection::vec(step(), 1..24)) {
        let content = Content::Bytes(BIRTH.as_bytes().to_vec());
        let birth = Birth { id: ObjectId([1; 16]), kind: Type::Text, meta: Meta::default(), content };
        let new = || Replica { doc: Doc::born(&birth).unwrap(), log: vec![], bases: vec![Heads::default()] };
        let mut replicas = vec![new(), new(), new()];
        let (mut came, mut went) = (BTreeSet::new(), BTreeSet::new());
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Edit { who, place, how, old_base } => {
                    let replica = &mut replicas[*who];
                    let base = if *old_base { replica.bases[place.index(replica.bases.len())].clone() } else { replica.doc.heads() };
                    let word = format!("w{n}x");
                    let old = replica.doc.text_at(&base).unwrap();
                    let (text, deleted) = edited(&old, place, *how, &word);
                    let made = replica.doc.edit_text(&Actor([*who as u8 + 1; 16]), 0, &base, &text).unwrap();
                    if let Some(made) = made {
                        prop_assert_eq!(replica.doc.text_at(&made.wrote).unwrap(), text);
                        prop_assert_eq!(replica.doc.text_at(&made.now).unwrap(), replica.doc.text());
                        replica.bases.push(made.wrote);
                        replica.bases.push(made.now);
                        replica.log.push(made.change);
                    }
                    if *how != 4 {
                        came.insert(word);
                    }
                    // Words that ran together count as one that went: whoever deletes it has seen both.
                    went.extend(deleted);
                }
                Step::Send { from, to } => send(&mut replicas, *from, *to),
            }
        }
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
            send(&mut replicas, from, to);
        }
        let text = replicas[0].doc.text();
        for replica in &replicas {
            prop_assert_eq!(&replica.doc.text(), &text);
            prop_assert_eq!(replica.doc.heads(), replicas[0].doc.heads());
            prop_assert_eq!(replica.doc.clock(), replicas[0].doc.clock());
            let again = Doc::load(&replica.doc.save()).unwrap();
            prop_assert_eq!(again.text(), replica.doc.text());
        }
        for word in &came {
            if !went.iter().any(|gone| gone.contains(word)) {
                prop_assert!(text.contains(word), "{} is lost from {:?}", word, text);
            }
        }
    }
}
