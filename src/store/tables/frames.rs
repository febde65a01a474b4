//! The table of frames. It holds no text: `text` is `None` in rows that are read.

use crate::model::{
    ConnectionId, ExchangeId, FrameId, Side, Timestamp,
    rows::{Extent, FrameRow},
};

use super::column::{Column, Put, Table, boolean, int, maybe_int, narrow, put, text};

impl Table for FrameRow {
    const FOLDER: &'static str = "frames";

    const COLUMNS: &'static [Column<Self>] = &[
        int("id", |r| r.id.0, |r, v| r.id = FrameId(v)),
        int("connection", |r| r.connection.0, |r, v| r.connection = ConnectionId(v)),
        int("exchange", |r| r.exchange.0, |r, v| r.exchange = ExchangeId(v)),
        text("from", |r, out| put(r.from.as_str(), out), |r, v| set_side(&mut r.from, v)),
        int("opcode", |r| u64::from(r.opcode), |r, v| r.opcode = narrow(v, u8::MAX)),
        boolean("fin", |r| r.fin, |r, v| r.fin = v),
        boolean("compressed", |r| r.compressed, |r, v| r.compressed = v),
        int("bytes", |r| r.bytes, |r, v| r.bytes = v),
        int("arrived_ns", |r| r.arrived_ns.0, |r, v| r.arrived_ns = Timestamp(v)),
        maybe_int("written_ns", |r| r.written_ns.map(|at| at.0), |r, v| r.written_ns = Some(Timestamp(v))),
        boolean("metadata", |r| r.metadata, |r, v| r.metadata = v),
        int("start", |r| r.start, |r, v| r.start = v),
        int("end", |r| r.end, |r, v| r.end = v),
        int("first_segment", |r| r.extent.first.segment, |r, v| r.extent.first.segment = v),
        int("first_offset", |r| r.extent.first.offset, |r, v| r.extent.first.offset = v),
        int("last_segment", |r| r.extent.last.segment, |r, v| r.extent.last.segment = v),
        int("last_offset", |r| r.extent.last.offset, |r, v| r.extent.last.offset = v),
    ];

    fn blank() -> Self {
        Self {
            id: FrameId(0),
            connection: ConnectionId(0),
            exchange: ExchangeId(0),
            from: Side::Client,
            opcode: 0,
            fin: false,
            compressed: false,
            bytes: 0,
            arrived_ns: Timestamp(0),
            written_ns: None,
            text: None,
            metadata: false,
            start: 0,
            end: 0,
            extent: Extent::default(),
        }
    }
}

fn set_side(slot: &mut Side, text: &str) -> Put {
    let side = Side::BOTH.into_iter().find(|side| side.as_str() == text);
    *slot = side.ok_or_else(|| format!("{text:?} is no side: expected client or server"))?;
    Ok(())
}
