//! One capture, or several, as the columns that a diagnosis reads.
//!
//! - `headers`, `intern`, `property`, `heads`, `paths`: what heads and paths tell, without a string for each.
//! - `builder`: units in the order of reading; `messages`: those on sockets; `finish`: what needs all of them.
//! - `feed`: where they come from: tables column by column, rows in memory, a recorder's socket.
//!
//! Nothing here decides what a cause is. Memory is some hundred bytes a unit; no row is held.

mod builder;
mod feed;
mod finish;
mod headers;
mod heads;
mod intern;
mod messages;
mod paths;
mod property;

use std::ops::ControlFlow;

use crate::{
    model::{
        columns::{Columns, Observer, Outcome, UNKNOWN},
        finding::Verdict,
        rows::Row,
    },
    profile::{Profile, Refused},
    record::Observed,
};

use self::{
    builder::{Builder, By},
    heads::Heads,
};
use super::{Capture, Error, Filter, Kind, Query, Standing};

/// What is asked of a capture.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The exchanges that the question is about; the others are load. All where there is none.
    pub filter: Option<Filter>,
    /// What counts as refused, where it is not what the profile says.
    pub refused: Option<RefusedBy>,
}

/// What counts as refused.
#[derive(Clone, Debug, PartialEq)]
pub enum RefusedBy {
    /// These statuses, and no answer at all.
    Statuses(Refused),
    /// What passes the filter.
    Filter(Filter),
}

impl RefusedBy {
    /// Statuses (`400`, `400-499`, `429,500-599`), else a filter (`status=400 and path~"/scripts/"`).
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.chars().all(|c| c.is_ascii_digit() || ",- ".contains(c)) {
            return Filter::parse(text).map(Self::Filter).map_err(|error| error.to_string());
        }
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=999).contains(status));
        let range = |part: &str| match part.split_once('-') {
            Some((low, high)) => Some((status(low)?, status(high)?)).filter(|(low, high)| low <= high),
            None => status(part).map(|one| (one, one)),
        };
        let statuses = text.split(',').map(|part| range(part).ok_or(part)).collect::<Result<Vec<_>, _>>();
        match statuses {
            Ok(statuses) => Ok(Self::Statuses(Refused { statuses, except: Vec::new() })),
            Err(part) => Err(format!(
                "{:?} is no status: expected 400, a range such as 400-499, several with commas, or a filter",
                part.trim()
            )),
        }
    }
}

/// The columns, and what leads back from them to the captures.
pub struct Read {
    /// What a diagnosis reads.
    pub columns: Columns,
    /// The captures' names, by the number that [`Read::name`] takes out of ids.
    names: Vec<String>,
    /// Refusals by status on routes that the profile does not know: they are not counted.
    pub refused_elsewhere: u64,
}

impl Read {
    /// Gives ids of a verdict the name of their capture, where there are several: `noon/x345`.
    pub fn name(&self, verdict: &mut Verdict) {
        if self.names.len() < 2 {
            return;
        }
        for evidence in verdict.causes.iter_mut().flat_map(|cause| &mut cause.evidence) {
            let Ok(subject) = evidence.parse() else { continue };
            let (capture, id) = builder::capture_of(subject);
            if let Some(name) = self.names.get(capture) {
                *evidence = format!("{name}/{id}");
            }
        }
    }
}

/// Reads captures. Their clocks are put together by their wall anchors. `progress` is told the share that is done.
///
/// # Errors
/// Where a filter means nothing for exchanges, or a capture cannot be read.
pub fn columns(captures: &[Capture], options: &Options, progress: &mut dyn FnMut(f64)) -> Result<Read, Error> {
    let profile = captures.first().and_then(Capture::profile);
    let identity = captures.first().map(Capture::identity_headers).unwrap_or_default();
    let mut builder = Builder::new(profile);
    let mut heads = Heads::new(profile, identity);
    let (mut observed, mut taken) = (None, None);
    let first = captures.iter().map(|capture| capture.anchor().unix_ns).min().unwrap_or_default();
    for (number, capture) in captures.iter().enumerate() {
        builder.next_capture(number, capture.anchor().unix_ns.saturating_sub(first));
        builder.messages.count = options.refused.is_none();
        builder.about = options.filter.as_ref().map(|filter| ids(capture, filter)).transpose()?;
        taken = builder.about.as_ref().map(|ids| taken.unwrap_or(0) + ids.len());
        builder.by = match &options.refused {
            Some(RefusedBy::Statuses(refused)) => By::Statuses(refused.clone()),
            Some(RefusedBy::Filter(filter)) => By::Ids(ids(capture, filter)?),
            None => By::Statuses(capture.refused().clone()),
        };
        let share = |done: f64| (number as f64 + done) / captures.len() as f64;
        feed::capture(&mut builder, &mut heads, capture, &mut |done| progress(share(done)))?;
        notes(&mut builder.columns, capture, captures.len() > 1);
        match (&mut observed, feed::observed(capture)?) {
            (Some(all), Some(more)) => Observed::add(all, &more),
            (observed, more) => *observed = observed.take().or(more),
        }
    }
    let refused_elsewhere = builder.refused_elsewhere;
    let mut columns = finish::finish(builder, heads);
    if let Some(observed) = observed {
        observer(&mut columns.observer, &observed);
    }
    about_routes(&mut columns, profile, refused_elsewhere, taken);
    let names = captures.iter().map(|capture| capture.dir().name()).collect();
    Ok(Read { columns, names, refused_elsewhere })
}

fn observer(observer: &mut Observer, observed: &Observed) {
    let nanos = |share| observed.added(share).and_then(|ns| i64::try_from(ns).ok()).unwrap_or(UNKNOWN);
    observer.added_p50_ns = nanos(0.5);
    observer.added_p90_ns = nanos(0.9);
    observer.added_p99_ns = nanos(0.99);
    observer.stalled_ns = observed.stalled_ns;
    // Connections tell of gaps beyond the last sealed segment as well.
    observer.gaps = observer.gaps.max(observed.gaps);
    observer.gap_bytes = observed.gap_bytes;
    observer.clock_steps = observed.clock_steps;
    if observed.cores > 0 {
        observer.cpu_cores = Some(observed.cpu_millicores as f64 / 1000.0);
        observer.cores = observed.cores;
    }
}

/// The ids of the exchanges that pass, ascending.
fn ids(capture: &Capture, filter: &Filter) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    capture.list(Kind::Exchanges, Query { filter: Some(filter), ..Query::default() }, &mut |row| {
        if let Row::Exchange(row) = row {
            ids.push(row.id.0);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    ids.sort_unstable();
    Ok(ids)
}

/// Says how the capture stands.
fn notes(columns: &mut Columns, capture: &Capture, named: bool) {
    let prefix = if named { format!("{}: ", capture.dir().name()) } else { String::new() };
    columns.complete &= capture.standing() == Standing::Finished && capture.is_whole();
    if capture.standing() == Standing::Running {
        let until = capture.anchor().rfc3339(crate::model::Timestamp(columns.until_ns.max(0).cast_unsigned()));
        columns.notes.push(format!("{prefix}it is still being recorded: this covers what was finished until {until}"));
    }
    columns.notes.extend(capture.notes().iter().map(|note| format!("{prefix}{note}")));
}

/// Says where nothing, or not all, was on routes that the profile knows.
fn about_routes(columns: &mut Columns, profile: Option<&Profile>, refused_elsewhere: u64, taken: Option<usize>) {
    let counted = columns.units.outcome.iter().filter(|outcome| **outcome != Outcome::Uncounted).count();
    let name = profile.map_or("generic", |profile| profile.name.as_str());
    if columns.units.is_empty() {
        columns.notes.push("there is no request in it".to_owned());
    } else if taken == Some(0) {
        columns.notes.push(format!("the filter takes none of {} requests", columns.units.len()));
    } else if counted == 0 && refused_elsewhere > 0 {
        columns.notes.push(format!(
            "none of {} requests is on a route that the profile {name} knows, though {refused_elsewhere} of them were \
             refused (hint: --profile generic takes every route)",
            columns.units.len()
        ));
    } else if refused_elsewhere > 0 {
        columns.notes.push(format!(
            "{refused_elsewhere} more requests were refused on routes that the profile {name} does not know; they are \
             load here (hint: --profile generic takes every route)"
        ));
    }
    if columns.observer.undecoded_connections > 0 {
        columns.notes.push(format!(
            "{} relayed and not decoded: what was asked there is in no figure here",
            match columns.observer.undecoded_connections {
                1 => "1 connection was".to_owned(),
                number => format!("{number} connections were"),
            }
        ));
    }
    if columns.connections.iter().all(|connection| connection.server_rtt_ns == UNKNOWN) && !columns.units.is_empty() {
        columns.notes.push("the round trip to the server is not known: thresholds of counts lack its share".to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_no_request_counts_for_is_said() {
        let note = |elsewhere, taken| {
            let mut columns = Columns::default();
            columns.units.outcome.push(Outcome::Uncounted);
            columns.units.offered_ns.push(1);
            columns.units.subject.push(crate::model::flag::Subject::Exchange(crate::model::ExchangeId(1)));
            about_routes(&mut columns, None, elsewhere, taken);
            columns.notes.first().cloned().unwrap_or_default()
        };
        assert!(note(0, Some(0)).starts_with("the filter takes none of "), "{}", note(0, Some(0)));
        assert!(note(1, Some(1)).contains("hint: --profile generic"), "{}", note(1, Some(1)));
        assert!(!note(0, None).contains("filter"), "{}", note(0, None));
    }

    #[test]
    fn refused_is_statuses_or_a_filter() {
        let statuses = |text| match RefusedBy::parse(text) {
            Ok(RefusedBy::Statuses(refused)) => refused.statuses,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(statuses("400"), [(400, 400)]);
        assert_eq!(statuses("429, 500-599"), [(429, 429), (500, 599)]);
        assert!(matches!(RefusedBy::parse("status>=500"), Ok(RefusedBy::Filter(_))));
        for wrong in ["", "400-", "599-500", "4", "400,,401"] {
            let why = RefusedBy::parse(wrong).unwrap_err();
            assert!(why.contains("expected 400"), "{wrong}: {why}");
        }
        assert!(RefusedBy::parse("staus=400").is_err());
    }
}
