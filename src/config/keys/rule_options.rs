//! The keys of the tables `[rules.<id>]`: what a rule can be told beside being on or off. The document of the rules lists
//! them with each rule.

use std::time::Duration;

use serde_json::json;

use super::{DURATION, FLAG, Key, PLAIN, SIZE, sized, within};
use crate::config::value::{duration_text, size_text};

/// Lines and heads that are larger than this end a connection's decoding anyway.
const LARGEST_HEAD: u64 = 1 << 30;
/// Longer than any test runs.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "rules.head-too-large.line_bytes",
        meaning: "The largest line of a request's head that is not flagged, with its end. nginx takes 8 KiB by default.",
        allowed: SIZE,
        set: |s, v| {
            s.rules.head_too_large.line_bytes = sized(v, 1, LARGEST_HEAD)?;
            Ok(())
        },
        show: |s| json!(size_text(s.rules.head_too_large.line_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "rules.head-too-large.head_bytes",
        meaning: "The largest request head that is not flagged. Node takes 16 KiB by default.",
        allowed: SIZE,
        set: |s, v| {
            s.rules.head_too_large.head_bytes = sized(v, 1, LARGEST_HEAD)?;
            Ok(())
        },
        show: |s| json!(size_text(s.rules.head_too_large.head_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "rules.head-too-large.growth_bytes",
        meaning: "From which size on a head that is twice as large as its connection's first one is a hint.",
        allowed: SIZE,
        set: |s, v| {
            s.rules.head_too_large.growth_bytes = sized(v, 1, LARGEST_HEAD)?;
            Ok(())
        },
        show: |s| json!(size_text(s.rules.head_too_large.growth_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "rules.stale-keepalive.idle",
        meaning: "How long a connection must have been idle for an end right behind a request to count as a stale one's.",
        allowed: DURATION,
        set: |s, v| {
            s.rules.stale_keepalive.idle = within(v, Duration::ZERO, LONGEST)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.rules.stale_keepalive.idle)),
        ..PLAIN
    },
    Key {
        name: "rules.abnormal-close.without_close",
        meaning: "Whether a socket whose connection ended without a Close frame is a hint. JMeter's threads end so.",
        allowed: FLAG,
        set: |s, v| {
            s.rules.abnormal_close.without_close = v.flag()?;
            Ok(())
        },
        show: |s| json!(s.rules.abnormal_close.without_close),
        ..PLAIN
    },
    Key {
        name: "rules.frame-overtaken.least_delay",
        meaning: "The shortest time that a receiver's kernel delays an acknowledgement; Linux's is some 40 ms.",
        allowed: DURATION,
        set: |s, v| {
            s.rules.frame_overtaken.least_delay = within(v, Duration::ZERO, LONGEST)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.rules.frame_overtaken.least_delay)),
        ..PLAIN
    },
    Key {
        name: "rules.frame-overtaken.most_delay",
        meaning: "The longest; it includes what the two machines add.",
        allowed: DURATION,
        set: |s, v| {
            s.rules.frame_overtaken.most_delay = within(v, Duration::ZERO, LONGEST)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.rules.frame_overtaken.most_delay)),
        ..PLAIN
    },
    Key {
        name: "rules.hidden-write.window",
        meaning: "How long before a refused read a write to the same resource is still told.",
        allowed: DURATION,
        set: |s, v| {
            s.rules.hidden_write.window = within(v, Duration::ZERO, LONGEST)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.rules.hidden_write.window)),
        ..PLAIN
    },
    Key {
        name: "rules.retry-duplicate.window",
        meaning: "How soon after the first ended, or began, the same request counts as sent again by a library.",
        allowed: DURATION,
        set: |s, v| {
            s.rules.retry_duplicate.window = within(v, Duration::ZERO, LONGEST)?;
            Ok(())
        },
        show: |s| json!(duration_text(s.rules.retry_duplicate.window)),
        ..PLAIN
    },
];
