//! A body as it may be shown: codings taken off, secrets replaced. What cannot be searched for secrets does not leave.

use std::borrow::Cow;

use crate::{
    decode::{
        content::{Decoded, begins_coded, decode_content},
        utf16,
    },
    model::http::Head,
    query::contents::{Fullness, MessageBytes},
    redact::Scrubber,
};

/// A body, or why there is none.
#[derive(Debug, Default)]
pub(super) struct Shown<'b> {
    pub(super) body: Body<'b>,
    /// What is odd about it, for the report and for a comment.
    pub(super) note: Option<&'static str>,
    /// Its size with codings taken off, before redaction; `None` where that is not known.
    pub(super) size: Option<u64>,
}

/// Its bytes.
#[derive(Debug, Default)]
pub(super) enum Body<'b> {
    #[default]
    None,
    Text(Cow<'b, str>),
    Binary(Cow<'b, [u8]>),
}

impl Body<'_> {
    /// Whatever it is.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

pub(super) const TOO_LARGE: &str = "body larger than --body-limit";
pub(super) const UNREADABLE: &str = "body in a coding that cannot be searched for secrets";
pub(super) const CODED: &str = "body shown in its content coding";
pub(super) const MISSING: &str = "body not in the capture (dropped, lost, or cut off)";
pub(super) const WIDE: &str = "body with secrets in UTF-16: shown in UTF-8";
pub(super) const UNSAID: &str = "body with secrets in a coding that its head does not name: shown without that coding";
pub(super) const DAMAGED: &str = "body whose content coding is damaged: shown as far as it can be read";

/// `bytes` is the body with its transfer coding taken off.
pub(super) fn shown<'b>(
    head: Option<&Head>,
    message: &MessageBytes,
    bytes: &'b [u8],
    limit: u64,
    scrubber: &mut Scrubber,
) -> Shown<'b> {
    match message.extent {
        Fullness::TooLarge => return Shown { note: Some(TOO_LARGE), ..Shown::default() },
        Fullness::Missing if bytes.is_empty() => return Shown { note: Some(MISSING), ..Shown::default() },
        Fullness::None => return Shown::default(),
        Fullness::Whole | Fullness::Missing => {}
    }
    let missing = (message.extent == Fullness::Missing).then_some(MISSING);
    let coding = head.and_then(|head| head.header("content-encoding")).filter(|_| !bytes.is_empty());
    let cap = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(coding) = coding else {
        let size = Some(bytes.len() as u64);
        return match within(bytes, cap, scrubber) {
            Within::Nothing => {
                let (body, wide) = text(Cow::Borrowed(bytes), scrubber);
                Shown { body, note: missing.or(wide), size }
            }
            Within::Secrets(plain) => Shown { body: text(Cow::Owned(plain), scrubber).0, note: Some(UNSAID), size },
            Within::Unknown => Shown { note: Some(UNREADABLE), size, ..Shown::default() },
        };
    };
    match decode_content(coding, bytes, cap) {
        Decoded::Whole(plain) => {
            let size = Some(plain.len() as u64);
            let plain = match within(&plain, cap, scrubber) {
                Within::Nothing => plain,
                Within::Secrets(inner) => {
                    return Shown { body: text(Cow::Owned(inner), scrubber).0, note: Some(UNSAID), size };
                }
                Within::Unknown => return Shown { note: Some(UNREADABLE), size, ..Shown::default() },
            };
            let (body, wide) = text(Cow::Owned(plain), scrubber);
            Shown { body, note: missing.or(wide), size }
        }
        Decoded::Damaged(plain) => Shown { body: text(Cow::Owned(plain), scrubber).0, note: Some(DAMAGED), size: None },
        Decoded::Capped(_) => Shown { note: Some(TOO_LARGE), ..Shown::default() },
        Decoded::Unsupported(_) if scrubber.is_off() => {
            Shown { body: Body::Binary(Cow::Borrowed(bytes)), note: Some(CODED), size: None }
        }
        Decoded::Unsupported(_) => Shown { note: Some(UNREADABLE), ..Shown::default() },
    }
}

/// Whether secrets stand in a body's coding, where no search of its bytes finds them, or may stand in one that is not known.
pub(super) fn hides(head: &Head, bytes: &[u8], limit: usize, scrubber: &mut Scrubber) -> bool {
    let wide = |plain: &[u8]| utf16(plain).map(String::into_bytes);
    let mut hidden = |plain: &[u8]| {
        wide(plain).is_some_and(|plain| !scrubber.in_text(&plain).is_empty()) || hides_within(plain, limit, scrubber)
    };
    match head.header("content-encoding").map(|coding| decode_content(coding, bytes, limit)) {
        None => hidden(bytes),
        Some(Decoded::Whole(plain)) => hidden(&plain) || !scrubber.in_text(&plain).is_empty(),
        Some(Decoded::Capped(_) | Decoded::Damaged(_) | Decoded::Unsupported(_)) => true,
    }
}

/// Whether secrets stand, or may stand, in a coding that the bytes begin with and nothing names.
pub(super) fn hides_within(bytes: &[u8], limit: usize, scrubber: &mut Scrubber) -> bool {
    !matches!(within(bytes, limit, scrubber), Within::Nothing)
}

/// What is in a coding that nothing names.
enum Within {
    /// There is no such coding, or no secret in it.
    Nothing,
    /// The text, which holds some.
    Secrets(Vec<u8>),
    /// It cannot be searched.
    Unknown,
}

/// Looks into bytes that begin like a coding.
fn within(bytes: &[u8], limit: usize, scrubber: &mut Scrubber) -> Within {
    let Some(coding) = begins_coded(bytes).filter(|_| !scrubber.is_off()) else { return Within::Nothing };
    match decode_content(coding.as_bytes(), bytes, limit) {
        Decoded::Whole(plain) => {
            let wide = utf16(&plain).is_some_and(|text| !scrubber.in_text(text.as_bytes()).is_empty());
            match wide || !scrubber.in_text(&plain).is_empty() {
                true => Within::Secrets(plain),
                // What is coded twice and says so nowhere is nothing that one would miss.
                false if begins_coded(&plain).is_some() => Within::Unknown,
                false => Within::Nothing,
            }
        }
        // What only looks like one (two bytes are little) has nothing that could be read.
        Decoded::Damaged(plain) if plain.is_empty() => Within::Nothing,
        Decoded::Damaged(_) | Decoded::Capped(_) | Decoded::Unsupported(_) => Within::Unknown,
    }
}

/// A body without its secrets. Where they stand in UTF-16, it is shown in UTF-8.
fn text<'b>(bytes: Cow<'b, [u8]>, scrubber: &mut Scrubber) -> (Body<'b>, Option<&'static str>) {
    if let Some(text) = utf16(&bytes)
        && let Cow::Owned(redacted) = scrubber.text(text.as_bytes())
    {
        return (of(Cow::Owned(redacted)), Some(WIDE));
    }
    let body = match bytes {
        Cow::Borrowed(bytes) => of(scrubber.text(bytes)),
        Cow::Owned(bytes) => match scrubber.text(&bytes) {
            Cow::Owned(redacted) => of(Cow::Owned(redacted)),
            Cow::Borrowed(_) => of(Cow::Owned(bytes)),
        },
    };
    (body, None)
}

fn of(bytes: Cow<'_, [u8]>) -> Body<'_> {
    if bytes.is_empty() {
        return Body::None;
    }
    let is_text = std::str::from_utf8(&bytes).is_ok() && memchr::memchr(0, &bytes).is_none();
    match (bytes, is_text) {
        (bytes, false) => Body::Binary(bytes),
        (Cow::Borrowed(bytes), true) => Body::Text(String::from_utf8_lossy(bytes)),
        (Cow::Owned(bytes), true) => Body::Text(Cow::Owned(String::from_utf8(bytes).unwrap_or_default())),
    }
}
