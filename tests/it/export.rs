//! Exports of captures built in code and recorded from real clients: golden files, and no secret in any of them.

mod chromium;
mod command;
mod evaluated;
mod foreign;
mod secrets;
mod strange;

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use firstframe::{
    export::{self, FORMATS, Job, Options, Report},
    inspect,
    model::{
        WallAnchor,
        trace::{Fact, TraceEvent},
    },
    profile::Profile,
    query::Capture,
    record::{self, Inspection},
    rules,
    store::{CaptureDir, CaptureMeta, SegmentWriter, State, format, segment_writer},
};

use crate::reading::scenario::{self, Script};

fn inspection() -> Inspection {
    Inspection {
        inspector: inspect::Options { redaction_key: [7; 32], ..inspect::Options::default() },
        rules: rules::Options::default(),
        refused: Profile::named("generic").unwrap().refused,
    }
}

/// A finished capture with its tables.
fn capture(captures: &Path, play: impl FnOnce(&mut Script<'_>)) -> Capture {
    let anchor = WallAnchor { unix_ns: 1_795_371_955_123_456_789 };
    let mut dir =
        CaptureDir::create(captures, Some("one"), CaptureMeta::new(anchor, serde_json::json!({}), None)).unwrap();
    let mut writer = SegmentWriter::create(&dir, &segment_writer::Options::default()).unwrap();
    let mut put = |connection, fact: Fact<'_>| {
        let mut record = Vec::new();
        format::encode(&TraceEvent { connection, fact }, &mut record);
        writer.append(&record).unwrap();
    };
    play(&mut Script::new(&mut put));
    writer.seal().unwrap();
    dir.set_state(State::Clean).unwrap();
    let path = dir.path().to_owned();
    // It holds the lock.
    drop((writer, dir));
    record::reindex(CaptureDir::open(&path).unwrap(), &inspection(), &mut |_| {}).unwrap();
    Capture::open_dir(CaptureDir::open(&path).unwrap(), inspection()).unwrap()
}

fn exported(capture: &Capture, id: &str, options: &Options) -> (Vec<u8>, Report) {
    let collected = export::collect(capture, options, &|_| {}).unwrap();
    let (scrubber, sockets) = (RefCell::new(collected.scrubber), collected.sockets);
    let mut out = Vec::new();
    let report = Report::default();
    let mut job = Job {
        capture,
        filter: None,
        about: None,
        scrubber: &scrubber,
        sockets,
        nameless: &collected.nameless,
        options,
        report,
        progress: &|_| {},
    };
    (export::format(id).unwrap().write)(&mut job, &mut out).unwrap();
    (out, job.report)
}

fn play_whole(script: &mut Script<'_>) {
    scenario::play(script);
    scenario::end(script);
}

#[test]
fn golden() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path(), play_whole);
    for format in FORMATS {
        let (bytes, report) = exported(&capture, format.id, &Options::default());
        let left_out: Vec<_> = report.left_out.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let text = text.replace(&format!("\"{}\"", env!("CARGO_PKG_VERSION")), "\"VERSION\"");
        insta::assert_snapshot!(
            format!("export_{}", format.id),
            format!("{text}\nwritten: {:?}\nleft out: {left_out:#?}", report.written)
        );
    }
}

#[test]
fn the_names_are_unique() {
    let ids: BTreeSet<_> = FORMATS.iter().map(|format| format.id).collect();
    assert_eq!(ids.len(), FORMATS.len());
    assert!(FORMATS.iter().all(|format| !format.summary.is_empty() && !format.extension.is_empty()));
}
