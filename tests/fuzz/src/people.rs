//! Statements, operations, cards, and what is said while pairing.

use base::cbor;
use space::member::{Answer, Card, Operation, Request, Statement};

pub(crate) fn statement(data: &[u8]) {
    let Ok(statement) = cbor::decode::<Statement>(data, "statement") else { return };
    assert_eq!(statement.encode(), data, "one encoding only");
}

pub(crate) fn operation(data: &[u8]) {
    let Ok(operation) = cbor::decode::<Operation>(data, "operation") else { return };
    assert_eq!(operation.encode(), data, "one encoding only");
    assert!(!operation.word().is_empty());
}

fn proved(card: &Card) {
    if let Ok(person) = card.verify() {
        assert!(person.devices().contains_key(&card.device));
        assert_eq!(person.proof_of(&card.device).is_empty(), card.statements.is_empty());
    }
}

pub(crate) fn card(data: &[u8]) {
    if let Ok(card) = Card::decode(data) {
        assert_eq!(card.encode(), data, "one encoding only");
        assert_eq!(Card::from_text(&card.to_text()).as_ref(), Ok(&card));
        proved(&card);
    }
    if let Ok(card) = std::str::from_utf8(data).map_err(drop).and_then(|t| Card::from_text(t).map_err(drop)) {
        assert_eq!(Card::from_text(&card.to_text()).as_ref(), Ok(&card));
        proved(&card);
    }
}

pub(crate) fn pairing(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(request.encode(), data, "one encoding only");
        let remote = request.card.device;
        assert_eq!(request.check(&remote).is_ok(), request.card.verify().is_ok());
        assert!(request.check(&base::DeviceId([7; 32])).is_err() || remote == base::DeviceId([7; 32]));
    }
    if let Ok(answer) = Answer::decode(data) {
        assert_eq!(answer.encode(), data, "one encoding only");
        if let Answer::Card(card) = &answer {
            let _ = answer.check(&card.device, card);
        }
    }
}
