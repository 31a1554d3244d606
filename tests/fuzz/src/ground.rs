//! Entries, headers, names.

use base::{Entry, Header, cbor, name};

pub(crate) fn entry(data: &[u8]) {
    let Ok(entry) = Entry::decode(data) else { return };
    assert_eq!(&entry.bytes()[..], data);
    let again = Entry::assemble(entry.header(), entry.body(), &entry.signature()).unwrap();
    assert_eq!(&again.bytes()[..], data, "one encoding only");
    assert_eq!(again.hash(), entry.hash());
    assert_eq!(entry.header().to_bytes(), entry.header_bytes());
    assert_eq!(entry.signed_bytes(), Entry::signed_part(entry.header_bytes(), entry.body()));
    let _ = entry.space_tag();
}

pub(crate) fn header(data: &[u8]) {
    let Ok(header) = cbor::decode::<Header>(data, "header") else { return };
    assert_eq!(header.to_bytes(), data, "one encoding only");
    assert!(header.seq < base::limit::CLOCK && header.lamport < base::limit::CLOCK);
}

pub(crate) fn name(data: &[u8]) {
    let shown = name::shown(data);
    // Whatever a door is called, its name is a file's name, and one that steers nothing.
    assert!(name::is_valid(shown.as_bytes()), "{shown:?}");
    if name::is_valid(data) {
        assert_eq!(shown.as_bytes(), data);
        assert!(name::check(data).is_ok());
    }
    assert_eq!(name::shown(shown.as_bytes()), shown);
    let safe = base::print::safe_bytes(data);
    assert!(!safe.chars().any(|c| c.is_control()));
    assert_eq!(base::print::safe(&safe), safe);
}
