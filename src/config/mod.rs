//! Settings: from defaults, the settings file, the environment and the command line to each module's `Options`.
//!
//! One table, [`keys`], says of every key what it means, what it allows, how it is set and shown; the
//! example file, `config show`, the messages and the checks follow from it. Nobody below imports this module.
//! Later layers win: default, file, environment (few keys), command line.

pub mod file;
pub mod keys;
pub mod problem;
pub mod redaction_key;
pub mod value;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use keys::Key;
pub use problem::{Place, Problem};
pub use redaction_key::RedactionKey;
pub use value::{Given, Refused};

use problem::Parts;

use crate::{inspect, proxy, record, redact, rules};

/// Everything that can be set, ready to be used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of captures.
    pub captures: PathBuf,
    /// Where our certificate authority lives; `None` is the place that [`Settings::ca_dir`] finds.
    pub ca_dir: Option<PathBuf>,
    /// A built-in profile's name, or a file.
    pub profile: String,
    /// The file with the redaction key; `None` is the one in the captures folder.
    pub redaction_key: Option<PathBuf>,
    /// The capture's name; `None` is made from the time.
    pub name: Option<String>,
    /// A filter that says what metadata is; `None` leaves it to the profile.
    pub metadata: Option<String>,
    /// What the proxy is told.
    pub proxy: proxy::Options,
    /// What the recorder is told.
    pub record: record::Options,
    /// What the inspector is told.
    pub inspect: inspect::Options,
    /// Which places hold secrets.
    pub redact: redact::Options,
    /// What the rules are told.
    pub rules: rules::Options,
    /// Where each value came from that is not the default.
    origins: BTreeMap<&'static str, (Place, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            captures: PathBuf::from("captures"),
            ca_dir: None,
            profile: "generic".to_owned(),
            redaction_key: None,
            name: None,
            metadata: None,
            proxy: proxy::Options::default(),
            record: record::Options::default(),
            inspect: inspect::Options::default(),
            redact: redact::Options::default(),
            rules: rules::Options::default(),
            origins: BTreeMap::new(),
        }
    }
}

/// What the command line says, in its order.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    file: Option<PathBuf>,
    values: Vec<(String, Given, Place)>,
}

impl Overrides {
    /// `file` is `--config`'s; without it, `FIRSTFRAME_CONFIG` is asked.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, values: Vec::new() }
    }

    /// The option of that key was given.
    pub fn set(&mut self, key: &'static str, given: impl Into<Given>) {
        let option = keys::find(key).and_then(|key| key.option).unwrap_or(key);
        self.values.push((key.to_owned(), given.into(), Place::Option(option.to_owned())));
    }

    /// The option of that key may have been given.
    pub fn set_some(&mut self, key: &'static str, given: Option<impl Into<Given>>) {
        if let Some(given) = given {
            self.set(key, given);
        }
    }

    /// The option of that key may have been given, with a path.
    pub fn set_path(&mut self, key: &'static str, path: Option<&Path>) {
        self.set_some(key, path.and_then(Path::to_str));
    }

    /// `--set KEY=VALUE`: the value as TOML, or else as it stands as a text.
    ///
    /// # Errors
    /// Where there is no `=`.
    pub fn set_text(&mut self, assignment: &str) -> Result<(), Problem> {
        let place = Place::Option("--set".to_owned());
        let Some((key, value)) = assignment.split_once('=') else {
            let parts = Parts { place: Some(place), value: Some(format!("{assignment:?}")), ..Parts::default() };
            let problem = Problem::from(parts).allowed("KEY=VALUE, such as record.max_bytes=5GiB");
            return Err(problem.hint("`firstframe config example` lists all keys"));
        };
        let (key, value) = (key.trim(), value.trim());
        let as_toml = file::parse(Path::new("--set"), &format!("value = {value}"));
        let given = match as_toml.as_deref() {
            Ok([entry]) if entry.key == "value" => entry.given.clone(),
            _ => Given::from(value),
        };
        self.values.push((key.to_owned(), given, Place::Option(format!("--set {key}"))));
        Ok(())
    }
}

impl Settings {
    /// The settings that all layers give together.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the layers.
    pub fn load(overrides: &Overrides) -> Result<Self, Problem> {
        Self::load_with(overrides, |name| std::env::var(name).ok())
    }

    fn load_with(overrides: &Overrides, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let mut settings = Self::default();
        let file = overrides.file.clone().or_else(|| variable("FIRSTFRAME_CONFIG").map(PathBuf::from));
        if let Some(path) = file {
            for entry in file::read(&path)? {
                settings.apply(&entry.key, &entry.given, entry.written, entry.place)?;
            }
        }
        for key in keys::all() {
            let given = key.environment.and_then(|name| Some((name, variable(name).filter(|text| !text.is_empty())?)));
            if let Some((name, text)) = given {
                let written = format!("{text:?}");
                settings.apply(key.name, &Given::Text(text), written, Place::Environment(name))?;
            }
        }
        for (key, given, place) in &overrides.values {
            settings.apply(key, given, written(given), place.clone())?;
        }
        settings.consistent()?;
        Ok(settings)
    }

    /// What can only be judged when all keys are set.
    fn consistent(&self) -> Result<(), Problem> {
        let delays = &self.rules.frame_overtaken;
        if delays.least_delay > delays.most_delay {
            let most = value::duration_text(delays.most_delay);
            let what = format!("longer than rules.frame-overtaken.most_delay, {most}: no frame could be flagged");
            return Err(self.problem("rules.frame-overtaken.least_delay", what));
        }
        Ok(())
    }

    /// All values as one JSON object, for `capture.json`.
    pub fn to_json(&self) -> serde_json::Value {
        keys::all().map(|key| (key.name.to_owned(), (key.show)(self))).collect::<serde_json::Map<_, _>>().into()
    }

    /// These settings, and where they left inspection to the defaults, what a capture was recorded with: the profile,
    /// what metadata is, sessions, secrets, rules. So that a capture is read as it was recorded unless told otherwise.
    #[must_use]
    pub fn or_recorded(&self, options: &serde_json::Value) -> Self {
        let mut settings = self.clone();
        for key in keys::all().filter(|key| key.of_inspection() && !self.origins.contains_key(key.name)) {
            let recorded = options.get(key.name).filter(|value| !value.is_null()).map(Given::from);
            if let Some(given) = recorded {
                // What another version recorded and this one does not take stays at the default.
                if (key.set)(&mut settings, &given).is_ok() {
                    settings.origins.insert(key.name, (Place::Capture, written(&given)));
                }
            }
        }
        settings
    }

    /// Where the CA lives: what was set, else `certs` in a checkout of this program, else the user's data folder.
    pub fn ca_dir(&self) -> PathBuf {
        self.ca_dir.clone().unwrap_or_else(default_ca_dir)
    }

    /// Where the value of that key came from; `None` is the default.
    pub fn origin(&self, key: &str) -> Option<&Place> {
        self.origins.get(key).map(|(place, _)| place)
    }

    /// What turned out to be wrong with that key's value later on, with the place where it was given.
    pub fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        let known = keys::find(key);
        let (place, value) = match self.origins.get(key) {
            Some((place, written)) => (Some(place.clone()), Some(written.clone())),
            None => (None, known.map(|known| (known.show)(self).to_string())),
        };
        Parts { place, key: key.to_owned(), value, what: Some(what.into()), ..Parts::default() }.into()
    }

    fn apply(&mut self, name: &str, given: &Given, written: String, place: Place) -> Result<(), Problem> {
        let Some(key) = keys::find(name) else { return Err(unknown(name, written, place)) };
        let refused = match (key.set)(self, given) {
            Ok(()) => {
                self.origins.insert(key.name, (place, written));
                return Ok(());
            }
            Err(refused) => refused,
        };
        let what = match (refused, given) {
            (Refused::Because(why), _) => Some(why),
            (Refused::NotAllowed, Given::Other(kind)) => Some(format!("this is {kind}")),
            (Refused::NotAllowed, _) => None,
        };
        let parts = Parts {
            place: Some(place),
            key: key.name.to_owned(),
            value: Some(written),
            what,
            allowed: Some(key.allowed.to_owned()),
            hint: Some(key.hint.to_owned()).filter(|hint| !hint.is_empty()),
        };
        Err(parts.into())
    }
}

/// Says which keys there are beside the unknown one.
fn unknown(name: &str, written: String, place: Place) -> Problem {
    let table = name.rsplit_once('.').map(|(table, _)| table);
    let in_table: Vec<&str> = keys::all().filter(|key| key.table() == table).map(Key::short).collect();
    let same_name: Vec<&str> =
        keys::all().filter(|key| Some(key.short()) == name.rsplit('.').next()).map(|key| key.name).collect();
    let near = problem::nearest(name, same_name.iter().copied())
        .or_else(|| same_name.first().copied())
        .or_else(|| problem::nearest(name, keys::all().map(|key| key.name)));
    let allowed = if in_table.is_empty() {
        let mut tables: Vec<String> = keys::all().filter_map(Key::table).map(|table| format!("[{table}]")).collect();
        tables.dedup();
        format!("a key at the top, or one in {}", tables.join(", "))
    } else {
        in_table.join(", ")
    };
    let in_rules = name.strip_prefix("rules.").and_then(|rest| rest.split_once('.'));
    let allowed = match in_rules {
        Some((rule, _)) if in_table.is_empty() => without_options(rule),
        _ => allowed,
    };
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "`firstframe config example` lists all keys".to_owned(),
    };
    let what = Some("unknown key".to_owned());
    let (place, value) = (Some(place), Some(written));
    Parts { place, key: name.to_owned(), value, what, allowed: Some(allowed), hint: Some(hint) }.into()
}

/// Which rules have options, where that one has none, or does not exist.
fn without_options(rule: &str) -> String {
    let mut with: Vec<&str> = keys::all().filter_map(|key| key.table()?.strip_prefix("rules.")).collect();
    with.dedup();
    let there_is = if rules::find(rule).is_some() {
        format!("nothing, {rule} has no options")
    } else {
        format!("a rule's id, and there is no rule {rule:?}")
    };
    format!("{there_is}; those with options are {}", with.join(", "))
}

/// A value of the command line as it would be written.
fn written(given: &Given) -> String {
    match given {
        Given::Bool(value) => value.to_string(),
        Given::Integer(value) => value.to_string(),
        Given::Float(value) => value.to_string(),
        Given::Text(text) => format!("{text:?}"),
        Given::List(values) => values.iter().map(written).collect::<Vec<_>>().join(", "),
        Given::Other(kind) => (*kind).to_owned(),
    }
}

fn default_ca_dir() -> PathBuf {
    let in_checkout = std::fs::read_to_string("Cargo.toml").is_ok_and(|text| text.contains("name = \"firstframe\""));
    if in_checkout {
        return PathBuf::from("certs");
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")))
    };
    data.map_or_else(|| PathBuf::from("certs"), |data| data.join("firstframe"))
}

#[cfg(test)]
mod tests;
