//! What a setting's value may look like: numbers, sizes, durations, texts and lists, as a person writes them.

use std::{path::PathBuf, time::Duration};

/// A value as it was given, before anybody knows what it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Given>),
    /// What no setting takes: a date, a table.
    Other(&'static str),
}

/// Why a value was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not what the key allows; the key says what that is.
    NotAllowed,
    /// The same, and this is why.
    Because(String),
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Given {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u16> for Given {
    fn from(value: u16) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&[String]> for Given {
    fn from(values: &[String]) -> Self {
        Self::List(values.iter().map(|value| Self::Text(value.clone())).collect())
    }
}

impl From<&serde_json::Value> for Given {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => {
                number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Integer)
            }
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(values) => Self::List(values.iter().map(Self::from).collect()),
            serde_json::Value::Null => Self::Other("null"),
            serde_json::Value::Object(_) => Self::Other("an object"),
        }
    }
}

impl Given {
    /// A text that is not empty.
    pub fn text(&self) -> Result<String, Refused> {
        match self {
            Self::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(Refused::NotAllowed),
        }
    }

    /// A path; what it names need not exist.
    pub fn path(&self) -> Result<PathBuf, Refused> {
        self.text().map(PathBuf::from)
    }

    /// Yes or no.
    pub fn flag(&self) -> Result<bool, Refused> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(Refused::NotAllowed),
        }
    }

    /// A whole number within `low` and `high`.
    pub fn count(&self, low: u64, high: u64) -> Result<u64, Refused> {
        match self {
            Self::Integer(value) => {
                u64::try_from(*value).ok().filter(|n| (low..=high).contains(n)).ok_or(Refused::NotAllowed)
            }
            _ => Err(Refused::NotAllowed),
        }
    }

    /// [`Self::count`] for a type of its own width.
    pub fn number<T: TryFrom<u64>>(&self, low: u64, high: u64) -> Result<T, Refused> {
        T::try_from(self.count(low, high)?).map_err(|_| Refused::NotAllowed)
    }

    /// A number of bytes: `20GiB`, `512 kB`, or a whole number.
    pub fn size(&self) -> Result<u64, Refused> {
        match self {
            Self::Integer(value) => u64::try_from(*value).map_err(|_| Refused::NotAllowed),
            Self::Text(text) => parse_size(text).ok_or(Refused::NotAllowed),
            _ => Err(Refused::NotAllowed),
        }
    }

    /// A length of time: `2s`, `1.5 ms`, `65 min`, or a number of seconds.
    pub fn duration(&self) -> Result<Duration, Refused> {
        let duration = match self {
            Self::Integer(value) => u64::try_from(*value).ok().map(Duration::from_secs),
            Self::Float(value) => Duration::try_from_secs_f64(*value).ok(),
            Self::Text(text) => parse_duration(text),
            _ => None,
        };
        duration.ok_or(Refused::NotAllowed)
    }

    /// [`Self::duration`], where `"off"` is none at all.
    pub fn duration_or_off(&self) -> Result<Option<Duration>, Refused> {
        if self.is_off() { Ok(None) } else { self.duration().map(Some) }
    }

    /// Several texts, none of them empty.
    pub fn texts(&self) -> Result<Vec<String>, Refused> {
        match self {
            Self::List(values) => values.iter().map(Self::text).collect(),
            _ => Err(Refused::NotAllowed),
        }
    }

    fn is_off(&self) -> bool {
        matches!(self, Self::Text(text) if text == "off")
    }
}

const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

// In nanoseconds. The order is that of writing: the largest that divides is used, days are never written.
const DURATIONS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Bytes as text, exactly: `20GiB`, `1500B`.
pub fn size_text(bytes: u64) -> String {
    exact(bytes, SIZES.iter().filter(|(unit, _)| unit.ends_with("iB") || *unit == "B"))
}

/// A length of time as text, exactly: `65s`, `2500us`.
pub fn duration_text(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    exact(nanos, DURATIONS.iter().filter(|(unit, _)| *unit != "d"))
}

fn exact<'u>(amount: u64, units: impl Iterator<Item = &'u (&'static str, u64)>) -> String {
    let mut smallest = "";
    for (unit, weight) in units {
        if amount >= *weight && amount.is_multiple_of(*weight) {
            return format!("{}{unit}", amount / weight);
        }
        smallest = unit;
    }
    format!("{amount}{smallest}")
}

fn parse_size(text: &str) -> Option<u64> {
    scaled(text, SIZES)
}

fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, DURATIONS).map(Duration::from_nanos)
}

/// A number, perhaps with a point, and one of the units, without regard to case.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim();
    let (_, weight) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((number.as_str(), ""));
    let whole: u128 = whole.parse().ok()?;
    let mut amount = whole.checked_mul(u128::from(*weight))?;
    if !fraction.is_empty() {
        // Nine digits suffice for nanoseconds in a second, and for bytes in a gigabyte.
        let fraction = fraction.get(..9).unwrap_or(fraction);
        let parts: u128 = fraction.parse().ok()?;
        let of = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        amount = amount.checked_add(parts.checked_mul(u128::from(*weight))? / of)?;
    }
    u64::try_from(amount).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given {
        Given::from(text)
    }

    #[test]
    fn sizes_take_both_kinds_of_units() {
        for (given, bytes) in
            [("20GiB", 20 << 30), ("1.5 KiB", 1536), ("512kB", 512_000), ("7b", 7), ("1_000 B", 1000), ("0B", 0)]
        {
            assert_eq!(text(given).size(), Ok(bytes), "{given}");
        }
        assert_eq!(Given::Integer(4096).size(), Ok(4096));
        for wrong in ["", "GiB", "20", "20 GiBs", "-1B", "1e3B", "99999999TiB", ".5MiB", "1.2.3B"] {
            assert_eq!(text(wrong).size(), Err(Refused::NotAllowed), "{wrong}");
        }
        assert_eq!(Given::Integer(-1).size(), Err(Refused::NotAllowed));
    }

    #[test]
    fn durations_take_units_or_seconds() {
        for (given, nanos) in
            [("2s", 2_000_000_000), ("1.5ms", 1_500_000), ("1 min", 60_000_000_000), ("3µs", 3_000), ("0s", 0)]
        {
            assert_eq!(text(given).duration(), Ok(Duration::from_nanos(nanos)), "{given}");
        }
        assert_eq!(Given::Integer(65).duration(), Ok(Duration::from_secs(65)));
        assert_eq!(Given::Float(0.25).duration(), Ok(Duration::from_millis(250)));
        for wrong in ["2", "s", "2 fortnights", "-2s", "1,5s"] {
            assert_eq!(text(wrong).duration(), Err(Refused::NotAllowed), "{wrong}");
        }
        assert_eq!(Given::Float(-1.0).duration(), Err(Refused::NotAllowed));
        assert_eq!(text("off").duration_or_off(), Ok(None));
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [0, 1, 1000, 1024, 1 << 20, (1 << 30) + 1, 20 << 30] {
            assert_eq!(text(&size_text(bytes)).size(), Ok(bytes), "{}", size_text(bytes));
        }
        for nanos in [0, 1, 1_000, 1_500_000, 65_000_000_000, 86_400_000_000_000, 3_600_000_000_001] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(text(&duration_text(duration)).duration(), Ok(duration), "{}", duration_text(duration));
        }
        assert_eq!((size_text(20 << 30), duration_text(Duration::from_secs(65))), ("20GiB".into(), "65s".into()));
    }

    #[test]
    fn other_types_are_refused() {
        assert_eq!(text("yes").flag(), Err(Refused::NotAllowed));
        assert_eq!(text("8080").count(0, 65535), Err(Refused::NotAllowed));
        assert_eq!(Given::Integer(65536).number::<u16>(0, 65535), Err(Refused::NotAllowed));
        assert_eq!(text("a").texts(), Err(Refused::NotAllowed));
        assert_eq!(Given::List(vec![text("a"), text("")]).texts(), Err(Refused::NotAllowed));
    }
}
