//! A connection after its upgrade: messages are offered to the API, what answers them leaves when it is due, and either
//! side may close.

use std::collections::VecDeque;

use crate::{
    lab::{
        request::{Ending, Kind, Request},
        scenario::Scenario,
        surface::Surface,
        wire::{Ears, Heard, close, pong, text},
    },
    model::Side,
};

use super::connection::{Connection, wait};

/// How long after our Close the client may take to say the same.
const GRACE_NS: i64 = 2_000_000_000;

/// What will be written.
struct Due {
    at: i64,
    /// The exchange that is over with it.
    exchange: Option<u64>,
    bytes: Vec<u8>,
    closes: bool,
}

/// Serves the socket to its end.
pub(super) async fn serve(connection: &mut Connection<'_>) {
    let shared = connection.shared;
    let mut ears = Ears::new(Side::Client);
    let mut due: VecDeque<Due> = VecDeque::new();
    // Since when our Close is out.
    let mut closing: Option<i64> = None;
    loop {
        let next = due.front().map(|due| due.at).or_else(|| closing.map(|since| since + GRACE_NS));
        let now = shared.now();
        tokio::select! {
            bytes = connection.reader.bytes() => {
                let Ok(bytes) = bytes else { break };
                if bytes.is_empty() {
                    break;
                }
                for heard in ears.hear(&bytes, shared.clock.now()) {
                    match heard {
                        Heard::Message(message) if closing.is_none() => offer(connection, message, &mut due),
                        Heard::Message(_) => {}
                        Heard::Ping(payload) => {
                            let at = due.back().map_or(now, |last| last.at);
                            due.push_back(Due { at, exchange: None, bytes: pong(payload, None), closes: false });
                        }
                        Heard::Close if closing.is_some() => return finish(connection, due),
                        Heard::Close => {
                            shared.api().socket_closed(connection.number, shared.now());
                            let _ = connection.write(&close(1000, None)).await;
                            return finish(connection, due);
                        }
                    }
                }
            }
            () = until(next, now), if next.is_some() => {
                let Some(due) = due.pop_front() else { break };
                if let Some(exchange) = due.exchange {
                    shared.api().finish(exchange, shared.now());
                }
                if !due.bytes.is_empty() && connection.write(&due.bytes).await.is_none() {
                    break;
                }
                if due.closes {
                    shared.api().socket_closed(connection.number, shared.now());
                    closing = Some(shared.now());
                }
            }
            () = connection.gone.notified(), if closing.is_none() => {
                // The API has closed it already: what was to be said is not said any more.
                finish(connection, std::mem::take(&mut due));
                if connection.write(&close(1008, None)).await.is_none() {
                    break;
                }
                closing = Some(shared.now());
            }
        }
    }
    finish(connection, due);
}

/// What will not be answered any more is over all the same.
fn finish(connection: &Connection<'_>, due: VecDeque<Due>) {
    let now = connection.shared.now();
    for exchange in due.into_iter().filter_map(|due| due.exchange) {
        connection.shared.api().finish(exchange, now);
    }
}

async fn until(next: Option<i64>, now: i64) {
    wait(next.unwrap_or(now).saturating_sub(now)).await;
}

fn offer(connection: &Connection<'_>, message: Vec<u8>, due: &mut VecDeque<Due>) {
    let shared = connection.shared;
    let surface = shared.scenario.surface;
    let request = request(surface, message);
    let exchange = shared.next_exchange();
    let now = shared.now();
    let decision = shared.api().offer(exchange, connection.number, &request, now);
    shared.note(&decision, true);
    let bytes = match decision.close_code {
        Some(code) => close(code, None),
        None if says_nothing_yet(&shared.scenario, &request) => Vec::new(),
        None => match decision.body(surface, &request.body) {
            nothing if nothing.is_empty() => Vec::new(),
            body => text(body.into_bytes(), None),
        },
    };
    // Answers keep the order of what they answer.
    let at = (now + decision.latency_ns).max(due.back().map_or(0, |last| last.at));
    due.push_back(Due { at, exchange: Some(exchange), bytes, closes: decision.close_code.is_some() });
}

/// An answer carries the acknowledgement that a message which is held back waits for: where that is planted, the first
/// message has none.
fn says_nothing_yet(scenario: &Scenario, request: &Request) -> bool {
    request.kind == Kind::Hello && scenario.plants.iter().any(|plant| plant.info.id == "frame-overtaken")
}

fn request(surface: Surface, message: Vec<u8>) -> Request {
    let kind = surface.kind_of_message(&String::from_utf8_lossy(&message));
    Request {
        kind,
        is_message: true,
        method: "".into(),
        target: String::new(),
        headers: Vec::new(),
        body: message,
        ending: Ending::Whole,
        flags: Vec::new(),
    }
}
