//! The table of keys: name, meaning, what is allowed, how it is set and shown. Adding a key is one entry here.

use std::time::Duration;

use serde_json::{Value, json};

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
        matches!(self.table(), Some("inspect" | "redact" | "rules")) || matches!(self.name, "profile" | "metadata")
    }

    /// Its name within its table.
    pub fn short(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, short)| short)
    }
}

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
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

/// All keys, in the order of the example file: the top first, then table by table.
pub const KEYS: &[Key] = &[
    Key {
        name: "captures",
        meaning: "The folder of captures. Made when missing, readable by its owner alone.",
        allowed: "a path",
        option: Some("--captures"),
        environment: Some("FIRSTFRAME_CAPTURES"),
        set: |s, v| Ok(s.captures = v.path()?),
        show: |s| json!(s.captures),
        ..PLAIN
    },
    Key {
        name: "name",
        meaning: "The name of the capture that is recorded. Unset: made from the time.",
        allowed: "a name of letters, digits, '.', '_' and '-', not beginning with '.'",
        example: "\"monday-50-threads\"",
        option: Some("--name"),
        set: |s, v| {
            let name = v.text()?;
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if !name.chars().all(plain) || name.starts_with('.') || name.len() > 100 {
                return Err(Refused::NotAllowed);
            }
            s.name = Some(name);
            Ok(())
        },
        show: |s| json!(s.name),
        ..PLAIN
    },
    Key {
        name: "profile",
        meaning: "What is known of the API: a built-in profile's name, or a TOML file.",
        allowed: "a built-in profile's name, or the path of a TOML file",
        option: Some("--profile"),
        environment: Some("FIRSTFRAME_PROFILE"),
        set: |s, v| Ok(s.profile = v.text()?),
        show: |s| json!(s.profile),
        ..PLAIN
    },
    Key {
        name: "metadata",
        meaning: "A filter that says which requests are metadata, such as 'path~\"/meta\"'. Unset: as the profile says.",
        allowed: "a filter, as `ls --filter` takes it",
        example: "'method=POST path~\"/metadata\"'",
        option: Some("--metadata"),
        set: |s, v| Ok(s.metadata = Some(v.text()?)),
        show: |s| json!(s.metadata),
        ..PLAIN
    },
    Key {
        name: "ca_dir",
        meaning: "Where our certificate authority lives (firstframe-ca.pem, firstframe-ca.key); made at the first run.\nUnset: certs in a checkout of firstframe, else the user's data folder.",
        allowed: "a path",
        example: "\"/etc/firstframe/ca\"",
        option: Some("--ca-dir"),
        environment: Some("FIRSTFRAME_CA_DIR"),
        set: |s, v| Ok(s.ca_dir = Some(v.path()?)),
        show: |s| json!(s.ca_dir),
        ..PLAIN
    },
    Key {
        name: "redaction_key",
        meaning: "The file with the key of the fingerprints that stand for secrets, so that captures of several\nmachines can be compared. Unset: one is made in each captures folder.",
        allowed: "a path",
        example: "\"team.redaction-key\"",
        option: Some("--redaction-key"),
        environment: Some("FIRSTFRAME_REDACTION_KEY"),
        set: |s, v| Ok(s.redaction_key = Some(v.path()?)),
        show: |s| json!(s.redaction_key),
        ..PLAIN
    },
    Key {
        name: "proxy.listen_host",
        meaning: "The address to listen on. Whoever can reach it can use the proxy: it asks for no password.",
        allowed: "an IP address of this machine, such as \"127.0.0.1\"",
        hint: "\"0.0.0.0\" listens on all of them",
        option: Some("--listen-host"),
        set: |s, v| {
            let text = v.text()?;
            let text = if text == "localhost" { "127.0.0.1" } else { &text };
            Ok(s.listen_host = text.parse().map_err(|_| Refused::NotAllowed)?)
        },
        show: |s| json!(s.listen_host),
        ..PLAIN
    },
    Key {
        name: "proxy.listen_port",
        meaning: "The port of the first mode; the others are given theirs with @PORT. 0 picks a free one.",
        allowed: "a number from 0 to 65535",
        hint: "0 picks a free port",
        option: Some("--listen-port"),
        set: |s, v| Ok(s.listen_port = v.number(0, 65535)?),
        show: |s| json!(s.listen_port),
        ..PLAIN
    },
    Key {
        name: "record.on_record_error",
        meaning: "What happens when the disk refuses (full, failing). continue: traffic goes on unrecorded and the capture\nsays from when on it is incomplete. stop: the proxy stops.",
        allowed: "\"continue\" or \"stop\"",
        option: Some("--on-record-error"),
        set: |s, v| {
            s.record.on_record_error = one_of(v)?;
            Ok(())
        },
        show: |s| json!(s.record.on_record_error),
        ..PLAIN
    },
    Key {
        name: "record.overflow",
        meaning: "What happens when the disk is slower than the traffic. stall: the traffic is slowed, and the capture says by\nhow much. gap: bytes are relayed and not recorded, and the capture says which.",
        allowed: "\"stall\" or \"gap\"",
        set: |s, v| {
            s.record.overflow = one_of(v)?;
            Ok(())
        },
        show: |s| json!(s.record.overflow),
        ..PLAIN
    },
    Key {
        name: "record.queue",
        meaning: "How much may wait for the disk before that happens.",
        allowed: SIZE,
        hint: "from 64KiB to 4GiB",
        set: |s, v| {
            s.record.queue_bytes = sized(v, 64 << 10, 4 << 30)?;
            Ok(())
        },
        show: |s| json!(size_text(s.record.queue_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "record.linger",
        meaning: "How long records gather before they are written. Longer costs less and shows later.",
        allowed: DURATION,
        hint: "at most 1s",
        set: |s, v| {
            s.record.linger = within(v, Duration::ZERO, Duration::from_secs(1))?;
            Ok(())
        },
        show: |s| json!(duration_text(s.record.linger)),
        ..PLAIN
    },
    Key {
        name: "record.sync_interval",
        meaning: "How much a power failure may cost: data is forced to the disk this often. \"0s\" leaves it to the system.",
        allowed: DURATION,
        set: |s, v| {
            s.record.sync_interval = v.duration()?;
            Ok(())
        },
        show: |s| json!(duration_text(s.record.sync_interval)),
        ..PLAIN
    },
    Key {
        name: "record.segment",
        meaning: "How large a file of evidence grows before it is sealed, its tables are written, and the next is begun.",
        allowed: SIZE,
        hint: "from 64KiB to 4GiB",
        set: |s, v| {
            s.record.segments.segment_bytes = sized(v, 64 << 10, 4 << 30)? as u64;
            Ok(())
        },
        show: |s| json!(size_text(s.record.segments.segment_bytes)),
        ..PLAIN
    },
    Key {
        name: "inspect.identity_headers",
        meaning: "Headers whose value names the virtual user, compared without case; the first one present counts.",
        allowed: NAMES,
        set: |s, v| Ok(s.inspect.identity_headers = v.texts()?),
        show: |s| json!(s.inspect.identity_headers),
        ..PLAIN
    },
    Key {
        name: "inspect.session_linger",
        meaning: "How long after its last connection closed a session ends.",
        allowed: DURATION,
        set: |s, v| Ok(s.inspect.session_linger = v.duration()?),
        show: |s| json!(duration_text(s.inspect.session_linger)),
        ..PLAIN
    },
    Key {
        name: "inspect.body_cap",
        meaning: "How much of one request's body the rules get to see. The evidence always holds all of it.",
        allowed: SIZE,
        set: |s, v| Ok(s.inspect.body_cap = sized(v, 0, 1 << 30)?),
        show: |s| json!(size_text(s.inspect.body_cap as u64)),
        ..PLAIN
    },
    Key {
        name: "inspect.bodies_cap",
        meaning: "How much of all bodies together is held in memory at any time.",
        allowed: SIZE,
        set: |s, v| Ok(s.inspect.bodies_cap = sized(v, 0, 64 << 30)?),
        show: |s| json!(size_text(s.inspect.bodies_cap as u64)),
        ..PLAIN
    },
    Key {
        name: "redact.headers",
        meaning: "Further headers whose whole value is secret, beside the built-in ones (Authorization, Cookie, ...).",
        allowed: NAMES,
        set: |s, v| Ok(s.redact.headers = v.texts()?),
        show: |s| json!(s.redact.headers),
        ..PLAIN
    },
    Key {
        name: "redact.fields",
        meaning: "Further query parameters, cookies and JSON fields whose value is secret, beside the built-in ones.",
        allowed: "a list of names, such as [\"apiKey\"]",
        set: |s, v| Ok(s.redact.fields = v.texts()?),
        show: |s| json!(s.redact.fields),
        ..PLAIN
    },
    Key {
        name: "rules.off",
        meaning: "Ids of rules that are off.",
        allowed: "a list of rule ids",
        set: |s, v| {
            let ids = v.texts()?;
            let unknown = ids.iter().find(|id| crate::rules::find(id).is_none());
            match unknown {
                Some(id) => Err(Refused::Because(crate::rules::UnknownRule(id.clone()).to_string())),
                None => Ok(s.rules.off = ids),
            }
        },
        show: |s| json!(s.rules.off),
        ..PLAIN
    },
];

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
    for key in KEYS {
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
