//! The first pass: all secrets of a capture, whatever of it is exported later. A token that was named in one exchange is
//! found again in another's path.

use std::ops::ControlFlow;

use crate::{
    model::{ExchangeId, Side},
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
    /// Bodies that need not be looked through for names again.
    pub nameless: Nameless,
}

/// Bodies that were looked through as they were sent, and name no secret: two bits for each exchange.
#[derive(Clone, Debug, Default)]
pub struct Nameless(Vec<u64>);

impl Nameless {
    /// Whether that side's body of an exchange is one.
    pub fn contains(&self, exchange: ExchangeId, from: Side) -> bool {
        let (word, bit) = Self::place(exchange, from);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn add(&mut self, exchange: ExchangeId, from: Side) {
        let (word, bit) = Self::place(exchange, from);
        if self.0.len() <= word && word < MOST_WORDS {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn place(exchange: ExchangeId, from: Side) -> (usize, u64) {
        let word = usize::try_from(exchange.0 / 32).unwrap_or(usize::MAX);
        (word, 1 << (exchange.0 % 32 * 2 + u64::from(from == Side::Server)))
    }
}

/// Of exchanges beyond it nothing is remembered: some 30 million.
const MOST_WORDS: usize = 1 << 20;

/// Reads everything and returns what replaces it; at once where secrets are kept. `progress` is told the exchanges so far.
///
/// # Errors
/// Where the capture cannot be read.
pub fn collect(capture: &Capture, options: &Options, progress: &dyn Fn(u64)) -> Result<Collected, Error> {
    if options.keep_secrets {
        return Ok(Collected { scrubber: Scrubber::off(), sockets: None, nameless: Nameless::default() });
    }
    let mut all = capture.collector();
    let mut sockets = false;
    let mut nameless = Nameless::default();
    let mut count = 0;
    let query = Query { secrets: Secrets::Fingerprints, ..Query::default() };
    capture.contents(query, options.body_limit, &mut |content| {
        sockets |= content.row.websocket.is_some();
        let without_names = query::collect(&mut all, &content, options.body_limit);
        for (from, is_one) in [Side::Client, Side::Server].into_iter().zip(without_names) {
            if is_one {
                nameless.add(content.row.id, from);
            }
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
    Ok(Collected { scrubber: all.finish(options.lengths), sockets: Some(sockets), nameless })
}
