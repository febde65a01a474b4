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
        // The hint stands in the header and the body; half of one helps nobody.
        let bare = line.split(" (hint: ").next().unwrap_or(&line);
        let reason = shortened(bare);
        let body = format!("Firstframe (not the server) answers: {}\n", self.cause);
        let mut text = format!("HTTP/1.1 {} Firstframe: {reason}\r\n", self.status);
        let _ = write!(text, "X-Firstframe-Error: {line}\r\nContent-Type: text/plain; charset=utf-8\r\n");
        let _ = write!(text, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        text.into_bytes()
    }
}

/// As many words as there is room for.
fn shortened(line: &str) -> String {
    if line.chars().count() <= MAX_REASON {
        return line.to_owned();
    }
    let cut: String = line.chars().take(MAX_REASON - 4).collect();
    let words = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    format!("{words} ...")
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

    #[test]
    fn a_reason_phrase_ends_with_a_word() {
        let reason = |cause: &str| {
            let bytes = Answer::bad_gateway(cause.to_owned()).bytes();
            let text = String::from_utf8_lossy(&bytes);
            text.lines().next().unwrap_or_default().to_owned()
        };
        let hinted = "TLS failed: UnknownIssuer (hint: --insecure 127.0.0.1 does not verify it)";
        assert_eq!(reason(hinted), "HTTP/1.1 502 Firstframe: TLS failed: UnknownIssuer");
        let long = reason(&"address refused; ".repeat(20));
        assert!(long.ends_with(" refused; ...") && long.len() < 200, "{long}");
    }
}
