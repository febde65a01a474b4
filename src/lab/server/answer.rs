//! A decision as bytes: the head as such an API (or the nginx before it) writes it, and the body.

use std::fmt::Write as _;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    clock,
    lab::{api::Decision, request::Request, surface::Surface},
};

/// The whole answer to a request; `closes` is whether the connection ends with it.
pub(super) fn answer(decision: &Decision, surface: Surface, request: &Request, closes: bool) -> Vec<u8> {
    if decision.status == 101 {
        return granted(decision, surface, request);
    }
    let body = decision.body(surface, &request.body);
    let mut fields = vec![];
    // nginx names itself first; the API behind it does not.
    let (mut first, rest): (Vec<_>, Vec<_>) =
        decision.headers(surface).into_iter().partition(|(name, _)| *name == "Server");
    fields.append(&mut first);
    fields.push(("Date", date()));
    fields.extend(rest);
    whole(decision.status, &fields, body.as_bytes(), request.method == "HEAD", closes)
}

/// What nginx says to a request that is none.
pub(super) fn malformed() -> Vec<u8> {
    let body = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n\
                <hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
    let fields = [("Server", "nginx/1.22.1".to_owned()), ("Date", date()), ("Content-Type", "text/html".to_owned())];
    whole(400, &fields, body.as_bytes(), false, true)
}

/// What the API says of a route that it does not have.
pub(super) fn unknown_route(request: &str, is_head: bool, closes: bool) -> Vec<u8> {
    let body = serde_json::json!({
        "message": format!("HTTP 404: the lab's API has no route {request}"),
        "code": "not.found",
        "status": 404,
    });
    let fields = [("Date", date()), ("Content-Type", "application/json".to_owned())];
    whole(404, &fields, body.to_string().as_bytes(), is_head, closes)
}

fn whole(status: u16, fields: &[(&'static str, String)], body: &[u8], is_head: bool, closes: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let connection = if closes { "close" } else { "keep-alive" };
    let _ = write!(head, "Content-Length: {}\r\nConnection: {connection}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    if !is_head {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// `Connection: Upgrade` and nothing else: JMeter's WebSocket Samplers accept no other spelling.
fn granted(decision: &Decision, surface: Surface, request: &Request) -> Vec<u8> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
    let _ = write!(head, "Date: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", date());
    let _ = write!(head, "Sec-WebSocket-Accept: {}\r\n", derive_accept_key(key.as_bytes()));
    let protocols = request.header("sec-websocket-protocol").unwrap_or_default();
    let speaks = |wanted: &str| protocols.split(',').any(|protocol| protocol.trim() == wanted);
    if surface == Surface::GraphqlTransportWs && speaks("graphql-transport-ws") {
        head.push_str("Sec-WebSocket-Protocol: graphql-transport-ws\r\n");
    }
    for (name, value) in decision.headers(surface) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

/// Now, as `Date` has it (RFC 9110, 5.6.7).
fn date() -> String {
    let now = jiff::Timestamp::from_nanosecond(i128::from(clock::wall_unix_ns())).unwrap_or_default();
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
