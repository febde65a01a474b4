//! A recording as JUnit XML, for CI: a suite for each group of rules, a case for each rule, and a suite for the recording
//! itself. It decides nothing about flags but which of them fail, which the caller says.
//!
//! A rule that was not looked at (off, in want of knowledge, or without anything that it could judge) is *skipped*, with
//! the reason, never passed. The shape is what Ant's and Jenkins's schemas have in common: no attributes on the root,
//! all of them on suites, one outcome at most in a case.

use std::{collections::BTreeMap, fmt::Write as _, io};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::{
    count,
    summary::{Silence, silence},
};
use crate::{
    model::{
        flag::Severity,
        rows::{EvidenceRow, FlagRow},
    },
    record::Totals,
    rules::{Group, Needs, Options, RULES, RuleInfo},
};

/// Flags of a rule that are told in full; the rest is counted.
const TOLD: usize = 20;

/// Which recording it is.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it began: RFC 3339, UTC.
    pub started_at: &'a str,
    /// What follows `firstframe` in commands about it, with a space before.
    pub selector: &'a str,
    /// What passed.
    pub totals: &'a Totals,
    /// Why it is incomplete, where it is.
    pub incomplete: Option<&'a str>,
}

/// Says of a rule's flag whether it fails its case.
pub type Fails<'f> = &'f dyn Fn(&str, Severity) -> bool;

/// What fails where nothing else is said: whatever is more than a hint.
pub fn warnings_and_errors(_: &str, severity: Severity) -> bool {
    severity > Severity::Hint
}

/// The flags of a recording, counted, and the first of each rule's.
#[derive(Debug, Default)]
pub struct Flagged {
    failing: BTreeMap<String, Hits>,
    /// What does not fail.
    told: BTreeMap<String, Hits>,
}

#[derive(Debug, Default)]
struct Hits {
    count: u64,
    first: Vec<FlagRow>,
}

impl Flagged {
    /// Counts one.
    pub fn add(&mut self, flag: FlagRow, fails: Fails<'_>) {
        let severity = Severity::parse(&flag.severity).unwrap_or(Severity::Error);
        let hits = if fails(&flag.rule, severity) { &mut self.failing } else { &mut self.told };
        let hits = hits.entry(flag.rule.clone()).or_default();
        hits.count += 1;
        if hits.first.len() < TOLD {
            hits.first.push(flag);
        }
    }
}

/// What came of a case.
enum Outcome<'a> {
    Passed,
    Skipped(&'static str),
    Failed(&'a Hits),
    /// The recording is not what was asked for.
    Error(&'static str, String),
}

/// The whole document; `options` are the ones that the flags were made with.
///
/// # Errors
/// None: it is written to memory.
pub fn document(recording: Recording<'_>, flagged: &Flagged, options: &Options) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").write_inner_content(|writer| {
        let suites = suites(recording, flagged, options);
        suites.iter().enumerate().try_for_each(|(id, suite)| write_suite(writer, recording, id, suite))
    })?;
    let mut document = writer.into_inner();
    document.push(b'\n');
    Ok(document)
}

struct Suite<'a> {
    name: &'static str,
    cases: Vec<(&'static str, Outcome<'a>)>,
    /// What was flagged and does not fail.
    told: String,
}

fn suites<'a>(recording: Recording<'_>, flagged: &'a Flagged, options: &Options) -> Vec<Suite<'a>> {
    let itself = Suite { name: "recording", cases: of_recording(recording), told: String::new() };
    let groups = Group::ALL.iter().map(|group| {
        let rules = || RULES.iter().copied().filter(|rule| rule.group == *group);
        let case = |rule: &'static RuleInfo| (rule.id, outcome(rule, recording.totals, flagged, options));
        let mut told = String::new();
        for hits in rules().filter_map(|rule| flagged.told.get(rule.id)) {
            tell(&mut told, hits, recording);
        }
        Suite { name: group.as_str(), cases: rules().map(case).collect(), told }
    });
    std::iter::once(itself).chain(groups).collect()
}

fn of_recording(recording: Recording<'_>) -> Vec<(&'static str, Outcome<'static>)> {
    let totals = recording.totals;
    let traffic = silence(totals).map_or(Outcome::Passed, |why| {
        let why = match why {
            Silence::NoConnection => "nothing reached the proxy",
            Silence::NotTrusted => "every client broke off at the proxy's certificate",
            Silence::NoServer => "no server was reached",
            Silence::Http2 => "everything was asked over HTTP/2, which is not decoded",
            Silence::NoRequest => "clients connected and asked for nothing",
        };
        Outcome::Error("nothing recorded", why.to_owned())
    });
    let missing = match recording.incomplete {
        Some(why) => Some(format!("the recording is incomplete: {why}")),
        None if totals.gaps > 0 => {
            Some(format!("{} bytes in {} places were not recorded", count(totals.gap_bytes), count(totals.gaps)))
        }
        None => None,
    };
    let complete = missing.map_or(Outcome::Passed, |why| Outcome::Error("incomplete", why));
    vec![("traffic", traffic), ("complete", complete)]
}

fn outcome<'a>(rule: &RuleInfo, totals: &Totals, flagged: &'a Flagged, options: &Options) -> Outcome<'a> {
    if let Some(hits) = flagged.failing.get(rule.id) {
        return Outcome::Failed(hits);
    }
    if flagged.told.contains_key(rule.id) {
        return Outcome::Passed;
    }
    if !options.is_on(rule) {
        return Outcome::Skipped("this rule is off");
    }
    let unseen = |needs: &Needs| match needs {
        Needs::RequestHead | Needs::RequestBody | Needs::Response => {
            (totals.exchanges == 0).then_some("no request was recorded")
        }
        Needs::Session => (totals.sessions == 0).then_some("no session was recorded"),
        Needs::Frames => (totals.frames == 0).then_some("no frame was recorded"),
    };
    // What is about contents looks at requests and messages alike: either will do.
    let either = matches!(rule.group, Group::Body | Group::TemplateLeaks);
    let seen = either && rule.needs.iter().any(|needs| unseen(needs).is_none());
    let unseen = rule.needs.iter().find_map(unseen).filter(|_| !seen);
    (rule.silent)(options).or(unseen).map_or(Outcome::Passed, Outcome::Skipped)
}

fn write_suite(writer: &mut Writer<Vec<u8>>, recording: Recording<'_>, id: usize, suite: &Suite<'_>) -> io::Result<()> {
    let number = |wanted: fn(&Outcome<'_>) -> bool| {
        suite.cases.iter().filter(|(_, outcome)| wanted(outcome)).count().to_string()
    };
    // To the second and without a zone, as Ant has it.
    let timestamp = recording.started_at.get(..19).unwrap_or(recording.started_at);
    let element = writer.create_element("testsuite").with_attributes([
        ("name", suite.name),
        ("package", "firstframe"),
        ("id", id.to_string().as_str()),
        ("timestamp", timestamp),
        ("hostname", "localhost"),
        ("tests", suite.cases.len().to_string().as_str()),
        ("failures", number(|outcome| matches!(outcome, Outcome::Failed(_))).as_str()),
        ("errors", number(|outcome| matches!(outcome, Outcome::Error(..))).as_str()),
        ("skipped", number(|outcome| matches!(outcome, Outcome::Skipped(_))).as_str()),
        ("time", "0"),
    ]);
    element.write_inner_content(|writer| {
        let totals = recording.totals;
        let numbers =
            [("exchanges", totals.exchanges), ("refused", totals.refused), ("sockets", totals.sockets_opened)];
        writer.create_element("properties").write_inner_content(|writer| {
            let mut property = |name: &str, value: &str| {
                let value = clean(value);
                let attributes = [("name", name), ("value", value.as_str())];
                writer.create_element("property").with_attributes(attributes).write_empty().map(drop)
            };
            property("capture", recording.name)?;
            numbers.iter().try_for_each(|(name, number)| property(name, &number.to_string()))
        })?;
        for (rule, outcome) in &suite.cases {
            write_case(writer, recording, suite.name, rule, outcome)?;
        }
        writer.create_element("system-out").write_text_content(BytesText::new(&clean(&suite.told)))?;
        writer.create_element("system-err").write_text_content(BytesText::new(""))?;
        Ok(())
    })?;
    Ok(())
}

fn write_case(
    writer: &mut Writer<Vec<u8>>,
    recording: Recording<'_>,
    suite: &str,
    name: &str,
    outcome: &Outcome<'_>,
) -> io::Result<()> {
    let class = format!("firstframe.{suite}");
    let case =
        writer.create_element("testcase").with_attributes([("name", name), ("classname", &class), ("time", "0")]);
    match outcome {
        Outcome::Passed => case.write_empty()?,
        Outcome::Skipped(why) => case.write_inner_content(|writer| {
            writer.create_element("skipped").with_attribute(("message", *why)).write_empty().map(drop)
        })?,
        Outcome::Error(kind, why) => case.write_inner_content(|writer| {
            let attributes = [("message", clean(why)), ("type", (*kind).to_owned())];
            let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
            writer.create_element("error").with_attributes(attributes).write_empty().map(drop)
        })?,
        Outcome::Failed(hits) => case.write_inner_content(|writer| {
            let worst = hits.first.iter().filter_map(|flag| Severity::parse(&flag.severity)).max();
            let first = hits.first.first().map_or("", |flag| flag.message.as_str());
            let message = match hits.count {
                1 => clean(first),
                several => format!("{} times, first: {}", count(several), clean(first)),
            };
            let kind = worst.map_or("flag", Severity::as_str);
            let mut text = String::from("\n");
            tell(&mut text, hits, recording);
            writer
                .create_element("failure")
                .with_attributes([("message", message.as_str()), ("type", kind)])
                .write_text_content(BytesText::new(&clean(&text)))
                .map(drop)
        })?,
    };
    Ok(())
}

/// Each flag with its evidence, and how to open the first.
fn tell(text: &mut String, hits: &Hits, recording: Recording<'_>) {
    for FlagRow { rule, severity, subject, session, message, evidence, .. } in &hits.first {
        let session = session.map(|session| format!(" of {session}")).unwrap_or_default();
        let _ = writeln!(text, "{severity} {rule} on {subject}{session}: {message}");
        for EvidenceRow { id, side, offset, length, at_ns } in evidence {
            let place = match (side, offset, length) {
                (Some(side), Some(offset), Some(length)) => {
                    format!("{length} bytes of the {} from {offset} on, ", side.as_str())
                }
                _ => String::new(),
            };
            let _ = writeln!(text, "  evidence: {id}, {place}at +{:.3} ms", at_ns.0 as f64 / 1e6);
        }
    }
    let more = hits.count.saturating_sub(hits.first.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {} more: firstframe{} ls flags", count(more), recording.selector);
    }
    if let Some(first) = hits.first.first() {
        let _ = writeln!(text, "  open the first: firstframe{} show {}", recording.selector, first.subject);
    }
}

/// Without what XML 1.0 does not allow, escaped or not (2.2).
fn clean(text: &str) -> String {
    let allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}');
    text.chars().map(|c| if allowed(c) && !matches!(c, '\u{fffe}' | '\u{ffff}') { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::model::Timestamp;

    fn flag(rule: &str, severity: &str, message: &str) -> FlagRow {
        FlagRow {
            rule: rule.into(),
            severity: severity.into(),
            subject: "x7".into(),
            session: None,
            message: message.into(),
            evidence: Vec::new(),
            at_ns: Timestamp(5),
        }
    }

    fn written(totals: &Totals, flags: &[FlagRow], fails: Fails<'_>) -> String {
        let recording = Recording {
            name: "c",
            started_at: "2026-11-22T18:25:55.123456789Z",
            selector: " -c c",
            totals,
            incomplete: None,
        };
        let mut flagged = Flagged::default();
        flags.iter().for_each(|flag| flagged.add(flag.clone(), fails));
        let options = Options { off: vec!["host-form".into()], ..Options::default() };
        String::from_utf8(document(recording, &flagged, &options).unwrap()).unwrap()
    }

    fn case<'t>(xml: &'t str, rule: &str) -> &'t str {
        let begin = xml.find(&format!("<testcase name=\"{rule}\"")).unwrap();
        let rest = &xml[begin..];
        let empty = rest.find('>').filter(|end| rest[..*end].ends_with('/'));
        &rest[..empty.unwrap_or_else(|| rest.find("</testcase>").unwrap())]
    }

    fn some_traffic() -> Totals {
        Totals { connections: 1, exchanges: 3, sessions: 1, ..Totals::default() }
    }

    #[test]
    fn what_was_not_looked_at_is_skipped_and_never_passed() {
        let xml = written(&some_traffic(), &[], &warnings_and_errors);
        for (rule, why) in [
            ("host-form", "this rule is off"),
            ("accept-missing", "this rule is off"),
            ("schema-violation", "the profile has no schema"),
            ("metadata-without-socket", "nothing says which requests are metadata"),
            ("frame-before-open", "no frame was recorded"),
        ] {
            assert!(case(&xml, rule).contains(&format!("<skipped message=\"{why}\"/>")), "{rule}: {xml}");
        }
        for rule in ["malformed-json", "charset-loss", "unresolved-variable"] {
            assert!(!case(&xml, rule).contains("skipped"), "{rule}: {xml}");
        }
        let nothing = written(&Totals::default(), &[], &warnings_and_errors);
        assert!(case(&nothing, "malformed-json").contains("no request was recorded"));
        assert!(case(&nothing, "traffic").contains("nothing reached the proxy"));
        // 44 rules, all of them skipped.
        assert_eq!(nothing.matches("<skipped").count(), RULES.len());
    }

    #[test]
    fn hints_are_told_and_do_not_fail_unless_they_are_asked_for() {
        let hint = flag("host-form", "hint", "a default port");
        let xml = written(&some_traffic(), std::slice::from_ref(&hint), &warnings_and_errors);
        assert!(!xml.contains("<failure") && xml.contains("hint host-form on x7: a default port"), "{xml}");
        let xml = written(&some_traffic(), &[hint], &|rule, _| rule == "host-form");
        assert!(case(&xml, "host-form").contains("<failure message=\"a default port\" type=\"hint\">"), "{xml}");
    }

    #[test]
    fn messages_cannot_break_out_and_many_are_counted() {
        let evil = "]]></failure>\" & <b> \u{1} \u{ffff}";
        let flags = vec![flag("malformed-json", "error", evil); 25];
        let xml = written(&some_traffic(), &flags, &warnings_and_errors);
        let case = case(&xml, "malformed-json");
        assert!(
            case.contains("25 times, first: ]]&gt;&lt;/failure&gt;&quot; &amp; &lt;b&gt; \u{fffd} \u{fffd}"),
            "{case}"
        );
        assert!(case.contains("and 5 more: firstframe -c c ls flags"), "{case}");
        assert_eq!(case.matches("error malformed-json on x7").count(), TOLD);
    }
}
