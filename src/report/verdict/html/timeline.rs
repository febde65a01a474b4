//! Load and refusals over time.

use plotters::prelude::*;

use crate::model::{
    columns::{Columns, Outcome, UNKNOWN},
    finding::TimeWindow,
};

use super::charts::{self, Ink};

/// Slices of time.
const SLICES: usize = 150;

#[derive(Clone, Copy, Default)]
struct Slice {
    accepted: u64,
    refused: u64,
    most_in_flight: u64,
}

/// The chart; nothing where there is no time in it.
pub(super) fn chart(columns: &Columns, windows: &[TimeWindow]) -> Option<String> {
    let units = &columns.units;
    let (first, last) = (*units.offered_ns.first()?, columns.until_ns.max(*units.offered_ns.last()?));
    if last <= first {
        return None;
    }
    let slices = slices(columns, first, last);
    let seconds = |ns: i64| ns as f64 / 1e9;
    let (from, to) = (seconds(first), seconds(last));
    let wide = (to - from) / SLICES as f64;
    let most = slices.iter().map(|slice| slice.most_in_flight).max().unwrap_or(0).max(1) as f64;
    let tallest = slices.iter().map(|slice| slice.accepted + slice.refused).max().unwrap_or(0).max(1) as f64;
    let at = |slice: usize| from + wide * slice as f64;
    let svg = charts::draw(400, "load and refusals over time", |area| {
        let (above, below) = area.split_vertically(180);
        let text = ("sans-serif", 14).into_font().color(&Ink::Text.colour());
        for (area, top, what) in [(&above, most, "in flight"), (&below, tallest, "requests")] {
            let is_below = what == "requests";
            let mut chart = ChartBuilder::on(area)
                .margin(6)
                .margin_right(16)
                .x_label_area_size(if is_below { 44 } else { 4 })
                .y_label_area_size(64)
                .build_cartesian_2d(from..to, 0.0..top * 1.05)?;
            let mut mesh = chart.configure_mesh();
            mesh.disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(Ink::Grid.colour())
                .axis_style(Ink::Line.colour())
                .label_style(text.clone())
                .axis_desc_style(text.clone())
                .y_desc(what)
                .y_labels(4)
                .x_labels(if is_below { 10 } else { 0 })
                .x_label_formatter(&|at| format!("{at:.0} s"))
                .y_label_formatter(&|number| crate::report::count(number.round() as u64));
            mesh.draw()?;
            chart.draw_series(windows.iter().map(|window| {
                let clamp = |ns: u64| (ns as f64 / 1e9).clamp(from, to);
                let corners = [(clamp(window.from_ns), 0.0), (clamp(window.to_ns), top * 1.05)];
                Rectangle::new(corners, Ink::MarkSoft.colour().filled())
            }))?;
            if is_below {
                for (number, slice) in slices.iter().enumerate() {
                    let bar = |low: u64, high: u64, ink: Ink| {
                        let corners = [(at(number), low as f64), (at(number + 1), high as f64)];
                        Rectangle::new(corners, ink.colour().filled())
                    };
                    let Slice { accepted, refused, .. } = *slice;
                    if refused > 0 {
                        chart.draw_series([bar(0, refused, Ink::Refused)])?;
                    }
                    if accepted > 0 {
                        chart.draw_series([bar(refused, refused + accepted, Ink::Accepted)])?;
                    }
                }
            } else {
                let steps = slices.iter().enumerate().flat_map(|(number, slice)| {
                    let most = slice.most_in_flight as f64;
                    [(at(number), most), (at(number + 1), most)]
                });
                let line: Vec<(f64, f64)> = steps.collect();
                let ground = [(to, 0.0), (from, 0.0)];
                let area: Vec<(f64, f64)> = line.iter().copied().chain(ground).collect();
                chart.draw_series([Polygon::new(area, Ink::LoadSoft.colour().filled())])?;
                chart.draw_series(LineSeries::new(line, Ink::Load.colour().stroke_width(2)))?;
            }
        }
        Ok(())
    });
    Some(svg)
}

fn slices(columns: &Columns, first: i64, last: i64) -> Vec<Slice> {
    let units = &columns.units;
    let mut slices = vec![Slice::default(); SLICES];
    let slice_of = |ns: i64| {
        let share = (ns - first) as f64 / (last - first) as f64;
        ((share * SLICES as f64) as usize).min(SLICES - 1)
    };
    for (offered, outcome) in units.offered_ns.iter().zip(&units.outcome) {
        let Some(slice) = slices.get_mut(slice_of(*offered)) else { continue };
        match outcome {
            Outcome::Accepted => slice.accepted += 1,
            Outcome::Refused => slice.refused += 1,
            Outcome::Uncounted => {}
        }
    }
    // Ends, ascending, beside the begins, which are.
    let mut ends: Vec<i64> = units.ended_ns.iter().copied().filter(|end| *end != UNKNOWN).collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let mut in_flight: u64 = 0;
    let mut reached = 0;
    for offered in &units.offered_ns {
        while ends.next_if(|end| end <= offered).is_some() {
            in_flight = in_flight.saturating_sub(1);
        }
        in_flight += 1;
        let here = slice_of(*offered);
        // What is in flight at the turn of a slice is in flight in it.
        for slice in slices.iter_mut().take(here).skip(reached + 1) {
            slice.most_in_flight = slice.most_in_flight.max(in_flight - 1);
        }
        reached = here;
        if let Some(slice) = slices.get_mut(here) {
            slice.most_in_flight = slice.most_in_flight.max(in_flight);
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::model::columns::Units;

    #[test]
    fn slices_count_each_request_once_and_what_is_in_flight() {
        let units = Units {
            offered_ns: vec![0, 10, 20, 1000],
            ended_ns: vec![100, 100, 100, 1010],
            outcome: vec![Outcome::Accepted, Outcome::Refused, Outcome::Uncounted, Outcome::Accepted],
            ..Units::default()
        };
        let slices = slices(&Columns { units, ..Columns::default() }, 0, 1500);
        let sum = slices.iter().fold((0, 0), |(a, r), slice| (a + slice.accepted, r + slice.refused));
        assert_eq!(sum, (2, 1));
        assert_eq!(slices[2].most_in_flight, 3);
        assert_eq!(slices[100].most_in_flight, 1);
    }
}
