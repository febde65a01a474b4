//! What a capture adds up to: running totals, and the figures per route for the closing summary. Bounded memory,
//! whatever passes: routes beyond the limit are counted together. No IO here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        ExchangeId, Side, Timestamp,
        rows::{ConnectionRow, ExchangeRow, FlagRow, Row, SocketRow},
        trace::{Fact, TraceEvent},
    },
    profile::Refused,
};

use super::{
    observer::Observer,
    routes::{Figures, Route, Routes},
};

/// Counts over what was indexed so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Client connections accepted.
    pub connections: u64,
    /// Of them, those that are over.
    pub connections_closed: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Handshakes with clients that failed: mostly clients that do not trust our certificate.
    pub client_tls_failed: u64,
    /// Handshakes with servers that failed.
    pub server_tls_failed: u64,
    /// Connections on which HTTP/2 was chosen: relayed and recorded, and not decoded.
    #[serde(default)]
    pub http2_connections: u64,
    /// Exchanges that are over. A WebSocket's is over when its connection is.
    pub exchanges: u64,
    /// Of them, those that the server refused (see the profile).
    pub refused: u64,
    /// Of them, those that no one answered.
    pub unanswered: u64,
    /// Of them, those that this proxy answered.
    pub proxy_made: u64,
    /// Exchanges by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Sockets that were opened, and are over.
    pub sockets_opened: u64,
    /// Upgrades that were not granted.
    pub sockets_refused: u64,
    /// WebSocket frames.
    pub frames: u64,
    /// Sessions that are over.
    pub sessions: u64,
    /// Flags, all of them.
    pub flags: u64,
    /// Flags by rule.
    pub rules: BTreeMap<String, RuleTotal>,
    /// Places where bytes were not recorded.
    pub gaps: u64,
    /// Bytes that were not recorded.
    pub gap_bytes: u64,
    /// How long recording held up traffic, summed over connections.
    pub stalled_ns: u64,
    /// The last segment that retention dropped; 0 where all are there.
    #[serde(default)]
    pub dropped_upto_segment: u64,
    /// Bytes that retention dropped, with their tables.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Plaintext bytes from clients.
    pub bytes_from_client: u64,
    /// Plaintext bytes from servers.
    pub bytes_from_server: u64,
    /// Event time of the newest fact that these counts include.
    pub indexed_upto_ns: Timestamp,
}

/// The flags of one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleTotal {
    /// The worst severity seen.
    pub severity: String,
    /// How many.
    pub count: u64,
    /// What the first of them is about.
    pub first: String,
    /// Its sentence.
    pub message: String,
}

/// Exchanges of one method, path template and status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTotal {
    /// The method.
    pub method: String,
    /// The path without query, its ids collapsed to `{id}`. `*` stands for all routes beyond the limit.
    pub path: String,
    /// The status; `None` where no answer came.
    pub status: Option<u16>,
    /// Whether it asked for a WebSocket.
    pub websocket: bool,
    /// Whether this proxy answered.
    pub proxy_made: bool,
    /// Whether that counts as refused.
    pub refused: bool,
    /// How many.
    pub count: u64,
    /// From the request's first byte to the answer's last, where both are known: median, in nanoseconds (within 6 %).
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// The longest, exact.
    pub max_ns: Option<u64>,
    /// The first of them.
    pub first: ExchangeId,
}

/// How long the opened sockets took. Each from an instant that the other side could not have known before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SocketTimes {
    /// From the upgrade request's first byte until the 101 had been written to the client.
    pub open: Times,
    /// From the 101's arrival to the server's first frame.
    pub first_frame_from_server: Times,
    /// From just before the 101 was written to the client's first frame; a frame that came earlier counts as 0.
    pub first_frame_from_client: Times,
}

/// A distribution of times, in nanoseconds; quantiles are within 6 %, the longest is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

/// Counts facts and rows as they pass.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) observer: Observer,
    refused: Refused,
    totals: Totals,
    routes: Routes,
    open: Histogram,
    first_frame_from_server: Histogram,
    first_frame_from_client: Histogram,
}

impl Tally {
    pub(super) fn new(refused: Refused) -> Self {
        Self {
            observer: Observer::default(),
            refused,
            totals: Totals::default(),
            routes: Routes::default(),
            open: Histogram::default(),
            first_frame_from_server: Histogram::default(),
            first_frame_from_client: Histogram::default(),
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Where the fold stands, on event time.
    pub(super) fn indexed_upto(&mut self, at: Timestamp) {
        self.totals.indexed_upto_ns = self.totals.indexed_upto_ns.max(at);
    }

    pub(super) fn fact(&mut self, event: &TraceEvent<'_>) {
        self.observer.fact(event);
        let totals = &mut self.totals;
        match &event.fact {
            Fact::Data(chunk) => match chunk.from {
                Side::Client => totals.bytes_from_client += chunk.bytes.len() as u64,
                Side::Server => totals.bytes_from_server += chunk.bytes.len() as u64,
            },
            Fact::Opened(_) => totals.connections += 1,
            Fact::Dialed(dialed) if dialed.error.is_some() => totals.dials_failed += 1,
            Fact::Tls(tls) if tls.error.is_some() => match tls.side {
                Side::Client => totals.client_tls_failed += 1,
                Side::Server => totals.server_tls_failed += 1,
            },
            Fact::Tls(tls) if tls.side == Side::Client && tls.alpn.as_deref() == Some("h2") => {
                totals.http2_connections += 1;
            }
            Fact::Stalled(stalled) => totals.stalled_ns += stalled.waited_ns,
            Fact::Dropped(dropped) => {
                totals.dropped_upto_segment = dropped.upto_segment;
                totals.dropped_bytes += dropped.bytes;
            }
            Fact::Gap(gap) => {
                totals.gaps += 1;
                totals.gap_bytes += gap.range.len();
                match gap.range.from {
                    Side::Client => totals.bytes_from_client += gap.range.len(),
                    Side::Server => totals.bytes_from_server += gap.range.len(),
                }
            }
            _ => {}
        }
    }

    pub(super) fn row(&mut self, row: &Row) {
        match row {
            Row::Connection(ConnectionRow { closed_ns, .. }) => {
                self.totals.connections_closed += u64::from(closed_ns.is_some());
            }
            Row::Exchange(exchange) => self.exchange(exchange),
            Row::Frame(_) => self.totals.frames += 1,
            Row::Session(_) => self.totals.sessions += 1,
            Row::Flag(flag) => self.flag(flag),
        }
    }

    /// The routes, most frequent first.
    pub(super) fn routes(&self) -> Vec<RouteTotal> {
        let mut routes: Vec<_> = self.routes.all().map(|(route, figures)| self.route(route, figures)).collect();
        routes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.first.cmp(&b.first)));
        routes
    }

    pub(super) fn sockets(&self) -> SocketTimes {
        SocketTimes {
            open: self.open.times(),
            first_frame_from_server: self.first_frame_from_server.times(),
            first_frame_from_client: self.first_frame_from_client.times(),
        }
    }

    fn socket(&mut self, socket: &SocketRow, asked: Timestamp) {
        let add = |histogram: &mut Histogram, from: Option<Timestamp>, to: Option<Timestamp>| {
            if let (Some(from), Some(to)) = (from, to) {
                histogram.add(to.0.saturating_sub(from.0));
            }
        };
        add(&mut self.open, Some(asked), socket.client_open_written_ns);
        add(&mut self.first_frame_from_server, socket.server_open_ns, socket.first_frame_from_server_ns);
        add(&mut self.first_frame_from_client, socket.open_write_begun_ns, socket.first_frame_from_client_ns);
    }

    fn route(&self, route: &Route, figures: &Figures) -> RouteTotal {
        RouteTotal {
            method: route.method.clone(),
            path: route.path.clone(),
            status: route.status,
            websocket: route.websocket,
            proxy_made: route.proxy_made,
            refused: !route.proxy_made && route.status.is_some_and(|status| self.refused.contains(status)),
            count: figures.count,
            p50_ns: figures.latency.quantile(0.5),
            p90_ns: figures.latency.quantile(0.9),
            p99_ns: figures.latency.quantile(0.99),
            max_ns: figures.latency.max(),
            first: figures.first,
        }
    }

    fn exchange(&mut self, row: &ExchangeRow) {
        let totals = &mut self.totals;
        totals.exchanges += 1;
        totals.proxy_made += u64::from(row.proxy_made);
        let asked_for_websocket = row.scheme.starts_with("ws");
        match row.status {
            Some(status) => {
                *totals.statuses.entry(status).or_default() += 1;
                totals.refused += u64::from(!row.proxy_made && self.refused.contains(status));
            }
            None => totals.unanswered += 1,
        }
        if let Some(socket) = &row.websocket {
            totals.sockets_opened += 1;
            self.socket(socket, row.request_first_byte_ns);
        } else if asked_for_websocket {
            totals.sockets_refused += 1;
        }
        self.routes.add(row);
    }

    fn flag(&mut self, flag: &FlagRow) {
        self.totals.flags += 1;
        if !self.totals.rules.contains_key(&flag.rule) {
            let (severity, first) = (flag.severity.clone(), flag.subject.clone());
            let total = RuleTotal { severity, count: 0, first, message: flag.message.clone() };
            self.totals.rules.insert(flag.rule.clone(), total);
        }
        let Some(rule) = self.totals.rules.get_mut(&flag.rule) else { return };
        rule.count += 1;
        let rank = |severity: &str| match severity {
            "error" => 2,
            "warning" => 1,
            _ => 0,
        };
        if rank(&flag.severity) > rank(&rule.severity) {
            rule.severity.clone_from(&flag.severity);
        }
    }
}

/// Counts in buckets whose width is a sixteenth of their power of two.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        let bucket = Self::bucket(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    fn times(&self) -> Times {
        Times { count: self.count, p50_ns: self.quantile(0.5), p99_ns: self.quantile(0.99), max_ns: self.max() }
    }

    /// The upper ends of the buckets that hold anything, and how much.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let held = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        held.map(|(bucket, count)| (Self::upper(bucket).min(self.max), u64::from(*count)))
    }

    fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The upper end of the bucket that holds it, never above the maximum.
    fn quantile(&self, share: f64) -> Option<u64> {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(Self::upper(bucket).min(self.max))
    }

    fn bucket(value: u64) -> usize {
        if value < 16 {
            return value as usize;
        }
        let power = value.ilog2() - 4;
        (power as usize + 1) * 16 + ((value >> power) & 15) as usize
    }

    fn upper(bucket: usize) -> u64 {
        match bucket {
            0..16 => bucket as u64,
            _ => {
                let power = bucket as u32 / 16 - 1;
                (((16 + (bucket as u128 % 16) + 1) << power) - 1).try_into().unwrap_or(u64::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for value in 1..=100_000_u64 {
            histogram.add(value * 1_000);
        }
        for (share, exact) in [(0.5, 50_000_000.0), (0.9, 90_000_000.0), (0.99, 99_000_000.0), (1.0, 100_000_000.0)] {
            let found = histogram.quantile(share).unwrap() as f64;
            assert!(found >= exact && found <= exact * 1.0625, "{share}: {found} for {exact}");
        }
        assert_eq!(histogram.max(), Some(100_000_000));
        for value in [0, 1, 15, 16, 17, 31, 32, 1 << 40, u64::MAX] {
            let bucket = Histogram::bucket(value);
            assert!(Histogram::upper(bucket) >= value, "{value}");
            assert!(bucket == 0 || Histogram::upper(bucket - 1) < value, "{value}");
        }
    }
}
