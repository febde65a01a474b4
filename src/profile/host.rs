//! The hosts at which an API lives.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Host patterns as written, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hosts {
    /// Names such as `api.example.com`, `*.example.com` (any one label or more in the star's place), `api.{h}` (one name
    /// for each member of the list `h`), with a port if it matters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// The lists that patterns name.
    #[serde(flatten)]
    pub lists: BTreeMap<String, Vec<String>>,
    /// Names without star, with port or without.
    #[serde(skip)]
    exact: BTreeSet<String>,
    /// What follows a star, with its dot, with port or without.
    #[serde(skip)]
    endings: Vec<String>,
}

/// More names than this come from a mistake.
const MOST: usize = 100_000;

impl Hosts {
    /// Expands the patterns. `Err` is the index of the pattern that is wrong, and why.
    pub(super) fn new(patterns: Vec<String>, lists: BTreeMap<String, Vec<String>>) -> Result<Self, (usize, String)> {
        let mut hosts = Self::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let names = expand(pattern, &lists).map_err(|why| (index, why))?;
            for name in names {
                check(&name).map_err(|why| (index, why))?;
                match name.strip_prefix('*') {
                    Some(ending) => hosts.endings.push(ending.to_owned()),
                    None => {
                        hosts.exact.insert(name);
                    }
                }
            }
            if hosts.exact.len() > MOST {
                return Err((index, format!("with it there are more than {MOST} names")));
            }
        }
        Ok(Self { patterns, lists, ..hosts })
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether an authority (`api.test:443`) is one of them, case apart. A pattern without port takes every port.
    pub fn matches(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority.as_str(),
        };
        let known = |name: &str| {
            let ends = |ending: &String| name.len() > ending.len() && name.ends_with(ending.as_str());
            self.exact.contains(name) || self.endings.iter().any(ends)
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        known(host) || known(&authority)
    }
}

/// The names of lists in a pattern.
pub(super) fn lists_in(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

fn expand(pattern: &str, lists: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((list, after)) = behind.split_once('}') else { return Err("`{` has no partner".to_owned()) };
        let Some(members) = lists.get(list) else {
            return Err(format!("`{{{list}}}` names no list: give one beside `patterns`, {list} = [\"…\"]"));
        };
        let longer = names.iter().flat_map(|name| members.iter().map(move |member| format!("{name}{before}{member}")));
        names = longer.take(MOST + 1).collect();
        rest = after;
    }
    Ok(names.iter().map(|name| format!("{name}{rest}").to_ascii_lowercase()).collect())
}

fn check(name: &str) -> Result<(), String> {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (name, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(format!("`{name}` has a port that is none"));
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let parsed: Result<std::net::Ipv6Addr, _> = address.parse();
        return parsed.map(drop).map_err(|_| format!("`{name}` is no IPv6 address"));
    }
    let is_label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        letters && !label.is_empty() && label.len() <= 63
    };
    if host.strip_prefix("*.").unwrap_or(host).split('.').all(is_label) {
        Ok(())
    } else {
        Err(format!("`{name}` is no host name"))
    }
}
