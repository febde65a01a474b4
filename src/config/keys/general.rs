//! The keys at the top: captures, the profile, the CA.

use serde_json::json;

use super::{Key, PLAIN, Refused};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "captures",
        meaning: "The folder of captures. Made when missing, readable by its owner alone.",
        allowed: "a path",
        option: Some("--captures"),
        environment: Some("FIRSTFRAME_CAPTURES"),
        set: |s, v| {
            s.captures = v.path()?;
            Ok(())
        },
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
        set: |s, v| {
            s.profile = v.text()?;
            Ok(())
        },
        show: |s| json!(s.profile),
        ..PLAIN
    },
    Key {
        name: "metadata",
        meaning: "A filter that says which requests are metadata, such as 'path~\"/meta\"'. Unset: as the profile says.",
        allowed: "a filter, as `ls --filter` takes it",
        example: "'method=POST path~\"/metadata\"'",
        option: Some("--metadata"),
        set: |s, v| {
            s.metadata = Some(v.text()?);
            Ok(())
        },
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
        set: |s, v| {
            s.ca_dir = Some(v.path()?);
            Ok(())
        },
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
        set: |s, v| {
            s.redaction_key = Some(v.path()?);
            Ok(())
        },
        show: |s| json!(s.redaction_key),
        ..PLAIN
    },
];
