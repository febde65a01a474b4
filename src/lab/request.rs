//! What a virtual agent sends: a request, or a message on its socket. It is the exact bytes, kept in parts so that a
//! cause can spoil one of them, and the rules that will flag it.

use std::borrow::Cow;

/// What a request is for; a [`super::surface::Surface`] gives it method, path and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Fetches the agent's token.
    Token,
    /// Renews a token that agents share.
    Refresh,
    /// Creates what the socket is for.
    Channel,
    /// The socket's upgrade.
    Socket,
    /// A message: the first on the socket.
    Hello,
    /// A message: the second, where an API wants the session named once more.
    Bind,
    /// The metadata that must wait for the socket: a request, or a message where the API has it so.
    Metadata,
    /// A further description of the session, with a schema.
    Details,
    /// A message: now and then.
    Ping,
    /// Reads one of a few things.
    Read,
    /// Reads the version of what the agent writes.
    Version,
    /// Writes it, if it still has that version.
    Write,
    /// Writes what others read.
    Publish,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Token,
        Self::Refresh,
        Self::Channel,
        Self::Socket,
        Self::Hello,
        Self::Bind,
        Self::Metadata,
        Self::Details,
        Self::Ping,
        Self::Read,
        Self::Version,
        Self::Write,
        Self::Publish,
    ];
}

/// How the bytes end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// As the head announces.
    #[default]
    Whole,
    /// With these bytes behind the announced body.
    Extra(Vec<u8>),
    /// The client closes the connection after that many bytes of the body.
    Abort(usize),
}

/// One field of a head.
pub type Field = (Cow<'static, str>, Cow<'static, str>);

/// A request, or a message on a socket (then `body` alone is sent, as one text frame).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it is for.
    pub kind: Kind,
    /// Whether it is a message on a socket.
    pub is_message: bool,
    /// The method.
    pub method: Cow<'static, str>,
    /// The target, in origin form.
    pub target: String,
    /// The fields, in order, without `Content-Length`, which [`Self::head`] adds where there is a body or a method that
    /// has one.
    pub headers: Vec<Field>,
    /// The announced body.
    pub body: Vec<u8>,
    /// How its bytes end.
    pub ending: Ending,
    /// Rules that flag it, known before its answer. In virtual time they become flags; over sockets the rules themselves
    /// see the bytes. What follows from order and timing is not among them.
    pub flags: Vec<&'static str>,
}

impl Request {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// Replaces a field's first value, or adds the field.
    pub fn set_header(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        match self.headers.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.into(),
            None => self.headers.push((name.into(), value.into())),
        }
    }

    /// Removes all lines of a field.
    pub fn drop_header(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Notes that a rule flags it.
    pub fn flag(&mut self, rule: &'static str) {
        if !self.flags.contains(&rule) {
            self.flags.push(rule);
        }
    }

    /// Whether `Content-Length` is written.
    fn announces(&self) -> bool {
        !self.body.is_empty() || matches!(self.method.as_ref(), "POST" | "PUT" | "PATCH")
    }

    /// The head's bytes, with the empty line; nothing for a message.
    pub fn head(&self) -> Vec<u8> {
        if self.is_message {
            return Vec::new();
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        if self.announces() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// How long [`Self::head`] is.
    pub fn head_bytes(&self) -> usize {
        if self.is_message {
            return 0;
        }
        let fields: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let digits = self.body.len().checked_ilog10().map_or(1, |n| n as usize + 1);
        let length = if self.announces() { "Content-Length: \r\n".len() + digits } else { 0 };
        self.method.len() + self.target.len() + " ".len() + " HTTP/1.1\r\n".len() + fields + length + 2
    }

    /// What is written: all of it, or what comes before the client closes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match &self.ending {
            Ending::Whole => bytes.extend_from_slice(&self.body),
            Ending::Extra(more) => {
                bytes.extend_from_slice(&self.body);
                bytes.extend_from_slice(more);
            }
            Ending::Abort(sent) => bytes.extend(self.body.iter().take(*sent)),
        }
        bytes
    }

    /// Whether the body has that text.
    pub fn body_has(&self, text: &str) -> bool {
        memchr::memmem::find(&self.body, text.as_bytes()).is_some()
    }

    /// The value of a string field of the body, wherever it stands; of a broken body too.
    pub fn body_field(&self, name: &str) -> Option<&str> {
        let key = format!("\"{name}\":\"");
        let from = memchr::memmem::find(&self.body, key.as_bytes())? + key.len();
        let rest = self.body.get(from..)?;
        let end = memchr::memchr(b'"', rest)?;
        std::str::from_utf8(rest.get(..end)?).ok()
    }

    /// Replaces the first occurrence of a text in the body; says whether there was one.
    pub fn replace_in_body(&mut self, what: &str, by: &[u8]) -> bool {
        let Some(at) = memchr::memmem::find(&self.body, what.as_bytes()) else { return false };
        self.body.splice(at..at + what.len(), by.iter().copied());
        true
    }

    /// A query parameter's value.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The path's last segment.
    pub fn last_segment(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    fn request(body: &[u8]) -> Request {
        Request {
            kind: Kind::Metadata,
            is_message: false,
            method: "POST".into(),
            target: "/a/b?x=1&y=2".into(),
            headers: vec![("Host".into(), "h".into()), ("Accept".into(), "*/*".into())],
            body: body.to_vec(),
            ending: Ending::Whole,
            flags: Vec::new(),
        }
    }

    #[test]
    fn the_length_of_a_head_is_that_of_its_bytes() {
        for body in [&b""[..], b"{}", b"0123456789", &[b'x'; 1000]] {
            let mut request = request(body);
            assert_eq!(request.head_bytes(), request.head().len());
            request.method = "GET".into();
            assert_eq!(request.head_bytes(), request.head().len());
        }
        let text = String::from_utf8(request(b"{}").bytes()).unwrap();
        assert_eq!(text, "POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}");
    }

    #[test]
    fn parts_are_found_and_replaced() {
        let mut request = request(br#"{"sessionId":"abc","n":1}"#);
        assert_eq!(request.body_field("sessionId"), Some("abc"));
        assert_eq!(request.query("y"), Some("2"));
        assert_eq!(request.last_segment(), "b");
        assert!(request.replace_in_body("abc", b"d"));
        assert_eq!(request.body_field("sessionId"), Some("d"));
        request.set_header("accept", "a");
        assert_eq!(request.header("ACCEPT"), Some("a"));
        request.ending = Ending::Abort(3);
        assert!(request.bytes().ends_with(b"\r\n\r\n{\"s"));
    }
}
