//! What can be wrong with statements, operations, cards and pairing.

use super::role::Role;
use base::Kind;

/// Why an entry, a card or a pairing message was not taken, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Signature, key or seal.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    /// Encoding, limit or version.
    #[error(transparent)]
    Format(#[from] base::Error),
    /// An entry of another kind than is kept here.
    #[error("not a {expected}")]
    NotA {
        /// What was expected: "first statement", "genesis", "statement", "membership operation".
        expected: &'static str,
    },
    /// What the device to act with is not one of this person.
    #[error("this device is not certified by the person; certify it first")]
    Uncertified,
    /// Nothing can be shared before the space has an epoch.
    #[error("the space has no epoch whose secret is here; wait until it has arrived from a member")]
    NoEpoch,
    /// No peer file in the text.
    #[error("no peer file in it: look for the line '{begin}' and pass everything from there to the END line")]
    NoCard {
        /// The line a peer file begins with.
        begin: &'static str,
    },
    /// A peer file that stops short.
    #[error("the peer file is cut off before its END line; copy all of it and try again")]
    CardCut,
    /// A peer file that is not what was written.
    #[error("the peer file is damaged ({what}); ask for it again, best as an attached file")]
    CardDamaged {
        /// What does not fit.
        what: &'static str,
    },
    /// A peer file or pairing message of a later version.
    #[error(
        "{what} of version {version}, which this version of chorus does not know; upgrade chorus to use it"
    )]
    Newer {
        /// What was read.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// A card or pairing message that proves less than it says.
    #[error("the card proves nothing: {why}")]
    Unproven {
        /// What is not proved.
        why: &'static str,
    },
    /// The other end of the link is not the device on the card.
    #[error("the device that answered is not the one on the card")]
    OtherDevice,
}

impl Error {
    /// The kind a face translates.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Crypto(error) => error.kind(),
            Error::Format(error) => error.kind(),
            Error::NotA { .. } | Error::NoCard { .. } => Kind::Invalid,
            Error::Uncertified | Error::OtherDevice | Error::Unproven { .. } => Kind::Denied,
            Error::NoEpoch => Kind::Unreachable,
            Error::CardCut | Error::CardDamaged { .. } => Kind::Corrupt,
            Error::Newer { .. } => Kind::Unsupported,
        }
    }
}

/// Why an entry that is well signed does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// A body that does not decode.
    #[error("its body does not decode")]
    Malformed,
    /// An entry of the wrong kind, or of another space.
    #[error("it does not belong here")]
    Foreign,
    /// A second genesis or first statement.
    #[error("a second beginning")]
    SecondBeginning,
    /// It names no membership heads, so nothing says what its author knew.
    #[error("it names no membership heads")]
    NoHeads,
    /// Its signer was no member when it was made.
    #[error("its signer was not a member")]
    NotMember,
    /// Its signer's role does not allow it.
    #[error("its signer was a {has}, and it takes a {needs}")]
    Role {
        /// The role its signer had.
        has: Role,
        /// The least role it takes.
        needs: Role,
    },
    /// It names as epoch what is none.
    #[error("it names an epoch that is none")]
    NotEpoch,
    /// Another person in a home.
    #[error("a home has no other members than hosts")]
    Home,
    /// A certificate without the consent of the device.
    #[error("the device did not agree to it")]
    NoConsent,
    /// A statement or an operation over its limit.
    #[error("it is larger than its kind may be")]
    Large,
    /// Too much of its signer's waits or idles already. Not kept; it may be offered again.
    #[error("too much of its signer waits or has no effect; it is taken when that has changed")]
    Crowded,
    /// A genesis that is not signed by a device of the person it makes admin.
    #[error("its signer is not the person it names")]
    NotCreator,
}
