//! A JTL laid beside a capture.

use std::{ops::ControlFlow, path::Path};

use crate::{
    import::{self, Jtl, join, statistics},
    model::{
        ExchangeId, Timestamp, WallAnchor,
        flag::Subject,
        rows::{ExchangeRow, Row},
    },
    query::{self, Capture, Details, Excerpt, Kind, Query, Secrets, gather},
    report::jtl::{Beside, Lost},
};

/// Refused answers whose bodies are fetched.
const BODIES: usize = 10;
/// Bodies are shown up to here.
const SHOWN: usize = 400;
/// How far the ends of both may lie apart for the file to be of the same run.
const SLACK_MS: i64 = 2_000;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// With the file.
    #[error(transparent)]
    Jtl(#[from] import::Error),
    /// With the capture.
    #[error(transparent)]
    Capture(#[from] query::Error),
}

/// Reads a JTL and joins it with a capture.
///
/// # Errors
/// Where the file is no JTL, is of another run, or the capture cannot be read.
pub fn beside(capture: &Capture, path: &Path) -> Result<Beside, Error> {
    let mut jtl = import::read(path)?;
    let anchor = capture.anchor();
    let (thread_header, sampler_header) = ("x-jm-thread", "x-jm-sampler");
    let mut sent = Vec::new();
    let mut refused = Vec::new();
    capture.list(Kind::Exchanges, Query::default(), &mut |row| {
        if let Row::Exchange(row) = row {
            if !row.proxy_made && row.status.is_some_and(|status| capture.refused().contains(status)) {
                refused.push(row.id);
            }
            sent.push(sent_of(&row, anchor, thread_header, sampler_header));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    jtl.move_to(anchor.unix_ns / 1_000_000);
    same_run(&jtl, &sent, path, anchor)?;
    let joined = join::join(&jtl, &sent);
    let lost = lost(capture, &jtl, &joined, &refused);
    let figures = statistics::of(&jtl.rows);
    Ok(Beside { path: path.display().to_string(), figures, joined, lost, jtl })
}

fn sent_of(row: &ExchangeRow, anchor: WallAnchor, thread_header: &str, sampler_header: &str) -> join::Sent {
    let header = |wanted: &str| {
        let found = row.request_headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_owned())
    };
    let end = row.response_last_byte_ns.or(row.request_last_byte_ns).unwrap_or(row.request_first_byte_ns);
    join::Sent {
        id: row.id.0,
        connection: row.connection.0,
        path: row.path.clone(),
        sent_bytes: row.offsets.request_end.saturating_sub(row.offsets.request_start),
        end_ms: anchor.unix_ns(end) as f64 / 1e6,
        status: row.status,
        upgrade: row.scheme.starts_with("ws"),
        thread: header(thread_header),
        sampler: header(sampler_header),
    }
}

/// Refuses a file whose times do not meet the capture's.
fn same_run(jtl: &Jtl, sent: &[join::Sent], path: &Path, anchor: WallAnchor) -> Result<(), import::Error> {
    let Some((from, to)) = jtl.span_ms() else { return Ok(()) };
    let ends = || sent.iter().map(|one| one.end_ms as i64);
    let begin = anchor.unix_ns / 1_000_000;
    let last = ends().max().unwrap_or(begin);
    if to + SLACK_MS >= begin && from - SLACK_MS <= last {
        return Ok(());
    }
    let at = |ms: i64| WallAnchor { unix_ns: ms.saturating_mul(1_000_000) }.rfc3339(Timestamp(0));
    Err(import::Error::OtherRun {
        path: path.display().to_string(),
        from: at(from),
        to: at(to),
        capture_from: at(begin),
        capture_to: at(last),
    })
}

/// The refused exchanges with their rows, the first of them with the body that JMeter did not keep.
fn lost(capture: &Capture, jtl: &Jtl, joined: &join::Joined, refused: &[ExchangeId]) -> Vec<Lost> {
    let mut lost: Vec<Lost> = joined
        .pairs
        .iter()
        .filter(|(_, id)| refused.binary_search(&ExchangeId(*id)).is_ok())
        .filter_map(|(row, id)| Some((jtl.rows.get(*row)?, *id)))
        .map(|(row, id)| Lost {
            exchange: ExchangeId(id).to_string(),
            thread: row.thread.clone(),
            sampler: row.label.clone(),
            line: row.line,
            code: row.code.clone(),
            body: None,
        })
        .collect();
    for one in lost.iter_mut().take(BODIES) {
        let Ok(id) = one.exchange.parse::<Subject>() else { continue };
        // What cannot be had (dropped by retention) is only not shown.
        if let Ok(Details::Exchange(details)) = gather(capture, id, Secrets::Fingerprints)
            && let Excerpt::Text { text, .. } = details.response.body
        {
            one.body = Some(text.trim().chars().take(SHOWN).collect());
        }
    }
    lost
}
