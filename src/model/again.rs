//! What comes again: a load says the same thousands of times a second, and what was found out of some bytes holds for
//! bytes that are the same.

/// The number of something that came before: where two bear one number, their bytes are the same. Numbers begin at 1, and
/// are one inspector's: what remembers by them must not serve another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again(pub u64);

/// Places of a memo; a number has one place in it.
const PLACES: usize = 512;

/// What was found out of what came again lately.
#[derive(Debug)]
pub struct Memo<T>(Vec<Option<(Again, T)>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A copy begins anew.
impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Memo<T> {
    /// What was found out of it, unless that is forgotten.
    pub fn get(&self, again: Again) -> Option<&T> {
        let (of, found) = self.0.get(place(again))?.as_ref()?;
        (*of == again).then_some(found)
    }

    /// Takes what was found out of it.
    pub fn put(&mut self, again: Again, found: T) {
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || None);
        }
        if let Some(slot) = self.0.get_mut(place(again)) {
            *slot = Some((again, found));
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, again: Again) -> Option<&mut T> {
        let (of, found) = self.0.get_mut(place(again))?.as_mut()?;
        (*of == again).then_some(found)
    }
}

fn place(Again(number): Again) -> usize {
    usize::try_from(number).unwrap_or(0) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_number_takes_the_place_of_an_earlier_one() {
        let mut memo = Memo::default();
        assert_eq!(memo.get(Again(1)), None);
        memo.put(Again(1), 'a');
        memo.put(Again(2), 'b');
        assert_eq!((memo.get(Again(1)), memo.get(Again(2)), memo.get(Again(3))), (Some(&'a'), Some(&'b'), None));
        let next = Again(1 + PLACES as u64);
        assert_eq!(memo.get(next), None);
        memo.put(next, 'c');
        assert_eq!((memo.get(Again(1)), memo.get(next)), (None, Some(&'c')));
        assert_eq!(memo.clone().get(next), None);
    }
}
