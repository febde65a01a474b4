//! What the reading tests record: a few connections with everything that a reader shows.

use std::collections::BTreeMap;

use firstframe::model::{
    ConnectionId, Side, Timestamp,
    trace::{
        ByteRange, Chunk, Closed, Closer, Connect, Dialed, Ending, Fact, Gap, Opened, ProxyMade, RewriteKind,
        Rewritten, ServerRtt, Tls, Written,
    },
};

/// Where facts go.
pub(crate) type Put<'p> = dyn FnMut(ConnectionId, Fact<'_>) + 'p;

pub(crate) const TOKEN: &str = "Bearer s3cr3t-token-0123456789abcdef";
pub(crate) const METADATA: &str = "{\"id\": \"agent-7\", \"state\": ,}";

/// Facts with a clock in microseconds and each side's offsets.
pub(crate) struct Script<'p> {
    put: &'p mut Put<'p>,
    now: u64,
    offsets: BTreeMap<(u64, Side), u64>,
}

impl<'p> Script<'p> {
    pub(crate) fn new(put: &'p mut Put<'p>) -> Self {
        Self { put, now: 0, offsets: BTreeMap::new() }
    }

    /// Lets time pass, in microseconds.
    pub(crate) fn wait(&mut self, micros: u64) -> Timestamp {
        self.now += micros * 1000;
        Timestamp(self.now)
    }

    pub(crate) fn fact(&mut self, c: u64, fact: Fact<'_>) {
        (self.put)(ConnectionId(c), fact);
    }

    /// Accept, CONNECT, dial and both handshakes.
    pub(crate) fn open_tunnel(&mut self, c: u64, authority: &str) {
        self.open(c);
        let begin = self.wait(100);
        let end = self.wait(50);
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let (dial, dialed) = (self.wait(10), self.wait(1_000));
        self.dialed(c, authority, dial, dialed, None);
        let answered = Some(self.wait(40));
        let connect = Connect { begin, end, authority: authority.to_owned(), answered };
        self.fact(c, Fact::Connect(connect, head.as_bytes()));
        let client_hello = self.wait(200);
        let (begin, end) = (self.wait(20), self.wait(3_000));
        self.tls(c, Side::Server, begin, end);
        let end = self.wait(2_000);
        self.tls(c, Side::Client, client_hello, end);
        let at = self.wait(1);
        self.fact(c, Fact::ServerRtt(ServerRtt { at, rtt_ns: 950_000 }));
    }

    pub(crate) fn open(&mut self, c: u64) {
        let at = self.wait(10_000);
        let client = format!("127.0.0.1:{}", 50_000 + c).parse().unwrap();
        let listener = "127.0.0.1:8080".parse().unwrap();
        self.fact(c, Fact::Opened(Opened { at, mode: "forward".to_owned(), client, listener }));
    }

    pub(crate) fn dialed(&mut self, c: u64, authority: &str, begin: Timestamp, end: Timestamp, error: Option<&str>) {
        let address = error.is_none().then(|| "192.0.2.7:443".parse().unwrap());
        let dialed = Dialed {
            begin,
            end,
            authority: authority.to_owned(),
            address,
            local: None,
            error: error.map(str::to_owned),
        };
        self.fact(c, Fact::Dialed(dialed));
    }

    fn tls(&mut self, c: u64, side: Side, begin: Timestamp, end: Timestamp) {
        let tls = Tls {
            side,
            begin,
            end,
            sni: Some("api.test".to_owned()),
            offered: vec!["http/1.1".to_owned()],
            alpn: Some("http/1.1".to_owned()),
            version: Some("TLSv1.3".to_owned()),
            cipher: None,
            error: None,
        };
        self.fact(c, Fact::Tls(tls));
    }

    /// Bytes arrive and are written on; returns where they stand.
    pub(crate) fn say(&mut self, c: u64, from: Side, bytes: &[u8]) -> ByteRange {
        let arrived = self.wait(500);
        self.say_at(c, from, bytes, arrived, 30)
    }

    /// The same with the instant of arrival, and how many microseconds later they were written.
    pub(crate) fn say_at(&mut self, c: u64, from: Side, bytes: &[u8], arrived: Timestamp, later: u64) -> ByteRange {
        let offset = self.offsets.entry((c, from)).or_default();
        let start = *offset;
        *offset += bytes.len() as u64;
        let end = *offset;
        let read = Timestamp(arrived.0 + 10_000);
        self.fact(c, Fact::Data(Chunk { from, offset: start, arrived: Some(arrived), read, bytes }));
        self.now = self.now.max(arrived.0 + later * 1000);
        let (begun, written) = (Timestamp(arrived.0 + (later - 5) * 1000), Timestamp(arrived.0 + later * 1000));
        self.fact(c, Fact::Written(Written { from, upto: end, begun, written }));
        ByteRange { from, start, end }
    }

    /// Bytes arrive, and nothing more is known of them.
    pub(crate) fn say_unwritten(&mut self, c: u64, from: Side, bytes: &[u8]) {
        let arrived = self.wait(500);
        let offset = self.offsets.entry((c, from)).or_default();
        let chunk = Chunk { from, offset: *offset, arrived: Some(arrived), read: arrived, bytes };
        *offset += bytes.len() as u64;
        self.fact(c, Fact::Data(chunk));
    }

    /// Bytes that were relayed and not recorded.
    pub(crate) fn lose(&mut self, c: u64, from: Side, bytes: u64) {
        let offset = self.offsets.entry((c, from)).or_default();
        let range = ByteRange { from, start: *offset, end: *offset + bytes };
        *offset += bytes;
        let at = self.wait(100);
        self.fact(c, Fact::Gap(Gap { at, range, why: "the queue was full".to_owned() }));
    }

    pub(crate) fn close(&mut self, c: u64, by: Closer, how: Ending) {
        let at = self.wait(300);
        self.fact(c, Fact::Closed(Closed { at, by, how, error: None }));
    }
}

pub(crate) fn upgrade_request(thread: &str) -> String {
    format!(
        "GET /notifications?token=s3cr3t-query-token-42 HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: {thread}\r\n\
         Authorization: {TOKEN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) fn metadata_request(thread: &str) -> String {
    format!(
        "POST /api/v2/metadata HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: {thread}\r\nAuthorization: {TOKEN}\r\n\
         X Bad:: v \r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{METADATA}",
        METADATA.len()
    )
}

pub(crate) const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
                                  Transfer-Encoding: chunked\r\n\r\n\
                                  f\r\n{\"error\":\"not y\r\n4\r\net\"}\r\n0\r\n\r\n";

/// A masked text frame (RFC 6455, 5.2).
pub(crate) fn masked(opcode: u8, text: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(text.len()).unwrap()];
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

pub(crate) fn unmasked(opcode: u8, text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, u8::try_from(text.len()).unwrap()];
    frame.extend(text);
    frame
}

/// - c1: a socket (x1) of session 1-1, with frames both ways, closed in order;
/// - c2: metadata (x2) of the same session sent before its OPEN, malformed and refused; x3 in absolute form, rewritten;
/// - c3: a server that cannot be reached, answered by the proxy;
/// - c4: a reset in the middle of a body, behind a gap (x4).
pub(crate) fn play(script: &mut Script<'_>) {
    script.open_tunnel(1, "api.test:443");
    script.open_tunnel(2, "api.test:443");
    script.say(1, Side::Client, upgrade_request("1-1").as_bytes());
    script.say(2, Side::Client, metadata_request("1-1").as_bytes());
    let arrived = script.wait(2_000);
    script.say_at(1, Side::Server, SWITCHING.as_bytes(), arrived, 45);
    script.say(2, Side::Server, REFUSED.as_bytes());
    script.say(1, Side::Client, &masked(1, br#"{"subscribe":"all","access_token":"s3cr3t-frame-token-77"}"#));
    script.say(1, Side::Server, &unmasked(1, br#"{"ready":true}"#));
    script.say(1, Side::Server, &unmasked(9, b"hb"));
    script.say(1, Side::Client, &masked(10, b"hb"));

    let head = "GET https://api.test:443/api/v2/users?q=1 HTTP/1.1\r\nHost: api.test\r\nX-JM-Thread: 1-1\r\n\r\n";
    let range = script.say(2, Side::Client, head.as_bytes());
    let target = "https://api.test:443/api/v2/users?q=1";
    let at = range.start + 4;
    let rewritten = ByteRange { from: Side::Client, start: at, end: at + target.len() as u64 };
    script.fact(
        2,
        Fact::Rewritten(Rewritten { range: rewritten, kind: RewriteKind::AbsoluteForm }, b"/api/v2/users?q=1"),
    );
    let identity = head.find("X-JM").unwrap() as u64 + range.start;
    let line = ByteRange { from: Side::Client, start: identity, end: identity + "X-JM-Thread: 1-1\r\n".len() as u64 };
    script.fact(2, Fact::Rewritten(Rewritten { range: line, kind: RewriteKind::IdentityHeader }, b""));
    script.say(
        2,
        Side::Server,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nfine\xc3\xa4\n",
    );

    script.open(3);
    let (begin, end) = (script.wait(100), script.wait(50));
    let head = "CONNECT gone.test:443 HTTP/1.1\r\n\r\n";
    let connect = Connect { begin, end, authority: "gone.test:443".to_owned(), answered: None };
    script.fact(3, Fact::Connect(connect, head.as_bytes()));
    let (begin, end) = (script.wait(10), script.wait(70_000));
    script.dialed(3, "gone.test:443", begin, end, Some("connection refused"));
    let at = script.wait(100);
    let made = ProxyMade { at, status: 502, to_connect: true, cause: "gone.test:443: connection refused".to_owned() };
    script.fact(3, Fact::ProxyMade(made, b"HTTP/1.1 502 Firstframe Cannot Connect\r\n\r\n"));
    script.close(3, Closer::Proxy, Ending::Fin);

    script.open_tunnel(4, "api.test:443");
    script.say(4, Side::Client, b"GET /big HTTP/1.1\nHost: api.test\r\nX-Odd: a\x01\xff\x1b[2Jb\r\n\r\n");
    script.say(4, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789");
    script.lose(4, Side::Server, 20);
    script.say(4, Side::Server, b"abcdefghij");
    script.close(4, Closer::Server, Ending::Rst);
}

/// The end of what [`play`] leaves open.
pub(crate) fn end(script: &mut Script<'_>) {
    script.close(2, Closer::Client, Ending::CloseNotify);
    script.say(1, Side::Client, &masked(8, &[0x03, 0xe8]));
    script.say(1, Side::Server, &unmasked(8, &[0x03, 0xe8]));
    script.close(1, Closer::Client, Ending::CloseNotify);
}
