//! How an answer is judged: against what was planted, and strictly. An answer that names a right explanation as one that
//! these data cannot tell apart from its own is right.

use super::{Question, Trial, refused, refused_by};
use crate::model::finding::{Cause, Conclusion, Verdict};

/// What an answer was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// [`Question::name`].
    pub question: String,
    /// Which of the loads.
    pub load: usize,
    /// By which chance.
    pub seed: u64,
    /// What was planted, as it is said on the command line.
    pub planted: Vec<String>,
    /// Units, and refused ones.
    pub units: (usize, usize),
    /// Whether it was said that there is not enough data, or the verdict was withheld.
    pub is_silent: bool,
    /// The causes that were named, first ranked first.
    pub named: Vec<String>,
    /// Of one cause: whether the first one is right. Of two: whether both were found with their shares. Of a null:
    /// whether nothing wrong was named.
    pub is_right: bool,
    /// Of a threshold that is known and was found.
    pub threshold: Option<ThresholdScore>,
    /// By plant that was asked about.
    pub shares: Vec<Share>,
}

/// A threshold that is known and was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdScore {
    /// What it is.
    pub truth: f64,
    /// What was found.
    pub value: f64,
    /// Its interval.
    pub low: f64,
    /// The same, high end.
    pub high: f64,
}

/// What a plant refused, and what was said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Of all refusals.
    pub truth: f64,
    /// What the cause that is right for it explains; nothing: none was named.
    pub found: Option<f64>,
}

impl ThresholdScore {
    /// Whether the truth lies in the interval.
    pub fn is_inside(&self) -> bool {
        // Counts are whole, and what is reported may be rounded.
        let slack = 1e-6 * self.truth.abs();
        (self.low - slack..=self.high + slack).contains(&self.truth)
    }

    /// How far off, as a share of the truth; for thresholds near nothing, of 10 ms.
    pub fn error(&self) -> f64 {
        let least = if self.truth.abs() > 1e5 || self.truth <= 0.0 { 1e7 } else { 1.0 };
        (self.value - self.truth).abs() / self.truth.abs().max(least)
    }
}

/// How far shares may be off.
const SHARES_WITHIN: f64 = 0.10;

/// Judges an answer.
pub fn score(trial: &Trial, verdict: &Verdict) -> Score {
    let scenario = &trial.scenario;
    let asked = trial.question.causes().len();
    let plants = scenario.plants.get(..asked).unwrap_or_default();
    let rights: Vec<Vec<&'static str>> = plants.iter().map(|plant| (plant.info.right)(plant, scenario)).collect();
    let all = refused(&trial.run).max(1) as f64;
    let mut shares = Vec::new();
    let mut threshold = None;
    for ((number, plant), right) in plants.iter().enumerate().zip(&rights) {
        let found = verdict.causes.iter().find(|cause| is_right(verdict, cause, right));
        let truth = refused_by(&trial.run, number) as f64 / all;
        shares.push(Share { truth, found: found.map(|cause| cause.explains) });
        let known = (plant.info.truth)(plant, scenario);
        let same = found.filter(|cause| known.is_some_and(|known| known.hypothesis == cause.hypothesis));
        if let (Some(known), Some(said), true) = (known, same.and_then(|cause| cause.threshold.as_ref()), asked == 1) {
            let (value, low, high) = (said.value, said.low, said.high);
            threshold = Some(ThresholdScore { truth: known.value, value, low, high });
        }
    }
    let first = verdict.causes.first();
    let within = |share: &Share| share.found.is_some_and(|found| (found - share.truth).abs() <= SHARES_WITHIN);
    let is_right = match (trial.question, rights.first()) {
        (Question::Single(_), Some(right)) => first.is_some_and(|cause| is_right(verdict, cause, right)),
        (Question::Pair(..), _) => shares.iter().all(within),
        // Whatever is named must be what happened.
        (Question::Null(_), Some(right)) => verdict.causes.iter().all(|cause| right.contains(&&*cause.hypothesis)),
        (_, None) => false,
    };
    Score {
        question: trial.question.name(),
        load: trial.load,
        seed: trial.seed,
        planted: scenario.plants.iter().map(ToString::to_string).collect(),
        units: (trial.run.columns.units.len(), refused(&trial.run)),
        is_silent: matches!(verdict.result, Conclusion::NotEnoughData | Conclusion::Withheld),
        named: verdict.causes.iter().map(|cause| cause.hypothesis.clone()).collect(),
        is_right,
        threshold,
        shares,
    }
}

/// Whether a cause is right, or is said to be indistinguishable from one that is.
fn is_right(verdict: &Verdict, cause: &Cause, right: &[&str]) -> bool {
    let fits = |hypothesis: &str| {
        right.iter().any(|right| hypothesis == *right || (right.ends_with(':') && hypothesis.starts_with(right)))
    };
    fits(&cause.hypothesis)
        || verdict.confounded.iter().any(|group| {
            group.hypotheses.contains(&cause.hypothesis) && group.hypotheses.iter().any(|other| fits(other))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;
    use crate::model::finding::{Confounded, Direction, Effect, Threshold};

    fn cause(hypothesis: &str, explains: f64, value: Option<f64>) -> Cause {
        let threshold = value.map(|value| Threshold {
            value,
            low: value - 1.0,
            high: value + 1.0,
            direction: Direction::Above,
            counting: None,
            soft: None,
            curve: Vec::new(),
        });
        Cause {
            hypothesis: hypothesis.to_owned(),
            level: None,
            threshold,
            window: None,
            explains,
            covered: 1,
            refused_covered: 1,
            effect: Effect::default(),
            gain: 1.0,
            p: 0.001,
            evidence: Vec::new(),
            says: String::new(),
        }
    }

    fn answer(causes: Vec<Cause>) -> Verdict {
        Verdict { result: Conclusion::Causes, causes, ..Verdict::default() }
    }

    #[test]
    fn a_right_answer_is_right_and_a_wrong_one_is_not() {
        let question = Question::singles().into_iter().find(|question| question.name() == "inflight-limit").unwrap();
        let trial = Trial::new(question, 0, 1);
        let limit = trial.scenario.plants[0].number("limit");
        let good = score(&trial, &answer(vec![cause("inflight", 0.9, Some(limit + 1.0))]));
        assert!(good.is_right && good.threshold.unwrap().is_inside());
        assert!(good.threshold.unwrap().error() < 1e-9);
        let off = score(&trial, &answer(vec![cause("inflight", 0.9, Some(limit + 4.0))]));
        assert!(off.is_right && !off.threshold.unwrap().is_inside());
        let wrong = answer(vec![cause("request-rate", 0.9, Some(3.0)), cause("inflight", 0.1, None)]);
        assert!(!score(&trial, &wrong).is_right);
        let confounded = Confounded {
            hypotheses: vec!["request-rate".to_owned(), "inflight".to_owned()],
            same: true,
            experiment: None,
            why: String::new(),
        };
        assert!(score(&trial, &Verdict { confounded: vec![confounded], ..wrong }).is_right);
        assert!(!score(&trial, &Verdict::default()).is_right);
    }

    #[test]
    fn a_null_is_right_where_nothing_wrong_is_named() {
        let trial = Trial::new(Question::null(0).unwrap(), 0, 2);
        assert!(score(&trial, &Verdict::default()).is_right);
        assert!(!score(&trial, &answer(vec![cause("inflight", 0.2, None)])).is_right);
        let outage = Trial::new(Question::null(9).unwrap(), 0, 2);
        assert_eq!(outage.question.name(), "null: outage");
        assert!(score(&outage, &answer(vec![cause("time-window", 0.9, None)])).is_right);
        assert!(!score(&outage, &answer(vec![cause("connection-rate", 0.9, None)])).is_right);
    }

    #[test]
    fn a_pair_needs_both_with_their_shares() {
        let question = Question::pairs()[0];
        let trial = Trial::new(question, 0, 3);
        let shares = score(&trial, &Verdict::default()).shares;
        let causes = |off: f64| {
            let truth = |n: usize| shares[n].truth;
            answer(vec![cause("inflight", truth(0) + off, None), cause("unresolved-variable", truth(1), None)])
        };
        assert!(shares[0].truth > 0.02 && shares[1].truth > 0.02, "{shares:?}");
        assert!(score(&trial, &causes(0.09)).is_right);
        assert!(!score(&trial, &causes(0.11)).is_right);
        assert!(!score(&trial, &answer(vec![cause("inflight", shares[0].truth, None)])).is_right);
    }
}
