//! `export --format bundle`: one zip for a support ticket. Composed here, since it takes the exports, the verdict and the
//! hashes of the evidence together; secrets are out of all of it.

use std::{
    io::{Seek, Write},
    ops::ControlFlow,
};

use serde_json::json;
use zip::{ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::{
    app::verdict,
    export::{self, Report},
    model::rows::{ExchangeRow, Row},
    query::{self, About, Capture, Filter, Kind, Query, Secrets, columns},
    report::verdict::{Subject, text},
    store::recovery,
};

use super::{export::Work, reading::quoted};

/// Accepted requests that are put beside the refused ones, the first on the same routes: as many as a filter can name.
const CONTROLS: usize = 60;

/// What the names of response headers end with that name a request to whoever answered it, beside those that the
/// profile knows.
const CORRELATION: &[&str] =
    &["correlation-id", "request-id", "requestid", "trace-id", "x-amz-cf-id", "cf-ray", "traceparent"];

/// Writes it. What is about a session alone has that session's exchanges; hashes and verdict are the capture's.
pub(super) fn write<W: Write + Seek>(
    work: &Work<'_>,
    about: Option<About>,
    selector: &str,
    out: W,
) -> anyhow::Result<Report> {
    let mut zip = ZipWriter::new(out);
    match compose(work, about, selector, &mut zip) {
        Ok(report) => {
            zip.finish().map_err(write_error)?.flush().map_err(export::Error::Write)?;
            Ok(report)
        }
        Err(error) => {
            // Dropped, it would write its directory, and print where it cannot.
            std::mem::forget(zip);
            Err(match error.downcast::<ZipError>() {
                Ok(error) => write_error(error),
                Err(error) => error,
            })
        }
    }
}

/// What stopped the zip: nearly always the file that it goes to.
fn write_error(error: ZipError) -> anyhow::Error {
    match error {
        ZipError::Io(error) => export::Error::Write(error).into(),
        other => other.into(),
    }
}

fn compose<W: Write + Seek>(
    work: &Work<'_>,
    about: Option<About>,
    selector: &str,
    zip: &mut ZipWriter<W>,
) -> anyhow::Result<Report> {
    let capture = work.capture;
    let options = SimpleFileOptions::default().large_file(true).unix_permissions(0o600);
    let har = export::format("har").ok_or_else(|| anyhow::anyhow!("there is no format har"))?;

    zip.start_file("exchanges.har", options)?;
    let mut report = work.write(har, about, zip)?;

    zip.start_file("correlation.csv", options)?;
    let ids = correlation(work, about, zip)?;

    zip.start_file("connections.csv", options)?;
    connections(work, zip)?;

    // A control group: what was accepted, to be held beside what was refused.
    zip.start_file("control.har", options)?;
    let control = control(work)?;
    let filter = match control.is_empty() {
        true => Filter::parse("status=0")?,
        false => Filter::parse(&control.iter().map(|id| format!("id={id}")).collect::<Vec<_>>().join(" or "))?,
    };
    let controls = Work { filter: Some(&filter), ..*work }.write(har, None, zip)?;
    report.wrote("accepted exchanges as control group", *controls.written.get("exchanges").unwrap_or(&0));

    let name = capture.dir().name();
    let named = format!(" -c {}", quoted(&name));
    let judged = verdict::judge(std::slice::from_ref(capture), &columns::Options::default(), &named, &mut |_| {})?;
    let subject = Subject {
        captures: &name,
        profile: capture.profile().map_or("generic", |profile| profile.name.as_str()),
        selector,
        began_at: &capture.dir().meta().started_at,
    };
    let mut scrubber = work.scrubber.borrow_mut();
    zip.start_file("verdict.txt", options)?;
    zip.write_all(&scrubber.values(text::full(&judged.verdict, subject).as_bytes()))?;
    zip.start_file("verdict.json", options)?;
    let json = serde_json::to_vec_pretty(&judged.verdict)?;
    zip.write_all(&scrubber.values(&json))?;
    drop(scrubber);

    zip.start_file("hashes.json", options)?;
    serde_json::to_writer_pretty(&mut *zip, &hashes(capture)?)?;

    zip.start_file("README.txt", options)?;
    zip.write_all(readme(capture, about, work.options.keep_secrets, ids).as_bytes())?;
    report.wrote("correlation ids", ids);
    Ok(report)
}

/// Ids that the other side can look up, with the instants in UTC. How many.
fn correlation(work: &Work<'_>, about: Option<About>, out: &mut dyn Write) -> anyhow::Result<u64> {
    let capture = work.capture;
    let known = capture.profile().map(|profile| &profile.correlation);
    let names: Vec<&String> =
        known.into_iter().flat_map(|known| known.headers.iter().chain(&known.edge_headers)).collect();
    let is_id = |name: &str| {
        let lower = name.to_ascii_lowercase();
        CORRELATION.iter().any(|end| lower.ends_with(end)) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "exchange",
        "session",
        "request_at",
        "response_at",
        "method",
        "url",
        "status",
        "flags",
        "header",
        "value",
    ])?;
    let anchor = capture.anchor();
    let mut count = 0;
    let query = Query { filter: work.filter, about, limit: None, secrets: Secrets::Fingerprints };
    capture.list(Kind::Exchanges, query, &mut |row| {
        let Row::Exchange(row) = row else { return Ok(ControlFlow::Continue(())) };
        let headers = row.response_headers.iter().flat_map(|headers| headers.iter());
        let found: Vec<_> = headers.filter(|(name, _)| is_id(name)).collect();
        // One without an id still has its instant.
        let lines = if found.is_empty() { vec![("", "")] } else { found };
        let mut scrubber = work.scrubber.borrow_mut();
        for (name, value) in lines {
            let fields = [
                row.id.to_string(),
                row.session.map(|session| session.to_string()).unwrap_or_default(),
                anchor.rfc3339(row.request_first_byte_ns),
                row.response_first_byte_ns.map(|at| anchor.rfc3339(at)).unwrap_or_default(),
                row.method.clone(),
                format!("{}://{}{}", row.scheme, row.authority, row.path),
                row.status.map(|status| status.to_string()).unwrap_or_default(),
                row.flags.join(" "),
                name.to_owned(),
                value.to_owned(),
            ];
            let record: csv::ByteRecord =
                fields.iter().map(|field| scrubber.values(field.as_bytes()).into_owned()).collect();
            writer.write_byte_record(&record).map_err(|error| query::Error::Write(error.into()))?;
            count += u64::from(!name.is_empty());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    writer.flush()?;
    Ok(count)
}

/// What the network did: the server leg's round trips, who closed and how.
fn connections(work: &Work<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let anchor = work.capture.anchor();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "connection",
        "opened_at",
        "server",
        "authority",
        "server_tls",
        "server_rtt_ms",
        "exchanges",
        "frames",
        "closed_at",
        "closed_by",
        "how",
        "proxy_error",
    ])?;
    work.capture.list(Kind::Connections, Query::default(), &mut |row| {
        let Row::Connection(row) = row else { return Ok(ControlFlow::Continue(())) };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let fields = [
            row.id.to_string(),
            anchor.rfc3339(row.opened_ns),
            text(&row.server),
            text(&row.authority),
            text(&row.server_tls),
            row.server_rtt_ns.map(|rtt| (rtt as f64 / 1e6).to_string()).unwrap_or_default(),
            row.exchanges.to_string(),
            row.frames.to_string(),
            row.closed_ns.map(|at| anchor.rfc3339(at)).unwrap_or_default(),
            text(&row.closed_by),
            text(&row.how),
            text(&row.proxy_error),
        ];
        let mut scrubber = work.scrubber.borrow_mut();
        let record: csv::ByteRecord =
            fields.iter().map(|field| scrubber.values(field.as_bytes()).into_owned()).collect();
        writer.write_byte_record(&record).map_err(|error| query::Error::Write(error.into()))?;
        Ok(ControlFlow::Continue(()))
    })?;
    writer.flush()?;
    Ok(())
}

/// Accepted exchanges with the method and shape of path of refused ones.
fn control(work: &Work<'_>) -> anyhow::Result<Vec<String>> {
    let refused = work.capture.refused();
    let is_refused = |row: &ExchangeRow| row.status.is_some_and(|status| refused.contains(status));
    let route = |row: &ExchangeRow| (row.method.clone(), crate::profile::generic_template(&row.path).into_owned());
    let mut routes = std::collections::BTreeSet::new();
    let each = |take: &mut dyn FnMut(&ExchangeRow) -> bool| {
        work.capture.list(Kind::Exchanges, Query::default(), &mut |row| match row {
            Row::Exchange(row) if !take(&row) => Ok(ControlFlow::Break(())),
            _ => Ok(ControlFlow::Continue(())),
        })
    };
    each(&mut |row| {
        if is_refused(row) {
            routes.insert(route(row));
        }
        true
    })?;
    let mut controls = Vec::new();
    if routes.is_empty() {
        return Ok(controls);
    }
    each(&mut |row| {
        if !is_refused(row) && row.status.is_some() && routes.contains(&route(row)) {
            controls.push(row.id.to_string());
        }
        controls.len() < CONTROLS
    })?;
    Ok(controls)
}

/// The chain of hashes that proves the evidence, once it is noted elsewhere: in the ticket.
fn hashes(capture: &Capture) -> anyhow::Result<serde_json::Value> {
    let report = recovery::verify(capture.dir())?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let segments: Vec<_> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "segment": segment.number,
                "bytes": segment.bytes,
                "blake3": segment.seal.as_ref().map(|seal| hex(seal)),
                "hash_ok": segment.hash_ok,
                "chain_ok": segment.chain_ok,
            })
        })
        .collect();
    Ok(json!({
        "capture": capture.dir().name(),
        "id": capture.dir().meta().id.to_string(),
        "whole": report.is_whole(),
        "last_seal": report.last_seal().map(|seal| hex(&seal)),
        "segments": segments,
    }))
}

fn readme(capture: &Capture, about: Option<About>, kept: bool, ids: u64) -> String {
    let secrets = if kept {
        "Secrets are as they were sent: treat this file like them."
    } else {
        "Fingerprints such as token:3f2a9c01d2e4 stand in the place of secrets; equal secrets have equal digits."
    };
    let part = match about {
        Some(About::Session(session)) => format!(" (session {session} alone in exchanges.har and correlation.csv)"),
        _ => String::new(),
    };
    let meta = capture.dir().meta();
    format!(
        "Evidence from the capture {}{part}, begun {} (UTC).\nMade by firstframe {}. {secrets}\n\n\
         exchanges.har    requests, responses and WebSocket messages; opens in browsers and HAR viewers\n\
         correlation.csv  the server's correlation ids with instants in UTC ({ids} ids)\n\
         connections.csv  the server leg's TCP round trips, and how connections ended\n\
         control.har      requests on the same routes that were accepted, {CONTROLS} at most\n\
         verdict.txt      what explains the refusals, and what the observer itself added; verdict.json for programs\n\
         hashes.json      BLAKE3 of each sealed segment, each chained to the one before: with these noted here, the\n\
         \x20                capture's owner cannot change the evidence unseen (`firstframe verify`)\n\n\
         Begin with verdict.txt. The exchanges that it names (x345) are found in correlation.csv, with the ids and\n\
         instants by which the server's logs can be searched, and in exchanges.har, as `_firstframe.exchange`, with what\n\
         was sent and answered. Instants are those of arrival at the proxy between client and server.\n",
        capture.dir().name(),
        meta.started_at,
        env!("CARGO_PKG_VERSION"),
    )
}
