//! The places that hold secrets by their name.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::{memchr, memchr_iter};

use super::{
    Digest, Further, Options,
    credentials::{cookies, credentials, in_any_header, protocols, set_cookie},
    known::percent_places,
    markup,
    nothing::is_nothing,
    quick_hash,
};

/// A secret's place in the bytes at hand.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) range: Range<usize>,
    pub(super) kind: &'static str,
    /// What stands for it, where that is not the digest of the bytes at that place (an encoded form).
    pub(super) digest: Option<Digest>,
    pub(super) encoded: bool,
}

impl Secret {
    pub(super) fn new(range: Range<usize>, kind: &'static str) -> Self {
        Self { range, kind, digest: None, encoded: false }
    }

    pub(super) fn known(range: Range<usize>, kind: &'static str, digest: Digest) -> Self {
        Self { range, kind, digest: Some(digest), encoded: false }
    }

    /// The same at another place.
    pub(super) fn moved(self, range: Range<usize>) -> Self {
        Self { range, ..self }
    }

    /// Whether it may hold another.
    pub(super) fn has_inner(&self) -> bool {
        self.encoded
    }

    /// The value without percent-encoding, or without JSON's escapes, where it has any.
    pub(super) fn plain(&self, value: &[u8]) -> Option<Vec<u8>> {
        if memchr(b'\\', value).is_some() {
            let text = std::str::from_utf8(value).ok()?;
            return serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(String::into_bytes);
        }
        memchr(b'%', value)?;
        let (plain, _) = percent_places(value);
        (plain != value).then_some(plain)
    }

    /// The password within encoded credentials: Basic's (RFC 7617), or SASL PLAIN's, which has NULs between its parts
    /// (RFC 4616).
    fn password(&self, value: &[u8]) -> Option<Vec<u8>> {
        if !self.encoded || value.len() > LONGEST_ENCODED {
            return None;
        }
        let plain = STANDARD.decode(value).ok()?;
        let plain = plain.get(memchr::memrchr(0, &plain).map_or(0, |nul| nul + 1)..)?;
        match memchr(b':', plain) {
            Some(colon) => plain.get(colon + 1..).map(<[u8]>::to_vec),
            None => Some(plain.to_vec()).filter(|password| password.len() < value.len() / 4 * 3),
        }
    }
}

/// Longer credentials are not looked into.
const LONGEST_ENCODED: usize = 16 << 10;

/// What a header's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// No secret by its name.
    Plain,
    /// A scheme and credentials.
    Credentials,
    /// `name=value` pairs.
    Cookies,
    /// One pair, then attributes.
    SetCookie,
    /// A URL that may bear secrets.
    Url,
    /// Subprotocols, among which clients that can set no header put their token.
    Protocols,
    /// All of it is secret.
    Whole(&'static str),
}

/// The names, and the last answers.
#[derive(Clone)]
pub(super) struct Places {
    headers: Vec<String>,
    /// By their first letter: nearly every name of a JSON document is told to be none of them by that alone.
    fields: Vec<Vec<Vec<u8>>>,
    further: Further,
    last: Vec<Option<(Box<[u8]>, Place)>>,
}

/// What is longer may be a secret in letters alone.
const LONGEST_WORD: usize = 20;

/// Whether a segment can be nothing but a word of an API's, or stands where a value is missing.
fn is_word(segment: &[u8]) -> bool {
    let is_lower = |b: &u8| b.is_ascii_lowercase() || *b == b'-';
    (segment.len() <= LONGEST_WORD && segment.iter().all(is_lower)) || is_nothing(segment)
}

/// Slots of the cache of header names.
const SLOTS: usize = 256;

/// Fields whose value is secret; lower case, without `_` and `-`.
const FIELDS: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "assertion",
    "authtoken",
    "authorization",
    "bearertoken",
    "clientassertion",
    "clientsecret",
    "codeverifier",
    "idtoken",
    "jwt",
    "passcode",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessiontoken",
    "sig",
    "signature",
    "token",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
];
/// Secret in a query (RFC 6749, 4.1.2), but an error's name in many a JSON document.
const QUERY_ONLY: &str = "code";
/// Levels of URLs within parameters of URLs that are looked into.
const NESTED: usize = 2;
/// A name longer than this is none of ours.
pub(super) const LONGEST_NAME: usize = 64;

impl Places {
    pub(super) fn new(options: &Options) -> Self {
        let mut fields = vec![Vec::new(); 256];
        let named = options.fields.iter().map(|name| plain(name.as_bytes()));
        for field in FIELDS.iter().map(|name| name.as_bytes().to_vec()).chain(named) {
            if let Some(same) = field.first().and_then(|first| fields.get_mut(usize::from(*first))) {
                same.push(field);
            }
        }
        Self {
            headers: options.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            fields,
            further: options.further.clone(),
            last: vec![None; SLOTS],
        }
    }

    /// Secrets within a secret, which may stand elsewhere without it: a password, what a URL's path holds.
    pub(super) fn inner(&self, secret: &Secret, value: &[u8]) -> Vec<Vec<u8>> {
        let mut found: Vec<_> = secret.password(value).into_iter().collect();
        if !self.further.is_none() && memchr::memmem::find(value, b"://").is_some() {
            let mut places = Vec::new();
            self.paths(value, &mut places);
            found.extend(places.into_iter().filter_map(|place| value.get(place.range).map(<[u8]>::to_vec)));
        }
        found
    }

    /// What the path of a URL, or of a request target, holds.
    fn paths(&self, url: &[u8], out: &mut Vec<Secret>) {
        if self.further.is_none() {
            return;
        }
        let end = url.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(url.len());
        let before = url.get(..end).unwrap_or_default();
        let begin = match memchr::memmem::find(before, b"://") {
            Some(scheme) if memchr(b'/', before) == Some(scheme + 1) => {
                let authority = scheme + 3;
                memchr(b'/', before.get(authority..).unwrap_or_default()).map_or(end, |slash| authority + slash)
            }
            _ => 0,
        };
        let path = before.get(begin..).unwrap_or_default();
        // A word of the API's that stands where an id is missing (`/channels/subscriptions`) is no secret.
        let is_word = |range: &Range<usize>| path.get(range.clone()).is_some_and(is_word);
        let places = self.further.in_path(path).into_iter().filter(|range| !is_word(range));
        out.extend(places.map(|range| Secret::new(begin + range.start..begin + range.end, "token")));
    }

    /// What a header of that name holds.
    pub(super) fn header(&mut self, name: &[u8]) -> Place {
        let slot = usize::try_from(quick_hash(name) >> 32).unwrap_or(0) % SLOTS;
        if let Some(Some((known, place))) = self.last.get(slot)
            && **known == *name
        {
            return *place;
        }
        let place = self.judge(&name.to_ascii_lowercase());
        if name.len() <= LONGEST_NAME
            && let Some(cached) = self.last.get_mut(slot)
        {
            *cached = Some((name.into(), place));
        }
        place
    }

    fn judge(&self, name: &[u8]) -> Place {
        if self.headers.iter().any(|known| known.as_bytes() == name) {
            return Place::Whole("secret");
        }
        match name {
            b"authorization" | b"proxy-authorization" | b"x-authorization" => return Place::Credentials,
            b"cookie" => return Place::Cookies,
            b"set-cookie" => return Place::SetCookie,
            b"sec-websocket-protocol" => return Place::Protocols,
            b"location" | b"referer" | b"content-location" => return Place::Url,
            b"ocp-apim-subscription-key" | b"x-functions-key" => return Place::Whole("key"),
            b"x-amz-security-token" => return Place::Whole("token"),
            _ => {}
        }
        let ends = |ending: &[u8]| name.ends_with(ending);
        let ends_in_one_of = |endings: &[&str]| endings.iter().any(|ending| ends(ending.as_bytes()));
        if ends_in_one_of(&["api-key", "apikey", "api_key", "access-key", "auth-key"]) {
            Place::Whole("key")
        } else if ends_in_one_of(&["token", "jwt"]) {
            Place::Whole("token")
        } else if ends_in_one_of(&["secret", "password", "signature"]) {
            Place::Whole("secret")
        } else {
            Place::Plain
        }
    }

    /// The secrets in a header's value.
    pub(super) fn in_header(&mut self, name: &[u8], value: &[u8], out: &mut Vec<Secret>) {
        match self.header(name) {
            Place::Plain => match in_any_header(name, value) {
                Some(secret) => out.push(secret),
                None => jwts(value, out),
            },
            Place::Credentials => credentials(value, out),
            Place::Cookies => cookies(value, out),
            Place::SetCookie => set_cookie(value, out),
            Place::Url => self.in_target(value, out),
            Place::Protocols => protocols(value, out),
            Place::Whole(kind) => out.extend((!value.is_empty()).then(|| Secret::new(0..value.len(), kind))),
        }
        without_variables(value, out);
    }

    /// The secrets in a request's target, or a URL.
    pub(super) fn in_target(&self, target: &[u8], out: &mut Vec<Secret>) {
        self.url(target, out);
        let named = out.len();
        jwts(target, out);
        if out.len() > named {
            disjoint(out);
        }
        without_variables(target, out);
    }

    /// Userinfo, what the path holds, and parameters with secret names in query and fragment (RFC 3986, 3.2.1, 3.4).
    fn url(&self, url: &[u8], out: &mut Vec<Secret>) {
        if memchr(b'@', url).is_some() {
            userinfo(url, out);
        }
        self.paths(url, out);
        if let Some(mark) = url.iter().position(|b| matches!(b, b'?' | b'#')) {
            self.parameters(mark + 1, url.get(mark + 1..).unwrap_or_default(), NESTED, out);
        }
    }

    /// Parameters that begin at `begin`, and those within a parameter: of a URL to which the client is to be sent on.
    fn parameters(&self, mut begin: usize, rest: &[u8], levels: usize, out: &mut Vec<Secret>) {
        for part in rest.split(|b| matches!(b, b'&' | b';' | b'?' | b'#')) {
            if let Some(equals) = memchr(b'=', part).filter(|equals| equals + 1 < part.len()) {
                let (name, value) = part.split_at(equals);
                let value = value.get(1..).unwrap_or_default();
                let at = begin + equals + 1;
                if self.is_secret(name, true) {
                    out.push(Secret::new(at..at + value.len(), "token"));
                } else if levels > 0 && memchr::memmem::find(value, b"%3").is_some() {
                    let (plain, places) = percent_places(value);
                    let mut inner = Vec::new();
                    self.parameters(0, &plain, levels - 1, &mut inner);
                    let place = |index: usize| at + places.get(index).copied().unwrap_or(value.len());
                    out.extend(inner.into_iter().map(|secret| {
                        let range = place(secret.range.start)..place(secret.range.end);
                        secret.moved(range)
                    }));
                }
            }
            begin += part.len() + 1;
        }
    }

    /// Fields with a colon, as JSON has them, form fields, SASL's answers, JWTs by their shape, and what messages
    /// hold.
    pub(super) fn text(&self, text: &[u8], out: &mut Vec<Secret>) {
        self.fields(text, out);
        for equals in memchr_iter(b'=', text) {
            let before = text.get(..equals).unwrap_or_default();
            let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'%');
            let name = before.iter().rev().take_while(in_name);
            let name = before.get(equals - name.take(LONGEST_NAME + 1).count()..).unwrap_or_default();
            if self.is_secret(name, false) {
                let value = text.get(equals + 1..).unwrap_or_default();
                let ends =
                    |b: &u8| b.is_ascii_whitespace() || matches!(b, b'&' | b';' | b'"' | b'<' | b'>' | b',' | b'\\');
                let plain = || 0..value.iter().position(ends).unwrap_or(value.len());
                let range = quoted(value).unwrap_or_else(plain);
                push(out, equals + 1 + range.start..equals + 1 + range.end);
            }
        }
        let mut marked = Vec::new();
        let is_secret = |name: &[u8]| self.is_secret(name, false);
        markup::elements(text, &is_secret, &mut marked);
        markup::parts(text, &is_secret, &mut marked);
        marked.into_iter().for_each(|range| push(out, range));
        let places = self.further.in_text(text).into_iter();
        out.extend(places.map(|range| Secret { encoded: true, ..Secret::new(range, "secret") }));
        sasl(text, out);
        jwts(text, out);
        disjoint(out);
        without_variables(text, out);
    }

    /// Whether a field, or a parameter of a `query`, of that name holds a secret.
    pub(super) fn is_secret(&self, name: &[u8], query: bool) -> bool {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return false;
        }
        let decoded;
        let name = if memchr(b'%', name).is_some() {
            (decoded, _) = percent_places(name);
            &decoded
        } else {
            name
        };
        let Some(first) = name.iter().find(|b| !matches!(b, b'_' | b'-')) else { return false };
        let fields = self.fields.get(usize::from(first.to_ascii_lowercase()));
        (query && same_field(name, QUERY_ONLY.as_bytes()))
            || fields.into_iter().flatten().any(|known| known.len() <= name.len() && same_field(name, known))
    }
}

/// Rules name what was sent in the place of a value: that is no secret.
fn without_variables(bytes: &[u8], out: &mut Vec<Secret>) {
    out.retain(|secret| !bytes.get(secret.range.clone()).is_some_and(is_nothing));
}

/// Sorted, and of two that overlap the first.
pub(super) fn disjoint(out: &mut Vec<Secret>) {
    out.sort_by_key(|secret| secret.range.start);
    out.dedup_by(|later, earlier| later.range.start < earlier.range.end);
}

/// Shorter than this no signed JWT is: `eyJ…` and two dots.
const SHORTEST_JWT: usize = 20;

/// Whether a JWT may stand in there.
pub(super) fn may_hold_jwt(bytes: &[u8]) -> bool {
    // Its rarest byte first: to prepare a search is dearer.
    bytes.len() >= SHORTEST_JWT && memchr(b'J', bytes).is_some() && memchr::memmem::find(bytes, b"eyJ").is_some()
}

/// JWTs (RFC 7519): three parts in Base64 with dots between, the first of which is a JSON object (`eyJ` is `{"`).
pub(super) fn jwts(bytes: &[u8], out: &mut Vec<Secret>) {
    if !may_hold_jwt(bytes) {
        return;
    }
    let mut done = 0;
    for begin in memchr::memmem::find_iter(bytes, b"eyJ") {
        if begin < done {
            continue;
        }
        let run = |from: usize| {
            let rest = bytes.get(from..).unwrap_or_default().iter();
            from + rest.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count()
        };
        let first = run(begin);
        // What was run over holds no other: the next look begins behind it.
        done = first;
        let Some(second) = (bytes.get(first) == Some(&b'.')).then(|| run(first + 1)) else { continue };
        done = second;
        let Some(end) = (bytes.get(second) == Some(&b'.')).then(|| run(second + 1)) else { continue };
        done = end;
        if end - begin >= SHORTEST_JWT && second > first + 1 {
            out.push(Secret::new(begin..end, "token"));
        }
    }
}

/// What XMPP's `<auth>` and `<response>` hold (RFC 6120, 6.4).
fn sasl(text: &[u8], out: &mut Vec<Secret>) {
    // Dearer than this look is to prepare a search, and most texts hold no tag.
    if memchr(b'<', text).is_none() {
        return;
    }
    for tag in [&b"<auth"[..], &b"<response"[..]] {
        for at in memchr::memmem::find_iter(text, tag) {
            let after = at + tag.len();
            if !text.get(after).is_some_and(|b| b.is_ascii_whitespace() || *b == b'>') {
                continue;
            }
            let rest = text.get(after..).unwrap_or_default();
            let Some(open) = memchr(b'>', rest).filter(|at| *at == 0 || rest.get(at - 1) != Some(&b'/')) else {
                continue;
            };
            let begin = after + open + 1;
            let content = text.get(begin..).unwrap_or_default();
            let length = memchr(b'<', content).unwrap_or(content.len());
            if length > 0 {
                out.push(Secret { encoded: true, ..Secret::new(begin..begin + length, "token") });
            }
        }
    }
}

pub(super) fn push(out: &mut Vec<Secret>, range: Range<usize>) {
    if !range.is_empty() {
        out.push(Secret::new(range, "secret"));
    }
}

/// A value in quotes, perhaps escaped ones, as attributes and scripts have it. What has JSON's punctuation in it stands
/// between two strings, of which the first ends with `token=`.
fn quoted(value: &[u8]) -> Option<Range<usize>> {
    let begin = value.iter().take_while(|b| **b == b'\\').count() + 1;
    let quote = value.get(begin - 1).copied().filter(|b| matches!(b, b'"' | b'\''))?;
    let length = value.get(begin..)?.iter().position(|b| *b == quote || *b == b'\\')?;
    let is_value = |b: &u8| !matches!(b, b',' | b':' | b'{' | b'}' | b'[' | b']') && !b.is_ascii_whitespace();
    value.get(begin..begin + length)?.iter().all(is_value).then_some(begin..begin + length)
}

fn userinfo(url: &[u8], out: &mut Vec<Secret>) {
    let Some(scheme) = memchr::memmem::find(url, b"://") else { return };
    let begin = scheme + 3;
    if memchr::memchr3(b'/', b'?', b'#', url.get(..scheme).unwrap_or_default()).is_some() {
        return;
    }
    let rest = url.get(begin..).unwrap_or_default();
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next().unwrap_or_default();
    if let Some(at) = memchr::memrchr(b'@', authority).filter(|at| *at > 0) {
        out.push(Secret::new(begin..begin + at, "password"));
    }
}

/// Whether `name` is the field `known` (lower case, without `_` and `-`).
fn same_field(name: &[u8], known: &[u8]) -> bool {
    let mut known = known.iter();
    for byte in name.iter().filter(|b| !matches!(b, b'_' | b'-')) {
        if known.next() != Some(&byte.to_ascii_lowercase()) {
            return false;
        }
    }
    known.next().is_none()
}

/// Lower case, without `_` and `-`.
pub(super) fn plain(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|b| !matches!(b, b'_' | b'-')).map(u8::to_ascii_lowercase).collect()
}
