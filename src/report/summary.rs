//! The closing summary of a recording: what passed, what was refused, what was flagged, and what to look at next.
//! It fits 80 columns and says of everything that is missing that it is.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{bytes, count, millis, percent};
use crate::record::{RouteTotal, RuleTotal, SocketTimes, Summary, Times, Totals};

/// Which capture it is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its folder.
    pub path: &'a str,
    /// What follows `firstframe` in commands about it, with a space before: ` -w DIR -c NAME`; empty where it is what
    /// would be taken anyway.
    pub selector: &'a str,
    /// Whether anything says which requests are metadata; without, the rule about them knows the plainest cases alone.
    pub metadata_named: bool,
    /// How long it took.
    pub took_ns: u64,
}

/// Why a recording shows nothing of what it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No client connected.
    NoConnection,
    /// Clients connected, and every one of them broke off at our certificate.
    NotTrusted,
    /// Clients connected, and no server could be reached.
    NoServer,
    /// All that was asked was asked over HTTP/2, which is not decoded.
    Http2,
    /// Clients connected and asked for nothing.
    NoRequest,
}

/// Routes and rules that are listed; the rest is counted.
const LISTED: usize = 12;
const WIDTH: usize = 80;

/// Why there is nothing to see, where that is so.
pub fn silence(totals: &Totals) -> Option<Silence> {
    if totals.exchanges > totals.proxy_made || totals.frames > 0 {
        return None;
    }
    let unreached = totals.server_tls_failed.max(totals.dials_failed);
    if totals.connections == 0 {
        Some(Silence::NoConnection)
    } else if totals.client_tls_failed > 0 && totals.client_tls_failed >= unreached && totals.exchanges == 0 {
        Some(Silence::NotTrusted)
    } else if unreached > 0 || totals.proxy_made > 0 {
        Some(Silence::NoServer)
    } else if totals.http2_connections > 0 {
        Some(Silence::Http2)
    } else {
        Some(Silence::NoRequest)
    }
}

/// The whole summary, lines with their ends.
pub fn text(summary: &Summary, subject: Subject<'_>) -> String {
    let totals = &summary.totals;
    let mut text = String::new();
    let whole = if summary.complete { "complete" } else { "INCOMPLETE" };
    let _ = writeln!(text, "capture {}, {}, {whole}", subject.name, millis(subject.took_ns));
    let _ = writeln!(text, "  {}\n", subject.path);
    overview(&mut text, totals);
    observer(&mut text, summary);
    routes(&mut text, &summary.routes);
    sockets(&mut text, &summary.sockets);
    flags(&mut text, totals);
    next(&mut text, summary, subject);
    text
}

fn overview(text: &mut String, totals: &Totals) {
    let open = totals.connections.saturating_sub(totals.connections_closed);
    let mut line = format!("connections  {}", count(totals.connections));
    let troubles = [
        (open, "still open at the end"),
        (totals.dials_failed, "without a server"),
        (totals.server_tls_failed, "failed at the server's TLS"),
        (totals.client_tls_failed, "broke off at our certificate"),
    ];
    push_all(&mut line, &troubles);
    push_wrapped(text, &line);

    let mut line = format!("requests     {}", count(totals.exchanges));
    let refused = format!("refused ({})", percent(totals.refused, totals.exchanges));
    let kinds = [
        (totals.refused, refused.as_str()),
        (totals.unanswered, "without an answer"),
        (totals.proxy_made, "answered by this proxy"),
    ];
    push_all(&mut line, &kinds);
    push_wrapped(text, &line);

    let mut line = format!("sockets      {} opened", count(totals.sockets_opened));
    push_all(&mut line, &[(totals.sockets_refused, "refused"), (totals.frames, "frames")]);
    push_wrapped(text, &line);
    let (up, down) = (bytes(totals.bytes_from_client), bytes(totals.bytes_from_server));
    let _ = writeln!(text, "bytes        {up} from clients, {down} from servers");
}

/// What the recording itself did to the traffic, or missed of it. Said only where there is something to say.
fn observer(text: &mut String, summary: &Summary) {
    let totals = &summary.totals;
    if totals.http2_connections > 0 {
        let spoke = count(totals.http2_connections);
        push_wrapped(
            text,
            &format!("not decoded  {spoke} of the connections, HTTP/2: --no-http2 makes clients use HTTP/1.1"),
        );
    }
    if totals.stalled_ns > 0 {
        let stalled = millis(totals.stalled_ns);
        push_wrapped(text, &format!("slowed       by {stalled} in all, waiting for the disk: times include it"));
    }
    if totals.gaps > 0 {
        let (gaps, lost) = (count(totals.gaps), bytes(totals.gap_bytes));
        push_wrapped(text, &format!("not recorded {lost} in {gaps} places: what is said here is of the rest"));
    }
    if totals.dropped_upto_segment > 0 {
        let dropped = bytes(totals.dropped_bytes);
        push_wrapped(
            text,
            &format!(
                "dropped      the oldest {dropped} (segments up to {:06}): these figures include it, what is read later \
                 does not (hint: --max-bytes, --max-age)",
                totals.dropped_upto_segment
            ),
        );
    }
    if let Some(failure) = &summary.failure {
        let until = millis(failure.complete_until_ns.0);
        push_wrapped(text, &format!("incomplete   from {until} on: {}", failure.why));
    }
    if !summary.without_tables.is_empty() {
        let segments = count(summary.without_tables.len() as u64);
        push_wrapped(text, &format!("no tables    for {segments} segments: `firstframe reindex` makes them"));
    }
}

fn routes(text: &mut String, routes: &[RouteTotal]) {
    if routes.is_empty() {
        return;
    }
    let [name, status, number, p50, p99] = ["request", "status", "count", "p50", "p99"];
    let _ = writeln!(text, "\n{name:<37}{status:>7}{number:>9}{p50:>9}{p99:>9}  first");
    // What was refused comes first: it is what people look for.
    let (bad, good): (Vec<_>, Vec<_>) = routes.iter().partition(|route| is_bad(route));
    for route in bad.into_iter().chain(good).take(LISTED) {
        let name = format!("{} {}{}", route.method, route.path, if route.websocket { " (ws)" } else { "" });
        let status = match (route.status, route.proxy_made) {
            (None, _) => "none".to_owned(),
            (Some(status), true) => format!("{status}*"),
            (Some(status), false) if route.refused => format!("{status}!"),
            (Some(status), false) => status.to_string(),
        };
        let time = |nanos: Option<u64>| nanos.map_or_else(|| "-".to_owned(), millis);
        let _ = writeln!(
            text,
            "{:<37}{status:>7}{:>9}{:>9}{:>9}  {}",
            shortened(&name, 36),
            count(route.count),
            time(route.p50_ns),
            time(route.p99_ns),
            route.first
        );
    }
    let mut legend = Vec::new();
    if routes.iter().any(|route| route.refused) {
        legend.push("! refused");
    }
    if routes.iter().any(|route| route.proxy_made) {
        legend.push("* answered by this proxy");
    }
    let more = routes.len().saturating_sub(LISTED);
    let more = format!("and {more} more");
    if routes.len() > LISTED {
        legend.push(&more);
    }
    if !legend.is_empty() {
        let _ = writeln!(text, "{:>80}", legend.join(", "));
    }
}

fn sockets(text: &mut String, sockets: &SocketTimes) {
    let lines = [
        ("open: request to 101 passed on", sockets.open),
        ("first frame from the server after 101", sockets.first_frame_from_server),
        ("first frame from the client after 101", sockets.first_frame_from_client),
    ];
    for (index, (name, Times { count: number, p50_ns, p99_ns, .. })) in
        lines.into_iter().filter(|(_, times)| times.count > 0).enumerate()
    {
        if index == 0 {
            let [name, number, p50, p99] = ["sockets", "count", "p50", "p99"];
            let _ = writeln!(text, "\n{name:<44}{number:>9}{p50:>9}{p99:>9}");
        }
        let time = |nanos: Option<u64>| nanos.map_or_else(|| "-".to_owned(), millis);
        let _ = writeln!(text, "{name:<44}{:>9}{:>9}{:>9}", count(number), time(p50_ns), time(p99_ns));
    }
}

fn is_bad(route: &RouteTotal) -> bool {
    route.refused || route.proxy_made || route.status.is_none()
}

fn flags(text: &mut String, totals: &Totals) {
    if totals.rules.is_empty() {
        let _ = writeln!(text, "\nno flags");
        return;
    }
    let _ = writeln!(text, "\nflags, worst first");
    for (rule, hits) in worst_first(totals).into_iter().take(LISTED) {
        let _ = writeln!(text, "{:<8} {rule} {}x, first {}", hits.severity, count(hits.count), hits.first);
        push_indented(text, &hits.message, 9);
    }
}

fn worst_first(totals: &Totals) -> Vec<(&str, &RuleTotal)> {
    let rank = |severity: &str| match severity {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    };
    let mut rules: Vec<_> = totals.rules.iter().map(|(rule, hits)| (rule.as_str(), hits)).collect();
    rules.sort_by_key(|(rule, hits)| (rank(&hits.severity), u64::MAX - hits.count, *rule));
    rules
}

/// Commands to type, each with what it shows.
fn next(text: &mut String, summary: &Summary, subject: Subject<'_>) {
    let totals = &summary.totals;
    let mut commands: Vec<(String, &str)> = Vec::new();
    if let Some((_, hits)) = worst_first(totals).first() {
        commands.push((format!("show {}", hits.first), "the first flagged one, byte for byte"));
        commands.push(("ls flags".to_owned(), "all flags"));
    }
    if let Some(route) = summary.routes.iter().find(|route| route.refused) {
        commands.push((format!("show {}", route.first), "the first refused one, with its answer"));
        let status = route.status.unwrap_or_default();
        commands.push((format!("ls exchanges --filter 'status={status}'"), "all of these"));
    }
    if let Some(part) = perhaps_metadata(summary).filter(|_| !subject.metadata_named) {
        commands.push((
            format!("reindex --set 'metadata=method=POST path~\"{part}\"'"),
            "whether these came before their sockets were open: then `ls flags`",
        ));
    }
    if totals.dials_failed + totals.server_tls_failed + totals.client_tls_failed > 0 {
        commands.push(("ls connections".to_owned(), "what failed, and why"));
    }
    if !summary.complete {
        commands.push(("verify".to_owned(), "what the capture still holds"));
    }
    if commands.is_empty() && totals.exchanges > 0 {
        commands.push(("ls exchanges".to_owned(), "every request with its answer"));
        commands.push(("ls connections".to_owned(), "every connection with its phases"));
    }
    if commands.is_empty() {
        return;
    }
    let mut said = BTreeSet::new();
    commands.retain(|(command, _)| said.insert(command.clone()));
    let _ = writeln!(text, "\nnext");
    let commands: Vec<_> = commands
        .into_iter()
        .map(|(command, what)| (format!("firstframe{} {command}", subject.selector), what))
        .collect();
    let widest = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    for (command, what) in commands {
        if widest + what.len() + 4 <= WIDTH {
            let _ = writeln!(text, "  {command:<widest$}  {what}");
        } else {
            let _ = writeln!(text, "  {command}\n      {what}");
        }
    }
}

/// The path of posts that were refused where there were sockets, as far as it can stand in a filter; none where the
/// rule about metadata has found something already.
fn perhaps_metadata(summary: &Summary) -> Option<&str> {
    let totals = &summary.totals;
    if totals.sockets_opened == 0 || totals.rules.contains_key("metadata-before-open") {
        return None;
    }
    let route = summary.routes.iter().find(|route| route.refused && !route.websocket && route.method == "POST")?;
    let part = route.path.split('{').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    (part.len() > 1 && part.chars().all(plain)).then_some(part)
}

/// `, 3 refused` for each that is not zero.
fn push_all(line: &mut String, parts: &[(u64, &str)]) {
    for (number, what) in parts.iter().filter(|(number, _)| *number > 0) {
        let _ = write!(line, ", {} {what}", count(*number));
    }
}

/// A line whose continuation stands under its second column.
fn push_wrapped(text: &mut String, line: &str) {
    let (label, rest) = line.split_at_checked(13).unwrap_or((line, ""));
    text.push_str(label);
    let mut column = 13;
    for (index, word) in rest.split_whitespace().enumerate() {
        if index > 0 && column + 1 + word.chars().count() > WIDTH {
            text.push_str("\n             ");
            column = 13;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.chars().count();
    }
    text.push('\n');
}

/// A sentence, wrapped, at most three lines of it.
fn push_indented(text: &mut String, sentence: &str, indent: usize) {
    let mut lines = vec![String::new()];
    for word in sentence.split_whitespace() {
        let word = shortened(word, WIDTH - indent);
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - indent {
            lines.push(word);
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    for (index, line) in lines.iter().take(3).enumerate() {
        let line = if index == 2 && lines.len() > 3 {
            format!("{} …", shortened(line, WIDTH - indent - 2))
        } else {
            line.clone()
        };
        let _ = writeln!(text, "{:indent$}{line}", "");
    }
}

/// At most `most` characters, its middle taken out where it is longer.
fn shortened(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if chars.len() <= most {
        return chars.into_iter().collect();
    }
    let keep = most.saturating_sub(1);
    let (head, tail) = (keep.div_ceil(2), keep / 2);
    let begin: String = chars.iter().take(head).collect();
    let end: String = chars.iter().skip(chars.len() - tail).collect();
    format!("{begin}…{end}")
}

#[cfg(test)]
mod tests;
