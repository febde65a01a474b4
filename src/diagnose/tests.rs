//! Planted causes are found, and nothing is found where nothing was planted. Small runs: the lab's evaluation is the
//! measure.

use super::{
    Options, diagnose,
    simulated_tests::{Load, Plant, run},
};
use crate::model::{
    columns::{Columns, Flagged, Outcome},
    finding::{Cause, ClaimVerdict, Conclusion, Verdict},
};
use crate::profile::Claim;

fn small() -> Load {
    Load { agents: 60, think_ms: 200.0, seconds: 20, ramp_s: 2.0, period_s: 7.0, ..Load::default() }
}

fn verdict(columns: &Columns) -> Verdict {
    let options = Options { bootstrap: 60, ..Options::default() };
    diagnose(columns, &[], &options, &mut |_| ())
}

fn first(plants: &[Plant]) -> (Cause, Verdict) {
    let (columns, _) = run(&small(), plants, 7);
    let verdict = verdict(&columns);
    assert_eq!(verdict.result, Conclusion::Causes, "{verdict:#?}");
    (verdict.causes[0].clone(), verdict)
}

#[test]
fn an_inflight_limit_is_found_with_its_threshold() {
    let (cause, verdict) = first(&[Plant::Inflight { limit: 24, offered: false }]);
    assert_eq!(cause.hypothesis, "inflight");
    let threshold = cause.threshold.unwrap();
    assert_eq!((threshold.value, threshold.low, threshold.high), (25.0, 25.0, 25.0), "the first that is refused");
    assert!(cause.explains > 0.98, "{}", cause.explains);
    assert!(cause.effect.low > 0.8 && cause.p <= 0.01);
    assert_eq!(verdict.unexplained, 0);
    assert!(verdict.rejected_candidates.iter().any(|rejected| rejected.hypothesis == "request-rate"));
}

#[test]
fn a_limit_of_a_key_is_not_taken_for_one_of_all() {
    let (cause, _) = first(&[Plant::PerToken { limit: 4 }]);
    assert_eq!(cause.hypothesis, "inflight-per-token");
    assert_eq!(cause.threshold.unwrap().value, 5.0);
    let (cause, _) = first(&[Plant::Rate { limit: 200, offered: false }]);
    assert_eq!(cause.hypothesis, "request-rate");
}

#[test]
fn two_names_of_one_thing_are_no_confounders() {
    let (columns, _) = run(&Load { addresses: 1, ..small() }, &[Plant::Inflight { limit: 24, offered: false }], 7);
    let claims = [claim("address", &["inflight-per-address"])];
    let verdict = diagnose(&columns, &claims, &Options::default(), &mut |_| ());
    assert_eq!(verdict.causes[0].hypothesis, "inflight");
    let [same] = verdict.confounded.as_slice() else { panic!("{:#?}", verdict.confounded) };
    assert_eq!(
        (same.hypotheses.join(" "), same.experiment.as_deref()),
        ("inflight inflight-per-address".to_owned(), None)
    );
    assert!(same.why.contains("one address"), "{}", same.why);
    assert_eq!(verdict.claims[0].result, ClaimVerdict::Supported, "{:?}", verdict.claims);
}

#[test]
fn a_defect_comes_before_the_flags_by_which_it_shows() {
    let (mut columns, _) = run(&small(), &[Plant::Flag { share: 0.03 }], 4);
    let mut defect = columns.flags.iter().find(|flags| flags.rule == "malformed-json").unwrap().clone();
    columns.flags.retain(|flags| flags.rule != "malformed-json");
    for rule in ["identifier-shape", "unresolved-variable"] {
        rule.clone_into(&mut defect.rule);
        columns.flags.push(defect.clone());
    }
    let claims = [claim("defect", &["unresolved-variable"]), claim("sign", &["identifier-shape"])];
    let verdict = diagnose(&columns, &claims, &Options::default(), &mut |_| ());
    assert_eq!(verdict.causes[0].hypothesis, "unresolved-variable");
    assert_eq!(verdict.causes.len(), 1);
    let same = verdict.confounded.iter().find(|found| found.hypotheses == ["unresolved-variable", "identifier-shape"]);
    assert_eq!(same.unwrap().experiment, None);
    assert!(verdict.claims.iter().all(|claim| claim.result == ClaimVerdict::Supported), "{:?}", verdict.claims);
}

#[test]
fn what_is_spoilt_may_have_routes_of_its_own() {
    let (mut columns, _) = run(&small(), &[Plant::Flag { share: 0.03 }], 4);
    let flagged = columns.flags.iter().find(|flags| flags.rule == "malformed-json").unwrap().units.clone();
    for (nth, unit) in flagged.iter().enumerate() {
        columns.units.route[*unit as usize] = 50 + nth as u32 % 4;
    }
    while columns.routes.len() < 54 {
        columns.routes.push(format!("GET /spoilt/{}", columns.routes.len()));
    }
    let verdict = verdict(&columns);
    assert_eq!(verdict.causes.first().map(|cause| cause.hypothesis.as_str()), Some("malformed-json"), "{verdict:#?}");
}

#[test]
fn a_route_that_is_refused_whatever_is_sent_comes_before_what_its_few_accepted_tell() {
    let (mut columns, _) = run(&small(), &[Plant::Random { probability: 0.0 }], 4);
    let route = columns.routes.len() as u32;
    columns.routes.push("POST /renew".to_owned());
    let mut window = i64::MIN;
    let units = &mut columns.units;
    for unit in 0..units.len() {
        // Every two seconds, for a while, many renew at once, and the first of them alone succeeds.
        let at = units.offered_ns[unit];
        if at % 2_000_000_000 < 200_000_000 && unit % 2 == 0 {
            units.route[unit] = route;
            let is_first = std::mem::replace(&mut window, at / 2_000_000_000) != at / 2_000_000_000;
            units.outcome[unit] = if is_first { Outcome::Accepted } else { Outcome::Refused };
        }
    }
    let verdict = verdict(&columns);
    assert_eq!(verdict.causes.first().map(|cause| cause.hypothesis.as_str()), Some("contrast:route"), "{verdict:#?}");
}

#[test]
fn a_dose_comes_before_the_flag_that_says_that_it_is_small() {
    let (mut columns, _) = run(&small(), &[Plant::Ready { after: 80_000_000 }], 3);
    let soon = |(unit, since): (u32, &i64)| (0..79_000_000).contains(since).then_some(unit);
    let units = (0..).zip(&columns.units.since_open_ns).filter_map(soon).collect();
    columns.flags.push(Flagged { rule: "metadata-too-soon".to_owned(), units });
    let verdict = verdict(&columns);
    assert_eq!(verdict.causes[0].hypothesis, "since-open", "{verdict:#?}");
}

#[test]
fn a_threshold_that_is_a_time_admits_what_the_observer_holds_back() {
    let (mut columns, _) = run(&small(), &[Plant::Ready { after: 80_000_000 }], 3);
    let threshold = |columns: &Columns| verdict(columns).causes[0].threshold.clone().unwrap();
    let at_once = threshold(&columns);
    columns.observer.added_p99_ns = 3_000_000;
    let held = threshold(&columns);
    assert_eq!((held.value, held.low), (at_once.value, at_once.low));
    assert_eq!((held.high - at_once.high).round(), 6_000_000.0, "the socket's OPEN and what came after it");
}

#[test]
fn each_kind_of_cause_comes_first() {
    let cases = [
        (Plant::PerRoute { limit: 10 }, "inflight-per-route"),
        (Plant::Sockets { limit: 45 }, "open-sockets"),
        (Plant::TokenMinute { limit: 300 }, "token-requests-per-minute"),
        (Plant::Tenant { of: 6 }, "contrast:tenant"),
        (Plant::Route { probability: 0.3 }, "contrast:route"),
        (Plant::Head { limit: 1000 }, "head-size"),
        (Plant::Flag { share: 0.03 }, "malformed-json"),
    ];
    let load = Load { tokens: 6, ..small() };
    for (plant, expected) in cases {
        let (columns, _) = run(&load, std::slice::from_ref(&plant), 4);
        let verdict = verdict(&columns);
        let first = verdict.causes.first().map(|cause| cause.hypothesis.as_str());
        assert_eq!(first, Some(expected), "{plant:?}: {verdict:#?}");
    }
}

#[test]
fn two_causes_are_separated_with_their_shares() {
    let plants = [Plant::Ready { after: 80_000_000 }, Plant::Server { probability: 0.4 }];
    let (columns, caused) = run(&small(), &plants, 3);
    let verdict = verdict(&columns);
    for (hypothesis, caused) in ["since-open", "contrast:server:x-served-by"].iter().zip(caused) {
        let cause = verdict.causes.iter().find(|cause| cause.hypothesis == *hypothesis);
        let share = caused as f64 / verdict.refused as f64;
        assert!(cause.is_some_and(|cause| (cause.explains - share).abs() < 0.1), "{hypothesis} {share}: {verdict:#?}");
    }
}

#[test]
fn an_outage_is_an_outage_and_not_its_load() {
    let (cause, _) = first(&[Plant::Outage { from: 8, to: 10, probability: 0.9 }]);
    assert_eq!(cause.hypothesis, "time-window");
    let window = cause.window.unwrap();
    assert!(window.from_ns.abs_diff(8_000_000_000) < 200_000_000, "{window:?}");
    assert!(window.to_ns.abs_diff(10_000_000_000) < 200_000_000, "{window:?}");
}

#[test]
fn where_nothing_was_planted_nothing_is_found() {
    for plant in [Plant::Random { probability: 0.1 }, Plant::Bursts { every: 1.0, length: 0.2, probability: 0.8 }] {
        let (columns, _) = run(&small(), std::slice::from_ref(&plant), 11);
        let verdict = verdict(&columns);
        assert_eq!(verdict.result, Conclusion::NoCause, "{plant:?}: {verdict:#?}");
        assert_eq!(verdict.unexplained, verdict.refused);
        assert!(!verdict.rejected_candidates.is_empty());
    }
}

#[test]
fn the_same_seed_gives_the_same_verdict() {
    let (columns, _) = run(&small(), &[Plant::Soft { from: 20.0, to: 34.0 }], 5);
    assert_eq!(verdict(&columns), verdict(&columns));
}

#[test]
fn too_little_is_said_to_be_too_little() {
    let (mut columns, _) = run(&small(), &[Plant::Flag { share: 0.02 }], 2);
    let mut refused = 0;
    for outcome in &mut columns.units.outcome {
        if *outcome == Outcome::Refused {
            refused += 1;
            if refused > 29 {
                *outcome = Outcome::Accepted;
            }
        }
    }
    let few = verdict(&columns);
    assert_eq!(few.result, Conclusion::NotEnoughData);
    assert_eq!(few.missing, ["29 refused: at least 30 are needed"]);
    columns.units.outcome.iter_mut().for_each(|outcome| *outcome = Outcome::Refused);
    assert!(verdict(&columns).missing[0].contains("nothing to compare"), "{:?}", verdict(&columns).missing);
    columns.units.outcome.iter_mut().for_each(|outcome| *outcome = Outcome::Accepted);
    assert_eq!(verdict(&columns).result, Conclusion::NoRefusals);
    assert_eq!(verdict(&Columns::default()).result, Conclusion::NoRefusals);
}

#[test]
fn a_verdict_is_withheld_where_the_observer_was_the_bottleneck() {
    let (mut columns, _) = run(&small(), &[Plant::Flag { share: 0.05 }], 2);
    columns.observer.added_p99_ns = 900_000_000;
    let noted = verdict(&columns);
    assert_eq!(noted.result, Conclusion::Causes, "its worst moments are said, and hide nothing");
    assert!(noted.honesty.notes.iter().any(|note| note.contains("one read in a hundred")), "{:?}", noted.honesty);
    columns.observer.added_p90_ns = 900_000_000;
    let withheld = verdict(&columns);
    assert_eq!(withheld.result, Conclusion::Withheld);
    assert!(withheld.causes.is_empty() && withheld.missing[0].contains("held"), "{:?}", withheld.missing);
    columns.observer.added_p90_ns = 1_000_000;
    assert_eq!(verdict(&columns).result, Conclusion::Causes);
}

/// `docs/diagnose.schema.json` is what scripts rely on: it must take every verdict, and refuse one that lacks a field.
#[test]
fn verdicts_are_as_the_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../../docs/diagnose.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let plants = [Plant::Soft { from: 18.0, to: 34.0 }, Plant::Outage { from: 12, to: 14, probability: 0.9 }];
    let (columns, _) = run(&small(), &plants, 5);
    let claims = [claim("load", &["inflight"]), claim("json", &["malformed-json"])];
    let found = diagnose(&columns, &claims, &Options::default(), &mut |_| ());
    assert!(found.causes.len() > 1 && !found.rejected_candidates.is_empty(), "{found:#?}");
    for verdict in [found, verdict(&Columns::default())] {
        let mut json = serde_json::to_value(&verdict).unwrap();
        let errors: Vec<String> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        json.as_object_mut().unwrap().remove("refused");
        assert!(!schema.is_valid(&json), "a field that scripts rely on is missing");
    }
}

fn claim(id: &str, hypotheses: &[&str]) -> Claim {
    Claim {
        id: id.to_owned(),
        text: format!("it is {id}"),
        hypotheses: hypotheses.iter().map(|id| (*id).to_owned()).collect(),
        denies: false,
        observable: true,
        note: None,
    }
}

#[test]
fn claims_are_held_against_the_data() {
    let (columns, _) = run(&small(), &[Plant::Inflight { limit: 24, offered: false }], 7);
    let denied = Claim { denies: true, ..claim("denied", &["inflight"]) };
    let hidden = Claim { observable: false, note: Some("no proxy sees it".to_owned()), ..claim("hidden", &[]) };
    let claims = [
        claim("load", &["malformed-json", "inflight"]),
        denied,
        claim("rate", &["request-rate"]),
        claim("flagged at random", &["unresolved-variable"]),
        claim("never seen", &["content-type-missing"]),
        claim("instance", &["contrast:server:*"]),
        hidden,
    ];
    let verdict = diagnose(&columns, &claims, &Options::default(), &mut |_| ());
    let results: Vec<ClaimVerdict> = verdict.claims.iter().map(|claim| claim.result).collect();
    use ClaimVerdict::{Contradicted, NotObservable, Supported};
    let expected = [Supported, Contradicted, Contradicted, Contradicted, Contradicted, Contradicted, NotObservable];
    assert_eq!(results, expected, "{:#?}", verdict.claims);
    assert!(verdict.claims[3].why.contains("refused with it"), "{}", verdict.claims[3].why);
    assert_eq!(verdict.claims[6].why, "no proxy sees it");
}
