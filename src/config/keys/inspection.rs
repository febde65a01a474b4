//! The keys of what is made of the evidence: sessions, secrets, rules.

use serde_json::json;

use super::{DURATION, Key, NAMES, PLAIN, Refused, SIZE, sized};
use crate::config::value::{duration_text, size_text};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "inspect.identity_headers",
        meaning: "Headers whose value names the virtual user, compared without case; the first one present counts.",
        allowed: NAMES,
        set: |s, v| {
            s.inspect.identity_headers = v.texts()?;
            Ok(())
        },
        show: |s| json!(s.inspect.identity_headers),
        ..PLAIN
    },
    Key {
        name: "inspect.session_linger",
        meaning: "How long after its last connection closed a session ends.",
        allowed: DURATION,
        set: |s, v| {
            s.inspect.session_linger = v.duration()?;
            Ok(())
        },
        show: |s| json!(duration_text(s.inspect.session_linger)),
        ..PLAIN
    },
    Key {
        name: "inspect.body_cap",
        meaning: "How much of one request's body the rules get to see. The evidence always holds all of it.",
        allowed: SIZE,
        set: |s, v| {
            s.inspect.body_cap = sized(v, 0, 1 << 30)?;
            Ok(())
        },
        show: |s| json!(size_text(s.inspect.body_cap as u64)),
        ..PLAIN
    },
    Key {
        name: "inspect.bodies_cap",
        meaning: "How much of all bodies together is held in memory at any time.",
        allowed: SIZE,
        set: |s, v| {
            s.inspect.bodies_cap = sized(v, 0, 64 << 30)?;
            Ok(())
        },
        show: |s| json!(size_text(s.inspect.bodies_cap as u64)),
        ..PLAIN
    },
    Key {
        name: "redact.headers",
        meaning: "Further headers whose whole value is secret, beside the built-in ones (Authorization, Cookie, ...).",
        allowed: NAMES,
        set: |s, v| {
            s.redact.headers = v.texts()?;
            Ok(())
        },
        show: |s| json!(s.redact.headers),
        ..PLAIN
    },
    Key {
        name: "redact.fields",
        meaning: "Further query parameters, cookies and JSON fields whose value is secret, beside the built-in ones.",
        allowed: "a list of names, such as [\"apiKey\"]",
        set: |s, v| {
            s.redact.fields = v.texts()?;
            Ok(())
        },
        show: |s| json!(s.redact.fields),
        ..PLAIN
    },
    Key {
        name: "rules.on",
        meaning: "Ids of rules that are on although they are off by default. docs/rules.md lists all.",
        allowed: "a list of rule ids",
        set: |s, v| {
            s.rules.on = rule_ids(v.texts()?)?;
            Ok(())
        },
        show: |s| json!(s.rules.on),
        ..PLAIN
    },
    Key {
        name: "rules.off",
        meaning: "Ids of rules that are off.",
        allowed: "a list of rule ids",
        set: |s, v| {
            s.rules.off = rule_ids(v.texts()?)?;
            Ok(())
        },
        show: |s| json!(s.rules.off),
        ..PLAIN
    },
];

fn rule_ids(ids: Vec<String>) -> Result<Vec<String>, Refused> {
    match ids.iter().find(|id| crate::rules::find(id).is_none()) {
        Some(id) => Err(Refused::Because(crate::rules::UnknownRule(id.clone()).to_string())),
        None => Ok(ids),
    }
}
