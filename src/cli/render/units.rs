//! Instants, durations and sizes as people read them.

use crate::model::Timestamp;

/// An instant as its offset from the capture's start, to the millisecond: `+1.234 s`.
pub fn offset(at: Timestamp) -> String {
    format!("+{}.{:03} s", at.0 / 1_000_000_000, at.0 / 1_000_000 % 1000)
}

/// An instant as its offset from the capture's start, to the microsecond: `+1.234567 s`.
pub fn offset_exact(at: Timestamp) -> String {
    format!("+{}.{:06} s", at.0 / 1_000_000_000, at.0 / 1000 % 1_000_000)
}

/// A duration in the unit that gives three digits: `812 µs`, `1.23 ms`, `45.6 s`.
pub fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "µs")];
    for (size, unit) in UNITS {
        if ns >= size {
            return scaled(ns, size, unit);
        }
    }
    format!("{ns} ns")
}

/// The signed distance from one instant to another: `+33 µs`, `-1.20 ms`.
pub fn distance(from: Timestamp, to: Timestamp) -> String {
    let ns = to.signed_since(from);
    format!("{}{}", if ns < 0 { '-' } else { '+' }, duration(ns.unsigned_abs()))
}

/// A size: `812 B`, `1.23 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in UNITS {
        if bytes >= size {
            return scaled(bytes, size, unit);
        }
    }
    format!("{bytes} B")
}

/// `1 frame`, `2 frames`; the many are one and an `s`.
pub fn count(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Three digits, or all of those before the point. Never rounds up, so that a duration is never said to be longer than
/// another that was longer.
fn scaled(value: u64, size: u64, unit: &str) -> String {
    let whole = value / size;
    let hundredths = u128::from(value % size) * 100 / u128::from(size);
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", hundredths / 10),
        _ => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!(offset(Timestamp(1_234_567_890)), "+1.234 s");
        assert_eq!(offset_exact(Timestamp(1_234_567_890)), "+1.234567 s");
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (33_000, "33.0 µs"),
            (812_345, "812 µs"),
            (1_230_000, "1.23 ms"),
            (999_999_999, "999 ms"),
            (61_000_000_000, "61.0 s"),
            (3_600_000_000_000, "3600 s"),
            (u64::MAX, "18446744073 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(distance(Timestamp(5000), Timestamp(3000)), "-2.00 µs");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1 << 20), "1.00 MiB");
        assert_eq!(count(1, "frame"), "1 frame");
        assert_eq!(count(0, "frame"), "0 frames");
    }
}
