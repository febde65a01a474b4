//! Checks of servers: whether those that the settings or `--to` name can be reached, as the proxy would reach them.

use std::time::Duration;

use super::Check;
use crate::{
    app,
    config::Settings,
    proxy::{
        HostPort, Mode,
        reach::{Unreached, reach},
    },
};

/// How long a server has for each step.
const PATIENCE: Duration = Duration::from_secs(4);
/// Servers that are tried.
const MOST: usize = 16;

/// The checks: of reverse modes, of what `--connect-to` leads elsewhere, and of what `--to` names.
pub(super) fn checks(settings: &Settings, named: &[(HostPort, bool)]) -> Vec<Check> {
    let modes = settings.proxy.modes.iter().filter_map(|mode| match mode {
        Mode::Reverse { tls, server, .. } => Some((server.clone(), *tls)),
        Mode::Forward => None,
    });
    let led = settings.proxy.connect_to.iter().map(|rule| (rule.from.clone(), rule.from.port != 80));
    let mut servers: Vec<(HostPort, bool)> = Vec::new();
    for server in named.iter().cloned().chain(modes).chain(led) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    let Ok(runtime) = app::runtime() else { return Vec::new() };
    servers.into_iter().take(MOST).map(|(server, tls)| runtime.block_on(check(settings, &server, tls))).collect()
}

/// Reads what `--to` names: `https://HOST[:PORT]`, `http://HOST[:PORT]`, or `HOST[:PORT]`, which is with TLS but at port 80.
pub(super) fn parse(text: &str) -> Result<(HostPort, bool), String> {
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let tls = match scheme {
        Some("http" | "ws") => Some(false),
        Some("https" | "wss") => Some(true),
        Some(other) => return Err(format!("scheme {other:?} is not one of https and http")),
        None => None,
    };
    let rest = rest.split('/').next().unwrap_or_default();
    let server = HostPort::parse(rest, Some(if tls == Some(false) { 80 } else { 443 }))?;
    let tls = tls.unwrap_or(server.port != 80);
    Ok((server, tls))
}

async fn check(settings: &Settings, server: &HostPort, tls: bool) -> Check {
    match reach(&settings.proxy, server, tls, PATIENCE).await {
        Ok(reached) => {
            let at = reached.address.map_or_else(String::new, |address| format!(" at {address}"));
            let tls = reached
                .tls
                .map_or_else(|| "no TLS".to_owned(), |version| format!("{version}, its certificate is trusted"));
            Check::ok("server", format!("{server} is reached{at}: {tls}"))
        }
        Err(Unreached::Connection(why)) => Check::fail(
            "server",
            format!("{server} cannot be reached: {why}"),
            "is the name right, is it up, does a firewall stand between? --connect-to sends it to another address",
        ),
        Err(Unreached::Tls(why)) if why.contains("certificate") => Check::fail(
            "server",
            format!("{server} is reached, but its certificate is not trusted: {why}"),
            format!("--server-ca FILE trusts it or its CA, --insecure {} does not verify it", server.host),
        ),
        Err(Unreached::Tls(why)) => Check::fail(
            "server",
            format!("{server} is reached, but TLS fails: {why}"),
            "does it speak TLS at that port? http://HOST:PORT is without",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::{io::Read as _, net::TcpListener};

    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn what_is_named_is_read() {
        let at = |host: &str, port, tls| Ok((HostPort { host: host.into(), port }, tls));
        assert_eq!(parse("api.test"), at("api.test", 443, true));
        assert_eq!(parse("https://api.test:8443/a"), at("api.test", 8443, true));
        assert_eq!(parse("http://api.test"), at("api.test", 80, false));
        assert_eq!(parse("api.test:80"), at("api.test", 80, false));
        assert!(parse("ftp://api.test").is_err());
    }

    #[test]
    fn what_fails_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().port();
        // No TLS there: the connection ends behind the first bytes.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 64]);
            }
        });
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |host: &str, port| HostPort { host: host.into(), port };
        let named = [
            (at("127.0.0.1", open), false),
            (at("127.0.0.1", open), true),
            (at("127.0.0.1", closed), false),
            (at("nowhere.invalid", 443), true),
        ];
        let checks = checks(&Settings::default(), &named);
        let statuses: Vec<Status> = checks.iter().map(|check| check.status).collect();
        assert_eq!(statuses, [Status::Ok, Status::Fail, Status::Fail, Status::Fail], "{checks:?}");
        assert!(checks[1].found.contains("TLS fails"), "{}", checks[1].found);
        assert!(checks[2].found.contains("cannot be reached"), "{}", checks[2].found);
        assert!(checks[3].found.contains("look up"), "{}", checks[3].found);
    }
}
