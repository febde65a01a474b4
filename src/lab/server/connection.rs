//! One connection: TLS or not, then request by request, until it closes or becomes a socket.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Notify, time::timeout};

use crate::{
    decode::http1::{body::request_framing, head::Kind as HeadKind},
    lab::{
        request::{Ending, Field, Kind, Request},
        scenario::Scenario,
        surface::Surface,
        wire::{Broken, Found, Reader, Stream},
    },
    model::http::Head,
};

use super::{Shared, answer, socket};

/// How long a client may take to its first byte, its handshake, or a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may be idle, as nginx has it.
const IDLE: Duration = Duration::from_secs(75);

/// A connection with what it is known by.
pub(super) struct Connection<'a> {
    pub(super) shared: &'a Shared,
    pub(super) reader: Reader,
    pub(super) number: u64,
    /// Told when its socket must go.
    pub(super) gone: &'a Notify,
}

/// Serves it to its end.
pub(super) async fn serve(shared: &Shared, tcp: TcpStream, number: u64, gone: &Arc<Notify>) {
    let _ = tcp.set_nodelay(true);
    let Some(stream) = timeout(PATIENCE, open(shared, tcp)).await.ok().flatten() else { return };
    let mut connection = Connection { shared, reader: Reader::new(stream), number, gone };
    let mut patience = PATIENCE;
    while let Some(goes_on) = connection.request(patience).await {
        match goes_on {
            Next::Request => patience = idle(&shared.scenario),
            Next::Socket => {
                socket::serve(&mut connection).await;
                break;
            }
        }
    }
    // In order: close_notify where there is TLS, then FIN.
    let _ = timeout(PATIENCE, connection.reader.stream.shutdown()).await;
}

/// What a connection's next bytes are.
enum Next {
    Request,
    Socket,
}

/// TLS where the client speaks it.
async fn open(shared: &Shared, tcp: TcpStream) -> Option<Box<dyn Stream>> {
    let mut first = [0];
    if tcp.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    // The type of a handshake's record.
    if first != [0x16] {
        return Some(Box::new(tcp));
    }
    match shared.acceptor.accept(tcp).await {
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            tracing::debug!("a client's handshake failed: {error}");
            None
        }
    }
}

/// How long it may be idle: what `stale-keepalive` says, where that is planted.
fn idle(scenario: &Scenario) -> Duration {
    let planted = scenario.plants.iter().find(|plant| plant.info.id == "stale-keepalive" && !plant.is_harmless);
    planted.map_or(IDLE, |plant| Duration::from_nanos(plant.nanos("timeout").unsigned_abs()))
}

impl Connection<'_> {
    /// One request; nothing where the connection is over.
    async fn request(&mut self, patience: Duration) -> Option<Next> {
        let found = match timeout(patience, self.reader.head(HeadKind::Request)).await {
            Ok(Ok(found)) => found?,
            Ok(Err(broken)) => return self.refuse_strange(&broken).await,
            Err(_) => return None,
        };
        let (framing, trouble) = request_framing(&found.head);
        if trouble.is_some() {
            return self.refuse_strange(&Broken::Length).await;
        }
        if found.head.has_token("expect", "100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match timeout(PATIENCE, self.reader.body(framing)).await {
            Ok(Ok(body)) => body,
            Ok(Err(broken)) => return self.refuse_strange(&broken).await,
            Err(_) => return None,
        };
        self.answer(found, body).await
    }

    async fn answer(&mut self, found: Found, body: Vec<u8>) -> Option<Next> {
        let head = &found.head;
        let surface = self.shared.scenario.surface;
        let asks_to_close = head.has_token("connection", "close") || head.request_version() == b"1.0";
        let Some(request) = read(surface, head, body) else {
            self.shared.told().strange += 1;
            let asked = format!("{} {}", lossy(head.method()), lossy(head.target()));
            self.write(&answer::unknown_route(&asked, head.method() == b"HEAD", asks_to_close)).await?;
            return (!asks_to_close).then_some(Next::Request);
        };
        let exchange = self.shared.next_exchange();
        let now = self.shared.now();
        let decision = {
            let mut api = self.shared.api();
            if let Some(behind) = request.header("x-forwarded-for") {
                let first = behind.split(',').next().unwrap_or_default().trim();
                api.connection_from(self.number, self.shared.address(first));
            }
            if found.has_surplus {
                api.surplus_seen(self.number);
            }
            api.offer(exchange, self.number, &request, now)
        };
        self.shared.note(&decision, false);
        wait(decision.latency_ns).await;
        self.shared.api().finish(exchange, self.shared.now());
        if decision.status == 0 {
            return None;
        }
        let closes = decision.closes || asks_to_close;
        self.write(&answer::answer(&decision, surface, &request, closes)).await?;
        match decision.status {
            101 => {
                self.shared.api().socket_opened(self.number, self.shared.now());
                Some(Next::Socket)
            }
            _ if closes => None,
            _ => Some(Next::Request),
        }
    }

    /// What is no request is answered as nginx does, which never shows it to the API.
    async fn refuse_strange(&mut self, broken: &Broken) -> Option<Next> {
        if let Broken::Io(_) = broken {
            return None;
        }
        self.shared.told().strange += 1;
        self.write(&answer::malformed()).await?;
        None
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        let stream = &mut self.reader.stream;
        timeout(PATIENCE, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await
        .ok()?
        .ok()
    }
}

pub(super) async fn wait(ns: i64) {
    tokio::time::sleep(Duration::from_nanos(ns.max(0).unsigned_abs())).await;
}

/// What the API makes of a request; nothing where it has no such route.
fn read(surface: Surface, head: &Head, body: Vec<u8>) -> Option<Request> {
    let method = lossy(head.method());
    let target = origin_form(&lossy(head.target()));
    let is_upgrade = head.asks_for_websocket() && head.header("sec-websocket-key").is_some();
    let kind = surface.kind_of(&method, &target, is_upgrade).or_else(|| any(surface, &method, is_upgrade))?;
    let kind = match kind {
        Kind::Token if memchr::memmem::find(&body, b"refresh_token").is_some() => Kind::Refresh,
        other => other,
    };
    let headers: Vec<Field> = head
        .headers()
        .filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"))
        .map(|(name, value)| (lossy(name).into(), lossy(value).into()))
        .collect();
    Some(Request {
        kind,
        is_message: false,
        method: method.into(),
        target,
        headers,
        body,
        ending: Ending::Whole,
        flags: Vec::new(),
    })
}

/// The neutral API has every route, so that any plan can be pointed at it.
fn any(surface: Surface, method: &str, is_upgrade: bool) -> Option<Kind> {
    match (surface, method) {
        (Surface::Neutral, "GET") if is_upgrade => Some(Kind::Socket),
        (Surface::Neutral, "GET" | "HEAD" | "OPTIONS" | "DELETE") => Some(Kind::Read),
        (Surface::Neutral, "POST" | "PUT" | "PATCH") => Some(Kind::Details),
        _ => None,
    }
}

/// A server must take an absolute target as well (RFC 9112, 3.2.2).
fn origin_form(target: &str) -> String {
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned()
        }
        _ => target.to_owned(),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn absolute_targets_are_taken_for_what_they_name() {
        assert_eq!(origin_form("https://api.test:443/a?b=http://c"), "/a?b=http://c");
        assert_eq!(origin_form("https://api.test"), "/");
        assert_eq!(origin_form("/a?u=http://c/d"), "/a?u=http://c/d");
    }
}
