//! The page about a connection.

use crate::{
    model::{Timestamp, WallAnchor, rows::ExchangeRow},
    query::ConnectionDetails,
};

use super::{
    exchange,
    page::Page,
    rows,
    style::{Ink, Look},
    units,
    waterfall::{self, Bar},
};

/// The page.
pub fn page(details: &ConnectionDetails, anchor: WallAnchor, look: Look) -> String {
    let ConnectionDetails { row, exchanges, flags } = details;
    let mut page = Page::new(look, anchor);
    let server = row.authority.as_deref().or(row.server.as_deref()).unwrap_or("no destination");
    page.title(&row.id.to_string(), Ink::Strong, &format!("{} → {server}", row.client));
    page.pair("mode", &row.mode);
    if let Some(address) = &row.server {
        page.pair("server address", address);
    }
    if let Some(sni) = &row.sni {
        page.pair("server name", sni);
    }
    match (&row.client_tls, &row.server_tls) {
        (None, None) => page.pair("TLS", "none"),
        (client, server) => {
            let version = |tls: &Option<String>| tls.clone().unwrap_or_else(|| "none".to_owned());
            let alpn = row.alpn.as_ref().map_or_else(|| "no ALPN".to_owned(), |alpn| format!("ALPN {alpn}"));
            page.pair("TLS", format!("client {} · server {} · {alpn}", version(client), version(server)));
        }
    }
    if let Some(rtt) = row.server_rtt_ns {
        page.pair("server round trip", units::duration(rtt));
    }
    page.instant("opened", row.opened_ns);
    match row.closed_ns {
        Some(closed) => {
            page.instant("closed", closed);
            let (ink, ending) = closing(row.closed_by.as_deref(), row.how.as_deref());
            page.pair_in(
                ink,
                "",
                format!("{ending}, after {}", units::duration(closed.0.saturating_sub(row.opened_ns.0))),
            );
        }
        None => page.pair_in(Ink::Good, "closed", "not yet"),
    }
    page.pair(
        "bytes",
        format!(
            "{} from the client, {} from the server",
            units::size(row.bytes_from_client),
            units::size(row.bytes_from_server)
        ),
    );
    page.pair("passed", format!("{}, {}", units::count(row.exchanges, "exchange"), units::count(row.frames, "frame")));
    if let Some(why) = &row.opaque {
        page.pair_in(Ink::Odd, "opaque", opaque(why, row.exchanges));
    }
    if let Some(error) = &row.proxy_error {
        page.pair_in(Ink::Bad, "proxy error", error);
    }
    if row.gaps > 0 {
        page.pair_in(
            Ink::Bad,
            "gaps",
            format!("{}: bytes were relayed but not recorded", units::count(row.gaps, "gap")),
        );
    }
    phases(&mut page, row);
    super::flags(&mut page, flags);
    if !exchanges.is_empty() {
        page.section("Exchanges");
        let table = exchanges.iter().map(rows::exchange);
        page.table(rows::columns(crate::query::Kind::Exchanges), table);
        more(&mut page, row.exchanges, exchanges.len(), &format!("ls exchanges --filter 'connection={}'", row.id));
    }
    sockets(&mut page, exchanges);
    page.into_text()
}

/// Why bytes are not decoded, in words.
fn opaque(why: &str, exchanges: u64) -> String {
    let since = if exchanges > 0 { " since then" } else { "" };
    let what = match why {
        "upgrade" => "HTTP ended by an upgrade to something that is not decoded".to_owned(),
        "not-http" => "the bytes are no HTTP/1".to_owned(),
        "gap" => "bytes were not recorded, and what follows cannot be told".to_owned(),
        protocol if protocol == "h2" || protocol.contains('/') => format!("the protocol is {protocol}"),
        trouble => format!("the bytes are not as the protocol wants them ({trouble})"),
    };
    format!("{what}: relayed and recorded{since}, not decoded")
}

/// What there is of sockets: how much from each side, and the first of it.
fn sockets(page: &mut Page, exchanges: &[ExchangeRow]) {
    let sockets = exchanges.iter().filter_map(|row| Some((row.id, row.websocket.as_ref()?)));
    for (number, (id, socket)) in sockets.enumerate() {
        if number == 0 {
            page.section("Sockets");
        }
        let first =
            |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(", first at {}", units::offset_exact(at)));
        page.pair(
            &id.to_string(),
            format!(
                "{} from the client{}; {} from the server{}",
                units::count(socket.frames_from_client, "frame"),
                first(socket.first_frame_from_client_ns),
                units::count(socket.frames_from_server, "frame"),
                first(socket.first_frame_from_server_ns)
            ),
        );
        match (&socket.closed_by, socket.close_code) {
            (Some(by), Some(code)) => {
                page.pair("", format!("closed by the {by}, {code} {}", exchange::close_name(code)))
            }
            (Some(by), None) => page.pair_in(Ink::Bad, "", format!("closed by the {by}, without a Close frame")),
            (None, _) => {}
        }
    }
}

fn phases(page: &mut Page, row: &crate::model::rows::ConnectionRow) {
    let phases = row.phases;
    let named = [
        ("accept", phases.accept),
        ("CONNECT", phases.connect),
        ("dial", phases.dial),
        ("server TLS", phases.server_tls),
        ("client TLS", phases.client_tls),
    ];
    let bars: Vec<Bar<'_>> = named
        .into_iter()
        .filter_map(|(name, phase)| {
            let phase = phase?;
            Some(Bar { name, begin: phase.begin_ns, end: phase.end_ns, remark: String::new() })
        })
        .collect();
    if !bars.is_empty() {
        page.section("Phases (begin after accept, duration)");
        waterfall::draw(page, row.opened_ns, &bars);
    }
}

/// Who closed and how, in words.
pub(super) fn closing(by: Option<&str>, how: Option<&str>) -> (Ink, String) {
    let by = by.unwrap_or("nobody known");
    match how {
        Some("fin") => (Ink::Plain, format!("by the {by}, in order (FIN)")),
        Some("close_notify") => (Ink::Plain, format!("by the {by}, in order (close_notify)")),
        Some("rst") => (Ink::Bad, format!("by the {by}, by reset (RST)")),
        Some("timeout") => (Ink::Bad, format!("by the {by}, after a timeout")),
        Some("error") => (Ink::Bad, format!("by the {by}, by an error")),
        Some(other) => (Ink::Bad, format!("by the {by}, by {other}")),
        None => (Ink::Odd, format!("by {by}")),
    }
}

/// Tells how many more there are than are shown, and what shows them.
pub(super) fn more(page: &mut Page, total: u64, shown: usize, command: &str) {
    let more = total.saturating_sub(shown as u64);
    if more > 0 {
        page.remark(&format!("… and {more} more: firstframe {command}"));
    }
}
