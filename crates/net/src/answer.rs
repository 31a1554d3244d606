//! What a DTN daemon answers: HTTP, and bundles of BPv7 in it (RFC 9171). Names nothing of its crate, so that it can be
//! tried alone.

use minicbor::Decoder;

/// The type of the block that has a bundle's payload.
const PAYLOAD: u64 = 1;

/// An answer to a request over HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads all of one: `HTTP/1.x NNN …`, headers, an empty line, the body up to the end. None where it is
    /// none, or cut off.
    pub(crate) fn read(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut words = head.lines().next()?.split(' ');
        if !words.next()?.starts_with("HTTP/1.") {
            return None;
        }
        let status = words.next()?.parse().ok()?;
        let length = head.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let body = bytes.get(end + 4..)?;
        // One that was cut off is none.
        let body = match length {
            Some(length) => body.get(..length)?,
            None => body,
        };
        Some(Answer { status, body: body.to_vec() })
    }
}

/// The payload of a bundle: the data of its block of type 1.
pub(crate) fn payload(bundle: &[u8]) -> Option<Vec<u8>> {
    let mut d = Decoder::new(bundle);
    d.array().ok()?;
    d.skip().ok()?;
    while d.datatype().ok()? != minicbor::data::Type::Break {
        let items = d.array().ok()??;
        if !(5..=6).contains(&items) {
            return None;
        }
        let kind = d.u64().ok()?;
        for _ in 0..3 {
            d.u64().ok()?;
        }
        let data = d.bytes().ok()?;
        if items == 6 {
            d.skip().ok()?;
        }
        if kind == PAYLOAD {
            return Some(data.to_vec());
        }
    }
    None
}
