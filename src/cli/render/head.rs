//! A message's head byte for byte: what cannot be seen is made visible, line ends that are odd are marked.

use crate::query::{Excerpt, Message};

use super::{
    page::Page,
    style::{Ink, Look},
    text, units,
};

/// Shows a head line by line. CR LF ends are not shown; others are marked.
pub(super) fn head(page: &mut Page, bytes: &[u8]) {
    let mut escaped = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, end) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let line = rest.get(..at).unwrap_or_default();
                rest = rest.get(at + 1..).unwrap_or_default();
                match line.strip_suffix(b"\r") {
                    Some(line) => (line, End::CrLf),
                    None => (line, End::Lf),
                }
            }
            None => (std::mem::take(&mut rest), End::None),
        };
        // The empty line that ends a head is no line of it.
        if line.is_empty() && end == End::CrLf && rest.is_empty() {
            break;
        }
        page.line(&format!("  {}", one(page.look, line, end, &mut escaped)));
    }
    if escaped > 0 {
        page.remark(&format!("({} shown as \\xNN)", units::count(escaped as u64, "byte")));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    CrLf,
    Lf,
    None,
}

fn one(look: Look, line: &[u8], end: End, escaped: &mut usize) -> String {
    let trimmed = line.trim_ascii_end();
    let mut shown = String::new();
    *escaped += text::escape(trimmed, &mut shown);
    let trailing: String = line
        .get(trimmed.len()..)
        .unwrap_or_default()
        .iter()
        .map(|byte| if *byte == b' ' { "·" } else { "\\t" })
        .collect();
    if !trailing.is_empty() {
        let mark = if trailing.chars().all(|c| c == '·') { trailing } else { escape_all(line.get(trimmed.len()..)) };
        shown.push_str(&look.paint(Ink::Note, &mark));
    }
    match end {
        End::CrLf => {}
        End::Lf => shown.push_str(&look.paint(Ink::Note, "  ⟵ bare LF")),
        End::None => shown.push_str(&look.paint(Ink::Note, "  ⟵ no line end")),
    }
    shown
}

fn escape_all(bytes: Option<&[u8]>) -> String {
    bytes.unwrap_or_default().iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Shows a message: its head, its body's size and beginning, and what is missing.
pub(super) fn message(page: &mut Page, heading: &str, message: &Message, body_bytes: Option<u64>) {
    page.section(heading);
    if message.head.is_empty() {
        page.remark("(no bytes)");
    }
    head(page, &message.head);
    for missing in &message.missing {
        page.pair_in(Ink::Bad, "missing", missing);
    }
    let size = body_bytes.unwrap_or_default();
    match &message.body {
        Excerpt::None if size == 0 => {}
        Excerpt::None => page.remark(&format!("({}, not to be had)", units::size(size))),
        Excerpt::Binary => page.remark(&format!("({} of no text)", units::size(size))),
        Excerpt::Text { text, whole } => {
            page.line("");
            for line in text.lines() {
                page.line(&format!("  {}", text::clean(line)));
            }
            let more = if *whole { String::new() } else { ", its beginning".to_owned() };
            page.remark(&format!("({} of body{more})", units::size(size)));
        }
    }
}
