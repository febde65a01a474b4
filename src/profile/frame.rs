//! Which frames are meant: conditions on a text message, on all of it or on a place in its JSON.

use std::fmt;

use memchr::memmem;
use regex::Regex;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A place in a JSON document (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pointer(String);

impl Pointer {
    /// A pointer: empty, or tokens that each begin with `/`, where `~` stands before 0 or 1 only.
    pub fn parse(text: &str) -> Option<Self> {
        let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        ((text.is_empty() || text.starts_with('/')) && escapes).then(|| Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        document.pointer(&self.0)
    }

    /// The last key, where it is spelt without escapes and is no place in a list.
    fn last_key(&self) -> Option<&str> {
        let is_key = |key: &&str| !key.contains('~') && !key.bytes().all(|b| b.is_ascii_digit());
        self.0.rsplit_once('/').map(|(_, key)| key).filter(is_key)
    }
}

/// A regular expression with its text.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Messages for which all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FrameMatcher(pub(super) Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Where in the message's JSON; `None` means the whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// What must stand there.
    #[serde(flatten)]
    pub test: Test,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// This text, number or truth value.
    Equals(Value),
    /// A text, or a number as it is written, in which this is found.
    Matches(Pattern),
    /// There and not null (`true`), or not (`false`).
    Exists(bool),
}

impl FrameMatcher {
    /// Its conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether a message is meant. Most that are not are told without parsing them.
    pub fn matches(&self, text: &str) -> bool {
        let needs_json = self.0.iter().any(|condition| condition.pointer.is_some());
        if !self.may_match(text.as_bytes()) {
            return false;
        }
        let json = if needs_json { serde_json::from_str(text).ok() } else { None };
        self.matches_parsed(text, json.as_ref())
    }

    /// The same for a message whose JSON is at hand; `None` where it is no JSON.
    pub fn matches_parsed(&self, text: &str, json: Option<&Value>) -> bool {
        self.0.iter().all(|condition| condition.holds(text, json))
    }

    /// Whether it could match: a key that must be there is in the text, unless something in it is escaped.
    fn may_match(&self, text: &[u8]) -> bool {
        let keys = self.0.iter().filter(|condition| condition.test != Test::Exists(false));
        let mut keys = keys.filter_map(|condition| condition.pointer.as_ref()?.last_key());
        keys.all(|key| memmem::find(text, key.as_bytes()).is_some()) || memchr::memchr(b'\\', text).is_some()
    }
}

impl Condition {
    fn holds(&self, text: &str, json: Option<&Value>) -> bool {
        let Some(pointer) = &self.pointer else { return self.test.holds_for_text(text) };
        let Some(json) = json else { return false };
        match (&self.test, pointer.find(json)) {
            (Test::Exists(wanted), found) => *wanted == found.is_some_and(|found| !found.is_null()),
            (Test::Equals(wanted), Some(found)) => wanted == found,
            (Test::Matches(pattern), Some(Value::String(found))) => pattern.is_in(found),
            (Test::Matches(pattern), Some(Value::Number(found))) => pattern.is_in(&found.to_string()),
            (Test::Equals(_) | Test::Matches(_), _) => false,
        }
    }
}

impl Test {
    fn holds_for_text(&self, text: &str) -> bool {
        match self {
            Self::Equals(wanted) => wanted.as_str() == Some(text),
            Self::Matches(pattern) => pattern.is_in(text),
            Self::Exists(wanted) => *wanted,
        }
    }
}
