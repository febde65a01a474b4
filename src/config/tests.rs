//! Tests of settings: layers, messages, the example file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

fn load(text: &str, overrides: Overrides, environment: &[(&str, &str)]) -> Result<Settings, Problem> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    std::fs::write(&path, text).unwrap();
    let overrides = Overrides { file: Some(path), ..overrides };
    let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::load_with(&overrides, variable)
}

/// The message with the temporary folder taken out.
fn message(text: &str) -> String {
    let full = load(text, Overrides::default(), &[]).unwrap_err().to_string();
    assert!(!full.contains('\n'), "{full}");
    match full.find("f.toml:") {
        Some(at) => full[at..].to_owned(),
        None => full,
    }
}

#[test]
fn the_example_file_is_current_and_equals_the_defaults() {
    let committed = include_str!("../../config.example.toml");
    assert!(
        committed == keys::example(),
        "config.example.toml is stale: `firstframe config example` prints the new one"
    );
    let settings = load(committed, Overrides::default(), &[]).unwrap();
    for key in keys::all() {
        assert_eq!((key.show)(&settings), (key.show)(&Settings::default()), "{}", key.name);
        let line = format!("{} = ", key.short());
        assert!(committed.contains(&format!("\n{line}")) || committed.contains(&format!("\n# {line}")), "{}", key.name);
    }
}

#[test]
fn every_key_takes_what_it_shows_or_exemplifies() {
    for key in keys::all() {
        let shown = (key.show)(&Settings::default());
        let value = if shown.is_null() { key.example.to_owned() } else { shown.to_string() };
        let entries = file::parse(Path::new("x"), &format!("{} = {value}", key.name)).unwrap();
        let mut settings = Settings::default();
        let set = (key.set)(&mut settings, &entries[0].given);
        assert_eq!(set, Ok(()), "{} = {value}", key.name);
        assert!(!key.meaning.is_empty() && !key.allowed.is_empty(), "{}", key.name);
        assert!(!(key.show)(&settings).is_null(), "{} shows nothing after it was set", key.name);
        // A wrong type is refused by each.
        assert!((key.set)(&mut settings, &Given::Other("a date")).is_err(), "{}", key.name);
    }
}

#[test]
fn keys_stand_table_by_table_and_once() {
    let mut tables: Vec<_> = keys::all().map(Key::table).collect();
    tables.dedup();
    let count = tables.len();
    tables.sort_unstable();
    tables.dedup();
    assert_eq!(tables.len(), count, "a table's keys stand together");
    assert_eq!(tables.first(), Some(&None), "keys without table come first");
    let mut names: Vec<_> = keys::all().map(|key| key.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), keys::all().count());
}

#[test]
fn later_layers_win() {
    let text = "captures = 'file'\nprofile = 'file'\nca_dir = 'file'\n";
    let mut overrides = Overrides::default();
    overrides.set("ca_dir", "line");
    let environment = [("FIRSTFRAME_CA_DIR", "variable"), ("FIRSTFRAME_PROFILE", "variable")];
    let settings = load(text, overrides, &environment).unwrap();
    assert_eq!(settings.captures, Path::new("file"));
    assert_eq!(settings.profile, "variable");
    assert_eq!(settings.ca_dir(), Path::new("line"));
    assert_eq!(settings.origin("ca_dir"), Some(&Place::Option("--ca-dir".to_owned())));
    assert_eq!(settings.origin("profile"), Some(&Place::Environment("FIRSTFRAME_PROFILE")));
    assert_eq!(settings.origin("name"), None);
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    assert_eq!(
        message("\n[redact]\nheadrs = ['a']\n"),
        "f.toml:3: redact.headrs = ['a']: unknown key: expected headers, fields; hint: did you mean redact.headers?"
    );
    let elsewhere = message("session_linger = 3\n");
    assert!(elsewhere.ends_with("hint: did you mean inspect.session_linger?"), "{elsewhere}");
    let far = message("[colour]\nsky = 'blue'\n");
    assert!(far.contains("expected a key at the top, or one in ") && far.contains("[redact]"), "{far}");
    assert!(far.ends_with("hint: `firstframe config example` lists all keys"), "{far}");
}

#[test]
fn rules_without_such_an_option_are_told_which_have_some() {
    let all = "head-too-large, stale-keepalive, abnormal-close, frame-overtaken, hidden-write, retry-duplicate";
    assert_eq!(
        message("[rules.head-too-large]\nlinebytes = 5\n"),
        "f.toml:2: rules.head-too-large.linebytes = 5: unknown key: expected line_bytes, head_bytes, growth_bytes; \
         hint: did you mean rules.head-too-large.line_bytes?"
    );
    let none = message("rules.malformed-json.depth = 5\n");
    assert!(
        none.contains(&format!("expected nothing, malformed-json has no options; those with options are {all};")),
        "{none}"
    );
    let unknown = message("rules.retry-duplicat.window = '1s'\n");
    assert!(
        unknown.contains("there is no rule \"retry-duplicat\"; those with options are head-too-large"),
        "{unknown}"
    );
    assert!(unknown.ends_with("hint: did you mean rules.retry-duplicate.window?"), "{unknown}");
    for key in keys::all() {
        if let Some(rule) = key.table().and_then(|table| table.strip_prefix("rules.")) {
            assert!(rules::find(rule).is_some(), "{} is about no rule", key.name);
        }
    }
}

#[test]
fn delays_that_exclude_each_other_are_refused() {
    assert_eq!(
        message("[rules.frame-overtaken]\nmost_delay = '80ms'\nleast_delay = '0.1s'\n"),
        "f.toml:3: rules.frame-overtaken.least_delay = '0.1s': longer than rules.frame-overtaken.most_delay, 80ms: \
         no frame could be flagged"
    );
    // The order in which they stand is nobody's business.
    let text = "[rules.frame-overtaken]\nleast_delay = '60ms'\nmost_delay = '80ms'\n";
    let settings = load(text, Overrides::default(), &[]).unwrap();
    assert_eq!(settings.rules.frame_overtaken.most_delay.as_millis(), 80);
}

#[test]
fn wrong_values_say_what_is_allowed() {
    assert_eq!(
        message("[inspect]\nsession_linger = 'soon'\n"),
        "f.toml:2: inspect.session_linger = 'soon': expected a length of time such as \"2s\", or a number of seconds"
    );
    assert_eq!(message("captures = 1979-05-27\n"), "f.toml:1: captures = 1979-05-27: this is a date: expected a path");
    let name = message("name = '../up'\n");
    assert!(name.starts_with("f.toml:1: name = '../up': expected a name of letters"), "{name}");
}

#[test]
fn set_takes_any_key() {
    let mut overrides = Overrides::default();
    overrides.set_text("inspect.session_linger = 5").unwrap();
    overrides.set_text("redact.fields=['a','b']").unwrap();
    overrides.set_text("captures=some/where").unwrap();
    let settings = load("", overrides, &[]).unwrap();
    assert_eq!(settings.inspect.session_linger.as_secs(), 5);
    assert_eq!(settings.redact.fields, ["a", "b"]);
    assert_eq!(settings.captures, Path::new("some/where"));

    let mut overrides = Overrides::default();
    overrides.set_text("inspect.session_linger=never").unwrap();
    let message = load("", overrides, &[]).unwrap_err().to_string();
    assert!(message.starts_with("--set inspect.session_linger = \"never\": expected a length of time"), "{message}");
    assert!(Overrides::default().set_text("captures").is_err());
}

#[test]
fn later_problems_name_their_place() {
    let mut overrides = Overrides::default();
    overrides.set("profile", "genesis");
    let settings = load("", overrides, &[]).unwrap();
    assert_eq!(settings.problem("profile", "there is none").to_string(), "--profile = \"genesis\": there is none");
    assert_eq!(settings.problem("captures", "full").to_string(), "captures = \"captures\": full");
}

#[test]
fn a_capture_is_read_as_it_was_recorded_unless_told_otherwise() {
    let mut overrides = Overrides::default();
    overrides.set_text("inspect.session_linger=5").unwrap();
    overrides.set_text("redact.fields=['a','b']").unwrap();
    overrides.set_text("rules.head-too-large.line_bytes=1KiB").unwrap();
    overrides.set("metadata", "method=PUT");
    overrides.set("captures", "there");
    let recorded = load("", overrides, &[]).unwrap().to_json();

    let mut overrides = Overrides::default();
    overrides.set_text("redact.fields=['c']").unwrap();
    let settings = load("", overrides, &[]).unwrap().or_recorded(&recorded);
    assert_eq!(settings.inspect.session_linger.as_secs(), 5);
    assert_eq!(settings.rules.head_too_large.line_bytes, 1024);
    assert_eq!(settings.metadata.as_deref(), Some("method=PUT"));
    assert_eq!(settings.redact.fields, ["c"], "what was said now wins");
    assert_eq!(settings.captures, Path::new("captures"), "where captures lie is no part of the evidence");
    let other = serde_json::json!({"inspect.session_linger": {"new": "shape"}, "rules.off": 7});
    assert_eq!(Settings::default().or_recorded(&other).to_json(), Settings::default().to_json());
}
