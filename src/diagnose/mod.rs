//! From columns to a verdict: which causes explain the refusals, and from which load on. PURE; it must never know the
//! lab, nor where its columns came from.

mod alike;
mod candidate;
mod causes;
mod claims;
mod doses;
mod enough;
mod experiments;
mod honesty;
pub mod hypotheses;
mod list;
mod precedence;
mod rejected;
mod sample;
mod says;
mod shifts;
mod split;
mod threshold;
mod window;

use std::collections::BTreeMap;

use crate::{
    model::{
        columns::{AnsweredBy, Columns, Outcome},
        finding::{Conclusion, Confounded, Verdict},
        flag::Subject,
    },
    profile::Claim,
    stats::binomial::Binomial,
};

use list::{Search, Tried};
use sample::Sample;

/// What a diagnosis can be told. The defaults are those of the documentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Of all that is drawn at random: the same seed, the same verdict.
    pub seed: u64,
    /// The family-wise level at which a cause holds: half of it for what is shifted, half for outages.
    pub level: f64,
    /// Fewer refused units are not enough data.
    pub min_refusals: usize,
    /// Fewer admissible shifts are not enough data; as many are drawn.
    pub min_shifts: usize,
    /// Replicates of the block bootstrap.
    pub bootstrap: usize,
    /// No more causes than these are looked for.
    pub max_causes: usize,
    /// The options that choose the capture, for commands that are proposed: ` -w captures -c monday`.
    pub selector: String,
}

impl Options {
    /// The level of each of the two tests.
    fn level_of_a_test(&self) -> f64 {
        self.level / 2.0
    }
}

/// So many that cannot be told from a cause are named with it.
const MOST_ALIKE: usize = 5;

impl Default for Options {
    fn default() -> Self {
        let selector = String::new();
        Self { seed: 1, level: 0.01, min_refusals: 30, min_shifts: 199, bootstrap: 200, max_causes: 6, selector }
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
    let (tried, constant) = if verdict.result == Conclusion::NoCause {
        decide(columns, options, &mut verdict, progress)
    } else {
        Default::default()
    };
    verdict.claims = claims::judged(columns, claims, &verdict, &tried, &constant);
    progress(1.0);
    verdict
}

/// Looks for causes. Gives how each candidate fared, and the ids of those that never vary.
fn decide(
    columns: &Columns,
    options: &Options,
    verdict: &mut Verdict,
    progress: &mut dyn FnMut(f64),
) -> (Vec<Tried>, Vec<String>) {
    let sample = Sample::new(columns);
    let candidate::Candidates { all: candidates, constant, twins } =
        candidate::all(columns, &sample, doses::all(columns), options.seed);
    progress(0.3);
    let binomial = Binomial::default();
    let search = Search { sample: &sample, candidates: &candidates, options, binomial: &binomial };
    let positions = sample.comparable(columns);
    let mut found = search.run(positions, &mut |done| progress(0.3 + 0.6 * done));
    if found.admissible < options.min_shifts {
        verdict.result = Conclusion::NotEnoughData;
        verdict.missing.push(format!(
            "too short a run: outcomes can be shifted in time in {} ways, {} are needed to tell load from chance",
            found.admissible, options.min_shifts
        ));
        return (found.tried, constant);
    }
    let cause = |taken| causes::cause(columns, &sample, &candidates, taken, &found.left, verdict.refused, options);
    verdict.causes = found.taken.iter().map(cause).collect();
    verdict.unexplained = search.refused(&found.left) as u64;
    for (cause, taken) in verdict.causes.iter().zip(&found.taken) {
        let is_sign = |id: &&String| hypotheses::signs(&cause.hypothesis).contains(&id.as_str());
        let (signs, rivals): (Vec<&String>, Vec<&String>) = taken.alike.iter().partition(is_sign);
        let with_cause = |ids: Vec<&String>| -> Vec<String> {
            std::iter::once(&cause.hypothesis).chain(ids.into_iter().take(MOST_ALIKE)).cloned().collect()
        };
        if !signs.is_empty() {
            verdict.confounded.push(experiments::signs(with_cause(signs)));
        }
        if rivals.is_empty() {
            continue;
        }
        let hypotheses = with_cause(rivals);
        verdict.confounded.push(Confounded {
            same: false,
            experiment: experiments::command(&hypotheses, cause, &options.selector),
            why: experiments::why(&hypotheses, cause),
            hypotheses,
        });
    }
    for (cause, twin) in &twins {
        if verdict.causes.iter().any(|taken| taken.hypothesis == *cause) {
            verdict.confounded.push(experiments::one_and_the_same(cause, twin));
        }
    }
    let alike = verdict.confounded.iter().flat_map(|found| &found.hypotheses).map(String::as_str).collect();
    verdict.rejected_candidates = rejected::list(&found.tried, &verdict.causes, &alike);
    if !verdict.causes.is_empty() {
        verdict.result = Conclusion::Causes;
    }
    // A claim that means the one means the other.
    for (known, twin) in twins {
        let tried: Vec<Tried> = found.tried.iter().filter(|tried| tried.hypothesis == known).cloned().collect();
        found.tried.extend(tried.into_iter().map(|tried| Tried { hypothesis: twin.clone(), ..tried }));
    }
    (found.tried, constant)
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
        messages: (columns.units.outcome.iter().zip(&columns.units.subject))
            .filter(|(outcome, subject)| **outcome != Outcome::Uncounted && matches!(subject, Subject::Frame(_)))
            .count() as u64,
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

#[cfg(test)]
mod simulated_tests;
#[cfg(test)]
mod tests;
