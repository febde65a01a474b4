//! What a cause can be told, and how it is said on the command line: `inflight-limit:limit=83,counting=admitted`.

use std::fmt;

use crate::lab::{
    api::{Counts, Dose},
    random::Random,
    request::Kind,
};

use super::{CAUSES, CauseInfo};

/// One thing that a cause can be told.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What it may be.
    pub domain: Domain,
    /// What it is where nothing is said: a number, nanoseconds, or the index of a word.
    pub default: f64,
    /// What the evaluation draws.
    pub typical: Typical,
}

/// What a parameter may be; both ends are included.
#[derive(Debug)]
pub enum Domain {
    /// A whole number.
    Count(u64, u64),
    /// 0 to 1.
    Share,
    /// Nanoseconds; said as `80ms`, `1.5s`.
    Duration(i64, i64),
    /// One of a few words.
    Word(&'static [&'static str]),
}

/// What the evaluation draws for it.
#[derive(Clone, Copy)]
pub enum Typical {
    /// The default.
    Default,
    /// Evenly between the two.
    Between(f64, f64),
    /// The dose that this share of all requests stays below where nothing is planted, drawn between the two: a limit
    /// that the load does reach.
    Quantile {
        /// Which.
        dose: fn(&Plant) -> Dose,
        /// Of which requests; nothing: of all.
        kind: Option<Kind>,
        /// The least share.
        low: f64,
        /// The greatest.
        high: f64,
    },
}

/// A cause with its values: what is planted.
#[derive(Clone)]
pub struct Plant {
    /// The cause.
    pub info: &'static CauseInfo,
    /// As [`CauseInfo::parameters`].
    values: Vec<f64>,
    /// Whether the API does not mind: clients behave so, and nothing is refused for it.
    pub is_harmless: bool,
}

/// What is wrong with what was said of a cause.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlantError {
    /// There is no such cause.
    #[error("unknown cause {found:?}: allowed are {allowed} (hint: `firstframe lab list` says what they are)")]
    Cause {
        /// What was said.
        found: String,
        /// All ids.
        allowed: String,
    },
    /// It has no such parameter.
    #[error("cause {cause} has no parameter {found:?}: allowed are {allowed}")]
    Parameter {
        /// Whose.
        cause: &'static str,
        /// What was said.
        found: String,
        /// All names.
        allowed: String,
    },
    /// A parameter's value is no such value.
    #[error("cause {cause}: {name} is {found:?}: allowed is {allowed}")]
    Value {
        /// Whose.
        cause: &'static str,
        /// Which.
        name: &'static str,
        /// What was said.
        found: String,
        /// What may be said.
        allowed: String,
    },
}

impl Plant {
    /// With default values.
    pub fn new(info: &'static CauseInfo) -> Self {
        Self { info, values: info.parameters.iter().map(|parameter| parameter.default).collect(), is_harmless: false }
    }

    /// The cause of that id with default values.
    pub fn named(id: &str) -> Result<Self, PlantError> {
        let found = CAUSES.iter().find(|info| info.id == id);
        found.map(|info| Self::new(info)).ok_or_else(|| PlantError::Cause {
            found: id.to_owned(),
            allowed: CAUSES.iter().map(|info| info.id).collect::<Vec<_>>().join(", "),
        })
    }

    /// `ID[:NAME=VALUE[,NAME=VALUE…]]`; `harmless` in the place of a pair: the API does not mind.
    pub fn parse(text: &str) -> Result<Self, PlantError> {
        let (id, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut plant = Self::named(id.trim())?;
        for pair in rest.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            if pair == "harmless" {
                plant.is_harmless = true;
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            plant.set_text(name.trim(), value.trim())?;
        }
        Ok(plant)
    }

    fn set_text(&mut self, name: &str, text: &str) -> Result<(), PlantError> {
        let parameter = self.info.parameters.iter().find(|parameter| parameter.name == name);
        let parameter = parameter.ok_or_else(|| PlantError::Parameter {
            cause: self.info.id,
            found: name.to_owned(),
            allowed: self
                .info
                .parameters
                .iter()
                .map(|known| known.name)
                .chain(["harmless"])
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let value = parameter.domain.read(text).ok_or_else(|| PlantError::Value {
            cause: self.info.id,
            name: parameter.name,
            found: text.to_owned(),
            allowed: parameter.domain.to_string(),
        })?;
        self.set(name, value);
        Ok(())
    }

    /// Sets a value, brought into what is allowed; an unknown name is ignored.
    pub fn set(&mut self, name: &str, value: f64) {
        for (parameter, slot) in self.info.parameters.iter().zip(&mut self.values) {
            if parameter.name == name {
                *slot = parameter.domain.bring_in(value);
            }
        }
    }

    /// Draws what is typical. `calm` is what stood at the server in the same run with nothing planted: limits are put
    /// where that load does reach them.
    pub fn set_typical(&mut self, calm: &[(Kind, Counts)], random: &mut Random) {
        for parameter in self.info.parameters {
            if let Typical::Between(low, high) = parameter.typical {
                self.set(parameter.name, random.between(low, high));
            }
        }
        // Which dose it is may hang on what was drawn.
        for parameter in self.info.parameters {
            if let Typical::Quantile { dose, kind, low, high } = parameter.typical {
                let value = quantile(calm, dose(self), kind, random.between(low, high));
                self.set(parameter.name, value);
            }
        }
    }

    /// The value of a parameter that the cause has.
    pub fn number(&self, name: &str) -> f64 {
        let mut pairs = self.info.parameters.iter().zip(&self.values);
        let found = pairs.find(|(parameter, _)| parameter.name == name).map(|(_, value)| *value);
        debug_assert!(found.is_some(), "{} has no parameter {name}", self.info.id);
        found.unwrap_or(0.0)
    }

    /// The same as a count.
    pub fn count(&self, name: &str) -> u32 {
        self.number(name) as u32
    }

    /// The same as nanoseconds.
    pub fn nanos(&self, name: &str) -> i64 {
        self.number(name) as i64
    }

    /// The same as a word.
    pub fn word(&self, name: &str) -> &'static str {
        let index = self.number(name) as usize;
        let parameter = self.info.parameters.iter().find(|parameter| parameter.name == name);
        match parameter.map(|parameter| &parameter.domain) {
            Some(Domain::Word(words)) => words.get(index).copied().unwrap_or_default(),
            _ => "",
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.id)?;
        let mut separator = ':';
        for (parameter, value) in self.info.parameters.iter().zip(&self.values) {
            write!(f, "{separator}{}={}", parameter.name, parameter.domain.write(*value))?;
            separator = ',';
        }
        if self.is_harmless { write!(f, "{separator}harmless") } else { Ok(()) }
    }
}

impl fmt::Debug for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Plant {
    fn eq(&self, other: &Self) -> bool {
        self.info.id == other.info.id && self.values == other.values && self.is_harmless == other.is_harmless
    }
}

impl Domain {
    fn read(&self, text: &str) -> Option<f64> {
        match self {
            Self::Count(low, high) => text.parse::<u64>().ok().filter(|n| (low..=high).contains(&n)).map(|n| n as f64),
            Self::Share => text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)),
            Self::Duration(low, high) => {
                read_duration(text).filter(|ns| (low..=high).contains(&ns)).map(|ns| ns as f64)
            }
            Self::Word(words) => words.iter().position(|word| *word == text).map(|index| index as f64),
        }
    }

    /// As it is said on the command line.
    pub fn write(&self, value: f64) -> String {
        match self {
            Self::Count(..) => format!("{}", value as u64),
            Self::Share => format!("{value}"),
            Self::Duration(..) => write_duration(value as i64),
            Self::Word(words) => words.get(value as usize).copied().unwrap_or_default().to_owned(),
        }
    }

    fn bring_in(&self, value: f64) -> f64 {
        match self {
            Self::Count(low, high) => value.round().clamp(*low as f64, *high as f64),
            Self::Share => value.clamp(0.0, 1.0),
            Self::Duration(low, high) => value.round().clamp(*low as f64, *high as f64),
            Self::Word(words) => value.round().clamp(0.0, words.len().saturating_sub(1) as f64),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Share => write!(f, "a share from 0 to 1"),
            Self::Duration(low, high) => {
                write!(f, "a duration from {} to {}", write_duration(*low), write_duration(*high))
            }
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// The dose that this share of them stays below.
fn quantile(calm: &[(Kind, Counts)], dose: Dose, kind: Option<Kind>, share: f64) -> f64 {
    let of_kind = calm.iter().filter(|(known, _)| kind.is_none_or(|kind| kind == *known));
    let mut doses: Vec<u32> = of_kind.map(|(_, counts)| counts.offered(dose)).collect();
    doses.sort_unstable();
    let at = (share * doses.len() as f64) as usize;
    doses.get(at).or_else(|| doses.last()).map_or(1.0, |dose| f64::from(*dose))
}

/// `250us`, `80ms`, `1.5s`, `2min`.
pub fn read_duration(text: &str) -> Option<i64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(split)?;
    let scale = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" => 60e9,
        _ => return None,
    };
    let value = number.trim().parse::<f64>().ok()? * scale;
    // A day is more than any run.
    (0.0..86_400e9).contains(&value).then(|| value.round() as i64)
}

/// As [`read_duration`] reads it.
pub fn write_duration(ns: i64) -> String {
    let (unit, scale) = match ns {
        1_000_000_000.. => ("s", 1e9),
        1_000_000.. => ("ms", 1e6),
        0 => ("ms", 1e6),
        _ => ("us", 1e3),
    };
    let text = format!("{:.3}", ns as f64 / scale);
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for info in CAUSES {
            let plant = Plant::new(info);
            assert_eq!(Plant::parse(&plant.to_string()), Ok(plant.clone()), "{plant}");
        }
        let plant = Plant::parse("inflight-limit:limit=83, counting=admitted").unwrap();
        assert_eq!((plant.count("limit"), plant.word("counting")), (83, "admitted"));
        assert!(Plant::parse("malformed-json:harmless").unwrap().is_harmless);
        assert_eq!(write_duration(1_500_000_000), "1.5s");
        assert_eq!(read_duration("80ms"), Some(80_000_000));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let message = |text: &str| Plant::parse(text).unwrap_err().to_string();
        assert!(message("inflight").contains("unknown cause \"inflight\": allowed are metadata-before-open, "));
        assert!(message("inflight-limit:limt=3").contains("no parameter \"limt\": allowed are limit, "));
        assert_eq!(
            message("inflight-limit:limit=0"),
            "cause inflight-limit: limit is \"0\": allowed is a whole number from 1 to 1000000"
        );
        assert!(message("metadata-before-ready:delay=80").contains("allowed is a duration from 1ms to "));
        assert!(message("inflight-limit:counting=all").contains("one of offered, admitted"));
    }
}
