//! Doses that a unit brings along: when after OPEN, the how-manieth of its connection, after how long a rest, how large.

use crate::model::columns::{Columns, UNKNOWN};

use super::{Dose, Sides};

/// All of them.
pub(super) fn doses(columns: &Columns) -> Vec<Dose> {
    let units = &columns.units;
    let instants = |values: &[i64]| values.iter().map(|v| if *v == UNKNOWN { f32::NAN } else { *v as f32 }).collect();
    let sizes = |values: &[u32]| values.iter().map(|v| *v as f32).collect();
    let dose = |hypothesis, special, values| Dose { hypothesis, counting: None, sides: Sides::Both, special, values };
    vec![
        dose("since-open", 0.1, instants(&units.since_open_ns)),
        dose("connection-ordinal", 0.3, sizes(&units.connection_ordinal)),
        dose("connection-idle", 0.5, instants(&units.connection_idle_ns)),
        dose("head-size", 0.3, sizes(&units.head_bytes)),
        dose("body-size", 0.3, sizes(&units.body_bytes)),
    ]
}
