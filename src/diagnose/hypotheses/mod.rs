//! What can be the cause, in words: what it means, what to do about it, and what would refute it. One file for each
//! family, since they are text; [`FAMILIES`] lists them. `docs/hypotheses.md` is made of it.

mod answers;
mod bodies;
mod doses;
mod framing;
mod heads;
mod identity;
mod leaks;
mod ordering;
mod others;

use std::fmt::Write as _;

/// A possible cause, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hypothesis {
    /// As verdicts and claims name it; `*` at its end stands for any name.
    pub id: &'static str,
    /// What it is.
    pub kind: Kind,
    /// A dose's unit.
    pub unit: Option<&'static str>,
    /// What it means.
    pub means: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    /// What would refute it.
    pub refuted_by: &'static str,
}

/// What a hypothesis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A rule's flag that is known before the answer.
    Flag,
    /// A rule's flag that comes with the answer.
    Symptom,
    /// Something that there can be too much or too little of.
    Dose,
    /// An outage, a contrast, or who answered.
    Other,
}

/// All of them, by family.
pub const FAMILIES: &[&[Hypothesis]] = &[
    ordering::ALL,
    bodies::ALL,
    leaks::ALL,
    heads::ALL,
    framing::ALL,
    identity::ALL,
    answers::ALL,
    doses::ALL,
    others::ALL,
];

/// The hypothesis of a verdict's id.
pub fn find(id: &str) -> Option<&'static Hypothesis> {
    let is = |hypothesis: &&Hypothesis| match hypothesis.id.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => hypothesis.id == id,
    };
    FAMILIES.iter().copied().flatten().find(is)
}

/// Flags that a defect raises as well as its own, by what the rules look for: where the data cannot tell the two apart,
/// the defect is the cause, and these are how it shows.
pub(super) fn signs(id: &str) -> &'static [&'static str] {
    match id {
        "unresolved-variable" => &[
            "authorization-malformed",
            "identifier-shape",
            "malformed-json",
            "path-encoding",
            "schema-violation",
            "wrong-date-type",
        ],
        "empty-identifier" => &["identifier-shape", "schema-violation"],
        "wrong-date-type" => &["schema-violation"],
        "charset-loss" => &["malformed-json"],
        "metadata-before-open" => &["metadata-before-ready", "metadata-too-soon"],
        "metadata-after-failed-open" => &["metadata-without-socket"],
        _ => &[],
    }
}

/// Whether it is a rule's.
pub(super) fn is_rule(id: &str) -> bool {
    find(id).is_some_and(|hypothesis| matches!(hypothesis.kind, Kind::Flag | Kind::Symptom))
}

/// `docs/hypotheses.md`.
pub fn document() -> String {
    let mut text = String::from(
        "# Hypotheses\n\nWhat can be the cause of refusals. `diagnose` names one where the data bear it out, with its share, \
         its threshold and its interval;\nit says so where it cannot tell two apart. Symptoms come with the answer: they \
         are counted and never ranked as causes.\n\nThis file is generated: \
         `UPDATE=1 cargo test --test it the_document_of_the_hypotheses` writes it.\n",
    );
    for hypothesis in FAMILIES.iter().copied().flatten() {
        let what = match hypothesis.kind {
            Kind::Flag => "a rule's flag, known before the answer",
            Kind::Symptom => "a symptom, known with the answer",
            Kind::Dose => "a dose",
            Kind::Other => "beside load and flags",
        };
        let unit = hypothesis.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n- {what}{unit}\n- what to do: {}\n- refuted by: {}\n",
            hypothesis.id, hypothesis.means, hypothesis.advice, hypothesis.refuted_by
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{HYPOTHESES, HYPOTHESIS_PREFIXES};

    #[test]
    fn signs_are_flags_and_lead_to_no_ring() {
        for of in FAMILIES.iter().copied().flatten() {
            for sign in signs(of.id) {
                assert!(find(sign).is_some_and(|sign| sign.kind == Kind::Flag), "{sign} of {}", of.id);
                assert!(!signs(sign).contains(&of.id), "{sign} of {}", of.id);
            }
        }
    }

    #[test]
    fn they_are_those_that_a_profile_can_name() {
        let mut own: Vec<String> = FAMILIES.iter().copied().flatten().map(|h| h.id.to_owned()).collect();
        let starred = HYPOTHESIS_PREFIXES.iter().map(|prefix| format!("{prefix}*"));
        let mut named: Vec<String> = HYPOTHESES.iter().map(|id| (*id).to_owned()).chain(starred).collect();
        own.sort();
        named.sort();
        assert_eq!(own, named);
        assert_eq!(find("contrast:header:accept").unwrap().id, "contrast:header:*");
        assert!(find("nothing").is_none());
    }
}
