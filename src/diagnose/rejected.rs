//! What was tried and did not hold, and why.

use std::collections::BTreeSet;

use crate::model::finding::{Cause, Rejected};

use super::list::{Tried, Why};

/// So many are shown.
const SHOWN: usize = 15;

/// The best of those that were not taken, one an id.
pub(super) fn list(tried: &[Tried], causes: &[Cause], alike: &BTreeSet<&str>) -> Vec<Rejected> {
    let taken: BTreeSet<&str> = causes.iter().map(|cause| cause.hypothesis.as_str()).collect();
    let mut best: Vec<&Tried> = tried
        .iter()
        .filter(|tried| !taken.contains(tried.hypothesis.as_str()) && !alike.contains(tried.hypothesis.as_str()))
        .collect();
    best.sort_by(|a, b| b.gain.total_cmp(&a.gain).then_with(|| a.hypothesis.cmp(&b.hypothesis)));
    let mut seen = BTreeSet::new();
    best.retain(|tried| seen.insert(tried.hypothesis.as_str()));
    best.truncate(SHOWN);
    let rejected = |tried: &&Tried| Rejected {
        hypothesis: tried.hypothesis.clone(),
        why: why(tried, causes.first()),
        gain: tried.gain,
        p: tried.p,
    };
    best.iter().map(rejected).collect()
}

fn why(tried: &Tried, first: Option<&Cause>) -> String {
    match (tried.why, tried.p, first) {
        (Why::Chance, Some(p), _) => {
            format!("refusals shifted in time fit as well (p = {p:.3}): it gains {:.0} nats", tried.gain)
        }
        (Why::Chance, None, _) => "it was not tested".to_owned(),
        (Why::Worse, _, Some(cause)) if cause.gain > tried.gain => format!(
            "it explains the refusals worse than {}, by {:.0} nats, and nothing of what that leaves",
            cause.hypothesis,
            cause.gain - tried.gain
        ),
        (Why::Worse, ..) => "it explains nothing of what the causes leave".to_owned(),
        (Why::Follows, ..) => {
            "it follows from refusals: once what was refused just before is known, it tells nothing more".to_owned()
        }
        (Why::Explained, ..) => "within equal doses of the causes before it, it tells nothing more".to_owned(),
        (Why::Few, ..) => "it explains too few of the refusals".to_owned(),
    }
}
