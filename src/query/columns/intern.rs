//! Texts as numbers, counted from 0 in the order in which they are seen.

use std::collections::HashMap;

use crate::model::columns::NONE;

/// Texts and their numbers.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Texts {
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(NONE);
        self.all.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&str> {
        self.all.get(number as usize).map(|text| &**text)
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.all.into_iter().map(String::from).collect()
    }
}

/// Numbers that stand at other numbers: ids, which are dense, to indices.
#[derive(Debug, Default)]
pub(super) struct Dense(Vec<u32>);

impl Dense {
    /// Beyond that an id was not counted by us.
    const MOST: u64 = 1 << 31;

    pub(super) fn put(&mut self, id: u64, value: u32) {
        if id > Self::MOST {
            return;
        }
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, NONE);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = value;
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<u32> {
        let at = usize::try_from(id).ok()?;
        self.0.get(at).copied().filter(|value| *value != NONE)
    }
}
