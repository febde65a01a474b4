//! Identifiers: a letter and a number (`c12`, `x345`, `f9`, `s3`), counted from 1 within one capture.
//!
//! Connection ids are given at accept and stored; all others are counted by the fold over record order, so that
//! `reindex` gives the same ones.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not the id of {kind}: expected {letter} and a number, such as {letter}12")]
pub struct InvalidId {
    kind: &'static str,
    letter: char,
    found: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_char($letter)?;
                f.write_str(itoa::Buffer::new().format(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($letter)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId { kind: $kind, letter: $letter, found: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One client TCP connection with its server connection.
    ConnectionId, "a connection", 'c'
);
id!(
    /// A request with its response.
    ExchangeId, "an exchange", 'x'
);
id!(
    /// One WebSocket frame.
    FrameId, "a frame", 'f'
);
id!(
    /// The exchanges and sockets of one virtual user.
    SessionId, "a session", 's'
);

impl ConnectionId {
    /// The pseudo connection that bears facts about the capture as a whole.
    pub const CAPTURE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_letters() {
        assert_eq!("c12".parse(), Ok(ConnectionId(12)));
        assert_eq!(ExchangeId(345).to_string(), "x345");
        assert_eq!(serde_json::to_string(&FrameId(9)).unwrap(), "\"f9\"");
        assert_eq!(serde_json::from_str::<SessionId>("\"s3\"").unwrap(), SessionId(3));
        for wrong in ["", "c", "x12", "c-1", "c+1", "c1x", "12", "c99999999999999999999"] {
            assert!(wrong.parse::<ConnectionId>().is_err(), "{wrong}");
        }
    }
}
