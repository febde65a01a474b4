//! The texts of one column, in one text: no allocation for each, and no room for one that came lately.

use std::hash::Hasher as _;

use bytes::Bytes;

use crate::model::hash::Quick;

/// How many texts of a column are remembered, so that one that comes again takes no room.
const RECENT: usize = 16;

/// Texts in one, without an allocation for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    text: Vec<u8>,
    /// Where each begins and ends. Those that are alike may share a place.
    places: Vec<Place>,
    /// Of the last ones: loads say the same again and again.
    recent: [Place; RECENT],
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    end: u32,
}

impl Texts {
    /// Takes in what `put` appends, if it says so.
    pub(super) fn push(&mut self, put: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.text.len();
        if !put(&mut self.text) {
            self.text.truncate(start);
            return false;
        }
        let appended = self.text.get(start..).unwrap_or_default();
        let mut place = Place::new(start, self.text.len());
        if let Some(recent) = self.recent.get_mut(slot(appended)) {
            if recent.of(&self.text) == appended {
                place = *recent;
                self.text.truncate(start);
            } else {
                *recent = place;
            }
        }
        self.places.push(place);
        true
    }

    /// How many bytes they take.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| place.of(&self.text))
    }

    /// Their bytes, to be taken back.
    pub(super) fn lend(&mut self) -> Bytes {
        std::mem::take(&mut self.text).into()
    }

    /// All of them, in the bytes that were lent.
    pub(super) fn of(&self, lent: &Bytes) -> impl Iterator<Item = Bytes> {
        self.places.iter().map(|place| lent.slice_ref(place.of(lent)))
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self, lent: Bytes) {
        self.text = lent.into();
    }

    /// Forgets them and keeps their room.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.places.clear();
        self.recent = Default::default();
    }
}

impl Place {
    fn new(start: usize, end: usize) -> Self {
        // A group of rows ends long before 4 GiB.
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a text is remembered: by its length, and by how it begins and ends.
fn slot(text: &[u8]) -> usize {
    let word = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first).rotate_left(32) ^ u64::from_le_bytes(*last),
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mut hasher = Quick::default();
    hasher.write_u64(word ^ text.len() as u64);
    usize::try_from(hasher.finish()).unwrap_or(0) % RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_as_they_went_in_and_those_that_come_again_take_no_room() {
        let said = ["", "GET", "POST", "GET", "", "PUT", "POST", "POST", "GET"];
        let mut texts = Texts::default();
        let put = |texts: &mut Texts, said: &str| {
            texts.push(|text| {
                text.extend_from_slice(said.as_bytes());
                true
            })
        };
        for _ in 0..2 {
            said.iter().for_each(|text| assert!(put(&mut texts, text)));
            assert!(!texts.push(|text| {
                text.extend_from_slice(b"null");
                false
            }));
            assert_eq!(texts.iter().collect::<Vec<_>>(), said.map(str::as_bytes));
            assert_eq!(texts.len(), "GETPOSTPUT".len());
            let lent = texts.lend();
            assert_eq!(texts.of(&lent).collect::<Vec<_>>(), said);
            texts.take_back(lent);
            assert_eq!(texts.iter().collect::<Vec<_>>(), said.map(str::as_bytes), "they are still there");
            texts.clear();
            assert_eq!((texts.len(), texts.iter().count()), (0, 0));
        }
        // More than are remembered.
        let many: Vec<String> = (0..1000).map(|n| format!("{:02}", n % 97)).collect();
        many.iter().for_each(|text| assert!(put(&mut texts, text)));
        assert!(texts.iter().eq(many.iter().map(String::as_bytes)));
    }
}
