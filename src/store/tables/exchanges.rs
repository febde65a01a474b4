//! The table of exchanges.

use crate::model::{
    ConnectionId, ExchangeId, SessionId, Timestamp,
    headers::Headers,
    rows::{ExchangeRow, Extent, Offsets, SocketRow},
};

use super::column::{
    Column, Table, boolean, int, maybe_int, maybe_text, narrow, put, put_list, put_maybe, set_json, set_some, set_text,
    text,
};

/// A column of the socket; null where the exchange is none.
macro_rules! socket_ns {
    ($name:literal, $field:ident) => {
        maybe_int($name, |r| r.websocket.as_ref()?.$field.map(|at| at.0), |r, v| socket(r).$field = Some(Timestamp(v)))
    };
}

macro_rules! offset {
    ($name:literal, $field:ident) => {
        int($name, |r| r.offsets.$field, |r, v| r.offsets.$field = v)
    };
}

impl Table for ExchangeRow {
    const FOLDER: &'static str = "exchanges";

    const COLUMNS: &'static [Column<Self>] = &[
        int("id", |r| r.id.0, |r, v| r.id = ExchangeId(v)),
        int("connection", |r| r.connection.0, |r, v| r.connection = ConnectionId(v)),
        maybe_int("session", |r| r.session.map(|id| id.0), |r, v| r.session = Some(SessionId(v))),
        maybe_text("server", |r, out| put_maybe(r.server.as_deref(), out), |r, v| set_some(&mut r.server, v)),
        int("index", |r| u64::from(r.index), |r, v| r.index = narrow(v, u32::MAX)),
        text("method", |r, out| put(&r.method, out), |r, v| set_text(&mut r.method, v)),
        text("target", |r, out| put(&r.target, out), |r, v| set_text(&mut r.target, v)),
        text("scheme", |r, out| put(&r.scheme, out), |r, v| set_text(&mut r.scheme, v)),
        text("authority", |r, out| put(&r.authority, out), |r, v| set_text(&mut r.authority, v)),
        text("path", |r, out| put(&r.path, out), |r, v| set_text(&mut r.path, v)),
        text("http", |r, out| put(&r.http, out), |r, v| set_text(&mut r.http, v)),
        text("request_headers", |r, out| r.request_headers.write_json(out), |r, v| set_json(&mut r.request_headers, v)),
        int("request_body_bytes", |r| r.request_body_bytes, |r, v| r.request_body_bytes = v),
        maybe_int("status", |r| r.status.map(u64::from), |r, v| r.status = Some(narrow(v, u16::MAX))),
        maybe_text("reason", |r, out| put_maybe(r.reason.as_deref(), out), |r, v| set_some(&mut r.reason, v)),
        maybe_text(
            "response_headers",
            |r, out| r.response_headers.as_ref().map(|headers| headers.write_json(out)).is_some(),
            |r, v| set_json(r.response_headers.get_or_insert_default(), v),
        ),
        maybe_int("response_body_bytes", |r| r.response_body_bytes, |r, v| r.response_body_bytes = Some(v)),
        int("request_first_byte_ns", |r| r.request_first_byte_ns.0, |r, v| r.request_first_byte_ns = Timestamp(v)),
        maybe_int(
            "request_last_byte_ns",
            |r| r.request_last_byte_ns.map(|at| at.0),
            |r, v| r.request_last_byte_ns = Some(Timestamp(v)),
        ),
        maybe_int(
            "response_first_byte_ns",
            |r| r.response_first_byte_ns.map(|at| at.0),
            |r, v| r.response_first_byte_ns = Some(Timestamp(v)),
        ),
        maybe_int(
            "response_last_byte_ns",
            |r| r.response_last_byte_ns.map(|at| at.0),
            |r, v| r.response_last_byte_ns = Some(Timestamp(v)),
        ),
        boolean("proxy_made", |r| r.proxy_made, |r, v| r.proxy_made = v),
        text("rewritten", |r, out| put_list(&r.rewritten, out), |r, v| set_json(&mut r.rewritten, v)),
        // The two counts are there whenever the socket is, so they make it present.
        maybe_int(
            "websocket_frames_from_client",
            |r| r.websocket.as_ref().map(|socket| socket.frames_from_client),
            |r, v| socket(r).frames_from_client = v,
        ),
        maybe_int(
            "websocket_frames_from_server",
            |r| r.websocket.as_ref().map(|socket| socket.frames_from_server),
            |r, v| socket(r).frames_from_server = v,
        ),
        socket_ns!("websocket_server_open_ns", server_open_ns),
        socket_ns!("websocket_open_write_begun_ns", open_write_begun_ns),
        socket_ns!("websocket_client_open_written_ns", client_open_written_ns),
        socket_ns!("websocket_first_frame_from_client_ns", first_frame_from_client_ns),
        socket_ns!("websocket_first_frame_from_server_ns", first_frame_from_server_ns),
        maybe_text(
            "websocket_closed_by",
            |r, out| put_maybe(r.websocket.as_ref().and_then(|socket| socket.closed_by.as_deref()), out),
            |r, v| set_some(&mut socket(r).closed_by, v),
        ),
        maybe_int(
            "websocket_close_code",
            |r| r.websocket.as_ref()?.close_code.map(u64::from),
            |r, v| socket(r).close_code = Some(narrow(v, u16::MAX)),
        ),
        text("flags", |r, out| put_list(&r.flags, out), |r, v| set_json(&mut r.flags, v)),
        offset!("request_start", request_start),
        offset!("request_head_end", request_head_end),
        offset!("request_end", request_end),
        offset!("response_start", response_start),
        offset!("response_head_end", response_head_end),
        offset!("response_end", response_end),
        int("first_segment", |r| r.extent.first.segment, |r, v| r.extent.first.segment = v),
        int("first_offset", |r| r.extent.first.offset, |r, v| r.extent.first.offset = v),
        int("last_segment", |r| r.extent.last.segment, |r, v| r.extent.last.segment = v),
        int("last_offset", |r| r.extent.last.offset, |r, v| r.extent.last.offset = v),
    ];

    fn blank() -> Self {
        Self {
            id: ExchangeId(0),
            connection: ConnectionId(0),
            session: None,
            server: None,
            index: 0,
            method: String::new(),
            target: String::new(),
            scheme: String::new(),
            authority: String::new(),
            path: String::new(),
            http: String::new(),
            request_headers: Headers::default(),
            request_body_bytes: 0,
            status: None,
            reason: None,
            response_headers: None,
            response_body_bytes: None,
            request_first_byte_ns: Timestamp(0),
            request_last_byte_ns: None,
            response_first_byte_ns: None,
            response_last_byte_ns: None,
            proxy_made: false,
            rewritten: Vec::new(),
            websocket: None,
            flags: Vec::new(),
            offsets: Offsets::default(),
            extent: Extent::default(),
        }
    }
}

fn socket(row: &mut ExchangeRow) -> &mut SocketRow {
    row.websocket.get_or_insert_default()
}
