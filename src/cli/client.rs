//! What makes a command that is run go through the proxy and trust it: arguments for JMeter, environment for the rest.
//!
//! Several of these variables (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, Java's `trustStore`) *replace* the client's own
//! roots, so the files they name hold the system's roots, ours, and whatever the variable named before.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::ca::truststore;

/// Where the files lie that make clients trust us.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// PEM: the system's roots and ours.
    pub bundle: PathBuf,
    /// PKCS#12: the same, for Java.
    pub truststore: PathBuf,
}

/// A command made ready.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Set for it, beside what it inherits.
    pub environment: BTreeMap<&'static str, OsString>,
    /// What was done, and what the person should know: a line each.
    pub notes: Vec<String>,
}

/// What kind of program a command starts, as far as its proxy settings go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JMeter: `-H` and `-P` belong behind the argument of that index.
    JMeter(usize),
    /// Anything else: it is asked by its environment.
    Other,
}

/// Variables that name a PEM file which replaces the client's own roots (or adds to them, with `NODE_EXTRA_CA_CERTS`).
pub(super) const BUNDLE_VARIABLES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PERL_LWP_SSL_CA_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "WEBSOCKET_CLIENT_CA_BUNDLE",
    "npm_config_cafile",
];

const PROXY_VARIABLES: &[&str] = &[
    "ALL_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "WSS_PROXY",
    "WS_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "npm_config_https_proxy",
    "npm_config_proxy",
    "ws_proxy",
    "wss_proxy",
];

/// Emptied: targets on loopback must go through the proxy like all others, or they are not recorded.
const BYPASS_VARIABLES: &[&str] = &["GLOBAL_AGENT_NO_PROXY", "NO_PROXY", "no_proxy", "npm_config_noproxy"];

/// The same for Java, whose own default bypasses loopback.
const NO_BYPASS: &str = "-Dhttp.nonProxyHosts=";

/// Makes the command go through `proxy` and trust `trust`; `variable` reads the environment that it inherits.
pub(super) fn prepare(
    command: Vec<OsString>,
    proxy: SocketAddr,
    trust: &Trust,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Prepared {
    match kind(&command) {
        Kind::JMeter(behind) => jmeter(command, behind, proxy, trust, variable),
        Kind::Other => other(command, proxy, trust, variable),
    }
}

/// Tells JMeter from the rest: by its script's name, or by `java … ApacheJMeter.jar`.
pub(super) fn kind(command: &[OsString]) -> Kind {
    let name = |at: usize| command.get(at).map(|argument| file_name(argument)).unwrap_or_default();
    let program = name(0);
    let program = program.strip_suffix(".exe").unwrap_or(&program);
    if matches!(program, "jmeter" | "jmeter.sh" | "jmeter.bat" | "jmeter.cmd" | "jmeter-n.cmd" | "jmeter-server") {
        return Kind::JMeter(0);
    }
    if matches!(program, "java" | "javaw") {
        let jar = (1..command.len()).find(|at| name(*at) == "apachejmeter.jar");
        return jar.map_or(Kind::Other, Kind::JMeter);
    }
    Kind::Other
}

fn jmeter(
    mut command: Vec<OsString>,
    behind: usize,
    proxy: SocketAddr,
    trust: &Trust,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Prepared {
    let mut notes = Vec::new();
    let arguments: Vec<&str> = command.iter().skip(behind + 1).filter_map(|argument| argument.to_str()).collect();
    let has = |short: &str, long: &str| {
        arguments.iter().any(|argument| {
            let is_short = argument.starts_with(short) && !argument.starts_with("--");
            is_short || *argument == long || argument.strip_prefix(long).is_some_and(|rest| rest.starts_with('='))
        })
    };
    let (host, port) = (has("-H", "--proxyHost"), has("-P", "--proxyPort"));
    let remote = has("-r", "--runremote") || has("-R", "--remotestart");
    if host || port {
        notes.push(
            "jmeter was given -H/-P already: they were left as they are, so its requests pass here only if that is us"
                .to_owned(),
        );
    } else {
        let (host, port) = (proxy.ip().to_string(), proxy.port().to_string());
        notes.push(format!("jmeter: added -H {host} -P {port}"));
        let added = ["-H", &host, "-P", &port].map(OsString::from);
        let at = (behind + 1).min(command.len());
        command.splice(at..at, added);
    }
    if remote {
        notes.push(
            "remote engines (-r, -R) do not use this proxy: run `firstframe record` beside each of them, and give it to \
             each jmeter-server with -H and -P"
                .to_owned(),
        );
    }
    // Its samplers trust every certificate and heed -H for every host; Java code in it (JSR223, the `Java` implementation)
    // trusts those of the truststore alone, and goes past the proxy to loopback unless told otherwise. -N still wins.
    let mut properties = vec![NO_BYPASS.into()];
    properties.extend(trust_properties(trust));
    let java = java_options(&properties, variable("JAVA_TOOL_OPTIONS"));
    Prepared { command, environment: BTreeMap::from([("JAVA_TOOL_OPTIONS", java)]), notes }
}

/// What makes a client trust us that is not led to the proxy by its environment.
pub(super) fn trust_environment(
    trust: &Trust,
    variable: impl Fn(&str) -> Option<OsString>,
) -> BTreeMap<&'static str, OsString> {
    let bundle = || trust.bundle.clone().into_os_string();
    let mut environment: BTreeMap<_, _> = BUNDLE_VARIABLES.iter().map(|name| (*name, bundle())).collect();
    let java = java_options(&trust_properties(trust), variable("JAVA_TOOL_OPTIONS"));
    environment.insert("JAVA_TOOL_OPTIONS", java);
    environment
}

fn other(
    command: Vec<OsString>,
    proxy: SocketAddr,
    trust: &Trust,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Prepared {
    let mut environment = BTreeMap::new();
    let url = OsString::from(format!("http://{proxy}"));
    environment.extend(PROXY_VARIABLES.iter().map(|name| (*name, url.clone())));
    environment.extend(BYPASS_VARIABLES.iter().map(|name| (*name, OsString::new())));
    environment.extend(trust_environment(trust, |_| None));
    // Node from 22.21 and 24.5 on reads the variables above, but only if told so.
    environment.insert("NODE_USE_ENV_PROXY", "1".into());
    environment
        .insert("JAVA_TOOL_OPTIONS", java_options(&java_properties(proxy, trust), variable("JAVA_TOOL_OPTIONS")));
    let notes = vec![format!(
        "set for the command: HTTP_PROXY and its like to http://{proxy}, NO_PROXY to nothing, SSL_CERT_FILE and its like, \
         JAVA_TOOL_OPTIONS"
    )];
    Prepared { command, environment, notes }
}

/// The properties that make a JVM go through the proxy, towards loopback as well, and trust it.
pub(super) fn java_properties(proxy: SocketAddr, trust: &Trust) -> Vec<OsString> {
    let (host, port) = (proxy.ip(), proxy.port());
    let mut properties: Vec<OsString> = ["http", "https"]
        .into_iter()
        .flat_map(|scheme| [format!("-D{scheme}.proxyHost={host}"), format!("-D{scheme}.proxyPort={port}")])
        .map(OsString::from)
        .collect();
    properties.push(NO_BYPASS.into());
    properties.extend(trust_properties(trust));
    properties
}

/// The properties that make a JVM trust us.
pub(super) fn trust_properties(trust: &Trust) -> Vec<OsString> {
    let mut store = OsString::from("-Djavax.net.ssl.trustStore=");
    store.push(&trust.truststore);
    vec![
        store,
        format!("-Djavax.net.ssl.trustStorePassword={}", truststore::PASSWORD).into(),
        "-Djavax.net.ssl.trustStoreType=PKCS12".into(),
    ]
}

/// `JAVA_TOOL_OPTIONS`: what was there, then ours. The JVM splits at white space and takes quotes.
fn java_options(properties: &[OsString], before: Option<OsString>) -> OsString {
    let mut options = before.unwrap_or_default();
    for property in properties {
        if !options.is_empty() {
            options.push(" ");
        }
        let spaced = property.to_string_lossy().contains(char::is_whitespace);
        if spaced {
            options.push("\"");
        }
        options.push(property);
        if spaced {
            options.push("\"");
        }
    }
    options
}

/// What the person's own bundles hold: the files that [`BUNDLE_VARIABLES`] name already, so that they can be kept.
pub(super) fn earlier_bundles(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = BUNDLE_VARIABLES
        .iter()
        .filter_map(|name| variable(name))
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Where a shell would find a program.
pub(super) fn look_up(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.is_file().then(|| path.to_owned());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(path)).find(|path| path.is_file())
}

fn file_name(argument: &OsStr) -> String {
    Path::new(argument).file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn command(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn prepared(line: &str, environment: &[(&str, &str)]) -> Prepared {
        let trust = Trust { bundle: "/ca/bundle.pem".into(), truststore: "/c a/store.p12".into() };
        let proxy = SocketAddr::from(([127, 0, 0, 1], 18080));
        let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        prepare(command(line), proxy, &trust, variable)
    }

    #[test]
    fn jmeter_gets_its_flags_behind_its_name() {
        let made = prepared("/opt/jmeter/bin/jmeter.sh -n -t plan.jmx", &[]);
        assert_eq!(made.command, command("/opt/jmeter/bin/jmeter.sh -H 127.0.0.1 -P 18080 -n -t plan.jmx"));
        assert_eq!(made.notes, ["jmeter: added -H 127.0.0.1 -P 18080"]);
        let made = prepared("java -Xmx1g -jar /opt/bin/ApacheJMeter.jar -n", &[]);
        assert_eq!(made.command, command("java -Xmx1g -jar /opt/bin/ApacheJMeter.jar -H 127.0.0.1 -P 18080 -n"));
        assert_eq!(prepared("JMETER.BAT", &[]).command, command("JMETER.BAT -H 127.0.0.1 -P 18080"));
    }

    #[test]
    fn jmeter_keeps_flags_that_it_was_given() {
        for line in ["jmeter -H h -P 1", "jmeter --proxyHost=h --proxyPort=1", "jmeter --proxyHost h", "jmeter -n -P1"]
        {
            let made = prepared(line, &[]);
            assert_eq!(made.command, command(line));
            assert!(made.notes.iter().any(|note| note.contains("-H/-P already")), "{:?}", made.notes);
        }
        let made = prepared("jmeter -n -R a,b", &[]);
        assert!(made.notes.iter().any(|note| note.contains("remote engines")), "{:?}", made.notes);
    }

    #[test]
    fn jmeter_s_own_java_code_gets_the_truststore_and_keeps_its_options() {
        let made = prepared("jmeter", &[("JAVA_TOOL_OPTIONS", "-Xss1m")]);
        let names: Vec<_> = made.environment.keys().copied().collect();
        assert_eq!(names, ["JAVA_TOOL_OPTIONS"]);
        assert_eq!(
            made.environment["JAVA_TOOL_OPTIONS"],
            "-Xss1m -Dhttp.nonProxyHosts= \"-Djavax.net.ssl.trustStore=/c a/store.p12\" -Djavax.net.ssl.trustStorePassword=changeit \
             -Djavax.net.ssl.trustStoreType=PKCS12"
        );
    }

    #[test]
    fn others_are_asked_by_their_environment() {
        let made = prepared("node agent.js -H x", &[]);
        assert_eq!(made.command, command("node agent.js -H x"));
        for name in ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"] {
            assert_eq!(made.environment[name], "http://127.0.0.1:18080", "{name}");
        }
        for name in ["NO_PROXY", "no_proxy"] {
            assert_eq!(made.environment[name], "", "{name}: loopback goes through the proxy");
        }
        for name in BUNDLE_VARIABLES {
            assert_eq!(made.environment[name], "/ca/bundle.pem", "{name}");
        }
        assert_eq!(made.environment["NODE_USE_ENV_PROXY"], "1");
        let java = made.environment["JAVA_TOOL_OPTIONS"].to_string_lossy().into_owned();
        assert!(
            java.starts_with("-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=18080 -Dhttps.proxyHost=127.0.0.1"),
            "{java}"
        );
        assert!(java.contains(" -Dhttp.nonProxyHosts= "), "{java}");
    }

    #[test]
    fn what_is_not_jmeter_is_not_taken_for_it() {
        for line in ["java -jar app.jar", "jmeterish", "sh -c jmeter", "java"] {
            assert_eq!(kind(&command(line)), Kind::Other, "{line}");
        }
        assert_eq!(kind(&[]), Kind::Other);
    }
}
