//! Pieces of messages: short, and safe to print whatever the bytes are.

use std::{borrow::Cow, time::Duration};

use crate::{
    model::{exchange::Exchange, flag::Severity},
    profile::{Confidence, Profile, Route},
};

/// What is longer is cut, with `…`.
const LONGEST_PATH: usize = 120;

/// The method.
pub(super) fn method(exchange: &Exchange) -> Cow<'_, str> {
    printable(exchange.request.method(), 24)
}

/// The path without its query.
pub(super) fn path(exchange: &Exchange) -> Cow<'_, str> {
    printable(exchange.path(), LONGEST_PATH)
}

/// `, found "\\d"`: the two characters at a fault and no more, since bodies hold secrets.
pub(super) fn found(text: &[u8], offset: usize) -> String {
    let at = text.get(offset..(offset + 8).min(text.len())).unwrap_or_default();
    let shown: String = String::from_utf8_lossy(at).chars().take(2).collect();
    if shown.is_empty() { String::new() } else { format!(", found {shown:?}") }
}

/// A duration as people say it: `37.2 ms`, `812 µs`, `2.5 s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        let text = format!("{seconds:.3}");
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{} µs", duration.as_micros())
    }
}

/// The profile's route of a request to one of its hosts.
pub(super) fn route<'p>(profile: Option<&'p Profile>, exchange: &Exchange) -> Option<&'p Route> {
    let profile = profile.filter(|profile| !profile.routes.is_empty())?;
    let route = profile.routes.find(exchange.request.method(), exchange.path())?;
    is_at_home(profile, exchange).then_some(route)
}

/// Whether a request goes to one of the profile's hosts.
pub(super) fn is_at_home(profile: &Profile, exchange: &Exchange) -> bool {
    profile.hosts.is_empty() || profile.hosts.matches(&exchange.authority)
}

/// How bad it is to break what a route says, as far as the route itself is known.
pub(super) fn severity(route: &Route) -> Severity {
    match route.confidence {
        Confidence::Documented | Confidence::Observed => Severity::Error,
        Confidence::Reported | Confidence::Disputed => Severity::Hint,
    }
}

/// A header's or a variable's name.
pub(super) fn name(bytes: &[u8]) -> String {
    printable(bytes, 48).into_owned()
}

/// `1 byte`, `2 bytes`.
pub(super) fn bytes(n: u64) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}

/// Bytes as text: one line of at most that many characters.
pub(super) fn printable(bytes: &[u8], longest: usize) -> Cow<'_, str> {
    // What nearly everything is. Without a way out in its midst the look at it takes many bytes at once.
    if bytes.len() <= longest
        && bytes.iter().fold(true, |plain, b| plain & (b' '..0x7f).contains(b))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String =
        text.chars().take(longest).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (ns, text) in [
            (0, "0 µs"),
            (812_499, "812 µs"),
            (37_200_000, "37.2 ms"),
            (2_500_000_000, "2.5 s"),
            (1_050_400_000, "1.05 s"),
            (3_000_000_000, "3 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(ns)), text);
        }
    }

    #[test]
    fn whatever_comes_is_one_short_printable_line() {
        assert_eq!(printable(b"/a\r\n\x1b[31m\xff", 100), "/a\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}");
        assert_eq!(printable("é".repeat(10).as_bytes(), 3), "ééé…");
        assert_eq!(found(br"{\d}", 1), ", found \"\\\\d\"");
        assert_eq!(found(b"{", 1), "");
    }
}
