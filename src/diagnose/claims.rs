//! What people say causes the refusals, held against the data.

use crate::{
    model::{
        columns::{Columns, Outcome},
        finding::{ClaimResult, ClaimVerdict, Conclusion, Verdict},
    },
    profile::Claim,
    stats::interval::newcombe,
};

use super::{
    list::{Tried, Why},
    says::percent,
};

/// A symptom that so much of the refusals bear supports what it stands for.
const MOST: f64 = 0.5;
/// A cause that could explain at most so much more of the refusals than chance is none.
const NEGLIGIBLE: f64 = 0.05;

/// Each claim, judged by what was decided. `tried`: how each candidate fared; `constant`: those that never vary.
pub(super) fn judged(
    columns: &Columns,
    claims: &[Claim],
    verdict: &Verdict,
    tried: &[Tried],
    constant: &[String],
) -> Vec<ClaimResult> {
    let evidence = Evidence { columns, verdict, tried, constant };
    claims.iter().map(|claim| evidence.judge(claim)).collect()
}

struct Evidence<'a> {
    columns: &'a Columns,
    verdict: &'a Verdict,
    tried: &'a [Tried],
    constant: &'a [String],
}

/// What the data say of one hypothesis.
enum Says {
    Yes(String),
    No(String),
    Unknown(String),
    Unseen(String),
}

impl Evidence<'_> {
    fn judge(&self, claim: &Claim) -> ClaimResult {
        let (result, why) = self.result(claim);
        ClaimResult { id: claim.id.clone(), text: claim.text.clone(), result, why }
    }

    fn result(&self, claim: &Claim) -> (ClaimVerdict, String) {
        if !claim.observable || claim.hypotheses.is_empty() {
            let why = claim.note.clone().unwrap_or_else(|| "traffic cannot tell".to_owned());
            return (ClaimVerdict::NotObservable, why);
        }
        match self.verdict.result {
            Conclusion::NoRefusals => {
                return (ClaimVerdict::NotEnoughData, "nothing was refused".to_owned());
            }
            Conclusion::NotEnoughData | Conclusion::Withheld => {
                return (ClaimVerdict::NotEnoughData, self.verdict.missing.join("; "));
            }
            Conclusion::Causes | Conclusion::NoCause => {}
        }
        let said: Vec<Says> = claim.hypotheses.iter().map(|hypothesis| self.of(hypothesis)).collect();
        let texts = |wanted: fn(&Says) -> Option<&String>| {
            let texts: Vec<&str> = said.iter().filter_map(wanted).map(String::as_str).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        // Any of a claim's hypotheses makes it true; it is false only where all are.
        let (yes, no) = if claim.denies {
            (ClaimVerdict::Contradicted, ClaimVerdict::Supported)
        } else {
            (ClaimVerdict::Supported, ClaimVerdict::Contradicted)
        };
        if let Some(why) = texts(|says| if let Says::Yes(why) = says { Some(why) } else { None }) {
            return (yes, why);
        }
        if let Some(why) = texts(|says| if let Says::Unknown(why) = says { Some(why) } else { None }) {
            return (ClaimVerdict::NotEnoughData, why);
        }
        if let Some(why) = texts(|says| if let Says::No(why) = says { Some(why) } else { None }) {
            return (no, why);
        }
        let why = texts(|says| if let Says::Unseen(why) = says { Some(why) } else { None });
        (ClaimVerdict::NotObservable, why.unwrap_or_else(|| "traffic cannot tell".to_owned()))
    }

    fn of(&self, hypothesis: &str) -> Says {
        if let Some(who) = hypothesis.strip_prefix("answered-by:") {
            return self.answered_by(hypothesis, who);
        }
        let causes: Vec<&str> = (self.verdict.causes.iter())
            .filter(|cause| is_meant(hypothesis, &cause.hypothesis))
            .map(|cause| cause.says.as_str())
            .collect();
        if !causes.is_empty() {
            return Says::Yes(format!("{hypothesis}: {}", causes.join("; ")));
        }
        let confounded =
            self.verdict.confounded.iter().find(|found| found.hypotheses.iter().any(|id| is_meant(hypothesis, id)));
        if let Some(found) = confounded {
            let taken = found.hypotheses.first().map_or("", String::as_str);
            if found.same {
                return Says::Yes(format!("{taken} is a cause, and {hypothesis} is the same here: {}", found.why));
            }
            let how = found.experiment.as_ref().unwrap_or(&found.why);
            return Says::Unknown(format!("{hypothesis} cannot be told from {taken} on these data: {how}"));
        }
        if let Some(symptom) = self.columns.symptoms.iter().find(|symptom| symptom.rule == hypothesis) {
            return self.symptom(hypothesis, &symptom.units);
        }
        let tried: Vec<&Tried> = self.tried.iter().filter(|tried| is_meant(hypothesis, &tried.hypothesis)).collect();
        if let Some(best) = tried.iter().max_by(|a, b| a.gain.total_cmp(&b.gain)) {
            return self.tried(hypothesis, best);
        }
        if self.constant.iter().any(|id| is_meant(hypothesis, id)) {
            return self.constant(hypothesis);
        }
        self.absent(hypothesis)
    }

    /// It varied, and was not found to be a cause.
    fn tried(&self, hypothesis: &str, tried: &Tried) -> Says {
        let Some(flagged) = self.columns.flags.iter().find(|flagged| flagged.rule == hypothesis) else {
            let p = tried.p.map(|p| format!(", p = {p:.3}")).unwrap_or_default();
            return Says::No(match tried.why {
                Why::Chance => format!("{hypothesis} explains the refusals no better than chance does{p}"),
                Why::Follows => format!("{hypothesis} rises after refusals, not before them"),
                Why::Worse | Why::Explained | Why::Few => match self.verdict.causes.first() {
                    Some(first) => format!("{hypothesis} explains the refusals worse than {}{p}", first.hypothesis),
                    None => format!("{hypothesis} explains too few of the refusals{p}"),
                },
            });
        };
        let (with, without) = self.with_and_without(&flagged.units);
        let (_, _, high) = newcombe(with, without);
        let numbers =
            format!("{hypothesis}: {} of {} refused with it, {} of {} without", with.0, with.1, without.0, without.1);
        // At most so many more than chance would refuse anyway.
        let most = (high * with.1 as f64).min(with.0 as f64) / self.verdict.refused.max(1) as f64;
        if most <= NEGLIGIBLE || high < NEGLIGIBLE {
            return Says::No(numbers);
        }
        match tried.why {
            Why::Chance => Says::Unknown(format!("{numbers}: too few to tell")),
            Why::Worse | Why::Follows | Why::Explained | Why::Few => {
                Says::No(format!("{numbers}; other causes explain those refusals"))
            }
        }
    }

    /// Refused and all, of the counted units, flagged and not.
    fn with_and_without(&self, flagged: &[u32]) -> ((u64, u64), (u64, u64)) {
        let mut with = (0, 0);
        for outcome in flagged.iter().filter_map(|unit| self.columns.units.outcome.get(*unit as usize)) {
            with.0 += u64::from(*outcome == Outcome::Refused);
            with.1 += u64::from(*outcome != Outcome::Uncounted);
        }
        (with, (self.verdict.refused.saturating_sub(with.0), self.verdict.total.saturating_sub(with.1)))
    }

    fn symptom(&self, hypothesis: &str, flagged: &[u32]) -> Says {
        let (with, _) = self.with_and_without(flagged);
        let share = with.0 as f64 / self.verdict.refused.max(1) as f64;
        let text = format!("{} of {} refused requests are {hypothesis}", with.0, self.verdict.refused);
        if share >= MOST { Says::Yes(text) } else { Says::No(text) }
    }

    /// It is the same for all requests.
    fn constant(&self, hypothesis: &str) -> Says {
        match self.columns.flags.iter().find(|flagged| flagged.rule == hypothesis) {
            Some(flagged) if self.with_and_without(&flagged.units).0.1 == 0 => self.absent(hypothesis),
            Some(_) => Says::Unknown(format!(
                "every request bears {hypothesis}, the {} accepted ones too: alone it is not enough, and what happens \
                 without it was not seen",
                self.verdict.total.saturating_sub(self.verdict.refused)
            )),
            None => Says::Unknown(format!("{hypothesis} was the same for all requests")),
        }
    }

    /// No request bears it.
    fn absent(&self, hypothesis: &str) -> Says {
        let is_flag = crate::profile::HYPOTHESES.contains(&hypothesis) && super::hypotheses::is_rule(hypothesis);
        if is_flag {
            return Says::No(format!("none of {} refused requests was flagged {hypothesis}", self.verdict.refused));
        }
        Says::Unseen(format!("{hypothesis}: nothing in this capture tells of it"))
    }

    fn answered_by(&self, hypothesis: &str, who: &str) -> Says {
        let count = |who: &str| self.verdict.answered_by.get(who).copied().unwrap_or_default();
        let refused = self.verdict.refused.max(1);
        if count("unknown") as f64 > MOST * refused as f64 {
            return Says::Unseen("the profile knows no marks by which the API's own answers are told".to_owned());
        }
        let share = count(who) as f64 / refused as f64;
        let text = format!("{hypothesis}: {} of the refusals ({} of {refused})", percent(share), count(who));
        if share >= MOST { Says::Yes(text) } else { Says::No(text) }
    }
}

/// Whether a claim's hypothesis means this one; `*` stands for any name.
fn is_meant(hypothesis: &str, id: &str) -> bool {
    hypothesis.strip_suffix('*').map_or(hypothesis == id, |prefix| id.starts_with(prefix))
}
