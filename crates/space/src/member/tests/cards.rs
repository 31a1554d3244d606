//! Peer files and pairing.

use super::*;
use base::Kind;

fn card(of: &Actor) -> Card {
    let addresses = vec!["/ip4/192.0.2.7/udp/4001/quic-v1".to_owned(), "/ip4/192.0.2.7/tcp/4001".to_owned()];
    let mut card = Card::new(&of.person(), &of.device.id(), addresses).unwrap();
    card.token = Some([6; 16]);
    card.room = Some(("garden".to_owned(), SpaceId([7; 32])));
    card.name = Some("alice".to_owned());
    card
}

#[test]
fn a_peer_file_reads_back_whatever_mail_does_to_it() {
    let alice = actor(10);
    let card = card(&alice);
    let text = card.to_text();
    assert!(text.len() < 1600, "{}", text.len());
    assert_eq!(Card::from_text(&text).unwrap(), card);
    let quoted: String = text.lines().map(|line| format!("> {line}\r\n")).collect();
    assert_eq!(Card::from_text(&format!("Hello,\n\n{quoted}\nyours")).unwrap(), card);
    assert_eq!(card.verify().unwrap().id(), alice.id);
    let mut people = People::new();
    assert_eq!(card.introduce(&mut people).unwrap(), alice.id);
    assert_eq!(people.person_of(&alice.device.id()), Some(alice.id));
}

#[test]
fn what_is_wrong_with_a_peer_file_is_said() {
    let text = card(&actor(10)).to_text();
    let none = Card::from_text("hello").unwrap_err();
    assert!(matches!(none, Error::NoCard { .. }));
    assert_eq!(none.kind(), Kind::Invalid);
    for cut in [40, 200, text.len() - 5] {
        assert_eq!(Card::from_text(&text[..cut]), Err(Error::CardCut));
    }
    let lines: Vec<&str> = text.lines().collect();
    let without: String = lines.iter().filter(|l| **l != lines[3]).map(|l| format!("{l}\n")).collect();
    assert!(matches!(Card::from_text(&without), Err(Error::CardDamaged { .. })));
    let changed = text.replacen(&lines[3][..4], "AAAA", 1);
    assert!(matches!(Card::from_text(&changed), Err(Error::CardDamaged { .. })));
    let newer = Card::decode(&[0x82, 9, 0]).unwrap_err();
    assert_eq!(newer, Error::Newer { what: "a peer file", version: 9 });
    assert_eq!(newer.kind(), Kind::Unsupported);
}

#[test]
fn a_card_proves_its_device_or_nothing() {
    let (alice, mallory) = (actor(10), actor(40));
    let good = card(&alice);
    let forged = Card { device: mallory.device.id(), ..good.clone() };
    assert!(matches!(forged.verify(), Err(Error::Unproven { .. })));
    let mixed =
        Card { statements: vec![alice.entries[0].clone(), mallory.entries[1].clone()], ..good.clone() };
    assert!(mixed.verify().is_err());
    assert!(Card { statements: vec![], ..good }.verify().is_err());
    assert_eq!(Card::new(&alice.person(), &mallory.device.id(), vec![]), Err(Error::Uncertified));
}

#[test]
fn pairing_binds_the_card_to_the_link() {
    let (alice, bob, mallory) = (actor(10), actor(20), actor(40));
    let invite = card(&alice);
    let own = Card::new(&bob.person(), &bob.device.id(), vec![]).unwrap();
    let request = Request { token: [6; 16], card: own };
    let request = Request::decode(&request.encode()).unwrap();
    assert_eq!(request.check(&bob.device.id()).unwrap().id(), bob.id);
    assert_eq!(request.check(&mallory.device.id()).unwrap_err(), Error::OtherDevice);

    let answer = Answer::decode(&Answer::Card(card(&alice)).encode()).unwrap();
    assert_eq!(answer.check(&alice.device.id(), &invite).unwrap().unwrap().id(), alice.id);
    assert_eq!(answer.check(&mallory.device.id(), &invite).unwrap_err(), Error::OtherDevice);
    let other = Answer::Card(card(&mallory));
    assert_eq!(other.check(&mallory.device.id(), &invite).unwrap_err(), Error::OtherDevice);
    for refusal in [PairingRefusal::Token, PairingRefusal::Card, PairingRefusal::Busy] {
        let answer = Answer::decode(&Answer::Refused(refusal).encode()).unwrap();
        assert_eq!(answer.check(&alice.device.id(), &invite).unwrap().unwrap_err(), refusal);
    }
}
