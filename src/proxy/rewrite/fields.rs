//! The few header fields that say where a message ends and what follows it.

use crate::model::http::Framing;

/// A line of this length is kept whole while it comes in pieces; of a longer one only that it was too long.
const MAX_LINE: usize = 16 << 10;

/// A line that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Line {
    kept: Vec<u8>,
}

impl Line {
    /// Keeps a piece that has no end yet.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        let room = (MAX_LINE + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Keeps the last bytes of a piece.
    pub(super) fn keep_end(&mut self, piece: &[u8]) {
        const END: usize = 16;
        self.kept.extend_from_slice(piece.get(piece.len().saturating_sub(END)..).unwrap_or(piece));
        let too_many = self.kept.len().saturating_sub(END);
        self.kept.drain(..too_many);
    }

    /// The line, now that its last piece is here. To be followed by [`Self::clear`].
    pub(super) fn with<'a>(&'a mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.kept.is_empty() {
            return piece;
        }
        self.keep(piece);
        &self.kept
    }

    /// Forgets it, memory included: lines in pieces are rare.
    pub(super) fn clear(&mut self) {
        if self.kept.capacity() > 0 {
            self.kept = Vec::new();
        }
    }
}

/// What the fields of one head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    length: Option<u64>,
    chunked: bool,
    other_coding: bool,
    /// `Upgrade` is there.
    pub(super) upgrade: bool,
    /// What keeps us from knowing the body's end for sure.
    problem: Option<&'static str>,
    last_matters: bool,
}

impl Fields {
    /// Takes a whole header line.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.last_matters = false;
        // `Content-Length`, `Transfer-Encoding`, `Upgrade`: others are not looked at.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U')) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let trimmed = name.trim_ascii_end();
        let is = |wanted: &str| trimmed.eq_ignore_ascii_case(wanted.as_bytes());
        if is("content-length") {
            match number(value) {
                Some(length) if self.length.is_none_or(|other| other == length) => self.length = Some(length),
                Some(_) => self.problem = Some("it has several Content-Length that differ"),
                None => self.problem = Some("its Content-Length is no number"),
            }
        } else if is("transfer-encoding") {
            if value.eq_ignore_ascii_case(b"chunked") && !self.chunked {
                self.chunked = true;
            } else {
                self.other_coding = true;
            }
        } else if is("upgrade") {
            self.upgrade = true;
        } else {
            return;
        }
        self.last_matters = true;
        if trimmed.len() != name.len() {
            self.problem = Some("white space stands before a colon that matters");
        }
        if line.len() > MAX_LINE {
            self.problem = Some("a header line that matters is too long");
        }
    }

    /// The next line continues the last one (RFC 9112, 5.2).
    pub(super) fn folded(&mut self) {
        if self.last_matters {
            self.problem = Some("a header line that matters is folded");
        }
    }

    /// How the end of a request's body is known.
    pub(super) fn request_framing(&self) -> Result<Framing, &'static str> {
        self.sure()?;
        match self.length {
            _ if self.other_coding => Err("its Transfer-Encoding is not chunked alone"),
            _ if self.chunked => Ok(Framing::Chunked),
            Some(length) => Ok(Framing::Length(length)),
            None => Ok(Framing::None),
        }
    }

    /// How the end of the body of a response is known that has one.
    pub(super) fn response_framing(&self) -> Result<Framing, &'static str> {
        self.sure()?;
        Ok(match self.length {
            _ if self.other_coding => Framing::UntilClose,
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }

    fn sure(&self) -> Result<(), &'static str> {
        match self.problem {
            Some(problem) => Err(problem),
            None if self.length.is_some() && (self.chunked || self.other_coding) => {
                Err("it has both Content-Length and Transfer-Encoding")
            }
            None => Ok(()),
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for line in lines {
            if line.starts_with(' ') { fields.folded() } else { fields.line(line.as_bytes()) }
        }
        fields
    }

    #[test]
    fn bodies_are_known_only_where_nobody_can_differ() {
        let request = |lines: &[&str]| fields(lines).request_framing();
        assert_eq!(request(&["Host: a\r\n"]), Ok(Framing::None));
        assert_eq!(request(&["content-LENGTH:  12 \r\n"]), Ok(Framing::Length(12)));
        assert_eq!(request(&["Content-Length: 12\r\n", "Content-Length: 12\n"]), Ok(Framing::Length(12)));
        assert_eq!(request(&["Transfer-Encoding: Chunked\r\n"]), Ok(Framing::Chunked));
        for doubtful in [
            &["Content-Length: 12\r\n", "Content-Length: 13\r\n"][..],
            &["Content-Length: 1 2\r\n"],
            &["Content-Length: +1\r\n"],
            &["Content-Length: \r\n"],
            &["Content-Length: 99999999999999999999\r\n"],
            &["Content-Length: 12\r\n", " 3\r\n"],
            &["Content-Length : 12\r\n"],
            &["Content-Length: 12\r\n", "Transfer-Encoding: chunked\r\n"],
            &["Transfer-Encoding: gzip, chunked\r\n"],
            &["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"],
        ] {
            request(doubtful).unwrap_err();
        }
        assert_eq!(fields(&["Transfer-Encoding: gzip\r\n"]).response_framing(), Ok(Framing::UntilClose));
        assert_eq!(fields(&["Server: x\r\n"]).response_framing(), Ok(Framing::UntilClose));
        assert_eq!(fields(&["Content-Length: 0\r\n"]).response_framing(), Ok(Framing::Length(0)));
    }
}
