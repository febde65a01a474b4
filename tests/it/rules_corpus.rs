//! Traces as text with the flags (tests/corpus/rules/RULE/CASE.txt) or rows (tests/corpus/inspect/CASE.txt) that they
//! must give. `UPDATE=1` writes what they give now. For each rule one case must fire and one must not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use firstframe::{
    config::{Settings, keys},
    model::{ConnectionId, exchange::Exchange, trace::TraceEvent},
    profile::{Metadata, Profile},
    rules,
};

use crate::support::{
    inspection::{Outcome, inspect, inspect_remembering, line},
    trace_script::TraceScript,
};

/// What parts the trace from what is expected.
const MARK: &str = "=====\n";

#[test]
fn every_rule_fires_where_it_must_and_only_there() {
    for rule in rules::RULES {
        let cases = cases(&format!("rules/{}", rule.id));
        let mut outcomes = [0, 0];
        for case in &cases {
            let fires = check(case, |outcome| outcome.flags.iter().map(json).collect());
            let options = options(&fs::read_to_string(case).unwrap());
            for fired in rules::RULES.iter().filter(|rule| fires.contains(&format!("\"rule\":\"{}\"", rule.id))) {
                assert_eq!((fired.silent)(&options), None, "{}: {} says that it could not", case.display(), fired.id);
            }
            outcomes[usize::from(fires.contains(&format!("\"rule\":\"{}\"", rule.id)))] += 1;
        }
        assert!(
            outcomes.iter().all(|n| *n > 0),
            "{}: needs a case that fires and one that does not: {outcomes:?}",
            rule.id
        );
    }
}

/// What was found out of a head is not found out again when it comes again: by nothing that comes out may that be seen.
#[test]
fn what_comes_again_is_judged_and_shown_as_if_it_came_first() {
    let folders = rules::RULES.iter().map(|rule| format!("rules/{}", rule.id)).chain(["inspect".to_owned()]);
    for case in folders.flat_map(|folder| cases(&folder)) {
        let text = fs::read_to_string(&case).unwrap();
        let (trace, _) = text.split_once(MARK).unwrap_or((&text, ""));
        let options = options(trace);
        let once = TraceScript::parse(trace).events;
        // Each connection three times: the second time a head is known, the third time what was found out of it.
        let thrice: Vec<TraceEvent<'_>> = (0..3)
            .flat_map(|time| once.iter().map(move |event| (time, event.clone())))
            .map(|(time, event)| match event.connection {
                ConnectionId::CAPTURE => event,
                ConnectionId(id) => TraceEvent { connection: ConnectionId(id + time * 1000), ..event },
            })
            .collect();
        let [forgetful, remembering] = [0, 512].map(|heads| inspect_remembering(heads, &thrice, &options));
        assert_eq!(forgetful.flags, remembering.flags, "{}", case.display());
        assert_eq!(forgetful.rows, remembering.rows, "{}", case.display());
    }
}

#[test]
fn rows_are_as_written() {
    for case in cases("inspect") {
        check(&case, |outcome| outcome.rows.iter().map(|row| line(row) + "\n").collect());
    }
}

fn json(flag: &firstframe::model::rows::FlagRow) -> String {
    serde_json::to_string(flag).unwrap() + "\n"
}

/// Compares what a case gives with what it expects, and returns it.
fn check(case: &Path, show: impl Fn(&Outcome) -> String) -> String {
    let text = fs::read_to_string(case).unwrap();
    let (trace, expected) = text.split_once(MARK).unwrap_or((&text, ""));
    let outcome = inspect(&TraceScript::parse(trace).events, &options(trace));
    let given = show(&outcome);
    if given != expected {
        if std::env::var_os("UPDATE").is_some() {
            fs::write(case, format!("{trace}{MARK}{given}")).unwrap();
        } else {
            panic!("{}:\nexpected\n{expected}\ngiven\n{given}\n(UPDATE=1 accepts it)", case.display());
        }
    }
    given
}

/// Lines that tell the rules something: `# metadata: METHOD PATH` stands for a filter, `# profile: NAME` is
/// tests/corpus/rules/NAME.toml or else built in, lines `#| …` together are a profile, and `# on: RULE` switches a rule on
/// that is off by default.
fn options(trace: &str) -> rules::Options {
    let told =
        |key: &str| trace.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix(": "));
    let metadata = trace.lines().find_map(|line| line.strip_prefix("# metadata: ")?.split_once(' '));
    let mut options = rules::Options::default();
    options.on.extend(told("on").map(str::to_owned));
    let written: Vec<&str> = trace.lines().filter_map(|line| line.strip_prefix("#| ")).collect();
    let profile = told("profile").map(|name| {
        let file = format!("{}/tests/corpus/rules/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        match fs::read_to_string(&file) {
            Ok(text) => Profile::parse(&file, &text).unwrap(),
            Err(_) => Profile::named(name).unwrap(),
        }
    });
    let profile = profile.or_else(|| {
        let text = format!("name = \"case\"\nsummary = \"a case\"\n{}", written.join("\n"));
        (!written.is_empty()).then(|| Profile::parse("case", &text).unwrap_or_else(|error| panic!("{trace}: {error}")))
    });
    if let Some(profile) = profile {
        options.metadata = profile.metadata_with(|filter| Err(filter.to_owned())).unwrap();
        options.profile = Some(Arc::new(profile));
    }
    if let Some((method, path)) = metadata.map(|(method, path)| (method.to_owned(), path.to_owned())) {
        let matches = move |exchange: &Exchange| {
            exchange.request.method() == method.as_bytes() && exchange.path() == path.as_bytes()
        };
        options.metadata = Metadata::Matches(Arc::new(matches));
    }
    options
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} holds no case", folder.display());
    cases
}

/// `docs/rules.md` says what the rules say of themselves.
#[test]
fn the_document_of_the_rules_is_current() {
    let path = format!("{}/docs/rules.md", env!("CARGO_MANIFEST_DIR"));
    let defaults = Settings::default();
    let expected = rules::document(|rule| {
        let table = format!("rules.{rule}");
        let of_rule = keys::all().filter(|key| key.table() == Some(&table));
        of_rule.map(|key| format!("`{}`: {}", key.line(&defaults).trim_end(), key.meaning)).collect()
    });
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        expected,
        "see how docs/rules.md is written, in its head"
    );
}
