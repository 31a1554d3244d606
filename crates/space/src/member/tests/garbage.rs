//! Whatever bytes come: an error or a value, never a panic, and one encoding of each value.

use super::*;
use proptest::prelude::*;

fn samples() -> Vec<Vec<u8>> {
    let alice = actor(10);
    let card = Card::new(&alice.person(), &alice.device.id(), vec!["/ip4/192.0.2.7/tcp/1".into()]).unwrap();
    let mut out: Vec<Vec<u8>> = vectors::statements().into_iter().map(|(_, s)| s.encode()).collect();
    out.extend(vectors::operations().into_iter().map(|(_, o)| o.encode()));
    out.push(card.encode());
    out.push(Request { token: [1; 16], card: card.clone() }.encode());
    out.push(Answer::Card(card).encode());
    out
}

fn read_as_everything(bytes: &[u8]) {
    if let Ok(codec::Body::Known(statement)) = codec::body::<Statement>(bytes, "statement") {
        assert_eq!(statement.encode(), bytes);
    }
    if let Ok(codec::Body::Known(operation)) = codec::body::<Operation>(bytes, "operation") {
        assert_eq!(operation.encode(), bytes);
    }
    if let Ok(card) = Card::decode(bytes) {
        assert_eq!(card.encode(), bytes);
        let _ = card.verify();
    }
    let _ = Request::decode(bytes);
    let _ = Answer::decode(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn changed_bytes_are_another_value_or_none(which in any::<usize>(), at in any::<usize>(), byte in any::<u8>()) {
        let samples = samples();
        let mut bytes = samples[which % samples.len()].clone();
        let n = bytes.len();
        bytes[at % n] = byte;
        read_as_everything(&bytes);
        read_as_everything(&bytes[..at % n]);
    }

    #[test]
    fn text_is_a_card_or_an_error(text in "\\PC{0,200}", at in any::<usize>()) {
        let _ = Card::from_text(&text);
        let alice = actor(10);
        let whole = Card::new(&alice.person(), &alice.device.id(), vec![]).unwrap().to_text();
        let at = at % whole.len();
        let _ = Card::from_text(&format!("{}{text}{}", &whole[..at], &whole[at..]));
    }

    #[test]
    fn a_changed_entry_is_never_taken(at in any::<usize>(), bit in 0u8..8) {
        let alice = actor(10);
        let people = people(&[&alice]);
        let space = made(&alice, SpaceKind::Shared);
        let mut m = membership(&space, &people);
        for entry in [&space.entries[1], &alice.entries[1]] {
            let mut bytes = entry.bytes().to_vec();
            let n = bytes.len();
            bytes[at % n] ^= 1 << bit;
            if let Ok(changed) = Entry::decode(bytes) {
                prop_assert!(m.insert(&changed, &people).is_err());
                prop_assert!(alice.person().insert(&changed).is_err());
            }
        }
    }
}
