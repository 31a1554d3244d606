//! A malicious reader or stranger: what they say fills nothing but their own room.

use super::*;
use base::limit;

// Alice's space with Bob as writer and Carol as reader.
struct Scene {
    alice: Actor,
    bob: Actor,
    carol: Actor,
    people: People,
    space: NewSpace,
    m: Membership,
}

fn scene() -> Scene {
    let (alice, bob, carol) = (actor(10), actor(20), actor(30));
    let people = people(&[&alice, &bob, &carol]);
    let space = made(&alice, SpaceKind::Shared);
    let mut m = membership(&space, &people);
    add(&mut m, &people, &alice, &bob, Role::Writer, &space.secret);
    add(&mut m, &people, &alice, &carol, Role::Reader, &space.secret);
    Scene { alice, bob, carol, people, space, m }
}

impl Scene {
    fn insert(&mut self, entry: &Entry) -> Outcome {
        self.m.insert(entry, &self.people).unwrap()
    }

    fn operate(&self, by: &DeviceKey, operation: &[u8], seq: u64, auth: &[Hash]) -> Entry {
        operate(by, &self.space.id, operation, seq, auth)
    }

    fn add_of(&self, who: &Actor, role: Role) -> Vec<u8> {
        add_member(&self.m, &who.person(), role, &self.space.secret, &[5; 32]).unwrap().encode()
    }

    fn kept(&self) -> usize {
        self.m.entries().len()
    }

    // All that matters still works: members write, and admins add.
    fn still_works(&mut self) {
        let epoch = self.m.current_epoch().unwrap();
        let header = content(&self.bob.device, &self.space.id, epoch, self.m.heads());
        assert_eq!(self.m.judge(&header, &self.people), Verdict::Counts);
        let dave = actor(40);
        let entry =
            self.operate(&self.alice.device, &self.add_of(&dave, Role::Reader), 9_999, &self.m.heads());
        assert_eq!(self.insert(&entry), Outcome::Counts);
        assert!(self.m.heads().contains(&entry.hash()));
        assert_eq!(self.m.role(&dave.id), Some(Role::Reader));
    }
}

#[test]
fn what_a_reader_says_for_later_fills_their_own_room_and_is_in_no_heads() {
    let mut s = scene();
    let (before, heads) = (s.kept(), s.m.heads());
    let oneself = Operation::Remove { person: s.carol.id, cut: Cut::new() }.encode();
    for n in 0..200u64 {
        let body = if n % 2 == 0 { oneself.clone() } else { vec![0x82, 2, 0] };
        let entry = s.operate(&s.carol.device, &body, 100 + n, &heads);
        let expected =
            if n < limit::IDLE as u64 { Outcome::Later } else { Outcome::Refused(Refusal::Crowded) };
        assert_eq!(s.insert(&entry), expected);
        assert_eq!(s.m.outcome(&entry.hash()).is_some(), n < limit::IDLE as u64);
    }
    assert_eq!(s.kept(), before + limit::IDLE);
    assert_eq!(s.m.heads(), heads);
    // The writer has room of their own.
    let newer = s.operate(&s.bob.device, &[0x82, 2, 0], 1, &heads);
    assert_eq!(s.insert(&newer), Outcome::Later);
    assert_eq!(s.m.heads(), heads);
    s.still_works();
    assert_eq!(s.m.heads().len(), 1);
}

#[test]
fn what_is_refused_is_kept_within_bounds_or_not_at_all() {
    let mut s = scene();
    let (before, heads) = (s.kept(), s.m.heads());
    for n in 0..100u64 {
        assert_eq!(
            s.insert(&s.operate(&s.carol.device, b"junk", 100 + n, &heads)),
            Outcome::Refused(Refusal::Malformed)
        );
        let oneself = Operation::Remove { person: s.carol.id, cut: Cut::new() }.encode();
        assert_eq!(
            s.insert(&s.operate(&s.carol.device, &oneself, 100 + n, &[])),
            Outcome::Refused(Refusal::NoHeads)
        );
    }
    assert_eq!(s.kept(), before);
    let refused = Outcome::Refused(Refusal::Role { has: Role::Reader, needs: Role::Admin });
    let add = s.add_of(&s.carol, Role::Admin);
    for n in 0..100u64 {
        assert_eq!(s.insert(&s.operate(&s.carol.device, &add, 300 + n, &heads)), refused);
    }
    assert_eq!(s.kept(), before + limit::IDLE);
    // Another device of theirs has no other room.
    let tablet = DeviceKey::from_seed([95; 32]);
    let statement = certify(&s.carol.id, &tablet, &s.carol.seal.public(), 1, None).encode();
    let certificate = state(&s.carol.device, &s.carol.id, &statement, 0, &s.carol.entries[1]);
    assert_eq!(s.people.insert(&certificate).unwrap(), Outcome::Counts);
    assert_eq!(s.insert(&s.operate(&tablet, &add, 1, &heads)), refused);
    assert_eq!(s.kept(), before + limit::IDLE);
    s.still_works();
}

#[test]
fn what_waits_crowds_out_nobody_else() {
    let mut s = scene();
    let heads = s.m.heads();
    let before = s.kept();
    let add = s.add_of(&s.carol, Role::Admin);
    let never = [Hash([1; 32])];
    let waits = |outcome: &Outcome| matches!(outcome, Outcome::Waits(_));
    for n in 0..limit::WAITING as u64 + 20 {
        let outcome = s.insert(&s.operate(&s.carol.device, &add, n, &never));
        let room = n < limit::WAITING as u64;
        assert!(if room { waits(&outcome) } else { outcome == Outcome::Refused(Refusal::Crowded) });
    }
    assert!(waits(&s.insert(&s.operate(&s.bob.device, &add, 0, &never))));
    assert_eq!(s.kept(), before + limit::WAITING + 1);
    // Keys made up without end share what room there is for strangers.
    let before = s.kept();
    for n in 0..limit::WAITING_UNKNOWN as u32 + 50 {
        let mut seed = [200; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        s.insert(&s.operate(&DeviceKey::from_seed(seed), &add, 0, &heads));
    }
    assert_eq!(s.kept(), before + limit::WAITING_UNKNOWN);
    assert!(waits(&s.insert(&s.operate(&s.bob.device, &add, 1, &never))));
    s.still_works();
}

#[test]
fn large_ones_wait_within_bytes_and_larger_ones_are_nothing() {
    let mut s = scene();
    let before = s.kept();
    let mut newer = vec![0x82, 2];
    newer.resize(limit::OPERATION_BYTES, 0);
    for n in 0..20 {
        s.insert(&s.operate(&s.carol.device, &newer, n, &[Hash([1; 32])]));
    }
    assert_eq!(s.kept(), before + limit::IDLE_BYTES / (limit::OPERATION_BYTES + 300));
    newer.push(0);
    let entry = s.operate(&s.alice.device, &newer, 500, &s.m.heads());
    assert_eq!(s.insert(&entry), Outcome::Refused(Refusal::Large));
    let mut person = s.alice.person();
    let mut newer = vec![0x82, 2];
    newer.resize(limit::STATEMENT_BYTES + 1, 0);
    let statement = state(s.alice.root.sign(), &s.alice.id, &newer, 2, &s.alice.entries[1]);
    assert_eq!(person.insert(&statement).unwrap(), Outcome::Refused(Refusal::Large));
    newer.pop();
    let statement = state(s.alice.root.sign(), &s.alice.id, &newer, 2, &s.alice.entries[1]);
    assert_eq!(person.insert(&statement).unwrap(), Outcome::Later);
    s.still_works();
}

#[test]
fn an_admins_words_for_later_leave_room_for_what_counts() {
    let mut s = scene();
    let heads = s.m.heads();
    let mut all = Vec::new();
    for n in 0..2 * limit::AUTH as u64 {
        let entry = s.operate(&s.alice.device, &[0x82, 2, 0], 100 + n, &heads);
        assert_eq!(s.insert(&entry), Outcome::Later);
        all.push(entry);
    }
    assert_eq!(s.m.heads().len(), limit::AUTH);
    // Beside them somebody is added: that one is named.
    let entry = s.operate(&s.alice.device, &s.add_of(&actor(40), Role::Reader), 500, &heads);
    assert_eq!(s.insert(&entry), Outcome::Counts);
    assert!(s.m.heads().contains(&entry.hash()) && s.m.heads().len() == limit::AUTH);
    s.still_works();
}

#[test]
fn too_many_heads_still_name_what_gave_every_member_their_role() {
    let mut s = scene();
    let base = s.m.heads();
    let mut all = Vec::new();
    // Carol is made reader again and again, each time deeper: those would be the deepest heads.
    let again = s.add_of(&s.carol, Role::Reader);
    for n in 0..2 * limit::AUTH as u64 {
        let one = s.operate(&s.alice.device, &again, 100 + 2 * n, &base);
        let two = s.operate(&s.alice.device, &again, 101 + 2 * n, &[one.hash()]);
        all.extend([one, two]);
    }
    let cast: Vec<Actor> = (0..20).map(|n| actor(41 + 5 * n)).collect();
    for (n, who) in cast.iter().enumerate() {
        let role = if n % 2 == 0 { Role::Writer } else { Role::Reader };
        all.push(s.operate(&s.alice.device, &s.add_of(who, role), 900 + n as u64, &base));
    }
    for who in &cast {
        who.entries.iter().for_each(|entry| drop(s.people.insert(entry).unwrap()));
    }
    let mut other = s.m.clone();
    for entry in &all {
        assert_eq!(s.insert(entry), Outcome::Counts);
    }
    for entry in all.iter().rev() {
        other.insert(entry, &s.people).unwrap();
    }
    let heads = s.m.heads();
    assert_eq!(heads.len(), limit::AUTH);
    assert_eq!(other.heads(), heads);
    let epoch = s.m.current_epoch().unwrap();
    for who in cast.iter().step_by(2).chain([&s.bob, &s.alice]) {
        let header = content(&who.device, &s.space.id, epoch, heads.clone());
        assert_eq!(s.m.judge(&header, &s.people), Verdict::Counts);
    }
}

#[test]
fn strangers_statements_leave_room_for_a_persons_own() {
    let alice = actor(10);
    let mut person = alice.person();
    let statement = |signer: &DeviceKey, seq: u64| {
        let entry = certify(&alice.id, signer, &alice.seal.public(), seq, None).encode();
        state(signer, &alice.id, &entry, 0, &alice.entries[1])
    };
    let mallory = DeviceKey::from_seed([99; 32]);
    for n in 0..limit::WAITING as u64 + 10 {
        let outcome = person.insert(&statement(&mallory, n)).unwrap();
        assert_eq!(matches!(outcome, Outcome::Waits(_)), n < limit::WAITING as u64);
    }
    for n in 0..limit::WAITING_UNKNOWN as u32 {
        let mut seed = [200; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        person.insert(&statement(&DeviceKey::from_seed(seed), 1)).unwrap();
    }
    assert_eq!(person.entries().count(), 2 + limit::WAITING_UNKNOWN);
    let tablet = DeviceKey::from_seed([95; 32]);
    let own = certify(&alice.id, &tablet, &alice.seal.public(), 1, None).encode();
    let own = state(&alice.device, &alice.id, &own, 0, &alice.entries[1]);
    assert_eq!(person.insert(&own).unwrap(), Outcome::Counts);
    assert!(person.devices().contains_key(&tablet.id()));
    // What is refused leaves nothing behind.
    let junk = state(&alice.device, &alice.id, b"junk", 0, &alice.entries[1]);
    assert_eq!(person.insert(&junk).unwrap(), Outcome::Refused(Refusal::Malformed));
    assert_eq!(person.outcome(&junk.hash()), None);
}
