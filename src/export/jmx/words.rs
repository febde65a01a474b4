//! Captured text as JMeter's text: what it would take for a variable or an escape is written such that it comes out as it
//! was sent.

/// A piece of a string that JMeter is to put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Captured text.
    Text(String),
    /// A variable of ours.
    Variable(String),
}

/// As it stands in a property. Where JMeter evaluates a string, that is where it holds an active `${…}`, it takes `\` off
/// before `\`, `,` and `$`; where there is none it leaves everything as it is. So text is escaped only beside a variable.
pub(super) fn written(pieces: &[Piece]) -> String {
    let active = pieces.iter().any(|piece| match piece {
        Piece::Variable(_) => true,
        // XML cannot hold it: a function writes it.
        Piece::Text(text) => text.chars().any(is_unwritable),
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

fn escape(text: &str, out: &mut String) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\' | ',' | '$')) => out.push_str("\\\\"),
            // Ours may follow.
            ('\\', None) => out.push_str("\\\\"),
            ('$', Some('{')) => out.push_str("\\$"),
            (c, _) if is_unwritable(c) => out.push_str(&format!("${{__char({})}}", u32::from(c))),
            (c, _) => out.push(c),
        }
    }
}

/// What XML 1.0 has no place for.
fn is_unwritable(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Cuts text at the values that have variables, the longest first.
pub(super) fn cut(text: &str, variables: &[(String, String)]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = variables
            .iter()
            .filter_map(|(value, name)| {
                rest.find(value.as_str()).map(|at| (at, std::cmp::Reverse(value.len()), value, name))
            })
            .min();
        let Some((at, _, value, name)) = next else { break };
        if at > 0 {
            pieces.push(Piece::Text(rest.get(..at).unwrap_or_default().to_owned()));
        }
        pieces.push(Piece::Variable(name.clone()));
        rest = rest.get(at + value.len()..).unwrap_or_default();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
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
                if name.contains(['\'', '\\', ';']) {
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
        assert_eq!(written(&[text(r#"{"re":"\\d+","v":"${x}"}"#)]), r#"{"re":"\\d+","v":"${x}"}"#);
        let beside = [text(r#"{"re":"\\d+\,","v":"${x}","id":""#), Piece::Variable("id_1".to_owned()), text("\"}")];
        assert_eq!(written(&beside), r#"{"re":"\\\d+\\,","v":"\${x}","id":"${id_1}"}"#);
        assert_eq!(written(&[text("a\u{1}b")]), "a${__char(1)}b");
    }

    #[test]
    fn values_are_cut_out_the_longest_first() {
        let variables = [("abc-1".to_owned(), "a".to_owned()), ("abc-12".to_owned(), "b".to_owned())];
        let pieces = cut("/x/abc-12/abc-1/", &variables);
        assert_eq!(written(&pieces), "/x/${b}/${a}/");
        assert_eq!(cut("", &variables), []);
    }

    #[test]
    fn identifiers_are_found_by_their_paths() {
        let found = issued(br#"{"id":"ch-0001-aa","n":1,"items":[{"a b":"0123456789"}],"word":"something","no":"x1"}"#);
        let expected = [("ch-0001-aa", "$['id']"), ("0123456789", "$['items'][0]['a b']")];
        assert_eq!(found, expected.map(|(value, path)| (value.to_owned(), path.to_owned())));
    }
}
