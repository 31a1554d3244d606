//! What statements come to.

use super::*;

#[test]
fn a_new_person_has_one_device_and_a_recovery_key() {
    let alice = actor(10);
    let person = alice.person();
    assert_eq!(person.id(), alice.id);
    assert_eq!(person.recovery(), alice.root.recovery().public());
    assert_eq!(person.devices().len(), 1);
    assert_eq!(person.devices()[&alice.device.id()].seal, alice.seal.public());
    assert_eq!(person.tips().values().copied().collect::<Vec<_>>(), [(1, alice.entries[1].hash())]);
    let people = people(&[&alice, &actor(20)]);
    assert_eq!(people.person_of(&alice.device.id()), Some(alice.id));
    assert_eq!(people.person_of(&alice.root.id()), None);
    assert_eq!(people.len(), 2);
}

#[test]
fn a_device_certifies_another_and_order_does_not_matter() {
    let alice = actor(10);
    let (laptop, phone) = (DeviceKey::from_seed([91; 32]), DeviceKey::from_seed([92; 32]));
    let seal = SealKey::from_seed([93; 32]).public();
    let one = certify(&alice.id, &laptop, &seal, 1, Some("laptop"));
    let one = state(&alice.device, &alice.id, &one.encode(), 0, &alice.entries[1]);
    let two = certify(&alice.id, &phone, &seal, 1, None);
    let two = state(&laptop, &alice.id, &two.encode(), 0, &one);

    let mut forward = alice.person();
    assert_eq!(forward.insert(&one).unwrap(), Outcome::Counts);
    assert_eq!(forward.insert(&two).unwrap(), Outcome::Counts);
    let mut backward = Person::new(&alice.entries[0]).unwrap();
    assert_eq!(backward.insert(&two).unwrap(), Outcome::Waits(Missing::Device(laptop.id())));
    assert_eq!(backward.insert(&one).unwrap(), Outcome::Waits(Missing::Device(alice.device.id())));
    assert!(backward.devices().is_empty());
    assert_eq!(backward.insert(&alice.entries[1]).unwrap(), Outcome::Counts);
    assert_eq!(backward.outcome(&two.hash()), Some(Outcome::Counts));
    assert_eq!(forward.devices(), backward.devices());
    assert_eq!(forward.devices()[&laptop.id()].name.as_deref(), Some("laptop"));
    assert_eq!(forward.proof_of(&phone.id()).len(), 4);
    assert_eq!(forward.proof_of(&phone.id()), backward.proof_of(&phone.id()));
    // Handed over in their order they can be taken one by one.
    let mut people = People::new();
    for entry in backward.entries() {
        assert_eq!(people.insert(entry).unwrap(), Outcome::Counts);
    }
    assert_eq!(people.get(&alice.id).unwrap().devices(), forward.devices());
}

#[test]
fn nobody_claims_the_device_of_another() {
    let (alice, mallory) = (actor(10), actor(40));
    let statement = Statement::Certify {
        device: alice.device.id(),
        seal: mallory.seal.public(),
        number: 9,
        name: None,
        proof: [0; 64],
    };
    let entry = state(mallory.root.sign(), &mallory.id, &statement.encode(), 2, &mallory.entries[1]);
    let mut people = people(&[&alice, &mallory]);
    assert_eq!(people.insert(&entry).unwrap(), Outcome::Refused(Refusal::NoConsent));
    assert_eq!(people.person_of(&alice.device.id()), Some(alice.id));

    // Nor is a consent given to one person good for another.
    let theirs = certify(&alice.id, &alice.device, &alice.seal.public(), 1, None);
    let entry = state(mallory.root.sign(), &mallory.id, &theirs.encode(), 2, &mallory.entries[1]);
    assert_eq!(people.insert(&entry).unwrap(), Outcome::Refused(Refusal::NoConsent));
}

#[test]
fn a_stranger_certifies_nothing() {
    let (alice, mallory) = (actor(10), actor(40));
    let statement = certify(&alice.id, &mallory.device, &mallory.seal.public(), 1, None);
    let entry = state(&mallory.device, &alice.id, &statement.encode(), 0, &alice.entries[1]);
    let mut person = alice.person();
    assert_eq!(person.insert(&entry).unwrap(), Outcome::Waits(Missing::Device(mallory.device.id())));
    assert_eq!(person.devices().len(), 1);
    assert!(person.proof_of(&mallory.device.id()).is_empty());
}

#[test]
fn the_highest_numbered_certificate_holds() {
    let alice = actor(10);
    let newer = SealKey::from_seed([93; 32]).public();
    let statement = certify(&alice.id, &alice.device, &newer, 2, None);
    let entry = state(&alice.device, &alice.id, &statement.encode(), 0, &alice.entries[1]);
    let mut person = alice.person();
    person.insert(&entry).unwrap();
    assert_eq!(person.devices()[&alice.device.id()].seal, newer);
    // It was signed by the device itself, so the proof needs the older one too.
    let proof = person.proof_of(&alice.device.id());
    assert_eq!(proof.len(), 3);
    let mut again = Person::new(&proof[0]).unwrap();
    for statement in &proof[1..] {
        again.insert(statement).unwrap();
    }
    assert_eq!(again.devices(), person.devices());
}

#[test]
fn what_a_later_version_evaluates_is_kept_and_said() {
    let alice = actor(10);
    let mut person = alice.person();
    let revoke = Statement::Revoke { device: alice.device.id(), cut: Cut::new() };
    let revoke = state(alice.root.sign(), &alice.id, &revoke.encode(), 2, &alice.entries[1]);
    assert_eq!(person.insert(&revoke).unwrap(), Outcome::Later);
    let newer = state(alice.root.sign(), &alice.id, &[0x82, 2, 0], 2, &alice.entries[1]);
    assert_eq!(person.insert(&newer).unwrap(), Outcome::Later);
    assert_eq!(person.later(), 2);
    let malformed = state(alice.root.sign(), &alice.id, b"nonsense", 2, &alice.entries[1]);
    assert_eq!(person.insert(&malformed).unwrap(), Outcome::Refused(Refusal::Malformed));
}

#[test]
fn a_first_statement_by_another_than_its_root_makes_nobody() {
    let alice = actor(10);
    let statement =
        Statement::First { root: alice.device.id(), recovery: alice.seal.public(), nonce: [0; 16] };
    let header = alice.entries[0].header();
    let entry = alice.root.sign().sign_entry(&SpaceId::default(), header, &statement.encode()).unwrap();
    assert!(matches!(Person::new(&entry), Err(Error::NotA { .. })));
    assert!(People::new().insert(&entry).is_err());
    // And a certificate of somebody unknown waits outside.
    let tag = alice.id.space().tag();
    assert_eq!(People::new().insert(&alice.entries[1]).unwrap(), Outcome::Waits(Missing::Person(tag)));
}
