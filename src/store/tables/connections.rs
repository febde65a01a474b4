//! The table of connections.

use crate::model::{
    ConnectionId, Timestamp,
    rows::{ConnectionRow, Extent, Phase, Phases},
};

use super::column::{Column, Table, int, maybe_int, maybe_text, put, put_maybe, set_some, set_text, text};

/// The two columns of a phase: its begin, which makes it present, and its end.
macro_rules! phase_begin {
    ($name:literal, $phase:ident) => {
        maybe_int($name, |r| begin(r.phases.$phase), |r, v| set_begin(&mut r.phases.$phase, v))
    };
}
macro_rules! phase_end {
    ($name:literal, $phase:ident) => {
        maybe_int($name, |r| end(r.phases.$phase), |r, v| set_end(&mut r.phases.$phase, v))
    };
}

impl Table for ConnectionRow {
    const FOLDER: &'static str = "connections";

    const COLUMNS: &'static [Column<Self>] = &[
        int("id", |r| r.id.0, |r, v| r.id = ConnectionId(v)),
        text("mode", |r, out| put(&r.mode, out), |r, v| set_text(&mut r.mode, v)),
        text("client", |r, out| put(&r.client, out), |r, v| set_text(&mut r.client, v)),
        maybe_text("server", |r, out| put_maybe(r.server.as_deref(), out), |r, v| set_some(&mut r.server, v)),
        maybe_text("authority", |r, out| put_maybe(r.authority.as_deref(), out), |r, v| set_some(&mut r.authority, v)),
        maybe_text("sni", |r, out| put_maybe(r.sni.as_deref(), out), |r, v| set_some(&mut r.sni, v)),
        maybe_text("alpn", |r, out| put_maybe(r.alpn.as_deref(), out), |r, v| set_some(&mut r.alpn, v)),
        maybe_text(
            "client_tls",
            |r, out| put_maybe(r.client_tls.as_deref(), out),
            |r, v| set_some(&mut r.client_tls, v),
        ),
        maybe_text(
            "server_tls",
            |r, out| put_maybe(r.server_tls.as_deref(), out),
            |r, v| set_some(&mut r.server_tls, v),
        ),
        int("opened_ns", |r| r.opened_ns.0, |r, v| r.opened_ns = Timestamp(v)),
        phase_begin!("phase_accept_begin_ns", accept),
        phase_end!("phase_accept_end_ns", accept),
        phase_begin!("phase_connect_begin_ns", connect),
        phase_end!("phase_connect_end_ns", connect),
        phase_begin!("phase_dial_begin_ns", dial),
        phase_end!("phase_dial_end_ns", dial),
        phase_begin!("phase_server_tls_begin_ns", server_tls),
        phase_end!("phase_server_tls_end_ns", server_tls),
        phase_begin!("phase_client_tls_begin_ns", client_tls),
        phase_end!("phase_client_tls_end_ns", client_tls),
        maybe_int("closed_ns", |r| r.closed_ns.map(|at| at.0), |r, v| r.closed_ns = Some(Timestamp(v))),
        maybe_text("closed_by", |r, out| put_maybe(r.closed_by.as_deref(), out), |r, v| set_some(&mut r.closed_by, v)),
        maybe_text("how", |r, out| put_maybe(r.how.as_deref(), out), |r, v| set_some(&mut r.how, v)),
        int("bytes_from_client", |r| r.bytes_from_client, |r, v| r.bytes_from_client = v),
        int("bytes_from_server", |r| r.bytes_from_server, |r, v| r.bytes_from_server = v),
        int("exchanges", |r| r.exchanges, |r, v| r.exchanges = v),
        int("frames", |r| r.frames, |r, v| r.frames = v),
        int("gaps", |r| r.gaps, |r, v| r.gaps = v),
        maybe_text(
            "proxy_error",
            |r, out| put_maybe(r.proxy_error.as_deref(), out),
            |r, v| set_some(&mut r.proxy_error, v),
        ),
        maybe_int("server_rtt_ns", |r| r.server_rtt_ns, |r, v| r.server_rtt_ns = Some(v)),
        int("first_segment", |r| r.extent.first.segment, |r, v| r.extent.first.segment = v),
        int("first_offset", |r| r.extent.first.offset, |r, v| r.extent.first.offset = v),
        int("last_segment", |r| r.extent.last.segment, |r, v| r.extent.last.segment = v),
        int("last_offset", |r| r.extent.last.offset, |r, v| r.extent.last.offset = v),
        maybe_text("opaque", |r, out| put_maybe(r.opaque.as_deref(), out), |r, v| set_some(&mut r.opaque, v)),
    ];

    fn blank() -> Self {
        Self {
            id: ConnectionId(0),
            mode: String::new(),
            client: String::new(),
            server: None,
            authority: None,
            sni: None,
            alpn: None,
            client_tls: None,
            server_tls: None,
            opened_ns: Timestamp(0),
            phases: Phases::default(),
            closed_ns: None,
            closed_by: None,
            how: None,
            bytes_from_client: 0,
            bytes_from_server: 0,
            exchanges: 0,
            frames: 0,
            gaps: 0,
            proxy_error: None,
            server_rtt_ns: None,
            opaque: None,
            extent: Extent::default(),
        }
    }
}

fn begin(phase: Option<Phase>) -> Option<u64> {
    phase.map(|phase| phase.begin_ns.0)
}

fn end(phase: Option<Phase>) -> Option<u64> {
    phase?.end_ns.map(|end| end.0)
}

fn set_begin(phase: &mut Option<Phase>, at: u64) {
    *phase = Some(Phase { begin_ns: Timestamp(at), end_ns: None });
}

fn set_end(phase: &mut Option<Phase>, at: u64) {
    if let Some(phase) = phase {
        phase.end_ns = Some(Timestamp(at));
    }
}
