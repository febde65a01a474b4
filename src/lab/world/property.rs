//! What units could be told apart by, beside flags and doses: header fields, ids in paths, clients, tenants, instances.
//! As `query` mines them from a capture: identity headers are left out, rare values are taken together.

use std::collections::HashMap;

use crate::{
    lab::{
        request::Request,
        surface::{Surface, Who},
    },
    model::columns::{ABSENT, Contrast, Outcome},
};

/// Fields that differ from request to request by their nature, or say who the user is.
const NOT_COMPARED: &[&str] = &["sec-websocket-key", "host", "x-jm-thread"];
/// Values that are told apart; beyond, presence alone is.
const MOST: usize = 1024;
/// Values of fewer units are taken together.
const FEWEST: u32 = 5;
/// What lacks a field.
const LACKS: u16 = 0;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Properties(Vec<Property>);

#[derive(Debug)]
struct Property {
    hypothesis: String,
    /// By unit, in the order of recording: [`LACKS`], or one more than the value's index.
    of: Vec<u16>,
    values: Vec<String>,
    numbers: HashMap<String, u16>,
    is_overflown: bool,
}

impl Properties {
    /// Takes what a request tells.
    pub(super) fn request(&mut self, unit: usize, request: &Request, surface: Surface, who: &Who) {
        for (name, value) in &request.headers {
            let lower = name.to_ascii_lowercase();
            if NOT_COMPARED.contains(&&*lower) {
                continue;
            }
            if lower == "x-tenant" {
                self.put("contrast:tenant", unit, value);
            }
            self.put(&format!("contrast:header:{lower}"), unit, value);
        }
        self.put(
            "contrast:client",
            unit,
            ["java", "python", "jdk"].get(who.client as usize).copied().unwrap_or("other"),
        );
        let route = surface.route(request.kind);
        if let Some((_, rest)) = route.split_once('{') {
            let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
            let path = request.target.split('?').next().unwrap_or_default();
            let value = path.strip_suffix(after).unwrap_or(path).rsplit('/').next().unwrap_or_default();
            self.put(&format!("contrast:path:{name}"), unit, value);
        }
    }

    /// The unit's value; where it has several, the first.
    pub(super) fn put(&mut self, hypothesis: &str, unit: usize, value: &str) {
        let known = self.0.iter().position(|property| property.hypothesis == hypothesis);
        let at = known.unwrap_or_else(|| {
            self.0.push(Property {
                hypothesis: hypothesis.to_owned(),
                of: Vec::new(),
                values: Vec::new(),
                numbers: HashMap::new(),
                is_overflown: false,
            });
            self.0.len() - 1
        });
        let Some(property) = self.0.get_mut(at) else { return };
        if property.of.len() <= unit {
            property.of.resize(unit + 1, LACKS);
        }
        let number = property.number(value);
        if let Some(slot) = property.of.get_mut(unit).filter(|slot| **slot == LACKS) {
            *slot = number;
        }
    }

    /// The contrasts. `order` has the number in the order of recording of each unit.
    pub(super) fn into_contrasts(self, order: &[usize], outcomes: &[Outcome]) -> Vec<Contrast> {
        let mut contrasts: Vec<Contrast> =
            self.0.into_iter().filter_map(|property| property.into_contrast(order, outcomes)).collect();
        contrasts.sort_by(|a, b| a.hypothesis.cmp(&b.hypothesis));
        contrasts
    }
}

impl Property {
    fn number(&mut self, value: &str) -> u16 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        if self.is_overflown || self.values.len() >= MOST {
            self.is_overflown = true;
            return LACKS + 1;
        }
        self.values.push(value.to_owned());
        let number = self.values.len() as u16;
        self.numbers.insert(value.to_owned(), number);
        number
    }

    fn into_contrast(mut self, order: &[usize], outcomes: &[Outcome]) -> Option<Contrast> {
        let with_answer = self.hypothesis.starts_with("contrast:server:");
        // A header that is not there is a value of it; an id that is not in the path is not.
        let absence = (self.hypothesis.starts_with("contrast:header:") || self.hypothesis == "contrast:tenant")
            .then_some("(absent)");
        let mut of: Vec<u16> = order.iter().map(|unit| self.of.get(*unit).copied().unwrap_or(LACKS)).collect();
        if self.is_overflown {
            absence?;
            self.values = vec!["(present)".to_owned()];
            of.iter_mut().for_each(|value| *value = (*value).min(1));
        }
        let mut counts = vec![[0_u32; 2]; self.values.len() + 1];
        for (value, outcome) in of.iter().zip(outcomes) {
            let counted = usize::from(*outcome == Outcome::Refused);
            if let Some(slot) = counts.get_mut(usize::from(*value)).and_then(|count| count.get_mut(counted)) {
                *slot += u32::from(*outcome != Outcome::Uncounted);
            }
        }
        let mut names = Vec::new();
        let mut numbers = vec![ABSENT; counts.len()];
        let mut rest = Vec::new();
        let texts = std::iter::once(absence).chain(self.values.iter().map(|value| Some(&**value)));
        for ((value, text), [accepted, refused]) in texts.enumerate().zip(counts) {
            let Some(text) = text else { continue };
            if with_answer && accepted == 0 {
                continue;
            }
            if accepted + refused < FEWEST {
                rest.push((value, accepted + refused));
            } else if let Some(slot) = numbers.get_mut(value) {
                *slot = names.len() as u16;
                names.push(text.to_owned());
            }
        }
        if !with_answer && rest.iter().map(|(_, count)| count).sum::<u32>() >= FEWEST {
            for (value, _) in rest {
                if let Some(slot) = numbers.get_mut(value) {
                    *slot = names.len() as u16;
                }
            }
            names.push("(others)".to_owned());
        }
        if names.len() < 2 {
            return None;
        }
        let of = of.iter().map(|value| numbers.get(usize::from(*value)).copied().unwrap_or(ABSENT)).collect();
        Some(Contrast { hypothesis: self.hypothesis, values: names, of, with_answer })
    }
}
