//! An exchange's durations as other tools state them: the first exchange of a connection bears what its setup took.

use std::{collections::BTreeMap, ops::ControlFlow};

use crate::{
    model::{
        Timestamp,
        rows::{ExchangeRow, Row},
    },
    query::{Capture, Kind, Query},
};

use super::Error;

/// What the setup of a connection took, as its client saw it.
#[derive(Clone, Copy, Debug)]
struct Setup {
    total: u64,
    tls: Option<u64>,
}

/// The setups of a capture's connections.
pub(super) struct Setups(BTreeMap<u64, Setup>);

/// Durations in nanoseconds; `None` where one is not known or there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When it began: the setup, or its first byte.
    pub(super) start: Timestamp,
    /// The connection's setup, TLS included.
    pub(super) connect: Option<u64>,
    /// The client leg's TLS handshake, a part of `connect`.
    pub(super) tls: Option<u64>,
    /// First to last byte of the request.
    pub(super) send: Option<u64>,
    /// From there to the first byte of the answer.
    pub(super) wait: Option<u64>,
    /// From there to its last byte.
    pub(super) receive: Option<u64>,
}

impl Setups {
    pub(super) fn read(capture: &Capture) -> Result<Self, Error> {
        let mut setups = BTreeMap::new();
        capture.list(Kind::Connections, Query::default(), &mut |row| {
            let Row::Connection(row) = row else { return Ok(ControlFlow::Continue(())) };
            let tls = row.phases.client_tls.and_then(|phase| Some((phase.begin_ns, phase.end_ns?)));
            let connect = row.phases.connect.and_then(|phase| Some((phase.begin_ns, phase.end_ns?)));
            if let (Some((begin, _)), Some((_, end))) = (connect.or(tls), tls.or(connect)) {
                let total = end.0.saturating_sub(begin.0);
                let tls = tls.map(|(begin, end)| end.0.saturating_sub(begin.0));
                setups.insert(row.id.0, Setup { total, tls });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self(setups))
    }

    pub(super) fn of(&self, row: &ExchangeRow) -> Times {
        let setup = (row.index == 1).then(|| self.0.get(&row.connection.0)).flatten();
        let begin = row.request_first_byte_ns;
        // An answer may begin before the request has ended: no time was spent waiting then.
        let sent = row.request_last_byte_ns;
        let answered = row.response_first_byte_ns;
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.0.saturating_sub(from?.0));
        Times {
            start: Timestamp(begin.0.saturating_sub(setup.map_or(0, |setup| setup.total))),
            connect: setup.map(|setup| setup.total),
            tls: setup.and_then(|setup| setup.tls),
            send: between(Some(begin), sent),
            wait: between(sent, answered),
            receive: between(answered.max(sent.filter(|_| answered.is_some())), row.response_last_byte_ns),
        }
    }
}

impl Times {
    /// All of it, `tls` being a part of `connect`.
    pub(super) fn total(&self) -> u64 {
        [self.connect, self.send, self.wait, self.receive].into_iter().flatten().sum()
    }
}

/// Milliseconds with their fraction; -1 for what is not known.
pub(super) fn millis(nanos: Option<u64>) -> f64 {
    nanos.map_or(-1.0, |nanos| nanos as f64 / 1e6)
}
