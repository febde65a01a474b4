//! Heads as they came last, whatever their connection: clients and servers say the same again and again, and what a
//! head says depends on nothing but its bytes. A cache: without it all is found out again, and is the same.

use std::{hash::Hasher as _, sync::Arc};

use crate::model::{
    again::Again,
    hash::Quick,
    http::{Head, Text},
    trace::ByteRange,
};

use super::{
    body::{Declared, declared},
    head::{Kind, Trouble, parse},
};

/// Longer heads are parsed each time.
const LONGEST: usize = 4096;

/// See the module. The default remembers nothing.
#[derive(Debug, Default)]
pub struct Heads(Option<Box<Last>>);

#[derive(Debug)]
struct Last {
    /// A head has one place in it.
    slots: Vec<Option<Known>>,
    /// How many were remembered, ever.
    count: u64,
}

#[derive(Debug)]
struct Known {
    kind: Kind,
    text: Arc<Text>,
    troubles: Vec<Trouble>,
    declared: Declared,
    number: Again,
}

/// A head, and what follows from it.
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) troubles: Vec<Trouble>,
    pub(super) declared: Declared,
}

impl Heads {
    /// One that remembers so many.
    pub fn new(most: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(most, || None);
        Self((most > 0).then(|| Box::new(Last { slots, count: 0 })))
    }

    /// What these bytes say, which are a whole head at `range`.
    pub(super) fn read(&mut self, raw: &[u8], range: ByteRange, kind: Kind) -> Found {
        let Some(last) = self.0.as_mut().filter(|_| raw.len() <= LONGEST) else {
            let (text, troubles) = parse(raw, kind);
            let declared = declared(&text);
            return Found { head: Head::new(text, range, None), troubles, declared };
        };
        let slot = slot(raw, last.slots.len());
        if let Some(Some(known)) = last.slots.get(slot)
            && known.kind == kind
            && *known.text.raw == *raw
        {
            let head = Head::new(known.text.clone(), range, Some(known.number));
            return Found { head, troubles: known.troubles.clone(), declared: known.declared };
        }
        let (text, troubles) = parse(raw, kind);
        let declared = declared(&text);
        let text = Arc::new(text);
        last.count += 1;
        if let Some(place) = last.slots.get_mut(slot) {
            let number = Again(last.count);
            *place = Some(Known { kind, text: text.clone(), troubles: troubles.clone(), declared, number });
        }
        Found { head: Head::new(text, range, None), troubles, declared }
    }
}

fn slot(raw: &[u8], slots: usize) -> usize {
    let mut hasher = Quick::default();
    hasher.write(raw);
    usize::try_from(hasher.finish()).unwrap_or(0).checked_rem(slots).unwrap_or(0)
}
