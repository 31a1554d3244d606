//! People, devices and membership: who may.
//!
//! A person is a log of *statements* about their devices ([`Person`], [`People`]); a space is a set
//! of membership *operations* ([`Membership`]). Both are evaluated from the set of entries alone, so
//! the order in which entries arrive never matters, and both check signatures themselves before
//! they look at anything else. Which entries of content count is answered by [`Membership::judge`].
//!
//! Also here, because they carry statements: the peer card ([`Card`]) that an invite is, and what
//! is said while two nodes pair ([`Request`], [`Answer`]).
//!
//! What this version understands and does not yet evaluate (removal, lowered roles, revoked
//! devices, rotated roots, later epochs) is checked, kept, and answered with [`Outcome::Later`].

mod build;
mod card;
mod codec;
mod error;
mod heads;
mod membership;
mod opening;
mod operation;
mod outcome;
mod pairing;
mod past;
mod people;
mod person;
mod quota;
mod role;
mod statement;
mod wrap;

#[cfg(test)]
mod tests;

pub use build::{NewSpace, add_member, certify, create_space, first_person};
pub use card::{Card, Token};
pub use codec::{Cut, VERSION};
pub use error::{Error, Refusal};
pub use membership::Membership;
pub use opening::Opened;
pub use operation::{Operation, SpaceKind};
pub use outcome::{Missing, Outcome, Verdict};
pub use pairing::{Answer, PairingRefusal, Request};
pub use people::People;
pub use person::{DeviceCert, Person};
pub use role::Role;
pub use statement::{PROOF_DOMAIN, Statement, proof_message};
pub use wrap::{Recipient, Wrap};
