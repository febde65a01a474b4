//! What the data say of the causes: the verdict of a capture, and the shape in which scripts get it. Additions only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The ranked findings of a capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it came to.
    pub result: Conclusion,
    /// Where there is no verdict: what is missing, or why it is withheld, each a sentence.
    pub missing: Vec<String>,
    /// Units that were refused.
    pub refused: u64,
    /// Units that were accepted or refused.
    pub total: u64,
    /// Of them, messages on sockets; the others are requests.
    #[serde(default)]
    pub messages: u64,
    /// What explains the refusals, first found first: each of what those before it left.
    pub causes: Vec<Cause>,
    /// Refused units that no cause covers.
    pub unexplained: u64,
    /// What was tried and did not hold, best first.
    pub rejected_candidates: Vec<Rejected>,
    /// What these data cannot tell apart.
    pub confounded: Vec<Confounded>,
    /// What people say, held against the data.
    pub claims: Vec<ClaimResult>,
    /// Refused units by who answered: `api`, `intermediary`, `proxy`, `nobody`, `unknown`.
    pub answered_by: BTreeMap<String, u64>,
    /// What the observer did, and what it could not see.
    pub honesty: Honesty,
}

/// What a verdict came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// At least one cause survived its tests.
    Causes,
    /// None did: the refusals look random to all that was tried.
    NoCause,
    /// Nothing was refused.
    NoRefusals,
    /// Too little to tell.
    #[default]
    NotEnoughData,
    /// The observer was the bottleneck: what it saw is not to be trusted.
    Withheld,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The candidate's id: a rule's, a dose's, `contrast:…`, `time-window`.
    pub hypothesis: String,
    /// Of a contrast, the value that is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub level: Option<String>,
    /// Of a dose, where refusals begin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<Threshold>,
    /// Of an outage, from when to when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<TimeWindow>,
    /// Its share of all refusals, less what the base rate would refuse anyway; 0 to 1.
    pub explains: f64,
    /// Units that it covers.
    pub covered: u64,
    /// Of them, those refused.
    pub refused_covered: u64,
    /// Refusal rate where it holds less that where it does not, with its 95 % interval.
    pub effect: Effect,
    /// Binomial log-likelihood gained, less the penalty for its freedom.
    pub gain: f64,
    /// The family-wise p value of its permutation test.
    pub p: f64,
    /// Covered refused units that anyone can open.
    pub evidence: Vec<String>,
    /// In a sentence with the numbers in it.
    pub says: String,
}

/// Where refusals begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The first dose on the refused side, in the dose's unit (see its hypothesis: counts, per second, ns, bytes).
    pub value: f64,
    /// 95 % interval, low end.
    pub low: f64,
    /// 95 % interval, high end.
    pub high: f64,
    /// Which side is refused.
    pub direction: Direction,
    /// For counts: of all offered, or without those that were refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counting: Option<Counting>,
    /// Where the probability rises instead of jumping.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub soft: Option<Soft>,
    /// The fitted refusal curve, for charts: ascending doses.
    pub curve: Vec<CurvePoint>,
}

/// Which side of a threshold is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Direction {
    Above,
    Below,
}

/// What a count includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Counting {
    Offered,
    Admitted,
}

/// A soft limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Soft {
    /// The dose at which refusals begin to rise.
    pub begins: f64,
    /// The dose at which half of what the highest doses lose is lost.
    pub half: f64,
    /// Refusal probability per unit of dose around the half point.
    pub slope: f64,
}

/// One bin of a refusal curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The bin's lowest dose.
    pub from: f64,
    /// The bin's highest dose.
    pub to: f64,
    /// Units in it.
    pub total: u64,
    /// Of them, those refused.
    pub refused: u64,
    /// Wilson 95 % interval of the refusal rate.
    pub low: f64,
    /// The same, high end.
    pub high: f64,
}

/// An outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "their names say it")]
pub struct TimeWindow {
    pub from_ns: u64,
    pub to_ns: u64,
}

/// A difference of refusal rates with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Effect {
    pub difference: f64,
    pub low: f64,
    pub high: f64,
}

/// What was tried and did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// The candidate's id.
    pub hypothesis: String,
    /// Why, with the numbers.
    pub why: String,
    /// Its gain where it was last tried.
    pub gain: f64,
    /// Its family-wise p value there, where it was tested.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p: Option<f64>,
}

/// Candidates that these data cannot tell apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confounded {
    /// The ids; the first is the one that was taken as cause.
    pub hypotheses: Vec<String>,
    /// Whether they are one and the same on these data, so that no experiment of this load tells them apart.
    pub same: bool,
    /// The command whose result would tell them apart, as typed in a shell; `None` where no change of the client's takes
    /// one of them away alone.
    pub experiment: Option<String>,
    /// How it tells them apart.
    pub why: String,
}

/// A claim held against the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// The claim's id in the profile.
    pub id: String,
    /// What is said.
    pub text: String,
    /// What the data say.
    pub result: ClaimVerdict,
    /// Why, with the numbers.
    pub why: String,
}

/// What the data say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum ClaimVerdict {
    Supported,
    Contradicted,
    NotObservable,
    NotEnoughData,
}

/// What the observer did to what it observed, and what it did not see. `null` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Honesty {
    /// The proxy's own delay per chunk: median.
    pub added_p50_ns: Option<u64>,
    /// 99th percentile.
    pub added_p99_ns: Option<u64>,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
    /// Places where bytes were not recorded.
    pub gaps: u64,
    /// Bytes that were not recorded.
    pub gap_bytes: u64,
    /// Times when the wall clock jumped.
    pub clock_steps: u64,
    /// Connections that were relayed and not decoded.
    pub undecoded_connections: u64,
    /// The CPU of the recorder's process in its busiest second, in cores; `None` where that was not recorded.
    pub cpu_cores: Option<f64>,
    /// Whether the capture is whole.
    pub complete: bool,
    /// Until when the verdict covers it.
    pub until_ns: u64,
    /// Units that could have been refused and are not counted, by why.
    pub uncounted: u64,
    /// What a reader must know, each a sentence; among it what could not be seen.
    pub notes: Vec<String>,
}
