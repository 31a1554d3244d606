//! What operations come to.

use super::*;

#[test]
fn a_new_space_has_its_creator_and_an_epoch_that_opens() {
    let alice = actor(10);
    let people = people(&[&alice]);
    let space = made(&alice, SpaceKind::Home);
    let m = membership(&space, &people);
    assert_eq!(m.id(), space.id);
    assert_eq!(m.members(), roles(&[(&alice, Role::Admin)]));
    assert_eq!(m.heads(), [space.entries[1].hash()]);
    let epoch = m.current_epoch().unwrap();
    assert_eq!(epoch.0, space.entries[1].hash().0);
    let opened = m.open(&alice.recipient(), &alice.seal);
    assert_eq!(opened.secrets[&epoch], space.secret);
    assert_eq!(opened.topics[&epoch], space.secret.topic_secret());
    let recovered = m.open(&Recipient::Recovery(alice.id), alice.root.recovery());
    assert_eq!(recovered.secrets[&epoch], space.secret);
    assert_eq!(m.judge(&content(&alice.device, &space.id, epoch, m.heads()), &people), Verdict::Counts);
}

#[test]
fn nothing_counts_before_the_creator_is_known() {
    let alice = actor(10);
    let space = made(&alice, SpaceKind::Shared);
    let nobody = People::new();
    let mut m = Membership::new(&space.entries[0]).unwrap();
    let waits = Outcome::Waits(Missing::Device(alice.device.id()));
    assert_eq!(m.insert(&space.entries[1], &nobody).unwrap(), waits);
    assert!(m.members().is_empty() && m.heads().is_empty() && m.current_epoch().is_none());
    assert_eq!(m.unknown_people(&nobody), [alice.id]);
    let people = people(&[&alice]);
    assert!(m.settle(&people));
    assert!(!m.settle(&people));
    assert_eq!(m.outcome(&space.entries[1].hash()), Some(Outcome::Counts));
}

#[test]
fn each_role_gets_its_secrets_and_its_rights() {
    let (alice, bob, carol, dave) = (actor(10), actor(20), actor(30), actor(40));
    let people = people(&[&alice, &bob, &carol, &dave]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    let cast = [(&bob, Role::Writer), (&carol, Role::Reader), (&dave, Role::Host)];
    for (who, role) in cast {
        add(&mut m, &people, &alice, who, role, &space.secret);
    }
    let epoch = m.current_epoch().unwrap();
    assert_eq!(m.role_of_device(&bob.device.id(), &people), Some(Role::Writer));
    for (who, role) in cast {
        let opened = m.open(&who.recipient(), &who.seal);
        assert_eq!(opened.secrets.contains_key(&epoch), role.may_read(), "{role}");
        assert_eq!(opened.topics[&epoch], space.secret.topic_secret());
        let recovered = m.open(&Recipient::Recovery(who.id), who.root.recovery());
        assert_eq!(recovered.secrets.contains_key(&epoch), role.may_read());
        let verdict = m.judge(&content(&who.device, &space.id, epoch, m.heads()), &people);
        let refused = Verdict::Refused(Refusal::Role { has: role, needs: Role::Writer });
        assert_eq!(verdict, if role.may_write() { Verdict::Counts } else { refused });
        assert_eq!(m.wraps_for(&who.recipient()), [epoch]);
    }
    let stranger = actor(60);
    assert!(m.open(&stranger.recipient(), &stranger.seal).topics.is_empty());
}

#[test]
fn only_what_was_written_as_a_writer_counts() {
    let (alice, bob) = (actor(10), actor(20));
    let people = people(&[&alice, &bob]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    let before = m.heads();
    let epoch = m.current_epoch().unwrap();
    add(&mut m, &people, &alice, &bob, Role::Reader, &space.secret);
    let reader = m.heads();
    add(&mut m, &people, &alice, &bob, Role::Writer, &space.secret);
    let judge = |auth| m.judge(&content(&bob.device, &space.id, epoch, auth), &people);
    assert_eq!(judge(before), Verdict::Refused(Refusal::NotMember));
    assert!(matches!(judge(reader), Verdict::Refused(Refusal::Role { has: Role::Reader, .. })));
    assert_eq!(judge(m.heads()), Verdict::Counts);
    assert_eq!(judge(vec![]), Verdict::Refused(Refusal::NoHeads));
    let unknown = Hash([3; 32]);
    assert_eq!(judge(vec![unknown]), Verdict::Waits(Missing::Entries(vec![unknown])));
    let elsewhere = content(&bob.device, &SpaceId([3; 32]), epoch, m.heads());
    assert_eq!(m.judge(&elsewhere, &people), Verdict::Refused(Refusal::Foreign));
    let judge_epoch = |epoch| m.judge(&content(&bob.device, &space.id, epoch, m.heads()), &people);
    assert_eq!(judge_epoch(EpochId([3; 32])), Verdict::Waits(Missing::Entries(vec![unknown])));
    assert_eq!(judge_epoch(EpochId(space.id.0)), Verdict::Refused(Refusal::NotEpoch));
    let stranger = content(&actor(60).device, &space.id, epoch, m.heads());
    assert!(matches!(m.judge(&stranger, &people), Verdict::Waits(Missing::Device(_))));
}

#[test]
fn only_admins_add() {
    let (alice, bob, carol) = (actor(10), actor(20), actor(30));
    let people = people(&[&alice, &bob, &carol]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    add(&mut m, &people, &alice, &bob, Role::Writer, &space.secret);
    let operation = add_member(&m, &carol.person(), Role::Admin, &space.secret, &[5; 32]).unwrap().encode();
    let by_writer = operate(&bob.device, &space.id, &operation, 0, &m.heads());
    let refused = Refusal::Role { has: Role::Writer, needs: Role::Admin };
    assert_eq!(m.insert(&by_writer, &people).unwrap(), Outcome::Refused(refused));
    let by_stranger = operate(&carol.device, &space.id, &operation, 0, &m.heads());
    assert_eq!(m.insert(&by_stranger, &people).unwrap(), Outcome::Refused(Refusal::NotMember));
    let headless = operate(&alice.device, &space.id, &operation, 40, &[]);
    assert_eq!(m.insert(&headless, &people).unwrap(), Outcome::Refused(Refusal::NoHeads));
    // Somebody who was made admin over heads that do not include it is none there.
    let before = m.heads();
    add(&mut m, &people, &alice, &bob, Role::Admin, &space.secret);
    let early = operate(&bob.device, &space.id, &operation, 1, &before);
    assert_eq!(m.insert(&early, &people).unwrap(), Outcome::Refused(refused));
    let now = operate(&bob.device, &space.id, &operation, 2, &m.heads());
    assert_eq!(m.insert(&now, &people).unwrap(), Outcome::Counts);
    assert_eq!(m.role(&carol.id), Some(Role::Admin));
    // What was refused is in no heads.
    assert_eq!(m.heads(), [now.hash()]);
    let unsigned = Entry::assemble(now.header(), b"other", &now.signature()).unwrap();
    assert!(matches!(m.insert(&unsigned, &people), Err(Error::Crypto(_))));
}

#[test]
fn a_home_is_shared_with_hosts_only() {
    let (alice, bob) = (actor(10), actor(20));
    let people = people(&[&alice, &bob]);
    let space = made(&alice, SpaceKind::Home);
    let mut m = membership(&space, &people);
    let operation = add_member(&m, &bob.person(), Role::Reader, &space.secret, &[5; 32]).unwrap();
    let entry = operate(&alice.device, &space.id, &operation.encode(), 3, &m.heads());
    assert_eq!(m.insert(&entry, &people).unwrap(), Outcome::Refused(Refusal::Home));
    add(&mut m, &people, &alice, &bob, Role::Host, &space.secret);
    assert_eq!(m.members(), roles(&[(&alice, Role::Admin), (&bob, Role::Host)]));
}

#[test]
fn what_a_later_version_evaluates_is_kept_and_has_no_effect() {
    let (alice, bob) = (actor(10), actor(20));
    let people = people(&[&alice, &bob]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    add(&mut m, &people, &alice, &bob, Role::Writer, &space.secret);
    let members = m.members();
    let Some(second) = m.operation(&space.entries[1].hash()).cloned() else { panic!("no epoch") };
    let later = [
        Operation::Remove { person: bob.id, cut: Cut::new() },
        Operation::SetRole {
            person: bob.id,
            role: Role::Reader,
            cut: Cut::new(),
            epoch: None,
            wraps: vec![],
        },
        second,
    ];
    for (n, operation) in later.iter().enumerate() {
        let entry = operate(&alice.device, &space.id, &operation.encode(), 50 + n as u64, &m.heads());
        assert_eq!(m.insert(&entry, &people).unwrap(), Outcome::Later, "{}", operation.word());
        assert_eq!(m.heads(), [entry.hash()]);
    }
    let newer = operate(&alice.device, &space.id, &[0x82, 2, 0], 60, &m.heads());
    assert_eq!(m.insert(&newer, &people).unwrap(), Outcome::Later);
    assert_eq!(m.later(), 4);
    assert_eq!(m.members(), members);
    assert_eq!(m.epochs().len(), 1);
    let under_later = EpochId(m.entries()[5].hash().0);
    let header = content(&alice.device, &space.id, under_later, m.heads());
    assert_eq!(m.judge(&header, &people), Verdict::Waits(Missing::Version));
    // Going is everybody's right; sending somebody else away is not.
    let oneself = operate(&bob.device, &space.id, &later[0].encode(), 3, &m.heads());
    assert_eq!(m.insert(&oneself, &people).unwrap(), Outcome::Later);
    let other = Operation::Remove { person: alice.id, cut: Cut::new() };
    let other = operate(&bob.device, &space.id, &other.encode(), 4, &m.heads());
    assert!(matches!(m.insert(&other, &people).unwrap(), Outcome::Refused(Refusal::Role { .. })));
}

#[test]
fn a_wrap_that_opens_to_something_else_is_named() {
    let (alice, bob) = (actor(10), actor(20));
    let people = people(&[&alice, &bob]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    let wrong = EpochSecret::new([1; 32]);
    assert_eq!(add_member(&m, &bob.person(), Role::Reader, &wrong, &[5; 32]), Err(Error::NoEpoch));
    let mut good = add_member(&m, &bob.person(), Role::Reader, &space.secret, &[5; 32]).unwrap();
    if let Operation::Add { wraps, .. } = &mut good {
        // The wraps change places: each is now bound to the other recipient.
        let (first, second) = (wraps[0].sealed, wraps[1].sealed);
        wraps[0].sealed = second;
        wraps[1].sealed = first;
    }
    let entry = operate(&alice.device, &space.id, &good.encode(), 5, &m.heads());
    assert_eq!(m.insert(&entry, &people).unwrap(), Outcome::Counts);
    let opened = m.open(&bob.recipient(), &bob.seal);
    assert!(opened.secrets.is_empty());
    assert_eq!(opened.broken, [m.current_epoch().unwrap()]);
}

#[test]
fn a_replaced_epoch_opens_through_the_one_that_replaces_it() {
    // Two first epochs made apart both count; one of them carries the other's secret, as every later
    // epoch will.
    let (alice, bob) = (actor(10), actor(20));
    let people = people(&[&alice, &bob]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    let old = m.current_epoch().unwrap();
    let secret = EpochSecret::new([8; 32]);
    let nonce = [4; 16];
    let recipients = BTreeMap::from([(bob.recipient(), bob.seal.public())]);
    let wraps =
        wrap::wrap_all(wrap::Secret::Epoch, &space.id, &nonce, secret.expose(), &recipients, &[6; 32])
            .unwrap();
    let operation = Operation::Epoch {
        nonce,
        commit: secret.commit(),
        topic: secret.topic_secret().commit(),
        wraps,
        host_wraps: vec![],
        previous: vec![(old, crypto::seal_previous(&secret, &space.id, &old, &space.secret))],
    };
    let entry = operate(&alice.device, &space.id, &operation.encode(), 5, &[space.entries[0].hash()]);
    assert_eq!(m.insert(&entry, &people).unwrap(), Outcome::Counts);
    assert_eq!(m.epochs().len(), 2);
    assert_eq!(m.current_epoch(), m.epochs().into_iter().min());
    // Bob has a wrap for the one, and gets the other through it.
    let opened = m.open(&bob.recipient(), &bob.seal);
    assert_eq!(opened.secrets[&EpochId(entry.hash().0)], secret);
    assert_eq!(opened.secrets[&old], space.secret);
    assert_eq!(m.open(&alice.recipient(), &alice.seal).secrets.len(), 1);
}

#[test]
fn a_second_genesis_is_refused() {
    let alice = actor(10);
    let people = people(&[&alice]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    let body = m.operation(&space.entries[0].hash()).unwrap().encode();
    let second = operate(&alice.device, &space.id, &body, 5, &m.heads());
    assert_eq!(m.insert(&second, &people).unwrap(), Outcome::Refused(Refusal::SecondBeginning));
    let other = made(&actor(20), SpaceKind::Shared);
    assert!(m.insert(&other.entries[0], &people).is_err());
    assert!(m.insert(&other.entries[1], &people).is_err());
    assert!(Membership::new(&space.entries[1]).is_err());
    assert!(Membership::new(&alice.entries[0]).is_err());
}

#[test]
fn a_genesis_in_the_name_of_another_makes_no_member() {
    let (alice, mallory) = (actor(10), actor(40));
    let body = Operation::Genesis { creator: alice.id, nonce: [0; 16], kind: SpaceKind::Shared }.encode();
    let space = made(&mallory, SpaceKind::Shared);
    let header = space.entries[0].header();
    let genesis = mallory.device.sign_entry(&SpaceId::default(), header, &body).unwrap();
    let mut m = Membership::new(&genesis).unwrap();
    m.settle(&people(&[&alice, &mallory]));
    assert_eq!(m.outcome(&genesis.hash()), Some(Outcome::Refused(Refusal::NotCreator)));
    assert!(m.members().is_empty());
}
