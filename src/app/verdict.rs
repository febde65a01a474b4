//! Captures to a verdict: the columns of the reading side, judged by the diagnosis.

use crate::{
    diagnose,
    model::{
        columns::Columns,
        finding::{Conclusion, Verdict},
    },
    query::{Capture, Error, columns},
};

/// A verdict, and what it was made from.
pub struct Judged {
    /// What it came to.
    pub verdict: Verdict,
    /// For charts.
    pub columns: Columns,
}

/// The share of the work that reading is.
const READING: f64 = 0.4;

/// Judges captures together. `selector` has the options that lead to the first of them, for commands that are proposed.
/// `progress` is told the share that is done, from 0 to 1.
///
/// # Errors
/// Where a capture cannot be read, or a filter means nothing for exchanges.
pub fn judge(
    captures: &[Capture],
    asked: &columns::Options,
    selector: &str,
    progress: &mut dyn FnMut(f64),
) -> Result<Judged, Error> {
    let read = columns::columns(captures, asked, &mut |done| progress(done * READING))?;
    let claims = captures.first().and_then(Capture::profile).map(|profile| profile.claims.as_slice());
    let options = diagnose::Options { selector: selector.to_owned(), ..diagnose::Options::default() };
    let mut verdict = diagnose::diagnose(&read.columns, claims.unwrap_or_default(), &options, &mut |done| {
        progress(READING + done * (1.0 - READING));
    });
    read.name(&mut verdict);
    // Refusals that were not looked at must not become "none".
    if verdict.refused == 0 && read.refused_elsewhere > 0 {
        verdict.result = Conclusion::NotEnoughData;
        verdict.missing = vec![format!(
            "the {} requests that were refused are on routes that the profile does not know, and were not judged",
            read.refused_elsewhere
        )];
    }
    Ok(Judged { verdict, columns: read.columns })
}
