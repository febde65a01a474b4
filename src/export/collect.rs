//! The first pass: all secrets of a capture, whatever of it is exported later. A token that was named in one exchange is
//! found again in another's path.

use std::ops::ControlFlow;

use crate::{
    decode::{content::decode_content, utf16},
    model::http::Head,
    query::{Capture, Query, Secrets},
    redact::{Collector, Scrubber},
};

use super::{Error, Options, body};

/// What the first pass found.
pub struct Collected {
    /// Replaces all secrets.
    pub scrubber: Scrubber,
    /// Whether there is any socket; `None` where nobody looked.
    pub sockets: Option<bool>,
}

/// Reads everything and returns what replaces it; at once where secrets are kept. `progress` is told the exchanges so far.
///
/// # Errors
/// Where the capture cannot be read.
pub fn collect(capture: &Capture, options: &Options, progress: &dyn Fn(u64)) -> Result<Collected, Error> {
    if options.keep_secrets {
        return Ok(Collected { scrubber: Scrubber::off(), sockets: None });
    }
    let mut all = capture.collector();
    let mut sockets = false;
    let mut count = 0;
    let query = Query { secrets: Secrets::Fingerprints, ..Query::default() };
    capture.contents(query, options.body_limit, &mut |content| {
        sockets |= content.row.websocket.is_some();
        let (request, response) = (content.request_head(), content.response_head());
        if let Some(head) = &request {
            all.target(head.target());
        }
        for head in [&request, &response].into_iter().flatten() {
            head.headers().for_each(|(name, value)| all.header(name, value));
        }
        if content.request.body_sent + content.response.body_sent > 0 {
            let (sent, answered) = content.bodies();
            text(&mut all, request.as_ref(), &sent, options);
            text(&mut all, response.as_ref(), &answered, options);
            trailers(&mut all, request.as_ref(), content.request.body_raw());
            trailers(&mut all, response.as_ref(), content.response.body_raw());
        }
        count += 1;
        progress(count);
        Ok(ControlFlow::Continue(()))
    })?;
    if sockets {
        let largest = usize::try_from(options.body_limit).unwrap_or(usize::MAX);
        capture.messages(&|_| true, largest, &mut |message| {
            all.text(message.payload);
            Ok(())
        })?;
    }
    Ok(Collected { scrubber: all.finish(options.lengths), sockets: Some(sockets) })
}

/// What stands behind a chunked body, which is as headers are.
fn trailers(all: &mut Collector, head: Option<&Head>, raw: &[u8]) {
    if !head.is_some_and(|head| head.has_token("transfer-encoding", "chunked")) {
        return;
    }
    let Some(chunked) = body::chunks_of(raw) else { return };
    for line in raw.get(chunked.trailers).unwrap_or_default().split(|b| *b == b'\n') {
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            all.header(name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
}

fn text(all: &mut Collector, head: Option<&Head>, bytes: &[u8], options: &Options) {
    if bytes.is_empty() {
        return;
    }
    let decoded;
    let bytes = match head.and_then(|head| head.header("content-encoding")) {
        None => bytes,
        Some(coding) => {
            let cap = usize::try_from(options.body_limit).unwrap_or(usize::MAX);
            decoded = decode_content(coding, bytes, cap);
            decoded.bytes()
        }
    };
    match utf16(bytes) {
        Some(text) => all.text(text.as_bytes()),
        None => all.text(bytes),
    }
}
