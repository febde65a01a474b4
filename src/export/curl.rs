//! curl: one command for each exchange, quoted for bash. Heads are sent as curl can send them: names, values and
//! their order as they were, the target byte for byte where it is no URL.

use std::io::Write;

use crate::{
    model::{exchange::origin_form, http::Head, rows::ExchangeRow},
    query::contents::Content,
    redact::Scrubber,
};

use super::{
    Error, Format, Job,
    body::{self, Body},
    write_error,
};

pub(super) const FORMAT: Format =
    Format { id: "curl", summary: "a shell command for each exchange", extension: "sh", write };

/// Larger bodies go through a pipe, in bytes.
const LARGEST_WORD: usize = 100 << 10;

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let anchor = job.capture.anchor();
    out.write_all(
        b"#!/usr/bin/env bash\n# Requests as they were captured. CURL='curl -k -x http://127.0.0.1:8080' gives curl further options.\n",
    )?;
    out.write_all(b": \"${CURL:=curl}\"\n")?;
    let mut report = std::mem::take(&mut job.report);
    job.exchanges(&mut |content| {
        let row = &content.row;
        let status = row.status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
        let flags = if row.flags.is_empty() { String::new() } else { format!(", {}", row.flags.join(" ")) };
        let at = anchor.rfc3339(row.request_first_byte_ns);
        writeln!(out, "\n# {} {at}: {status}{flags}", row.id).map_err(write_error)?;
        let mut scrubber = job.scrubber.borrow_mut();
        let Some(head) = content.request_head() else {
            report.left_out("requests whose head is not in the capture", 1);
            return writeln!(out, "# its head is not in the capture").map_err(write_error);
        };
        let sockets = row.websocket.as_ref().map_or(0, |socket| socket.frames_from_client);
        report.left_out("frames of sockets", sockets);
        command(job, &content, &head, &mut scrubber, &mut report, out).map_err(write_error)?;
        report.wrote("exchanges", 1);
        Ok(())
    })?;
    job.report = report;
    Ok(())
}

fn command(
    job: &Job<'_>,
    content: &Content,
    head: &Head,
    scrubber: &mut Scrubber,
    report: &mut super::Report,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let row = &content.row;
    let (sent, _) = content.bodies();
    let shown = match content.request.body_sent {
        0 => body::Shown::default(),
        _ => plain_body(head, content, &sent, job.options.body_limit, scrubber),
    };
    if let Some(note) = shown.note {
        report.left_out(note, 1);
        writeln!(out, "# {note}")?;
    }
    let bytes = shown.body.bytes();
    let mut line: Vec<u8> = Vec::new();
    // A program's argument cannot hold a NUL, and on Linux not more than 128 KiB; the shell's own printf can write both.
    let through_pipe = bytes.len() > LARGEST_WORD || memchr::memchr(0, bytes).is_some();
    if through_pipe {
        line.extend_from_slice(b"printf ");
        line.extend_from_slice(&octal(bytes));
        line.extend_from_slice(b" | ");
    }
    line.extend_from_slice(b"$CURL -sS -g --path-as-is ");
    line.extend_from_slice(if head.request_version() == b"1.0" { b"--http1.0" } else { b"--http1.1" });
    match head.method() {
        b"HEAD" => line.extend_from_slice(b" --head"),
        b"GET" if bytes.is_empty() => {}
        method => {
            line.extend_from_slice(b" -X ");
            line.extend_from_slice(&quoted(&scrubber.values(method)));
        }
    }
    if row.websocket.is_some() {
        // Behind the 101 curl waits for as long as the socket is open.
        line.extend_from_slice(b" -m 5");
    }
    let target = scrubber.target(head.target()).into_owned();
    url(row, &target, &mut line);
    let mut has = [false; 2];
    for (name, value) in head.headers() {
        if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace()) {
            report.left_out("header lines that are none", 1);
            continue;
        }
        // curl counts by itself; a length that was wrong stays wrong.
        if name.eq_ignore_ascii_case(b"content-length") && value == sent.len().to_string().as_bytes() {
            continue;
        }
        has = [has[0] || name.eq_ignore_ascii_case(b"user-agent"), has[1] || name.eq_ignore_ascii_case(b"accept")];
        let value = scrubber.header(name, value);
        let mut text = scrubber.values(name).into_owned();
        // curl takes `Name:` for "do not send it", and `Name;` for an empty one.
        if value.is_empty() {
            text.push(b';');
        } else {
            text.extend_from_slice(b": ");
            text.extend_from_slice(&value);
        }
        line.extend_from_slice(b" \\\n  -H ");
        line.extend_from_slice(&quoted(&text));
    }
    for (there, name) in has.into_iter().zip(["User-Agent:", "Accept:"]) {
        if !there {
            line.extend_from_slice(format!(" -H {name}").as_bytes());
        }
    }
    if !bytes.is_empty() {
        if head.header("content-type").is_none() {
            line.extend_from_slice(b" -H Content-Type:");
        }
        line.extend_from_slice(b" \\\n  --data-binary ");
        // `@` at its begin would name a file.
        match (through_pipe, bytes.first()) {
            (true, _) => line.extend_from_slice(b"@-"),
            (false, Some(b'@')) => {
                let mut piped = b"printf ".to_vec();
                piped.extend_from_slice(&octal(bytes));
                piped.extend_from_slice(b" | ");
                line.splice(0..0, piped);
                line.extend_from_slice(b"@-");
            }
            (false, _) => line.extend_from_slice(&quoted(bytes)),
        }
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// The body as it is to be sent: in its content coding, if its secrets may stay or there is none in it.
fn plain_body<'b>(
    head: &Head,
    content: &Content,
    sent: &'b [u8],
    limit: u64,
    scrubber: &mut Scrubber,
) -> body::Shown<'b> {
    let shown = body::shown(Some(head), &content.request, sent, limit, scrubber);
    let coded = head.header("content-encoding").is_some();
    if coded && (scrubber.is_off() || unchanged(&shown, head, sent, limit)) {
        return body::Shown { body: Body::Binary(sent.into()), note: None, size: shown.size };
    }
    if coded {
        return body::Shown { note: Some(body::UNREADABLE), ..body::Shown::default() };
    }
    if shown.note == Some(body::UNSAID) {
        // Without its coding it would be another request.
        return body::Shown { note: Some(body::UNREADABLE), ..body::Shown::default() };
    }
    shown
}

/// Whether redaction found nothing in it.
fn unchanged(shown: &body::Shown<'_>, head: &Head, sent: &[u8], limit: u64) -> bool {
    let coding = head.header("content-encoding").unwrap_or_default();
    let plain = crate::decode::content::decode_content(coding, sent, usize::try_from(limit).unwrap_or(usize::MAX));
    shown.note.is_none() && plain.bytes() == shown.body.bytes()
}

/// The URL, and the target by itself where a URL cannot say it.
fn url(row: &ExchangeRow, target: &[u8], line: &mut Vec<u8>) {
    let scheme = match row.scheme.as_str() {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let path = origin_form(target);
    let legal = path.first() == Some(&b'/')
        && path.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'#'));
    let base = format!("{scheme}://{}", row.authority);
    if legal {
        line.push(b' ');
        line.extend_from_slice(&quoted(&[base.as_bytes(), path].concat()));
    }
    if !legal || path != target {
        if !legal {
            line.push(b' ');
            line.extend_from_slice(&quoted(format!("{base}/").as_bytes()));
        }
        line.extend_from_slice(b" --request-target ");
        line.extend_from_slice(&quoted(target));
    }
}

/// A word for the shell: as it is, in `'…'`, or, where bytes are no text, in `$'…'` (POSIX 2024; bash, zsh, busybox).
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b',' | b'=' | b'@' | b'%' | b'+')
    };
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.to_vec();
    }
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\n'));
    let mut out = Vec::with_capacity(bytes.len() + 2);
    if is_text {
        out.push(b'\'');
        for byte in bytes {
            match byte {
                b'\'' => out.extend_from_slice(b"'\\''"),
                _ => out.push(*byte),
            }
        }
    } else {
        out.extend_from_slice(b"$'");
        for byte in bytes {
            match byte {
                b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0x20..=0x7e => out.push(*byte),
                // Three octal digits end by themselves; `\x` would take the next letter in.
                _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            }
        }
    }
    out.push(b'\'');
    out
}

/// A format for printf that writes exactly these bytes. A dash at its beginning would be an option.
fn octal(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'-' if at == 0 => out.extend_from_slice(b"\\055"),
            b'%' => out.extend_from_slice(b"%%"),
            b'\'' | b'\\' => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn shell(script: &[u8]) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let output = Command::new("bash").arg("-c").arg(std::ffi::OsStr::from_bytes(script)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_gives_back_what_was_quoted(word in proptest::collection::vec(1_u8.., 0..60), body: Vec<u8>) {
            let script = [b"printf %s ".as_slice(), &quoted(&word), b"; printf ", &octal(&body)].concat();
            prop_assert_eq!(shell(&script), [word, body].concat());
        }
    }
}
