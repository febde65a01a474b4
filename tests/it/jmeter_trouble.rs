//! Plans with the mistakes that people make, run by JMeter: each is flagged where it is, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{jmeter::Plan, origin::Behaviour};

/// What must be flagged: the sampler, and the rules that hit its exchange, or its frames.
const FLAGGED: &[(&str, &[&str])] = &[
    ("metadata, no socket", &["metadata-without-socket"]),
    ("refused socket", &["refused-upgrade"]),
    ("metadata after a refused socket", &["metadata-after-failed-open"]),
    ("shy socket", &["frame-overtaken"]),
    ("variable in the body", &["unresolved-variable"]),
    ("variable in a header", &["unresolved-variable"]),
    ("variable in the socket path", &["unresolved-variable"]),
    ("no content type", &["content-type-mismatch"]),
    ("backslash trap", &["malformed-json"]),
    // Nothing is said of "letters that latin lacks": what has become a question mark cannot be told from one.
    ("latin letters", &["malformed-json", "charset-loss"]),
];

#[test]
fn each_mistake_of_a_plan_is_flagged_where_it_is_and_nothing_else() {
    let run = Plan::new("trouble.jmx")
        // On a busy machine the thread may be too slow to get ahead of its own frame: it has to happen once.
        .property("nagle", 60)
        .option("--metadata", "method=POST path~\"/recordings/\"")
        // The order is what counts here; how long a busy machine delays an acknowledgement is not.
        .option("--set", "rules.frame-overtaken.most_delay=5s")
        .run(Behaviour::default());

    let exchanges = run.product.json("ls", &["exchanges"]);
    let sampler = |exchange: &Value| {
        let headers = exchange["request_headers"].as_array().unwrap();
        let found = headers.iter().find(|header| header[0] == "X-JM-Sampler");
        found.unwrap_or_else(|| panic!("{exchange}"))[1].as_str().unwrap().to_owned()
    };
    let mut samplers: BTreeMap<String, String> =
        exchanges.iter().map(|exchange| (exchange["id"].as_str().unwrap().to_owned(), sampler(exchange))).collect();
    for frame in run.product.json("ls", &["frames"]) {
        let socket = samplers[frame["exchange"].as_str().unwrap()].clone();
        samplers.insert(frame["id"].as_str().unwrap().to_owned(), socket);
    }

    let mut flags = run.product.json("ls", &["flags"]);
    // A client that is quicker than the return of our write of the 101 gets a hint, which claims nothing; on a busy machine
    // that happens. An error would be wrong.
    flags.retain(|flag| flag["rule"] != "metadata-before-open" || flag["severity"] != "hint");
    let mut flagged: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for flag in &flags {
        let sampler = &samplers[flag["subject"].as_str().unwrap()];
        flagged.entry(sampler).or_default().insert(flag["rule"].as_str().unwrap());
    }
    let expected: BTreeMap<&str, BTreeSet<&str>> =
        FLAGGED.iter().map(|(sampler, rules)| (*sampler, rules.iter().copied().collect())).collect();
    assert_eq!(flagged, expected, "{flags:#?}");

    let message = |sampler: &str, rule: &str| {
        let found = flags.iter().find(|f| f["rule"] == rule && samplers[f["subject"].as_str().unwrap()] == sampler);
        found.unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(message("backslash trap", "malformed-json").contains("bad-escape"), "{flags:#?}");
    assert!(message("latin letters", "malformed-json").contains("not UTF-8"), "{flags:#?}");
    for (sampler, variable) in [
        ("variable in the body", "${nobodySetBody}"),
        ("variable in a header", "${nobodySetHeader}"),
        ("variable in the socket path", "${nobodySetChannel}"),
    ] {
        assert!(message(sampler, "unresolved-variable").contains(variable), "{flags:#?}");
    }
    // What JMeter could not make a URL of never reached the wire: its own record alone knows of it.
    let lost = run.rows.iter().find(|row| row["label"] == "variable in the path").unwrap();
    assert!(lost["responseCode"].contains("URISyntaxException"), "{lost:?}");
    assert!(samplers.values().all(|sampler| sampler != "variable in the path"));
}
