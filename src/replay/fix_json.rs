//! `fix-json`: text that is almost JSON made JSON, by the least change: a BOM and what follows the document go, commas
//! before an end go, control characters and wrong escapes in texts are escaped, what is open at the end is closed. PURE.

/// The mended document; `None` where it is JSON already, or is none by these means.
pub fn fixed(body: &[u8]) -> Option<String> {
    if body.trim_ascii().is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    let mut mender = Mender { out: String::with_capacity(text.len() + 8), open: Vec::new() };
    mender.take(text);
    serde_json::from_str::<serde::de::IgnoredAny>(&mender.out).is_ok().then_some(mender.out)
}

struct Mender {
    out: String,
    /// The ends that are to come.
    open: Vec<char>,
}

impl Mender {
    fn take(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.out.push('"');
                    self.string(&mut chars);
                }
                '{' | '[' => {
                    self.open.push(if c == '{' { '}' } else { ']' });
                    self.out.push(c);
                }
                '}' | ']' => {
                    self.before_end();
                    // What was not closed is closed before what holds it.
                    while self.open.contains(&c) {
                        let Some(end) = self.open.pop() else { break };
                        self.out.push(end);
                        if end == c {
                            break;
                        }
                    }
                }
                c => self.out.push(c),
            }
            if self.open.is_empty() && matches!(c, '}' | ']') {
                return;
            }
        }
        self.before_end();
        while let Some(end) = self.open.pop() {
            self.out.push(end);
        }
    }

    /// A comma before an end goes; a key without a value gets null.
    fn before_end(&mut self) {
        let kept = self.out.trim_end_matches(|c: char| c == ',' || c.is_ascii_whitespace()).len();
        self.out.truncate(kept);
        if self.out.ends_with(':') {
            self.out.push_str("null");
        }
    }

    fn string(&mut self, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.out.push('"');
                    return;
                }
                '\\' => match chars.peek() {
                    Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u') => {
                        self.out.push('\\');
                        self.out.extend(chars.next());
                    }
                    Some(_) => self.out.push_str("\\\\"),
                    None => {}
                },
                c if u32::from(c) < 0x20 => self.out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_least_change_makes_it_json() {
        for (broken, whole) in [
            (r#"{"a":1,}"#, r#"{"a":1}"#),
            ("\u{feff}[1,2 ,]", "[1,2]"),
            (r#"{"a":{"b":[1,2"#, r#"{"a":{"b":[1,2]}}"#),
            (r#"{"a":"x"#, r#"{"a":"x"}"#),
            (r#"{"a":"#, r#"{"a":null}"#),
            (r#"{"a":1}{"b":2}"#, r#"{"a":1}"#),
            (r#"{"a":1} trailing"#, r#"{"a":1}"#),
            ("{\"a\":\"x\ny\\q\"}", r#"{"a":"x\u000ay\\q"}"#),
            (r#"{"a":[1,2}"#, r#"{"a":[1,2]}"#),
        ] {
            assert_eq!(fixed(broken.as_bytes()).as_deref(), Some(whole), "{broken}");
        }
        for left in ["", "  ", r#"{"a":1}"#, "42", "a=b&c=d", "<xml/>", r#"{a:1}"#] {
            assert_eq!(fixed(left.as_bytes()), None, "{left}");
        }
    }
}
