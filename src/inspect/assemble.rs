//! HTTP events to exchanges.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    decode::{
        HttpEvent, SwitchedTo,
        content::{Decoded, decode_content},
    },
    model::{
        ExchangeId, Side, Timestamp,
        exchange::{Change, Exchange},
        http::{Body, Head},
        observation::{Collected, What},
        rows::{Extent, Position, Row},
        session::{Borne, Clash},
        trace::{ByteRange, Rewritten},
    },
    redact::{Digest, Redactor},
};

use super::{
    Output, authority,
    connection::Fold,
    rows,
    sessions::{Bears, Found, KeyMark, Seat},
};

/// How much of a refusal's body is collected.
const REFUSAL_CAP: usize = 64 * 1024;
/// Interim responses of one exchange that are kept.
const INTERIM: usize = 16;

/// An exchange in flight, or the one under a WebSocket.
#[derive(Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) exchange: Exchange,
    pub(super) seat: Seat,
    /// What it bears, where it gets its seat only when its body is known.
    #[serde(default)]
    awaits_body: Option<Bears>,
    #[serde(skip)]
    request: Collector,
    #[serde(skip)]
    response: Collector,
    /// Whether it asked for a WebSocket.
    pub(super) upgrade: bool,
    pub(super) request_ended: bool,
    response_ended: bool,
    /// Whether bytes were lost while it was open.
    #[serde(default)]
    pub(super) holed: bool,
    #[serde(default)]
    pub(super) first: Position,
}

/// A body on its way.
#[derive(Debug, Default)]
enum Collector {
    /// Not collected.
    #[default]
    Off,
    /// To be collected if it begins like JSON.
    IfJson,
    /// So far.
    On(Vec<u8>),
    /// Its beginning; there is more.
    Full(Vec<u8>),
}

impl Open {
    /// Whether the range lies in the request's head.
    pub(super) fn has_head(&self, range: ByteRange) -> bool {
        let head = self.exchange.request.range;
        head.from == range.from && head.start <= range.start && range.end <= head.end
    }

    /// Whether the range lies in the request's or the response's bytes, or behind their begin.
    pub(super) fn concerns(&self, range: ByteRange) -> bool {
        let head = match range.from {
            Side::Client => Some(&self.exchange.request),
            Side::Server => self.exchange.response.as_ref(),
        };
        head.is_some_and(|head| head.range.start <= range.start)
    }

    /// Those keys of which it bears no value so far: the first one counts.
    pub(super) fn new_keys(&self, mut keys: Vec<KeyMark>) -> Vec<KeyMark> {
        keys.retain(|key| self.exchange.borne.keys.iter().all(|borne| borne.name != key.name));
        keys
    }

    /// One more disagreement of its means; the worst one is told.
    pub(super) fn clashes(&mut self, clash: Option<Clash>) {
        let known = &mut self.exchange.borne.clash;
        *known = known.iter().copied().chain(clash).min();
    }

    pub(super) fn change(&mut self, fact: Rewritten, became: &[u8]) {
        let request = &self.exchange.request;
        let was = rows::within(&request.raw, request.range, fact.range).into();
        self.exchange.rewritten.push(Change { fact, was, became: became.into() });
    }
}

impl Fold<'_, '_> {
    pub(super) fn http(&mut self, event: HttpEvent<'_>) {
        match event {
            HttpEvent::RequestHead { exchange, head, began, at } => self.request_head(exchange, head, began, at),
            HttpEvent::RequestBody { exchange, bytes, .. } => self.request_body(exchange, bytes),
            HttpEvent::RequestEnded { exchange, body, at } => self.request_ended(exchange, body, at),
            HttpEvent::ResponseHead { exchange, head, interim, began, at } => {
                self.response_head(exchange, head, interim, began, at);
            }
            HttpEvent::ResponseBody { exchange, bytes, .. } => self.response_body(exchange, bytes),
            HttpEvent::ResponseEnded { exchange, body, at } => self.response_ended(exchange, body, at),
            HttpEvent::Switched { exchange, to, at } => self.switched(exchange, &to, at),
            HttpEvent::Handover(chunk) => {
                if self.parts.socket.is_some() {
                    self.socket_data(&chunk);
                }
            }
        }
    }

    fn find(&mut self, index: u32) -> Option<&mut Open> {
        self.parts.open.iter_mut().find(|open| open.exchange.index == index).map(|open| &mut **open)
    }

    fn request_head(&mut self, index: u32, head: Head, began: Timestamp, at: Timestamp) {
        self.shared.exchanges += 1;
        self.parts.view.exchanges += 1;
        let websocket = head.asks_for_websocket();
        let tls = self.parts.view.client_tls.as_ref().is_some_and(|tls| tls.error.is_none());
        let (scheme, authority) = authority::of_request(self.parts.named.as_ref(), &head, tls, websocket);
        let rewritten = self.claim(head.range, &head.raw);
        let first = self.began(Side::Client);
        let mut exchange = Exchange {
            id: ExchangeId(self.shared.exchanges),
            connection: self.parts.view.id,
            index,
            scheme,
            authority,
            request: head,
            request_body: Body::default(),
            response: None,
            response_body: Body::default(),
            interim: Vec::new(),
            request_first_byte: began,
            request_last_byte: None,
            response_first_byte: None,
            response_last_byte: None,
            proxy_made: None,
            rewritten,
            websocket: None,
            borne: Borne::default(),
            done: false,
        };
        // Rules speak of requests before these have a row.
        self.shared.redactor.learn_target(&exchange.request);
        let (bears, collector) = self.look(&exchange);
        exchange.borne = Borne {
            client: Some(bears.address),
            token: bears.token.map(Digest::fingerprint),
            keys: bears.keys.iter().map(|key| self.shared.sessions.shown(*key)).collect(),
            clash: None,
        };
        let may_hold_key = self.shared.places.in_body() && !websocket && !collector.is_off();
        let (mut seat, mut awaits_body) = (Seat::default(), None);
        // A header whose user has a socket says enough.
        let is_known = bears.header.is_some_and(|header| self.shared.sessions.has_socket(header));
        if may_hold_key && !is_known && bears.keys.is_empty() {
            awaits_body = Some(bears);
        } else {
            (seat, exchange.borne.clash) = self.shared.sessions.seat(&exchange, &bears, &mut self.parts.memberships);
        }
        let open = Box::new(Open {
            exchange,
            seat,
            awaits_body,
            request: collector,
            response: Collector::Off,
            upgrade: websocket,
            request_ended: false,
            response_ended: false,
            holed: false,
            first,
        });
        self.at = at.max(self.at);
        self.shared.observe(
            self.at,
            self.parts.view.id,
            open.seat.session,
            What::RequestHead(&open.exchange),
            self.out,
        );
        self.parts.open.push(open);
    }

    /// What of a request's head decides about its session, and about its body.
    fn look(&mut self, exchange: &Exchange) -> (Bears, Collector) {
        let address = self.parts.view.client.ip();
        let found = self.shared.places.of_head(exchange, exchange.asked_for_websocket());
        let keys = keys_of(&mut self.shared.redactor, found);
        let mut bears = Bears { header: None, keys, token: None, address };
        let mut identity = usize::MAX;
        let mut collector = Collector::IfJson;
        for (name, value) in exchange.request.headers() {
            match name.len() {
                12 if name.eq_ignore_ascii_case(b"content-type") && !value.is_empty() => {
                    collector = if is_text(value) { Collector::On(Vec::new()) } else { Collector::Off };
                }
                13 if bears.token.is_none() && name.eq_ignore_ascii_case(b"authorization") => {
                    let credentials = self.shared.redactor.credentials_of(&exchange.request, value);
                    bears.token = credentials.filter(|_| !(is_basic(value) && exchange.is_at_token_endpoint()));
                }
                _ => {
                    let names = &self.shared.options.identity_headers;
                    if let Some(rank) = names.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
                        && rank < identity
                        && !value.is_empty()
                    {
                        identity = rank;
                        bears.header = Some(self.shared.redactor.digest(value));
                    }
                }
            }
        }
        (bears, collector)
    }

    fn request_body(&mut self, index: u32, bytes: &[u8]) {
        let (cap, held_cap) = (self.shared.options.body_cap, self.shared.options.bodies_cap);
        let mut held = self.shared.held;
        if let Some(open) = self.find(index) {
            open.exchange.request_body.bytes += bytes.len() as u64;
            open.request.push(bytes, cap, held_cap, &mut held);
        }
        self.shared.held = held;
    }

    fn response_body(&mut self, index: u32, bytes: &[u8]) {
        let held_cap = self.shared.options.bodies_cap;
        let mut held = self.shared.held;
        if let Some(open) = self.find(index) {
            open.exchange.response_body.bytes += bytes.len() as u64;
            open.response.push(bytes, REFUSAL_CAP, held_cap, &mut held);
        }
        self.shared.held = held;
    }

    fn request_ended(&mut self, index: u32, body: Body, at: Timestamp) {
        let connection = self.parts.view.id;
        let Some(open) = self.find(index) else { return };
        let end = body.range.map_or(open.exchange.request.range.end, |range| range.end);
        open.exchange.request_last_byte = body.complete.then_some(at);
        open.exchange.request_body = body;
        open.request_ended = true;
        let collector = std::mem::take(&mut open.request);
        let known = self.at.max(at);
        if self.shared.places.in_body() {
            self.body_known(index, &collector);
        }
        if let Some(open) = self.parts.open.iter().find(|open| open.exchange.index == index) {
            let collected = collector.collected(open.exchange.request_body.bytes);
            let what = What::Request(&open.exchange, collected);
            self.shared.observe(known, connection, open.seat.session, what, self.out);
        }
        collector.release(&mut self.shared.held);
        self.next_begins(Side::Client, end);
        self.finish_if_over(index, at);
    }

    /// A request's body is complete, or as complete as it gets: are there keys in it?
    fn body_known(&mut self, index: u32, collector: &Collector) {
        let Self { shared, parts, .. } = self;
        let Some(open) = parts.open.iter_mut().find(|open| open.exchange.index == index) else { return };
        if open.upgrade {
            return;
        }
        let sent = collector.collected(open.exchange.request_body.bytes).whole().unwrap_or_default();
        let body = without_coding(&open.exchange.request, sent, shared.options.body_cap);
        let keys = open.new_keys(keys_of(&mut shared.redactor, shared.places.of_body(&body)));
        open.exchange.borne.keys.extend(keys.iter().map(|key| shared.sessions.shown(*key)));
        match open.awaits_body.take() {
            Some(bears) => {
                let bears = Bears { keys, ..bears };
                let (seat, clash) = shared.sessions.seat(&open.exchange, &bears, &mut parts.memberships);
                open.seat = seat;
                open.clashes(clash);
            }
            None => {
                let found = shared.sessions.keys_found(&mut open.seat, &open.exchange, &keys, &mut parts.memberships);
                open.clashes(found);
            }
        }
    }

    fn response_head(&mut self, index: u32, head: Head, interim: bool, began: Timestamp, at: Timestamp) {
        self.next_begins(Side::Server, head.range.end);
        let Some(place) = self.parts.open.iter().position(|open| open.exchange.index == index) else { return };
        let Some(open) = self.parts.open.get_mut(place) else { return };
        let status = head.status();
        if interim {
            if let (Some(status), true) = (status, open.exchange.interim.len() < INTERIM) {
                open.exchange.interim.push(status);
            }
            return;
        }
        if status.is_some_and(|status| status >= 400) {
            open.response = Collector::On(Vec::new());
        }
        open.exchange.response = Some(head);
        open.exchange.response_first_byte = Some(began);
        if open.upgrade {
            let refused = (status != Some(101)).then_some(at);
            self.shared.sessions.socket(&open.seat, &open.exchange, refused);
            if refused.is_some() {
                self.shared.sessions.leave(&mut open.seat, at);
            }
        }
        let what = What::ResponseHead(&open.exchange);
        self.shared.observe(self.at, self.parts.view.id, open.seat.session, what, self.out);
    }

    fn response_ended(&mut self, index: u32, body: Body, at: Timestamp) {
        let end = body.range.map(|range| range.end);
        let Some(open) = self.find(index) else { return };
        open.exchange.response_last_byte = body.complete.then_some(at);
        open.exchange.response_body = body;
        open.response_ended = true;
        if let Some(end) = end {
            self.next_begins(Side::Server, end);
        }
        self.finish_if_over(index, at);
    }

    fn switched(&mut self, index: u32, to: &SwitchedTo, at: Timestamp) {
        let Some(place) = self.parts.open.iter().position(|open| open.exchange.index == index) else { return };
        match to {
            SwitchedTo::WebSocket { deflate } => self.socket_begins(place, *deflate, at),
            SwitchedTo::Other => {
                self.parts.upgraded();
                self.finish(place, at);
            }
        }
    }

    /// An exchange is over when request and response are. A 101's goes on until what it switched to is known.
    fn finish_if_over(&mut self, index: u32, at: Timestamp) {
        let over = |open: &Open| {
            open.exchange.index == index
                && open.request_ended
                && open.response_ended
                && open.exchange.status() != Some(101)
        };
        if let Some(place) = self.parts.open.iter().position(|open| over(open)) {
            self.finish(place, at);
        }
    }

    /// Everything in flight is over, complete or not.
    pub(super) fn finish_all(&mut self, at: Timestamp) {
        self.parts.socket = None;
        self.parts.early = Vec::new();
        while !self.parts.open.is_empty() {
            self.finish(0, at);
        }
    }

    fn finish(&mut self, place: usize, at: Timestamp) {
        let mut open = self.parts.open.remove(place);
        self.shared.sessions.leave(&mut open.seat, at);
        // The capture's end leaves some in the air, and nobody knows of what is missing whether it was sent.
        let exchange = &open.exchange;
        let whole = exchange.request_body.complete && exchange.response.is_some() && exchange.response_body.complete;
        let over = (open.request_ended && open.response_ended) || self.parts.view.closed.is_some();
        open.exchange.done = over && (whole || !open.holed);
        open.request.release(&mut self.shared.held);
        let known = self.at.max(at);
        let collected = open.response.collected(open.exchange.response_body.bytes);
        let what = What::Exchange(&open.exchange, collected);
        self.shared.observe(known, self.parts.view.id, open.seat.session, what, self.out);
        open.response.release(&mut self.shared.held);
        let extent = Extent { first: open.first, last: self.position };
        let redactor = &mut self.shared.redactor;
        let server = self.parts.server.as_deref();
        let row = rows::exchange(&open.exchange, open.seat.session, server, redactor, extent);
        (self.out)(Output::Row(Row::Exchange(Box::new(row))));
    }
}

impl Collector {
    fn push(&mut self, bytes: &[u8], cap: usize, held_cap: usize, held: &mut usize) {
        if matches!(self, Self::IfJson) {
            match bytes.trim_ascii_start().first() {
                Some(b'{' | b'[') => *self = Self::On(Vec::new()),
                // A mark of UTF-8; what follows it decides nothing, since it is wrong anyway.
                Some(0xef) => *self = Self::On(Vec::new()),
                Some(_) => *self = Self::Off,
                None => *self = Self::On(Vec::new()),
            }
        }
        let Self::On(so_far) = self else { return };
        let room = cap.saturating_sub(so_far.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        if *held + taken.len() > held_cap {
            *held = held.saturating_sub(so_far.len());
            *self = Self::Off;
            return;
        }
        so_far.extend_from_slice(taken);
        *held += taken.len();
        if taken.len() < bytes.len() {
            *self = Self::Full(std::mem::take(so_far));
        }
    }

    fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// What there is of a body of that size; one with a hole in it is none.
    fn collected(&self, size: u64) -> Collected<'_> {
        match self {
            Self::On(bytes) if bytes.len() as u64 == size => Collected::Whole(bytes),
            Self::Full(bytes) => Collected::TooLarge(bytes),
            Self::IfJson if size == 0 => Collected::Whole(b""),
            Self::Off | Self::IfJson | Self::On(_) => Collected::Not,
        }
    }

    fn release(&self, held: &mut usize) {
        if let Self::On(bytes) | Self::Full(bytes) = self {
            *held = held.saturating_sub(bytes.len());
        }
    }
}

/// What stands for keys: values of different ones differ.
pub(super) fn keys_of(redactor: &mut Redactor, found: Vec<Found<'_>>) -> Vec<KeyMark> {
    let mark = |(name, value): Found<'_>| KeyMark {
        name: redactor.digest(name.as_bytes()).fingerprint(),
        value: redactor.digest(&[name.as_bytes(), b"\0", &value].concat()),
    };
    found.into_iter().map(mark).collect()
}

/// A body without its content coding; one that is larger then than `cap` is none, as if it had been sent so.
fn without_coding<'a>(head: &Head, sent: &'a [u8], cap: usize) -> Cow<'a, [u8]> {
    let coding = head.header("content-encoding").filter(|coding| !coding.is_empty() && !sent.is_empty());
    match coding.map(|coding| decode_content(coding, sent, cap)) {
        None => Cow::Borrowed(sent),
        Some(Decoded::Whole(plain)) => Cow::Owned(plain),
        Some(Decoded::Capped(_) | Decoded::Damaged(_) | Decoded::Unsupported(_)) => Cow::Borrowed(b""),
    }
}

/// Whether credentials are of the scheme `Basic`.
fn is_basic(authorization: &[u8]) -> bool {
    authorization.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

/// Whether a body of that type can hold text that rules read.
fn is_text(content_type: &[u8]) -> bool {
    let media = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let ends_with = |ending: &[u8]| {
        media.len() >= ending.len()
            && media.get(media.len() - ending.len()..).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    media.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        || ends_with(b"json")
        || ends_with(b"/x-www-form-urlencoded")
        || ends_with(b"xml")
        || ends_with(b"/graphql")
}
