//! What the API counts, in the moment in which a request is offered: in flight, sockets, rates; each as offered and as
//! admitted. Messages on sockets are no requests and count nowhere.

use std::collections::{HashMap, VecDeque};

use crate::lab::{request::Kind, scenario::SECOND};

/// Something that can be counted against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dose {
    /// Requests in flight.
    InFlight,
    /// The same on the request's route.
    InFlightPerRoute,
    /// The same bearing its token.
    InFlightPerToken,
    /// The same from its address.
    InFlightPerAddress,
    /// Sockets that are open or granted.
    Sockets,
    /// The same from its address.
    SocketsPerAddress,
    /// The same bearing its token.
    SocketsPerToken,
    /// Requests within the last second.
    RequestRate,
    /// The same bearing its token.
    RequestRatePerToken,
    /// Requests bearing its token within the last 60 seconds.
    TokenRequestsPerMinute,
    /// Connections accepted within the last second.
    ConnectionRate,
}

impl Dose {
    /// The dose's id in a verdict.
    pub fn hypothesis(self) -> &'static str {
        match self {
            Self::InFlight => "inflight",
            Self::InFlightPerRoute => "inflight-per-route",
            Self::InFlightPerToken => "inflight-per-token",
            Self::InFlightPerAddress => "inflight-per-address",
            Self::Sockets => "open-sockets",
            Self::SocketsPerAddress => "sockets-per-address",
            Self::SocketsPerToken => "sockets-per-token",
            Self::RequestRate => "request-rate",
            Self::RequestRatePerToken => "request-rate-per-token",
            Self::TokenRequestsPerMinute => "token-requests-per-minute",
            Self::ConnectionRate => "connection-rate",
        }
    }

    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::InFlight,
        Self::InFlightPerRoute,
        Self::InFlightPerToken,
        Self::InFlightPerAddress,
        Self::Sockets,
        Self::SocketsPerAddress,
        Self::SocketsPerToken,
        Self::RequestRate,
        Self::RequestRatePerToken,
        Self::TokenRequestsPerMinute,
        Self::ConnectionRate,
    ];
}

/// What stands at one moment, the request that is being offered included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([(u32, u32); Dose::ALL.len()]);

impl Counts {
    /// All that were offered.
    pub fn offered(&self, dose: Dose) -> u32 {
        self.0.get(dose as usize).map_or(0, |pair| pair.0)
    }

    /// Without those that were refused.
    pub fn admitted(&self, dose: Dose) -> u32 {
        self.0.get(dose as usize).map_or(0, |pair| pair.1)
    }

    fn set(&mut self, dose: Dose, pair: (u32, u32)) {
        if let Some(slot) = self.0.get_mut(dose as usize) {
            *slot = pair;
        }
    }
}

/// The keys that a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) kind: Kind,
    pub(super) token: Option<u32>,
    pub(super) address: u32,
}

/// The running counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    all: Tally,
    routes: HashMap<Kind, Tally>,
    tokens: HashMap<u32, Tally>,
    addresses: HashMap<u32, Tally>,
    sockets: u32,
    sockets_of_token: HashMap<u32, u32>,
    sockets_of_address: HashMap<u32, u32>,
    rate: Window,
    rate_of_token: HashMap<u32, Window>,
    minute_of_token: HashMap<u32, Window>,
    connections: VecDeque<i64>,
}

impl Counter {
    /// Counts a request that is offered, and says what stands then.
    pub(super) fn offer(&mut self, keys: Keys, now: i64) -> Counts {
        let mut counts = Counts::default();
        self.all.offered += 1;
        counts.set(Dose::InFlight, self.all.with_one());
        let route = self.routes.entry(keys.kind).or_default();
        route.offered += 1;
        counts.set(Dose::InFlightPerRoute, route.with_one());
        let address = self.addresses.entry(keys.address).or_default();
        address.offered += 1;
        counts.set(Dose::InFlightPerAddress, address.with_one());
        counts.set(Dose::RequestRate, self.rate.offer(now, SECOND));
        if let Some(token) = keys.token {
            let tally = self.tokens.entry(token).or_default();
            tally.offered += 1;
            counts.set(Dose::InFlightPerToken, tally.with_one());
            counts.set(Dose::RequestRatePerToken, self.rate_of_token.entry(token).or_default().offer(now, SECOND));
            let minute = self.minute_of_token.entry(token).or_default().offer(now, 60 * SECOND);
            counts.set(Dose::TokenRequestsPerMinute, minute);
        }
        // An upgrade that is offered counts itself, as any request does.
        let own = u32::from(keys.kind == Kind::Socket);
        let twice = |count: u32| (count + own, count + own);
        counts.set(Dose::Sockets, twice(self.sockets));
        let of_token = keys.token.and_then(|token| self.sockets_of_token.get(&token));
        counts.set(Dose::SocketsPerToken, twice(of_token.copied().unwrap_or(0)));
        let of_address = self.sockets_of_address.get(&keys.address);
        counts.set(Dose::SocketsPerAddress, twice(of_address.copied().unwrap_or(0)));
        counts.set(Dose::ConnectionRate, same(recent(&mut self.connections, now)));
        counts
    }

    /// It was let in.
    pub(super) fn admit(&mut self, keys: Keys, now: i64) {
        self.each(keys, |tally| tally.admitted += 1);
        self.rate.admitted.push_back(now);
        if let Some(token) = keys.token {
            self.rate_of_token.entry(token).or_default().admitted.push_back(now);
            self.minute_of_token.entry(token).or_default().admitted.push_back(now);
        }
    }

    /// It is over.
    pub(super) fn finish(&mut self, keys: Keys, was_admitted: bool) {
        self.each(keys, |tally| {
            tally.offered = tally.offered.saturating_sub(1);
            if was_admitted {
                tally.admitted = tally.admitted.saturating_sub(1);
            }
        });
    }

    fn each(&mut self, keys: Keys, change: impl Fn(&mut Tally)) {
        change(&mut self.all);
        change(self.routes.entry(keys.kind).or_default());
        change(self.addresses.entry(keys.address).or_default());
        if let Some(token) = keys.token {
            change(self.tokens.entry(token).or_default());
        }
    }

    /// A socket was granted (1) or is gone (-1).
    pub(super) fn socket(&mut self, token: Option<u32>, address: u32, step: i32) {
        let change = |count: &mut u32| *count = count.saturating_add_signed(step);
        change(&mut self.sockets);
        change(self.sockets_of_address.entry(address).or_default());
        if let Some(token) = token {
            change(self.sockets_of_token.entry(token).or_default());
        }
    }

    /// A connection was accepted; how many were within the last second, it included.
    pub(super) fn connection(&mut self, now: i64) -> u32 {
        self.connections.push_back(now);
        recent(&mut self.connections, now)
    }
}

fn same(count: u32) -> (u32, u32) {
    (count, count)
}

/// How many are within the last second; older ones are forgotten.
fn recent(instants: &mut VecDeque<i64>, now: i64) -> u32 {
    forget(instants, now - SECOND);
    instants.len() as u32
}

fn forget(instants: &mut VecDeque<i64>, until: i64) {
    while instants.front().is_some_and(|instant| *instant <= until) {
        instants.pop_front();
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    offered: u32,
    admitted: u32,
}

impl Tally {
    /// Both counts, with the request that was just offered in each.
    fn with_one(self) -> (u32, u32) {
        (self.offered, self.admitted + 1)
    }
}

/// A sliding window.
#[derive(Clone, Debug, Default)]
struct Window {
    offered: VecDeque<i64>,
    admitted: VecDeque<i64>,
}

impl Window {
    fn offer(&mut self, now: i64, length: i64) -> (u32, u32) {
        self.offered.push_back(now);
        forget(&mut self.offered, now - length);
        forget(&mut self.admitted, now - length);
        (self.offered.len() as u32, self.admitted.len() as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn counts_include_the_request_itself_and_know_who_was_let_in() {
        let mut counter = Counter::default();
        let keys = |kind, token, address| Keys { kind, token: Some(token), address };
        let first = keys(Kind::Read, 1, 0);
        let counts = counter.offer(first, 0);
        assert_eq!((counts.offered(Dose::InFlight), counts.admitted(Dose::InFlight)), (1, 1));
        counter.admit(first, 0);
        let second = keys(Kind::Read, 2, 0);
        let counts = counter.offer(second, 10);
        assert_eq!((counts.offered(Dose::InFlight), counts.admitted(Dose::InFlight)), (2, 2));
        // The second was refused: it counts as offered alone.
        let third = keys(Kind::Write, 1, 1);
        let counts = counter.offer(third, 20);
        assert_eq!((counts.offered(Dose::InFlight), counts.admitted(Dose::InFlight)), (3, 2));
        assert_eq!(counts.offered(Dose::InFlightPerRoute), 1);
        assert_eq!(counts.offered(Dose::InFlightPerToken), 2);
        assert_eq!(counts.offered(Dose::InFlightPerAddress), 1);
        assert_eq!((counts.offered(Dose::RequestRate), counts.admitted(Dose::RequestRate)), (3, 2));
        counter.finish(first, true);
        counter.finish(second, false);
        counter.finish(third, false);
        let counts = counter.offer(first, SECOND + 15);
        assert_eq!((counts.offered(Dose::InFlight), counts.admitted(Dose::InFlight)), (1, 1));
        assert_eq!((counts.offered(Dose::RequestRate), counts.admitted(Dose::RequestRate)), (2, 1));
        assert_eq!(counts.offered(Dose::TokenRequestsPerMinute), 3);
    }

    #[test]
    fn an_upgrade_counts_itself_as_a_socket() {
        let mut counter = Counter::default();
        counter.socket(Some(1), 0, 1);
        counter.socket(Some(2), 0, 1);
        let upgrade = counter.offer(Keys { kind: Kind::Socket, token: Some(1), address: 0 }, 0);
        assert_eq!(Dose::ALL[4..7].iter().map(|dose| upgrade.offered(*dose)).collect::<Vec<_>>(), [3, 3, 2]);
        let other = counter.offer(Keys { kind: Kind::Read, token: Some(1), address: 1 }, 0);
        assert_eq!(Dose::ALL[4..7].iter().map(|dose| other.offered(*dose)).collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!(counter.connection(0), 1);
        assert_eq!(counter.connection(SECOND - 1), 2);
        assert_eq!(counter.connection(SECOND), 2);
    }
}
