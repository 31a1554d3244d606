//! What admins say about a space: the bodies of membership entries. `schema/membership.cddl`.

use super::codec::{self, Cut, VERSION};
use super::role::Role;
use super::wrap::{self, Wrap};
use base::{EpochId, Hash, PersonId, cbor, limit};
use crypto::PREVIOUS_BYTES;
use minicbor::{Decoder, Encoder};

const GENESIS: u64 = 0;
const ADD: u64 = 1;
const REMOVE: u64 = 2;
const SET_ROLE: u64 = 3;
const EPOCH: u64 = 4;

/// What a space is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpaceKind {
    /// A person's own: nobody else is a member, hosts excepted.
    Home,
    /// One that can be shared.
    Shared,
}

/// A membership operation, in clear. What its author knew is in its header's `auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The first: its entry's hash is the space's id, and its creator an admin.
    Genesis {
        /// Who makes the space; one of their devices signs.
        creator: PersonId,
        /// Random.
        nonce: [u8; 16],
        /// What it is for.
        kind: SpaceKind,
    },
    /// A member, or a higher role for one.
    Add {
        /// Who.
        person: PersonId,
        /// As what.
        role: Role,
        /// The epoch whose secret is handed over.
        epoch: EpochId,
        /// That secret for each of their devices and their recovery key; only T for hosts.
        wraps: Vec<Wrap>,
    },
    /// A member no more. Takes effect in a later version.
    Remove {
        /// Who.
        person: PersonId,
        /// What they wrote that still counts.
        cut: Cut,
    },
    /// Another role, higher or lower. Takes effect in a later version.
    SetRole {
        /// Whose.
        person: PersonId,
        /// Which.
        role: Role,
        /// What they wrote that still counts, when they may no longer write.
        cut: Cut,
        /// The epoch whose secret is handed over, when they may now read.
        epoch: Option<EpochId>,
        /// That secret for each of their devices and their recovery key.
        wraps: Vec<Wrap>,
    },
    /// A fresh secret; its entry's hash is the epoch's id. All but the first take effect in a later
    /// version.
    Epoch {
        /// Random; binds the wraps to this epoch, those in later adds too.
        nonce: [u8; 16],
        /// What E must derive to.
        commit: Hash,
        /// What T must derive to.
        topic: Hash,
        /// E for each device and recovery key of the readers and above.
        wraps: Vec<Wrap>,
        /// T for each device and recovery key of the hosts.
        host_wraps: Vec<Wrap>,
        /// E of each replaced epoch, sealed under this one; sorted by epoch.
        previous: Vec<(EpochId, [u8; PREVIOUS_BYTES])>,
    },
}

impl Operation {
    /// The body of the entry that makes this operation.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// A word for it, for `chorus log` and for logs.
    pub fn word(&self) -> &'static str {
        match self {
            Operation::Genesis { .. } => "genesis",
            Operation::Add { .. } => "add",
            Operation::Remove { .. } => "remove",
            Operation::SetRole { .. } => "set-role",
            Operation::Epoch { .. } => "epoch",
        }
    }
}

fn write_previous<W: minicbor::encode::Write>(
    e: &mut Encoder<W>,
    previous: &[(EpochId, [u8; PREVIOUS_BYTES])],
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(previous.len() as u64)?;
    for (epoch, sealed) in previous {
        e.array(2)?.encode(epoch)?.bytes(sealed)?;
    }
    Ok(())
}

fn read_previous(
    d: &mut Decoder<'_>,
) -> Result<Vec<(EpochId, [u8; PREVIOUS_BYTES])>, minicbor::decode::Error> {
    let mut out: Vec<(EpochId, [u8; PREVIOUS_BYTES])> = Vec::new();
    for _ in 0..cbor::array_len(d, limit::WRAPS)? {
        cbor::expect_array(d, 2)?;
        let next = (d.decode()?, codec::fixed(d)?);
        if out.last().is_some_and(|last| last.0 >= next.0) {
            return Err(minicbor::decode::Error::message("epochs out of order"));
        }
        out.push(next);
    }
    Ok(out)
}

impl<C> minicbor::Encode<C> for Operation {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Operation::Genesis { creator, nonce, kind } => {
                e.array(5)?.u64(VERSION)?.u64(GENESIS)?.encode(creator)?.bytes(nonce)?;
                e.u64(match kind {
                    SpaceKind::Home => 0,
                    SpaceKind::Shared => 1,
                })?;
            }
            Operation::Add { person, role, epoch, wraps } => {
                e.array(6)?.u64(VERSION)?.u64(ADD)?.encode(person)?.encode(role)?.encode(epoch)?;
                cbor::write_list(e, wraps)?;
            }
            Operation::Remove { person, cut } => {
                e.array(4)?.u64(VERSION)?.u64(REMOVE)?.encode(person)?;
                codec::write_cut(e, cut)?;
            }
            Operation::SetRole { person, role, cut, epoch, wraps } => {
                e.array(7)?.u64(VERSION)?.u64(SET_ROLE)?.encode(person)?.encode(role)?;
                codec::write_cut(e, cut)?;
                e.encode(epoch)?;
                cbor::write_list(e, wraps)?;
            }
            Operation::Epoch { nonce, commit, topic, wraps, host_wraps, previous } => {
                e.array(8)?.u64(VERSION)?.u64(EPOCH)?.bytes(nonce)?.encode(commit)?.encode(topic)?;
                cbor::write_list(e, wraps)?;
                cbor::write_list(e, host_wraps)?;
                write_previous(e, previous)?;
            }
        }
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Operation {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(match codec::head(d)? {
            (GENESIS, 5) => Operation::Genesis {
                creator: d.decode()?,
                nonce: codec::fixed(d)?,
                kind: match d.u64()? {
                    0 => SpaceKind::Home,
                    1 => SpaceKind::Shared,
                    _ => return Err(minicbor::decode::Error::message("kind of space")),
                },
            },
            (ADD, 6) => Operation::Add {
                person: d.decode()?,
                role: d.decode()?,
                epoch: d.decode()?,
                wraps: wrap::read_wraps(d)?,
            },
            (REMOVE, 4) => Operation::Remove { person: d.decode()?, cut: codec::cut(d)? },
            (SET_ROLE, 7) => Operation::SetRole {
                person: d.decode()?,
                role: d.decode()?,
                cut: codec::cut(d)?,
                epoch: d.decode()?,
                wraps: wrap::read_wraps(d)?,
            },
            (EPOCH, 8) => Operation::Epoch {
                nonce: codec::fixed(d)?,
                commit: d.decode()?,
                topic: d.decode()?,
                wraps: wrap::read_wraps(d)?,
                host_wraps: wrap::read_wraps(d)?,
                previous: read_previous(d)?,
            },
            _ => return Err(minicbor::decode::Error::message("kind of operation")),
        })
    }
}
