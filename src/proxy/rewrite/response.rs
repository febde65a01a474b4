//! The server's direction: never changed, only followed, so that answers are paired with requests.

use std::collections::VecDeque;

use super::{
    Expected,
    fields::{Fields, Line},
};
use crate::{
    decode::http1::body::{BodyScanner, Progress},
    model::http::Framing,
};

/// How far a scan came.
pub(super) enum Outcome {
    /// Through; whether an upgrade was refused on the way.
    Through { refused: bool },
    /// HTTP/1 ended.
    Switched,
    /// To this index, where it is no longer understood.
    Aside(usize, &'static str),
}

#[derive(Debug, Default)]
enum At {
    /// Before an answer.
    #[default]
    Start,
    /// In the status line.
    StatusLine,
    /// At the first byte of a header line, or in it.
    Header,
    /// In the body.
    Body(Box<BodyScanner>),
}

/// The server's direction.
#[derive(Debug, Default)]
pub(super) struct Response {
    at: At,
    status: u16,
    line: Line,
    fields: Fields,
    head_bytes: usize,
}

impl Response {
    /// Whether no answer is on its way.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.at, At::Start)
    }

    /// The server sends nothing more.
    pub(super) fn ended(&mut self) {
        if matches!(&self.at, At::Body(body) if body.is_done_at_close()) {
            self.at = At::Start;
        }
    }

    pub(super) fn scan(&mut self, bytes: &[u8], expected: &mut VecDeque<Expected>, max_head: usize) -> Outcome {
        let mut at = 0;
        let mut refused = false;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.at {
                At::Body(body) => {
                    let step = body.scan(rest);
                    at += step.consumed;
                    match step.progress {
                        Progress::More => {}
                        Progress::Broken => {
                            return Outcome::Aside(at, "the chunked body of a response is not chunked");
                        }
                        Progress::Done => self.at = At::Start,
                    }
                }
                At::Start => {
                    if expected.is_empty() {
                        return Outcome::Aside(at, "it sent bytes that no request asked for");
                    }
                    (self.fields, self.head_bytes) = Default::default();
                    self.at = At::StatusLine;
                }
                At::StatusLine | At::Header => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        // Bytes that are no answer shall not be taken for a long line.
                        self.line.keep(rest);
                        self.head_bytes += rest.len();
                        if self.head_bytes > max_head {
                            return Outcome::Aside(bytes.len(), "a response's head is larger than max_head_bytes");
                        }
                        break;
                    };
                    let piece = rest.get(..=end).unwrap_or(rest);
                    let line = self.line.with(piece);
                    let mut ended = false;
                    if matches!(self.at, At::StatusLine) {
                        let Some(status) = status(line) else {
                            return Outcome::Aside(at, "no status line of HTTP/1 stands where an answer should begin");
                        };
                        self.status = status;
                        self.at = At::Header;
                    } else if matches!(line, b"\n" | b"\r\n") {
                        ended = true;
                    } else if matches!(line.first(), Some(b' ' | b'\t')) {
                        self.fields.folded();
                    } else {
                        self.fields.line(line);
                    }
                    self.line.clear();
                    at += end + 1;
                    self.head_bytes += end + 1;
                    if self.head_bytes > max_head {
                        return Outcome::Aside(at, "a response's head is larger than max_head_bytes");
                    }
                    if ended {
                        match self.head_ended(expected) {
                            Ok(Ended::Goes { refused: now }) => refused |= now,
                            Ok(Ended::Switched) => return Outcome::Switched,
                            Err(why) => return Outcome::Aside(at, why),
                        }
                    }
                }
            }
        }
        Outcome::Through { refused }
    }

    fn head_ended(&mut self, expected: &mut VecDeque<Expected>) -> Result<Ended, &'static str> {
        let kind = expected.front().copied().unwrap_or(Expected::Usual);
        if self.status == 101 {
            return if kind == Expected::Upgrade { Ok(Ended::Switched) } else { Err("it switched protocols unasked") };
        }
        if (100..200).contains(&self.status) {
            self.at = At::Start;
            return Ok(Ended::Goes { refused: false });
        }
        expected.pop_front();
        if kind == Expected::Connect && (200..300).contains(&self.status) {
            return Ok(Ended::Switched);
        }
        let without = kind == Expected::Head || matches!(self.status, 204 | 304);
        let framing = if without { Framing::None } else { self.fields.response_framing()? };
        let body = BodyScanner::new(framing);
        self.at = if body.is_done() { At::Start } else { At::Body(Box::new(body)) };
        Ok(Ended::Goes { refused: matches!(kind, Expected::Upgrade | Expected::Connect) })
    }
}

enum Ended {
    Goes { refused: bool },
    Switched,
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (_, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
