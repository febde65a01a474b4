//! What heads tell of a unit: its token, who answered it, and what others could be told apart by. Nothing here needs to
//! know more of a unit than its number, so that heads are read beside everything else.

use std::collections::HashMap;

use crate::{
    model::{
        columns::{AnsweredBy, NONE, Units},
        exchange::is_token_endpoint,
    },
    profile::Profile,
};

use super::{
    headers::List,
    intern::Texts,
    paths::{Paths, names_tenant},
    property::Property,
};

/// Request headers and response headers that are looked at; clients that make names up get no further.
const NAMES: usize = 48;

/// Of requests: what differs with every one of them by its nature, or stands in a column of its own.
const NOT_COMPARED: &[&str] = &["content-length", "sec-websocket-key", "host", "date"];
/// Of responses: what tells of the answer and not of who gave it.
const NO_INSTANCE: &[&str] = &[
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "location",
    "pragma",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];
/// The names whose order and spelling tell clients apart, whatever they ask for.
const OF_CLIENTS: &[&str] = &["accept", "accept-encoding", "accept-language", "connection", "host", "user-agent"];

/// An exchange's heads, from a table's cells or from a row.
pub(super) struct Heard<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) authority: &'a str,
    pub(super) status: Option<u16>,
    pub(super) request: List<'a>,
    pub(super) response: Option<List<'a>>,
}

/// See the module.
pub(super) struct Heads<'p> {
    profile: Option<&'p Profile>,
    identity: Vec<String>,
    all: Vec<Property>,
    requests: Names,
    responses: Names,
    client: usize,
    tenant: usize,
    authority: usize,
    order: String,
    tokens: Texts,
    /// The unit of the first of these.
    base: usize,
    token: Vec<u32>,
    answered_by: Vec<AnsweredBy>,
}

/// What is done with a header.
#[derive(Clone, Copy)]
struct Use {
    property: Option<usize>,
    token: bool,
    agent: bool,
    /// Whether it tells clients apart.
    listed: bool,
    tenant: bool,
}

/// Names as they are written, and where each was found last.
#[derive(Default)]
struct Names {
    known: Vec<(Box<str>, Use)>,
    numbers: HashMap<Box<str>, usize>,
    at: Vec<usize>,
}

impl Names {
    fn find(&mut self, position: usize, name: &str) -> Option<Use> {
        let hint = self.at.get(position).and_then(|at| self.known.get(*at));
        if let Some((_, found)) = hint.filter(|(known, _)| **known == *name) {
            return Some(*found);
        }
        let number = *self.numbers.get(name)?;
        if self.at.len() <= position {
            self.at.resize(position + 1, number);
        }
        if let Some(slot) = self.at.get_mut(position) {
            *slot = number;
        }
        self.known.get(number).map(|(_, found)| *found)
    }

    fn add(&mut self, name: &str, found: Use) {
        // Spellings of the same name count, too.
        if self.known.len() < 8 * NAMES {
            self.numbers.insert(name.into(), self.known.len());
            self.known.push((name.into(), found));
        }
    }
}

impl<'p> Heads<'p> {
    pub(super) fn new(profile: Option<&'p Profile>, identity: &[String]) -> Self {
        let client = Property::new("contrast:client".to_owned(), None, false);
        let tenant = Property::new("contrast:tenant".to_owned(), Some("(absent)"), false);
        let authority = Property::new("contrast:tenant".to_owned(), None, false);
        Self {
            profile,
            identity: identity.iter().map(|name| name.to_ascii_lowercase()).collect(),
            all: vec![client, tenant, authority],
            requests: Names::default(),
            responses: Names::default(),
            client: 0,
            tenant: 1,
            authority: 2,
            order: String::new(),
            tokens: Texts::default(),
            base: 0,
            token: Vec::new(),
            answered_by: Vec::new(),
        }
    }

    /// The next ones are those of the units from `base` on.
    pub(super) fn begin(&mut self, base: usize) {
        self.base = base;
        self.token.clear();
        self.answered_by.clear();
    }

    /// The unit that comes next.
    pub(super) fn next(&self) -> usize {
        self.base + self.token.len()
    }

    /// Takes what both heads of the next unit tell.
    pub(super) fn read(&mut self, heard: &Heard<'_>) {
        let unit = self.next();
        let token = self.request(unit, heard);
        self.token.push(token);
        self.put(self.authority, unit, heard.authority);
        let answered_by = heard.response.map_or(AnsweredBy::Unknown, |headers| {
            self.response(unit, headers);
            self.answered_by(heard, headers)
        });
        self.answered_by.push(answered_by);
    }

    /// Puts what is of one unit alone where it belongs.
    pub(super) fn put_into(&self, units: &mut Units) {
        let tokens = units.token.iter_mut().skip(self.base);
        tokens.zip(&self.token).for_each(|(slot, token)| *slot = *token);
        let by = units.answered_by.iter_mut().skip(self.base).zip(&self.answered_by);
        by.filter(|(slot, _)| **slot == AnsweredBy::Unknown).for_each(|(slot, by)| *slot = *by);
    }

    /// All that could tell units apart.
    pub(super) fn into_properties(mut self, paths: Paths) -> Vec<Property> {
        if let Some(tenant) = self.all.get_mut(self.tenant) {
            tenant.prefer(&paths.tenant);
        }
        self.all.into_iter().chain(paths.all).collect()
    }

    /// The unit's token.
    fn request(&mut self, unit: usize, heard: &Heard<'_>) -> u32 {
        let mut token = NONE;
        let mut position = 0;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let mut agent = String::new();
        // An application's credentials are nobody's token.
        let is_of_application = |value: &str| {
            value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "))
                && is_token_endpoint(heard.method.as_bytes(), heard.path.as_bytes())
        };
        heard.request.each(&mut |name, value| {
            let found = self.requests.find(position, name).unwrap_or_else(|| self.meet(name));
            position += 1;
            if let Some(property) = found.property {
                self.put(property, unit, value);
            }
            if found.token && token == NONE && !value.is_empty() && !is_of_application(value) {
                token = self.tokens.number(value);
            }
            if found.agent {
                agent.clear();
                agent.push_str(value);
            }
            if found.listed {
                order.push_str(if order.is_empty() { "" } else { ", " });
                order.push_str(name);
            }
            if found.tenant {
                self.put(self.tenant, unit, value);
            }
        });
        let agent = if agent.is_empty() { "no User-Agent" } else { &agent };
        order.insert_str(0, "; ");
        order.insert_str(0, agent);
        self.put(self.client, unit, &order);
        self.order = order;
        token
    }

    fn response(&mut self, unit: usize, headers: List<'_>) {
        let mut position = 0;
        headers.each(&mut |name, value| {
            let found = self.responses.find(position, name).unwrap_or_else(|| self.meet_response(name));
            position += 1;
            // What differs with every answer names no instance.
            if let Some(property) = found.property.filter(|at| self.all.get(*at).is_some_and(|p| !p.is_overflown())) {
                self.put(property, unit, value);
            }
        });
    }

    fn answered_by(&self, heard: &Heard<'_>, headers: List<'_>) -> AnsweredBy {
        let Some(profile) = self.profile.filter(|profile| !profile.origin.headers.is_empty()) else {
            return AnsweredBy::Unknown;
        };
        let marks = &profile.origin.headers;
        let mut found = 0;
        headers.each(&mut |name, _| found += usize::from(marks.iter().any(|mark| mark.eq_ignore_ascii_case(name))));
        // A 101 is made by what speaks WebSocket, which need not mark it.
        if found >= marks.len() {
            AnsweredBy::Api
        } else if profile.host_matches(heard.authority) && heard.status != Some(101) {
            AnsweredBy::Intermediary
        } else {
            AnsweredBy::Unknown
        }
    }

    /// A request header that was never seen so written.
    fn meet(&mut self, name: &str) -> Use {
        let lower = name.trim().to_ascii_lowercase();
        let skipped = lower.is_empty() || self.identity.contains(&lower) || NOT_COMPARED.contains(&&*lower);
        let hypothesis = format!("contrast:header:{lower}");
        let found = Use {
            property: if skipped { None } else { self.of(hypothesis, Some("(absent)"), false) },
            token: lower == "authorization",
            agent: lower == "user-agent",
            listed: OF_CLIENTS.contains(&&*lower),
            tenant: !skipped && names_tenant(&lower),
        };
        self.requests.add(name, found);
        found
    }

    fn meet_response(&mut self, name: &str) -> Use {
        let lower = name.trim().to_ascii_lowercase();
        let skipped = lower.is_empty() || NO_INSTANCE.contains(&&*lower) || lower.contains("ratelimit");
        let property = if skipped { None } else { self.of(format!("contrast:server:{lower}"), None, true) };
        let found = Use { property, token: false, agent: false, listed: false, tenant: false };
        self.responses.add(name, found);
        found
    }

    /// The property of that hypothesis, made where there is room for it.
    fn of(&mut self, hypothesis: String, lacking: Option<&'static str>, with_answer: bool) -> Option<usize> {
        let known = self.all.iter().position(|property| property.hypothesis == hypothesis);
        known.or_else(|| (self.all.len() < 3 * NAMES).then(|| self.add(hypothesis, lacking, with_answer)))
    }

    fn add(&mut self, hypothesis: String, lacking: Option<&'static str>, with_answer: bool) -> usize {
        self.all.push(Property::new(hypothesis, lacking, with_answer));
        self.all.len() - 1
    }

    fn put(&mut self, property: usize, unit: usize, value: &str) {
        if let Some(property) = self.all.get_mut(property) {
            property.put(unit, value);
        }
    }
}
