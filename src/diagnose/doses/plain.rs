//! Doses that a unit brings along: when after OPEN, the how-manieth of its connection, after how long a rest, how large.

use std::collections::BTreeMap;

use crate::model::{
    columns::{Columns, UNKNOWN},
    flag::Subject,
};

use super::{Dose, SWITCHING, Sides};

/// All of them.
pub(super) fn doses(columns: &Columns) -> Vec<Dose> {
    let units = &columns.units;
    let instants = |values: &[i64]| values.iter().map(|v| if *v == UNKNOWN { f32::NAN } else { *v as f32 }).collect();
    let sizes = |values: &[u32]| values.iter().map(|v| *v as f32).collect();
    // A message has no head.
    let head = |(subject, bytes): (&Subject, &u32)| match subject {
        Subject::Frame(_) => f32::NAN,
        _ => *bytes as f32,
    };
    let heads = units.subject.iter().zip(&units.head_bytes).map(head).collect();
    let dose = |hypothesis, special, values| Dose { hypothesis, counting: None, sides: Sides::Both, special, values };
    vec![
        dose("since-open", 0.1, since_open(columns)),
        dose("connection-ordinal", 0.3, sizes(&units.connection_ordinal)),
        dose("connection-idle", 0.5, instants(&units.connection_idle_ns)),
        dose("head-size", 0.3, heads),
        dose("body-size", 0.3, sizes(&units.body_bytes)),
    ]
}

/// Since OPEN. What came before its socket was even asked for has none: a session gets to its socket only where what
/// came before was accepted, so that a known OPEN would be the consequence. The same holds of the asking itself.
fn since_open(columns: &Columns) -> Vec<f32> {
    let units = &columns.units;
    // By session, when the answer to the upgrade that it asked for last ended.
    let mut asked: BTreeMap<u32, i64> = BTreeMap::new();
    let mut values = Vec::with_capacity(units.len());
    for (at, since) in units.since_open_ns.iter().enumerate() {
        let session = units.session.get(at).copied().unwrap_or(u32::MAX);
        let is_upgrade = units.status.get(at) == Some(&SWITCHING);
        if is_upgrade {
            asked.insert(session, units.ended_ns.get(at).copied().unwrap_or(UNKNOWN));
        }
        let offered = units.offered_ns.get(at).copied().unwrap_or(UNKNOWN);
        let waits = asked.get(&session).is_some_and(|ended| *ended >= offered);
        let known = *since != UNKNOWN && !is_upgrade && (*since >= 0 || waits);
        values.push(if known { *since as f32 } else { f32::NAN });
    }
    values
}
