//! A refusal curve in a line of text.

use crate::model::finding::{CurvePoint, Threshold};

use super::words;

/// Columns that it takes.
const WIDTH: usize = 56;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The curve and, beneath it, where refusals begin: two lines. Nothing for a curve of fewer than two bins.
pub(super) fn lines(hypothesis: &str, threshold: &Threshold) -> Option<[String; 2]> {
    let curve = &threshold.curve;
    let (first, last) = (curve.first()?, curve.last()?);
    if curve.len() < 2 {
        return None;
    }
    let wide = curve.len().clamp(2, WIDTH);
    let bars: String = (0..wide).map(|column| bar(curve, column, wide)).collect();
    let (from, to) = (words::dose(hypothesis, first.from), words::dose(hypothesis, last.to));
    let line = format!("{from} {bars} {to}");
    let bin = curve.iter().position(|point| point.to >= threshold.value).unwrap_or(curve.len() - 1);
    let column = bin * wide / curve.len();
    let indent = from.chars().count() + 1 + column;
    let dose = |value| words::dose(hypothesis, value);
    let mark = format!("{} ({} to {})", dose(threshold.value), dose(threshold.low), dose(threshold.high));
    // Where it does not fit to the right of its mark, it stands to the left.
    let under = match indent.checked_sub(mark.chars().count() + 1) {
        Some(left) if indent + mark.chars().count() > WIDTH + 10 => format!("{:left$}{mark} ^", ""),
        _ => format!("{:indent$}^ {mark}", ""),
    };
    Some([line, under])
}

/// The bins that a column stands for, taken together.
fn bar(curve: &[CurvePoint], column: usize, wide: usize) -> char {
    let from = column * curve.len() / wide;
    let to = ((column + 1) * curve.len() / wide).max(from + 1);
    let bins = curve.get(from..to.min(curve.len())).unwrap_or_default();
    let (refused, total) = bins.iter().fold((0, 0), |(refused, total), bin| (refused + bin.refused, total + bin.total));
    if total == 0 {
        return ' ';
    }
    let share = refused as f64 / total as f64;
    // What is not zero is seen to be more than the line's foot.
    let at = if refused == 0 { 0 } else { ((share * 7.0).round() as usize).clamp(1, 7) };
    BARS.get(at).copied().unwrap_or('█')
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::ops::Range;

    use super::*;
    use crate::model::finding::Direction;

    /// Refused from 84 on, of ten requests at each dose.
    pub(in crate::report::verdict) fn step_at_84(doses: Range<u64>) -> Threshold {
        let point = |dose: u64| {
            let refused = if dose >= 84 { 10 } else { 0 };
            CurvePoint { from: dose as f64, to: dose as f64, total: 10, refused, low: 0.1, high: 0.9 }
        };
        Threshold {
            value: 84.0,
            low: 83.0,
            high: 86.0,
            direction: Direction::Above,
            counting: None,
            soft: None,
            curve: doses.map(point).collect(),
        }
    }

    #[test]
    fn the_mark_stands_under_the_first_refused_bin() {
        let [line, mark] = lines("inflight", &step_at_84(80..90)).unwrap();
        assert_eq!(line, "80 ▁▁▁▁██████ 89");
        assert_eq!(mark, "       ^ 84 (83 to 86)");
    }
}
