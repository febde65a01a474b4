//! Fingerprints in the place of secrets, such that equal secrets stay visibly equal. PURE.
//!
//! Two means, together: *named places* (`places`: `Authorization`, `?access_token=`, a JSON field `password`) and the
//! *values seen so far* (`seen`: a token that was in a header is found again in a path). The second knows recent
//! secrets only; whoever must be sure makes two passes over everything (`everything`). Raw bytes never leave through here.

mod credentials;
mod everything;
mod fields;
mod further;
mod heads;
mod known;
mod lines;
mod markup;
mod nothing;
mod places;
mod seen;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{again::Memo, session::Fingerprint};

pub use everything::{Collector, Lengths, Place as SecretPlace, Scrubber};

use lines::Lines;
use places::Secret;
use seen::Seen;

pub use further::{Find, Further};

/// Which places hold secrets beside the built-in ones. Names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Headers whose whole value is secret.
    pub headers: Vec<String>,
    /// Query parameters and JSON fields whose value is secret; `_` and `-` in them count for nothing.
    pub fields: Vec<String>,
    /// Places that no name marks: segments of paths, parts of messages.
    pub further: Further,
}

/// Puts fingerprints in the place of secrets, and remembers recent secrets so as to find them elsewhere.
#[derive(Clone)]
pub struct Redactor {
    digests: Digests,
    places: places::Places,
    seen: Seen,
    lines: Lines,
    heads: Memo<heads::Shown>,
}

/// What stands for a value: equal values have equal ones, and nobody without the key can tell which value it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The part of it that is shown, and some more.
    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint(self.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Hex digits of a fingerprint: 48 bits, so that among 10,000 tokens two look alike once in five million captures.
const DIGITS: usize = 12;

impl Redactor {
    /// With the built-in places.
    pub fn new(key: [u8; 32]) -> Self {
        Self::with_options(key, &Options::default())
    }

    /// With further places.
    pub fn with_options(key: [u8; 32], options: &Options) -> Self {
        Self {
            digests: Digests::new(key),
            places: places::Places::new(options),
            seen: Seen::default(),
            lines: Lines::default(),
            heads: Memo::default(),
        }
    }

    /// `kind:` and twelve hex digits (`token:3f2a9c01d2e4`). Equal values have equal digits, whatever the kind.
    pub fn fingerprint(&mut self, kind: &str, value: &[u8]) -> String {
        fingerprint(kind, self.digest(value))
    }

    /// The digest of a value, from the last ones where it is among them.
    pub fn digest(&mut self, value: &[u8]) -> Digest {
        self.digests.of(value)
    }

    /// The digest of the credentials in a value of `Authorization`, without their scheme; `None` where there are none.
    /// They are looked for elsewhere from now on.
    fn credentials(&mut self, authorization: &[u8]) -> Option<Digest> {
        let mut secrets = Vec::new();
        credentials::credentials(authorization, &mut secrets);
        let secret = secrets.pop()?;
        let value = authorization.get(secret.range.clone())?;
        self.learn_from(&secret, value);
        Some(self.digest(value))
    }

    /// A header's value as it may be shown. What is not UTF-8 shows as U+FFFD.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> String {
        let mut named = Vec::new();
        self.places.in_header(name, value, &mut named);
        self.render(value, named)
    }

    /// A request target, or a URL, as it may be shown.
    pub fn target(&mut self, target: &[u8]) -> String {
        let mut named = Vec::new();
        self.places.in_target(target, &mut named);
        self.render(target, named)
    }

    /// Any text: secrets seen so far and the values of JSON and form fields with secret names are replaced.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let mut named = Vec::new();
        self.places.text(text.as_bytes(), &mut named);
        if named.is_empty() && !self.seen.any_in(text.as_bytes()) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.render(text.as_bytes(), named))
    }

    /// A header's name as it may be shown, where that is not as it is: secrets seen so far are replaced.
    pub fn name(&mut self, name: &[u8]) -> Option<String> {
        self.seen.any_in(name).then(|| self.render(name, Vec::new()))
    }

    /// Kinds and values of what is looked for everywhere, oldest first. Raw bytes, for the evidence alone.
    pub fn learnt(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.seen.values()
    }

    /// Takes a value for a secret from now on, wherever it stands. A variable that was not resolved is none, and rules
    /// must be able to name it.
    pub fn learn(&mut self, kind: &'static str, value: &[u8]) {
        if !is_unresolved(value) && self.seen.wants(value) {
            let digest = self.digests.of(value);
            self.seen.add(kind, value, digest);
        }
    }

    fn learn_from(&mut self, secret: &Secret, value: &[u8]) {
        self.learn(secret.kind, value);
        for inner in self.places.inner(secret, value) {
            self.learn(secret.kind, &inner);
        }
    }

    /// Puts fingerprints at the named places and wherever a value seen before stands.
    fn render(&mut self, bytes: &[u8], mut secrets: Vec<Secret>) -> String {
        for secret in &secrets {
            self.learn_from(secret, bytes.get(secret.range.clone()).unwrap_or_default());
        }
        let named = secrets.len();
        self.seen.find(bytes, &mut secrets);
        if secrets.is_empty() {
            return lossy(bytes);
        }
        if secrets.len() > named {
            secrets = merged(secrets);
        }
        let mut shown = String::with_capacity(bytes.len());
        let mut done = 0;
        for secret in secrets {
            push_lossy(&mut shown, bytes.get(done..secret.range.start).unwrap_or_default());
            let value = bytes.get(secret.range.clone()).unwrap_or_default();
            let digest = secret.digest.unwrap_or_else(|| self.digests.of(value));
            push_fingerprint(&mut shown, secret.kind, digest);
            done = secret.range.end;
        }
        push_lossy(&mut shown, bytes.get(done..).unwrap_or_default());
        shown
    }
}

/// Whether a value is a variable that was not resolved, or what stands for it: to look for that everywhere would hide
/// what rules say.
fn is_unresolved(value: &[u8]) -> bool {
    (value.starts_with(b"${") && value.ends_with(b"}"))
        || (value.starts_with(b"{{") && value.ends_with(b"}}"))
        || nothing::is_nothing(value)
}

/// Sorted and without overlaps: where two overlap, the one that begins first (the longer of two that begin together)
/// stands for both.
fn merged(mut secrets: Vec<Secret>) -> Vec<Secret> {
    secrets.sort_by_key(|secret| (secret.range.start, std::cmp::Reverse(secret.range.end), secret.digest.is_some()));
    let mut out: Vec<Secret> = Vec::with_capacity(secrets.len());
    for secret in secrets {
        match out.last_mut() {
            Some(last) if secret.range.start < last.range.end => last.range.end = last.range.end.max(secret.range.end),
            _ => out.push(secret),
        }
    }
    out
}

/// The kind of that name, where it is one of ours.
pub fn kind(name: &str) -> &'static str {
    ["token", "key", "cookie", "password"].into_iter().find(|known| *known == name).unwrap_or("secret")
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub fn lossy(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Appends them.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(sound) => text.push_str(sound),
        Err(_) => text.push_str(&String::from_utf8_lossy(bytes)),
    }
}

fn fingerprint(kind: &str, digest: Digest) -> String {
    let mut text = String::with_capacity(kind.len() + 1 + DIGITS);
    push_fingerprint(&mut text, kind, digest);
    text
}

fn push_fingerprint(text: &mut String, kind: &str, digest: Digest) {
    text.push_str(kind);
    text.push(':');
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or_default();
    for byte in digest.0.iter().take(DIGITS / 2) {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

/// The keyed hash, with the last results: one token is hashed once, not once a request.
#[derive(Clone)]
struct Digests {
    key: [u8; 32],
    last: Vec<Option<(Box<[u8]>, Digest)>>,
}

/// Slots of the cache; a value has one place in it.
const SLOTS: usize = 1024;
/// Longer values are hashed each time.
const CACHED_LENGTH: usize = 4096;

impl Digests {
    fn new(key: [u8; 32]) -> Self {
        Self { key, last: vec![None; SLOTS] }
    }

    fn of(&mut self, value: &[u8]) -> Digest {
        let slot = usize::try_from(quick_hash(value) >> 32).unwrap_or(0) % SLOTS;
        if let Some(Some((known, digest))) = self.last.get(slot)
            && **known == *value
        {
            return *digest;
        }
        let hash = blake3::keyed_hash(&self.key, value);
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        let digest = Digest(digest);
        if value.len() <= CACHED_LENGTH
            && let Some(place) = self.last.get_mut(slot)
        {
            *place = Some((value.into(), digest));
        }
        digest
    }
}

/// A hash for caches: quick, and of no worth against someone who wants collisions (they only cost time).
fn quick_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    for byte in words.remainder() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new([7; 32])
    }

    #[test]
    fn equal_values_have_equal_digits_and_the_key_counts() {
        let mut one = redactor();
        let token = one.fingerprint("token", b"abc");
        assert_eq!(token.len(), "token:".len() + DIGITS);
        assert_eq!(token, one.fingerprint("token", b"abc"), "cached");
        assert_eq!(token, redactor().fingerprint("token", b"abc"), "not cached");
        assert_ne!(token, one.fingerprint("token", b"abd"));
        assert_ne!(token, Redactor::new([8; 32]).fingerprint("token", b"abc"));
        assert_eq!(token.strip_prefix("token:"), one.fingerprint("key", b"abc").strip_prefix("key:"));
    }

    #[test]
    fn secrets_that_are_each_others_ends_are_replaced_and_not_compared_for_ever() {
        let mut r = redactor();
        let long = "x".repeat(4000);
        for length in 8..1500 {
            r.learn("token", &long.as_bytes()[..length]);
        }
        let shown = r.text(&long).into_owned();
        assert!(!shown.contains("xxxxxxxx"), "{shown}");
        assert!(shown.len() < 1000, "the longest stand for the shorter ones: {shown}");
        assert!(r.text("nothing to see here").contains("nothing to see"));
    }

    /// The last segment of every path is a secret.
    struct Last;

    impl Find for Last {
        fn in_path(&self, path: &[u8]) -> Vec<std::ops::Range<usize>> {
            path.iter().rposition(|b| *b == b'/').map(|at| at + 1..path.len()).into_iter().collect()
        }

        fn in_text(&self, _: &[u8]) -> Vec<std::ops::Range<usize>> {
            Vec::new()
        }
    }

    #[test]
    fn a_word_where_a_secret_id_is_missing_is_none() {
        let further = Further::new(std::sync::Arc::new(Last));
        let mut r = Redactor::with_options([7; 32], &Options { further, ..Options::default() });
        assert_eq!(r.target(b"/channels/subscriptions"), "/channels/subscriptions");
        assert_eq!(r.text("no subscriptions"), "no subscriptions");
        for secret in ["streaming-5-gq3ba7x2mmlpq5", "qwertyuiopasdfghjklzxcvb", "Password"] {
            assert!(r.target(format!("/channels/{secret}").as_bytes()).starts_with("/channels/token:"), "{secret}");
            assert!(!r.text(&format!("again {secret}")).contains(secret));
        }
    }

    #[test]
    fn named_headers_keep_what_is_no_secret() {
        let mut r = redactor();
        let f = |kind: &str, value: &str| redactor().fingerprint(kind, value.as_bytes());
        for (name, value, expected) in [
            ("authorization", "Bearer s3cret-token", format!("Bearer {}", f("token", "s3cret-token"))),
            ("Authorization", "Bearer", "Bearer".to_owned()),
            ("Authorization", "Bearer ", "Bearer ".to_owned()),
            ("Authorization", "rawtoken", f("token", "rawtoken")),
            ("Proxy-Authorization", "Basic dTpw", format!("Basic {}", f("token", "dTpw"))),
            ("Cookie", "a=1; sid=xyz;empty=", format!("a={}; sid={};empty=", f("cookie", "1"), f("cookie", "xyz"))),
            ("Set-Cookie", "sid=xyz; Path=/; HttpOnly", format!("sid={}; Path=/; HttpOnly", f("cookie", "xyz"))),
            ("X-API-Key", "k1", f("key", "k1")),
            ("X-Custom-Token", "t", f("token", "t")),
            ("X-Api-Key", "", String::new()),
            ("Content-Type", "application/json", "application/json".to_owned()),
            (
                "Location",
                "/cb?code=c0de&x=1#access_token=tok",
                format!("/cb?code={}&x=1#access_token={}", f("token", "c0de"), f("token", "tok")),
            ),
        ] {
            assert_eq!(r.header(name.as_bytes(), value.as_bytes()), expected, "{name}: {value}");
        }
    }

    #[test]
    fn further_places_can_be_named() {
        let (headers, fields) = (vec!["X-Mine".into()], vec!["conversation_secret".into()]);
        let options = Options { headers, fields, ..Options::default() };
        let mut r = Redactor::with_options([7; 32], &options);
        assert!(r.header(b"x-mine", b"value").starts_with("secret:"));
        assert!(!r.target(b"/a?conversationSecret=value").contains("value"));
    }

    #[test]
    fn targets_lose_secrets_and_keep_the_rest() {
        let mut r = redactor();
        let f = |value: &str| redactor().fingerprint("token", value.as_bytes());
        for (target, expected) in [
            ("/a/b?c=d", "/a/b?c=d".to_owned()),
            ("/a?access_token=abc&c=d", format!("/a?access_token={}&c=d", f("abc"))),
            ("/a?x=1;Api-Key=abc", format!("/a?x=1;Api-Key={}", f("abc"))),
            ("/a?%61ccess_token=abc", format!("/a?%61ccess_token={}", f("abc"))),
            ("/a?token=", "/a?token=".to_owned()),
            (
                "https://user:pw@host:1/a@b",
                format!("https://{}@host:1/a@b", redactor().fingerprint("password", b"user:pw")),
            ),
            ("/mail/a@b", "/mail/a@b".to_owned()),
        ] {
            assert_eq!(r.target(target.as_bytes()), expected, "{target}");
        }
        assert_eq!(r.target(b"/caf\xe9"), "/caf\u{fffd}");
    }

    #[test]
    fn a_secret_is_found_again_wherever_it_stands() {
        let mut r = redactor();
        r.header(b"Authorization", b"Bearer a+very/secret/token");
        let shown = r.fingerprint("token", b"a+very/secret/token");
        assert_eq!(r.target(b"/ws/a+very/secret/token/x"), format!("/ws/{shown}/x"));
        assert_eq!(r.target(b"/ws?q=a%2Bvery%2Fsecret%2Ftoken"), format!("/ws?q={shown}"));
        assert_eq!(r.header(b"X-Echo", b"<a+very/secret/token>"), format!("<{shown}>"));
        assert_eq!(r.text("echo a+very/secret/token!"), format!("echo {shown}!"));
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "a+very/secret/token");
        assert_eq!(r.text(&format!("b64 {encoded}")), format!("b64 {shown}"));
        assert!(matches!(r.text("nothing of it here"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_password_of_basic_credentials_is_known_too() {
        let mut r = redactor();
        r.header(b"Authorization", b"Basic dXNlcjpjb3JyZWN0aG9yc2U="); // user:correcthorse
        assert!(!r.text("password was correcthorse").contains("correcthorse"));
    }

    #[test]
    fn a_secret_within_a_secret_does_not_uncover_it() {
        let mut r = redactor();
        r.learn("token", b"inner-secret");
        r.learn("token", b"outer-inner-secret-outer");
        assert_eq!(
            r.text("<outer-inner-secret-outer>"),
            format!("<{}>", r.clone().fingerprint("token", b"outer-inner-secret-outer"))
        );
    }

    #[test]
    fn json_and_form_fields_in_text() {
        let mut r = redactor();
        for (text, gone) in [
            (r#"{"access_token": "tok-1", "n": 1}"#, "tok-1"),
            (r#"{"accessToken":"to\"k-2"}"#, "k-2"),
            (r#"{"payload":"{\"password\":\"pw-3\"}"}"#, "pw-3"),
            (r#"{"password": 445566}"#, "445566"),
            (r#"{"Authorization":"Bearer tok-4"}"#, "tok-4"),
            ("grant_type=password&client_secret=cs-5&x=1", "cs-5"),
            (r#"{"password":"unterminated"#, "unterminated"),
        ] {
            let shown = r.text(text);
            assert!(!shown.contains(gone), "{text} -> {shown}");
        }
        assert_eq!(
            r.text(r#"{"Authorization":"Bearer tok-4"}"#),
            format!(r#"{{"Authorization":"Bearer {}"}}"#, redactor().fingerprint("token", b"tok-4"))
        );
        for kept in [r#"{"code":"not.found","tokens":3}"#, "a=b", r#"{"password":""}"#, r#"{"password":null}"#] {
            assert_eq!(r.text(kept), kept);
        }
    }

    #[test]
    fn fields_of_what_was_meant_to_be_json_and_of_other_notations() {
        for text in [
            "{'password': 'S3cret-1'}",
            "{'a':1,'password':'S3cret-1','b':2}",
            "{password: \"S3cret-1\"}",
            "{password: 'S3cret-1'}",
            "{ user: 'u', password : S3cret-1 }",
            "{password:S3cret-1,user:u}",
            "{\"password\": S3cret-1}",
            "{\"password\": 'S3cret-1'}",
            "{\"password\": 8S3cret-1_!}",
            "{'password': b'S3cret-1'}",
            "[user:u, password:S3cret-1]",
            "password: S3cret-1\n",
            "user: u\r\npassword: S3cret-1\r\nx: y",
            "login:\n  - user: u\n    access_token:   \"S3cret-1\"\n",
            "- password: S3cret-1 \"and\" more, really",
            "{\"yaml\":\"user: u\\npassword: S3cret-1\\n\"}",
            "{\"yaml\":\"user:\\n  password: S3cret-1\"}",
            "{'token': ['x', 'S3cret-1']}",
            "Authorization: Bearer S3cret-1",
            "curl -H 'Authorization: Bearer S3cret-1' https://api.test/",
            "password: $S3cret-1\n",
            "{'password': 'S3cret-1",
            "{password: S3cret-1",
        ] {
            let shown = redactor().text(text).into_owned();
            assert!(!shown.contains("S3cret-1"), "{text} -> {shown}");
            let mut all = Collector::new([7; 32], &Options::default());
            all.text(text.as_bytes());
            let left = all.finish(Lengths::Free).text(b"again S3cret-1").into_owned();
            // What is a longer value (a whole line of YAML) is found as a whole alone.
            assert!(
                text.contains("more")
                    || text.contains(['_', '$'])
                    || text.contains("b'")
                    || !left.ends_with(b"S3cret-1"),
                "{text}"
            );
        }
        for kept in [
            "Unexpected token: } at 3",
            "{\"message\":\"Invalid token: expected a string, password: required\"}",
            "unknown field 'password': it must be set",
            "{password: null, token: undefined, secret: ${secret}}",
            "{\"password\": ${password}, \"token\": {{token}}, \"secret\": true}",
            "query ($token: String!) { login(token: $token) { id } }",
            "token:\n  id: 3\n",
            "mutation M($password: String!) {\n  login(\n    password: $password\n  ) { id }\n}",
            "{\"query\":\"mutation ($password: String!) {\\n  login(\\n    password: $password) {\\n id } }\"}",
            "see https://a.b/c at 12:30:45",
            "{'password': None, 'user': 'u'}",
        ] {
            assert_eq!(redactor().text(kept), kept);
        }
    }

    #[test]
    fn hostile_fields_cost_no_more_than_their_length() {
        for unit in [
            "password:",
            "'password':",
            "{password:",
            "password: '",
            "\\\\\"password\\\":",
            "- ",
            " :",
            "\n:",
            "token:[",
        ] {
            let text = unit.repeat((1 << 20) / unit.len());
            let _ = redactor().text(&text);
        }
    }

    #[test]
    fn credentials_are_known_by_their_scheme_in_any_header() {
        let mut r = redactor();
        let f = |value: &str| redactor().fingerprint("token", value.as_bytes());
        for (name, value, secret) in [
            ("Autorization", "Bearer m1sspelt", Some("m1sspelt")),
            ("X-Forwarded-Authorization", "basic dTpw", Some("dTpw")),
            ("X-Mine", "Token 0123456789abcdef", Some("0123456789abcdef")),
            ("X-Mine", "Token expired", None),
            ("X-Mine", "Basic plan", None),
            ("X-Mine", "Bearer", None),
            ("WWW-Authenticate", "Bearer realm=\"api\", error=\"invalid_token\"", None),
            ("Proxy-Authenticate", "Negotiate YII0123456789==", None),
            ("X-Mine", "bearer", None),
        ] {
            let expected = match secret {
                Some(secret) => value.replace(secret, &f(secret)),
                None => value.to_owned(),
            };
            assert_eq!(r.header(name.as_bytes(), value.as_bytes()), expected);
            let lines = r.headers(&heads::tests::head(&[(name, value)]));
            assert_eq!(lines.iter().next().unwrap(), (name, expected.as_str()));
        }
    }

    #[test]
    fn a_known_secret_in_the_place_of_a_headers_name_is_replaced() {
        let mut r = redactor();
        r.learn("token", b"Known-t0ken-0123456789");
        let shown = r.headers(&heads::tests::head(&[("Bearer Known-t0ken-0123456789", "v"), ("Host", "h")]));
        let name = format!("Bearer {}", r.fingerprint("token", b"Known-t0ken-0123456789"));
        assert_eq!(shown.iter().collect::<Vec<_>>(), [(name.as_str(), "v"), ("Host", "h")]);
    }

    #[test]
    fn what_stands_where_a_value_is_missing_is_shown_and_not_looked_for() {
        let further = Further::new(std::sync::Arc::new(Last));
        let mut r = Redactor::with_options([7; 32], &Options { further, ..Options::default() });
        for target in
            ["/channels/NOT_FOUND", "/channels/${channel}", "/c/{{id}}", "/c/undefined", "/c?token=${t}", "/c/null"]
        {
            assert_eq!(r.target(target.as_bytes()), target);
        }
        assert_eq!(r.header(b"Authorization", b"Bearer NOT_FOUND"), "Bearer NOT_FOUND");
        assert_eq!(r.header(b"Authorization", b"Bearer ${token}"), "Bearer ${token}");
        let words = "GET /channels/NOT_FOUND: NOT_FOUND is what extractors give by default";
        assert_eq!(r.text(words), words);
        let mut all = Collector::new([7; 32], &Options::default());
        all.header(b"Authorization", b"Bearer undefined");
        all.value("token", b"NOT_FOUND");
        assert_eq!(&*all.finish(Lengths::Free).text(b"undefined NOT_FOUND"), b"undefined NOT_FOUND");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut r = redactor();
        for n in 0..20_000 {
            r.learn("token", format!("secret-number-{n:08}").as_bytes());
        }
        assert!(!r.text("secret-number-00019999").contains("00019999"));
        assert!(r.seen.len() <= seen::CAPACITY);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_no_long_secret_survives(bytes: Vec<u8>, secret in "[a-zA-Z0-9+/=._-]{8,60}", before in ".{0,20}", after in ".{0,20}") {
            let mut r = redactor();
            let _ = r.target(&bytes);
            let _ = r.header(b"Cookie", &bytes);
            let _ = r.header(b"Set-Cookie", &bytes);
            let _ = r.header(b"Authorization", &bytes);
            let _ = r.text(&String::from_utf8_lossy(&bytes));
            r.learn("token", secret.as_bytes());
            let shown = r.text(&format!("{before}{secret}{after}")).into_owned();
            proptest::prop_assert!(!shown.contains(&secret), "{shown}");
        }
    }
}
