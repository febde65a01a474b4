//! Charts as SVG, in the colours of the page: what is drawn in a colour of [`Ink`] takes the page's, light or dark.

use plotters::{coord::Shift, prelude::*};

use crate::{model::finding::Threshold, report::verdict::words};

/// Width of every chart in its own units; the page scales it.
pub(super) const WIDTH: u32 = 900;

/// The page's colours. Each is drawn in a colour that nothing else has, and replaced afterwards.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Text,
    Line,
    Grid,
    Refused,
    RefusedSoft,
    Accepted,
    Load,
    LoadSoft,
    Mark,
    MarkSoft,
}

const INKS: &[(Ink, &str)] = &[
    (Ink::Text, "soft"),
    (Ink::Line, "line"),
    (Ink::Grid, "grid"),
    (Ink::Refused, "refused"),
    (Ink::RefusedSoft, "refused-soft"),
    (Ink::Accepted, "accepted"),
    (Ink::Load, "load"),
    (Ink::LoadSoft, "load-soft"),
    (Ink::Mark, "mark"),
    (Ink::MarkSoft, "mark-soft"),
];

impl Ink {
    pub(super) fn colour(self) -> RGBColor {
        RGBColor(1, 2, self as u8 + 1)
    }
}

/// The page's colours in the place of ours.
fn inked(svg: String) -> String {
    INKS.iter().fold(svg, |svg, (ink, name)| {
        let RGBColor(r, g, b) = ink.colour();
        svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var(--{name})\""))
    })
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Drawing into memory fails only where a chart is too small for its own labels.
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An SVG without fixed size; empty where it cannot be drawn.
pub(super) fn draw(height: u32, label: &str, paint: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        paint(&area).and_then(|()| area.present())
    };
    if drawn.is_err() {
        return String::new();
    }
    let sized = format!("<svg width=\"{WIDTH}\" height=\"{height}\" ");
    let label = maud::html! { (label) }.into_string().replace('"', "&quot;");
    inked(svg.replacen(&sized, &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1))
}

/// The refusal rate by dose, with intervals and where refusals begin.
pub(super) fn curve(hypothesis: &str, threshold: &Threshold) -> String {
    let curve = &threshold.curve;
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else { return String::new() };
    let middle = |from: f64, to: f64| (from + to) / 2.0;
    let margin = ((last.to - first.from) * 0.02).max(f64::MIN_POSITIVE);
    let (low, high) = (first.from - margin, last.to.max(threshold.value) + margin);
    let most = curve.iter().map(|point| point.high).fold(0.0, f64::max);
    let top = (most * 1.05).clamp(0.02, 1.0);
    let label = format!("refusal rate by {}, {}", words::axis(hypothesis), words::at(hypothesis, threshold));
    draw(320, &label, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(low..high, 0.0..top)?;
        let text = ("sans-serif", 14).into_font().color(&Ink::Text.colour());
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Grid.colour())
            .axis_style(Ink::Line.colour())
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .x_desc(words::axis(hypothesis))
            .x_labels(9)
            .y_labels(5)
            .x_label_formatter(&|dose| words::dose(hypothesis, *dose))
            .y_label_formatter(&|rate| format!("{:.0} %", rate * 100.0))
            .draw()?;
        let clamp = |dose: f64| dose.clamp(low, high);
        chart.draw_series([
            Rectangle::new(
                [(clamp(threshold.low), 0.0), (clamp(threshold.high), top)],
                Ink::MarkSoft.colour().filled(),
            ),
            Rectangle::new(
                [(clamp(threshold.value), 0.0), (clamp(threshold.value), top)],
                Ink::Mark.colour().stroke_width(2),
            ),
        ])?;
        let up = curve.iter().map(|point| (middle(point.from, point.to), point.high.min(top)));
        let down = curve.iter().rev().map(|point| (middle(point.from, point.to), point.low.min(top)));
        chart.draw_series([Polygon::new(
            up.chain(down).collect::<Vec<_>>(),
            Ink::RefusedSoft.colour().mix(0.7).filled(),
        )])?;
        let rate = |refused: u64, total: u64| if total == 0 { 0.0 } else { refused as f64 / total as f64 };
        let line: Vec<(f64, f64)> = curve
            .iter()
            .filter(|point| point.total > 0)
            .map(|point| (middle(point.from, point.to), rate(point.refused, point.total)))
            .collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), Ink::Refused.colour().stroke_width(2)))?;
        chart.draw_series(line.iter().map(|at| Circle::new(*at, 3, Ink::Refused.colour().filled())))?;
        let name = format!("{} ", words::dose(hypothesis, threshold.value));
        let pos = plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Right,
            plotters::style::text_anchor::VPos::Top,
        );
        let bold = ("sans-serif", 16).into_font().color(&Ink::Mark.colour()).pos(pos);
        chart.draw_series([Text::new(name, (clamp(threshold.low), top * 0.97), bold)])?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::verdict::curve::tests::step_at_84;

    #[test]
    fn a_curve_is_drawn_in_the_pages_colours() {
        let svg = curve("inflight", &step_at_84(70..100));
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"refusal rate by requests in flight"), "{svg}");
        assert!(svg.contains("var(--refused)") && svg.contains("var(--mark-soft)"));
        assert!(!svg.contains("\"#0102"), "a colour was not replaced");
    }
}
