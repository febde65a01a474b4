//! Secrets in the values of headers: credentials behind their scheme, cookies, and what stands among subprotocols. PURE.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memchr;

use super::places::{Secret, disjoint, jwts};

/// Schemes (RFC 9110, 11.1), and words that are used like one.
const SCHEMES: &[&str] = &["apikey", "basic", "bearer", "digest", "hmac", "negotiate", "ntlm", "token"];

/// Credentials shorter than this are not told from words but by a scheme that is no word.
const SHORTEST: usize = 8;

/// Which of the schemes the value begins with, and where what follows it begins.
fn scheme(value: &[u8]) -> Option<(&'static str, usize)> {
    // Nearly every header begins otherwise.
    value.first().filter(|b| matches!(b.to_ascii_lowercase(), b'a' | b'b' | b'd' | b'h' | b'n' | b't'))?;
    let known = |known: &&&str| {
        value.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known.as_bytes()))
            && value.get(known.len()).is_some_and(|b| matches!(b, b' ' | b'\t'))
    };
    let scheme = *SCHEMES.iter().find(known)?;
    let gap = value.get(scheme.len()..)?.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    Some((scheme, scheme.len() + gap))
}

/// Whether the value is a scheme with credentials, wherever it stands.
pub(super) fn begins(value: &[u8]) -> bool {
    let Some((scheme, begin)) = scheme(value) else { return false };
    let rest = value.get(begin..).unwrap_or_default().trim_ascii_end();
    let is_one_word = rest.iter().all(u8::is_ascii_graphic);
    match scheme {
        // A challenge has parameters.
        "bearer" => !rest.is_empty() && memchr::memmem::find(rest, b"=\"").is_none(),
        "digest" => memchr::memmem::find(rest, b"response=").is_some(),
        "basic" if STANDARD.decode(rest).is_ok_and(|plain| memchr(b':', &plain).is_some()) => true,
        // `Token expired`, `Basic plan` are words.
        _ => is_one_word && rest.len() >= SHORTEST && !rest.iter().all(u8::is_ascii_alphabetic),
    }
}

/// Credentials in a header whose name does not tell of them: a misspelt one (`Autorization`), or a server's own. Not in
/// a challenge, whose parameters are none.
pub(super) fn in_any_header(name: &[u8], value: &[u8]) -> Option<Secret> {
    if !begins(value) || name.to_ascii_lowercase().ends_with(b"-authenticate") {
        return None;
    }
    let mut found = Vec::new();
    credentials(value, &mut found);
    found.pop()
}

/// A scheme, kept, and what follows it.
pub(super) fn credentials(value: &[u8], out: &mut Vec<Secret>) {
    let scheme_end = value.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(value.len());
    let scheme = value.get(..scheme_end).unwrap_or_default();
    let known = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    if scheme_end == value.len() && !known {
        out.extend((!value.is_empty()).then(|| Secret::new(0..value.len(), "token")));
        return;
    }
    let gap = value.get(scheme_end..).unwrap_or_default().iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let begin = scheme_end + gap;
    if begin < value.len() {
        out.push(Secret { encoded: scheme.eq_ignore_ascii_case(b"basic"), ..Secret::new(begin..value.len(), "token") });
    }
}

/// Tokens among subprotocols: what follows a word that announces one, and what Kubernetes has behind its name.
pub(super) fn protocols(value: &[u8], out: &mut Vec<Secret>) {
    const WORDS: &[&str] = &["access_token", "authorization", "bearer", "jwt", "token"];
    const PREFIX: &[u8] = b"base64url.bearer.authorization.k8s.io.";
    let named = out.len();
    let (mut begin, mut announced) = (0, false);
    for item in value.split(|b| *b == b',') {
        let word = item.trim_ascii();
        let start = begin + item.len() - item.trim_ascii_start().len();
        if announced && !word.is_empty() {
            out.push(Secret::new(start..start + word.len(), "token"));
        } else if word.len() > PREFIX.len() && word.starts_with(PREFIX) {
            out.push(Secret::new(start + PREFIX.len()..start + word.len(), "token"));
        }
        announced = WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
        begin += item.len() + 1;
    }
    jwts(value, out);
    if out.len() > named {
        disjoint(out);
    }
}

/// The values of `Cookie` (RFC 6265, 4.2.1).
pub(super) fn cookies(value: &[u8], out: &mut Vec<Secret>) {
    let mut begin = 0;
    for pair in value.split(|b| *b == b';') {
        cookie(begin, pair, out);
        begin += pair.len() + 1;
    }
}

/// The value of `Set-Cookie`, its attributes left alone (RFC 6265, 4.1.1).
pub(super) fn set_cookie(value: &[u8], out: &mut Vec<Secret>) {
    cookie(0, value.split(|b| *b == b';').next().unwrap_or_default(), out);
}

fn cookie(begin: usize, pair: &[u8], out: &mut Vec<Secret>) {
    let equals = memchr(b'=', pair).map_or(0, |at| at + 1);
    let value = pair.get(equals..).unwrap_or_default();
    let white = value.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let range = begin + equals + white..begin + equals + value.trim_ascii_end().len().max(white);
    out.extend((!range.is_empty()).then(|| Secret::new(range, "cookie")));
}
