//! What is to be different at replay: `hold=metadata:150ms`, `set-header=N: v`, … One spelling for the options of
//! `replay` and the arms of `experiment`. Strict: what is not understood is refused with what is allowed. PURE.

use std::{fmt, path::PathBuf, time::Duration};

use crate::query::filter::Filter;

/// All that is to be different.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Metadata waits so long after its session's OPEN.
    pub hold: Option<Duration>,
    /// What a filter takes goes out so much later.
    pub delays: Vec<(Filter, Duration)>,
    /// Metadata waits for the profile's gate.
    pub wait_for_ready: bool,
    /// Headers that every request gets, in the place of those of that name.
    pub set_headers: Vec<(String, String)>,
    /// Headers that no request has.
    pub drop_headers: Vec<String>,
    /// Bodies that are almost JSON are made JSON.
    pub fix_json: bool,
    /// A file with a token for each session.
    pub unique_token: Option<PathBuf>,
    /// Sessions begin evenly over so long, instead of as they did.
    pub ramp: Option<Duration>,
    /// So many requests wait for their answer at once, at most.
    pub max_inflight: Option<usize>,
    /// What is refused is tried again.
    pub retry: Option<Retry>,
    /// How many of each session.
    pub copies: u32,
    /// How much faster.
    pub speed: f64,
}

/// How refused requests are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often at most, beside the first time.
    pub times: u32,
    /// The first pause; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            hold: None,
            delays: Vec::new(),
            wait_for_ready: false,
            set_headers: Vec::new(),
            drop_headers: Vec::new(),
            fix_json: false,
            unique_token: None,
            ramp: None,
            max_inflight: None,
            retry: None,
            copies: 1,
            speed: 1.0,
        }
    }
}

/// A change that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}{}{found:?}: {why}expected {allowed}", if name.is_empty() { "" } else { " " })]
pub struct ChangeError {
    /// Which change; empty where it is none.
    pub name: String,
    /// What was said.
    pub found: String,
    /// What is wrong with it, where that is not plain.
    pub why: String,
    /// What is allowed.
    pub allowed: String,
}

/// One change: its name and how its value is read. `apply` gets the value, empty where none is taken.
struct Kind {
    name: &'static str,
    takes: &'static str,
    apply: fn(&mut Changes, &str) -> Result<(), String>,
}

/// All of them. An option of `replay` and a key of arms follow from each.
const KINDS: &[Kind] = &[
    Kind {
        name: "hold",
        takes: "metadata:DURATION, such as metadata:150ms",
        apply: |changes, value| {
            let duration = value.strip_prefix("metadata:").and_then(duration).ok_or_else(String::new)?;
            changes.hold = Some(duration);
            Ok(())
        },
    },
    Kind {
        name: "delay",
        takes: "FILTER:DURATION, such as path~\"/login\":200ms",
        apply: |changes, value| {
            let (filter, by) = value.rsplit_once(':').ok_or_else(String::new)?;
            let by = duration(by).ok_or_else(String::new)?;
            let filter = Filter::parse(filter).map_err(|error| error.to_string())?;
            changes.delays.push((filter, by));
            Ok(())
        },
    },
    Kind {
        name: "wait-for",
        takes: "ready (the profile's gate)",
        apply: |changes, value| {
            changes.wait_for_ready = true;
            if value == "ready" { Ok(()) } else { Err(String::new()) }
        },
    },
    Kind {
        name: "set-header",
        takes: "NAME: VALUE",
        apply: |changes, value| {
            let (name, value) = value.split_once(':').ok_or_else(String::new)?;
            header_name(name)?;
            if value.contains(['\r', '\n']) {
                return Err("a value is one line".to_owned());
            }
            changes.set_headers.push((name.trim().to_owned(), value.trim().to_owned()));
            Ok(())
        },
    },
    Kind {
        name: "drop-header",
        takes: "NAME",
        apply: |changes, value| {
            header_name(value)?;
            changes.drop_headers.push(value.trim().to_owned());
            Ok(())
        },
    },
    Kind { name: "fix-json", takes: "no value", apply: |changes, value| flag(&mut changes.fix_json, value) },
    Kind {
        name: "unique-token",
        takes: "a CSV file with a token a line",
        apply: |changes, value| {
            changes.unique_token = Some(PathBuf::from(value));
            if value.is_empty() { Err(String::new()) } else { Ok(()) }
        },
    },
    Kind {
        name: "ramp",
        takes: "DURATION, such as 0s (all at once) or 60s",
        apply: |changes, value| {
            changes.ramp = Some(duration(value).ok_or_else(String::new)?);
            Ok(())
        },
    },
    Kind {
        name: "max-inflight",
        takes: "a number from 1 to 100000",
        apply: |changes, value| {
            changes.max_inflight = Some(number(value, 1, 100_000)? as usize);
            Ok(())
        },
    },
    Kind {
        name: "retry",
        takes: "TIMES:PAUSE, such as 3:200ms (TIMES from 1 to 20)",
        apply: |changes, value| {
            let (times, pause) = value.split_once(':').ok_or_else(String::new)?;
            let pause = duration(pause).ok_or_else(String::new)?;
            changes.retry = Some(Retry { times: number(times, 1, 20)?, pause });
            Ok(())
        },
    },
    Kind {
        name: "copies",
        takes: "a number from 1 to 100000",
        apply: |changes, value| {
            changes.copies = number(value, 1, 100_000)?;
            Ok(())
        },
    },
    Kind {
        name: "speed",
        takes: "a factor from 0.01x to 1000x, such as 2x",
        apply: |changes, value| {
            let factor: f64 = value.strip_suffix('x').unwrap_or(value).parse().map_err(|_| String::new())?;
            changes.speed = factor;
            if (0.01..=1000.0).contains(&factor) { Ok(()) } else { Err(String::new()) }
        },
    },
];

/// The control arm's name.
const NONE: &str = "none";

impl Changes {
    /// Adds one change, as an option or an arm spells it.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), ChangeError> {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let allowed = format!("one of {}, or {NONE} for the control", names.join(", "));
            return Err(ChangeError { name: String::new(), found: name.to_owned(), why: String::new(), allowed });
        };
        (kind.apply)(self, value).map_err(|why| ChangeError {
            name: name.to_owned(),
            found: value.to_owned(),
            why: if why.is_empty() { why } else { format!("{why}; ") },
            allowed: kind.takes.to_owned(),
        })
    }

    /// Reads an arm: changes joined by commas, or `none`. A comma belongs to a value unless a change's name follows it.
    ///
    /// # Errors
    /// The first change that is not understood.
    pub fn parse_arm(&self, text: &str) -> Result<Self, ChangeError> {
        let mut changes = self.clone();
        if text.trim() == NONE {
            return Ok(changes);
        }
        let mut rest = text.trim();
        loop {
            let end = rest.match_indices(',').map(|(at, _)| at).find(|at| begins_change(rest, *at));
            let (part, more) = match end {
                Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
                None => (rest, None),
            };
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            changes.add(name.trim(), value.trim())?;
            match more {
                Some(more) => rest = more.trim_start(),
                None => return Ok(changes),
            }
        }
    }

    /// A duration as changes spell it.
    pub fn pause(text: &str) -> Option<Duration> {
        duration(text)
    }

    /// Whether nothing is different.
    pub fn is_none(&self) -> bool {
        self.to_string() == NONE
    }
}

fn begins_change(text: &str, comma: usize) -> bool {
    let Some(next) = text.get(comma + 1..) else { return false };
    let word: &str = next.trim_start().split(['=', ',']).next().unwrap_or_default();
    KINDS.iter().any(|kind| kind.name == word.trim_end())
}

/// As an arm spells it; `none` where nothing is different.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.hold.map(|hold| format!("hold=metadata:{}", duration_text(hold))));
        parts.extend(self.delays.iter().map(|(filter, by)| format!("delay={filter}:{}", duration_text(*by))));
        parts.extend(self.wait_for_ready.then(|| "wait-for=ready".to_owned()));
        // A header's value may be a credential: its name alone is shown.
        parts.extend(self.set_headers.iter().map(|(name, _)| format!("set-header={name}: …")));
        parts.extend(self.drop_headers.iter().map(|name| format!("drop-header={name}")));
        parts.extend(self.fix_json.then(|| "fix-json".to_owned()));
        parts.extend(self.unique_token.as_ref().map(|path| format!("unique-token={}", path.display())));
        parts.extend(self.ramp.map(|ramp| format!("ramp={}", duration_text(ramp))));
        parts.extend(self.max_inflight.map(|most| format!("max-inflight={most}")));
        parts.extend(self.retry.map(|retry| format!("retry={}:{}", retry.times, duration_text(retry.pause))));
        parts.extend((self.copies != 1).then(|| format!("copies={}", self.copies)));
        parts.extend((self.speed != 1.0).then(|| format!("speed={}x", self.speed)));
        f.write_str(if parts.is_empty() { NONE.to_owned() } else { parts.join(",") }.as_str())
    }
}

fn flag(to: &mut bool, value: &str) -> Result<(), String> {
    *to = true;
    if value.is_empty() { Ok(()) } else { Err(String::new()) }
}

fn number(text: &str, low: u32, high: u32) -> Result<u32, String> {
    text.parse().ok().filter(|number| (low..=high).contains(number)).ok_or_else(String::new)
}

fn header_name(name: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = name.trim();
    if !name.is_empty() && name.bytes().all(token) { Ok(()) } else { Err(format!("{name:?} is no header's name")) }
}

/// Units of time in nanoseconds.
const UNITS: &[(&str, u64)] =
    &[("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

/// `150ms`, `0s`, `1500us`: a whole number and a unit, at most a day.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, nanos) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let duration = Duration::from_nanos(number.parse::<u64>().ok()?.checked_mul(*nanos)?);
    (duration <= Duration::from_secs(86_400)).then_some(duration)
}

/// The same, in the longest unit of which it is a whole number.
pub(super) fn duration_text(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let fitting = UNITS.iter().find(|(_, unit)| nanos != 0 && nanos.is_multiple_of(*unit));
    fitting.map_or_else(|| "0ms".to_owned(), |(name, unit)| format!("{}{name}", nanos / unit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn arms_are_read_and_written() {
        for text in [
            "none",
            "hold=metadata:150ms",
            "hold=metadata:0ms,copies=20",
            "delay=path~\"/a,b\":200ms,drop-header=Accept,fix-json",
            "hold=metadata:100ms,max-inflight=83,retry=1:0ms",
            "delay=not websocket:200ms,unique-token=tokens.csv",
            "wait-for=ready,ramp=1m,max-inflight=80,retry=3:200ms,copies=2,speed=1.5x",
        ] {
            let arm = Changes::default().parse_arm(text).unwrap();
            assert_eq!(arm.to_string(), text);
        }
        let arm = Changes::default().parse_arm("set-header=Accept: a/b, c/d, ramp=0s").unwrap();
        assert_eq!(arm.set_headers, [("Accept".into(), "a/b, c/d".into())]);
        assert_eq!(arm.ramp, Some(Duration::ZERO));
        assert_eq!(arm.to_string(), "set-header=Accept: …,ramp=0ms");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        for (text, message) in [
            ("hold=150ms", "hold \"150ms\": expected metadata:DURATION, such as metadata:150ms"),
            ("hold=metadata:150", "hold \"metadata:150\": expected metadata:DURATION, such as metadata:150ms"),
            ("wait-for=open", "wait-for \"open\": expected ready (the profile's gate)"),
            (
                "set-header=Bad Name: x",
                "set-header \"Bad Name: x\": \"Bad Name\" is no header's name; expected NAME: VALUE",
            ),
            ("retry=0:1s", "retry \"0:1s\": expected TIMES:PAUSE, such as 3:200ms (TIMES from 1 to 20)"),
            ("speed=0x", "speed \"0x\": expected a factor from 0.01x to 1000x, such as 2x"),
            ("copies=0", "copies \"0\": expected a number from 1 to 100000"),
            ("fix-json=yes", "fix-json \"yes\": expected no value"),
        ] {
            assert_eq!(Changes::default().parse_arm(text).unwrap_err().to_string(), message);
        }
        let unknown = Changes::default().parse_arm("holds=metadata:1ms").unwrap_err().to_string();
        assert!(unknown.starts_with("\"holds\": expected one of hold, delay, wait-for, "), "{unknown}");
        let filter = Changes::default().parse_arm("delay=statos=4:1ms").unwrap_err().to_string();
        assert!(filter.contains("statos"), "{filter}");
    }
}
