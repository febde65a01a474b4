//! Properties of units with a bounded number of values: what contrasts are made of.

use std::collections::HashMap;

use crate::model::columns::{ABSENT, Contrast, Outcome};

/// The value of a unit that was seen and does not bear the property.
const LACKS: u16 = 0;
/// Values that are told apart. Of a property with more those that are frequent are, and the others together; where none
/// is, it is told by its presence alone.
const MOST: usize = 1024;
/// The share of the units that makes a value frequent.
const FREQUENT: f64 = 0.01;
/// Values of fewer counted units are taken together: nothing could be said of them.
const FEWEST: u32 = 5;
/// Values that are told of.
const SHOWN: usize = 256;

/// One property.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) hypothesis: String,
    /// [`LACKS`], or one more than the value's index.
    of: Vec<u16>,
    values: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
    last: (Box<str>, u16),
    overflown: bool,
    /// The number of all values but the frequent ones, once there were too many.
    others: Option<u16>,
    /// What units that lack it are called; `None`: they are not compared.
    lacking: Option<&'static str>,
    with_answer: bool,
}

impl Property {
    pub(super) fn new(hypothesis: String, lacking: Option<&'static str>, with_answer: bool) -> Self {
        Self {
            hypothesis,
            of: Vec::new(),
            values: Vec::new(),
            numbers: HashMap::new(),
            last: ("".into(), LACKS),
            overflown: false,
            others: None,
            lacking,
            with_answer,
        }
    }

    /// The unit's value; where it has several, the first.
    pub(super) fn put(&mut self, unit: usize, value: &str) {
        if self.of.len() > unit {
            return;
        }
        let number = self.number(value);
        self.of.resize(unit, LACKS);
        self.of.push(number);
    }

    /// Takes the values of another where it has one, its own elsewhere.
    pub(super) fn prefer(&mut self, other: &Self) {
        for (unit, value) in other.of.iter().enumerate() {
            let Some(text) = usize::from(*value).checked_sub(1).and_then(|at| other.values.get(at)) else { continue };
            let number = self.number(text);
            if self.of.len() <= unit {
                self.of.resize(unit + 1, LACKS);
            }
            if let Some(slot) = self.of.get_mut(unit) {
                *slot = number;
            }
        }
    }

    /// Whether there are too many values to tell them apart.
    pub(super) fn is_overflown(&self) -> bool {
        self.overflown
    }

    fn number(&mut self, value: &str) -> u16 {
        if self.overflown {
            return LACKS + 1;
        }
        if self.last.1 != LACKS && *self.last.0 == *value {
            return self.last.1;
        }
        let number = match self.numbers.get(value) {
            Some(number) => *number,
            None if self.others.is_some() => return self.others.unwrap_or(LACKS),
            None if self.values.len() >= MOST => {
                self.keep_frequent();
                return self.others.unwrap_or(LACKS + 1);
            }
            None => {
                self.values.push(value.into());
                let number = self.values.len() as u16;
                self.numbers.insert(value.into(), number);
                number
            }
        };
        self.last = (value.into(), number);
        number
    }

    /// Keeps the values that are frequent so far; the others are one from now on.
    fn keep_frequent(&mut self) {
        let mut counts = vec![0_u32; self.values.len() + 1];
        for value in &self.of {
            if let Some(count) = counts.get_mut(usize::from(*value)) {
                *count += 1;
            }
        }
        let all: u32 = counts.iter().skip(1).sum();
        let least = FEWEST.max((FREQUENT * f64::from(all)).ceil() as u32);
        let mut values = Vec::new();
        let mut moved = vec![LACKS; counts.len()];
        for (at, value) in std::mem::take(&mut self.values).into_iter().enumerate() {
            if counts.get(at + 1).is_some_and(|count| *count >= least)
                && let Some(moved) = moved.get_mut(at + 1)
            {
                values.push(value);
                *moved = values.len() as u16;
            }
        }
        self.last = ("".into(), LACKS);
        self.overflown = values.is_empty();
        if self.overflown {
            self.numbers = HashMap::new();
            return;
        }
        let others = values.len() as u16 + 1;
        for moved in moved.iter_mut().skip(1).filter(|moved| **moved == LACKS) {
            *moved = others;
        }
        for value in &mut self.of {
            *value = moved.get(usize::from(*value)).copied().unwrap_or(LACKS);
        }
        self.numbers = values.iter().cloned().zip(1..).collect();
        values.push("(others)".into());
        self.values = values;
        self.others = Some(others);
    }

    /// Puts the units in another order.
    pub(super) fn reorder(&mut self, order: &[u32]) {
        let before = std::mem::take(&mut self.of);
        self.of = order.iter().map(|unit| before.get(*unit as usize).copied().unwrap_or(LACKS)).collect();
    }

    /// The contrast, where at least two values have enough units.
    pub(super) fn into_contrast(mut self, outcomes: &[Outcome]) -> Option<Contrast> {
        self.of.resize(outcomes.len(), LACKS);
        if self.overflown {
            self.lacking?;
            self.values = vec!["(present)".into()];
            self.of.iter_mut().for_each(|value| *value = (*value).min(1));
        }
        let mut counts = vec![(0_u32, 0_u32); self.values.len() + 1];
        for (value, outcome) in self.of.iter().zip(outcomes) {
            let Some(count) = counts.get_mut(usize::from(*value)) else { continue };
            match outcome {
                Outcome::Accepted => count.0 += 1,
                Outcome::Refused => count.1 += 1,
                Outcome::Uncounted => {}
            }
        }
        let text = |value: usize| value.checked_sub(1).and_then(|at| self.values.get(at));
        let mut series: HashMap<String, u32> = HashMap::new();
        if self.with_answer {
            let accepted = counts.iter().enumerate().filter(|(_, count)| count.0 > 0);
            for name in accepted.filter_map(|(value, _)| crate::profile::series(text(value)?)) {
                *series.entry(name).or_default() += 1;
            }
        }
        // One more of a series that accepted answers name others of.
        let is_kin = |value: usize| {
            let name = text(value).and_then(|text| crate::profile::series(text));
            name.and_then(|name| series.get(&name)).is_some_and(|others| *others > 1)
        };
        let kept = |value: usize, (accepted, refused): (u32, u32)| {
            let named = (value != usize::from(LACKS) || self.lacking.is_some())
                && self.others.is_none_or(|others| usize::from(others) != value);
            // What stands in refusals alone is how refusals look, and not who makes them.
            named && accepted + refused >= FEWEST && (!self.with_answer || accepted > 0 || is_kin(value))
        };
        let mut best: Vec<usize> =
            counts.iter().enumerate().filter(|(value, count)| kept(*value, **count)).map(|(value, _)| value).collect();
        best.sort_by_key(|value| counts.get(*value).map_or(0, |(a, r)| u32::MAX - (a + r)));
        best.truncate(SHOWN);
        best.sort_unstable();
        let both = |value: &usize| counts.get(*value).is_some_and(|(a, r)| *r > 0 && (*a > 0 || is_kin(*value)));
        if self.with_answer && !best.iter().any(both) {
            return None;
        }
        let mut names = Vec::new();
        let mut numbers = vec![ABSENT; counts.len()];
        for value in best {
            if let Some(number) = numbers.get_mut(value) {
                *number = names.len() as u16;
            }
            names.push(match value.checked_sub(1).and_then(|at| self.values.get(at)) {
                Some(text) => text.to_string(),
                None => self.lacking.unwrap_or_default().to_owned(),
            });
        }
        let rest = |(value, (accepted, refused)): (usize, &(u32, u32))| {
            numbers.get(value) == Some(&ABSENT)
                && (value != usize::from(LACKS) || self.lacking.is_some())
                && accepted + refused > 0
        };
        let rests: Vec<usize> = counts.iter().enumerate().filter(|pair| rest(*pair)).map(|(value, _)| value).collect();
        let of_rest = rests.iter().filter_map(|value| counts.get(*value)).map(|(a, r)| a + r).sum::<u32>();
        if !self.with_answer && of_rest >= FEWEST {
            for value in rests {
                if let Some(number) = numbers.get_mut(value) {
                    *number = names.len() as u16;
                }
            }
            names.push("(others)".to_owned());
        }
        if names.len() < 2 {
            return None;
        }
        let of = self.of.iter().map(|value| numbers.get(usize::from(*value)).copied().unwrap_or(ABSENT)).collect();
        Some(Contrast { hypothesis: self.hypothesis, values: names, of, with_answer: self.with_answer })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn outcomes(of: &str) -> Vec<Outcome> {
        let outcome = |c| match c {
            'r' => Outcome::Refused,
            'a' => Outcome::Accepted,
            _ => Outcome::Uncounted,
        };
        of.chars().map(outcome).collect()
    }

    fn property(values: &[&str], with_answer: bool) -> Property {
        let lacking = (!with_answer).then_some("(absent)");
        let mut property = Property::new("contrast:header:x".into(), lacking, with_answer);
        for (unit, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            property.put(unit, value);
        }
        property
    }

    #[test]
    fn absence_is_a_value_and_rare_ones_are_taken_together() {
        let values = ["a", "a", "a", "a", "a", "", "", "", "", "", "b", "c", "d", "e", "f"];
        let contrast = property(&values, false).into_contrast(&outcomes("aaaaarrrrrrrrrr")).unwrap();
        assert_eq!(contrast.values, ["(absent)", "a", "(others)"]);
        assert_eq!(contrast.of, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn what_all_have_is_no_contrast() {
        assert_eq!(property(&["a"; 20], false).into_contrast(&outcomes(&"ar".repeat(10))), None);
        assert_eq!(property(&[""; 20], false).into_contrast(&outcomes(&"ar".repeat(10))), None);
    }

    #[test]
    fn answers_that_are_made_for_refusals_name_no_server() {
        let values = ["one", "two"].repeat(10);
        let apart = property(&values, true).into_contrast(&outcomes(&"ar".repeat(10)));
        assert_eq!(apart, None, "`two` is in refusals alone");
        let numbered = ["node-1", "node-2", "node-3"].repeat(10);
        let kin = property(&numbered, true).into_contrast(&outcomes(&"aar".repeat(10))).unwrap();
        assert_eq!(kin.values, ["node-1", "node-2", "node-3"], "one more of the series that accepted answers name");
        let mixed = property(&values, true).into_contrast(&outcomes(&"aaar".repeat(5))).unwrap();
        assert_eq!(mixed.values, ["one", "two"]);
        assert!(mixed.with_answer);
    }

    #[test]
    fn a_frequent_value_stands_out_of_too_many() {
        let values: Vec<String> = (0..4000).map(|n| if n % 9 == 0 { "bad".into() } else { n.to_string() }).collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let contrast = property(&texts, false).into_contrast(&outcomes(&"raaaaaaaa".repeat(445)[..4000])).unwrap();
        assert_eq!(contrast.values, ["bad", "(others)"]);
        assert_eq!((contrast.of[0], contrast.of[1], contrast.of[3996], contrast.of[3997]), (0, 1, 0, 1));
    }

    #[test]
    fn one_is_preferred_to_another_where_it_has_a_value() {
        let mut tenant = property(&["a", "", "b"], false);
        tenant.prefer(&property(&["", "", "c", "a", ""], false));
        let value = |number: &u16| usize::from(*number).checked_sub(1).map_or("", |at| &*tenant.values[at]);
        assert_eq!(tenant.of.iter().map(value).collect::<Vec<_>>(), ["a", "", "c", "a"]);
    }

    #[test]
    fn too_many_values_leave_presence() {
        let values: Vec<String> = (0..3000).map(|n| if n % 2 == 0 { n.to_string() } else { String::new() }).collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let contrast = property(&texts, false).into_contrast(&outcomes(&"ar".repeat(1500))).unwrap();
        assert_eq!(contrast.values, ["(absent)", "(present)"]);
    }
}
