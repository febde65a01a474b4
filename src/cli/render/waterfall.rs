//! Phases as bars on a common axis.

use crate::model::Timestamp;

use super::{page::Page, style::Ink, text, units};

/// One bar. Without an end it was not over.
pub(super) struct Bar<'b> {
    pub(super) name: &'b str,
    pub(super) begin: Timestamp,
    pub(super) end: Option<Timestamp>,
    pub(super) remark: String,
}

const NAME: usize = 12;
const WIDEST: usize = 40;

/// Draws bars from the first begin to the last end; each with its begin after `origin`, and how long it lasted.
pub(super) fn draw(page: &mut Page, origin: Timestamp, bars: &[Bar<'_>]) {
    let begin = bars.iter().map(|bar| bar.begin.0).min().unwrap_or_default();
    let end = bars.iter().map(|bar| bar.end.unwrap_or(bar.begin).0).max().unwrap_or_default();
    // Name, bar, two columns of ten for begin and length, and the gaps.
    let width = page.look.width.saturating_sub(2 + NAME + 2 + 12 + 2 + 10).clamp(8, WIDEST);
    for bar in bars {
        let from = cell(bar.begin.0, begin, end, width).min(width - 1);
        let upto = cell(bar.end.unwrap_or(bar.begin).0, begin, end, width).max(from + 1);
        let lasted = match bar.end {
            Some(end) => units::duration(end.0.saturating_sub(bar.begin.0)),
            None => "not over".to_owned(),
        };
        let drawn = format!("{:from$}{}{:rest$}", "", "█".repeat(upto - from), "", rest = width - upto);
        let drawn = page.look.paint(if bar.end.is_some() { Ink::Good } else { Ink::Odd }, &drawn);
        let remark = if bar.remark.is_empty() { String::new() } else { format!("  {}", text::clean(&bar.remark)) };
        let since = units::distance(origin, bar.begin);
        page.line(&format!("  {:NAME$}{drawn}  {since:>11}  {lasted:>9}{remark}", bar.name));
    }
}

/// Which of `width` cells an instant falls into; the end is one past the last.
fn cell(at: u64, begin: u64, end: u64, width: usize) -> usize {
    let span = u128::from(end.saturating_sub(begin)).max(1);
    usize::try_from(u128::from(at.saturating_sub(begin)) * width as u128 / span).unwrap_or(width).min(width)
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn instants_fall_into_their_cells() {
        assert_eq!(cell(10, 10, 110, 20), 0);
        assert_eq!(cell(60, 10, 110, 20), 10);
        assert_eq!(cell(110, 10, 110, 20), 20);
        assert_eq!(cell(5, 5, 5, 20), 0, "no span is no division by zero");
        assert_eq!(cell(u64::MAX, 0, u64::MAX, 20), 20);
    }
}
