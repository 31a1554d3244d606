//! Gossip among friends.
#![allow(missing_docs)]

mod support;

use base::limit;
use net::Event;
use std::collections::BTreeSet;
use std::time::Duration;
use support::*;

fn topic(n: usize) -> String {
    format!("{n:064x}")
}

#[test]
fn three_hundred_topics_work_and_each_message_comes_once() {
    let (one, two) = pair_of(TCP, 50, 51);
    let topics: Vec<String> = (0..300).map(topic).collect();
    two.subscribe(topics.clone());
    one.subscribe(topics.clone());
    hears(&one, &two, &topics[299]);
    for topic in &topics {
        one.net.publish(topic.clone(), topic.as_bytes().to_vec());
        // The same again is the same message.
        one.net.publish(topic.clone(), topic.as_bytes().to_vec());
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 300 {
        two.wait("gossip", |e| match e {
            Event::Gossip { topic, bytes, from } if bytes == topic.as_bytes() => {
                assert_eq!(from, one.id);
                assert!(seen.insert(topic), "twice");
                Some(())
            }
            _ => None,
        });
    }
}

#[test]
fn topics_known_before_the_meeting_are_told_at_the_meeting() {
    let (one, two) = (node(52, &[TCP]), node(53, &[]));
    let topics: Vec<String> = (0..1000).map(topic).collect();
    one.subscribe(topics.clone());
    two.subscribe(topics.clone());
    one.allow(&[two.id]);
    two.allow(&[one.id]);
    two.net.dial(one.id, one.net.listening());
    one.connected(two.id);
    hears(&one, &two, &topics[0]);
    hears(&two, &one, &topics[999]);
}

#[test]
fn friends_pass_on_what_friends_say() {
    let (one, middle, two) = (node(54, &[TCP]), node(55, &[]), node(56, &[TCP]));
    one.allow(&[middle.id]);
    two.allow(&[middle.id]);
    middle.allow(&[one.id, two.id]);
    for end in [&one, &two] {
        middle.net.dial(end.id, end.net.listening());
        end.connected(middle.id);
    }
    for node in [&one, &middle, &two] {
        node.subscribe([topic(1)]);
    }
    hears(&one, &two, &topic(1));
    hears(&two, &one, &topic(1));
}

#[test]
fn what_nobody_asked_for_is_not_sent_and_what_is_too_long_is_told() {
    let (one, two) = pair_of(TCP, 57, 58);
    two.subscribe([topic(1), topic(2)]);
    hears(&one, &two, &topic(1));
    two.subscribe([topic(1)]);
    one.net.publish(topic(1), vec![0; limit::GOSSIP_BYTES]);
    two.wait("the longest message", |e| match e {
        Event::Gossip { bytes, .. } if bytes.len() == limit::GOSSIP_BYTES => Some(()),
        _ => None,
    });
    one.net.publish(topic(1), vec![0; limit::GOSSIP_BYTES + 1]);
    one.wait("trouble", |e| matches!(e, Event::Trouble { .. }).then_some(()));
    eventually("the topic is left", || {
        one.net.publish(topic(2), format!("{:?}", std::time::Instant::now()).into_bytes());
        !two.during(Duration::from_millis(200)).iter().any(|e| matches!(e, Event::Gossip { .. }))
    });
}

#[test]
fn gossip_survives_a_restart_of_either_end() {
    let (a, b) = by_id(59, 60);
    for (stays, restarts) in [(a, b), (b, a)] {
        let (one, two) = pair_of(TCP, restarts, stays);
        two.subscribe([topic(1)]);
        one.subscribe([topic(1)]);
        hears(&one, &two, &topic(1));
        let listen = one.net.listening();
        drop(one);
        let one = node(restarts, &listen.iter().map(String::as_str).collect::<Vec<_>>());
        one.subscribe([topic(1)]);
        one.allow(&[two.id]);
        one.connected(two.id);
        hears(&two, &one, &topic(1));
        hears(&one, &two, &topic(1));
    }
}
