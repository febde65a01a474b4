//! What HAR repeats of a URL and of cookies.

use super::shape::{Cookie, Pair};

/// The URL of a path; characters that no URL may hold are percent-encoded.
pub(super) fn url(scheme: &str, authority: &str, path: &str) -> String {
    let authority = match scheme {
        "https" | "wss" => authority.strip_suffix(":443").unwrap_or(authority),
        _ => authority.strip_suffix(":80").unwrap_or(authority),
    };
    let mut url = format!("{scheme}://{authority}");
    if !path.starts_with('/') {
        url.push('/');
    }
    for c in path.chars() {
        if allowed(c) {
            url.push(c);
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| url.push_str(&format!("%{byte:02X}")));
        }
    }
    url
}

/// Whether a target can stand in a URL as it is.
pub(super) fn is_legal(path: &str) -> bool {
    path.starts_with('/') && path.chars().all(allowed)
}

/// RFC 3986: unreserved, reserved and `%`; `[` and `]` are common in queries and no parser minds.
fn allowed(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
}

/// The query's parameters, not decoded.
pub(super) fn query(path: &str) -> Vec<Pair> {
    let path = path.split('#').next().unwrap_or_default();
    let Some((_, query)) = path.split_once('?') else { return Vec::new() };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| Pair::of(part.split_once('=').unwrap_or((part, ""))))
        .collect()
}

/// The cookies that were sent.
pub(super) fn cookies(headers: &[Pair]) -> Vec<Cookie> {
    let values = headers.iter().filter(|pair| pair.name.eq_ignore_ascii_case("cookie"));
    let pairs = values.flat_map(|pair| pair.value.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            Cookie { name: name.to_owned(), value: value.to_owned(), ..Cookie::default() }
        })
        .collect()
}

impl Cookie {
    /// One that was set.
    pub(super) fn set(header: &Pair) -> Self {
        let mut parts = header.value.split(';').map(str::trim);
        let (name, value) = parts.next().map(|pair| pair.split_once('=').unwrap_or(("", pair))).unwrap_or_default();
        let mut cookie = Self { name: name.to_owned(), value: value.to_owned(), ..Self::default() };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.to_ascii_lowercase().as_str() {
                "path" => cookie.path = Some(value.to_owned()),
                "domain" => cookie.domain = Some(value.to_owned()),
                "httponly" => cookie.http_only = true,
                "secure" => cookie.secure = true,
                _ => {}
            }
        }
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_hold_what_urls_may_hold() {
        assert_eq!(url("wss", "api.test:443", "/a b?c={d}"), "wss://api.test/a%20b?c=%7Bd%7D");
        assert_eq!(url("http", "[::1]:8080", "*"), "http://[::1]:8080/*");
        assert!(is_legal("/a?b=c%20d") && !is_legal("/a b") && !is_legal("*"));
    }

    #[test]
    fn parameters_and_cookies_are_taken_apart() {
        let pair = |name: &str, value: &str| Pair::of((name, value));
        assert_eq!(query("/a?b=1&c&&d=e=f#x"), [pair("b", "1"), pair("c", ""), pair("d", "e=f")]);
        let sent = cookies(&[pair("Cookie", "a=1; b=2;c")]);
        assert_eq!(
            sent.iter().map(|c| (c.name.as_str(), c.value.as_str())).collect::<Vec<_>>(),
            [("a", "1"), ("b", "2"), ("", "c")]
        );
        let set = Cookie::set(&pair("Set-Cookie", "sid=x; Path=/; HttpOnly; Secure"));
        assert_eq!((set.name.as_str(), set.path.as_deref(), set.http_only, set.secure), ("sid", Some("/"), true, true));
    }
}
