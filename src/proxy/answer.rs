//! What the proxy says itself. Every answer bears `X-Firstframe-Error` and a reason phrase of our own, so that nobody
//! takes it for the server's; none is ever a 400.

use std::fmt::Write as _;

/// An answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// 502 or 504.
    pub(super) status: u16,
    /// What went wrong, in words.
    pub(super) cause: String,
}

/// A reason phrase that JMeter's result tables still show whole.
const MAX_REASON: usize = 160;

impl Answer {
    /// The server cannot be used.
    pub(super) fn bad_gateway(cause: String) -> Self {
        Self { status: 502, cause }
    }

    /// The server did not answer in time.
    pub(super) fn gateway_timeout(cause: String) -> Self {
        Self { status: 504, cause }
    }

    /// The bytes of the answer; the connection ends after it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let line = visible(&self.cause);
        let reason: String = line.chars().take(MAX_REASON).collect();
        let body = format!("Firstframe (not the server) answers: {}\n", self.cause);
        let mut text = format!("HTTP/1.1 {} Firstframe: {reason}\r\n", self.status);
        let _ = write!(text, "X-Firstframe-Error: {line}\r\nContent-Type: text/plain; charset=utf-8\r\n");
        let _ = write!(text, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        text.into_bytes()
    }
}

/// A header value can bear no more than visible ASCII.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_marked_and_cannot_be_split_by_what_it_quotes() {
        let cause = "cannot reach \"a\r\nX: é\"".to_owned();
        let bytes = Answer::bad_gateway(cause).bytes();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            head.starts_with("HTTP/1.1 502 Firstframe: cannot reach \"a??X: ?\"\r\nX-Firstframe-Error: "),
            "{head}"
        );
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(head.lines().count(), 5, "{head}");
    }
}
