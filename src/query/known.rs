//! The secrets that were said around what is shown of the segments: what is named as a secret in one place is to be found
//! where nothing names it. Text of frames and bodies is in no table, so that a reader sees it without what came before; it
//! therefore reads that first. For a list of all frames, and for one id where that is quick, it is the whole capture, as an export
//! does; for what belongs to one connection of a large one it is that connection, the sessions that it takes part in, and
//! what `retained.json` remembers, beside what the row of what is shown has as a fingerprint.
//!
//! What must not happen here: a text that is shown although this could not be read.

use std::{collections::BTreeSet, ops::ControlFlow};

use crate::{
    decode::{
        content::{begins_coded, decode_content},
        http1::chunks::chunked,
        utf16,
    },
    inspect,
    model::{ConnectionId, SessionId, http::Head},
    redact::{Collector, Lengths, Scrubber},
    store::retention,
};

use super::{
    Error,
    contents::{Content, Fullness, MessageBytes, Reader, Reads},
    list::{About, Query},
};

/// Larger bodies and messages are not looked into.
const LARGEST: u64 = 256 << 10;
/// So many exchanges of each session on other connections are looked at, the first: logins come early.
const OF_A_SESSION: usize = 2_000;

/// Where segments are no larger, all of them are read for what a person asks to see.
const QUICKLY_READ: u64 = 128 << 20;

/// Those of the whole capture.
pub(super) fn everywhere(reads: &dyn Reads, mut all: Collector) -> Result<Scrubber, Error> {
    retained(reads, &mut all)?;
    let mut sockets = false;
    Reader(reads).contents(Query::default(), LARGEST, &mut |content| {
        sockets |= content.row.websocket.is_some();
        collect(&mut all, &content, LARGEST);
        Ok(ControlFlow::Continue(()))
    })?;
    if sockets {
        messages(reads, None, &mut all)?;
    }
    Ok(all.finish(Lengths::Free))
}

/// Those of the whole capture, where that is read quickly: what one connection names another may repeat.
pub(super) fn quickly(reads: &dyn Reads, all: Collector) -> Result<Option<Scrubber>, Error> {
    (size(reads) <= QUICKLY_READ).then(|| everywhere(reads, all)).transpose()
}

/// Those around one connection.
pub(super) fn around(reads: &dyn Reads, connection: ConnectionId, mut all: Collector) -> Result<Scrubber, Error> {
    retained(reads, &mut all)?;
    let about = Some(About::Connection(connection));
    let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
    let mut sockets = false;
    Reader(reads).contents(Query { about, ..Query::default() }, LARGEST, &mut |content| {
        sockets |= content.row.websocket.is_some();
        sessions.extend(content.row.session);
        collect(&mut all, &content, LARGEST);
        Ok(ControlFlow::Continue(()))
    })?;
    for session in sessions {
        let about = Some(About::Session(session));
        let query = Query { about, limit: Some(OF_A_SESSION), ..Query::default() };
        Reader(reads).contents(query, LARGEST, &mut |content| {
            if content.row.connection != connection {
                collect(&mut all, &content, LARGEST);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if sockets {
        messages(reads, about, &mut all)?;
    }
    Ok(all.finish(Lengths::Free))
}

/// The bytes of all segments.
fn size(reads: &dyn Reads) -> u64 {
    let dir = reads.folder();
    let length = |number: &u64| dir.segment_path(*number).metadata().map_or(0, |data| data.len());
    dir.segments().map_or(u64::MAX, |segments| segments.iter().map(length).sum())
}

/// What was learnt in segments that are gone.
fn retained(reads: &dyn Reads, all: &mut Collector) -> Result<(), Error> {
    if let Some(retained) = retention::read_retained(reads.folder())? {
        inspect::learnt(&retained.state).iter().for_each(|(kind, value)| all.value(kind, value));
    }
    Ok(())
}

fn messages(reads: &dyn Reads, about: Option<About>, all: &mut Collector) -> Result<(), Error> {
    let largest = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    Reader(reads).messages(about, &|_| true, largest, &mut |message| {
        all.text(message.payload);
        Ok(())
    })
}

/// Takes the secrets that an exchange names: in its heads, and in its bodies and trailers. Codings are taken off up to
/// `largest` bytes. Says of the request's and the response's body whether it is whole, was looked through as it was sent,
/// and names no secret.
pub fn collect(all: &mut Collector, content: &Content, largest: u64) -> [bool; 2] {
    let (request, response) = (content.request_head(), content.response_head());
    if let Some(head) = &request {
        all.target(head.target());
    }
    for head in [&request, &response].into_iter().flatten() {
        head.headers().for_each(|(name, value)| all.header(name, value));
    }
    if content.request.body_sent + content.response.body_sent > 0 {
        let (sent, answered) = content.bodies();
        let nameless = [
            text(all, request.as_ref(), &sent, largest) && is_plain(&content.request, &sent),
            text(all, response.as_ref(), &answered, largest) && is_plain(&content.response, &answered),
        ];
        trailers(all, request.as_ref(), content.request.body_raw());
        trailers(all, response.as_ref(), content.response.body_raw());
        return nameless;
    }
    [false; 2]
}

/// Whether a body is whole, and stands in the message as it is.
fn is_plain(message: &MessageBytes, body: &[u8]) -> bool {
    message.extent == Fullness::Whole && body.len() == message.body_raw().len()
}

/// Takes the secrets of a body; whether it was looked through as it is, and names none.
fn text(all: &mut Collector, head: Option<&Head>, bytes: &[u8], largest: u64) -> bool {
    if bytes.is_empty() {
        return false;
    }
    let coding = head.and_then(|head| head.header("content-encoding"));
    let decoded;
    let bytes = match coding {
        None => bytes,
        Some(coding) => {
            decoded = decode_content(coding, bytes, usize::try_from(largest).unwrap_or(usize::MAX));
            decoded.bytes()
        }
    };
    // A client may compress and not say so.
    let (unsaid, within);
    let (bytes, coding) = match begins_coded(bytes) {
        None => (bytes, coding),
        Some(inner) => {
            unsaid = decode_content(inner.as_bytes(), bytes, usize::try_from(largest).unwrap_or(usize::MAX));
            within = unsaid.bytes();
            all.text(within);
            (bytes, Some(inner.as_bytes()))
        }
    };
    match utf16(bytes) {
        Some(text) => {
            all.text(text.as_bytes());
            false
        }
        None => !all.text(bytes) && coding.is_none(),
    }
}

/// What stands behind a chunked body, which is as headers are.
fn trailers(all: &mut Collector, head: Option<&Head>, raw: &[u8]) {
    if !head.is_some_and(|head| head.has_token("transfer-encoding", "chunked")) {
        return;
    }
    let Some(chunked) = chunked(raw, 0) else { return };
    for line in raw.get(chunked.trailers).unwrap_or_default().split(|b| *b == b'\n') {
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            all.header(name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
}
