//! One connection: its facts add up to its view, and its bytes go to the decoder of the protocol that it speaks.

use serde::{Deserialize, Serialize};

use crate::{
    decode::{Decoder, Event, http1::Http1},
    model::{
        ConnectionId, Side, Timestamp,
        anomaly::Anomaly,
        connection::Connection,
        exchange::Change,
        observation::What,
        rows::{Extent, Position, Row},
        side::Sides,
        trace::{
            ByteRange, Chunk, Closed, Connect, Dialed, Ended, Fact, Gap, Opened, ProxyMade, Rewritten, Tls, Written,
        },
    },
};

use super::{Out, Shared, assemble::Open, authority::Named, messages::Socket, rows, sessions::Memberships};

/// Rewrites whose request is not there yet.
const UNCLAIMED: usize = 64;
/// Writes of frames that came before their socket was granted.
const EARLY: usize = 64;

/// A connection that is open.
#[derive(Serialize, Deserialize)]
pub(super) struct Conn {
    /// From the first byte on, until another protocol follows or nothing is understood.
    pub(super) http: Option<Box<Http1>>,
    pub(super) parts: Parts,
}

/// All of a connection but its decoder, which needs the rest while it works.
#[derive(Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) view: Connection,
    /// The server's address as text, made once and not for each exchange.
    #[serde(skip)]
    pub(super) server: Option<String>,
    /// Where its host is known before any request.
    pub(super) named: Option<Named>,
    pub(super) stage: Stage,
    /// Exchanges in flight, in order.
    #[expect(clippy::vec_box, reason = "they are large; most connections have one, and a Vec makes room for four")]
    pub(super) open: Vec<Box<Open>>,
    pub(super) socket: Option<Box<Socket>>,
    pub(super) memberships: Memberships,
    pub(super) marks: Sides<Mark>,
    /// Changes whose request's head is not complete.
    unclaimed: Vec<(Rewritten, Box<[u8]>)>,
    /// What was written of the client's bytes since it asked for a socket that is not granted yet.
    #[serde(default)]
    pub(super) early: Vec<Written>,
    /// Who ended first, and when.
    pub(super) first_end: Option<(Side, Timestamp)>,
    #[serde(default)]
    pub(super) extent: Extent,
}

/// Who gets the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// The HTTP decoder, which also hands over what belongs to the next protocol.
    Http,
    /// The WebSocket's decoder alone.
    WebSocket,
    /// Nobody.
    Opaque,
}

/// How far one side's bytes have come.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    /// One past its last byte.
    pub(super) received: u64,
    /// Where the first byte of what is on its way (head or frame) was recorded.
    #[serde(default)]
    pub(super) began: Option<Position>,
}

/// What one event works with.
pub(super) struct Fold<'a, 'o> {
    pub(super) shared: &'a mut Shared,
    pub(super) parts: &'a mut Parts,
    pub(super) position: Position,
    /// Whose bytes are being decoded, if any.
    pub(super) from: Option<Side>,
    /// When what is going on became known.
    pub(super) at: Timestamp,
    pub(super) out: &'a mut Out<'o>,
}

impl Parts {
    /// HTTP ended by an upgrade to something that is not known here.
    pub(super) fn upgraded(&mut self) {
        self.stage = Stage::Opaque;
        self.view.opaque.get_or_insert_with(|| "upgrade".to_owned());
    }
}

impl Conn {
    pub(super) fn new(id: ConnectionId, opened: &Opened, position: Position) -> Self {
        let view = Connection {
            id,
            mode: opened.mode.clone(),
            client: opened.client,
            opened: opened.at,
            first_byte: None,
            connect: None,
            dialed: None,
            server_tls: None,
            client_tls: None,
            server_rtt_ns: None,
            ended: Sides::default(),
            closed: None,
            bytes: Sides::default(),
            exchanges: 0,
            frames: 0,
            gaps: 0,
            proxy_error: None,
            opaque: None,
        };
        let named = Named::of_mode(&opened.mode);
        let parts = Parts {
            view,
            server: None,
            named,
            stage: Stage::Http,
            open: Vec::new(),
            socket: None,
            memberships: Memberships::default(),
            marks: Sides::default(),
            unclaimed: Vec::new(),
            early: Vec::new(),
            first_end: None,
            extent: Extent { first: position, last: position },
        };
        Self { http: None, parts }
    }

    /// One more fact. The connection is over after a `Closed`.
    pub(super) fn fact(
        &mut self,
        fact: &Fact<'_>,
        at: Timestamp,
        position: Position,
        shared: &mut Shared,
        out: &mut Out<'_>,
    ) {
        self.parts.extent.last = position;
        let mut fold = Fold { shared, parts: &mut self.parts, position, from: None, at, out };
        match fact {
            Fact::Data(chunk) => fold.data(&mut self.http, chunk),
            Fact::Written(written) => fold.written(written),
            Fact::Connect(connect, _) => fold.connect(&mut self.http, connect),
            Fact::Dialed(dialed) => fold.dialed(&mut self.http, dialed),
            Fact::Tls(tls) => fold.tls(tls),
            Fact::Rewritten(rewritten, bytes) => fold.rewritten(rewritten, bytes),
            Fact::ProxyMade(made, bytes) => fold.proxy_made(&mut self.http, made, bytes),
            Fact::Ended(ended) => fold.ended(&mut self.http, ended),
            Fact::Closed(closed) => fold.closed(&mut self.http, closed),
            Fact::ServerRtt(rtt) => fold.parts.view.server_rtt_ns = Some(rtt.rtt_ns),
            Fact::Gap(gap) => fold.gap(&mut self.http, gap),
            Fact::Opened(_)
            | Fact::SteppedAside(_)
            | Fact::Stalled(_)
            | Fact::ClockStep(_)
            | Fact::Dropped(_)
            | Fact::Cpu(_) => {}
        }
    }

    /// The capture ends while the connection is open: hands out what is known of it.
    pub(super) fn break_off(&mut self, at: Timestamp, position: Position, shared: &mut Shared, out: &mut Out<'_>) {
        let mut fold = Fold { shared, parts: &mut self.parts, position, from: None, at, out };
        fold.flush_frames();
        fold.finish_all(at);
        fold.connection_row();
    }
}

impl Fold<'_, '_> {
    pub(super) fn anomaly(&mut self, anomaly: &Anomaly) {
        let Self { shared, parts, at, out, .. } = self;
        if anomaly.opaque {
            parts.view.opaque.get_or_insert_with(|| anomaly.kind.as_str().to_owned());
        }
        let open = parts.open.iter().rev().find(|open| open.concerns(anomaly.range)).or_else(|| parts.open.last());
        let session = open.and_then(|open| open.seat.session);
        let exchange = open.map(|open| &open.exchange);
        shared.observe(*at, parts.view.id, session, What::Anomaly(exchange, anomaly), *out);
    }

    fn connect(&mut self, http: &mut Option<Box<Http1>>, connect: &Connect) {
        // Behind plain requests, what the tunnel carries is judged by itself.
        if let Some(decoder) = http {
            decoder.begin_anew();
        }
        self.parts.view.first_byte.get_or_insert(connect.begin);
        if let Some(named) = Named::of_connect(&connect.authority) {
            self.parts.named = Some(named);
        }
        self.parts.view.connect = Some(connect.clone());
    }

    fn dialed(&mut self, http: &mut Option<Box<Http1>>, dialed: &Dialed) {
        self.blame(dialed.error.as_deref());
        // The server before has sent all that it had to.
        if self.parts.view.dialed.is_some() {
            self.from = Some(Side::Server);
            self.end_side(http, Side::Server, dialed.begin);
        }
        self.parts.view.dialed = Some(dialed.clone());
        self.parts.server = rows::server(&self.parts.view);
    }

    fn tls(&mut self, tls: &Tls) {
        self.blame(tls.error.as_deref());
        match tls.side {
            Side::Client => {
                self.parts.view.first_byte.get_or_insert(tls.begin);
                self.parts.view.client_tls = Some(tls.clone());
                // HTTP/2 is relayed and not decoded: to take it for broken HTTP/1 would be wrong.
                if let Some(protocol) = tls.alpn.as_deref().filter(|protocol| !protocol.starts_with("http/1")) {
                    self.parts.stage = Stage::Opaque;
                    self.parts.view.opaque.get_or_insert_with(|| protocol.to_owned());
                }
            }
            Side::Server => self.parts.view.server_tls = Some(tls.clone()),
        }
    }

    fn blame(&mut self, error: Option<&str>) {
        if let (Some(error), None) = (error, &self.parts.view.proxy_error) {
            self.parts.view.proxy_error = Some(error.to_owned());
        }
    }

    fn data(&mut self, http: &mut Option<Box<Http1>>, chunk: &Chunk<'_>) {
        let range = chunk.range();
        if chunk.from == Side::Client {
            self.parts.view.first_byte.get_or_insert_with(|| chunk.at());
        }
        self.from = Some(chunk.from);
        let mark = self.parts.marks.of_mut(chunk.from);
        mark.received = mark.received.max(range.end);
        mark.began.get_or_insert(self.position);
        *self.parts.view.bytes.of_mut(chunk.from) = mark.received;
        match self.parts.stage {
            Stage::Opaque => {}
            Stage::WebSocket => self.socket_data(chunk),
            Stage::Http => {
                let options = self.shared.options.http1;
                let decoder = http.get_or_insert_with(|| Box::new(Http1::new(options)));
                decoder.swap_heads(&mut self.shared.heads);
                decoder.push(chunk, &mut |event| self.event(event));
                decoder.swap_heads(&mut self.shared.heads);
                self.early_frames();
                self.settle(http);
            }
        }
    }

    /// Drops the HTTP decoder once it has nothing more to say.
    fn settle(&mut self, http: &mut Option<Box<Http1>>) {
        let Some(decoder) = http else { return };
        if decoder.is_opaque() {
            self.parts.stage = Stage::Opaque;
        } else if decoder.has_switched() && self.parts.open.iter().all(|open| open.request_ended) {
            self.parts.stage = Stage::WebSocket;
            if self.parts.socket.is_none() {
                self.parts.upgraded();
            }
        } else {
            return;
        }
        *http = None;
    }

    fn gap(&mut self, http: &mut Option<Box<Http1>>, gap: &Gap) {
        self.parts.view.gaps += 1;
        self.parts.open.iter_mut().for_each(|open| open.holed = true);
        let mark = self.parts.marks.of_mut(gap.range.from);
        mark.received = mark.received.max(gap.range.end);
        mark.began.get_or_insert(self.position);
        *self.parts.view.bytes.of_mut(gap.range.from) = mark.received;
        self.from = Some(gap.range.from);
        match self.parts.stage {
            Stage::Opaque => {}
            Stage::WebSocket => self.socket_lost(gap.range, gap.at),
            Stage::Http => {
                let options = self.shared.options.http1;
                let decoder = http.get_or_insert_with(|| Box::new(Http1::new(options)));
                let switched = decoder.has_switched();
                decoder.lost(gap.range, gap.at, &mut |event| self.event(event));
                if switched {
                    self.socket_lost(gap.range, gap.at);
                }
                self.settle(http);
            }
        }
    }

    fn written(&mut self, written: &Written) {
        if self.parts.socket.is_some() {
            if written.from == Side::Server {
                self.opened(written);
            }
            self.frames_written(written);
        } else if written.from == Side::Client
            && self.parts.early.len() < EARLY
            && self.parts.open.iter().any(|open| open.upgrade)
        {
            self.parts.early.push(*written);
        }
    }

    /// Frames that the client sent before its upgrade was granted are known now; they had been written before.
    fn early_frames(&mut self) {
        if self.parts.socket.is_some() {
            for written in std::mem::take(&mut self.parts.early) {
                self.frames_written(&written);
            }
        }
    }

    /// A change belongs to the request within whose head it lies.
    fn rewritten(&mut self, fact: &Rewritten, bytes: &[u8]) {
        match self.parts.open.iter_mut().rev().find(|open| open.has_head(fact.range)) {
            Some(open) => open.change(fact.clone(), bytes),
            None if self.parts.unclaimed.len() < UNCLAIMED => self.parts.unclaimed.push((fact.clone(), bytes.into())),
            None => {}
        }
    }

    /// The changes that were recorded before the head within `range` was complete.
    pub(super) fn claim(&mut self, range: ByteRange, raw: &[u8]) -> Vec<Change> {
        if self.parts.unclaimed.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.parts.unclaimed);
        let (ours, others) = all.into_iter().partition(|(fact, _)| fact.range.start < range.end);
        self.parts.unclaimed = others;
        let ours: Vec<(Rewritten, Box<[u8]>)> = ours;
        ours.into_iter()
            .filter(|(fact, _)| fact.range.start >= range.start)
            .map(|(fact, became)| Change { was: rows::within(raw, range, fact.range).into(), fact, became })
            .collect()
    }

    fn proxy_made(&mut self, http: &mut Option<Box<Http1>>, made: &ProxyMade, bytes: &[u8]) {
        self.blame(Some(&made.cause));
        if made.to_connect {
            return;
        }
        let Some(open) = self.parts.open.iter_mut().find(|open| open.exchange.response.is_none()) else { return };
        open.exchange.proxy_made = Some(made.cause.clone());
        if let Some(decoder) = http {
            decoder.inject(bytes, made.at, &mut |event| self.event(event));
            self.settle(http);
        }
    }

    fn ended(&mut self, http: &mut Option<Box<Http1>>, ended: &Ended) {
        self.parts.first_end.get_or_insert((ended.from, ended.at));
        *self.parts.view.ended.of_mut(ended.from) = Some(ended.at);
        self.from = Some(ended.from);
        self.end_side(http, ended.from, ended.at);
        self.socket_ended(ended.at);
        self.settle(http);
    }

    fn end_side(&mut self, http: &mut Option<Box<Http1>>, side: Side, at: Timestamp) {
        if self.parts.stage != Stage::Opaque
            && let Some(decoder) = http
        {
            decoder.end(side, at, &mut |event| self.event(event));
        }
        self.socket_end(side, at);
    }

    fn closed(&mut self, http: &mut Option<Box<Http1>>, closed: &Closed) {
        self.blame(closed.error.as_deref());
        for side in Side::BOTH {
            self.from = Some(side);
            self.end_side(http, side, closed.at);
        }
        *http = None;
        self.parts.view.closed = Some((closed.at, closed.by, closed.how));
        self.socket_closed(closed);
        self.flush_frames();
        self.finish_all(closed.at);
        self.shared.sessions.connection_closed(&mut self.parts.memberships, closed.at);
        let Self { shared, parts, at, out, .. } = self;
        shared.observe(*at, parts.view.id, None, What::ConnectionClosed(&parts.view), *out);
        self.connection_row();
    }

    fn connection_row(&mut self) {
        (self.out)(super::Output::Row(Row::Connection(rows::connection(&self.parts.view, self.parts.extent))));
    }

    /// One event of whatever decoder.
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Http(event) => self.http(event),
            Event::WebSocket(event) => self.web_socket(event),
            Event::Anomaly(anomaly) => self.anomaly(&anomaly),
        }
    }

    /// A message or frame of `side` is complete, which ended at `end`: where was what comes next first recorded?
    pub(super) fn next_begins(&mut self, side: Side, end: u64) {
        let here = self.from == Some(side);
        let mark = self.parts.marks.of_mut(side);
        if mark.received <= end {
            mark.began = None;
        } else if here {
            mark.began = Some(self.position);
        }
        // Else the bytes were held until the other side decided what they are: the earlier place covers them too.
    }

    /// Where what is now complete of that side was first recorded.
    pub(super) fn began(&self, side: Side) -> Position {
        self.parts.marks.of(side).began.unwrap_or(self.position)
    }
}
