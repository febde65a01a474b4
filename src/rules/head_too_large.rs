//! `head-too-large`: a request's head, or one line of it, is larger than common servers take; or it keeps growing.
//!
//! Sources: nginx, `large_client_header_buffers 4 8k`: a line of more than 8 KiB gets a 400 ("Request Header Or Cookie
//! Too Large") or a 414. Node: `--max-http-header-size` is 16 KiB in all, then 431. AWS Application Load Balancer: 16 KiB
//! for the request line, 16 KiB for a header, 64 KiB in all. Apache: `LimitRequestFieldSize 8190`. What grows is mostly
//! `Cookie`. What would be evidence: refusals begin at a size and not below it (`head-size` is a dose).

use crate::model::{
    anomaly::AnomalyKind,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    http::Field,
    observation::{Heard, Observation, What},
    side::Side,
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    connections::ByConnection,
    fault::{self, Fault},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "head-too-large",
    group: Group::Head,
    summary: "a request's head, or one line of it, is larger than common servers take, or has doubled on its connection",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "defaults of nginx (8 KiB a line), Node (16 KiB in all), AWS ALB (16 KiB a line, 64 KiB in all)",
    default_on: true,
    why: "those servers answer 400, 414 or 431 to it",
    silent: super::never,
    build: |options| {
        Box::new(HeadTooLarge { settings: options.head_too_large.clone(), first: ByConnection::default() })
    },
};

/// `[rules.head-too-large]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest line that is not flagged, in bytes with its end.
    pub line_bytes: usize,
    /// The largest head that is not flagged, in bytes.
    pub head_bytes: usize,
    /// From which size on a head that is twice the connection's first one is a hint, in bytes.
    pub growth_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { line_bytes: 8 << 10, head_bytes: 16 << 10, growth_bytes: 4 << 10 }
    }
}

struct HeadTooLarge {
    settings: Settings,
    /// The size of each connection's first head; 0 once its growth was told.
    first: ByConnection<usize>,
}

impl Rule for HeadTooLarge {
    fn hears(&self) -> &[Heard] {
        &[Heard::ConnectionClosed, Heard::RequestHead, Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::RequestHead(exchange) => {
                if let Some((severity, what, place)) = self.judge(exchange) {
                    raise(Fault { severity, what, place }.flag(&INFO, observation, exchange));
                }
            }
            What::ConnectionClosed(connection) => {
                self.first.take(connection.id);
            }
            What::Anomaly(_, anomaly)
                if anomaly.kind == AnomalyKind::HeadTooLarge && anomaly.range.from == Side::Client =>
            {
                let subject = Subject::Connection(observation.connection);
                let size = anomaly.range.len();
                raise(Flag {
                    rule: INFO.id,
                    severity: Severity::Error,
                    subject,
                    session: observation.session.map(|session| session.id),
                    message: format!("a request's head is larger than {size} bytes; no more of it is read"),
                    evidence: vec![Evidence::bytes(subject, anomaly.range, observation.at)],
                    at: observation.at,
                });
            }
            _ => {}
        }
    }
}

impl HeadTooLarge {
    fn judge(&mut self, exchange: &Exchange) -> Option<(Severity, String, crate::model::trace::ByteRange)> {
        let head = &exchange.request;
        let size = head.raw.len();
        if exchange.index == 1 {
            self.first.set(exchange.connection, size);
        }
        let Settings { line_bytes, head_bytes, growth_bytes } = self.settings;
        if size <= line_bytes.min(head_bytes).min(growth_bytes) {
            return None;
        }
        let line = |field: &Field| field.line.of(&head.raw).len();
        let largest = head.fields.iter().max_by_key(|field| line(field));
        let (largest_line, name, place) = match largest {
            Some(field) if line(field) >= start_line(exchange) => {
                (line(field), words::name(field.name.of(&head.raw)), fault::part(head, field.line))
            }
            _ => (start_line(exchange), "the request line".to_owned(), head.range),
        };
        if largest_line > line_bytes {
            let limit = limit(line_bytes, Settings::default().line_bytes, "nginx");
            let what = format!("{name} takes a line of {largest_line} bytes; {limit}");
            return Some((Severity::Warning, what, place));
        }
        if size > head_bytes {
            let limit = limit(head_bytes, Settings::default().head_bytes, "Node");
            let what = format!("the head has {size} bytes (the largest line, {name}, has {largest_line}); {limit}");
            return Some((Severity::Warning, what, head.range));
        }
        let first = self.first.get_mut(exchange.connection).filter(|first| **first > 0)?;
        if size < growth_bytes || size < first.saturating_mul(2) {
            return None;
        }
        let before = std::mem::take(first);
        let what = format!(
            "the head has grown to {size} bytes, from {before} in its connection's first request (the largest line, \
             {name}, has {largest_line}); further growth is not told"
        );
        Some((Severity::Hint, what, place))
    }
}

/// What the limit is, and whose: a server's where it is the default, else that of the settings.
fn limit(set: usize, default: usize, server: &str) -> String {
    if set == default { format!("{server} takes {set} by default") } else { format!("{set} are allowed here") }
}

fn start_line(exchange: &Exchange) -> usize {
    let head = &exchange.request;
    head.fields.first().map_or(head.raw.len(), |field| field.line.start as usize)
}
