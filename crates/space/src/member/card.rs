//! The peer card: what an invite and the answer to it say. As text it is a peer file.
//!
//! A card carries its person's first statement and what proves the device to be theirs, so whoever
//! reads it needs nothing else to know whom they will meet. Addresses and names on it are hints: the
//! key is checked on contact, and names are the reader's to choose. `schema/card.cddl`.

use super::codec::{self, VERSION};
use super::error::Error;
use super::people::People;
use super::person::Person;
use base::{DeviceId, Entry, PersonId, SpaceId, cbor, limit};
use data_encoding::{BASE64, HEXLOWER};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};

/// Lets an unknown key pair, once.
pub type Token = [u8; 16];

const BEGIN: &str = "-----BEGIN CHORUS PEER FILE-----";
const END: &str = "-----END CHORUS PEER FILE-----";
const LINE: usize = 64;
const CHECK_BYTES: usize = 8;
const STATEMENTS: usize = 16;
const ADDRESSES: usize = 16;
const ADDRESS_BYTES: usize = 256;

/// A card: of whom, which device, where it was last, and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The person's first statement and the certificates down to the device.
    pub statements: Vec<Entry>,
    /// The device to meet.
    pub device: DeviceId,
    /// Where it was listening, as multiaddresses, the likeliest first.
    pub addresses: Vec<String>,
    /// Lets the reader pair with it; none on an answer.
    pub token: Option<Token>,
    /// A room to join on pairing: what it is called, and the space.
    pub room: Option<(String, SpaceId)>,
    /// What its owner would be called; a suggestion.
    pub name: Option<String>,
}

impl Card {
    /// Puts a card together from what is known of a person. Errors if the device is not theirs.
    pub fn new(person: &Person, device: &DeviceId, addresses: Vec<String>) -> Result<Card, Error> {
        let statements = person.proof_of(device);
        if statements.is_empty() {
            return Err(Error::Uncertified);
        }
        let mut addresses = addresses;
        addresses.retain(|a| !a.is_empty() && a.len() <= ADDRESS_BYTES);
        addresses.truncate(ADDRESSES);
        Ok(Card { statements, device: *device, addresses, token: None, room: None, name: None })
    }

    /// The person on the card, after checking every signature on it and that the device is theirs.
    pub fn verify(&self) -> Result<Person, Error> {
        let first = self.statements.first().ok_or(Error::Unproven { why: "it holds no statement" })?;
        let mut person = Person::new(first)?;
        for statement in &self.statements[1..] {
            person.insert(statement)?;
        }
        if person.devices().contains_key(&self.device) {
            Ok(person)
        } else {
            Err(Error::Unproven { why: "the device is not certified by the person" })
        }
    }

    /// As `verify`, and takes what it proves into the people known.
    pub fn introduce(&self, people: &mut People) -> Result<PersonId, Error> {
        let person = self.verify()?;
        for statement in &self.statements {
            people.insert(statement)?;
        }
        Ok(person.id())
    }

    /// The card in its one binary form.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the binary form. Signatures are for `verify`.
    pub fn decode(bytes: &[u8]) -> Result<Card, Error> {
        if bytes.len() > limit::CARD_BYTES {
            return Err(base::Error::Limit { what: "peer file", limit: limit::CARD_BYTES }.into());
        }
        match codec::version_of(bytes) {
            Some(version) if version > VERSION => Err(Error::Newer { what: "a peer file", version }),
            _ => Ok(cbor::decode(bytes, "peer file")?),
        }
    }

    /// The card as text that survives mail: base64 in lines between BEGIN and END, with a checksum.
    pub fn to_text(&self) -> String {
        let bytes = self.encode();
        let mut out = format!("{BEGIN}\n");
        let encoded = BASE64.encode(&bytes);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str(&format!("={}\n{END}\n", checksum(&bytes)));
        out
    }

    /// Finds the card in a text, whatever stands around it; quoting marks and spaces that mail
    /// programs put before lines do no harm.
    pub fn from_text(text: &str) -> Result<Card, Error> {
        if text.len() > 8 * limit::CARD_BYTES {
            return Err(base::Error::Limit { what: "peer file", limit: 8 * limit::CARD_BYTES }.into());
        }
        let mut lines = text.lines().map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == '>'));
        if !lines.any(|line| line == BEGIN) {
            return Err(Error::NoCard { begin: BEGIN });
        }
        let mut encoded = String::new();
        let mut check = None;
        for line in lines {
            match line.strip_prefix('=') {
                _ if line == END => return Card::from_parts(&encoded, check),
                // Base64 can end in `=`, and a line be wrapped just there.
                Some(sum) if sum.len() == 2 * CHECK_BYTES => check = Some(sum),
                _ => encoded.push_str(line),
            }
        }
        Err(Error::CardCut)
    }

    fn from_parts(encoded: &str, check: Option<&str>) -> Result<Card, Error> {
        let bytes = BASE64
            .decode(encoded.as_bytes())
            .map_err(|_| Error::CardDamaged { what: "letters missing or changed" })?;
        if check != Some(checksum(&bytes).as_str()) {
            return Err(Error::CardDamaged { what: "the checksum does not fit" });
        }
        Card::decode(&bytes)
    }
}

fn checksum(bytes: &[u8]) -> String {
    HEXLOWER.encode(&base::Hash::of(&[bytes]).0[..CHECK_BYTES])
}

impl<C> minicbor::Encode<C> for Card {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(7)?.u64(VERSION)?.array(self.statements.len() as u64)?;
        for entry in &self.statements {
            e.bytes(entry.bytes())?;
        }
        e.encode(self.device)?.array(self.addresses.len() as u64)?;
        for address in &self.addresses {
            e.str(address)?;
        }
        match &self.token {
            Some(token) => e.bytes(token)?,
            None => e.null()?,
        };
        match &self.room {
            Some((name, space)) => e.array(2)?.str(name)?.encode(space)?,
            None => e.null()?,
        };
        e.encode(&self.name)?.ok()
    }
}

fn is_null(d: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    let null = d.datatype()? == minicbor::data::Type::Null;
    if null {
        d.null()?;
    }
    Ok(null)
}

impl<'b, C> minicbor::Decode<'b, C> for Card {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::expect_array(d, 7)?;
        if d.u64()? != VERSION {
            return Err(DecodeError::message("version"));
        }
        let mut statements = Vec::new();
        for _ in 0..cbor::array_len(d, STATEMENTS)? {
            let bytes = cbor::bytes_within(d, limit::CARD_BYTES)?;
            statements.push(Entry::decode(bytes).map_err(|_| DecodeError::message("statement"))?);
        }
        let device = d.decode()?;
        let mut addresses = Vec::new();
        for _ in 0..cbor::array_len(d, ADDRESSES)? {
            addresses.push(codec::text(d, ADDRESS_BYTES)?);
        }
        let token = if is_null(d)? { None } else { Some(codec::fixed(d)?) };
        let room = if is_null(d)? {
            None
        } else {
            cbor::expect_array(d, 2)?;
            Some((codec::text(d, limit::NAME_BYTES)?, d.decode()?))
        };
        let name = codec::optional_text(d, limit::NAME_BYTES)?;
        Ok(Card { statements, device, addresses, token, room, name })
    }
}
