//! What heads and paths tell of a unit that others could be told apart by.

use std::collections::HashMap;

use crate::model::{
    columns::{Contrast, NONE, Outcome},
    exchange::is_token_endpoint,
};

use super::{builder::Seen, headers::List, intern::Texts, property::Property};

/// Request headers, response headers and path parameters that are looked at; clients that make names up get no further.
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

/// See the module.
pub(super) struct Properties {
    identity: Vec<String>,
    all: Vec<Property>,
    requests: Names,
    responses: Names,
    paths: HashMap<Box<str>, Option<usize>>,
    client: usize,
    tenant: usize,
    authority: usize,
    order: String,
}

/// What a head said that is no property.
pub(super) struct Reading {
    /// The token's number.
    pub(super) token: u32,
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

impl Properties {
    pub(super) fn new(identity: &[String]) -> Self {
        let client = Property::new("contrast:client".to_owned(), None, false);
        let tenant = Property::new("contrast:tenant".to_owned(), Some("(absent)"), false);
        let authority = Property::new("contrast:tenant".to_owned(), None, false);
        Self {
            identity: identity.iter().map(|name| name.to_ascii_lowercase()).collect(),
            all: vec![client, tenant, authority],
            requests: Names::default(),
            responses: Names::default(),
            paths: HashMap::new(),
            client: 0,
            tenant: 1,
            authority: 2,
            order: String::new(),
        }
    }

    /// Takes what both heads of an exchange tell.
    pub(super) fn read(&mut self, unit: usize, seen: &Seen<'_>, tokens: &mut Texts) -> Reading {
        let mut token = NONE;
        let mut position = 0;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let mut agent = String::new();
        // An application's credentials are nobody's token.
        let is_of_application = |value: &str| {
            value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "))
                && is_token_endpoint(seen.method.as_bytes(), seen.path.as_bytes())
        };
        seen.request_headers.each(&mut |name, value| {
            let found = self.requests.find(position, name).unwrap_or_else(|| self.meet(name));
            position += 1;
            if let Some(property) = found.property {
                self.put(property, unit, value);
            }
            if found.token && token == NONE && !value.is_empty() && !is_of_application(value) {
                token = tokens.number(value);
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
        self.put(self.authority, unit, seen.authority);
        if let Some(headers) = seen.response_headers {
            self.response(unit, headers);
        }
        Reading { token }
    }

    /// Takes a parameter of a path.
    pub(super) fn path(&mut self, unit: usize, name: &str, value: &str) {
        let found = match self.paths.get(name) {
            Some(found) => *found,
            None => {
                let room = self.paths.len() < NAMES;
                let found = room.then(|| self.add(format!("contrast:path:{name}"), None, false));
                self.paths.insert(name.into(), found);
                found
            }
        };
        if let Some(property) = found {
            self.put(property, unit, value);
        }
        if names_tenant(name) {
            self.put(self.tenant, unit, value);
        }
    }

    /// Puts the units in another order.
    pub(super) fn reorder(&mut self, order: &[u32]) {
        self.all.iter_mut().for_each(|property| property.reorder(order));
    }

    /// All that could tell units apart, by hypothesis.
    pub(super) fn into_contrasts(self, outcomes: &[Outcome]) -> Vec<Contrast> {
        let mut contrasts: Vec<Contrast> =
            self.all.into_iter().filter_map(|property| property.into_contrast(outcomes)).collect();
        contrasts.sort_by(|a, b| a.hypothesis.cmp(&b.hypothesis));
        // Of a header or parameter that names tenants, and the authority, the first is meant.
        contrasts.dedup_by(|later, earlier| later.hypothesis == earlier.hypothesis);
        contrasts
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

/// Whether a header or parameter of that name says on whose behalf it is asked.
fn names_tenant(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["tenant", "organization", "organisation", "orgid", "org-id", "workspace"].iter().any(|word| lower.contains(word))
}
