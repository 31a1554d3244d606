//! The built-in types of objects and their codes in births.

/// What an object is. The codes are part of the format and never change; `schema/body.cddl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// UTF-8 text, merged by words.
    Text,
    /// Text that must not be merged; versions stand side by side.
    Whole,
    /// Any other bytes, by manifest; versions stand side by side.
    Blob,
    /// Nested maps and lists. Reserved: kept and shown as its birth's bytes, not edited by this version.
    Record,
    /// A list that only grows. Reserved as `Record` is.
    Log,
    /// A room: doors.
    Room,
    /// A symlink; its target is its bytes.
    Link,
    /// A type of a newer version, by its code; shown read-only.
    Unknown(u64),
}

impl Type {
    /// The code in births and registers.
    pub fn code(self) -> u64 {
        match self {
            Type::Text => 0,
            Type::Whole => 1,
            Type::Blob => 2,
            Type::Record => 3,
            Type::Log => 4,
            Type::Room => 5,
            Type::Link => 6,
            Type::Unknown(code) => code,
        }
    }

    /// The type of a code.
    pub fn from_code(code: u64) -> Type {
        match code {
            0 => Type::Text,
            1 => Type::Whole,
            2 => Type::Blob,
            3 => Type::Record,
            4 => Type::Log,
            5 => Type::Room,
            6 => Type::Link,
            other => Type::Unknown(other),
        }
    }

    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Whole => "whole",
            Type::Blob => "blob",
            Type::Record => "record",
            Type::Log => "log",
            Type::Room => "room",
            Type::Link => "link",
            Type::Unknown(_) => "unknown",
        }
    }
}

impl<C> minicbor::Encode<C> for Type {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u64(self.code())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Type {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Type::from_code(d.u64()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Type;

    #[test]
    fn codes_round_trip() {
        for code in 0..10 {
            assert_eq!(Type::from_code(code).code(), code);
        }
        assert_eq!(Type::from_code(9), Type::Unknown(9));
    }
}
