//! `verify`: whether a capture's segments are as they were written.

use std::{io::Write as _, process::ExitCode};

use serde_json::json;

use crate::store::{
    ends,
    format::Hash,
    recovery::{self, Report, SegmentReport},
};

use super::{
    Globals, Output, exit_code, reading,
    render::{
        style::{Ink, Look},
        units,
    },
};

/// Checks that a capture's segments are as they were written
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let (dir, _) = reading::find(globals)?;
    let report = recovery::verify(&dir)?;
    let mut output = Output::stdout();
    if args.json {
        let segments: Vec<_> = report.segments.iter().map(segment_json).collect();
        output.json_line(&json!({
            "capture": dir.name(),
            "whole": report.is_whole(),
            "segments": segments,
            "missing": report.missing,
            "dropped_upto": report.dropped_upto,
            "cut": report.cut,
            "last_seal": report.last_seal().map(|seal| hex(&seal)),
        }))?;
    } else {
        let look = Look::of(&output);
        output.write_all(page(&dir.name(), &report, look).as_bytes())?;
    }
    output.flush()?;
    Ok(ExitCode::from(if report.is_whole() { exit_code::DONE } else { exit_code::FAILED }))
}

fn segment_json(segment: &SegmentReport) -> serde_json::Value {
    let damaged: Vec<_> = segment
        .damaged
        .iter()
        .map(|range| json!({ "start": range.start, "end": range.end, "damage": range.damage.to_string() }))
        .collect();
    json!({
        "number": segment.number,
        "bytes": segment.bytes,
        "records": segment.records,
        "seal": segment.seal.as_ref().map(hex),
        "hash_ok": segment.hash_ok,
        "chain_ok": segment.chain_ok,
        "header_ok": segment.header_ok,
        "damaged": damaged,
        "torn_tail_bytes": segment.torn_tail_bytes,
    })
}

fn page(name: &str, report: &Report, look: Look) -> String {
    let mut page = String::new();
    let mut line = |ink, text: String| {
        page.push_str(&look.paint(ink, &text));
        page.push('\n');
    };
    let count = units::count(report.segments.len() as u64, "segment");
    let bytes = units::size(report.segments.iter().map(|segment| segment.bytes).sum());
    let records = units::count(report.segments.iter().map(|segment| segment.records).sum(), "record");
    line(Ink::Strong, format!("{name}: {count}, {records}, {bytes}"));
    if let Some(upto) = report.dropped_upto {
        line(Ink::Odd, format!("segments 000001 to {upto:06} were dropped by retention"));
    }
    for number in &report.missing {
        line(Ink::Bad, format!("segment {number:06} is missing"));
    }
    for segment in &report.segments {
        for trouble in troubles(segment) {
            line(Ink::Bad, format!("segment {:06}: {trouble}", segment.number));
        }
        if report.cut == Some(segment.number) {
            line(Ink::Bad, ends::cut_words(segment.number));
            continue;
        }
        if segment.torn_tail_bytes > 0 {
            let torn = units::count(segment.torn_tail_bytes, "byte");
            line(
                Ink::Odd,
                format!("segment {:06}: {torn} of an unfinished write at its end, as a kill leaves", segment.number),
            );
        }
        if segment.seal.is_none() {
            line(
                Ink::Odd,
                format!(
                    "segment {:06}: not sealed (its recorder runs or was killed): no hash to check",
                    segment.number
                ),
            );
        }
    }
    match report.is_whole() {
        true => line(Ink::Good, "whole: nothing is changed or missing".to_owned()),
        false => line(Ink::Bad, "damaged: what is not listed here can still be read".to_owned()),
    }
    if let Some(seal) = report.last_seal() {
        line(Ink::Faint, format!("last seal {} (noted elsewhere, it proves all sealed segments)", hex(&seal)));
    }
    page
}

fn hex(seal: &Hash) -> String {
    seal.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn troubles(segment: &SegmentReport) -> Vec<String> {
    let mut troubles = Vec::new();
    if !segment.header_ok {
        troubles.push("its header names another capture or another segment".to_owned());
    }
    if segment.hash_ok == Some(false) {
        troubles.push("its bytes do not have the hash of its seal".to_owned());
    }
    if segment.chain_ok == Some(false) {
        troubles.push("it does not follow the segment before it: one of them was replaced".to_owned());
    }
    for range in &segment.damaged {
        troubles.push(format!("bytes {} to {} cannot be read: {}", range.start, range.end, range.damage));
    }
    troubles
}
