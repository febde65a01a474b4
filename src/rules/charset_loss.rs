//! `charset-loss`: characters of a request were lost or mixed up on the way from text to bytes.
//!
//! Source: RFC 8259, 8.1 (JSON is UTF-8), RFC 6455, 8.1 (so is a text frame). Measured: JMeter up to 5.6.0 sends a raw
//! body without content encoding as ISO-8859-1, `é` as the one byte E9 and what ISO-8859-1 does not have as `?`; from
//! 5.6.1 on it is UTF-8. What is a `?` now cannot be told from a question mark, so that nothing is said of it.
//!
//! - error: a text that must be UTF-8 (JSON, or `charset=utf-8`) is not;
//! - warning: U+FFFD, which stands where a decoder gave up before the text was sent;
//! - hint: UTF-8 that was read as ISO-8859-1 and encoded once more (`Ã©` for `é`). A text may mean that.
//!
//! What would be evidence: the bytes; the same request in UTF-8 passes.

use memchr::memmem;

use crate::model::{
    anomaly::AnomalyKind,
    exchange::Exchange,
    flag::{Evidence, Flag, Severity, Subject},
    observation::{Collected, Heard, Observation, What},
    side::Side,
    websocket::opcode,
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    body::{self, Media},
    fault::{self, Fault},
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "charset-loss",
    group: Group::Body,
    summary: "a request's or a message's text is not in the charset that it must be in, or characters were lost before",
    severity: Severity::Error,
    needs: &[Needs::RequestBody, Needs::Frames],
    known: Known::Before,
    source: "RFC 8259, 8.1; RFC 6455, 8.1; JMeter's default charset (measured)",
    default_on: true,
    why: "servers answer 400 to what is not UTF-8; the doubtful cases are hints",
    silent: super::never,
    build: |_: &Options| Box::new(CharsetLoss),
};

struct CharsetLoss;

impl Rule for CharsetLoss {
    fn hears(&self) -> &[Heard] {
        &[Heard::Request, Heard::Message, Heard::Anomaly]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        match observation.what {
            What::Request(exchange, Collected::Whole(text)) if !text.is_ascii() => {
                if let Some(loss) = request(exchange, text) {
                    let place = fault::body(exchange, loss.offset..text.len());
                    let fault = Fault { severity: loss.severity, what: loss.what, place };
                    raise(fault.flag(&INFO, observation, exchange));
                }
            }
            What::Message(exchange, frame, opcode::TEXT, Collected::Whole(text))
                if frame.from == Side::Client && !text.is_ascii() && std::str::from_utf8(text).is_ok() =>
            {
                if let Some(loss) = in_utf8(text) {
                    let subject = Subject::Frame(frame.id);
                    raise(Flag {
                        rule: INFO.id,
                        severity: loss.severity,
                        subject,
                        session: observation.session.map(|session| session.id),
                        message: format!("a message of the client's on {}: {}", exchange.id, loss.what),
                        evidence: vec![Evidence::bytes(subject, frame.range, observation.at)],
                        at: observation.at,
                    });
                }
            }
            What::Anomaly(Some(exchange), anomaly)
                if anomaly.kind == AnomalyKind::NotUtf8 && anomaly.range.from == Side::Client =>
            {
                let subject = Subject::Exchange(exchange.id);
                raise(Flag {
                    rule: INFO.id,
                    severity: Severity::Error,
                    subject,
                    session: observation.session.map(|session| session.id),
                    message: format!("a text message of the client's on {} is not UTF-8", exchange.id),
                    evidence: vec![Evidence::bytes(subject, anomaly.range, observation.at)],
                    at: observation.at,
                });
            }
            _ => {}
        }
    }
}

struct Loss {
    severity: Severity,
    what: String,
    offset: usize,
}

fn request(exchange: &Exchange, text: &[u8]) -> Option<Loss> {
    let media = body::declared(exchange);
    let json = media == Media::Json || (media == Media::Unknown && body::begins_like_json(text));
    if media == Media::Other || body::is_encoded(exchange) || !exchange.request_body.complete {
        return None;
    }
    let charset = body::charset(exchange);
    let says_utf8 =
        charset.is_some_and(|charset| charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"utf8"));
    match std::str::from_utf8(text) {
        Ok(_) if charset.is_none() || says_utf8 => in_utf8(text),
        Ok(_) => None,
        Err(error) if json || says_utf8 => {
            let offset = error.valid_up_to();
            let byte = text.get(offset).copied().unwrap_or_default();
            // A letter of ISO-8859-1 between others.
            let latin = byte >= 0xc0 && !text.get(offset + 1).is_some_and(|next| (0x80..0xc0).contains(next));
            let guess = if latin { "; ISO-8859-1 has a letter there" } else { "" };
            let must = if json { "JSON, which must be UTF-8" } else { "declared as UTF-8" };
            let what = format!("the body is {must}, but byte {offset} (0x{byte:02x}) is not{guess}");
            Some(Loss { severity: Severity::Error, what, offset })
        }
        Err(_) => None,
    }
}

/// What was lost before the text became sound UTF-8.
fn in_utf8(text: &[u8]) -> Option<Loss> {
    if let Some(offset) = memmem::find(text, "\u{fffd}".as_bytes()) {
        let what = format!("U+FFFD stands at byte {offset}: a character was lost before the text was sent");
        return Some(Loss { severity: Severity::Warning, what, offset });
    }
    let offset = twice_encoded(text)?;
    let what = format!(
        "byte {offset} begins what looks like UTF-8 that was taken for ISO-8859-1 and encoded once more (such as Ã© for é)"
    );
    Some(Loss { severity: Severity::Hint, what, offset })
}

/// `Ã` or `Â` and a character of U+0080 to U+00BF: the two bytes of a letter of Latin-1, each encoded.
fn twice_encoded(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xc3, text)
        .find(|at| matches!(text.get(*at..*at + 4), Some([0xc3, 0x82 | 0x83, 0xc2, 0x80..=0xbf])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_that_make_a_letter_are_twice_encoded() {
        for (text, expected) in [
            ("cafÃ©", Some(3)),
            ("Ã\u{a0}", Some(0)),
            ("São Ã", None),
            ("10 Â°C", Some(3)),
            ("Ãb", None),
            ("é è ü", None),
            ("日本語", None),
        ] {
            assert_eq!(twice_encoded(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_was_lost_goes_before_what_may_be_meant() {
        assert_eq!(in_utf8("Ã© \u{fffd}".as_bytes()).map(|loss| loss.severity), Some(Severity::Warning));
        assert_eq!(in_utf8("Ã©".as_bytes()).map(|loss| loss.severity), Some(Severity::Hint));
        assert!(in_utf8("é 😀".as_bytes()).is_none());
    }
}
