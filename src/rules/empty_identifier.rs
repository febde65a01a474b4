//! `empty-identifier`: a path lacks an identifier that its route has.
//!
//! Source: measured with JMeter. Its HTTP client collapses empty segments: with an empty `${id}`, `/sessions/${id}/x`
//! goes out as `/sessions/x`, while the JTL shows `//`. So shapes of routes are compared. What would be evidence: these
//! requests are refused (or answered by another route), those with the identifier are not.
//!
//! - error: a known route of the profile takes the path but for one parameter, and no route takes it as it is; a
//!   `//` in the midst of a path where, with an identifier in the gap, the path is a route seen before;
//! - warning: any other `//` in the midst of a path;
//! - hint: without knowledge, a rare path that is a frequent route but for one identifier (`/users/settings` beside many
//!   `/users/7/settings` may be a route of its own, so that a path that is not rare is left alone); a query's `id=`
//!   without value.

use std::sync::Arc;

use crate::{
    model::{
        again::Memo,
        exchange::Exchange,
        flag::{Flag, Severity},
        observation::{Heard, Observation, What},
    },
    profile::Profile,
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    fault::{self, Fault},
    routes::{Key, Routes, Segments, Shape},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "empty-identifier",
    group: Group::TemplateLeaks,
    summary: "a path lacks an identifier that its route has: `//`, or what a client made of it",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "JMeter's HTTP client collapses `//` (measured); the profile's routes, or those seen so far",
    default_on: true,
    why: "an empty variable in a path is a frequent mistake; what is a guess is a hint",
    silent: super::never,
    build: |options| {
        let (routes, settled) = (Routes::default(), Memo::default());
        Box::new(EmptyIdentifier { profile: options.profile.clone(), routes, settled })
    },
};

/// A route is frequent from here on.
const FREQUENT: u64 = 32;
/// A path that lacks an identifier is rare if there are so many times as many that have it.
const RARE: u64 = 4;
/// How often a path is compared with the frequent routes; after that it is judged by what was found.
const COMPARED: u64 = 16;

struct EmptyIdentifier {
    profile: Option<Arc<Profile>>,
    routes: Routes<Route>,
    /// The routes of heads that are compared no more.
    settled: Memo<u64>,
}

#[derive(Debug, Default)]
struct Route {
    count: u64,
    /// The frequent route that it would be with an identifier more, and where that is missing.
    lacks: Option<(u64, usize)>,
}

impl Rule for EmptyIdentifier {
    fn hears(&self) -> &[Heard] {
        &[Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::RequestHead(exchange) = observation.what else { return };
        if let Some((severity, what)) = self.judge(exchange) {
            let [_, target, _] = exchange.request.start;
            let place = fault::part(&exchange.request, target);
            raise(Fault { severity, what, place }.flag(&INFO, observation, exchange));
        }
    }
}

impl EmptyIdentifier {
    fn judge(&mut self, exchange: &Exchange) -> Option<(Severity, String)> {
        let (method, path) = (exchange.request.method(), exchange.path());
        let guess = self.by_shape(exchange);
        let profile = self.profile.as_deref().filter(|profile| words::is_at_home(profile, exchange));
        if let Some(profile) = profile {
            let (known, lacks) = if exchange.asked_for_websocket() {
                let lacking = profile.sockets.lacking(method, path);
                (profile.sockets.find(method, path).is_some(), lacking.map(|(route, name)| (&route.path, name)))
            } else {
                let lacking = profile.routes.lacking(method, path);
                // `/scripts/pages` is `/scripts/{id}` as well, but if ids are UUIDs it is rather `/scripts/{id}/pages`.
                let known = profile.routes.find(method, path).is_some_and(|route| route.misfits(path).next().is_none());
                (known, lacking.map(|(route, name)| (&route.path, name)))
            };
            if known {
                return by_query(exchange);
            }
            if let Some((template, name)) = lacks {
                // `/scripts` beside `/scripts/{id}` may be the list, though the profile does not know it.
                let list = template.as_str().ends_with('}') && !path.ends_with(b"/");
                let severity = if list { Severity::Hint } else { Severity::Error };
                return Some((severity, format!("the path is {template} without {{{name}}}")));
            }
        }
        guess.or_else(|| by_query(exchange))
    }

    fn by_shape(&mut self, exchange: &Exchange) -> Option<(Severity, String)> {
        let (again, method) = (exchange.request.again(), exchange.request.method());
        if let Some(own) = again.and_then(|again| self.settled.get(again))
            && let Some(route) = self.routes.entry(*own)
        {
            route.count += 1;
            let (count, lacks) = (route.count, route.lacks?);
            return self.lacking(count, lacks);
        }
        let segments = Segments::of(exchange.path())?;
        let segments = segments.as_slice();
        if let Some(gap) = gap(segments) {
            let mut key = Key::new(method);
            segments
                .iter()
                .enumerate()
                .for_each(|(at, segment)| if at == gap { key.push_id() } else { key.push(segment) });
            let known = self.routes.get(key.finish()).is_some_and(|route| route.count > 0);
            let number = gap + 1;
            return Some(if known {
                (
                    Severity::Error,
                    format!("segment {number} of the path is empty, where other requests have an identifier"),
                )
            } else {
                (Severity::Warning, format!("segment {number} of the path is empty (//)"))
            });
        }
        let own = Key::of(method, segments);
        let route = self.routes.entry(own)?;
        route.count += 1;
        let (count, mut lacks) = (route.count, route.lacks);
        if count <= COMPARED && lacks.is_none() {
            lacks = self.frequent_with_one_more(method, segments);
            if let (Some(lacks), Some(route)) = (lacks, self.routes.entry(own)) {
                route.lacks = Some(lacks);
            }
        }
        if let Some(again) = again.filter(|_| count >= COMPARED) {
            self.settled.put(again, own);
        }
        self.lacking(count, lacks?)
    }

    fn lacking(&self, count: u64, (with, at): (u64, usize)) -> Option<(Severity, String)> {
        let frequent = self.routes.get(with)?.count;
        if frequent < FREQUENT || count.saturating_mul(RARE) > frequent {
            return None;
        }
        let what = format!(
            "the path may lack an identifier as segment {}: {frequent} requests had one there, {count} had not",
            at + 1
        );
        Some((Severity::Hint, what))
    }

    /// A list beside its members (`/scripts` beside `/scripts/7`) lacks nothing; with a slash at its end it does.
    fn frequent_with_one_more(&self, method: &[u8], segments: &[&[u8]]) -> Option<(u64, usize)> {
        let trailing = segments.last().is_some_and(|last| last.is_empty());
        let named = if trailing { segments.split_last().map(|(_, rest)| rest).unwrap_or_default() } else { segments };
        let places = if trailing { named.len()..named.len() + 1 } else { 1..named.len() };
        places.into_iter().find_map(|at| {
            let (before, after) = named.split_at_checked(at)?;
            // Two identifiers in a row are rare, and would make every one of them suspicious.
            let beside = |segment: Option<&&[u8]>| segment.is_some_and(|segment| Shape::of(segment).is_some());
            if beside(before.last()) || beside(after.first()) {
                return None;
            }
            let mut key = Key::new(method);
            before.iter().for_each(|segment| key.push(segment));
            key.push_id();
            after.iter().for_each(|segment| key.push(segment));
            let key = key.finish();
            self.routes.get(key).filter(|route| route.count >= FREQUENT).map(|_| (key, at))
        })
    }
}

/// The first empty segment in the midst of a path. `//` at its beginning comes from joining URLs, and that of
/// `/proxy/https://…` is a URL's.
fn gap(segments: &[&[u8]]) -> Option<usize> {
    let last = segments.len().saturating_sub(1);
    if !segments.iter().take(last).any(|segment| segment.is_empty()) {
        return None;
    }
    let first = segments.iter().position(|segment| !segment.is_empty())?;
    let before = |at: usize| at.checked_sub(1).and_then(|at| segments.get(at));
    let is_gap = |at: &usize| {
        segments.get(*at).is_some_and(|segment| segment.is_empty())
            && !before(*at).is_some_and(|before| before.ends_with(b":"))
    };
    (first..last).find(is_gap)
}

/// `id=`, `sessionId=`, `user_id=`.
fn by_query(exchange: &Exchange) -> Option<(Severity, String)> {
    let query = exchange.query()?;
    let name = query.split(|b| *b == b'&').find_map(|pair| {
        let name = pair.strip_suffix(b"=")?;
        let is_id = name == b"id" || [&b"Id"[..], b"_id", b"-id", b"ID"].iter().any(|ending| name.ends_with(ending));
        is_id.then_some(name)
    })?;
    Some((Severity::Hint, format!("the query's {} has no value", words::name(name))))
}
