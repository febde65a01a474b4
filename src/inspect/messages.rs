//! WebSocket events to frames, messages and the life of a socket.
//!
//! A frame is handed out once it was written to the other side, so that its row has both instants.

use std::{collections::VecDeque, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    decode::{Decoder, DeflateParameters, Event, FrameEvent, Payload, WebSocketEvent, websocket::WebSocket},
    model::{
        FrameId, Side, Timestamp,
        observation::{Collected, What},
        rows::{Extent, Position, Row},
        side::Sides,
        trace::{ByteRange, Chunk, Closed, Closer, Written},
        websocket::{self, Frame, opcode},
    },
};

use super::{Output, assemble::keys_of, connection::Fold, rows};

/// Frames of one side that may wait for being written, and their payload bytes; beyond it they go out without.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 4 << 20;
/// A socket's keys are in its first frames, or in none.
const KEY_AMONG: u64 = 64;
/// Longer text is not shown in rows.
const TEXT: usize = 4096;

/// The socket of a connection.
#[derive(Serialize, Deserialize)]
pub(super) struct Socket {
    /// Taken out while it works.
    decoder: Option<Box<WebSocket>>,
    /// Where the 101 ended, until that was written.
    awaits_open: Option<u64>,
    #[serde(default)]
    lanes: Sides<Lane>,
}

/// Frames of one side that are complete and not written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Lane {
    frames: VecDeque<Pending>,
    payloads: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    frame: Frame,
    payload: Kept,
    message: Option<Kept>,
    /// The opcode of the message that it ends.
    #[serde(default)]
    message_opcode: u8,
    first: Position,
}

/// A payload's place in the lane.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    place: Range<usize>,
    whole: bool,
}

impl Lane {
    fn keep(&mut self, payload: Payload<'_>, cap: usize) -> Kept {
        let from = self.payloads.len();
        let taken = payload.bytes.get(..cap).unwrap_or(payload.bytes);
        self.payloads.extend_from_slice(taken);
        Kept { place: from..self.payloads.len(), whole: payload.whole && taken.len() == payload.bytes.len() }
    }

    fn collected(&self, kept: &Kept) -> Collected<'_> {
        let bytes = self.payloads.get(kept.place.clone()).unwrap_or_default();
        if kept.whole { Collected::Whole(bytes) } else { Collected::TooLarge(bytes) }
    }

    fn tidy(&mut self) {
        if self.frames.is_empty() {
            // Most sockets are idle most of the time, and there are many: nothing is kept for the next frame.
            self.payloads = Vec::new();
            self.frames = VecDeque::new();
        }
    }
}

impl Fold<'_, '_> {
    /// The exchange at that place became a socket.
    pub(super) fn socket_begins(&mut self, place: usize, deflate: Option<DeflateParameters>, at: Timestamp) {
        let Some(open) = self.parts.open.get_mut(place) else { return };
        let head_end = open.exchange.response.as_ref().map(|head| head.range.end);
        let server_open = open.exchange.response_last_byte.unwrap_or(at);
        open.exchange.websocket = Some(websocket::Socket {
            server_open: Some(server_open),
            deflate: deflate.is_some(),
            ..websocket::Socket::default()
        });
        self.shared.sessions.socket(&open.seat, &open.exchange, None);
        let decoder = Some(Box::new(WebSocket::new(deflate, self.shared.options.websocket.clone())));
        self.parts.socket = Some(Box::new(Socket { decoder, awaits_open: head_end, lanes: Sides::default() }));
    }

    pub(super) fn socket_data(&mut self, chunk: &Chunk<'_>) {
        self.with_decoder(|decoder, fold| decoder.push(chunk, &mut |event| fold.socket_event(event)));
    }

    pub(super) fn socket_lost(&mut self, range: ByteRange, at: Timestamp) {
        self.with_decoder(|decoder, fold| decoder.lost(range, at, &mut |event| fold.socket_event(event)));
    }

    pub(super) fn socket_end(&mut self, side: Side, at: Timestamp) {
        self.with_decoder(|decoder, fold| decoder.end(side, at, &mut |event| fold.socket_event(event)));
    }

    fn with_decoder(&mut self, work: impl FnOnce(&mut WebSocket, &mut Self)) {
        let Some(mut decoder) = self.parts.socket.as_mut().and_then(|socket| socket.decoder.take()) else { return };
        work(&mut decoder, self);
        if let Some(socket) = &mut self.parts.socket {
            socket.decoder = Some(decoder);
        }
    }

    fn socket_event(&mut self, event: Event<'_>) {
        match event {
            Event::WebSocket(event) => self.web_socket(event),
            Event::Anomaly(anomaly) => self.anomaly(&anomaly),
            Event::Http(_) => {}
        }
    }

    pub(super) fn web_socket(&mut self, event: WebSocketEvent<'_>) {
        match event {
            WebSocketEvent::Frame(frame) => self.frame(&frame),
            WebSocketEvent::Message { from, opcode, payload, .. } => {
                if payload.whole && self.shared.places.in_messages(from) {
                    self.look_for_keys(from, payload.bytes);
                }
                let cap = self.shared.options.payload_cap;
                let Some(socket) = &mut self.parts.socket else { return };
                let lane = socket.lanes.of_mut(from);
                // The message of a single frame is that frame's payload.
                let single = lane.frames.back().filter(|last| {
                    last.frame.fin && !last.frame.compressed && last.frame.opcode != opcode::CONTINUATION
                });
                let kept = match single {
                    Some(last) => last.payload.clone(),
                    None => lane.keep(payload, cap),
                };
                if let Some(last) = lane.frames.back_mut() {
                    last.message = Some(kept);
                    last.message_opcode = opcode;
                }
            }
        }
    }

    /// Takes the keys that a socket's message bears, if they are the first of their name.
    fn look_for_keys(&mut self, from: Side, text: &[u8]) {
        let Self { shared, parts, .. } = self;
        let Some(open) = parts.open.iter_mut().find(|open| open.exchange.websocket.is_some()) else { return };
        let Some(state) = &open.exchange.websocket else { return };
        let seen = match from {
            Side::Client => state.frames_from_client,
            Side::Server => state.frames_from_server,
        };
        if seen > KEY_AMONG {
            return;
        }
        let keys = open.new_keys(keys_of(&mut shared.redactor, shared.places.of_message(from, text)));
        if keys.is_empty() {
            return;
        }
        open.exchange.borne.keys.extend(keys.iter().map(|key| shared.sessions.shown(*key)));
        let clash = shared.sessions.keys_found(&mut open.seat, &open.exchange, &keys, &mut parts.memberships);
        open.clashes(clash);
        shared.sessions.socket(&open.seat, &open.exchange, None);
    }

    fn frame(&mut self, event: &FrameEvent<'_>) {
        let first = self.began(event.from);
        self.next_begins(event.from, event.range.end);
        let Some(open) = self.parts.open.iter_mut().find(|open| open.exchange.websocket.is_some()) else { return };
        let Some(state) = &mut open.exchange.websocket else { return };
        self.shared.frames += 1;
        self.parts.view.frames += 1;
        let first_from_server = event.from == Side::Server && state.first_frame_from_server.is_none();
        match event.from {
            Side::Client => {
                state.first_frame_from_client.get_or_insert(event.began);
                state.frames_from_client += 1;
            }
            Side::Server => {
                state.first_frame_from_server.get_or_insert(event.began);
                state.frames_from_server += 1;
            }
        }
        let closes = event.opcode == opcode::CLOSE && state.close_code.is_none();
        if closes {
            state.closed_by = Some(event.from.into());
            state.close_code = Some(match event.payload.bytes {
                [high, low, ..] => u16::from_be_bytes([*high, *low]),
                _ => 1005,
            });
        }
        let frame = Frame {
            id: FrameId(self.shared.frames),
            connection: open.exchange.connection,
            exchange: open.exchange.id,
            from: event.from,
            opcode: event.opcode,
            fin: event.fin,
            compressed: event.rsv1 && state.deflate,
            masked: event.masked,
            bytes: event.length,
            range: event.range,
            first_byte: event.began,
            arrived: event.at,
            written: None,
        };
        if closes || first_from_server {
            self.shared.sessions.socket(&open.seat, &open.exchange, closes.then_some(event.at));
        }
        if closes {
            self.shared.sessions.leave(&mut open.seat, event.at);
        }
        let cap = self.shared.options.payload_cap;
        let Some(socket) = &mut self.parts.socket else { return };
        let lane = socket.lanes.of_mut(event.from);
        if lane.frames.len() >= WAITING || lane.payloads.len() >= WAITING_BYTES {
            self.emit_frames(event.from, None);
        }
        let Some(socket) = &mut self.parts.socket else { return };
        let lane = socket.lanes.of_mut(event.from);
        let payload = lane.keep(event.payload, cap);
        lane.frames.push_back(Pending { frame, payload, message: None, message_opcode: 0, first });
    }

    /// The 101 was written: the client can know.
    pub(super) fn opened(&mut self, written: &Written) {
        let Some(socket) = &mut self.parts.socket else { return };
        if socket.awaits_open.is_none_or(|end| written.upto < end) {
            return;
        }
        socket.awaits_open = None;
        let Some(open) = self.parts.open.iter_mut().find(|open| open.exchange.websocket.is_some()) else { return };
        if let Some(state) = &mut open.exchange.websocket {
            state.open_write_begun = Some(written.begun);
            state.client_open_written = Some(written.written);
        }
        self.shared.sessions.socket(&open.seat, &open.exchange, None);
        let what = What::Open(&open.exchange);
        self.shared.observe(self.at, self.parts.view.id, open.seat.session, what, self.out);
    }

    pub(super) fn frames_written(&mut self, written: &Written) {
        self.emit_frames(written.from, Some(written));
    }

    /// Hands out what is still waiting: it was not written, or nobody says so.
    pub(super) fn flush_frames(&mut self) {
        if self.parts.socket.is_some() {
            Side::BOTH.into_iter().for_each(|side| self.emit_frames(side, None));
        }
    }

    /// Hands out the frames of a side that were written; all of them without a fact.
    fn emit_frames(&mut self, side: Side, written: Option<&Written>) {
        let Self { shared, parts, position, at, out, .. } = self;
        let Some(socket) = &mut parts.socket else { return };
        let lane = socket.lanes.of_mut(side);
        let Some(open) = parts.open.iter().find(|open| open.exchange.websocket.is_some()) else { return };
        let is_out = |frame: &Frame| written.is_none_or(|written| frame.range.end <= written.upto);
        while lane.frames.front().is_some_and(|pending| is_out(&pending.frame)) {
            let Some(mut pending) = lane.frames.pop_front() else { break };
            pending.frame.written = written.map(|written| written.written);
            let (frame, session, connection) = (&pending.frame, open.seat.session, parts.view.id);
            let payload = lane.collected(&pending.payload);
            let mut metadata = false;
            shared.observe(*at, connection, session, What::Frame(&open.exchange, frame, payload), *out);
            if let Some(message) = &pending.message {
                let what = What::Message(&open.exchange, frame, pending.message_opcode, lane.collected(message));
                shared.observe(*at, connection, session, what, *out);
                let profile = shared.options.profile.as_ref().filter(|_| side == Side::Client);
                if let Some(matcher) = profile.and_then(|profile| profile.metadata_frame.as_ref()) {
                    let text = lane.collected(message).whole().and_then(|text| std::str::from_utf8(text).ok());
                    metadata = text.is_some_and(|text| matcher.matches(text));
                }
            }
            let text = payload
                .whole()
                .filter(|text| frame.opcode == opcode::TEXT && frame.fin && !frame.compressed && text.len() <= TEXT);
            let text = text.and_then(|text| std::str::from_utf8(text).ok());
            let text = text.map(|text| shared.redactor.text(text).into_owned());
            let extent = Extent { first: pending.first, last: *position };
            out(Output::Row(Row::Frame(rows::frame(frame, text, metadata, extent))));
        }
        lane.tidy();
    }

    /// One side of the connection under the socket ended: it is closed from now on.
    pub(super) fn socket_ended(&mut self, at: Timestamp) {
        let Some((side, _)) = self.parts.first_end else { return };
        self.socket_over(at, side.into());
    }

    pub(super) fn socket_closed(&mut self, closed: &Closed) {
        self.socket_over(closed.at, closed.by);
    }

    fn socket_over(&mut self, at: Timestamp, by: Closer) {
        let Some(open) = self.parts.open.iter_mut().find(|open| open.upgrade) else { return };
        if let Some(state) = &mut open.exchange.websocket {
            state.ended.get_or_insert(at);
            state.closed_by.get_or_insert(by);
        }
        self.shared.sessions.socket(&open.seat, &open.exchange, Some(at));
        self.shared.sessions.leave(&mut open.seat, at);
    }
}
