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
/// Heads of more lines are, too: a line takes more room than its bytes.
const MOST_LINES: usize = 64;

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
        if text.fields.len() > MOST_LINES {
            return Found { head: Head::new(text, range, None), troubles, declared };
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::Side;

    fn read(heads: &mut Heads, raw: &str, kind: Kind) -> Head {
        let found = heads.read(raw.as_bytes(), ByteRange { from: Side::Client, start: 9, end: 9 }, kind);
        let (text, troubles) = parse(raw.as_bytes(), kind);
        assert_eq!((&*found.head, &found.troubles, found.declared), (&text, &troubles, declared(&text)));
        found.head
    }

    #[test]
    fn a_head_is_numbered_from_its_second_time_on_and_says_the_same() {
        let mut heads = Heads::new(512);
        let (get, post) = ("GET / HTTP/1.1\r\nA: 1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 1x\r\nb\r\n\r\n");
        let mut number = |raw, kind| read(&mut heads, raw, kind).again();
        assert_eq!([number(get, Kind::Request), number(post, Kind::Request)], [None, None]);
        let (first, second) = (number(get, Kind::Request), number(post, Kind::Request));
        assert!(first.is_some() && second.is_some() && first != second);
        assert_eq!(number(get, Kind::Request), first);
        // The same bytes are another head in the other direction.
        assert_eq!(number(get, Kind::Response), None);
        assert_ne!(number(get, Kind::Response), first);
        // What is large is not remembered.
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(MOST_LINES + 1));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(LONGEST));
        for raw in [many.as_str(), long.as_str()] {
            assert_eq!([number(raw, Kind::Request), number(raw, Kind::Request)], [None, None]);
        }
        // Two that have one place are two all the same.
        let mut one = Heads::new(1);
        for raw in [get, post, get, post] {
            assert_eq!(read(&mut one, raw, Kind::Request).again(), None);
        }
        let mut forgetful = Heads::default();
        assert_eq!([0, 1].map(|_| read(&mut forgetful, get, Kind::Request).again()), [None, None]);
    }
}
