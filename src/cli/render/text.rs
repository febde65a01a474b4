//! Text from the network made fit for a terminal: nothing in it can move the cursor, and its width is known.

use std::fmt::Write;

/// The text with every control or direction character shown as an escape, so that it cannot act on the terminal.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_clean(c, &mut out);
    }
    out
}

/// Bytes as text: UTF-8 as it is, control characters and all other bytes as `\xNN`. Returns how many bytes were escaped.
pub fn escape(bytes: &[u8], out: &mut String) -> usize {
    let mut escaped = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe(c) {
                escaped += c.len_utf8();
            }
            push_clean(c, out);
        }
        for byte in chunk.invalid() {
            escaped += 1;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    escaped
}

/// The columns that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The text in at most `columns` columns; what is cut off is told by `…`.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Words filled into lines of at most `columns` columns; a longer word stands alone on its line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn push_clean(c: char, out: &mut String) {
    if !is_unsafe(c) {
        out.push(c);
    } else if c.is_ascii() {
        let _ = write!(out, "\\x{:02x}", u32::from(c));
    } else {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    }
}

/// Control characters (C0, DEL, C1) and those that turn the writing direction.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Good enough for columns: wide are East Asian scripts and pictographs, without width are combining marks.
fn char_width(c: char) -> usize {
    match c {
        '\u{0300}'..='\u{036f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_network_acts_on_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\n\u{9b}c\u{202e}d"), "a\\x1b[2Jb\\x0d\\x0a\\u{9b}c\\u{202e}d");
        let mut out = String::new();
        assert_eq!(escape(b"k\xc3\xb6\xff\x00z", &mut out), 2);
        assert_eq!(out, "kö\\xff\\x00z");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(width(&fit("日本語日本語", 6)), 5, "a wide character is not split");
        assert_eq!(fit("ab", 0), "");
    }

    #[test]
    fn words_are_filled() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable x", 3), ["unbreakable", "x"]);
        assert!(wrap("  ", 3).is_empty());
    }
}
