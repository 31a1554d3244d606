//! Everything follows from the set: any order of arrival gives the same.

use super::*;
use proptest::prelude::*;

// What statements and operations of some hours come to: people who certify further devices, adds
// one after another and side by side, and what is refused, waits for ever or is for later.
fn history() -> (NewSpace, Vec<Entry>) {
    let (alice, bob, carol, dave) = (actor(10), actor(20), actor(30), actor(40));
    let all = people(&[&alice, &bob, &carol, &dave]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &all);
    let start = m.heads();
    let tablet = DeviceKey::from_seed([95; 32]);
    let statement = certify(&bob.id, &tablet, &bob.seal.public(), 1, None);
    let certificate = state(&bob.device, &bob.id, &statement.encode(), 0, &bob.entries[1]);

    let mut out: Vec<Entry> =
        [&alice, &bob, &carol, &dave].iter().flat_map(|actor| actor.entries.clone()).collect();
    out.push(certificate);
    out.push(space.entries[1].clone());
    let bob_admin = add(&mut m, &all, &alice, &bob, Role::Admin, &space.secret);
    let after_bob = m.heads();
    let mut seq = 100;
    let mut operation = |by: &DeviceKey, who: &Actor, role: Role, auth: &[Hash]| {
        seq += 1;
        let body = add_member(&m, &who.person(), role, &space.secret, &[5; 32]).unwrap().encode();
        operate(by, &space.id, &body, seq, auth)
    };
    // Side by side, with different roles, one by a device that only a statement makes Bob's.
    let one = operation(&alice.device, &carol, Role::Reader, &start);
    let two = operation(&tablet, &carol, Role::Writer, &after_bob);
    let three = operation(&bob.device, &dave, Role::Host, &[one.hash(), two.hash()]);
    let refused = operation(&carol.device, &dave, Role::Admin, &[two.hash()]);
    let on_refused = operation(&alice.device, &dave, Role::Reader, &[refused.hash(), three.hash()]);
    let unknown = operation(&actor(60).device, &dave, Role::Admin, &[one.hash()]);
    let on_unknown = operation(&dave.device, &dave, Role::Admin, &[unknown.hash()]);
    let never = operation(&alice.device, &dave, Role::Admin, &[Hash([1; 32])]);
    let on_never = operation(&alice.device, &dave, Role::Admin, &[never.hash()]);
    let remove = Operation::Remove { person: carol.id, cut: Cut::new() }.encode();
    let remove = operate(&alice.device, &space.id, &remove, 300, &[three.hash()]);
    let junk = operate(&alice.device, &space.id, b"junk", 301, &[bob_admin.hash()]);
    let clear = [&bob_admin, &one, &two, &three, &refused, &on_refused];
    out.extend(clear.into_iter().chain([&unknown, &on_unknown, &never, &on_never]).cloned());
    out.extend([remove, junk]);
    // A reader's words for later, and two persons' device, whose operation counts for one of them.
    let oneself = Operation::Remove { person: dave.id, cut: Cut::new() }.encode();
    out.push(operate(&dave.device, &space.id, &oneself, 302, &[three.hash()]));
    out.push(operate(&carol.device, &space.id, &[0x82, 2, 0], 303, &[one.hash()]));
    let shared = DeviceKey::from_seed([96; 32]);
    for owner in [&carol, &bob] {
        let statement = certify(&owner.id, &shared, &owner.seal.public(), 1, None);
        out.push(state(&owner.device, &owner.id, &statement.encode(), 0, &owner.entries[1]));
    }
    out.push(operation(&shared, &dave, Role::Reader, &after_bob));
    (space, out)
}

type Seen = (Vec<(Hash, Outcome)>, BTreeMap<PersonId, Role>, Vec<Hash>, Vec<EpochId>, Vec<Hash>);

// Takes entries in the given order; statements that come before their person wait outside.
fn play(space: &NewSpace, order: &[Entry], settle_each_time: bool) -> Seen {
    let mut people = People::new();
    let mut m = Membership::new(&space.entries[0]).unwrap();
    let mut outside: Vec<Entry> = Vec::new();
    for entry in order {
        if entry.header().kind == EntryKind::Membership {
            let outcome = m.insert(entry, &people).unwrap();
            match (m.outcome(&entry.hash()), outcome) {
                // What can never count is not kept.
                (None, Outcome::Refused(_)) => {}
                (kept, outcome) => assert_eq!(kept, Some(outcome)),
            }
            continue;
        }
        outside.push(entry.clone());
        outside.retain(|e| matches!(people.insert(e).unwrap(), Outcome::Waits(Missing::Person(_))));
        outside.retain(|e| matches!(people.insert(e).unwrap(), Outcome::Waits(Missing::Person(_))));
        if settle_each_time {
            m.settle(&people);
        }
    }
    m.settle(&people);
    let entries = m.entries().iter().map(|entry| entry.hash()).collect();
    (m.outcomes().collect(), m.members(), m.heads(), m.epochs(), entries)
}

#[test]
fn the_history_says_what_it_should() {
    let (space, order) = history();
    let (outcomes, members, heads, epochs, _) = play(&space, &order, true);
    let (alice, bob, carol, dave) = (actor(10), actor(20), actor(30), actor(40));
    assert_eq!(
        members,
        roles(&[(&alice, Role::Admin), (&bob, Role::Admin), (&carol, Role::Writer), (&dave, Role::Reader)])
    );
    assert_eq!(epochs.len(), 1);
    assert_eq!(heads.len(), 3);
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, o)| wanted(o)).count();
    assert_eq!(count(|o| *o == Outcome::Counts), 8);
    assert_eq!(count(|o| *o == Outcome::Later), 3);
    assert_eq!(count(|o| matches!(o, Outcome::Refused(_))), 1);
    assert_eq!(count(|o| matches!(o, Outcome::Waits(Missing::Entries(_)))), 2);
    assert_eq!(count(|o| matches!(o, Outcome::Waits(Missing::Device(_)))), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_arrival_gives_the_same(
        keys in proptest::collection::vec(any::<u32>(), 30),
        each in any::<bool>(),
    ) {
        let (space, order) = history();
        let expected = play(&space, &order, true);
        let mut shuffled: Vec<(u32, Entry)> = keys.into_iter().zip(order.iter().cloned()).collect();
        prop_assert_eq!(shuffled.len(), order.len());
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<Entry> = shuffled.into_iter().map(|(_, entry)| entry).collect();
        prop_assert_eq!(play(&space, &shuffled, each), expected);
    }

    #[test]
    fn what_has_come_so_far_never_says_more_than_the_whole(
        keys in proptest::collection::vec(any::<u32>(), 30),
        part in 0usize..28,
    ) {
        let (space, order) = history();
        let whole = play(&space, &order, true);
        let mut shuffled: Vec<(u32, Entry)> = keys.into_iter().zip(order).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let some: Vec<Entry> = shuffled.into_iter().map(|(_, entry)| entry).take(part).collect();
        for (person, role) in play(&space, &some, true).1 {
            prop_assert!(whole.1.get(&person).is_some_and(|most| role <= *most));
        }
    }
}
