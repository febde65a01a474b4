//! `identifier-shape`: an identifier in a path does not look as it should.
//!
//! Source: the profile's shapes of parameters; else the other requests of the route. A CSV column that is off by one, a
//! value cut at a comma, the id of another kind of thing: the path is sound, and the server has nothing by that name.
//! What would be evidence: these requests are refused, those with the usual shape are not.
//!
//! - error: the profile says what a parameter looks like, and it does not;
//! - hint: without that knowledge, a lone outlier: nearly all requests of the route have another shape in that place.

use std::sync::Arc;

use crate::{
    model::{
        again::Memo,
        exchange::Exchange,
        flag::{Flag, Severity},
        observation::{Heard, Observation, What},
    },
    profile::{IdShape, Profile},
};

use super::{
    Group, Known, Needs, Rule, RuleInfo,
    fault::{self, Fault},
    routes::{Key, Routes, SEGMENTS, Segments, Shape},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "identifier-shape",
    group: Group::TemplateLeaks,
    summary: "an identifier in a path does not look as the profile says, or as nearly all others of its route do",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "the profile's shapes of parameters; else the requests seen so far",
    default_on: true,
    why: "with a profile it is certain; without one it is a hint, and rare",
    silent: super::never,
    build: |options| {
        let (routes, without) = (Routes::default(), Memo::default());
        Box::new(IdentifierShape { profile: options.profile.clone(), routes, without })
    },
};

/// Requests of a route before an outlier is one.
const ENOUGH: u32 = 32;

struct IdentifierShape {
    profile: Option<Arc<Profile>>,
    routes: Routes<[Counts; SEGMENTS]>,
    /// Heads whose path has no identifier.
    without: Memo<()>,
}

/// How often each shape was seen in one place.
type Counts = [u32; Shape::ALL.len()];

impl Rule for IdentifierShape {
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

impl IdentifierShape {
    fn judge(&mut self, exchange: &Exchange) -> Option<(Severity, String)> {
        let path = exchange.path();
        if let Some(route) = words::route(self.profile.as_deref(), exchange).filter(|route| !route.params.is_empty()) {
            let (name, value, shape) = route.misfits(path).next()?;
            let severity = words::severity(route);
            let n = words::bytes(value.len() as u64);
            return Some((severity, format!("{{{name}}} of {} has {n} and is not {}", route.path, expected(shape))));
        }
        self.by_shape(exchange, path)
    }

    fn by_shape(&mut self, exchange: &Exchange, path: &[u8]) -> Option<(Severity, String)> {
        let (again, method) = (exchange.request.again(), exchange.request.method());
        if again.is_some_and(|again| self.without.get(again).is_some()) {
            return None;
        }
        let segments = Segments::of(path)?;
        let segments = segments.as_slice();
        if segments.iter().all(|segment| Shape::of(segment).is_none()) {
            if let Some(again) = again {
                self.without.put(again, ());
            }
            return None;
        }
        let places = self.routes.entry(Key::of(method, segments))?;
        let mut found = None;
        for (at, (segment, counts)) in segments.iter().zip(places).enumerate() {
            let Some(shape) = Shape::of(segment) else { continue };
            let before: u32 = counts.iter().fold(0, |sum, n| sum.saturating_add(*n));
            if let Some(count) = counts.get_mut(shape as usize) {
                *count = count.saturating_add(1);
            }
            let usual = Shape::ALL.iter().zip(*counts).max_by_key(|(_, n)| *n).map(|(usual, n)| (*usual, n));
            let own = counts.get(shape as usize).copied().unwrap_or(u32::MAX);
            if found.is_none()
                && before >= ENOUGH
                && let Some((usual, n)) = usual
                && own.saturating_mul(ENOUGH) <= n
                && !alike(shape, usual, segment)
            {
                let (number, is, usual) = (at + 1, shape.as_str(), usual.as_str());
                let length = words::bytes(segment.len() as u64);
                found = Some(format!(
                    "segment {number} of the path is {is} of {length}, where {n} of {} requests have {usual}",
                    before.saturating_add(1)
                ));
            }
        }
        found.map(|what| (Severity::Hint, what))
    }
}

/// A hexadecimal number may happen to hold digits alone, and a token may happen to be hexadecimal.
fn alike(shape: Shape, usual: Shape, segment: &[u8]) -> bool {
    matches!(
        (shape, usual, segment.len()),
        (Shape::Number, Shape::Hex | Shape::Token, 12..)
            | (Shape::Hex, Shape::Token, _)
            | (Shape::Token, Shape::Hex, ..12)
    )
}

fn expected(shape: &IdShape) -> String {
    match shape {
        IdShape::Any => "anything".to_owned(),
        IdShape::Number => "a number".to_owned(),
        IdShape::Uuid => "a UUID".to_owned(),
        IdShape::OneOf(values) => format!("one of {}", values.join(", ")),
    }
}
