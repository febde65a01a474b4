//! A running capture's queries and live events, on a Unix socket in its folder: HTTP/1.1 by hyper, WebSocket by
//! tokio-tungstenite. It reads; nothing here changes a capture. What is asked and answered, and the client, are
//! [`crate::query::wire`]'s and [`crate::query::client`]'s, so that both ends cannot drift apart; what a running
//! recorder alone knows is added here.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | one JSON object: the capture's name, counts, recorder lag, queue, health ([`crate::record::Status`]) |
//! | `GET /observed` | one JSON object: what recording did to the traffic ([`crate::record::Observed`]) |
//! | `GET /routes` | NDJSON: figures per route and status ([`crate::record::RouteTotal`]) |
//! | `GET /ls/{kind}?filter=…` | NDJSON, streamed: rows exactly as `ls --json` prints them |
//! | `GET /show/{id}` | one JSON object |
//! | `GET /raw/{id}?part=request\|response\|client\|server\|request-sent` | the exact bytes, streamed |
//! | `GET /live?kinds=exchanges,flags,status&filter=…` | WebSocket, one JSON object per message |
//!
//! Live messages are rows at the moment they became final, as `ls --json` would print them then;
//! `{"event":"lost","rows":N}` where the watcher was too slow for so many; with the kind `status` also
//! `{"event":"status",…}` once a second. When the recorder stops, what is left goes out, then a Close.
//!
//! A request that cannot be understood is answered 400, an id that there is not 404, both with `{"error":"…"}`. What
//! fails half-way ends the connection before the body's end.

mod body;
mod live;
mod server;

pub use server::{Error, Server};
