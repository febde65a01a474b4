//! What paths tell of a unit that others could be told apart by: the values of a route's parameters.

use std::collections::HashMap;

use super::property::Property;

/// Parameters that are looked at.
const NAMES: usize = 48;

/// See the module.
pub(super) struct Paths {
    pub(super) all: Vec<Property>,
    /// On whose behalf it is asked, where the path says so.
    pub(super) tenant: Property,
    known: HashMap<Box<str>, Option<usize>>,
}

impl Default for Paths {
    fn default() -> Self {
        let tenant = Property::new("contrast:tenant".to_owned(), Some("(absent)"), false);
        Self { all: Vec::new(), tenant, known: HashMap::new() }
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
}

/// Whether a header or parameter of that name says on whose behalf it is asked.
pub(super) fn names_tenant(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["tenant", "organization", "organisation", "orgid", "org-id", "workspace"].iter().any(|word| lower.contains(word))
}
