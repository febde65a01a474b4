//! Header lists as tables hold them, looked at without making strings of them.

use memchr::memchr_iter;

use crate::model::headers::Headers;

/// A row's headers, wherever they are.
#[derive(Clone, Copy)]
pub(super) enum List<'a> {
    /// As a table's cell: `[["Host","api.test"],…]`.
    Json(&'a str),
    /// As a row's.
    Row(&'a Headers),
}

impl List<'_> {
    /// Shows names and values in order. A cell that is no such list shows nothing.
    pub(super) fn each(self, see: &mut dyn FnMut(&str, &str)) {
        match self {
            Self::Row(headers) => headers.iter().for_each(|(name, value)| see(name, value)),
            // Without escapes, what stands between quotes is names and values by turns.
            Self::Json(json) if memchr::memchr(b'\\', json.as_bytes()).is_none() => {
                let mut quotes = memchr_iter(b'"', json.as_bytes());
                let mut next = || Some(json.get(quotes.next()? + 1..quotes.next()?).unwrap_or_default());
                while let (Some(name), Some(value)) = (next(), next()) {
                    see(name, value);
                }
            }
            Self::Json(json) => {
                if let Ok(headers) = serde_json::from_str::<Headers>(json) {
                    headers.iter().for_each(|(name, value)| see(name, value));
                }
            }
        }
    }

    /// The bytes of the lines as they stand in a head.
    pub(super) fn bytes(self) -> usize {
        let mut bytes = 0;
        self.each(&mut |name, value| bytes += name.len() + value.len() + 4);
        bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn cells_and_rows_show_the_same() {
        for pairs in [
            vec![],
            vec![("Host", "a"), ("", "noname"), ("X", "")],
            vec![("Host", "a"), ("X", "\"quoted\" \\ é\u{1}"), ("Y", "]]")],
        ] {
            let row: Headers = pairs.iter().copied().collect();
            let json = serde_json::to_string(&row).unwrap();
            for list in [List::Row(&row), List::Json(&json)] {
                let mut seen = Vec::new();
                list.each(&mut |name, value| seen.push((name.to_owned(), value.to_owned())));
                let expected: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                assert_eq!(seen, expected, "{json}");
            }
        }
        assert_eq!(List::Json(r#"[["Host","a"],["X","bc"]]"#).bytes(), 9 + 7);
    }
}
