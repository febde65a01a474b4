//! JTL: JMeter's own results as CSV with its default header, from what was on the wire. `jmeter -g` makes its dashboard of
//! it, and other tools that read JTL take it.
//!
//! As JMeter counts: `timeStamp` is the begin in milliseconds, `elapsed` includes the connection's setup, `Latency` ends at
//! the answer's first byte, success is a status of 101 or 200 to 399.

use std::{collections::BTreeMap, io::Write, ops::ControlFlow};

use crate::{
    import::csv::COLUMNS,
    model::rows::{ExchangeRow, Row},
    query::Kind,
};

use super::{Error, Format, Job, thread_name, times::Setups, write_error};

pub(super) const FORMAT: Format = Format {
    id: "jtl",
    summary: "JMeter's results as CSV, for `jmeter -g` and what reads JTL",
    extension: "jtl",
    write,
};

/// What JMeter would say where no answer came.
const NO_ANSWER: &str = "Non HTTP response code: java.net.SocketException";

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let setups = Setups::read(job.capture)?;
    let threads = Threads::read(job)?;
    let anchor = job.capture.anchor();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS).map_err(write_error)?;
    let (mut count, mut frames, mut flags) = (0, 0, 0);
    job.capture.list(Kind::Exchanges, job.query(), &mut |row| {
        let Row::Exchange(row) = row else { return Ok(ControlFlow::Continue(())) };
        let times = setups.of(&row);
        let millis = |nanos: u64| (nanos / 1_000_000).to_string();
        let latency = [times.connect, times.send, times.wait].into_iter().flatten().sum();
        let (code, message) = match row.status {
            Some(status) => (status.to_string(), row.reason.clone().unwrap_or_default()),
            None => (NO_ANSWER.to_owned(), "Non HTTP response message: no response was seen".to_owned()),
        };
        let offsets = row.offsets;
        let at = anchor.unix_ns(times.start) / 1_000_000;
        let running = threads.at(row.request_first_byte_ns.0).to_string();
        let thread = header(&row, "x-jm-thread").unwrap_or_else(|| thread_name(row.session, row.connection));
        let label = header(&row, "x-jm-sampler").unwrap_or_else(|| format!("{} {}", row.method, row.path));
        let success = row.status.is_some_and(|status| status == 101 || (200..400).contains(&status));
        let fields = [
            at.to_string(),
            millis(times.total()),
            label,
            code,
            message,
            thread,
            "text".to_owned(),
            success.to_string(),
            String::new(),
            offsets.response_end.saturating_sub(offsets.response_start).to_string(),
            offsets.request_end.saturating_sub(offsets.request_start).to_string(),
            running.clone(),
            running,
            format!("{}://{}{}", row.scheme, row.authority, row.path),
            millis(latency),
            "0".to_owned(),
            millis(times.connect.unwrap_or(0)),
        ];
        let mut scrubber = job.scrubber.borrow_mut();
        let record: csv::ByteRecord =
            fields.iter().map(|field| scrubber.values(field.as_bytes()).into_owned()).collect();
        writer.write_byte_record(&record).map_err(write_error)?;
        frames += row.websocket.as_ref().map_or(0, |socket| socket.frames_from_client + socket.frames_from_server);
        flags += row.flags.len() as u64;
        count += 1;
        (job.progress)(count);
        Ok(ControlFlow::Continue(()))
    })?;
    writer.flush()?;
    job.report.wrote("exchanges", count);
    job.report.left_out("frames of sockets", frames);
    job.report.left_out("flags", flags);
    job.report.left_out("headers and bodies (of so many exchanges)", count);
    Ok(())
}

fn header(row: &ExchangeRow, name: &str) -> Option<String> {
    let found = row.request_headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty())
}

/// How many sessions ran when: what JMeter calls threads.
struct Threads {
    begins: Vec<u64>,
    ends: Vec<u64>,
}

impl Threads {
    fn read(job: &Job<'_>) -> Result<Self, Error> {
        let mut spans: BTreeMap<(bool, u64), (u64, u64)> = BTreeMap::new();
        job.capture.list(Kind::Exchanges, job.query(), &mut |row| {
            if let Row::Exchange(row) = row {
                let key = row.session.map_or((false, row.connection.0), |session| (true, session.0));
                let begin = row.request_first_byte_ns.0;
                let end = row.response_last_byte_ns.map_or(begin, |end| end.0);
                let span = spans.entry(key).or_insert((begin, end));
                *span = (span.0.min(begin), span.1.max(end));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let (mut begins, mut ends): (Vec<u64>, Vec<u64>) = spans.into_values().unzip();
        begins.sort_unstable();
        ends.sort_unstable();
        Ok(Self { begins, ends })
    }

    fn at(&self, instant: u64) -> usize {
        let begun = self.begins.partition_point(|begin| *begin <= instant);
        begun - self.ends.partition_point(|end| *end < instant).min(begun)
    }
}
