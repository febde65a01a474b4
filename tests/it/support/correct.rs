//! Sessions of well-behaved clients, of all the kinds that should raise no flag. The same by number.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use firstframe::model::{
    Side, Timestamp,
    trace::{Closer, Ending},
};

use super::trace_script::{TraceScript, frame};

/// Numbers that look random (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len() as u64) as usize]
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}

/// Which API is spoken to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Api {
    /// Any.
    Generic,
    /// Genesys Cloud's.
    Genesys,
}

/// How a connection reaches its server.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Tunnel,
    Reverse,
    Plain,
}

/// The trace of one user's session: `number` makes the user, `c` numbers the connections (two at most), all of it begins
/// at `begin` nanoseconds.
pub(crate) fn session(script: &mut TraceScript, api: Api, number: u64, c: u64, begin: u64) {
    let mut numbers = Numbers::new(number);
    let way = match numbers.below(4) {
        0 => Way::Plain,
        1 => Way::Reverse,
        _ => Way::Tunnel,
    };
    let token = match numbers.below(4) {
        0 => "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.".to_owned() + &numbers.uuid().replace('-', "_"),
        1 => "Basic dXNlcjpwYXNzd29yZA==".to_owned(),
        _ => format!("Bearer {}", numbers.uuid().replace('-', "~")),
    };
    let mut user = User { api, way, thread: format!("group/{number}@host"), token, numbers, now: begin };
    user.open(script, c);
    let requests = 1 + user.numbers.below(3);
    for n in 0..requests {
        user.exchange(script, c);
        // A pause in which the connection stays.
        if n + 1 < requests && user.numbers.below(4) == 0 {
            user.now += 3_000_000_000;
        }
    }
    if user.numbers.below(4) == 0 {
        user.socket(script, c + 1);
        user.exchange(script, c);
    }
    user.now += 1_000_000;
    match user.numbers.below(3) {
        // The server closes what is idle.
        0 => script.closed(c, Timestamp(user.now), Closer::Server, Ending::Fin),
        1 => script.closed(c, Timestamp(user.now), Closer::Client, Ending::Rst),
        _ => script.closed(c, Timestamp(user.now), Closer::Client, Ending::Fin),
    }
}

struct User {
    api: Api,
    way: Way,
    thread: String,
    token: String,
    numbers: Numbers,
    now: u64,
}

impl User {
    fn host(&self) -> &'static str {
        match self.api {
            Api::Generic => "api.test",
            Api::Genesys => "api.mypurecloud.com",
        }
    }

    fn open(&mut self, script: &mut TraceScript, c: u64) {
        let at = Timestamp(self.now);
        let client = ([10, 0, 0, 1 + (c % 9) as u8], 1024 + (c % 60_000) as u16).into();
        let mode = if self.way == Way::Reverse { format!("reverse:https://{}", self.host()) } else { "forward".into() };
        script.open(c, at, &mode, client);
        if self.way == Way::Tunnel {
            let text = format!("c{c} 0ms connect {}:443\nc{c} 0ms tls", self.host());
            script.events.extend(TraceScript::parse(&text).events);
        }
    }

    /// The head up to its own fields, with what every request bears.
    fn head(&mut self, method: &str, target: &str) -> String {
        let (absolute, host) = match self.way {
            Way::Plain => (format!("http://{}", self.host()), self.host()),
            Way::Tunnel => (String::new(), self.host()),
            Way::Reverse => (String::new(), "127.0.0.1:8080"),
        };
        let length = self.numbers.below(20);
        let cookie: String = (0..length).map(|_| self.numbers.uuid()).collect();
        let mut head = format!("{method} {absolute}{target} HTTP/1.1\r\nHost: {host}\r\n");
        head += &format!("X-JM-Thread: {}\r\nAuthorization: {}\r\n", self.thread, self.token);
        head += match self.numbers.below(4) {
            0 => "Accept: */*\r\nAccept: text/html;q=0.5\r\nX-Empty:\r\n",
            1 => "User-Agent: Apache-HttpClient/4.5.14 (Java/17.0.15)\r\nConnection: keep-alive\r\n",
            2 => "If-None-Match: W/\"1\", \"2\"\r\nX-Price: $5 {ok} [1]\r\nAccept-Encoding: gzip, deflate, br\r\n",
            _ => "",
        };
        if self.numbers.below(3) == 0 {
            head += &format!("Cookie: a={cookie}; b=undefined-no\r\n");
        }
        head
    }

    fn exchange(&mut self, script: &mut TraceScript, c: u64) {
        let bytes = match (self.api, self.numbers.below(2)) {
            (Api::Genesys, 0) => self.genesys(),
            _ => self.any(),
        };
        let steps = 1 + self.numbers.below(3) as usize;
        let step = bytes.len().div_ceil(steps);
        for part in bytes.chunks(step) {
            self.now += 10_000;
            script.data(c, Side::Client, Timestamp(self.now), part.to_vec());
        }
        self.now += 1_000_000 + self.numbers.below(20_000_000);
        let answer: &[u8] = match self.numbers.below(3) {
            0 => b"HTTP/1.1 200 OK\r\nININ-Correlation-Id: 5f0c3f5e\r\nContent-Length: 2\r\n\r\n{}",
            1 => b"HTTP/1.1 204 No Content\r\nININ-Correlation-Id: 5f0c3f5e\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nININ-Correlation-Id: 5f0c3f5e\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        };
        script.data(c, Side::Server, Timestamp(self.now), answer.to_vec());
    }

    /// A request to an API of which nothing is known.
    fn any(&mut self) -> Vec<u8> {
        let (id, n) = (self.numbers.uuid(), self.numbers.below(1_000_000));
        let method = self.numbers.below(10);
        if method < 5 {
            let target = match self.numbers.below(8) {
                0 => format!("/users/{n}/settings"),
                1 => "/users/settings".to_owned(),
                2 => format!("/scripts/{id}"),
                3 => format!(
                    "/scripts/{id}/pages/{n}?sort=name%20asc&filter[a]=b&empty=&to=https%3A%2F%2Fx%2F%3Fa%3Db%2520c"
                ),
                4 => format!("/blobs/{:012x}{:08x}", n, n),
                5 => "/nullable/undefined-things?parent=null&q=100%25".to_owned(),
                6 => "/$batch?$filter=a+eq+'b'".to_owned(),
                _ => "/".to_owned(),
            };
            return (self.head("GET", &target) + "\r\n").into_bytes();
        }
        let method = self.numbers.one(&["POST", "PUT", "PATCH"]);
        let head = self.head(method, &format!("/things/{n}"));
        match self.numbers.below(8) {
            0 => with_length(head, "Content-Type: application/x-www-form-urlencoded", b"a=1&b=caf%C3%A9&c=null"),
            1 => with_length(head, "Content-Type: text/plain; charset=ISO-8859-1", b"caf\xe9 [1]"),
            2 => with_length(head, "Content-Type: application/json\r\nContent-Encoding: gzip", b"\x1f\x8b\x08\x00${x}"),
            3 => with_length(head, "Content-Type: text/xml", "<a b='é'><EOF/></a>".as_bytes()),
            4 => with_length(head, "Content-Type: application/octet-stream", &[0xff, 0xfe, 0, b'$', b'{']),
            5 => {
                let json = self.json();
                let (left, right) = json.split_at(json.len() / 2);
                let mut bytes =
                    (head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
                for part in [left, right] {
                    bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    bytes.extend_from_slice(part);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                bytes
            }
            _ => {
                let json = self.json();
                with_length(head, "Content-Type: application/json; charset=utf-8", &json)
            }
        }
    }

    fn json(&mut self) -> Vec<u8> {
        let (id, n) = (self.numbers.uuid(), self.numbers.below(1_000_000));
        let text = self.numbers.one(&[
            "Grüße, São Paulo 日本語 😀",
            "Hello {{name}}, you owe $5 {ok}",
            "it is undefined, NOT_FOUND and \\\"null\\\"",
            "100% [object] <b>EOF</b>",
            "query ($id: ID!) { a(id: $id) { b { c } } }",
            "startTime:1700000000000",
        ]);
        format!(
            "{{\"id\":\"{id}\",\"n\":{n},\"undefined\":null,\"at\":\"2024-01-31T10:00:00.000Z\",\"text\":\"{text}\",\
             \"timestamp\":1700000000000,\"nested\":{{\"a\":[{{\"b\":{{}}}},[],1.5e3]}}}}"
        )
        .into_bytes()
    }

    /// A request as the profile of Genesys Cloud knows it.
    fn genesys(&mut self) -> Vec<u8> {
        let (id, other) = (self.numbers.uuid(), self.numbers.uuid());
        if self.numbers.below(2) == 0 {
            return (self.head("GET", &format!("/api/v2/scripts/{id}")) + "Content-Type: application/json\r\n\r\n")
                .into_bytes();
        }
        let head = self.head("POST", "/api/v2/recordings/screensessions/metadata");
        let body = format!(
            "{{\"participantJid\":\"a@b.test\",\"roomId\":\"{id}\",\"conversationId\":\"{other}\",\"metaData\":[{{\"trackId\":\
             \"{other}\",\"mediaId\":\"1\",\"screenId\":\"{id}\",\"originX\":0,\"originY\":0,\"primary\":true,\"main\":false}}]}}"
        );
        with_length(head, "Content-Type: application/json", body.as_bytes())
    }

    /// A socket with messages of both sides, closed in order.
    fn socket(&mut self, script: &mut TraceScript, c: u64) {
        self.open(script, c);
        self.now += 1_000_000;
        let id = self.numbers.uuid();
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n";
        let head = self.head("GET", &format!("/channels/{id}")) + upgrade;
        script.data(c, Side::Client, Timestamp(self.now), head.into_bytes());
        self.now += 5_000_000;
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        script.data(c, Side::Server, Timestamp(self.now), granted.to_vec());
        script.written(c, Side::Server, Timestamp(self.now + 1000), Timestamp(self.now + 2000));
        let json = self.json();
        let messages: [(Side, u8, &[u8]); 4] = [
            (Side::Client, 1, &json),
            (Side::Server, 1, b"{\"topic\":\"${x}\"}"),
            (Side::Client, 2, &[0xff; 20]),
            (Side::Client, 8, &[3, 232]),
        ];
        for (from, opcode, payload) in messages {
            self.now += 1_000_000;
            script.data(c, from, Timestamp(self.now), frame(from, opcode, payload));
            script.written(c, from, Timestamp(self.now + 100), Timestamp(self.now + 200));
        }
        self.now += 1_000_000;
        script.closed(c, Timestamp(self.now), Closer::Client, Ending::Fin);
        self.now += 1_000_000;
    }
}

fn with_length(head: String, more: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = (head + more + &format!("\r\nContent-Length: {}\r\n\r\n", body.len())).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
