//! `--junit`: the report as CI systems read it, held against what Ant's and Jenkins's schemas have in common.

use std::{io::Write as _, path::Path};

use quick_xml::{Reader, events::Event};

use crate::support::{
    client,
    origin::{Behaviour, Origin},
    product::{Product, describe},
};

/// An element with its attributes and what stands in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), "{text}");
        let mut reader = Reader::from_str(&text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => open.push(Self::of(&tag)),
                Event::Empty(tag) => open.last_mut().unwrap().children.push(Self::of(&tag)),
                Event::End(_) => {
                    let done = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(done);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(name) => {
                    let name: &str = &name;
                    open.last_mut().unwrap().text.push_str(quick_xml::escape::resolve_xml_entity(name).unwrap());
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(open.len(), 1);
        open.pop().unwrap().children.pop().unwrap()
    }

    fn of(tag: &quick_xml::events::BytesStart<'_>) -> Self {
        let attributes = tag.attributes().map(Result::unwrap);
        Self {
            name: tag.name().as_ref().to_owned(),
            attributes: attributes
                .map(|a| {
                    (
                        a.key.as_ref().to_owned(),
                        a.normalized_value(quick_xml::XmlVersion::default()).unwrap().into_owned(),
                    )
                })
                .collect(),
            ..Self::default()
        }
    }

    fn get(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map_or_else(|| panic!("{} has no {name}", self.name), |(_, value)| value.as_str())
    }

    fn named(&self, name: &str) -> Vec<&Element> {
        self.children.iter().filter(|child| child.name == name).collect()
    }
}

/// The report, after what the schemas demand of it was checked.
fn report(path: &Path) -> Element {
    let root = Element::read(path);
    assert_eq!((root.name.as_str(), root.attributes.len()), ("testsuites", 0), "Ant's root takes no attributes");
    for (id, suite) in root.children.iter().enumerate() {
        assert_eq!(suite.name, "testsuite");
        assert_eq!(suite.get("id"), id.to_string());
        assert!(!suite.get("name").is_empty() && !suite.get("package").is_empty() && !suite.get("hostname").is_empty());
        let timestamp = suite.get("timestamp");
        assert!(timestamp.len() == 19 && timestamp.parse::<jiff::civil::DateTime>().is_ok(), "{timestamp}");
        assert!(suite.get("time").parse::<f64>().is_ok());
        // In this order: properties, cases, system-out, system-err.
        let names: Vec<&str> = suite.children.iter().map(|child| child.name.as_str()).collect();
        let [first, cases @ .., out, err] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!((*first, *out, *err), ("properties", "system-out", "system-err"));
        assert!(cases.iter().all(|name| *name == "testcase"), "{names:?}");
        assert!(suite.children[0].children.iter().all(|p| !p.get("name").is_empty() && !p.get("value").is_empty()));
        let cases = suite.named("testcase");
        let with = |outcome: &str| cases.iter().filter(|case| !case.named(outcome).is_empty()).count().to_string();
        assert_eq!(suite.get("tests"), cases.len().to_string());
        for (count, outcome) in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
            assert_eq!(suite.get(count), with(outcome), "{count} of {}", suite.get("name"));
        }
        for case in cases {
            assert!(case.children.len() <= 1, "at most one outcome: {case:?}");
            assert!(!case.get("name").is_empty() && case.get("classname").starts_with("firstframe."));
            assert!(case.get("time").parse::<f64>().is_ok());
            for outcome in case.children.iter().filter(|outcome| outcome.name != "skipped") {
                assert!(!outcome.get("message").is_empty() && !outcome.get("type").is_empty());
            }
        }
    }
    root
}

/// The failures: rule, kind, message, text.
fn failures(report: &Element) -> Vec<(&str, &str, &str, &str)> {
    let cases = report.children.iter().flat_map(|suite| suite.named("testcase"));
    cases
        .flat_map(|case| case.named("failure").into_iter().map(|failure| (case.get("name"), failure)))
        .map(|(rule, failure)| (rule, failure.get("type"), failure.get("message"), failure.text.as_str()))
        .collect()
}

/// A POST whose JSON is cut off, by way of curl's absence: a shell that speaks HTTP to the proxy.
fn posts(product: &Product, origin: &Origin, arguments: &[&str]) -> std::process::Output {
    let port = origin.address.port();
    let body = "{\"a\":";
    let script = format!(
        "import http.client, os, urllib.parse\n\
         proxy = urllib.parse.urlparse(os.environ['http_proxy'])\n\
         c = http.client.HTTPConnection(proxy.hostname, proxy.port)\n\
         c.request('POST', 'http://127.0.0.1:{port}/api/v2/recordings/screen', body='{body}')\n\
         print(c.getresponse().status)\n"
    );
    let mut command = product.command("run");
    command.args(arguments).args(["--", "python3", "-c", &script]);
    command.output().unwrap()
}

fn plain_origin() -> (tokio::runtime::Runtime, Origin) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(0, Behaviour { plain: true, ..Behaviour::default() })).unwrap();
    (runtime, origin)
}

#[test]
fn a_run_writes_a_case_for_every_rule_and_fails_what_was_flagged() {
    let (_runtime, origin) = plain_origin();
    let product = Product::new(None);
    let file = product.folder.path().join("report.xml");
    let output = posts(&product, &origin, &["--junit", file.to_str().unwrap()]);
    assert!(output.status.success(), "the report does not change the exit code: {}", describe(&output));

    let written = report(&file);
    let cases: Vec<&str> = written.children.iter().flat_map(|s| s.named("testcase")).map(|c| c.get("name")).collect();
    let rules: Vec<&str> = firstframe::rules::RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(cases[..2], ["traffic", "complete"]);
    assert_eq!(cases[2..], rules, "a case for each, in the order of the document");

    let flags = product.json("ls", &["flags"]);
    let failed = failures(&written);
    let [(first, "error", message, text), (second, "warning", ..)] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!([*first, *second], ["malformed-json", "content-type-missing"]);
    let flag = flags.iter().find(|flag| flag["rule"] == "malformed-json").unwrap();
    assert_eq!(*message, flag["message"].as_str().unwrap());
    assert!(text.contains("on x1") && text.contains("bytes of the client from "), "{text}");

    // Another place, another opinion of what fails.
    let again = product.folder.path().join("again.xml");
    product.output("reindex", &["--set", "rules.off=['malformed-json']", "--junit", again.to_str().unwrap()]);
    let again = report(&again);
    assert_eq!(failures(&again).len(), 1);
    let skipped = again.children.iter().flat_map(|s| s.named("testcase")).find(|c| c.get("name") == "malformed-json");
    assert_eq!(skipped.unwrap().children[0].get("message"), "this rule is off");
}

#[test]
fn what_fail_on_names_is_what_fails() {
    let (_runtime, origin) = plain_origin();
    let product = Product::new(None);
    let file = product.folder.path().join("report.xml");
    let file = file.to_str().unwrap();
    let output = posts(&product, &origin, &["--fail-on", "malformed-json", "--junit", file]);
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    let written = report(Path::new(file));
    assert_eq!(failures(&written).iter().map(|failure| failure.0).collect::<Vec<_>>(), ["malformed-json"]);
    let told: String =
        written.children.iter().flat_map(|suite| suite.named("system-out")).map(|o| o.text.as_str()).collect();
    assert!(told.contains("warning content-type-missing on x1"), "{told}");
}

#[test]
fn a_recording_writes_it_when_it_stops_and_an_empty_one_is_an_error() {
    let product = Product::new(None);
    let file = product.folder.path().join("report.xml");
    product.record(&["--junit", file.to_str().unwrap()]).stop();
    let written = report(&file);
    let error = written.children[0].named("testcase")[0].named("error")[0];
    assert_eq!(error.get("message"), "nothing reached the proxy");
    assert!(written.children[1..].iter().all(|suite| suite.get("skipped") == suite.get("tests")), "nothing has passed");

    let nowhere = product.folder.path().join("none/report.xml");
    let output = product.command("record").arg("--junit").arg(nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no folder") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_rules_options_stay_with_the_capture() {
    let (_runtime, origin) = plain_origin();
    let product = Product::new(None);
    let recording = product.record(&["--set", "rules.head-too-large.line_bytes=100"]);
    let mut tcp = client::dial(recording.address);
    let (authority, padding) = (origin.address, "p".repeat(200));
    write!(tcp, "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nX-Padding: {padding}\r\n\r\n").unwrap();
    client::read_response(&mut tcp);
    drop(tcp);
    recording.stop();
    let flagged = |arguments: &[&str]| {
        product.output("reindex", arguments);
        let flags = product.json("ls", &["flags"]);
        let large = flags.iter().filter(|flag| flag["rule"] == "head-too-large");
        large.map(|flag| flag["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [message] = &flagged(&[])[..] else { panic!("reindex forgot the option") };
    assert!(message.contains("X-Padding takes a line of 213 bytes; 100 are allowed here"), "{message}");
    assert_eq!(flagged(&["--set", "rules.head-too-large.line_bytes=300"]), Vec::<String>::new());
}
