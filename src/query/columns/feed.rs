//! Where units come from: tables by column, rows in memory, a recorder's socket. Of tables the columns with heads are read
//! in a thread of their own: they are half of the work.

use std::{ops::ControlFlow, thread};

use crate::{
    model::{
        Side,
        columns::UNKNOWN,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, RewrittenRow, Row, SessionRow},
    },
    record::{Observed, Snapshot},
    store::{
        CaptureDir,
        tables::{self, Batch},
    },
};

use crate::query::{Capture, Error, Kind, Query, capture::Held, client::Client, source::in_memory};

use super::{
    builder::{Builder, Connected, Seen},
    headers::List,
    heads::{Heads, Heard},
    messages::{self, Framed},
};

/// Who closed a socket, and who sent a frame, as rows spell it.
const SERVER: &str = "server";

// A null is what the columns call unknown.
const _: () = assert!(tables::NULL == UNKNOWN);

/// The columns of a table that are read, with a name for each one's place.
macro_rules! columns {
    ($list:ident: $($name:ident),* $(,)?) => {
        const $list: &[&str] = &[$(stringify!($name)),*];
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "the columns' own names")]
        #[derive(Clone, Copy)]
        enum At { $($name),* }
    };
}

/// Reads one capture.
pub(super) fn capture(
    builder: &mut Builder<'_>,
    heads: &mut Heads<'_>,
    capture: &Capture,
    progress: &mut dyn FnMut(f64),
) -> Result<(), Error> {
    heads.begin(builder.columns.units.len());
    match capture.held() {
        Held::Recorder(client) => running(builder, heads, client),
        Held::Files(_, snapshot) => {
            let dir = capture.dir();
            let segments = &snapshot.tables;
            for segment in segments {
                connections(builder, dir, *segment)?;
                sessions(builder, dir, *segment)?;
            }
            in_memory::<ConnectionRow>(snapshot, &mut |row| connection_row(builder, &row))?;
            in_memory::<SessionRow>(snapshot, &mut |row| session_row(builder, &row))?;
            thread::scope(|scope| {
                let of_heads = scope.spawn(|| segments.iter().try_for_each(|segment| heads_of(heads, dir, *segment)));
                for (done, segment) in segments.iter().enumerate() {
                    exchanges(builder, dir, *segment)?;
                    progress((done + 1) as f64 / segments.len() as f64);
                }
                of_heads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })?;
            if heads.next() != builder.columns.units.len() {
                return Err(Error::Changed(dir.path().to_owned()));
            }
            in_memory::<ExchangeRow>(snapshot, &mut |row| exchange_row(builder, heads, &row))?;
            heads.put_into(&mut builder.columns.units);
            for segment in segments {
                flags(builder, dir, *segment)?;
            }
            in_memory::<FlagRow>(snapshot, &mut |row| flag_row(builder, &row))?;
            if builder.counts_messages() {
                for segment in segments {
                    frames(builder, dir, *segment)?;
                }
                in_memory::<FrameRow>(snapshot, &mut |row| frame_row(builder, &row))?;
            }
            messages::finish(builder);
            progress(1.0);
            Ok(())
        }
    }
}

/// What the observer did: as a recorder at work tells it, as it was found with the rows, or as it was noted.
pub(super) fn observed(capture: &Capture) -> Result<Option<Observed>, Error> {
    match capture.held() {
        Held::Recorder(client) => client.observed(),
        Held::Files(_, Snapshot { observed: Some(observed), .. }) => Ok(Some(observed.clone())),
        Held::Files(..) => Ok(Observed::read(capture.dir())),
    }
}

/// The rows of a recorder at work, those that are open included.
fn running(builder: &mut Builder<'_>, heads: &mut Heads<'_>, client: &Client) -> Result<(), Error> {
    let frames = builder.counts_messages().then_some(Kind::Frames);
    for kind in [Kind::Connections, Kind::Sessions, Kind::Exchanges, Kind::Flags].into_iter().chain(frames) {
        client.list(kind, Query::default(), &mut |row| {
            match row {
                Row::Connection(row) => connection_row(builder, &row),
                Row::Session(row) => session_row(builder, &row),
                Row::Exchange(row) => exchange_row(builder, heads, &row),
                Row::Flag(row) => flag_row(builder, &row),
                Row::Frame(row) => frame_row(builder, &row),
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    heads.put_into(&mut builder.columns.units);
    messages::finish(builder);
    Ok(())
}

fn connections(builder: &mut Builder<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS: id, client, alpn, opened_ns, closed_ns, closed_by, bytes_from_server, exchanges, gaps, server_rtt_ns);
    tables::scan::<ConnectionRow>(dir, segment, COLUMNS, &mut |batch| {
        for row in 0..batch.rows() {
            let number = |at: At| batch.number(at as usize, row);
            let text = |at: At| batch.text(at as usize, row);
            let nothing = number(At::exchanges) == 0 && number(At::bytes_from_server) > 0;
            builder.connection(&Connected {
                id: number(At::id).cast_unsigned(),
                client: text(At::client).unwrap_or_default(),
                opened_ns: number(At::opened_ns),
                closed_ns: number(At::closed_ns),
                by_proxy: text(At::closed_by) == Some("proxy"),
                server_rtt_ns: number(At::server_rtt_ns),
                gaps: number(At::gaps).max(0).cast_unsigned(),
                undecoded: nothing || text(At::alpn) == Some("h2"),
            });
        }
    })?;
    Ok(())
}

fn connection_row(builder: &mut Builder<'_>, row: &ConnectionRow) {
    builder.connection(&Connected {
        id: row.id.0,
        client: &row.client,
        opened_ns: row.opened_ns.0.cast_signed(),
        closed_ns: maybe(row.closed_ns.map(|at| at.0)),
        by_proxy: row.closed_by.as_deref() == Some("proxy"),
        server_rtt_ns: maybe(row.server_rtt_ns),
        gaps: row.gaps,
        undecoded: (row.exchanges == 0 && row.bytes_from_server > 0) || row.alpn.as_deref() == Some("h2"),
    });
}

fn sessions(builder: &mut Builder<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS: sockets, exchanges);
    tables::scan::<SessionRow>(dir, segment, COLUMNS, &mut |batch| {
        for row in 0..batch.rows() {
            let text = |at: At| batch.text(at as usize, row).unwrap_or_default();
            builder.session(ids(text(At::exchanges)).chain(ids(text(At::sockets))));
        }
    })?;
    Ok(())
}

/// The numbers of `["x1","x23"]`.
fn ids(json: &str) -> impl Iterator<Item = u64> {
    json.split('"').filter_map(|part| part.strip_prefix('x')?.parse().ok())
}

fn session_row(builder: &mut Builder<'_>, row: &SessionRow) {
    builder.session(row.exchanges.iter().chain(&row.sockets).map(|id| id.0));
}

fn exchanges(builder: &mut Builder<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS:
        id, connection, index, method, target, path, scheme, request_start, request_head_end, rewritten, request_body_bytes,
        status, request_first_byte_ns, response_first_byte_ns, response_last_byte_ns, proxy_made, websocket_frames_from_client, websocket_server_open_ns, websocket_open_write_begun_ns,
        websocket_closed_by, websocket_close_code,
    );
    tables::scan::<ExchangeRow>(dir, segment, COLUMNS, &mut |batch: &Batch| {
        for row in 0..batch.rows() {
            let number = |at: At| batch.number(at as usize, row);
            let text = |at: At| batch.text(at as usize, row).unwrap_or_default();
            let opened = number(At::websocket_frames_from_client) != UNKNOWN;
            builder.exchange(&Seen {
                id: number(At::id).cast_unsigned(),
                connection: number(At::connection).cast_unsigned(),
                index: u32::try_from(number(At::index)).unwrap_or_default(),
                method: text(At::method),
                target: text(At::target),
                path: text(At::path),
                websocket: text(At::scheme).starts_with("ws"),
                head_bytes: number(At::request_head_end) - number(At::request_start),
                taken_out: taken_out(
                    &serde_json::from_str::<Vec<RewrittenRow>>(text(At::rewritten)).unwrap_or_default(),
                ),
                body_bytes: number(At::request_body_bytes),
                status: u16::try_from(number(At::status)).ok(),
                first_ns: number(At::request_first_byte_ns),
                answered_ns: number(At::response_first_byte_ns),
                ended_ns: number(At::response_last_byte_ns),
                proxy_made: batch.truth(At::proxy_made as usize, row),
                opened: opened
                    .then(|| (number(At::websocket_server_open_ns), number(At::websocket_open_write_begun_ns))),
                closed_by_server: text(At::websocket_closed_by) == SERVER,
                close_code: u16::try_from(number(At::websocket_close_code))
                    .ok()
                    .filter(|_| text(At::websocket_closed_by) == SERVER),
            });
        }
    })?;
    Ok(())
}

/// The columns of heads, in the order of [`exchanges`].
fn heads_of(heads: &mut Heads<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS: method, path, authority, status, request_headers, response_headers);
    tables::scan::<ExchangeRow>(dir, segment, COLUMNS, &mut |batch: &Batch| {
        for row in 0..batch.rows() {
            let text = |at: At| batch.text(at as usize, row).unwrap_or_default();
            heads.read(&Heard {
                method: text(At::method),
                path: text(At::path),
                authority: text(At::authority),
                status: u16::try_from(batch.number(At::status as usize, row)).ok(),
                request: List::Json(text(At::request_headers)),
                response: batch.text(At::response_headers as usize, row).map(List::Json),
            });
        }
    })?;
    Ok(())
}

fn exchange_row(builder: &mut Builder<'_>, heads: &mut Heads<'_>, row: &ExchangeRow) {
    let request = List::Row(&row.request_headers);
    heads.read(&Heard {
        method: &row.method,
        path: &row.path,
        authority: &row.authority,
        status: row.status,
        request,
        response: row.response_headers.as_ref().map(List::Row),
    });
    let by_server = row.websocket.as_ref().filter(|socket| socket.closed_by.as_deref() == Some(SERVER));
    let ns = |at: Option<crate::model::Timestamp>| maybe(at.map(|at| at.0));
    let head = row.offsets.request_head_end.saturating_sub(row.offsets.request_start);
    builder.exchange(&Seen {
        id: row.id.0,
        connection: row.connection.0,
        index: row.index,
        method: &row.method,
        target: &row.target,
        path: &row.path,
        websocket: row.scheme.starts_with("ws"),
        // A recorder's socket does not tell the places of bytes.
        head_bytes: match head {
            0 => (row.method.len() + row.path.len() + 14 + request.bytes()) as i64,
            head => head.cast_signed(),
        },
        taken_out: taken_out(&row.rewritten),
        body_bytes: row.request_body_bytes.cast_signed(),
        status: row.status,
        first_ns: row.request_first_byte_ns.0.cast_signed(),
        answered_ns: ns(row.response_first_byte_ns),
        ended_ns: ns(row.response_last_byte_ns),
        proxy_made: row.proxy_made,
        opened: row.websocket.as_ref().map(|socket| (ns(socket.server_open_ns), ns(socket.open_write_begun_ns))),
        closed_by_server: by_server.is_some(),
        close_code: by_server.and_then(|socket| socket.close_code),
    });
}

/// How many bytes of a head did not go on to the server, which counts what it gets: a line with its end, or what is
/// shorter in a line that was replaced. Of a secret's line it is not known exactly: rows have its fingerprint.
fn taken_out(rewritten: &[RewrittenRow]) -> i64 {
    let less = |row: &RewrittenRow| {
        let line_end = if row.to.is_empty() { 2 } else { 0 };
        row.from.len() as i64 + line_end - row.to.len() as i64
    };
    rewritten.iter().map(less).sum()
}

fn flags(builder: &mut Builder<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS: rule, subject, evidence);
    tables::scan::<FlagRow>(dir, segment, COLUMNS, &mut |batch| {
        for row in 0..batch.rows() {
            let text = |at: At| batch.text(at as usize, row).unwrap_or_default();
            builder.flag(text(At::rule), text(At::subject), ids(text(At::evidence)));
        }
    })?;
    Ok(())
}

fn flag_row(builder: &mut Builder<'_>, row: &FlagRow) {
    let exchanges = row.evidence.iter().filter_map(|evidence| evidence.id.strip_prefix('x')?.parse().ok());
    builder.flag(&row.rule, &row.subject, exchanges);
}

fn frames(builder: &mut Builder<'_>, dir: &CaptureDir, segment: u64) -> Result<(), Error> {
    columns!(COLUMNS: id, exchange, from, opcode, fin, bytes, arrived_ns, metadata);
    tables::scan::<FrameRow>(dir, segment, COLUMNS, &mut |batch| {
        for row in 0..batch.rows() {
            let number = |at: At| batch.number(at as usize, row);
            let from_server = batch.text(At::from as usize, row) == Some(SERVER);
            builder.frame(Framed {
                id: number(At::id).cast_unsigned(),
                exchange: number(At::exchange).cast_unsigned(),
                from: if from_server { Side::Server } else { Side::Client },
                opcode: u8::try_from(number(At::opcode)).unwrap_or(u8::MAX),
                fin: batch.truth(At::fin as usize, row),
                bytes: number(At::bytes).max(0).cast_unsigned(),
                arrived_ns: number(At::arrived_ns),
                metadata: batch.truth(At::metadata as usize, row),
            });
        }
    })?;
    Ok(())
}

fn frame_row(builder: &mut Builder<'_>, row: &FrameRow) {
    builder.frame(Framed {
        id: row.id.0,
        exchange: row.exchange.0,
        from: row.from,
        opcode: row.opcode,
        fin: row.fin,
        bytes: row.bytes,
        arrived_ns: row.arrived_ns.0.cast_signed(),
        metadata: row.metadata,
    });
}

fn maybe(number: Option<u64>) -> i64 {
    number.and_then(|number| i64::try_from(number).ok()).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_head_lacks_what_was_taken_out() {
        let row = |from: &str, to: &str| RewrittenRow { kind: String::new(), from: from.into(), to: to.into() };
        assert_eq!(taken_out(&[]), 0);
        // `X-JM-Thread: a` and the end of its line.
        assert_eq!(taken_out(&[row("X-JM-Thread: a", ""), row("https://h/a", "/a")]), 16 + 9);
        assert_eq!(taken_out(&[row("Host: a", "Host: abc")]), -2);
    }
}
