//! The first pass: all secrets of a capture, whatever of it is exported later. A token that was named in one exchange is
//! found again in another's path.

use std::ops::ControlFlow;

use crate::{
    query::{self, Capture, Query, Secrets},
    redact::Scrubber,
};

use super::{Error, Options};

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
        query::collect(&mut all, &content, options.body_limit);
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
