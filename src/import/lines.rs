//! Which line of a file a place is in.

/// Counts lines as it goes.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl<'t> Lines<'t> {
    /// From the text's begin.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of a place that is no earlier than the last one asked for.
    pub(super) fn of(&mut self, place: usize) -> u64 {
        let passed = self.text.get(self.at..place.min(self.text.len())).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.at = self.at.max(place.min(self.text.len()));
        self.line
    }
}
