//! Tests of the tables: what is written reads back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::{collection::vec, option::of, prelude::*};

use super::*;
use crate::{
    model::{
        ConnectionId, ExchangeId, FrameId, SessionId, Side, Timestamp, WallAnchor,
        headers::Headers,
        rows::{EvidenceRow, Extent, Offsets, Phase, Phases, Position, RewrittenRow, SocketRow},
    },
    store::CaptureMeta,
};

fn dir() -> (tempfile::TempDir, CaptureDir) {
    let captures = tempfile::tempdir().unwrap();
    let meta = CaptureMeta::new(WallAnchor::default(), serde_json::Value::Null, None);
    let dir = CaptureDir::create(captures.path(), None, meta).unwrap();
    (captures, dir)
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", any::<String>()]
}

fn side() -> impl Strategy<Value = Side> {
    any::<bool>().prop_map(|server| if server { Side::Server } else { Side::Client })
}

fn extent() -> impl Strategy<Value = Extent> {
    any::<[u64; 4]>().prop_map(|[a, b, c, d]| Extent {
        first: Position { segment: a, offset: b },
        last: Position { segment: c, offset: d },
    })
}

fn phase() -> impl Strategy<Value = Option<Phase>> {
    of((at(), of(at())).prop_map(|(begin_ns, end_ns)| Phase { begin_ns, end_ns }))
}

prop_compose! {
    fn connection()(
        (id, opened_ns, closed_ns, server_rtt_ns, extent) in (any::<u64>(), at(), of(at()), of(any::<u64>()), extent()),
        texts in vec(text(), 2), maybe in vec(of(text()), 10), counts in any::<[u64; 5]>(), phases in vec(phase(), 5),
    ) -> ConnectionRow {
        let some = |n: usize| maybe[n].clone();
        ConnectionRow {
            id: ConnectionId(id), mode: texts[0].clone(), client: texts[1].clone(), server: some(0), authority: some(1),
            sni: some(2), alpn: some(3), client_tls: some(4), server_tls: some(5), opened_ns,
            phases: Phases {
                accept: phases[0], connect: phases[1], dial: phases[2], server_tls: phases[3], client_tls: phases[4],
            },
            closed_ns, closed_by: some(6), how: some(7), bytes_from_client: counts[0], bytes_from_server: counts[1],
            exchanges: counts[2], frames: counts[3], gaps: counts[4], proxy_error: some(8), server_rtt_ns,
            opaque: some(9), extent,
        }
    }
}

prop_compose! {
    fn socket()(
        stamps in vec(of(at()), 5), closed_by in of(text()), close_code in of(any::<u16>()), counts in any::<[u64; 2]>(),
    ) -> SocketRow {
        SocketRow {
            server_open_ns: stamps[0], open_write_begun_ns: stamps[1], client_open_written_ns: stamps[2],
            first_frame_from_client_ns: stamps[3], first_frame_from_server_ns: stamps[4], closed_by, close_code,
            frames_from_client: counts[0], frames_from_server: counts[1],
        }
    }
}

fn headers() -> impl Strategy<Value = Headers> {
    vec((text(), text()), 0..3).prop_map(|pairs| pairs.into_iter().collect())
}

prop_compose! {
    fn exchange()(
        (ids, session, index) in (any::<[u64; 2]>(), of(any::<u64>()), any::<u32>()),
        texts in vec(text(), 6), maybe in vec(of(text()), 2),
        (request_headers, response_headers) in (headers(), of(headers())),
        (request_body_bytes, response_body_bytes, status) in (any::<u64>(), of(any::<u64>()), of(any::<u16>())),
        (request_first_byte_ns, stamps) in (at(), vec(of(at()), 3)),
        (proxy_made, rewritten) in (any::<bool>(), vec((text(), text(), text()), 0..3)),
        (websocket, flags) in (of(socket()), vec(text(), 0..3)),
        (offsets, extent) in (any::<[u64; 6]>(), extent()),
    ) -> ExchangeRow {
        let text = |n: usize| texts[n].clone();
        ExchangeRow {
            id: ExchangeId(ids[0]), connection: ConnectionId(ids[1]), session: session.map(SessionId),
            server: maybe[0].clone(), index, method: text(0), target: text(1), scheme: text(2), authority: text(3),
            path: text(4), http: text(5), request_headers, request_body_bytes, status, reason: maybe[1].clone(),
            response_headers, response_body_bytes, request_first_byte_ns, request_last_byte_ns: stamps[0],
            response_first_byte_ns: stamps[1], response_last_byte_ns: stamps[2], proxy_made,
            rewritten: rewritten.into_iter().map(|(kind, from, to)| RewrittenRow { kind, from, to }).collect(),
            websocket, flags,
            offsets: Offsets {
                request_start: offsets[0], request_head_end: offsets[1], request_end: offsets[2],
                response_start: offsets[3], response_head_end: offsets[4], response_end: offsets[5],
            },
            extent,
        }
    }
}

prop_compose! {
    fn frame()(
        ids in any::<[u64; 3]>(), from in side(), (opcode, fin, compressed, metadata) in any::<(u8, bool, bool, bool)>(),
        (bytes, arrived_ns, written_ns) in (any::<u64>(), at(), of(at())), (start, end) in any::<(u64, u64)>(),
        extent in extent(),
    ) -> FrameRow {
        FrameRow {
            id: FrameId(ids[0]), connection: ConnectionId(ids[1]), exchange: ExchangeId(ids[2]), from, opcode, fin,
            compressed, bytes, arrived_ns, written_ns, text: None, metadata, start, end, extent,
        }
    }
}

prop_compose! {
    fn evidence()(
        id in text(), side in of(side()), offset in of(any::<u64>()), length in of(any::<u64>()), at_ns in at(),
    ) -> EvidenceRow {
        EvidenceRow { id, side, offset, length, at_ns }
    }
}

prop_compose! {
    fn flag()(
        texts in vec(text(), 4), session in of(any::<u64>()), evidence in vec(evidence(), 0..3), at_ns in at(),
    ) -> FlagRow {
        FlagRow {
            rule: texts[0].clone(), severity: texts[1].clone(), subject: texts[2].clone(), message: texts[3].clone(),
            session: session.map(SessionId), evidence, at_ns,
        }
    }
}

prop_compose! {
    fn session()(
        id in any::<u64>(), correlated_by in text(), sure in any::<bool>(), sockets in vec(any::<u64>(), 0..4),
        exchanges in vec(any::<u64>(), 0..4), flags in vec(text(), 0..3),
    ) -> SessionRow {
        let ids = |ids: Vec<u64>| ids.into_iter().map(ExchangeId).collect();
        SessionRow { id: SessionId(id), correlated_by, sure, sockets: ids(sockets), exchanges: ids(exchanges), flags, dropped: false }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows_come_back_as_they_were(
        connections in vec(connection(), 0..5), exchanges in vec(exchange(), 0..5), frames in vec(frame(), 0..5),
        sessions in vec(session(), 0..5), flags in vec(flag(), 0..5),
    ) {
        let (_captures, dir) = dir();
        let rows = Rows { connections, exchanges, frames, sessions, flags };
        write_tables(&dir, 3, &rows).unwrap();
        let read = Rows {
            connections: read_connections(&dir, 3).unwrap(),
            exchanges: read_exchanges(&dir, 3).unwrap(),
            frames: read_frames(&dir, 3).unwrap(),
            sessions: read_sessions(&dir, 3).unwrap(),
            flags: read_flags(&dir, 3).unwrap(),
        };
        prop_assert_eq!(&read, &rows);
        prop_assert_eq!(table_path::<FlagRow>(&dir, 3).exists(), !rows.flags.is_empty(), "no file without rows");
    }
}

fn frames(count: u64) -> Vec<FrameRow> {
    let numbered = |n| FrameRow { id: FrameId(n), connection: ConnectionId(n % 7), ..FrameRow::blank() };
    (1..=count).map(numbered).collect()
}

#[test]
fn filters_find_their_rows_and_skip_the_groups_that_hold_none() {
    let (_captures, dir) = dir();
    let all = frames(25_000);
    write_tables(&dir, 1, &Rows { frames: all.clone(), ..Rows::default() }).unwrap();
    assert_eq!(read_frames(&dir, 1).unwrap(), all);
    let wanted = Filter { column: "id", range: 9_999..=10_001 };
    let found: Vec<FrameRow> = read(&dir, 1, Some(&wanted)).unwrap();
    assert_eq!(found.iter().map(|row| row.id.0).collect::<Vec<_>>(), [9_999, 10_000, 10_001]);
    let of_one: Vec<FrameRow> = read(&dir, 1, Some(&Filter::equals("connection", 3))).unwrap();
    assert_eq!(of_one.len(), (1..=25_000).filter(|n| n % 7 == 3).count());
    assert_eq!(read::<FrameRow>(&dir, 1, Some(&Filter::id(25_001))).unwrap(), []);
    assert!(read::<FrameRow>(&dir, 1, Some(&Filter::equals("from", 1))).is_err(), "a column of text");
    assert!(read::<FlagRow>(&dir, 1, Some(&Filter::id(1))).unwrap().is_empty(), "a table that is not there");

    // The second group's data are made unreadable; whoever needs only the others does not notice.
    let path = table_path::<FrameRow>(&dir, 1);
    let mut damaged = fs::read(&path).unwrap();
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let (start, length) = parquet::file::reader::FileReader::metadata(&reader).row_group(1).column(0).byte_range();
    damaged[start as usize..(start + length) as usize].fill(0xff);
    fs::write(&path, damaged).unwrap();
    assert_eq!(read::<FrameRow>(&dir, 1, Some(&Filter::id(3))).unwrap().len(), 1);
    assert_eq!(read::<FrameRow>(&dir, 1, Some(&Filter::id(24_000))).unwrap().len(), 1);
    let error = read::<FrameRow>(&dir, 1, Some(&Filter::id(5_000))).unwrap_err().to_string();
    assert!(error.contains("reindex"), "{error}");
}

#[test]
fn tables_are_replaced_removed_and_counted() {
    let (_captures, dir) = dir();
    write_tables(&dir, 1, &Rows { frames: frames(3), ..Rows::default() }).unwrap();
    write_tables(&dir, 2, &Rows { frames: frames(2), ..Rows::default() }).unwrap();
    assert_eq!(segments_with::<FrameRow>(&dir).unwrap(), [1, 2]);
    write_tables(&dir, 1, &Rows { frames: frames(1), ..Rows::default() }).unwrap();
    assert_eq!(read_frames(&dir, 1).unwrap().len(), 1);
    let bytes = table_bytes(&dir, 2);
    assert!(bytes > 0);
    assert_eq!(remove_tables(&dir, 2).unwrap(), bytes);
    assert_eq!(remove_tables(&dir, 2).unwrap(), 0);
    write_tables(&dir, 1, &Rows::default()).unwrap();
    assert_eq!(segments_with::<FrameRow>(&dir).unwrap(), [] as [u64; 0]);
}

#[test]
fn columns_have_names_of_their_own_and_the_document_has_them_all() {
    fn check<T: Table>(document: &str) {
        let mut names: Vec<_> = T::COLUMNS.iter().map(|column| column.name).collect();
        for name in &names {
            assert!(document.contains(&format!("`{name}`")), "docs/format.md does not tell of {}.{name}", T::FOLDER);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), T::COLUMNS.len(), "{}", T::FOLDER);
    }
    let document = include_str!("../../docs/format.md");
    check::<ConnectionRow>(document);
    check::<ExchangeRow>(document);
    check::<FrameRow>(document);
    check::<SessionRow>(document);
    check::<FlagRow>(document);
}

#[test]
fn a_file_that_is_no_table_is_an_error() {
    let (_captures, dir) = dir();
    write_tables(&dir, 1, &Rows { frames: frames(3), ..Rows::default() }).unwrap();
    let path = table_path::<FrameRow>(&dir, 1);
    let bytes = fs::read(&path).unwrap();
    for len in [0, 1, 4, 8, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(matches!(read_frames(&dir, 1), Err(Error::Table { .. })), "{len}");
    }
}
