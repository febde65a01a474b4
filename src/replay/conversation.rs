//! What is said on one connection, heard by the product's own decoders: HTTP/1, then WebSocket. The same ears listen to
//! a captured connection and to one that is being replayed, so that both are understood alike. PURE.

use std::collections::BTreeMap;

use crate::{
    decode::{
        Decoder, DeflateParameters, Event, HttpEvent, SwitchedTo, WebSocketEvent,
        content::decode_content,
        http1::{self, Http1},
        websocket::{self, WebSocket},
    },
    model::{
        Side, Timestamp,
        http::{Body, Head},
        trace::{ByteRange, Chunk},
        websocket::opcode,
    },
};

/// Bytes of a response's body that are kept for the values in it; what is issued stands at the beginning.
const BODY_BYTES: usize = 256 << 10;

/// What was heard. `n` counts the connection's requests from 1.
#[derive(Debug)]
pub(super) enum Heard {
    /// A request's head.
    Request { n: u32, head: Head, began: Timestamp },
    /// A request's body ended, well or not.
    RequestEnded { n: u32, body: Body },
    /// A final response's last byte arrived, or will not; with its body's beginning, codings taken off.
    Answered { n: u32, head: Option<Head>, body: Vec<u8> },
    /// The 101's last byte arrived.
    Open { n: u32, deflate: Option<DeflateParameters> },
    /// A frame.
    Frame(Frame),
    /// A message of the client's in full, right after its last frame; `None` where it was too large, or not to be inflated.
    Said { payload: Option<Vec<u8>> },
    /// A message of the server's in full.
    Message { text: Option<String>, at: Timestamp },
}

/// A frame that was heard.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) range: ByteRange,
    pub(super) opcode: u8,
    pub(super) rsv1: bool,
    /// Unmasked, up to the decoder's cap.
    pub(super) payload: Vec<u8>,
    /// How many bytes its payload is, without a cap.
    pub(super) length: usize,
    /// When its first byte arrived.
    pub(super) began: Timestamp,
}

/// The decoders of one connection, and what they are in the middle of.
pub(super) struct Conversation {
    http: Http1,
    socket: Option<WebSocket>,
    /// Responses under way.
    responses: BTreeMap<u32, (Head, Vec<u8>)>,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self { http: Http1::new(http1::Options::default()), socket: None, responses: BTreeMap::new() }
    }

    /// The next bytes of one side.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Heard>) {
        let Self { http, socket, responses } = self;
        if http.has_switched() {
            if let Some(socket) = socket {
                socket.push(chunk, &mut |event| frame(event, out));
            }
            return;
        }
        http.push(chunk, &mut |event| hear(event, socket, responses, out));
    }

    /// That side sends nothing more.
    pub(super) fn end(&mut self, from: Side, at: Timestamp, out: &mut Vec<Heard>) {
        let Self { http, socket, responses } = self;
        http.end(from, at, &mut |event| hear(event, socket, responses, out));
        if let Some(socket) = socket {
            socket.end(from, at, &mut |event| frame(event, out));
        }
    }
}

fn hear(
    event: Event<'_>,
    socket: &mut Option<WebSocket>,
    responses: &mut BTreeMap<u32, (Head, Vec<u8>)>,
    out: &mut Vec<Heard>,
) {
    let Event::Http(event) = event else { return };
    match event {
        HttpEvent::RequestHead { exchange: n, head, began, .. } => out.push(Heard::Request { n, head, began }),
        HttpEvent::RequestEnded { exchange: n, body, .. } => out.push(Heard::RequestEnded { n, body }),
        HttpEvent::ResponseHead { interim: true, .. } | HttpEvent::RequestBody { .. } => {}
        HttpEvent::ResponseHead { exchange: n, head, .. } => {
            responses.insert(n, (head, Vec::new()));
        }
        HttpEvent::ResponseBody { exchange: n, bytes, .. } => {
            if let Some((_, body)) = responses.get_mut(&n) {
                let room = BODY_BYTES.saturating_sub(body.len()).min(bytes.len());
                body.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
        }
        HttpEvent::ResponseEnded { exchange: n, .. } => {
            let (head, body) = responses.remove(&n).map_or((None, Vec::new()), |(head, body)| {
                let coding = head.header("content-encoding").map(<[u8]>::to_vec);
                let body = match coding {
                    Some(coding) => decode_content(&coding, &body, BODY_BYTES).bytes().to_vec(),
                    None => body,
                };
                (Some(head), body)
            });
            out.push(Heard::Answered { n, head, body });
        }
        HttpEvent::Switched { exchange: n, to, .. } => {
            if let SwitchedTo::WebSocket { deflate } = to {
                let options = websocket::Options { frame_bytes: 1 << 20, ..websocket::Options::default() };
                out.push(Heard::Open { n, deflate });
                *socket = Some(WebSocket::new(deflate, options));
            }
        }
        HttpEvent::Handover(chunk) => {
            if let Some(socket) = socket {
                socket.push(&chunk, &mut |event| frame(event, out));
            }
        }
    }
}

fn frame(event: Event<'_>, out: &mut Vec<Heard>) {
    match event {
        Event::WebSocket(WebSocketEvent::Frame(frame)) => out.push(Heard::Frame(Frame {
            range: frame.range,
            opcode: frame.opcode,
            rsv1: frame.rsv1,
            payload: frame.payload.bytes.to_vec(),
            length: usize::try_from(frame.length).unwrap_or(usize::MAX),
            began: frame.began,
        })),
        Event::WebSocket(WebSocketEvent::Message { from: Side::Server, opcode: kind, payload, at }) => {
            let text =
                (kind == opcode::TEXT && payload.whole).then(|| String::from_utf8_lossy(payload.bytes).into_owned());
            out.push(Heard::Message { text, at });
        }
        Event::WebSocket(WebSocketEvent::Message { payload, .. }) => {
            out.push(Heard::Said { payload: payload.whole.then(|| payload.bytes.to_vec()) });
        }
        Event::Http(_) | Event::Anomaly(_) => {}
    }
}
