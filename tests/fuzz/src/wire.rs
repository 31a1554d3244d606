//! What comes over a connection, before anybody asks what it means.

use crate::within::frame;
use base::limit;
use futures::executor::block_on;
use futures::io::Cursor;
use sync::Envelope;

pub(crate) fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else { return };
    assert_eq!(envelope.encode(), data, "one encoding only");
    if data.first().is_some_and(|first| *first < 0x80) {
        assert!(matches!(envelope, Envelope::Hello(_)) && data.len() == 73);
    }
    assert!(!envelope.word().is_empty());
}

pub(crate) fn frame(data: &[u8]) {
    let mut wire = Cursor::new(data);
    let mut written = Vec::new();
    // As many frames as there are, then an end or one too large.
    while let Ok(body) = block_on(frame::read(&mut wire, limit::ENVELOPE_BYTES)) {
        block_on(frame::write(&mut written, &body)).unwrap();
    }
    assert!(data.starts_with(&written), "what was read is what was there");
}
