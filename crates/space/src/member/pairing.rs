//! What two nodes say while they pair: a request with the token, and the answer.
//!
//! The link below has authenticated both device keys, so a card is bound to the link by being the
//! card of the device at its other end; nothing else has to be signed here. `schema/card.cddl`.

use super::card::{Card, Token};
use super::codec::{self, VERSION};
use super::error::Error;
use super::person::Person;
use base::{DeviceId, cbor, limit};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};

/// What the reader of an invite says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From the invite.
    pub token: Token,
    /// Their own card.
    pub card: Card,
}

/// What the writer of the invite answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Friends now; their newest card.
    Card(Card),
    /// No.
    Refused(PairingRefusal),
}

/// Why a pairing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingRefusal {
    /// No invite with this token, or used, or withdrawn: one answer, so nothing is learnt.
    #[error("the invite was used already or withdrawn; ask for another")]
    Token,
    /// The card does not prove what it says.
    #[error("the other side could not verify this node's card")]
    Card,
    /// Not now.
    #[error("the other side is busy; it is tried again")]
    Busy,
}

impl PairingRefusal {
    fn code(self) -> u64 {
        match self {
            PairingRefusal::Token => 0,
            PairingRefusal::Card => 1,
            PairingRefusal::Busy => 2,
        }
    }
}

const REQUEST: u64 = 0;
const CARD: u64 = 1;
const REFUSED: u64 = 2;

// Whether the card is that of the device at the other end of the link.
fn check(card: &Card, remote: &DeviceId) -> Result<Person, Error> {
    if card.device != *remote {
        return Err(Error::OtherDevice);
    }
    card.verify()
}

fn checked_version(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > limit::CARD_BYTES {
        return Err(base::Error::Limit { what: "pairing message", limit: limit::CARD_BYTES }.into());
    }
    match codec::version_of(bytes) {
        Some(version) if version > VERSION => Err(Error::Newer { what: "a pairing message", version }),
        _ => Ok(()),
    }
}

impl Request {
    /// The message as it travels.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Request, Error> {
        checked_version(bytes)?;
        Ok(cbor::decode(bytes, "pairing request")?)
    }

    /// Who asks, once the card is found to be proved and of the device `remote` that the link
    /// authenticated. Whether the token is open is for the asked to know.
    pub fn check(&self, remote: &DeviceId) -> Result<Person, Error> {
        check(&self.card, remote)
    }
}

impl Answer {
    /// The message as it travels.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Answer, Error> {
        checked_version(bytes)?;
        Ok(cbor::decode(bytes, "pairing answer")?)
    }

    /// Who answers, as [`Request::check`]; the refusal if it is one. `invite` is the card that was
    /// read from the peer file: another person's answer is refused.
    pub fn check(&self, remote: &DeviceId, invite: &Card) -> Result<Result<Person, PairingRefusal>, Error> {
        match self {
            Answer::Refused(refusal) => Ok(Err(*refusal)),
            Answer::Card(card) => {
                let person = check(card, remote)?;
                if invite.verify()?.id() == person.id() { Ok(Ok(person)) } else { Err(Error::OtherDevice) }
            }
        }
    }
}

impl<C> minicbor::Encode<C> for Request {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(4)?.u64(VERSION)?.u64(REQUEST)?.bytes(&self.token)?.encode(&self.card)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Request {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match codec::head(d)? {
            (REQUEST, 4) => Ok(Request { token: codec::fixed(d)?, card: d.decode()? }),
            _ => Err(DecodeError::message("kind of message")),
        }
    }
}

impl<C> minicbor::Encode<C> for Answer {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.u64(VERSION)?;
        match self {
            Answer::Card(card) => e.u64(CARD)?.encode(card)?.ok(),
            Answer::Refused(refusal) => e.u64(REFUSED)?.u64(refusal.code())?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Answer {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match codec::head(d)? {
            (CARD, 3) => Ok(Answer::Card(d.decode()?)),
            (REFUSED, 3) => {
                let code = d.u64()?;
                [PairingRefusal::Token, PairingRefusal::Card, PairingRefusal::Busy]
                    .into_iter()
                    .find(|refusal| refusal.code() == code)
                    .map(Answer::Refused)
                    .ok_or_else(|| DecodeError::message("reason"))
            }
            _ => Err(DecodeError::message("kind of message")),
        }
    }
}
