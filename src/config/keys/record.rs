//! The keys of recording.

use std::time::Duration;

use serde_json::json;

use super::{DURATION, Key, PLAIN, SIZE, one_of, sized, within};
use crate::config::value::{duration_text, size_text};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "record.on_record_error",
        meaning: "What happens when the disk refuses (full, failing). continue: traffic goes on unrecorded and the capture\nsays from when on it is incomplete. stop: the proxy stops.",
        allowed: "\"continue\" or \"stop\"",
        option: Some("--on-record-error"),
        set: |s, v| {
            s.record.on_record_error = one_of(v)?;
            Ok(())
        },
        show: |s| json!(s.record.on_record_error),
        ..PLAIN
    },
    Key {
        name: "record.overflow",
        meaning: "What happens when the disk is slower than the traffic. stall: the traffic is slowed, and the capture says by\nhow much. gap: bytes are relayed and not recorded, and the capture says which.",
        allowed: "\"stall\" or \"gap\"",
        set: |s, v| {
            s.record.overflow = one_of(v)?;
            Ok(())
        },
        show: |s| json!(s.record.overflow),
        ..PLAIN
    },
    Key {
        name: "record.queue",
        meaning: "How much may wait for the disk before that happens.",
        allowed: SIZE,
        hint: "from 64KiB to 4GiB",
        set: |s, v| {
            s.record.queue_bytes = sized(v, 64 << 10, 4 << 30)?;
            Ok(())
        },
        show: |s| json!(size_text(s.record.queue_bytes as u64)),
        ..PLAIN
    },
    Key {
        name: "record.linger",
        meaning: "How long records gather before they are written. Longer costs less and shows later.",
        allowed: DURATION,
        hint: "at most 1s",
        set: |s, v| {
            s.record.linger = within(v, Duration::ZERO, Duration::from_secs(1))?;
            Ok(())
        },
        show: |s| json!(duration_text(s.record.linger)),
        ..PLAIN
    },
    Key {
        name: "record.sync_interval",
        meaning: "How much a power failure may cost: data is forced to the disk this often. \"0s\" leaves it to the system.",
        allowed: DURATION,
        set: |s, v| {
            s.record.sync_interval = v.duration()?;
            Ok(())
        },
        show: |s| json!(duration_text(s.record.sync_interval)),
        ..PLAIN
    },
    Key {
        name: "record.segment",
        meaning: "How large a file of evidence grows before it is sealed, its tables are written, and the next is begun.\nThe first one is sealed at 1 MiB already.",
        allowed: SIZE,
        hint: "from 64KiB to 4GiB",
        set: |s, v| {
            s.record.segments.segment_bytes = sized(v, 64 << 10, 4 << 30)? as u64;
            Ok(())
        },
        show: |s| json!(size_text(s.record.segments.segment_bytes)),
        ..PLAIN
    },
    Key {
        name: "record.max_bytes",
        meaning: "How much of a capture is kept, segments and tables together; whole oldest segments go, and the capture\nsays so. Never more than half of what is free on the disk at the start.",
        allowed: SIZE,
        hint: "at least 1MiB",
        option: Some("--max-bytes"),
        set: |s, v| {
            s.record.retention.max_bytes = sized(v, 1 << 20, u64::MAX)? as u64;
            Ok(())
        },
        show: |s| json!(size_text(s.record.retention.max_bytes)),
        ..PLAIN
    },
    Key {
        name: "record.max_age",
        meaning: "How old evidence may get, since its last record, before it goes the same way.",
        allowed: "a length of time such as \"2h\", a number of seconds, or \"off\"",
        set: |s, v| {
            s.record.retention.max_age = v.duration_or_off()?;
            Ok(())
        },
        show: |s| json!(s.record.retention.max_age.map_or_else(|| "off".to_owned(), duration_text)),
        ..PLAIN
    },
];
