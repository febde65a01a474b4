//! Rows as they would be without redaction: what tables hold as fingerprints, read from the segments again. Only for
//! those who said `--keep-secrets`.

use crate::{
    decode::http1::head::{self, Kind},
    model::{
        Side,
        http::Head,
        rows::{ExchangeRow, Extent},
        trace::ByteRange,
    },
};

use super::{
    Error,
    bytes::{self, Want},
    source::Shelf,
};

/// Larger heads stay as they are.
const LARGEST_HEAD: u64 = 1 << 20;

/// Puts target and headers of exchanges as they were sent. What is not in the segments any more keeps its fingerprints.
pub(super) fn restore(shelf: Shelf<'_>, rows: &mut [ExchangeRow]) -> Result<(), Error> {
    let mut wants = Vec::new();
    for row in rows.iter() {
        let offsets = row.offsets;
        wants.push(want(row, Side::Client, offsets.request_start, offsets.request_head_end));
        wants.push(want(row, Side::Server, offsets.response_start, offsets.response_head_end));
    }
    let mut got = bytes::fetch(shelf.dir, &wants)?.into_iter();
    for row in rows {
        if let Some(head) = got.next().filter(|got| got.whole).map(|got| parse(&got.bytes, Kind::Request)) {
            row.target = text(head.target());
            row.path = path(&head);
            row.request_headers = headers(&head);
        }
        if let Some(head) = got.next().filter(|got| got.whole).map(|got| parse(&got.bytes, Kind::Response))
            && row.response_headers.is_some()
            && !row.proxy_made
        {
            row.response_headers = Some(headers(&head));
        }
    }
    Ok(())
}

fn want(row: &ExchangeRow, from: Side, start: u64, end: u64) -> Want {
    let end = if end.saturating_sub(start) > LARGEST_HEAD { start } else { end };
    let extent = Extent { first: row.extent.first, last: row.extent.last };
    Want { connection: row.connection, range: ByteRange { from, start, end }, extent }
}

fn parse(bytes: &[u8], kind: Kind) -> Head {
    let from = if kind == Kind::Request { Side::Client } else { Side::Server };
    let range = ByteRange { from, start: 0, end: bytes.len() as u64 };
    head::parse_head(bytes, range, kind).0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(head: &Head) -> String {
    let target = crate::model::exchange::origin_form(head.target());
    text(target.split(|byte| *byte == b'?').next().unwrap_or_default())
}

fn headers(head: &Head) -> Vec<[String; 2]> {
    head.headers().map(|(name, value)| [text(name), text(value)]).collect()
}
