//! The client's direction: request heads, where the changes are made, and bodies, where none are.

use std::collections::VecDeque;

use super::{
    Edits, Expected, HostPort, Place, Rules, Watched,
    fields::{Fields, Line},
};
use crate::{
    decode::http1::body::{BodyScanner, Progress},
    model::trace::RewriteKind,
};

/// Methods are shorter than this; what is longer is no HTTP.
const MAX_METHOD: usize = 40;
/// Authorities are shorter than this.
const MAX_AUTHORITY: usize = 1024;

/// Its head was taken for a request's before it was seen to be none.
const PIPELINED: &str = "a CONNECT stands right behind a plain request: send it once that was answered";

/// How far a scan came.
pub(super) enum Outcome {
    /// Through, but for the bytes from this index on, which are held.
    Through(usize),
    /// To a request, held from this index on, that goes elsewhere.
    Elsewhere(usize, HostPort),
    /// To a request, from this index on, that goes nowhere.
    Refused(usize, &'static str),
    /// To this index, where it is no longer understood.
    Aside(usize, &'static str),
    /// To a request that goes nowhere, with nobody connected to take it as it is.
    Nowhere(&'static str),
}

/// Where in the client's bytes we are.
#[derive(Debug, Default)]
enum At {
    /// Before a request.
    #[default]
    Start,
    /// In the method.
    Method,
    /// At the first byte of the target, which is not decided yet.
    Target,
    /// Behind that, before the line's end.
    StartLine,
    /// At the first byte of a header line, which is not decided yet.
    Line,
    /// Behind the CR that may end the head.
    Cr,
    /// In a header line that goes on as it is.
    Header,
    /// In a header line that is taken out.
    Dropped(Dropped),
    /// In the body.
    Body(Box<BodyScanner>),
    /// Behind a request for an upgrade that is not answered yet: whatever comes goes on.
    Upgrade,
}

#[derive(Clone, Copy, Debug)]
struct Dropped {
    /// Which of the watched headers.
    watched: usize,
    /// Where the line began.
    start: u64,
    /// Whether it continues the line before: then nothing takes its place.
    folded: bool,
    /// Whether the last byte so far was a CR.
    cr: bool,
}

/// The client's direction.
#[derive(Debug, Default)]
pub(super) struct Request {
    at: At,
    method: Method,
    line: Line,
    fields: Fields,
    head_bytes: usize,
    /// The watched header that the line before was, if it was one.
    dropped_last: Option<usize>,
    /// Bytes came behind a request for an upgrade.
    early: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Method {
    bytes: [u8; 8],
    length: usize,
}

impl Method {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn is(&self, name: &[u8]) -> bool {
        self.bytes.get(..self.length).is_some_and(|bytes| bytes == name)
    }
}

impl Request {
    /// Whether a request may begin here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.at, At::Start)
    }

    /// The upgrade was refused: HTTP/1 goes on. False where that is no longer possible, since bytes went on unseen.
    pub(super) fn upgrade_refused(&mut self) -> bool {
        if matches!(self.at, At::Upgrade) {
            self.at = At::Start;
        }
        !std::mem::take(&mut self.early)
    }

    pub(super) fn scan(
        &mut self,
        rules: &Rules,
        place: &Place,
        expected: &mut VecDeque<Expected>,
        edits: &mut Edits<'_>,
    ) -> Outcome {
        let work = edits.work;
        let mut at = 0;
        while let Some(rest) = work.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(&first) = rest.first() else { break };
            let before = at;
            match &mut self.at {
                At::Start => {
                    if first == b'\r' || first == b'\n' {
                        at += 1;
                        continue;
                    }
                    if let Place::Forward(connected) = place {
                        match destination(rest) {
                            Destination::Unknown => return Outcome::Through(at),
                            Destination::At(to) if connected.as_ref() == Some(&to) => {}
                            Destination::At(to) => return Outcome::Elsewhere(at, to),
                            Destination::Tunnel => return Outcome::Refused(at, PIPELINED),
                            Destination::None(why) if connected.is_none() => return Outcome::Nowhere(why),
                            Destination::None(why) => return Outcome::Aside(at, why),
                        }
                    }
                    (self.method, self.fields, self.head_bytes) = Default::default();
                    self.at = At::Method;
                }
                At::Method => {
                    at += 1;
                    match first {
                        b' ' if self.method.length > 0 => self.at = At::Target,
                        _ if is_token(first) && self.method.length < MAX_METHOD => self.method.push(first),
                        _ => return Outcome::Aside(before, "no method stands where a request should begin"),
                    }
                }
                At::Target => {
                    let authority = match place {
                        Place::Fixed(authority) | Place::Forward(Some(authority)) => authority,
                        Place::Forward(None) => return Outcome::Nowhere("no server is connected"),
                    };
                    match if rules.absolute_form { absolute(rest, authority) } else { Absolute::No } {
                        Absolute::Unknown => return Outcome::Through(at),
                        Absolute::No => {}
                        Absolute::Yes { prefix, path } => {
                            let to: &[u8] = match path {
                                true => b"",
                                false if self.method.is(b"OPTIONS") => b"*",
                                false => b"/",
                            };
                            edits.replace(at, at + prefix, to);
                            let start = edits.base + at as u64;
                            edits.tell(start, start + prefix as u64, RewriteKind::AbsoluteForm, to);
                            at += prefix;
                        }
                    }
                    self.at = At::StartLine;
                }
                At::StartLine => match memchr::memchr(b'\n', rest) {
                    None => {
                        self.line.keep_end(rest);
                        at = work.len();
                    }
                    Some(end) => {
                        at += end + 1;
                        let line = rest.get(..end).unwrap_or_default();
                        self.line.keep_end(line);
                        let known = is_http1(self.line.with(&[]));
                        self.line.clear();
                        if !known {
                            return Outcome::Aside(at, "the request line does not end in HTTP/1");
                        }
                        self.dropped_last = None;
                        self.at = At::Line;
                    }
                },
                At::Line => match first {
                    b'\n' => {
                        at += 1;
                        if let Err(why) = self.head_ended(expected) {
                            return Outcome::Aside(at, why);
                        }
                    }
                    b'\r' => {
                        at += 1;
                        self.at = At::Cr;
                    }
                    b' ' | b'\t' => {
                        self.fields.folded();
                        self.at = match self.dropped_last {
                            Some(watched) => {
                                At::Dropped(Dropped { watched, start: edits.base + at as u64, folded: true, cr: false })
                            }
                            None => At::Header,
                        };
                    }
                    _ => match watch(&rules.watched, rest) {
                        Watch::Unknown => return Outcome::Through(at),
                        Watch::No => self.at = At::Header,
                        Watch::Yes(watched) => {
                            let start = edits.base + at as u64;
                            self.at = At::Dropped(Dropped { watched, start, folded: false, cr: false });
                        }
                    },
                },
                At::Cr => {
                    if first != b'\n' {
                        self.line.keep(b"\r");
                        self.at = At::Header;
                        continue;
                    }
                    at += 1;
                    if let Err(why) = self.head_ended(expected) {
                        return Outcome::Aside(at, why);
                    }
                }
                At::Header => match memchr::memchr(b'\n', rest) {
                    None => {
                        self.line.keep(rest);
                        at = work.len();
                    }
                    Some(end) => {
                        at += end + 1;
                        self.fields.line(self.line.with(rest.get(..=end).unwrap_or(rest)));
                        self.line.clear();
                        self.dropped_last = None;
                        self.at = At::Line;
                    }
                },
                At::Dropped(dropped) => {
                    let end = memchr::memchr(b'\n', rest);
                    let here = end.map_or(rest.len(), |end| end + 1);
                    let last = rest.get(..end.unwrap_or(here)).unwrap_or_default().last();
                    let cr = last.map_or(dropped.cr, |last| *last == b'\r');
                    let mut replacement = Vec::new();
                    if let Some(line) = rules.watched.get(dropped.watched).and_then(|w| w.replacement.as_deref())
                        && end.is_some()
                        && !dropped.folded
                    {
                        replacement.extend_from_slice(line);
                        replacement.extend_from_slice(if cr { b"\r\n" } else { b"\n" });
                    }
                    edits.replace(at, at + here, &replacement);
                    at += here;
                    dropped.cr = cr;
                    if end.is_some() {
                        let kind = rules.watched.get(dropped.watched).map_or(RewriteKind::IdentityHeader, |w| w.kind);
                        edits.tell(dropped.start, edits.base + at as u64, kind, &replacement);
                        self.dropped_last = Some(dropped.watched);
                        self.at = At::Line;
                    }
                }
                At::Body(body) => {
                    let step = body.scan(rest);
                    at += step.consumed;
                    match step.progress {
                        Progress::More => {}
                        Progress::Broken => return Outcome::Aside(at, "the chunked body of a request is not chunked"),
                        Progress::Done => {
                            self.at = if expected.back() == Some(&Expected::Upgrade) { At::Upgrade } else { At::Start };
                        }
                    }
                    continue;
                }
                At::Upgrade => {
                    self.early = true;
                    return Outcome::Through(work.len());
                }
            }
            self.head_bytes += at - before;
            if self.head_bytes > rules.max_head {
                return Outcome::Aside(at, "a request's head is larger than max_head_bytes");
            }
        }
        Outcome::Through(work.len())
    }

    fn head_ended(&mut self, expected: &mut VecDeque<Expected>) -> Result<(), &'static str> {
        let body = BodyScanner::new(self.fields.request_framing()?);
        let kind = if self.method.is(b"HEAD") {
            Expected::Head
        } else if self.method.is(b"CONNECT") {
            Expected::Connect
        } else if self.fields.upgrade {
            Expected::Upgrade
        } else {
            Expected::Usual
        };
        expected.push_back(kind);
        self.at = match (body, kind) {
            (body, _) if !body.is_done() => At::Body(Box::new(body)),
            (_, Expected::Upgrade | Expected::Connect) => At::Upgrade,
            (_, Expected::Usual | Expected::Head) => At::Start,
        };
        (self.head_bytes, self.dropped_last) = (0, None);
        Ok(())
    }
}

enum Watch {
    /// It is none of them.
    No,
    /// It may become one.
    Unknown,
    /// It is this one.
    Yes(usize),
}

fn watch(watched: &[Watched], line: &[u8]) -> Watch {
    let mut result = Watch::No;
    for (index, Watched { name, .. }) in watched.iter().enumerate() {
        match line.split_at_checked(name.len()) {
            Some((begin, rest)) if begin.eq_ignore_ascii_case(name) => match rest.first() {
                Some(b':') => return Watch::Yes(index),
                Some(_) => {}
                None => result = Watch::Unknown,
            },
            Some(_) => {}
            None if name.get(..line.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(line)) => {
                result = Watch::Unknown;
            }
            None => {}
        }
    }
    result
}

enum Absolute {
    /// It is not the absolute form of our authority.
    No,
    /// It may become that.
    Unknown,
    /// It is, up to `prefix`; whether a path follows.
    Yes { prefix: usize, path: bool },
}

const SCHEMES: [(&[u8], u16); 4] = [(b"https://", 443), (b"http://", 80), (b"wss://", 443), (b"ws://", 80)];

/// Whether `target` (and what follows it) begins with a scheme and `authority`, ports normalised, cases ignored.
fn absolute(target: &[u8], authority: &HostPort) -> Absolute {
    // The usual case, at once.
    if target.first() == Some(&b'/') {
        return Absolute::No;
    }
    let mut result = Absolute::No;
    for (scheme, default) in SCHEMES {
        let Some((begin, rest)) = target.split_at_checked(scheme.len()) else {
            if scheme.get(..target.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(target)) {
                result = Absolute::Unknown;
            }
            continue;
        };
        if !begin.eq_ignore_ascii_case(scheme) {
            continue;
        }
        let length = rest.iter().position(|byte| ends_authority(*byte));
        let written = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let full = authority.to_string();
        let short = full.rsplit_once(':').filter(|_| authority.port == default).map(|(host, _)| host);
        let spellings = [Some(full.as_str()), short];
        return match length {
            Some(length) if spellings.iter().flatten().any(|s| s.as_bytes().eq_ignore_ascii_case(written)) => {
                Absolute::Yes { prefix: scheme.len() + length, path: rest.get(length) == Some(&b'/') }
            }
            None if spellings.iter().flatten().any(|s| begins(s.as_bytes(), written)) => Absolute::Unknown,
            _ => Absolute::No,
        };
    }
    result
}

fn begins(whole: &[u8], begin: &[u8]) -> bool {
    whole.get(..begin.len()).is_some_and(|part| part.eq_ignore_ascii_case(begin))
}

enum Destination {
    /// It may still become one.
    Unknown,
    /// There.
    At(HostPort),
    /// It is a CONNECT.
    Tunnel,
    /// It names none.
    None(&'static str),
}

/// The authority that a request to a forward proxy names in its target.
fn destination(request: &[u8]) -> Destination {
    let Some(method) = request.iter().take(MAX_METHOD + 1).position(|byte| !is_token(*byte)) else {
        let is_short = request.len() <= MAX_METHOD;
        return if is_short { Destination::Unknown } else { Destination::None("it does not speak HTTP/1") };
    };
    if method == 0 || request.get(method) != Some(&b' ') {
        return Destination::None("it does not speak HTTP/1");
    }
    if request.get(..method) == Some(b"CONNECT") {
        return Destination::Tunnel;
    }
    let target = request.get(method + 1..).unwrap_or_default();
    for (scheme, default) in SCHEMES {
        if !begins(scheme, target.get(..scheme.len()).unwrap_or(target)) {
            continue;
        }
        let Some(rest) = target.get(scheme.len()..) else { return Destination::Unknown };
        if default == 443 {
            return Destination::None("its target is https or wss, which needs a CONNECT");
        }
        let Some(length) = rest.iter().take(MAX_AUTHORITY).position(|byte| ends_authority(*byte)) else {
            let is_short = rest.len() < MAX_AUTHORITY;
            return if is_short {
                Destination::Unknown
            } else {
                Destination::None("its target's authority is too long")
            };
        };
        let written = rest.get(..length).unwrap_or_default();
        let parsed = std::str::from_utf8(written).ok().and_then(|text| HostPort::parse(text, Some(default)).ok());
        return match parsed {
            Some(to) => Destination::At(to),
            None => Destination::None("its target's authority is none"),
        };
    }
    Destination::None("its target names no server: a request to a proxy must be absolute, or a CONNECT")
}

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#' | b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a request line ends in `HTTP/1` and a version.
fn is_http1(line: &[u8]) -> bool {
    const VERSION: &[u8] = b" HTTP/1";
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.windows(VERSION.len()).any(|part| part == VERSION)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
