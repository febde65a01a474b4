//! The table of keys: name, meaning, what is allowed, how it is set and shown. Adding a key is one entry in the file of
//! its table.

mod general;
mod inspection;
mod proxy;
mod record;
mod rule_options;

use std::time::Duration;

use serde_json::Value;

use super::{
    Settings,
    value::{Given, Refused, duration_text, size_text},
};

/// One key.
pub struct Key {
    /// With its table: `record.max_bytes`.
    pub name: &'static str,
    /// What it means, for the example file; a line break is one there too.
    pub meaning: &'static str,
    /// What may stand there; follows "expected".
    pub allowed: &'static str,
    /// What to do where something else stands there; may be empty.
    pub hint: &'static str,
    /// What the example file shows where the default is unset.
    pub example: &'static str,
    /// The command line's option for it.
    pub option: Option<&'static str>,
    /// The environment's variable for it.
    pub environment: Option<&'static str>,
    /// Takes a value.
    pub set: fn(&mut Settings, &Given) -> Result<(), Refused>,
    /// Gives the value, as JSON that is TOML as well; `null` is unset.
    pub show: fn(&Settings) -> Value,
}

impl Key {
    /// The table that it stands in; `None` is the top.
    pub fn table(&self) -> Option<&'static str> {
        self.name.rsplit_once('.').map(|(table, _)| table)
    }

    /// Whether it decides what is made of the evidence.
    pub fn of_inspection(&self) -> bool {
        matches!(self.name.split('.').next(), Some("inspect" | "redact" | "rules" | "profile" | "metadata"))
    }

    /// Its name within its table.
    pub fn short(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, short)| short)
    }
}

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

/// All keys, table by table, in the order of the example file: the top first.
const TABLES: &[&[Key]] = &[general::KEYS, proxy::KEYS, record::KEYS, inspection::KEYS, rule_options::KEYS];

/// All keys, in the order of the example file.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().copied().flatten()
}

const SIZE: &str = "a size such as \"20GiB\", or a number of bytes";
const DURATION: &str = "a length of time such as \"2s\", or a number of seconds";
const FLAG: &str = "true or false";
const NAMES: &str = "a list of names, such as [\"X-One\", \"X-Two\"]";

/// What most keys have nothing of.
const PLAIN: Key = Key {
    name: "",
    meaning: "",
    allowed: "",
    hint: "",
    example: "",
    option: None,
    environment: None,
    set: |_, _| Err(Refused::NotAllowed),
    show: |_| Value::Null,
};

/// A size within bounds.
fn sized(given: &Given, least: u64, most: u64) -> Result<usize, Refused> {
    match given.size()? {
        size if size < least => Err(Refused::Because(format!("at least {}", size_text(least)))),
        size if size > most => Err(Refused::Because(format!("at most {}", size_text(most)))),
        size => usize::try_from(size).map_err(|_| Refused::NotAllowed),
    }
}

/// A length of time within bounds.
fn within(given: &Given, least: Duration, most: Duration) -> Result<Duration, Refused> {
    match given.duration()? {
        time if time < least => Err(Refused::Because(format!("at least {}", duration_text(least)))),
        time if time > most => Err(Refused::Because(format!("at most {}", duration_text(most)))),
        time => Ok(time),
    }
}

/// One of the words that an enum's serde names are.
fn one_of<T: serde::de::DeserializeOwned>(given: &Given) -> Result<T, Refused> {
    serde_json::from_value(Value::String(given.text()?)).map_err(|_| Refused::NotAllowed)
}

/// The example file: every key with its meaning and its default.
pub fn example() -> String {
    let mut text = String::from(
        "# Every key with its default: `firstframe --config FILE`. The command line wins over FIRSTFRAME_* variables, these over\n# the file, the file over the defaults. What has no default is commented out. Written by `firstframe config example`.\n",
    );
    let defaults = Settings::default();
    let mut table = None;
    for key in all() {
        if key.table() != table {
            table = key.table();
            text.push_str(&format!("\n[{}]\n", table.unwrap_or_default()));
        }
        text.push('\n');
        for line in key.meaning.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# {}", capitalised(key.allowed)));
        let names: Vec<&str> = key.option.into_iter().chain(key.environment).collect();
        if !names.is_empty() {
            text.push_str(&format!(" ({})", names.join(", ")));
        }
        text.push_str(".\n");
        text.push_str(&key.line(&defaults));
    }
    text
}

impl Key {
    /// The key's line in a settings file, commented out where it is unset.
    pub fn line(&self, settings: &Settings) -> String {
        match (self.show)(settings) {
            Value::Null => format!("# {} = {}\n", self.short(), self.example),
            value => format!("{} = {}\n", self.short(), toml_of(&value)),
        }
    }
}

/// JSON's scalars and lists are TOML as well; a text list goes on lines of its own where it is long.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
