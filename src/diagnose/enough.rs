//! Whether there is enough to decide on, and if not, what is missing.

use crate::model::columns::{Columns, Outcome};

use super::Options;

/// Each thing that is missing, in a sentence; empty where there is enough, and where nothing was refused.
pub(super) fn missing(columns: &Columns, options: &Options) -> Vec<String> {
    let count = |wanted| columns.units.outcome.iter().filter(|outcome| **outcome == wanted).count();
    let (refused, accepted) = (count(Outcome::Refused), count(Outcome::Accepted));
    let mut missing = Vec::new();
    if refused == 0 {
        return missing;
    }
    if refused < options.min_refusals {
        missing.push(format!("{refused} refused: at least {} are needed", options.min_refusals));
    }
    if accepted == 0 {
        missing.push(format!("none of {refused} was accepted: there is nothing to compare the refused with"));
    }
    // A shift is admissible where it moves the outcomes by more than they remember; the shortest memory is one unit.
    let shifts = (refused + accepted).saturating_sub(1);
    if accepted > 0 && shifts < options.min_shifts {
        missing.push(format!(
            "{} requests: too short a run, {} are needed to tell load from chance",
            refused + accepted,
            options.min_shifts + 1
        ));
    }
    missing
}
