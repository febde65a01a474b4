//! Places of secrets that no name marks. Which ones there are is known elsewhere (an API's profile); here they are asked
//! for only.

use std::{fmt, ops::Range, sync::Arc};

/// Knows where secrets stand. The same bytes must always give the same answer.
pub trait Find: Send + Sync {
    /// In a path, without query: ascending, without overlaps.
    fn in_path(&self, path: &[u8]) -> Vec<Range<usize>>;
    /// In the text of a message; credentials in base64 are looked into.
    fn in_text(&self, text: &[u8]) -> Vec<Range<usize>>;
}

/// Someone who knows such places, or nobody.
#[derive(Clone, Default)]
pub struct Further(Option<Arc<dyn Find>>);

impl Further {
    /// Whoever that is.
    pub fn new(find: Arc<dyn Find>) -> Self {
        Self(Some(find))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn in_path(&self, path: &[u8]) -> Vec<Range<usize>> {
        self.0.as_ref().map(|find| find.in_path(path)).unwrap_or_default()
    }

    pub(super) fn in_text(&self, text: &[u8]) -> Vec<Range<usize>> {
        self.0.as_ref().map(|find| find.in_text(text)).unwrap_or_default()
    }
}

impl fmt::Debug for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Further(known)" } else { "Further(none)" })
    }
}

impl PartialEq for Further {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Further {}
