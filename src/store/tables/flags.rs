//! The table of flags.

use crate::model::{
    SessionId, Timestamp,
    rows::{EvidenceRow, FlagRow},
};

use super::column::{Column, Table, distinct_text, int, maybe_int, put, set_json, set_text, text};

fn put_evidence(evidence: &[EvidenceRow], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, piece) in evidence.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        piece.write_json(out);
    }
    out.push(b']');
}

impl Table for FlagRow {
    const FOLDER: &'static str = "flags";

    const COLUMNS: &'static [Column<Self>] = &[
        text("rule", |r, out| put(&r.rule, out), |r, v| set_text(&mut r.rule, v)),
        text("severity", |r, out| put(&r.severity, out), |r, v| set_text(&mut r.severity, v)),
        distinct_text("subject", |r, out| put(&r.subject, out), |r, v| set_text(&mut r.subject, v)),
        maybe_int("session", |r| r.session.map(|id| id.0), |r, v| r.session = Some(SessionId(v))),
        distinct_text("message", |r, out| put(&r.message, out), |r, v| set_text(&mut r.message, v)),
        distinct_text("evidence", |r, out| put_evidence(&r.evidence, out), |r, v| set_json(&mut r.evidence, v)),
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
