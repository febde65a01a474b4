//! The decoder's messages: what begins when a head is complete, and how it ends.

use std::{collections::VecDeque, mem};

use serde::{Deserialize, Serialize};

use crate::{
    decode::{Event, HttpEvent, Sink, SwitchedTo},
    model::{
        Side, Timestamp,
        anomaly::AnomalyKind,
        http::{Framing, Head},
        trace::ByteRange,
    },
};

use super::{
    Http1, Stage,
    body::{Asked, BodyScanner, Progress, request_framed, response_framed},
    head::{Kind, Trouble, find_head_end},
    heads::Found,
    lane::{Message, State},
    upgrade::switched_to,
};

/// A request that waits for its final response head.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) exchange: u32,
    pub(super) asked: Asked,
    /// Whether its response decides what the client's next bytes are.
    pub(super) decides: bool,
    pub(super) websocket: bool,
}

/// A queue that pipelining made larger is given back when it is empty.
const KEPT_CAPACITY: usize = 32;

/// What a response head means for what follows.
struct Answer {
    exchange: u32,
    framing: Framing,
    interim: bool,
    switched: Option<SwitchedTo>,
    /// Whether the client's bytes behind its request are HTTP after all.
    refused: bool,
}

impl Http1 {
    /// A head is complete; its side's state is already that between messages.
    pub(super) fn complete(
        &mut self,
        raw: &[u8],
        range: ByteRange,
        began: Timestamp,
        at: Timestamp,
        out: &mut Sink<'_>,
    ) {
        match range.from {
            Side::Client => self.request(raw, range, began, at, out),
            Side::Server => self.response(raw, range, began, at, out),
        }
    }

    fn request(&mut self, raw: &[u8], range: ByteRange, began: Timestamp, at: Timestamp, out: &mut Sink<'_>) {
        if self.adrift {
            self.regain(at, out);
        }
        self.pipelined |= !self.waiting.is_empty() || matches!(self.lanes.server.state, State::Body(_));
        if self.waiting.len() >= self.options.max_waiting {
            self.anomaly(AnomalyKind::TooMuchWaiting, range, at, true, out);
            return self.pass_client(true, out);
        }
        let Found { head, troubles, declared } = self.heads.read(raw, range, Kind::Request);
        let (framing, faulty) = request_framed(declared);
        self.exchanges = self.exchanges.saturating_add(1);
        let exchange = self.exchanges;
        let asked = Asked::by(&head);
        let upgrade = head.header("upgrade").is_some();
        self.waiting.push_back(Waiting {
            exchange,
            asked,
            decides: upgrade || asked == Asked::Connect,
            websocket: upgrade && head.asks_for_websocket(),
        });
        self.lanes.client.begun = true;
        let named = named(&head, &troubles, faulty);
        out(Event::Http(HttpEvent::RequestHead { exchange, head, began, at }));
        self.name(&named, at, out);
        self.begin(exchange, framing, range, at, out);
        self.release(Side::Server, out);
    }

    fn response(&mut self, raw: &[u8], range: ByteRange, began: Timestamp, at: Timestamp, out: &mut Sink<'_>) {
        let found = self.heads.read(raw, range, Kind::Response);
        let Some(answer) = self.answer(found, began, at, out) else { return };
        self.lanes.server.begun = true;
        if !answer.interim {
            self.begin(answer.exchange, answer.framing, range, at, out);
        }
        if let Some(to) = answer.switched {
            self.switch(answer.exchange, to, at, out);
        } else if answer.refused {
            self.release(Side::Client, out);
        }
    }

    /// An answer that the proxy made itself: complete `bytes`, which the server never sent, at the server's present
    /// offset. Decoded like a response, except that its ranges are empty and the server's bytes are counted on from
    /// where they were. What the server was in the midst of sending is over. Where HTTP is (opaque, switched) there is
    /// nothing that it could answer, and no event.
    pub fn inject(&mut self, bytes: &[u8], at: Timestamp, out: &mut Sink<'_>) {
        if self.stage != Stage::Http {
            return;
        }
        let Some(end) = find_head_end(bytes, 0) else { return };
        let (raw, mut rest) = (bytes.get(..end).unwrap_or_default(), bytes.get(end..).unwrap_or_default());
        self.close(Side::Server, at, out);
        let offset = self.lanes.server.next;
        let nowhere = ByteRange { from: Side::Server, start: offset, end: offset };
        let found = self.heads.read(raw, nowhere, Kind::Response);
        let Some(answer) = self.answer(found, at, at, out) else { return };
        if answer.interim {
            return;
        }
        let exchange = answer.exchange;
        let mut scanner = BodyScanner::new(answer.framing);
        while !rest.is_empty() {
            let step = scanner.scan(rest);
            if !step.payload.is_empty() {
                out(Event::Http(HttpEvent::ResponseBody { exchange, bytes: step.payload, at }));
            }
            if step.progress != Progress::More {
                break;
            }
            rest = rest.get(step.consumed..).unwrap_or_default();
        }
        let complete = scanner.is_done_at_close();
        let range = (!is_bodiless(answer.framing)).then_some(nowhere);
        out(Event::Http(HttpEvent::ResponseEnded { exchange, body: scanner.into_body(range, complete), at }));
        if answer.refused {
            self.release(Side::Client, out);
        }
    }

    /// Matches a response head with its request, and tells of it. `None` where that ended decoding.
    fn answer(&mut self, found: Found, began: Timestamp, at: Timestamp, out: &mut Sink<'_>) -> Option<Answer> {
        let Found { head, troubles, declared } = found;
        let status = head.status();
        let interim = matches!(status, Some(100 | 102..=199));
        let waiting = if interim { self.waiting.front().copied() } else { self.waiting.pop_front() };
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_CAPACITY {
            self.waiting = VecDeque::new();
        }
        let (framing, faulty) = response_framed(&head, declared, waiting.map_or(Asked::Other, |w| w.asked));
        let granted = match waiting {
            Some(waiting) if status == Some(101) => Some(switched_to(&head, waiting.websocket)),
            Some(Waiting { asked: Asked::Connect, .. }) if matches!(status, Some(200..=299)) => Some(SwitchedTo::Other),
            _ => None,
        };
        let answer = Answer {
            exchange: waiting.map_or(0, |w| w.exchange),
            framing,
            interim,
            refused: !interim && granted.is_none() && waiting.is_some_and(|w| w.decides),
            switched: granted,
        };
        if waiting.is_none() {
            // An unasked 101 leaves nothing to hope for: what follows is not HTTP.
            let lost_ground = status == Some(101);
            let surplus =
                self.lanes.server.begun && !(interim || status == Some(408) || self.unclear || head.range.is_empty());
            let kind = if surplus { AnomalyKind::SurplusResponse } else { AnomalyKind::UnaskedResponse };
            self.anomaly(kind, head.range, at, lost_ground, out);
            if lost_ground {
                self.go_opaque(out);
                return None;
            }
        }
        let named = named(&head, &troubles, faulty);
        out(Event::Http(HttpEvent::ResponseHead { exchange: answer.exchange, head, interim, began, at }));
        self.name(&named, at, out);
        Some(answer)
    }

    /// The body of the head at `head` begins; where there is none, the message has ended.
    fn begin(&mut self, exchange: u32, framing: Framing, head: ByteRange, at: Timestamp, out: &mut Sink<'_>) {
        let message =
            Message { exchange, start: head.end, end: head.end, last: at, scanner: BodyScanner::new(framing) };
        let done = message.scanner.is_done();
        self.lanes.of_mut(head.from).state = State::Body(message);
        if done {
            self.finish(head.from, true, out);
        }
    }

    /// Ends the message that the side is in the midst of, if it is.
    pub(super) fn finish(&mut self, side: Side, complete: bool, out: &mut Sink<'_>) {
        let lane = self.lanes.of_mut(side);
        let message = match mem::take(&mut lane.state) {
            State::Body(message) => message,
            other => {
                lane.state = other;
                return;
            }
        };
        let Message { exchange, start, end, last: at, scanner } = message;
        let range = (!is_bodiless(scanner.framing())).then_some(ByteRange { from: side, start, end });
        let body = scanner.into_body(range, complete);
        out(Event::Http(match side {
            Side::Client => HttpEvent::RequestEnded { exchange, body, at },
            Side::Server => HttpEvent::ResponseEnded { exchange, body, at },
        }));
    }

    /// HTTP ends here. A request body that is still on its way ends first, on its own.
    fn switch(&mut self, exchange: u32, to: SwitchedTo, at: Timestamp, out: &mut Sink<'_>) {
        if matches!(self.lanes.client.state, State::Passing { .. }) {
            // Where the client's next protocol begins was missed.
            return self.go_opaque(out);
        }
        self.stage = Stage::Switched;
        self.waiting = VecDeque::new();
        out(Event::Http(HttpEvent::Switched { exchange, to, at }));
        let lane = &mut self.lanes.client;
        lane.blank = None;
        if matches!(lane.state, State::Holding | State::Head { .. }) {
            lane.state = State::Between;
            for chunk in mem::take(&mut lane.buffer).chunks(Side::Client) {
                out(Event::Http(HttpEvent::Handover(chunk)));
            }
        }
    }

    fn name(&mut self, named: &[(AnomalyKind, ByteRange)], at: Timestamp, out: &mut Sink<'_>) {
        for (kind, range) in named {
            self.anomaly(*kind, *range, at, false, out);
        }
    }
}

/// A head's troubles in the side's bytes; no allocation where there are none.
fn named(head: &Head, troubles: &[Trouble], faulty: Option<Trouble>) -> Vec<(AnomalyKind, ByteRange)> {
    troubles.iter().chain(&faulty).map(|trouble| (trouble.kind, trouble.range(head))).collect()
}

fn is_bodiless(framing: Framing) -> bool {
    matches!(framing, Framing::None | Framing::Length(0))
}
