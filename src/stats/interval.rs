//! Intervals at 95 %.

/// The normal quantile of 97.5 %.
pub const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's score interval of a rate; (0, 1) of nothing.
pub fn wilson(hits: u64, total: u64) -> (f64, f64) {
    wilson_of_fewer(hits, total, 1.0)
}

/// Wilson's, where what was counted tells as much as so many times fewer independent ones (the design effect).
pub fn wilson_of_fewer(hits: u64, total: u64, effect: f64) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (total as f64 / effect, hits as f64 / total as f64);
    let z2 = Z95 * Z95;
    let middle = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    // The ends of an empty and of a full rate are exact; rounding must not move them.
    let low = if hits == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if hits == total { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

/// The difference of two rates, each `(hits, total)`, the first less the second, and its interval by Newcombe (1998,
/// method 10).
pub fn newcombe(first: (u64, u64), second: (u64, u64)) -> (f64, f64, f64) {
    newcombe_of_fewer(first, second, 1.0)
}

/// Newcombe's, where what was counted tells as much as so many times fewer: see [`wilson_of_fewer`].
pub fn newcombe_of_fewer(first: (u64, u64), second: (u64, u64), effect: f64) -> (f64, f64, f64) {
    let rate = |(hits, total): (u64, u64)| if total == 0 { 0.0 } else { hits as f64 / total as f64 };
    let (a, b) = (rate(first), rate(second));
    // Of nothing nothing is known.
    if first.1 == 0 || second.1 == 0 {
        return (a - b, -1.0, 1.0);
    }
    let interval = |(hits, total): (u64, u64)| wilson_of_fewer(hits, total, effect);
    let ((a_low, a_high), (b_low, b_high)) = (interval(first), interval(second));
    let low = (a - b) - ((a - a_low).powi(2) + (b_high - b).powi(2)).sqrt();
    let high = (a - b) + ((a_high - a).powi(2) + (b - b_low).powi(2)).sqrt();
    (a - b, low.max(-1.0), high.min(1.0))
}

/// The value below which that share of `sorted` lies; `None` of nothing.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = (share.clamp(0.0, 1.0) * last as f64).round() as usize;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe 1998, table II: 56/70 against 48/80.
    #[test]
    fn they_are_the_published_ones() {
        let (difference, low, high) = newcombe((56, 70), (48, 80));
        assert!((difference - 0.2).abs() < 1e-9);
        assert!((low - 0.0524).abs() < 5e-5 && (high - 0.3339).abs() < 5e-5, "{low} {high}");
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert_eq!(wilson_of_fewer(56, 70, 7.0), wilson(8, 10), "seven that share their fate are one");
        assert_eq!(newcombe((3, 20), (0, 0)), (0.15, -1.0, 1.0));
        assert_eq!(newcombe_of_fewer((56, 70), (14, 70), 7.0), newcombe((8, 10), (2, 10)));
        assert_eq!(wilson(0, 10).0, 0.0);
    }
}
