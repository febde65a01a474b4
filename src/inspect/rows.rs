//! Views to rows: what scripts see, secrets as fingerprints.

use std::borrow::Cow;

use crate::{
    model::{
        ExchangeId, SessionId, Timestamp,
        connection::Connection,
        exchange::{Change, Exchange, origin_form, without_userinfo},
        flag::Flag,
        http::{Body, Head},
        rows::{
            ConnectionRow, EvidenceRow, ExchangeRow, Extent, FlagRow, FrameRow, Offsets, Phase, Phases, RewrittenRow,
            SessionRow, SocketRow,
        },
        session::Session,
        trace::{ByteRange, RewriteKind},
        websocket::{Frame, Socket},
    },
    redact::{Redactor, lossy},
};

pub(super) fn connection(view: &Connection, extent: Extent) -> ConnectionRow {
    let phase = |begin_ns: Timestamp, end_ns: Option<Timestamp>| Some(Phase { begin_ns, end_ns });
    let version = |tls: &Option<crate::model::trace::Tls>| tls.as_ref().and_then(|tls| tls.version.clone());
    let client_tls = view.client_tls.as_ref();
    let server_tls = view.server_tls.as_ref();
    let alpn = client_tls.and_then(|tls| tls.alpn.clone()).or_else(|| server_tls.and_then(|tls| tls.alpn.clone()));
    // The kernel has a connection, and bytes of it, before it is accepted: it was open when the first one arrived.
    let opened = view.first_byte.map_or(view.opened, |first| first.min(view.opened));
    // A ClientHello may come with the CONNECT; nobody speaks TLS before the answer.
    let answered = view.connect.as_ref().and_then(|connect| connect.answered).unwrap_or_default();
    ConnectionRow {
        id: view.id,
        mode: view.mode.clone(),
        client: view.client.to_string(),
        server: server(view),
        authority: match (&view.connect, &view.dialed) {
            (Some(connect), _) => Some(without_userinfo(&connect.authority).to_owned()),
            (None, Some(dialed)) => Some(dialed.authority.clone()),
            (None, None) => None,
        },
        sni: client_tls.and_then(|tls| tls.sni.clone()),
        alpn,
        client_tls: version(&view.client_tls),
        server_tls: version(&view.server_tls),
        opened_ns: opened,
        phases: Phases {
            accept: phase(opened, view.first_byte),
            connect: view.connect.as_ref().and_then(|connect| phase(connect.begin, connect.answered)),
            dial: view.dialed.as_ref().and_then(|dialed| phase(dialed.begin, Some(dialed.end))),
            server_tls: server_tls.and_then(|tls| phase(tls.begin, Some(tls.end))),
            client_tls: client_tls.and_then(|tls| phase(tls.begin.max(answered).min(tls.end), Some(tls.end))),
        },
        closed_ns: view.closed.map(|(at, ..)| at),
        closed_by: view.closed.map(|(_, by, _)| by.as_str().to_owned()),
        how: view.closed.map(|(.., how)| how.as_str().to_owned()),
        bytes_from_client: view.bytes.client,
        bytes_from_server: view.bytes.server,
        exchanges: view.exchanges,
        frames: view.frames,
        gaps: view.gaps,
        proxy_error: view.proxy_error.clone(),
        server_rtt_ns: view.server_rtt_ns,
        opaque: view.opaque.clone(),
        extent,
    }
}

pub(super) fn exchange(
    exchange: &Exchange,
    session: Option<SessionId>,
    server: Option<&str>,
    redactor: &mut Redactor,
    extent: Extent,
) -> ExchangeRow {
    let request = &exchange.request;
    let response = exchange.response.as_ref();
    // Headers first: what they hold is looked for in the target.
    let request_headers = redactor.headers(request);
    let response_headers = response.map(|head| redactor.headers(head));
    let target = redactor.target_of(request);
    let path = if exchange.path() == request.target() { target.clone() } else { redactor.target(exchange.path()) };
    ExchangeRow {
        id: exchange.id,
        connection: exchange.connection,
        session,
        server: server.map(str::to_owned),
        index: exchange.index,
        method: lossy(request.method()),
        target,
        scheme: exchange.scheme.as_str().to_owned(),
        authority: exchange.authority.clone(),
        path,
        http: lossy(request.request_version()),
        request_headers,
        request_body_bytes: exchange.request_body.bytes,
        status: exchange.status(),
        reason: response.map(|head| redactor.text(&lossy(head.reason())).into_owned()),
        response_headers,
        response_body_bytes: response.map(|_| exchange.response_body.bytes),
        request_first_byte_ns: exchange.request_first_byte,
        request_last_byte_ns: exchange.request_last_byte,
        response_first_byte_ns: exchange.response_first_byte,
        response_last_byte_ns: exchange.response_last_byte,
        proxy_made: exchange.proxy_made.is_some(),
        rewritten: exchange.rewritten.iter().map(|change| rewritten(exchange, change, redactor)).collect(),
        websocket: exchange.websocket.as_ref().map(socket),
        flags: Vec::new(),
        offsets: offsets(exchange),
        extent,
    }
}

pub(super) fn frame(frame: &Frame, text: Option<String>, metadata: bool, extent: Extent) -> FrameRow {
    FrameRow {
        id: frame.id,
        connection: frame.connection,
        exchange: frame.exchange,
        from: frame.from,
        opcode: frame.opcode,
        fin: frame.fin,
        compressed: frame.compressed,
        bytes: frame.bytes,
        arrived_ns: frame.arrived,
        written_ns: frame.written,
        text,
        metadata,
        start: frame.range.start,
        end: frame.range.end,
        extent,
    }
}

pub(super) fn session(session: &Session, sockets: &[ExchangeId]) -> SessionRow {
    SessionRow {
        dropped: false,
        id: session.id,
        correlated_by: session.correlated_by.as_str().to_owned(),
        sure: session.sure,
        sockets: sockets.to_vec(),
        exchanges: session.exchanges.clone(),
        flags: Vec::new(),
    }
}

pub(super) fn flag(flag: Flag, redactor: &mut Redactor) -> FlagRow {
    let redacted = match redactor.text(&flag.message) {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    };
    FlagRow {
        rule: flag.rule.to_owned(),
        severity: flag.severity.as_str().to_owned(),
        subject: flag.subject.to_string(),
        session: flag.session,
        message: redacted.unwrap_or(flag.message),
        evidence: flag
            .evidence
            .iter()
            .map(|evidence| EvidenceRow {
                id: evidence.id.to_string(),
                side: evidence.side(),
                offset: evidence.range.map(|range| range.start),
                length: evidence.range.map(|range| range.len()),
                at_ns: evidence.at,
            })
            .collect(),
        at_ns: flag.at,
    }
}

/// The bytes of `part` within `raw`, which stands at `whole`; as many as there are.
pub(super) fn within(raw: &[u8], whole: ByteRange, part: ByteRange) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset.saturating_sub(whole.start)).unwrap_or(usize::MAX).min(raw.len());
    raw.get(at(part.start)..at(part.end)).unwrap_or_default()
}

/// The address of the server that it leads to.
pub(super) fn server(view: &Connection) -> Option<String> {
    let dialed = view.dialed.as_ref().filter(|dialed| dialed.error.is_none())?;
    dialed.address.map(|address| address.to_string())
}

fn socket(socket: &Socket) -> SocketRow {
    SocketRow {
        server_open_ns: socket.server_open,
        open_write_begun_ns: socket.open_write_begun,
        client_open_written_ns: socket.client_open_written,
        first_frame_from_client_ns: socket.first_frame_from_client,
        first_frame_from_server_ns: socket.first_frame_from_server,
        closed_by: socket.closed_by.map(|by| by.as_str().to_owned()),
        close_code: socket.close_code,
        frames_from_client: socket.frames_from_client,
        frames_from_server: socket.frames_from_server,
    }
}

fn offsets(exchange: &Exchange) -> Offsets {
    let ends = |head: Option<&Head>, body: &Body| {
        let Some(head) = head.map(|head| head.range) else { return (0, 0, 0) };
        (head.start, head.end, body.range.map_or(head.end, |range| range.end.max(head.end)))
    };
    let (request_start, request_head_end, request_end) = ends(Some(&exchange.request), &exchange.request_body);
    let (response_start, response_head_end, response_end) = ends(exchange.response.as_ref(), &exchange.response_body);
    Offsets { request_start, request_head_end, request_end, response_start, response_head_end, response_end }
}

fn rewritten(exchange: &Exchange, change: &Change, redactor: &mut Redactor) -> RewrittenRow {
    let kind = match change.kind() {
        RewriteKind::AbsoluteForm => "absolute-form",
        RewriteKind::Host => "host",
        RewriteKind::IdentityHeader => "identity-header",
        RewriteKind::ProxyHeader => "proxy-header",
    };
    let (from, to) = match change.kind() {
        // The relay takes out the scheme and the authority; what a reader compares are the targets.
        RewriteKind::AbsoluteForm => {
            let target = exchange.request.target();
            (redactor.target(target), redactor.target(origin_form(target)))
        }
        _ => (lines(&change.was, redactor), lines(&change.became, redactor)),
    };
    RewrittenRow { kind: kind.to_owned(), from, to }
}

/// Header lines as they may be shown, without the last one's end.
fn lines(bytes: &[u8], redactor: &mut Redactor) -> String {
    let shown: Vec<String> = bytes
        .trim_ascii_end()
        .split(|b| *b == b'\n')
        .map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = line.iter().position(|b| *b == b':') else { return redactor.header(b"", line) };
            let (name, rest) = line.split_at(colon);
            let value = rest.get(1..).unwrap_or_default();
            let white = value.len() - value.trim_ascii_start().len();
            let gap = lossy(value.get(..white).unwrap_or_default());
            format!("{}:{gap}{}", lossy(name), redactor.header(name, value.trim_ascii()))
        })
        .collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::{
        ConnectionId, Side,
        side::Sides,
        trace::{Connect, Tls},
    };

    /// A CONNECT whose first byte was in the kernel before the connection was accepted, and a ClientHello behind it in
    /// the same read.
    #[test]
    fn phases_stand_in_order_though_bytes_come_before_we_are_ready_for_them() {
        let connect = Connect {
            begin: Timestamp(90),
            end: Timestamp(91),
            authority: "u:pw@a:1".into(),
            answered: Some(Timestamp(150)),
        };
        let tls = Tls {
            side: Side::Client,
            begin: Timestamp(91),
            end: Timestamp(200),
            sni: None,
            offered: Vec::new(),
            alpn: None,
            version: None,
            cipher: None,
            error: None,
        };
        let view = Connection {
            id: ConnectionId(1),
            mode: "forward".into(),
            client: "127.0.0.1:1".parse().unwrap(),
            opened: Timestamp(100),
            first_byte: Some(Timestamp(90)),
            connect: Some(connect),
            dialed: None,
            server_tls: None,
            client_tls: Some(tls),
            server_rtt_ns: None,
            ended: Sides::default(),
            closed: None,
            bytes: Sides::default(),
            exchanges: 0,
            frames: 0,
            gaps: 0,
            proxy_error: None,
            opaque: None,
        };
        let row = connection(&view, Extent::default());
        let span = |phase: Option<Phase>| phase.map(|phase| (phase.begin_ns.0, phase.end_ns.unwrap().0)).unwrap();
        assert_eq!(row.opened_ns, Timestamp(90));
        assert_eq!(span(row.phases.accept), (90, 90));
        assert_eq!(span(row.phases.connect), (90, 150));
        assert_eq!(span(row.phases.client_tls), (150, 200));
        assert_eq!(row.authority.as_deref(), Some("a:1"));
    }
}
