//! A row's headers: names and values in order, in one text, since a row per exchange with a `String` per name and value
//! costs more to make and to drop than everything else in it.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

/// Names and values in order, duplicates kept. As JSON: `[["Host","api.test"], …]`. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Arc<Lines>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Lines {
    /// As they stand in JSON, each with a comma before it, if nothing in them is to be escaped: `,["Host","api.test"]`.
    text: String,
    /// Where each name and each value ends in `text`, by turns.
    ends: Vec<usize>,
    /// Whether something is to be escaped.
    odd: bool,
}

/// One name with its value, to be appended as it is. Nothing in it is to be escaped.
#[derive(Clone, Copy, Debug)]
pub struct Line<'h> {
    /// As in [`Headers`].
    pub text: &'h str,
    /// Where name and value end in it.
    pub ends: [usize; 2],
}

/// What stands before a name, between name and value, and behind a value.
const PUNCTUATION: [&str; 3] = [",[\"", "\",\"", "\"]"];

impl Headers {
    /// None yet, with room for so many lines of so many bytes in all.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        let (text, ends) = (String::with_capacity(bytes + 8 * lines), Vec::with_capacity(2 * lines));
        Self(Arc::new(Lines { text, ends, odd: false }))
    }

    /// Appends one.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_with(|text| text.push_str(name), |text| text.push_str(value));
    }

    /// Appends one whose name and value are appended by the caller.
    pub fn push_with(&mut self, name: impl FnOnce(&mut String), value: impl FnOnce(&mut String)) {
        let [before, between, behind] = PUNCTUATION;
        let lines = Arc::make_mut(&mut self.0);
        let start = lines.text.len();
        lines.text.push_str(before);
        name(&mut lines.text);
        lines.ends.push(lines.text.len());
        lines.text.push_str(between);
        value(&mut lines.text);
        lines.ends.push(lines.text.len());
        lines.text.push_str(behind);
        lines.odd |= lines.line(start, lines.ends.len() - 2).is_none_or(|(name, value)| is_odd(name) || is_odd(value));
    }

    /// Appends one that stood elsewhere.
    pub fn push_line(&mut self, line: Line<'_>) {
        let lines = Arc::make_mut(&mut self.0);
        let start = lines.text.len();
        lines.text.push_str(line.text);
        lines.ends.extend(line.ends.map(|end| start + end));
    }

    /// The last one, where it may be appended to others.
    pub fn last(&self) -> Option<Line<'_>> {
        let Lines { text, ends, odd } = &*self.0;
        let (before, [name, value]) = ends.split_last_chunk::<2>()?;
        let start = before.last().map_or(0, |end| end + PUNCTUATION[2].len());
        let line = Line { text: text.get(start..)?, ends: [name - start, value - start] };
        (!odd).then_some(line)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        (0..self.0.ends.len()).step_by(2).map_while(move |at| {
            let line = self.0.line(start, at)?;
            start = self.0.ends.get(at + 1)? + PUNCTUATION[2].len();
            Some(line)
        })
    }

    /// Appends them as JSON, as [`Serialize`] does.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        if self.0.odd {
            // Texts always serialise.
            let written = serde_json::to_writer(out, self);
            debug_assert!(written.is_ok(), "{written:?}");
            return;
        }
        out.reserve(self.0.text.len() + 2);
        out.push(b'[');
        out.extend_from_slice(self.0.text.get(1..).unwrap_or_default().as_bytes());
        out.push(b']');
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }
}

impl Lines {
    /// The name and the value of the line that begins at `start` and whose name's end is the one at `at`.
    fn line(&self, start: usize, at: usize) -> Option<(&str, &str)> {
        let [before, between, _] = PUNCTUATION.map(str::len);
        let (name, value) = (*self.ends.get(at)?, *self.ends.get(at + 1)?);
        Some((self.text.get(start + before..name)?, self.text.get(name + between..value)?))
    }
}

/// Whether JSON escapes something in it.
fn is_odd(text: &str) -> bool {
    // Without a way out in its midst this looks at many bytes at once.
    text.bytes().fold(false, |odd, b| odd | (b < 0x20 || matches!(b, b'"' | b'\\')))
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of pairs of a name and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while let Some([name, value]) = pairs.next_element::<[std::borrow::Cow<'de, str>; 2]>()? {
                    headers.push(&name, &value);
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_seq(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_duplicates_and_empty_parts_survive_json() {
        let headers: Headers = [("Host", "a"), ("", "noname"), ("X", ""), ("X", "\"\\é")].into_iter().collect();
        let json = serde_json::to_string(&headers).unwrap();
        assert_eq!(json, r#"[["Host","a"],["","noname"],["X",""],["X","\"\\é"]]"#);
        assert_eq!(serde_json::from_str::<Headers>(&json).unwrap(), headers);
        let plain: Headers = [("Host", "a é"), ("", "noname"), ("X", "")].into_iter().collect();
        for headers in [headers.clone(), plain, Headers::default()] {
            let mut written = Vec::new();
            headers.write_json(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&headers).unwrap());
        }
        assert_eq!(headers.iter().nth(1), Some(("", "noname")));
        assert_eq!(headers.iter().last(), Some(("X", "\"\\é")));
        assert!(serde_json::from_str::<Headers>(r#"[["a"]]"#).is_err());
    }

    #[test]
    fn a_line_can_be_appended_elsewhere_unless_it_is_to_be_escaped() {
        let whole: Headers = [("Host", "a é"), ("", "noname"), ("X", "")].into_iter().collect();
        let (mut from, mut to) = (Headers::default(), Headers::default());
        for (name, value) in whole.iter() {
            from.push(name, value);
            to.push_line(from.last().unwrap());
        }
        assert_eq!(to, whole);
        from.push("X", "\"");
        assert!(from.last().is_none());
        assert!(Headers::default().last().is_none());
    }
}
