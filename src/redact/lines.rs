//! The lines of heads as they were shown last: nearly all requests of a load bear lines that others bore before them, and
//! what may be shown of a line depends on nothing but its bytes and the secrets that are known.

use crate::model::headers;

use super::quick_hash;

/// Slots of the cache; a line has one place in it.
const SLOTS: usize = 1024;
/// Longer lines are redacted each time.
const LONGEST: usize = 2048;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    last: Vec<Line>,
}

#[derive(Clone, Debug, Default)]
struct Line {
    /// As it was sent, with its end; empty where the slot is.
    sent: Vec<u8>,
    /// As it may be shown.
    shown: String,
    /// Where name and value end in that.
    ends: [usize; 2],
    /// How many secrets had been learnt, ever.
    learnt: u64,
}

/// A copy begins anew: it serves one look.
impl Clone for Lines {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Lines {
    /// What is shown of a line, where it was shown before and no secret was learnt since.
    pub(super) fn get(&self, sent: &[u8], learnt: u64) -> Option<headers::Line<'_>> {
        let Line { sent: before, shown, ends, learnt: then } = self.last.get(slot(sent))?;
        let same = *then == learnt && before == sent && !sent.is_empty();
        same.then_some(headers::Line { text: shown, ends: *ends })
    }

    /// What is shown of a line, and how many secrets had been learnt then.
    pub(super) fn put(&mut self, sent: &[u8], learnt: u64, shown: headers::Line<'_>) {
        if sent.len() > LONGEST {
            return;
        }
        if self.last.is_empty() {
            self.last = vec![Line::default(); SLOTS];
        }
        let Some(line) = self.last.get_mut(slot(sent)) else { return };
        line.sent.clear();
        line.sent.extend_from_slice(sent);
        line.shown.clear();
        line.shown.push_str(shown.text);
        line.ends = shown.ends;
        line.learnt = learnt;
    }
}

fn slot(sent: &[u8]) -> usize {
    usize::try_from(quick_hash(sent) >> 32).unwrap_or(0) % SLOTS
}
