//! Stores a buffer as base64 text: a third more than the bytes, where JSON's list of numbers is four times as much.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(std::borrow::Cow::<'de, str>::deserialize(deserializer)?.as_bytes()).map_err(D::Error::custom)
}
