//! A row's headers: names and values in order, in one text, since a row per exchange with a `String` per name and value
//! costs more to make and to drop than everything else in it.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

/// Names and values in order, duplicates kept. As JSON: `[["Host","api.test"], …]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    /// Where each name and each value ends in `text`, by turns.
    ends: Vec<usize>,
}

impl Headers {
    /// None yet, with room for so many lines of so many bytes in all.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(2 * lines) }
    }

    /// Appends one.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_with(|text| text.push_str(name), |text| text.push_str(value));
    }

    /// Appends one whose name and value are appended by the caller.
    pub fn push_with(&mut self, name: impl FnOnce(&mut String), value: impl FnOnce(&mut String)) {
        name(&mut self.text);
        self.ends.push(self.text.len());
        value(&mut self.text);
        self.ends.push(self.text.len());
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.as_chunks::<2>().0.iter().map(move |[name, value]| {
            let pair =
                (self.text.get(start..*name).unwrap_or_default(), self.text.get(*name..*value).unwrap_or_default());
            start = *value;
            pair
        })
    }

    /// Appends them as JSON, as [`Serialize`] does, but for the search through each text for what has to be escaped.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let is_odd = |b: &u8| *b < 0x20 || matches!(b, b'"' | b'\\');
        // Without a way out in its midst this looks at many bytes at once; nearly all heads hold none.
        if self.text.as_bytes().iter().fold(false, |odd, b| odd | is_odd(b)) {
            // Texts always serialise.
            let written = serde_json::to_writer(out, self);
            debug_assert!(written.is_ok(), "{written:?}");
            return;
        }
        out.reserve(self.text.len() + 4 * self.ends.len() + 2);
        out.push(b'[');
        let mut before: &[u8] = b"[\"";
        for (name, value) in self.iter() {
            out.extend_from_slice(before);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\",\"");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\"]");
            before = b",[\"";
        }
        out.push(b']');
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
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
        assert!(serde_json::from_str::<Headers>(r#"[["a"]]"#).is_err());
    }
}
