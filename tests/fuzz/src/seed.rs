//! Inputs to begin with: the golden vectors, and a few sound values of what has none.

use crate::objects::{WRITER, add, bases};
use crate::state::{TAGS, names};
use anyhow::{Context, Result};
use base::{DeviceId, EpochId, Hash, Incarnation, LogId};
use data_encoding::HEXLOWER;
use space::member::{Operation, Role, certify};
use sync::{Envelope, Frontier, LogRange, SpaceDelta, Want};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors");

/// The golden bytes of a file, those only whose name has one of these words in it.
fn vectors(file: &str, words: &[&str]) -> Result<Vec<Vec<u8>>> {
    let text = std::fs::read_to_string(format!("{VECTORS}/{file}.txt")).context(file.to_owned())?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let wanted = lines.filter(|(name, _)| !name.starts_with('#'));
    let wanted = wanted.filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word)));
    wanted.map(|(_, hex)| HEXLOWER.decode(hex.as_bytes()).context(hex.to_owned())).collect()
}

/// Inputs for a target.
pub fn of(target: &str) -> Result<Vec<Vec<u8>>> {
    Ok(match target {
        "entry" => [
            vectors("entry", &["entry"])?,
            vectors("membership", &["entry-"])?,
            vectors("statement", &["entry-"])?,
        ]
        .concat(),
        "header" => entries()?.into_iter().map(|entry| entry.header_bytes().to_vec()).collect(),
        "name" => [&b"a name"[..], "grün 日本".as_bytes(), b"..", b"a/\xff%\x1b"].map(<[u8]>::to_vec).into(),
        "packed" => [vectors("opening", &["packed", "stored"])?, vec![crypto::pack(&[b'a'; 2000])]].concat(),
        "sealed" => vectors("sealing", &["body", "frame", "chunk", "previous"])?,
        "wrap" => vectors("opening", &["wrap"])?,
        "envelope" => vectors("envelope", &[])?,
        "frame" => vec![vec![0, 0, 0, 2, 1, 2, 0, 0, 0, 0], vec![0xff; 5]],
        "items" => bundles()?.into_iter().map(|stream| [&[16][..], &stream].concat()).collect(),
        "bundle" => {
            let sound = bundles()?.into_iter().map(|stream| [&[1][..], &stream].concat());
            let files = vectors("bundle", &["file"])?.into_iter().map(|file| [&[0][..], &file].concat());
            sound.chain(files).collect()
        }
        "parcel" => crate::within::piece::cut(b"a bundle").unwrap_or_default(),
        "answer" => {
            let bundle = crate::carried::bundle_of(b"payload");
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bundle.len());
            vec![[head.as_bytes(), &bundle].concat(), b"HTTP/1.1 404 Not Found\r\n\r\nno".to_vec(), bundle]
        }
        "machine" => machine()?,
        "statement" => vectors("statement", &["first", "certify", "revoke", "rotate"])?,
        "operation" => vectors("membership", &["genesis", "add", "remove", "role", "epoch"])?,
        "card" => {
            let cards = vectors("card", &["card", "full", "bare"])?;
            let texts = cards.iter().filter_map(|card| space::member::Card::decode(card).ok());
            let texts: Vec<Vec<u8>> = texts.map(|card| card.to_text().into_bytes()).collect();
            [cards, texts].concat()
        }
        "pairing" => vectors("card", &["request", "answer", "refus"])?,
        "membership" => membership(),
        "body" => vectors("object", &["body"])?,
        "birth" => vectors("object", &["body"])?.iter().flat_map(|body| births(body)).collect(),
        "manifest" => vectors("object", &["blob.body"])?.iter().flat_map(|body| manifests(body)).collect(),
        "door" => vectors("object", &["door", "gone"])?,
        "change" => changes(),
        "image" => images(),
        "record" => records(),
        "mark" => {
            vec![crate::within::stamp::number(7).to_vec(), crate::within::stamp::format_words(1).into_bytes()]
        }
        "index" => index(),
        "control" => [
            r#"{"verb":"status"}"#,
            r#"{"verb":"share","args":{"path":{"given":"a","full":"/m/a"},"with":"bob","role":"writer"}}"#,
            r#"{"verb":"log","args":{"path":{"given":"/","full":"/"},"max":20}}"#,
            r#"{"verb":"invite","args":{"path":null,"for_name":"bob","role":"reader"}}"#,
        ]
        .map(|line| format!("{line}\n").into_bytes())
        .into(),
        _ => Vec::new(),
    })
}

fn entries() -> Result<Vec<base::Entry>> {
    let bytes = [of("entry")?, Vec::new()].concat();
    Ok(bytes.into_iter().filter_map(|bytes| base::Entry::decode(bytes).ok()).collect())
}

fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn births(body: &[u8]) -> Option<Vec<u8>> {
    match object::Body::decode(body).ok()?.items.first()? {
        object::Item::Birth(birth) => Some(birth.to_bytes()),
        object::Item::Change(_) => None,
    }
}

fn manifests(body: &[u8]) -> Option<Vec<u8>> {
    match object::Body::decode(body).ok()?.items.first()? {
        object::Item::Birth(object::Birth { content: object::Content::Manifest(manifest), .. }) => {
            Some(base::cbor::encode(manifest))
        }
        _ => None,
    }
}

// What is inside a chunk of the engine.
fn inside(chunk: &[u8]) -> &[u8] {
    let rest = chunk.get(9..).unwrap_or_default();
    let length = rest.iter().position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 1);
    rest.get(length..).unwrap_or_default()
}

fn changes() -> Vec<Vec<u8>> {
    let [text, room, blob] = bases();
    let (mut text, mut room, mut blob) = (text.clone(), room.clone(), blob.clone());
    let at = text.heads();
    let made = [
        text.edit_text(&WRITER, 0, &at, "one 2 three and\nfour\nfive\n").unwrap_or_default(),
        room.edit_room(&WRITER, 0, &[add(2), add(3)]).unwrap_or_default(),
        blob.set_bytes(&WRITER, 0, &blob.heads(), b"others", object::Type::Blob).ok(),
    ];
    let made = made.into_iter().enumerate().filter_map(|(n, made)| Some((n as u8, made?)));
    let one = made.map(|(n, made)| [&[n, 2][..], &piece(inside(&made.change))].concat());
    let on_birth = |input: &Vec<u8>| [&[input[0], 0], &input[2..]].concat();
    one.flat_map(|input| [on_birth(&input), input]).collect()
}

fn images() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (n, doc) in bases().iter().enumerate() {
        let image = doc.save();
        let saved = inside(image.get(44..).unwrap_or_default());
        out.push([&piece(saved)[..], &[n as u8]].concat());
        out.push(image);
    }
    out
}

fn records() -> Vec<Vec<u8>> {
    use crate::within::record::{META_KEY, Meta, Pieces, head_key, inline, meta, piece as data, pieces};
    let key = head_key(b"key");
    let at = Pieces { seq: 7, item: 1, len: 9_000 };
    let whole = |key: &[u8], record: Vec<u8>| [&[1], &piece(key)[..], &record].concat();
    vec![
        whole(&key, inline(&key, b"value")),
        whole(&key, pieces(&key, &at)),
        whole(&at.key(0), data(&at.key(0), b"data")),
        whole(META_KEY, meta(&Meta { seq: 1, heads: 2, sum: 3 })),
    ]
}

fn index() -> Vec<Vec<u8>> {
    use crate::within::index::{EntryRecord, LogRecord, TokenRecord, to_bytes};
    let log = LogId { device: DeviceId([1; 32]), incarnation: Incarnation([2; 8]) };
    let entry = EntryRecord { tag: TAGS[0], log, seq: 3, lamport: 4, applied: true };
    let tips = LogRecord {
        tips: vec![(3, Hash([5; 32]))],
        applied: Some((3, Hash([5; 32]), 4)),
        count: 4,
        ..LogRecord::default()
    };
    let token = TokenRecord { for_name: Some("bob".into()), space: None, role: 2, used_by: None, made: 9 };
    vec![
        [&[5], &to_bytes(&entry)[..]].concat(),
        [&[6], &to_bytes(&tips)[..]].concat(),
        [&[3], &to_bytes(&token)[..]].concat(),
    ]
}

// The streams inside of bundles: one of everything that may be in it, and one that only opens and closes.
fn bundles() -> Result<Vec<Vec<u8>>> {
    let opening = sync::Opening { from: DeviceId([1; 32]), to: base::PersonId([2; 32]), number: 3 };
    let envelopes = vectors("envelope", &[])?;
    let envelopes: Vec<Envelope> =
        envelopes.iter().filter_map(|bytes| Envelope::decode(bytes).ok()).collect();
    let stream = |envelopes: &[Envelope]| {
        let (mut composer, mut bytes) = sync::Composer::begin(&opening);
        envelopes.iter().for_each(|envelope| bytes.extend(composer.add(envelope)));
        bytes.extend(composer.close(&[7; 64]));
        bytes.extend([0; 9]);
        bytes
    };
    let each = envelopes.iter().map(|envelope| stream(std::slice::from_ref(envelope)));
    Ok(each.chain([stream(&[]), stream(&envelopes)]).collect())
}

fn machine() -> Result<Vec<Vec<u8>>> {
    let log = LogId { device: DeviceId([2; 32]), incarnation: Incarnation([2; 8]) };
    let said = |envelope: Envelope| [&[0, 0][..], &piece(&envelope.encode())].concat();
    let announce = said(Envelope::Frontier(Frontier {
        announce: Some(TAGS.to_vec()),
        deltas: vec![SpaceDelta { tag: TAGS[0], whole: true, logs: vec![(log, vec![(9, Hash([3; 32]))])] }],
        ..Frontier::default()
    }));
    let want = said(Envelope::Want(Want {
        ranges: vec![LogRange { tag: TAGS[0], log, from: 0, to: 5 }],
        hashes: vec![(TAGS[0], Hash([5; 32]))],
        chunks: vec![(TAGS[0], base::ChunkId([6; 32]))],
    }));
    let mut out = vec![announce.clone(), [announce.clone(), want, vec![9, 0]].concat()];
    for envelope in vectors("envelope", &[])? {
        out.push([announce.clone(), vec![0, 0], piece(&envelope)].concat());
    }
    // Entries of the shared space, in order, with a gap, and forked.
    let entry = |seq: u64, body: &[u8]| {
        let header = base::Header {
            kind: base::EntryKind::Content,
            tag: TAGS[0],
            log,
            run: base::Run([1; 8]),
            seq,
            lamport: seq + 1,
            prev: (seq > 0).then_some(Hash([5; 32])),
            deps: Vec::new(),
            epoch: Some(EpochId([4; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        base::Entry::assemble(&header, body, &[0; 64]).map(|entry| entry.bytes().to_vec())
    };
    let news = vec![entry(6, b"a")?, entry(7, b"b")?, entry(12, b"c")?, entry(6, b"d")?];
    let entries = [&[7, 0][..], &piece(&Envelope::Entries(vec![entry(6, b"g")?]).encode())].concat();
    out.push([announce, said(Envelope::Entries(news)), vec![9, 1], entries, vec![13, 0, 9, 0]].concat());
    Ok(out)
}

fn membership() -> Vec<Vec<u8>> {
    let (_, epoch, persons, devices) = names();
    let epoch = EpochId(epoch.0);
    let add = Operation::Add { person: persons[1], role: Role::Writer, epoch, wraps: Vec::new() };
    let role = Operation::SetRole {
        person: persons[1],
        role: Role::Admin,
        cut: Default::default(),
        epoch: None,
        wraps: Vec::new(),
    };
    let remove = Operation::Remove { person: persons[0], cut: Default::default() };
    let laptop = crypto::DeviceKey::from_seed([33; 32]);
    let seal = crypto::SealKey::from_seed([34; 32]).public();
    let certificate = certify(&persons[0], &laptop, &seal, 2, Some("laptop"));
    let revoke = space::member::Statement::Revoke { device: devices[0], cut: Default::default() };
    let one = |what: u8, body: Vec<u8>| [&[what][..], &piece(&body)].concat();
    vec![
        [one(0, add.encode()), one(16, role.encode()), one(16, remove.encode())].concat(),
        [one(5, certificate.encode()), one(1, revoke.encode()), one(0, add.encode())].concat(),
    ]
}
