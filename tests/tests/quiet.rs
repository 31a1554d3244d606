//! How little is said on a real link: counted by the nodes themselves, message by message.

use harness::{Person, befriend, share_room, shell, text, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Hellos after which a quiet link has been quiet for long enough.
const PERIODS: u64 = 2;

/// A hello goes to each friend every five seconds, up to one sooner.
const SHORTEST_PERIOD: Duration = Duration::from_secs(4);

/// Messages by kind: what one end of a link counted.
type Kinds = BTreeMap<String, u64>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    received: Kinds,
    sent: Kinds,
}

impl Counted {
    /// What `who` counted of the link with `friend`; what did not happen is not in it.
    fn of(who: &Person, friend: &str) -> Counted {
        let status = who.status();
        let peers = status["peers"].as_array().expect("friends");
        let peer = peers.iter().find(|peer| peer["name"] == friend).expect("this friend");
        let kinds = |counts: &Value| -> Kinds { serde_json::from_value(counts.clone()).expect("counts") };
        Counted { received: kinds(&peer["messages_in"]), sent: kinds(&peer["messages_out"]) }
    }

    fn since(&self, before: &Counted) -> Counted {
        let less = |now: &Kinds, then: &Kinds| {
            let more = now.iter().map(|(kind, n)| (kind.clone(), n - then.get(kind).unwrap_or(&0)));
            more.filter(|(_, n)| *n > 0).collect()
        };
        Counted { received: less(&self.received, &before.received), sent: less(&self.sent, &before.sent) }
    }

    /// Takes the hellos out of it: how many came, how many went.
    fn take_hellos(&mut self) -> [u64; 2] {
        [&mut self.received, &mut self.sent].map(|kinds| kinds.remove("hello").unwrap_or(0))
    }
}

fn kinds(of: &[(&str, u64)]) -> Kinds {
    of.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect()
}

/// Every end of every link: who, and with whom.
fn ends<'a>(people: &[&'a Person]) -> Vec<(&'a Person, &'a str)> {
    let others = |who: &&'a Person| {
        let friends: Vec<_> = people.iter().filter(|other| other.name != who.name).collect();
        friends.into_iter().map(|other| (*who, other.name.as_str())).collect::<Vec<_>>()
    };
    people.iter().flat_map(others).collect()
}

fn count(ends: &[(&Person, &str)]) -> Vec<Counted> {
    ends.iter().map(|(who, friend)| Counted::of(who, friend)).collect()
}

/// Waits until this many hellos more went out at every end.
fn pass_periods(ends: &[(&Person, &str)], periods: u64) {
    let hellos = |end: &Counted| end.sent.get("hello").copied().unwrap_or(0);
    let before: Vec<u64> = count(ends).iter().map(hellos).collect();
    wait_until("hellos go out", || {
        let now = count(ends);
        now.iter().zip(&before).all(|(now, before)| hellos(now) >= before + periods)
    });
}

/// Waits until nothing but hellos is said for a period: what was to be told of before has been.
fn settle(ends: &[(&Person, &str)]) {
    wait_until("the links are quiet", || {
        let before = count(ends);
        pass_periods(ends, 1);
        let after = count(ends);
        after.iter().zip(&before).all(|(after, before)| {
            let mut said = after.since(before);
            said.take_hellos();
            said == Counted { received: Kinds::new(), sent: Kinds::new() }
        })
    });
}

/// Lets periods pass; answers what was said beside hellos, which are looked at here.
fn listen(ends: &[(&Person, &str)], before: &[Counted], start: Instant) -> Vec<Counted> {
    pass_periods(ends, PERIODS);
    let after = count(ends);
    let most = start.elapsed().as_secs_f64() / SHORTEST_PERIOD.as_secs_f64();
    let mut said: Vec<Counted> = after.iter().zip(before).map(|(now, then)| now.since(then)).collect();
    for (said, (who, friend)) in said.iter_mut().zip(ends) {
        for hellos in said.take_hellos() {
            assert!(
                hellos + 1 >= PERIODS && hellos as f64 <= most + 2.0,
                "{} and {friend}: {hellos} hellos in at most {most:.1} periods",
                who.name
            );
        }
    }
    said
}

/// In step nobody says anything but hello; then one changes a line, and one message of gossip tells each of the others.
fn stay_quiet(people: &[&Person]) {
    let ends = ends(people);
    settle(&ends);
    let nothing = Counted { received: Kinds::new(), sent: Kinds::new() };
    let (before, start) = (count(&ends), Instant::now());
    for (said, (who, friend)) in listen(&ends, &before, start).iter().zip(&ends) {
        assert_eq!(said, &nothing, "{} and {friend} in step", who.name);
    }

    let author = people[0];
    let (before, start) = (count(&ends), Instant::now());
    shell(author.mount(), "sed -i 's/^line 7 .*/line 7 is another now/' garden/story");
    let story = text(&author.path("garden/story"));
    assert!(story.contains("another"));
    wait_until("everybody reads the line", || {
        people.iter().all(|who| text(&who.path("garden/story")) == story)
    });
    let said = listen(&ends, &before, start);
    let one = kinds(&[("gossip", 1)]);
    let mut heard: BTreeMap<&str, u64> = BTreeMap::new();
    for (said, (who, friend)) in said.iter().zip(&ends) {
        // Among those who listen it is passed on, by whichever way it came first, and dropped by whoever has it.
        let at_most_one = |kinds: &Kinds| kinds.is_empty() || *kinds == one;
        assert!(
            at_most_one(&said.received) && at_most_one(&said.sent),
            "{} and {friend}: {said:?}",
            who.name
        );
        *heard.entry(&who.name).or_default() += said.received.len() as u64;
        if who.name == author.name {
            assert_eq!(said.sent, one, "{} tells {friend} once", who.name);
        } else if people.len() == 2 {
            assert!(said.sent.is_empty(), "{} has nobody to tell: {said:?}", who.name);
        }
    }
    for who in people {
        let times = u64::from(who.name != author.name);
        assert_eq!(heard.get(who.name.as_str()), Some(&times), "{} hears the news so often", who.name);
    }
}

/// People who are each other's friends and share a room in which is a story.
fn friends(names: &[&str]) -> Vec<Person> {
    let mut people: Vec<Person> = names.iter().map(|name| Person::new(name)).collect();
    people.iter_mut().for_each(Person::up);
    let (first, others) = people.split_first().expect("somebody");
    for (n, other) in others.iter().enumerate() {
        befriend(first, other, None);
        others[..n].iter().for_each(|third| befriend(third, other, None));
        share_room(first, other, "garden", "writer");
    }
    let story: String = (0..400).map(|n| format!("line {n} of a story that everybody writes\n")).collect();
    fs::write(first.path("garden/story"), &story).unwrap();
    wait_until("all read it", || others.iter().all(|who| text(&who.path("garden/story")) == story));
    people
}

#[test]
fn two_in_step_say_hello_only_and_a_changed_line_is_one_message() {
    stay_quiet(&friends(&["ann", "bob"]).iter().collect::<Vec<_>>());
}

#[test]
fn three_in_step_say_hello_only_and_a_changed_line_is_one_message_for_each() {
    stay_quiet(&friends(&["ann", "bob", "carl"]).iter().collect::<Vec<_>>());
}
