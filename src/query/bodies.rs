//! Heads and bodies of an exchange decoded once more from its bytes, codings taken off.

use crate::{
    decode::{
        Decoder as _, Event, HttpEvent,
        content::{Decoded, decode_content},
        http1::{self, Http1},
    },
    model::{
        Side, Timestamp,
        http::Head,
        rows::{ExchangeRow, Row},
        trace::Chunk,
    },
};

use super::{
    Error,
    raw::{self, Part},
    source::Shelf,
};

/// What of a message is read to look into its body.
const READ: u64 = 4 << 20;
/// What a body may grow to when its coding is taken off.
const LARGEST: usize = 4 << 20;

/// Request and response bodies; `None` where there is none to be had.
pub(super) type Bodies = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The bodies of an exchange, or their beginnings.
pub(super) fn of(shelf: Shelf<'_>, row: &ExchangeRow) -> Result<Bodies, Error> {
    let row = Row::Exchange(Box::new(row.clone()));
    let mut request = Vec::new();
    let mut response = Vec::new();
    raw::copy(shelf.dir, &row, Part::Request, Some(READ), &mut request)?;
    raw::copy(shelf.dir, &row, Part::Response, Some(READ), &mut response)?;
    let halves = Halves::decode(&request, &response);
    Ok((halves.request.content(LARGEST), halves.response.content(LARGEST)))
}

/// Both sides of one exchange.
#[derive(Debug, Default)]
pub(super) struct Halves {
    pub(super) request: Half,
    pub(super) response: Half,
}

/// One side of an exchange.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) head: Option<Head>,
    /// Transfer coding taken off.
    pub(super) body: Vec<u8>,
}

impl Halves {
    /// From an exchange's bytes, or the beginnings of them.
    pub(super) fn decode(request: &[u8], response: &[u8]) -> Self {
        let mut halves = Self::default();
        let mut decoder = Http1::new(http1::Options::default());
        let mut take = |event: Event<'_>| halves.take(event);
        for (from, bytes) in [(Side::Client, request), (Side::Server, response)] {
            let chunk = Chunk { from, offset: 0, arrived: None, read: Timestamp(0), bytes };
            decoder.push(&chunk, &mut take);
        }
        halves
    }

    fn take(&mut self, event: Event<'_>) {
        let Event::Http(event) = event else { return };
        match event {
            HttpEvent::RequestHead { exchange: 1, head, .. } => self.request.head = Some(head),
            HttpEvent::ResponseHead { exchange: 1, head, interim: false, .. } => self.response.head = Some(head),
            HttpEvent::RequestBody { exchange: 1, bytes, .. } => self.request.body.extend_from_slice(bytes),
            HttpEvent::ResponseBody { exchange: 1, bytes, .. } => self.response.body.extend_from_slice(bytes),
            _ => {}
        }
    }
}

impl Half {
    /// The body without its content codings.
    pub(super) fn decoded(&self, cap: usize) -> Decoded {
        let coding = self.head.as_ref().and_then(|head| head.header("content-encoding")).unwrap_or_default();
        decode_content(coding, &self.body, cap)
    }

    fn content(&self, cap: usize) -> Option<Vec<u8>> {
        if self.body.is_empty() {
            return None;
        }
        match self.decoded(cap) {
            Decoded::Unsupported(_) => Some(self.body.clone()),
            decoded => Some(decoded.bytes().to_vec()),
        }
    }
}
