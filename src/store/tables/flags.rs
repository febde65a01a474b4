//! The table of flags.

use crate::model::{SessionId, Timestamp, rows::FlagRow};

use super::column::{Column, Table, distinct_text, int, maybe_int, put, put_list, set_json, set_text, text};

impl Table for FlagRow {
    const FOLDER: &'static str = "flags";

    const COLUMNS: &'static [Column<Self>] = &[
        text("rule", |r, out| put(&r.rule, out), |r, v| set_text(&mut r.rule, v)),
        text("severity", |r, out| put(&r.severity, out), |r, v| set_text(&mut r.severity, v)),
        distinct_text("subject", |r, out| put(&r.subject, out), |r, v| set_text(&mut r.subject, v)),
        maybe_int("session", |r| r.session.map(|id| id.0), |r, v| r.session = Some(SessionId(v))),
        distinct_text("message", |r, out| put(&r.message, out), |r, v| set_text(&mut r.message, v)),
        distinct_text("evidence", |r, out| put_list(&r.evidence, out), |r, v| set_json(&mut r.evidence, v)),
        int("at_ns", |r| r.at_ns.0, |r, v| r.at_ns = Timestamp(v)),
    ];

    fn blank() -> Self {
        Self {
            rule: String::new(),
            severity: String::new(),
            subject: String::new(),
            session: None,
            message: String::new(),
            evidence: Vec::new(),
            at_ns: Timestamp(0),
        }
    }
}
