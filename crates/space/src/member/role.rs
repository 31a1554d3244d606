//! What a member of a space may do.

use minicbor::{Decoder, Encoder};

/// A member's role; each may all that those before it may, hosts excepted, who read nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Keeps and serves what is sealed, reads none of it.
    Host,
    /// Reads.
    Reader,
    /// Reads and writes.
    Writer,
    /// Reads, writes, and says who else may.
    Admin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Role; 4] = [Role::Host, Role::Reader, Role::Writer, Role::Admin];

    /// Whether the epochs' secrets are wrapped for this member.
    pub fn may_read(self) -> bool {
        self >= Role::Reader
    }

    /// Whether this member's changes count.
    pub fn may_write(self) -> bool {
        self >= Role::Writer
    }

    /// Whether this member's membership operations count.
    pub fn may_admin(self) -> bool {
        self >= Role::Admin
    }

    /// The word for it, as commands take and print it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Host => "host",
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Admin => "admin",
        }
    }

    /// The role that a word names; none for any other word.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }

    fn code(self) -> u64 {
        match self {
            Role::Host => 0,
            Role::Reader => 1,
            Role::Writer => 2,
            Role::Admin => 3,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl<C> minicbor::Encode<C> for Role {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u64(self.code())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Role {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let code = d.u64()?;
        Role::ALL
            .into_iter()
            .find(|role| role.code() == code)
            .ok_or_else(|| minicbor::decode::Error::message("unknown role"))
    }
}
