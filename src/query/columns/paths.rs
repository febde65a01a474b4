//! What targets tell of a unit that others could be told apart by: the values of a route's parameters, and those of its
//! query.

use std::collections::HashMap;

use super::property::Property;

/// Parameters that are looked at, of routes and of queries.
const NAMES: usize = 48;
/// Longer values are not told apart: they name one request each.
const LONGEST_VALUE: usize = 256;

/// See the module.
pub(super) struct Paths {
    pub(super) all: Vec<Property>,
    /// On whose behalf it is asked, where the path says so.
    pub(super) tenant: Property,
    known: HashMap<Box<str>, Option<usize>>,
    asked: HashMap<Box<str>, Option<usize>>,
}

impl Default for Paths {
    fn default() -> Self {
        let tenant = Property::new("contrast:tenant".to_owned(), Some("(absent)"), false);
        Self { all: Vec::new(), tenant, known: HashMap::new(), asked: HashMap::new() }
    }
}

impl Paths {
    /// Takes a parameter of a path.
    pub(super) fn read(&mut self, unit: usize, name: &str, value: &str) {
        let found = match self.known.get(name) {
            Some(found) => *found,
            None => {
                let found = (self.known.len() < NAMES).then(|| {
                    self.all.push(Property::new(format!("contrast:path:{name}"), None, false));
                    self.all.len() - 1
                });
                self.known.insert(name.into(), found);
                found
            }
        };
        if let Some(property) = found.and_then(|at| self.all.get_mut(at)) {
            property.put(unit, value);
        }
        if names_tenant(name) {
            self.tenant.put(unit, value);
        }
    }

    /// Takes the parameters of a target's query.
    pub(super) fn read_query(&mut self, unit: usize, target: &str) {
        let Some((_, query)) = target.split_once('?') else { return };
        for part in query.split('#').next().unwrap_or_default().split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if name.is_empty() || value.len() > LONGEST_VALUE {
                continue;
            }
            let found = match self.asked.get(name) {
                Some(found) => *found,
                None => {
                    let found = (self.asked.len() < NAMES).then(|| {
                        self.all.push(Property::new(format!("contrast:query:{name}"), Some("(absent)"), false));
                        self.all.len() - 1
                    });
                    // A client that makes names up is asked no further.
                    if self.asked.len() < 8 * NAMES {
                        self.asked.insert(name.into(), found);
                    }
                    found
                }
            };
            if let Some(property) = found.and_then(|at| self.all.get_mut(at)) {
                property.put(unit, value);
            }
        }
    }
}

/// Whether a header or parameter of that name says on whose behalf it is asked.
pub(super) fn names_tenant(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["tenant", "organization", "organisation", "orgid", "org-id", "workspace"].iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::columns::Outcome;

    #[test]
    fn parameters_of_queries_are_told_apart() {
        let mut paths = Paths::default();
        let outcomes: Vec<Outcome> =
            (0..60).map(|unit| if unit % 3 == 1 { Outcome::Refused } else { Outcome::Accepted }).collect();
        for unit in 0..60 {
            let mode = ["slow", "fast", "std"].get(unit % 3).copied().unwrap_or_default();
            paths.read_query(unit, &format!("/items?n={unit}&mode={mode}&&flag#x=1"));
        }
        let mode = paths.all.into_iter().find(|property| property.hypothesis == "contrast:query:mode");
        let contrast = mode.and_then(|property| property.into_contrast(&outcomes));
        assert_eq!(contrast.map(|contrast| contrast.values), Some(vec!["slow".into(), "fast".into(), "std".into()]));
    }
}
