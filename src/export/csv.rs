//! CSV (RFC 4180, line ends as `\n`): exchanges as a flat table for spreadsheets and data frames.

use std::{io::Write, ops::ControlFlow};

use crate::{
    model::{
        Timestamp, WallAnchor,
        rows::{ExchangeRow, Row},
    },
    query::Kind,
};

use super::{Error, Format, Job, write_error};

pub(super) const FORMAT: Format = Format { id: "csv", summary: "exchanges as a flat table", extension: "csv", write };

/// A column: its name, and what stands in it.
type Column = (&'static str, fn(&ExchangeRow, WallAnchor) -> String);

const COLUMNS: &[Column] = &[
    ("id", |row, _| row.id.to_string()),
    ("connection", |row, _| row.connection.to_string()),
    ("session", |row, _| text(row.session)),
    ("index", |row, _| row.index.to_string()),
    ("server", |row, _| text(row.server.as_ref())),
    ("method", |row, _| row.method.clone()),
    ("scheme", |row, _| row.scheme.clone()),
    ("authority", |row, _| row.authority.clone()),
    ("path", |row, _| row.path.clone()),
    ("target", |row, _| row.target.clone()),
    ("http", |row, _| row.http.clone()),
    ("status", |row, _| text(row.status)),
    ("reason", |row, _| text(row.reason.as_ref())),
    ("request_body_bytes", |row, _| row.request_body_bytes.to_string()),
    ("response_body_bytes", |row, _| text(row.response_body_bytes)),
    ("request_first_byte_at", |row, anchor| anchor.rfc3339(row.request_first_byte_ns)),
    ("request_first_byte_ns", |row, _| row.request_first_byte_ns.0.to_string()),
    ("request_last_byte_ns", |row, _| nanos(row.request_last_byte_ns)),
    ("response_first_byte_ns", |row, _| nanos(row.response_first_byte_ns)),
    ("response_last_byte_ns", |row, _| nanos(row.response_last_byte_ns)),
    ("proxy_made", |row, _| row.proxy_made.to_string()),
    ("rewritten", |row, _| row.rewritten.iter().map(|change| change.kind.as_str()).collect::<Vec<_>>().join(" ")),
    ("flags", |row, _| row.flags.join(" ")),
    ("server_open_ns", |row, _| nanos(row.websocket.as_ref().and_then(|socket| socket.server_open_ns))),
    ("open_write_begun_ns", |row, _| nanos(row.websocket.as_ref().and_then(|socket| socket.open_write_begun_ns))),
    ("client_open_written_ns", |row, _| nanos(row.websocket.as_ref().and_then(|socket| socket.client_open_written_ns))),
    ("frames_from_client", |row, _| text(row.websocket.as_ref().map(|socket| socket.frames_from_client))),
    ("frames_from_server", |row, _| text(row.websocket.as_ref().map(|socket| socket.frames_from_server))),
    ("close_code", |row, _| text(row.websocket.as_ref().and_then(|socket| socket.close_code))),
];

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn nanos(at: Option<Timestamp>) -> String {
    text(at.map(|at| at.0))
}

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let mut writer = csv::Writer::from_writer(out);
    let mut record = csv::StringRecord::from_iter(COLUMNS.iter().map(|(name, _)| *name));
    writer.write_record(&record).map_err(write_error)?;
    let anchor = job.capture.anchor();
    let (mut count, mut headers, mut bodies) = (0, 0, 0);
    let mut cell = csv::ByteRecord::new();
    job.capture.list(Kind::Exchanges, job.query(), &mut |row| {
        let Row::Exchange(row) = row else { return Ok(ControlFlow::Continue(())) };
        record.clear();
        COLUMNS.iter().for_each(|(_, of)| record.push_field(&of(&row, anchor)));
        cell.clear();
        let mut scrubber = job.scrubber.borrow_mut();
        record.iter().for_each(|field| cell.push_field(&scrubber.values(field.as_bytes())));
        writer.write_byte_record(&cell).map_err(write_error)?;
        headers += row.request_headers.iter().count() as u64;
        headers += row.response_headers.iter().flat_map(|headers| headers.iter()).count() as u64;
        bodies += u64::from(row.request_body_bytes > 0);
        bodies += u64::from(row.response_body_bytes.is_some_and(|bytes| bytes > 0));
        count += 1;
        (job.progress)(count);
        Ok(ControlFlow::Continue(()))
    })?;
    writer.flush()?;
    job.report.wrote("exchanges", count);
    job.report.left_out("headers", headers);
    job.report.left_out("bodies", bodies);
    Ok(())
}
