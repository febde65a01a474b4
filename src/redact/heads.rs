//! What a head may show, and which secrets it holds: found out once of heads that come again.

use crate::model::{headers::Headers, http::Head};

use super::{Digest, Redactor, credentials, places, places::Place, push_lossy};

/// What was found out of a head, as long as no secret was learnt since: then none was forgotten either.
#[derive(Default)]
pub(super) struct Shown {
    /// How many had been learnt then.
    learnt: u64,
    headers: Option<Headers>,
    target: Option<String>,
    /// Whether its target was learnt from.
    target_learnt: bool,
    /// Those of its `Authorization`, where it has one.
    credentials: Option<Option<Digest>>,
}

impl Redactor {
    /// [`credentials`](Self::credentials) in a head's `Authorization`, of which this is the value.
    pub fn credentials_of(&mut self, head: &Head, authorization: &[u8]) -> Option<Digest> {
        if let Some(known) = self.shown(head).and_then(|shown| shown.credentials) {
            return known;
        }
        let learnt = self.seen.ever();
        let found = self.credentials(authorization);
        if head.lines("authorization").nth(1).is_none() {
            self.show(head, learnt, |shown| shown.credentials = Some(found));
        }
        found
    }

    /// Takes what a request's target holds for secrets from now on, before anybody asks how it may be shown.
    pub fn learn_target(&mut self, head: &Head) {
        if self.shown(head).is_some_and(|shown| shown.target_learnt) {
            return;
        }
        let target = head.target();
        let mut named = Vec::new();
        self.places.in_target(target, &mut named);
        for secret in &named {
            self.learn_from(secret, target.get(secret.range.clone()).unwrap_or_default());
        }
        self.show(head, self.seen.ever(), |shown| shown.target_learnt = true);
    }

    /// A request's target as it may be shown.
    pub fn target_of(&mut self, head: &Head) -> String {
        if let Some(known) = self.shown(head).and_then(|shown| shown.target.clone()) {
            return known;
        }
        let learnt = self.seen.ever();
        let found = self.target(head.target());
        self.show(head, learnt, |shown| shown.target = Some(found.clone()));
        found
    }

    /// A head's names and values as they may be shown.
    pub fn headers(&mut self, head: &Head) -> Headers {
        if let Some(known) = self.shown(head).and_then(|shown| shown.headers.clone()) {
            return known;
        }
        let learnt = self.seen.ever();
        let found = self.lines_of(head);
        self.show(head, learnt, |shown| shown.headers = Some(found.clone()));
        found
    }

    /// What was found out of such a head and still holds.
    fn shown(&self, head: &Head) -> Option<&Shown> {
        self.heads.get(head.again()?).filter(|shown| shown.learnt == self.seen.ever())
    }

    /// Remembers what was found out of a head when so many secrets had been learnt.
    fn show(&mut self, head: &Head, learnt: u64, found: impl FnOnce(&mut Shown)) {
        let Some(again) = head.again() else { return };
        match self.heads.get_mut(again).filter(|shown| shown.learnt == learnt) {
            Some(shown) => found(shown),
            None => {
                let mut shown = Shown { learnt, ..Shown::default() };
                found(&mut shown);
                self.heads.put(again, shown);
            }
        }
    }

    fn lines_of(&mut self, head: &Head) -> Headers {
        let mut headers = Headers::with_capacity(head.fields.len(), head.raw.len());
        for field in &head.fields {
            let line = field.line.of(&head.raw);
            if let Some(shown) = self.lines.get(line, self.seen.ever()) {
                headers.push_line(shown);
                continue;
            }
            let (name, value) = (field.name.of(&head.raw), field.value.of(&head.raw));
            let plain = matches!(self.places.header(name), Place::Plain)
                && !places::may_hold_jwt(value)
                && !credentials::begins(value)
                && !self.seen.any_in(value);
            // A head that was put together wrongly may have a secret in the place of a name.
            let shown_name = self.name(name);
            headers.push_with(
                |text| match &shown_name {
                    Some(shown) => text.push_str(shown),
                    None => push_lossy(text, name),
                },
                |text| match plain {
                    true => push_lossy(text, value),
                    false => text.push_str(&self.header(name, value)),
                },
            );
            if let Some(shown) = headers.last() {
                self.lines.put(line, self.seen.ever(), shown);
            }
        }
        headers
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::{
        Side,
        again::Again,
        http::{Field, Span, Text},
        trace::ByteRange,
    };

    fn redactor() -> Redactor {
        Redactor::new([7; 32])
    }

    pub(in crate::redact) fn head(lines: &[(&str, &str)]) -> Head {
        let (mut raw, mut fields) = (Vec::new(), Vec::new());
        for (name, value) in lines {
            let start = raw.len();
            raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            let colon = start + name.len();
            fields.push(Field {
                name: Span::new(start..colon),
                value: Span::new(colon + 2..raw.len() - 2),
                line: Span::new(start..raw.len()),
            });
        }
        let range = ByteRange { from: Side::Client, start: 0, end: raw.len() as u64 };
        let text = Text { raw: raw.into(), start: [Span::default(); 3], fields: fields.into() };
        Head::new(text, range, None)
    }

    #[test]
    fn a_head_that_was_shown_before_is_shown_as_what_is_known_now_wants_it() {
        let mut r = redactor();
        let again = |head: &Head| Head::new((**head).clone(), head.range, Some(Again(7)));
        let mut path = (*head(&[])).clone();
        path.raw = (*b"GET /refs/ref-0123456789 HTTP/1.1\r\n\r\n").into();
        path.start[1] = Span::new(4..24);
        let path = Head::new(path, ByteRange { from: Side::Client, start: 0, end: 37 }, Some(Again(8)));
        assert_eq!(r.target_of(&path), "/refs/ref-0123456789");
        assert_eq!(r.target_of(&path), "/refs/ref-0123456789");
        let lines = again(&head(&[("X-Ref", "ref-0123456789")]));
        let before = r.headers(&lines);
        assert_eq!(before, r.headers(&lines), "from the cache");
        r.learn("token", b"ref-0123456789");
        let token = r.fingerprint("token", b"ref-0123456789");
        assert_eq!(r.headers(&lines).iter().next(), Some(("X-Ref", &*token)));
        assert_eq!(r.target_of(&path), format!("/refs/{token}"));
    }

    #[test]
    fn of_two_lines_with_credentials_each_is_looked_at() {
        let mut r = redactor();
        let two = head(&[("Authorization", ""), ("Authorization", "Bearer 0123456789")]);
        let two = Head::new((*two).clone(), two.range, Some(Again(1)));
        for _ in 0..3 {
            assert_eq!(r.credentials_of(&two, b""), None);
            assert_eq!(r.credentials_of(&two, b"Bearer 0123456789"), Some(r.digest(b"0123456789")));
        }
    }

    #[test]
    fn a_line_that_was_shown_before_is_shown_as_what_is_known_now_wants_it() {
        let mut r = redactor();
        let lines = head(&[("X-Ref", "ref-0123456789"), ("Authorization", "Bearer first-token"), ("", "noname")]);
        let before = r.headers(&lines);
        assert_eq!(before, r.headers(&lines), "from the cache");
        let of = |headers: &Headers, at: usize| headers.iter().nth(at).map(|(_, value)| value.to_owned());
        assert_eq!((of(&before, 0).unwrap(), before.iter().nth(2).unwrap()), ("ref-0123456789".into(), ("", "noname")));
        r.learn("token", b"ref-0123456789");
        let after = r.headers(&lines);
        assert_eq!(of(&after, 0).unwrap(), r.fingerprint("token", b"ref-0123456789"));
        assert_eq!(of(&after, 1), of(&before, 1));
        // As one that begins anew with the same secrets.
        let mut anew = redactor();
        anew.learn("token", b"ref-0123456789");
        assert_eq!(anew.headers(&lines), after);
    }
}
