//! Captured text as JMeter's text: what it would take for a variable or an escape is written such that it comes out as it
//! was sent.

use std::collections::{BTreeSet, HashMap, HashSet};

/// A piece of a string that JMeter is to put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Captured text.
    Text(String),
    /// A variable of ours.
    Variable(String),
}

/// As it stands in a property. Where JMeter evaluates a string, that is where it holds an active `${…}`, it takes `\` off
/// before `\`, `,` and `$`; where there is none it leaves everything as it is. So text is escaped only beside something
/// active. Captured text that looks active is text: evaluated, `${__groovy(…)}` in a body would run in JMeter.
pub(super) fn written(pieces: &[Piece]) -> String {
    let active = pieces.iter().any(|piece| match piece {
        Piece::Variable(_) => true,
        // XML cannot hold it, or JMeter would evaluate it: a function writes it.
        Piece::Text(text) => text.contains("${") || text.chars().any(is_unwritable),
    });
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Variable(name) => out.push_str(&format!("${{{name}}}")),
            Piece::Text(text) if active => escape(text, &mut out),
            Piece::Text(text) => out.push_str(text),
        }
    }
    out
}

/// Captured text in which nothing of ours stands.
pub(super) fn literal(text: &str) -> String {
    written(&[Piece::Text(text.to_owned())])
}

fn escape(text: &str, out: &mut String) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\' | ',' | '$')) => out.push_str("\\\\"),
            // Ours may follow.
            ('\\', None) => out.push_str("\\\\"),
            // `\$` would do beside a variable, but is nothing active by itself.
            ('$', Some('{')) => out.push_str("${__char(36)}"),
            (c, _) if is_unwritable(c) => out.push_str(&format!("${{__char({})}}", u32::from(c))),
            (c, _) => out.push(c),
        }
    }
}

/// What XML 1.0 has no place for.
fn is_unwritable(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Values, each with something known of it, by their first bytes: a text is searched for all of them at once. None is
/// shorter than [`SHORTEST`].
pub(super) struct Values<T>(HashMap<[u8; SHORTEST], Vec<(String, T)>>);

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Values<T> {
    /// Adds one, unless it is there.
    pub(super) fn add(&mut self, value: String, what: T) {
        let Some(first) = value.as_bytes().first_chunk() else { return };
        let same = self.0.entry(*first).or_default();
        if same.iter().all(|(known, _)| *known != value) {
            same.push((value, what));
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, value: &str) -> Option<T> {
        let same = self.0.get_mut(value.as_bytes().first_chunk()?)?;
        let at = same.iter().position(|(known, _)| known == value)?;
        Some(same.swap_remove(at).1)
    }

    /// Those that stand at the beginning of a text.
    fn at<'v>(&'v self, text: &'v [u8]) -> impl Iterator<Item = (&'v str, &'v T)> {
        let same = text.first_chunk().and_then(|first| self.0.get(first));
        let there = same.into_iter().flatten().filter(|(value, _)| text.starts_with(value.as_bytes()));
        there.map(|(value, what)| (value.as_str(), what))
    }

    /// Those that stand anywhere in it, each once, ascending.
    pub(super) fn within(&self, text: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if !self.0.is_empty() {
            (0..text.len()).for_each(|begin| {
                let rest = text.as_bytes().get(begin..).unwrap_or_default();
                found.extend(self.at(rest).map(|(value, _)| value.to_owned()));
            });
        }
        found
    }
}

/// Texts that were said, to be asked whether they hold a value.
#[derive(Default)]
pub(super) struct Said {
    texts: Vec<String>,
    windows: HashSet<[u8; SHORTEST]>,
}

impl Said {
    pub(super) fn add(&mut self, text: String) {
        self.windows.extend(text.as_bytes().windows(SHORTEST).filter_map(|window| window.first_chunk()));
        self.texts.push(text);
    }

    pub(super) fn holds(&self, value: &str) -> bool {
        let may = value.as_bytes().first_chunk().is_some_and(|first| self.windows.contains(first));
        may && self.texts.iter().any(|text| text.contains(value))
    }
}

/// Cuts text at the values that have variables, the longest first.
pub(super) fn cut(text: &str, variables: &Values<String>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut done, mut at) = (0, 0);
    while at < text.len() && !variables.0.is_empty() {
        let here = variables.at(text.as_bytes().get(at..).unwrap_or_default());
        let Some((value, name)) = here.max_by_key(|(value, _)| value.len()) else {
            at += 1;
            continue;
        };
        if done < at {
            pieces.push(Piece::Text(text.get(done..at).unwrap_or_default().to_owned()));
        }
        pieces.push(Piece::Variable(name.clone()));
        at += value.len();
        done = at;
    }
    if done < text.len() {
        pieces.push(Piece::Text(text.get(done..).unwrap_or_default().to_owned()));
    }
    pieces
}

/// The strings in a JSON document that may be identifiers or tokens which the server made, with the path to each, as
/// JMeter's JSON extractor understands it.
pub(super) fn issued(json: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) {
        walk(&value, &mut "$".to_owned(), 0, &mut found);
    }
    found
}

/// Shorter strings are words, not identifiers.
const SHORTEST: usize = 8;
/// Of one answer no more are looked for.
const MOST: usize = 500;

fn walk(value: &serde_json::Value, path: &mut String, depth: usize, found: &mut Vec<(String, String)>) {
    if depth > 16 || found.len() >= MOST {
        return;
    }
    let begin = path.len();
    match value {
        serde_json::Value::String(text) if is_identifier(text) => found.push((text.clone(), path.clone())),
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate().take(MOST) {
                path.push_str(&format!("[{index}]"));
                walk(item, path, depth + 1, found);
                path.truncate(begin);
            }
        }
        serde_json::Value::Object(items) => {
            for (name, item) in items {
                if name.contains(['\'', '\\', ';', '$']) {
                    continue;
                }
                path.push_str(&format!("['{name}']"));
                walk(item, path, depth + 1, found);
                path.truncate(begin);
            }
        }
        _ => {}
    }
}

fn is_identifier(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=' | b':');
    text.len() >= SHORTEST && text.bytes().all(plain) && text.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_beside_variables_only() {
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(written(&[text(r#"{"re":"\\d+","v":"$x{y}"}"#)]), r#"{"re":"\\d+","v":"$x{y}"}"#);
        let lone = written(&[text(r#"{"re":"\\d+","v":"${x}\${y}"}"#)]);
        assert_eq!(lone, r#"{"re":"\\\d+","v":"${__char(36)}{x}\\${__char(36)}{y}"}"#);
        let beside = [text(r#"{"re":"\\d+\,","v":"${x}","id":""#), Piece::Variable("id_1".to_owned()), text("\"}")];
        assert_eq!(written(&beside), r#"{"re":"\\\d+\\,","v":"${__char(36)}{x}","id":"${id_1}"}"#);
        assert_eq!(written(&[text("a\u{1}b")]), "a${__char(1)}b");
    }

    #[test]
    fn values_are_cut_out_the_longest_first() {
        let mut variables = Values::default();
        for (value, name) in [("abcdefg-1", "a"), ("abcdefg-12", "b"), ("abcdefg-1", "c")] {
            variables.add(value.to_owned(), name.to_owned());
        }
        let pieces = cut("/ä/abcdefg-12/abcdefg-1/", &variables);
        assert_eq!(written(&pieces), "/ä/${b}/${a}/");
        assert_eq!(cut("", &variables), []);
        assert_eq!(variables.within("abcdefg-12 abcdefg-"), BTreeSet::from(["abcdefg-1".into(), "abcdefg-12".into()]));
        assert_eq!(variables.remove("abcdefg-12").as_deref(), Some("b"));
        assert_eq!(written(&cut("abcdefg-12", &variables)), "${a}2");
        let mut said = Said::default();
        said.add("one abcdefg-1".to_owned());
        assert!(said.holds("abcdefg-1") && !said.holds("abcdefg-12") && !said.holds("12345678"));
    }

    #[test]
    fn identifiers_are_found_by_their_paths() {
        let found = issued(br#"{"id":"ch-0001-aa","n":1,"items":[{"a b":"0123456789"}],"word":"something","no":"x1"}"#);
        let expected = [("ch-0001-aa", "$['id']"), ("0123456789", "$['items'][0]['a b']")];
        assert_eq!(found, expected.map(|(value, path)| (value.to_owned(), path.to_owned())));
    }
}
