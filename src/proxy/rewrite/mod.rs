//! The framer: follows both directions of HTTP/1 so that the few changes below are made in heads, and nowhere
//! else. Every change is told, with the bytes that it replaced.
//!
//! It holds bytes back only while it cannot know whether they are to be changed: a target that may turn out to be our
//! own authority in absolute form, and a header name that is still the beginning of one to strip. Everything else goes on at
//! once, byte by byte if need be. Where it does not understand, or another reader might understand differently, it
//! steps aside for good: the connection goes on verbatim. After a granted upgrade it is over, too.
//!
//! What must not happen here: a change outside a head, an answer to the client, memory that grows with a message.

mod fields;
mod request;
mod response;

use std::{collections::VecDeque, sync::Arc};

use self::{
    request::{Outcome, Request},
    response::Response,
};
use super::{HostPort, Options};
use crate::model::{
    Side,
    trace::{ByteRange, RewriteKind, Rewritten},
};

/// Requests that wait for their answers; a client that pipelines more is followed no further.
const MAX_OUTSTANDING: usize = 4096;

/// What is changed, per place: made once per listener.
#[derive(Debug)]
pub(super) struct Rules {
    watched: Vec<Watched>,
    absolute_form: bool,
    max_head: usize,
}

/// A header that is taken out or replaced.
#[derive(Debug)]
struct Watched {
    name: Box<[u8]>,
    kind: RewriteKind,
    /// The line that takes its place, without its end.
    replacement: Option<Box<[u8]>>,
}

impl Rules {
    /// What is changed inside tunnels.
    pub(super) fn tunnel(options: &Options) -> Self {
        Self {
            watched: options.strip_headers.iter().map(|name| Watched::out(name, RewriteKind::IdentityHeader)).collect(),
            absolute_form: options.rewrite_absolute_form,
            max_head: options.max_head_bytes,
        }
    }

    /// What is changed in plain requests to an HTTP proxy.
    pub(super) fn forward(options: &Options) -> Self {
        let mut rules = Self::tunnel(options);
        rules.absolute_form = true;
        if options.strip_proxy_headers {
            let names = ["Proxy-Connection", "Proxy-Authorization"];
            rules.watched.extend(names.map(|name| Watched::out(name, RewriteKind::ProxyHeader)));
        }
        rules
    }

    /// What is changed in front of `server`.
    pub(super) fn reverse(options: &Options, server: &HostPort, tls: bool) -> Self {
        let mut rules = Self::tunnel(options);
        if !options.keep_host {
            let text = server.to_string();
            let default = if tls { ":443" } else { ":80" };
            let host = text.strip_suffix(default).unwrap_or(&text);
            let replacement = Some(format!("Host: {host}").into_bytes().into());
            rules.watched.push(Watched { name: (*b"host").into(), kind: RewriteKind::Host, replacement });
        }
        rules
    }
}

impl Watched {
    fn out(name: &str, kind: RewriteKind) -> Self {
        Self { name: name.to_ascii_lowercase().into_bytes().into(), kind, replacement: None }
    }
}

/// Where a connection's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this authority, inside its tunnel or behind its listener.
    Fixed(HostPort),
    /// To where each request's target says. The authority that is connected now, if any.
    Forward(Option<HostPort>),
}

/// What a request is, as far as its answer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// An answer like any other.
    Usual,
    /// To HEAD: no body.
    Head,
    /// To an upgrade: 101 ends HTTP/1.
    Upgrade,
    /// To a CONNECT within the tunnel: 2xx ends HTTP/1.
    Connect,
}

/// What the framer tells.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// It put these bytes in the place of the range.
    Rewritten(Rewritten, &'a [u8]),
    /// It no longer follows, from there on.
    Aside(Side, u64, &'static str),
}

/// What became of the client's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// They go on as they are.
    AsTheyAre,
    /// What `out` holds goes on in their place; the rest is held.
    Changed,
    /// What `out` holds goes on. The next request goes to another authority than the one connected: the rest is held
    /// until [`Framer::connected`] and [`Framer::resume`].
    Elsewhere(HostPort),
    /// What `out` holds goes on. The next request goes nowhere; why.
    Refused(&'static str),
    /// The request names no destination.
    Nowhere(&'static str),
}

/// `CONNECT ` and nothing else begins so.
pub(super) const CONNECT: &[u8] = b"CONNECT ";

/// What bytes are that may begin a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Connecting {
    /// They begin none.
    No,
    /// They may; they are kept until more come.
    Perhaps,
    /// They do; they are kept for [`Framer::take_connect`].
    Yes,
}

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Framer {
    rules: Arc<Rules>,
    place: Place,
    request: Request,
    response: Response,
    expected: VecDeque<Expected>,
    /// The client's bytes that are held back, and where they end.
    held: Vec<u8>,
    /// What may become a CONNECT's head. It is no part of the client's bytes, which are what is relayed.
    connect: Vec<u8>,
    client_offset: u64,
    over: bool,
}

impl Framer {
    pub(super) fn new(rules: Arc<Rules>, place: Place) -> Self {
        Self {
            rules,
            place,
            request: Request::default(),
            response: Response::default(),
            expected: VecDeque::new(),
            held: Vec::new(),
            connect: Vec::new(),
            client_offset: 0,
            over: false,
        }
    }

    /// Whether it has nothing more to do: everything is verbatim from here on, after [`Self::take_held`].
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// How many of the client's bytes are held back.
    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// Gives the held bytes away as they are.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Whether the client's next bytes, which nobody has seen yet, begin a CONNECT where a plain request might stand.
    pub(super) fn connecting(&mut self, bytes: &[u8]) -> Connecting {
        let between = self.request.is_between() && self.held.is_empty() && !self.over;
        if !between || !matches!(self.place, Place::Forward(_)) {
            return Connecting::No;
        }
        let known = self.connect.len();
        let begins = CONNECT.iter().skip(known).zip(bytes).all(|(wanted, byte)| wanted == byte);
        if !begins {
            return Connecting::No;
        }
        self.connect.extend_from_slice(bytes);
        if self.connect.len() < CONNECT.len() { Connecting::Perhaps } else { Connecting::Yes }
    }

    /// Gives away what was kept by [`Self::connecting`].
    pub(super) fn take_connect(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.connect)
    }

    /// Whether all requests so far have been answered to the end.
    pub(super) fn is_answered(&self) -> bool {
        self.expected.is_empty() && self.response.is_between()
    }

    /// The server connection now leads there.
    pub(super) fn connected(&mut self, to: HostPort) {
        self.place = Place::Forward(Some(to));
        self.response = Response::default();
        self.expected.clear();
    }

    /// Goes on with what was held for another destination.
    pub(super) fn resume(&mut self, out: &mut Vec<u8>, tell: &mut dyn FnMut(Told<'_>)) -> Passed {
        self.client(self.client_offset, &[], out, tell)
    }

    /// The client's next bytes, which stand at `offset`. `out` is empty at the beginning.
    pub(super) fn client(
        &mut self,
        offset: u64,
        bytes: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Passed {
        if self.over {
            return Passed::AsTheyAre;
        }
        self.client_offset = offset + bytes.len() as u64;
        if self.held.is_empty() {
            return self.scan(offset, bytes, out, tell);
        }
        let mut work = std::mem::take(&mut self.held);
        let base = offset - work.len() as u64;
        work.extend_from_slice(bytes);
        let passed = self.scan(base, &work, out, tell);
        if passed == Passed::AsTheyAre {
            out.extend_from_slice(&work);
            return Passed::Changed;
        }
        passed
    }

    fn scan(&mut self, base: u64, work: &[u8], out: &mut Vec<u8>, tell: &mut dyn FnMut(Told<'_>)) -> Passed {
        let mut edits = Edits { base, work, passed: 0, changed: false, out, tell };
        let mut outcome = self.request.scan(&self.rules, &self.place, &mut self.expected, &mut edits);
        if self.expected.len() > MAX_OUTSTANDING {
            outcome = Outcome::Aside(work.len(), "too many requests wait for their answers");
        }
        let (hold_from, result) = match outcome {
            Outcome::Through(hold_from) => (hold_from, Passed::Changed),
            Outcome::Elsewhere(hold_from, to) => (hold_from, Passed::Elsewhere(to)),
            Outcome::Refused(hold_from, why) => (hold_from, Passed::Refused(why)),
            Outcome::Aside(at, why) => {
                (edits.tell)(Told::Aside(Side::Client, base + at as u64, why));
                self.over = true;
                (work.len(), Passed::Changed)
            }
            Outcome::Nowhere(why) => return Passed::Nowhere(why),
        };
        if !edits.changed && hold_from == work.len() && result == Passed::Changed {
            return Passed::AsTheyAre;
        }
        let rest = work.get(edits.passed..hold_from).unwrap_or_default();
        edits.out.extend_from_slice(rest);
        self.held.extend_from_slice(work.get(hold_from..).unwrap_or_default());
        result
    }

    /// The server's next bytes; they always go on as they are.
    pub(super) fn server(&mut self, offset: u64, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        if self.over {
            return;
        }
        match self.response.scan(bytes, &mut self.expected, self.rules.max_head) {
            response::Outcome::Through { refused } => {
                if refused && !self.request.upgrade_refused() {
                    tell(Told::Aside(Side::Client, self.client_offset, "it sent bytes before its upgrade was refused"));
                    self.over = true;
                }
            }
            response::Outcome::Switched => self.over = true,
            response::Outcome::Aside(at, why) => {
                tell(Told::Aside(Side::Server, offset + at as u64, why));
                self.over = true;
            }
        }
    }

    /// The server sends nothing more: an answer that lasts until then is complete.
    pub(super) fn server_ended(&mut self) {
        self.response.ended();
    }
}

/// The edits to one stretch of the client's bytes.
struct Edits<'a> {
    /// The offset of `work`'s first byte.
    base: u64,
    work: &'a [u8],
    /// What stands before this index has been dealt with.
    passed: usize,
    changed: bool,
    out: &'a mut Vec<u8>,
    tell: &'a mut dyn FnMut(Told<'_>),
}

impl Edits<'_> {
    /// Puts `bytes` in the place of `start..end`.
    fn replace(&mut self, start: usize, end: usize, bytes: &[u8]) {
        self.out.extend_from_slice(self.work.get(self.passed..start).unwrap_or_default());
        self.out.extend_from_slice(bytes);
        self.passed = end;
        self.changed = true;
    }

    /// Tells of a change that is complete.
    fn tell(&mut self, start: u64, end: u64, kind: RewriteKind, bytes: &[u8]) {
        let range = ByteRange { from: Side::Client, start, end };
        (self.tell)(Told::Rewritten(Rewritten { range, kind }, bytes));
    }
}

#[cfg(test)]
mod tests;
