//! `authorization-malformed`: the credentials of a request cannot be any.
//!
//! Source: RFC 9110, 11.4 (scheme, space, credentials); RFC 6750, 2.1 (`Bearer` and a `b64token`); RFC 7617, 2 (`Basic`
//! and base64 of `user:password`). Measured with JMeter: `Bearer 1` (`${__P(token)}` without that property gives "1"),
//! `Bearer token` (`${__property(token)}` gives the property's name), a line break in a token goes out as a space. Most
//! APIs answer 401, some 400. What would be evidence: the same request with a sound token passes.
//!
//! No message holds a credential; what it says of one is its length and its shape.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::model::{
    exchange::Exchange,
    flag::{Flag, Severity},
    http::Field,
    observation::{Heard, Observation, What},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    fault::{self, Fault},
    words,
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "authorization-malformed",
    group: Group::Head,
    summary: "the credentials of a request cannot be any: empty, doubled, without scheme, a placeholder, cut, with spaces",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 9110, 11.4; RFC 6750, 2.1; RFC 7617, 2; what JMeter sends for what is undefined (measured)",
    default_on: true,
    why: "no server can take it",
    silent: super::never,
    build: |_: &Options| Box::new(AuthorizationMalformed),
};

/// Shorter tokens are hardly any: 48 bits guarded nothing even in the days of session cookies. A test bench may have some.
const SHORTEST: usize = 8;
/// What templates, extractors and languages leave where a token should be.
const PLACEHOLDERS: &[&str] = &[
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "true",
    "false",
    "not_found",
    "token_not_found",
    "<eof>",
    "token",
    "access_token",
    "accesstoken",
    "auth_token",
    "authtoken",
    "bearer_token",
    "jwt",
    "[object object]",
];

struct AuthorizationMalformed;

impl Rule for AuthorizationMalformed {
    fn hears(&self) -> &[Heard] {
        &[Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::RequestHead(exchange) = observation.what else { return };
        let head = &exchange.request;
        for field in head.lines("authorization") {
            if let Some((severity, what)) = judge(field.value.of(&head.raw), ends_in_space(exchange, field)) {
                let fault = Fault { severity, what, place: fault::part(head, field.line) };
                return raise(fault.flag(&INFO, observation, exchange));
            }
        }
    }

    fn judges_heads_alone(&self) -> bool {
        true
    }
}

/// Whether white space stands behind the value, which is no part of it.
fn ends_in_space(exchange: &Exchange, field: &Field) -> bool {
    let line = field.line.of(&exchange.request.raw);
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    matches!(text.strip_suffix(b"\r").unwrap_or(text).last(), Some(b' ' | b'\t'))
}

fn judge(value: &[u8], spaced: bool) -> Option<(Severity, String)> {
    let error = |what: &str| Some((Severity::Error, format!("Authorization {what}")));
    if value.is_empty() {
        return error("is empty");
    }
    if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return error("holds a line break or a NUL");
    }
    let space = value.iter().position(|b| matches!(b, b' ' | b'\t'));
    let (scheme, credentials) = match space {
        Some(at) => (value.get(..at).unwrap_or_default(), value.get(at..).unwrap_or_default().trim_ascii()),
        None => (value, &b""[..]),
    };
    if let Some(variable) = variable(value) {
        return error(&format!("holds {variable}, which was not resolved"));
    }
    if space.is_none() {
        return no_scheme(value);
    }
    let shown = || words::name(scheme);
    if is_scheme(credentials.split(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default())
        && credentials.iter().any(|b| matches!(b, b' ' | b'\t'))
        && is_scheme(scheme)
    {
        return error(&format!("names its scheme twice: {} and once more before the credentials", shown()));
    }
    // `token` is a scheme with some, and a property's name with others.
    if is_scheme(credentials) && !credentials.eq_ignore_ascii_case(b"token") {
        return error(&format!("names its scheme twice ({}), and no credentials", shown()));
    }
    let faulty = if scheme.eq_ignore_ascii_case(b"bearer") {
        bearer(credentials)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic(credentials)
    } else {
        None
    };
    match faulty {
        Some((severity, what)) => Some((severity, format!("Authorization: {what}"))),
        None if spaced => {
            Some((Severity::Hint, "Authorization ends in white space, which servers ought to pass over".to_owned()))
        }
        None => None,
    }
}

/// A value in one piece.
fn no_scheme(value: &[u8]) -> Option<(Severity, String)> {
    if is_scheme(value) {
        let what = format!("Authorization is {} without credentials", words::name(value));
        return Some((Severity::Error, what));
    }
    let length = value.len();
    if value.starts_with(b"eyJ") && value.iter().filter(|b| **b == b'.').count() == 2 {
        let what = format!("Authorization is a JSON Web Token of {length} bytes without scheme: `Bearer ` is missing");
        return Some((Severity::Warning, what));
    }
    Some((Severity::Hint, format!("Authorization is one word of {length} bytes: a scheme such as `Bearer` is missing")))
}

fn bearer(token: &[u8]) -> Option<(Severity, String)> {
    let length = token.len();
    if token == b"1" {
        let what = "the Bearer token is \"1\", which JMeter's __P gives for an undefined property".to_owned();
        return Some((Severity::Error, what));
    }
    if let Some(placeholder) = PLACEHOLDERS.iter().find(|known| token.eq_ignore_ascii_case(known.as_bytes())) {
        return Some((Severity::Error, format!("the Bearer token is the word {placeholder:?}")));
    }
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    if let Some(odd) = token.iter().find(|b| !allowed(b)) {
        let odd = match odd {
            b' ' | b'\t' => "white space".to_owned(),
            b'"' | b'\'' => "a quote".to_owned(),
            0x80.. => "a byte that is no ASCII".to_owned(),
            odd => format!("{:?}", char::from(*odd)),
        };
        return Some((Severity::Error, format!("the Bearer token of {length} bytes holds {odd}, which none may")));
    }
    if length < SHORTEST {
        return Some((Severity::Hint, format!("the Bearer token has only {}", words::bytes(length as u64))));
    }
    let parts = token.split(|b| *b == b'.');
    if token.starts_with(b"eyJ") && token.contains(&b'.') && parts.clone().count() < 3 {
        let what = format!("the Bearer token of {length} bytes begins like a JSON Web Token, but has no third part");
        return Some((Severity::Warning, what));
    }
    if token.starts_with(b"eyJ") && parts.clone().count() == 3 && parts.clone().take(2).any(<[u8]>::is_empty) {
        return Some((Severity::Warning, "the Bearer token is a JSON Web Token with an empty part".to_owned()));
    }
    None
}

fn basic(credentials: &[u8]) -> Option<(Severity, String)> {
    let length = credentials.len();
    if length > 1024 {
        return None;
    }
    let mut plain = [0_u8; 1024];
    match STANDARD.decode_slice(credentials, &mut plain) {
        Err(_) => Some((Severity::Error, format!("the Basic credentials of {length} bytes are not base64"))),
        Ok(n) => {
            let colon = plain.get(..n).is_some_and(|plain| plain.contains(&b':'));
            (!colon).then(|| {
                (Severity::Error, "the Basic credentials hold no colon: they are no `user:password`".to_owned())
            })
        }
    }
}

/// `${name}` or `{{name}}` as such, the name alone.
fn variable(value: &[u8]) -> Option<String> {
    memchr::memchr(b'{', value)?;
    let (start, open, close) = match (memchr::memmem::find(value, b"${"), memchr::memmem::find(value, b"{{")) {
        (Some(at), _) => (at + 2, "${", "}"),
        (None, Some(at)) => (at + 2, "{{", "}}"),
        (None, None) => return None,
    };
    let name = value.get(start..)?;
    let name = name.get(..name.iter().position(|b| matches!(b, b'}' | b'('))?)?;
    Some(format!("{open}{}{close}", words::name(name.trim_ascii())))
}

fn is_scheme(word: &[u8]) -> bool {
    ["bearer", "basic", "digest", "negotiate", "ntlm", "hawk", "token"]
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_judged_and_never_shown() {
        use Severity::{Error, Hint, Warning};
        let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        for (value, expected) in [
            (jwt, None),
            ("Bearer 3f2a9c01d2e4-_~+/==", None),
            ("bearer abcdefgh", None),
            ("Basic dXNlcjpwYXNz", None),
            ("AWS4-HMAC-SHA256 Credential=A/2026/x, SignedHeaders=host, Signature=00", None),
            ("Negotiate YIIabc", None),
            ("", Some(Error)),
            ("Bearer", Some(Error)),
            ("Bearer 1", Some(Error)),
            ("Bearer undefined", Some(Error)),
            ("Bearer token", Some(Error)),
            ("Bearer Bearer abcdefghijkl", Some(Error)),
            ("Bearer Bearer", Some(Error)),
            ("Bearer ${token}", Some(Error)),
            ("Bearer {{token}}", Some(Error)),
            ("Bearer \"abcdefghijkl\"", Some(Error)),
            ("Bearer abcdef ghijkl", Some(Error)),
            ("Bearer abc", Some(Hint)),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", Some(Warning)),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", Some(Warning)),
            ("abcdefghijkl", Some(Hint)),
            ("Basic user:pass", Some(Error)),
            ("Basic dXNlcg==", Some(Error)),
        ] {
            let given = judge(value.as_bytes(), false);
            assert_eq!(given.as_ref().map(|(severity, _)| *severity), expected, "{value}");
            let message = given.map(|(_, what)| what).unwrap_or_default();
            assert!(!message.contains("abcdef") && !message.contains("eyJhb"), "{message}");
        }
        assert!(judge(jwt.as_bytes(), true).is_some_and(|(severity, _)| severity == Hint));
    }
}
