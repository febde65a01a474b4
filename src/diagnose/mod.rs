//! From columns to a verdict: which causes explain the refusals, and from which load on. PURE; it must never know the
//! lab, nor where its columns came from.

mod enough;
mod honesty;

use std::collections::BTreeMap;

use crate::{
    model::{
        columns::{AnsweredBy, Columns, Outcome},
        finding::{ClaimResult, ClaimVerdict, Conclusion, Verdict},
    },
    profile::Claim,
};

/// What a diagnosis can be told. The defaults are those of the documentation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Of all that is drawn at random: the same seed, the same verdict.
    pub seed: u64,
    /// The family-wise level at which a cause holds.
    pub level: f64,
    /// Fewer refused units are not enough data.
    pub min_refusals: usize,
    /// Fewer admissible shifts are not enough data; as many are drawn.
    pub min_shifts: usize,
    /// Replicates of the block bootstrap.
    pub bootstrap: usize,
    /// No more causes than these are looked for.
    pub max_causes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, level: 0.01, min_refusals: 30, min_shifts: 199, bootstrap: 200, max_causes: 6 }
    }
}

/// Works out what explains the refusals. `progress` is called with the share that is done, from 0 to 1.
pub fn diagnose(columns: &Columns, claims: &[Claim], options: &Options, progress: &mut dyn FnMut(f64)) -> Verdict {
    progress(0.0);
    let mut verdict = counted(columns);
    verdict.missing = enough::missing(columns, options);
    verdict.result = match verdict.refused {
        0 => Conclusion::NoRefusals,
        _ if !verdict.missing.is_empty() => Conclusion::NotEnoughData,
        _ => Conclusion::NoCause,
    };
    let withheld = honesty::bottleneck(columns);
    if verdict.refused > 0 && !withheld.is_empty() {
        verdict.result = Conclusion::Withheld;
        verdict.missing = withheld;
    }
    verdict.unexplained = verdict.refused;
    verdict.claims = claims.iter().map(undecided).collect();
    progress(1.0);
    verdict
}

/// What can be said by counting alone.
fn counted(columns: &Columns) -> Verdict {
    let count = |wanted| columns.units.outcome.iter().filter(|outcome| **outcome == wanted).count() as u64;
    let refused = count(Outcome::Refused);
    let mut answered_by: BTreeMap<String, u64> = BTreeMap::new();
    for (outcome, who) in columns.units.outcome.iter().zip(&columns.units.answered_by) {
        if *outcome == Outcome::Refused {
            *answered_by.entry(name(*who).to_owned()).or_default() += 1;
        }
    }
    Verdict {
        refused,
        total: refused + count(Outcome::Accepted),
        answered_by,
        honesty: honesty::of(columns),
        ..Verdict::default()
    }
}

/// As the verdict spells it.
fn name(who: AnsweredBy) -> &'static str {
    match who {
        AnsweredBy::Unknown => "unknown",
        AnsweredBy::Api => "api",
        AnsweredBy::Intermediary => "intermediary",
        AnsweredBy::Proxy => "proxy",
        AnsweredBy::Nobody => "nobody",
    }
}

fn undecided(claim: &Claim) -> ClaimResult {
    let result = if claim.observable { ClaimVerdict::NotEnoughData } else { ClaimVerdict::NotObservable };
    let why = match result {
        ClaimVerdict::NotObservable => claim.note.clone().unwrap_or_else(|| "traffic cannot tell".to_owned()),
        _ => "nothing was decided".to_owned(),
    };
    ClaimResult { id: claim.id.clone(), text: claim.text.clone(), result, why }
}
