//! What is known of one API: types, and a strict loader (`load`). PURE: whoever calls reads the file.

mod load;

use std::{fmt, sync::Arc};

use crate::model::exchange::Exchange;

pub use load::Error;

/// What is known of one API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `--profile` takes it.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Which statuses count as refused.
    pub refused: Refused,
    /// Headers whose value names the virtual user.
    pub identity_headers: Vec<String>,
    /// What metadata is.
    pub metadata: MetadataSpec,
}

/// Which statuses count as refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// First and last status of each range.
    pub statuses: Vec<(u16, u16)>,
    /// These are not, even where a range says so.
    pub except: Vec<u16>,
}

impl Refused {
    /// Whether that status counts as refused.
    pub fn contains(&self, status: u16) -> bool {
        !self.except.contains(&status) && self.statuses.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

/// What a profile says metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataSpec {
    /// The first request with an unsafe method whose first byte arrives after its session's upgrade request.
    FirstAfterUpgrade,
    /// What the filter takes; whoever has the filter language turns it into [`Metadata::Matches`].
    Filter(String),
}

/// A predicate over exchanges whose request head is complete.
pub type ExchangePredicate = Arc<dyn Fn(&Exchange) -> bool + Send + Sync>;

/// What metadata is, ready to be asked.
#[derive(Clone, Default)]
pub enum Metadata {
    /// See [`MetadataSpec::FirstAfterUpgrade`].
    #[default]
    FirstAfterUpgrade,
    /// Every exchange for which it holds. Asked once the request's head is complete.
    Matches(ExchangePredicate),
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstAfterUpgrade => "FirstAfterUpgrade",
            Self::Matches(_) => "Matches(…)",
        })
    }
}

/// The profiles in the binary: name and text.
const BUILT_IN: &[(&str, &str)] = &[("generic", include_str!("../../profiles/generic.toml"))];

impl Profile {
    /// The names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in profile.
    ///
    /// # Errors
    /// Where there is none of that name; the message lists those there are.
    pub fn named(name: &str) -> Result<Self, Error> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((known, text)) => Self::parse(&format!("profiles/{known}.toml"), text),
            None => Err(Error::Unknown { name: name.to_owned(), known: Self::names().collect::<Vec<_>>().join(", ") }),
        }
    }

    /// A profile from its TOML text; `file` is for messages.
    ///
    /// # Errors
    /// With file, line, what was found and what is allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        load::parse(file, text)
    }
}
