//! The routes of a capture: which exchanges are counted together. Bounded: routes beyond the limit are one.

use std::{collections::BTreeMap, hash::Hasher as _};

use crate::model::{ExchangeId, hash::Quick, rows::ExchangeRow};

use super::summary::Histogram;

/// Routes that are told apart.
const ROUTES: usize = 500;
/// Slots of the cache; an exchange has one place in it.
const SLOTS: usize = 128;
/// The routes of longer paths are looked for each time.
const LONGEST: usize = 256;

/// What exchanges have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) path: String,
    pub(super) method: String,
    pub(super) status: Option<u16>,
    pub(super) websocket: bool,
    pub(super) proxy_made: bool,
}

/// What is counted of them.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) count: u64,
    pub(super) first: ExchangeId,
    pub(super) latency: Histogram,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    places: BTreeMap<Route, usize>,
    figures: Vec<Figures>,
    /// The last exchanges' whole paths in the place of their templates, and where those are counted: a load asks for the
    /// same again and again.
    last: Vec<Option<(Route, usize)>>,
}

impl Routes {
    /// Counts an exchange.
    pub(super) fn add(&mut self, row: &ExchangeRow) {
        let place = self.place(row);
        if place == self.figures.len() {
            self.figures.push(Figures { count: 0, first: row.id, latency: Histogram::default() });
        }
        let Some(figures) = self.figures.get_mut(place) else { return };
        figures.count += 1;
        if let Some(end) = row.response_last_byte_ns {
            figures.latency.add(end.0.saturating_sub(row.request_first_byte_ns.0));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Route, &Figures)> {
        self.places.iter().filter_map(|(route, place)| Some((route, self.figures.get(*place)?)))
    }

    /// Where such an exchange is counted; one past the figures where it is the first one.
    fn place(&mut self, row: &ExchangeRow) -> usize {
        let slot = slot(row);
        if let Some(Some((last, place))) = self.last.get(slot)
            && last.is_of(row)
        {
            return *place;
        }
        let mut route = Route::of(row, template(&row.path));
        if self.places.len() >= ROUTES && !self.places.contains_key(&route) {
            route.path = "*".to_owned();
            route.method = "*".to_owned();
        }
        let next = self.places.len();
        let place = *self.places.entry(route).or_insert(next);
        if row.path.len() <= LONGEST {
            if self.last.is_empty() {
                self.last.resize_with(SLOTS, || None);
            }
            if let Some(last) = self.last.get_mut(slot) {
                *last = Some((Route::of(row, row.path.clone()), place));
            }
        }
        place
    }
}

impl Route {
    fn of(row: &ExchangeRow, path: String) -> Self {
        Self {
            path,
            method: row.method.clone(),
            status: row.status,
            websocket: row.scheme.starts_with("ws"),
            proxy_made: row.proxy_made,
        }
    }

    fn is_of(&self, row: &ExchangeRow) -> bool {
        self.path == row.path
            && self.method == row.method
            && self.status == row.status
            && self.websocket == row.scheme.starts_with("ws")
            && self.proxy_made == row.proxy_made
    }
}

fn slot(row: &ExchangeRow) -> usize {
    let mut hasher = Quick::default();
    hasher.write(row.path.as_bytes());
    hasher.write_u64(row.status.map_or(0, u64::from));
    usize::try_from(hasher.finish()).unwrap_or(0) % SLOTS
}

/// A path without its query and with its ids collapsed by their shape, so that one route is one line.
pub fn template(path: &str) -> String {
    let end = path.bytes().position(|b| matches!(b, b'?' | b'#')).unwrap_or(path.len());
    let mut all = String::with_capacity(path.len());
    let mut start = 0;
    for end in memchr::memchr_iter(b'/', path.as_bytes()).take_while(|at| *at < end).chain([end]) {
        if start > 0 {
            all.push('/');
        }
        let part = path.get(start..end).unwrap_or_default();
        all.push_str(if is_id(part) { "{id}" } else { part });
        start = end + 1;
    }
    all
}

/// Numbers, UUIDs, long hexadecimals, fingerprints, and anything long that mixes digits into letters.
fn is_id(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    // All that follows takes digits, or a colon.
    if digits == 0 && !part.contains(':') {
        return false;
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'%' | b':' | b'=');
    let plain = part.bytes().all(word);
    let hex = part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match part.len() {
        0 => false,
        n if n == digits => true,
        n if hex && digits > 0 => n >= 8,
        n if plain && n >= 16 => digits >= 2,
        _ => part.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty() && hex.len() >= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_collapse_by_shape_and_words_stay() {
        for (path, expected) in [
            ("/api/v2/recordings/42?x=1", "/api/v2/recordings/{id}"),
            ("/a/7d444840-9dc0-11d1-b245-5ffdce74fad2/b", "/a/{id}/b"),
            ("/a/deadbeef01", "/a/{id}"),
            ("/feedface/decade", "/feedface/decade"),
            ("/t/token:3f2a9c11", "/t/{id}"),
            ("/conversations/messages/AbC9_kk2-09aXyzzz", "/conversations/messages/{id}"),
            ("/screen-recordings/metadata-before-open", "/screen-recordings/metadata-before-open"),
            ("/", "/"),
            ("", ""),
            ("//x", "//x"),
        ] {
            assert_eq!(template(path), expected);
        }
    }
}
