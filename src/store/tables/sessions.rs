//! The table of sessions.

use crate::model::{SessionId, rows::SessionRow};

use super::column::{Column, Table, boolean, int, put, put_list, set_json, set_text, text};

impl Table for SessionRow {
    const FOLDER: &'static str = "sessions";

    const COLUMNS: &'static [Column<Self>] = &[
        int("id", |r| r.id.0, |r, v| r.id = SessionId(v)),
        text("correlated_by", |r, out| put(&r.correlated_by, out), |r, v| set_text(&mut r.correlated_by, v)),
        boolean("sure", |r| r.sure, |r, v| r.sure = v),
        text("sockets", |r, out| put_list(&r.sockets, out), |r, v| set_json(&mut r.sockets, v)),
        text("exchanges", |r, out| put_list(&r.exchanges, out), |r, v| set_json(&mut r.exchanges, v)),
        text("flags", |r, out| put_list(&r.flags, out), |r, v| set_json(&mut r.flags, v)),
    ];

    fn blank() -> Self {
        Self {
            id: SessionId(0),
            correlated_by: String::new(),
            sure: false,
            sockets: Vec::new(),
            exchanges: Vec::new(),
            flags: Vec::new(),
            dropped: false,
        }
    }
}
