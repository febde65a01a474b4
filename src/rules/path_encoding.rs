//! `path-encoding`: a request target holds what a URI may not hold unencoded, or what was encoded twice.
//!
//! Source: RFC 3986, 2 and 3.3; RFC 9112, 3.2. Measured: JMeter's HTTP sampler encodes spaces (`%20`), its WebSocket
//! plugin sends the path as it is typed, space or not. Tomcat answers 400 to `"<>[\]^`{|}` in a target since 8.5.12
//! (`relaxedPathChars`). What would be evidence: the same target, encoded, passes.
//!
//! - error: a space, a control character, `%` that is not followed by two hexadecimal digits;
//! - warning: other characters that must be encoded;
//! - hint: those that the URL Standard of browsers (and Node's `fetch`) leaves as they are: `|` and `^`, in queries
//!   `{`, `}`, `` ` `` and `\` as well; what was encoded twice (`%2520`), unless it is a query that holds a URL. A name may
//!   hold a percent sign, and some APIs take whole paths as one segment.
//!
//! The braces of `${x}` and `{{x}}` are `unresolved-variable`'s.

use memchr::{memchr, memmem};

use crate::model::{
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
};

use super::{
    Group, Known, Needs, Options, Rule, RuleInfo,
    fault::{self, Fault},
};

/// See the module.
pub(super) const INFO: RuleInfo = RuleInfo {
    id: "path-encoding",
    group: Group::TemplateLeaks,
    summary: "a request target holds what must be encoded, a broken %, or what was encoded twice",
    severity: Severity::Error,
    needs: &[Needs::RequestHead],
    known: Known::Before,
    source: "RFC 3986, 2, 3.3; RFC 9112, 3.2; what JMeter's samplers encode (measured); Tomcat's relaxedPathChars",
    default_on: true,
    why: "many servers answer 400 to it",
    silent: super::never,
    build: |_: &Options| Box::new(PathEncoding),
};

struct PathEncoding;

impl Rule for PathEncoding {
    fn hears(&self) -> &[Heard] {
        &[Heard::RequestHead]
    }

    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let What::RequestHead(exchange) = observation.what else { return };
        if let Some((severity, what, offset)) = judge(exchange.request.target()) {
            let place = fault::target(exchange, offset..offset + 1);
            raise(Fault { severity, what, place }.flag(&INFO, observation, exchange));
        }
    }

    fn judges_heads_alone(&self) -> bool {
        true
    }
}

/// The worst of what is wrong with a target, and where.
fn judge(target: &[u8]) -> Option<(Severity, String, usize)> {
    if target.iter().all(|b| is_plain(*b)) {
        return None;
    }
    let query = memchr(b'?', target).unwrap_or(target.len());
    let is_template = memmem::find(target, b"${").is_some() || memmem::find(target, b"{{").is_some();
    let mut worst: Option<(Severity, String, usize)> = None;
    for (at, byte) in target.iter().enumerate().filter(|(_, byte)| !is_plain(**byte)) {
        let Some((severity, what)) = odd(target, at, *byte, at > query, is_template) else { continue };
        if worst.as_ref().is_none_or(|(known, ..)| severity > *known) {
            worst = Some((severity, what, at));
        }
        if severity == Severity::Error {
            break;
        }
    }
    worst
}

fn odd(target: &[u8], at: usize, byte: u8, in_query: bool, is_template: bool) -> Option<(Severity, String)> {
    let place = if in_query { "query" } else { "path" };
    match byte {
        b'%' => escape(target, at, in_query),
        b' ' => Some((Severity::Error, format!("the {place} holds a raw space"))),
        0..=0x1f | 0x7f => Some((Severity::Error, format!("the {place} holds the control character 0x{byte:02x}"))),
        0x80.. => Some((Severity::Warning, format!("the {place} holds 0x{byte:02x}, a byte that must be encoded"))),
        b'{' | b'}' if is_template => None,
        // `<EOF>` is a template's leak, too.
        b'<' if target.get(at..at + 5) == Some(b"<EOF>") => None,
        b'>' if at >= 4 && target.get(at - 4..=at) == Some(b"<EOF>") => None,
        // Lists in queries (`filter[]=`) and IPv6 addresses; servers take them.
        b'[' | b']' => None,
        b'#' => Some((Severity::Warning, "the target holds a fragment (#), which is never sent".to_owned())),
        b'|' | b'^' => Some((Severity::Hint, as_browsers_send(place, byte))),
        b'{' | b'}' | b'`' | b'\\' if in_query => Some((Severity::Hint, as_browsers_send(place, byte))),
        _ => Some((Severity::Warning, format!("the {place} holds {:?}, which must be encoded", char::from(byte)))),
    }
}

fn as_browsers_send(place: &str, byte: u8) -> String {
    format!("the {place} holds {:?} as it is, which browsers do and strict servers refuse", char::from(byte))
}

fn escape(target: &[u8], at: usize, in_query: bool) -> Option<(Severity, String)> {
    let is_hex = |n: usize| target.get(n).is_some_and(u8::is_ascii_hexdigit);
    let place = if in_query { "query" } else { "path" };
    if !is_hex(at + 1) || !is_hex(at + 2) {
        return Some((Severity::Error, format!("a % in the {place} is not followed by two hexadecimal digits")));
    }
    if target.get(at + 1..at + 3) != Some(b"25") || !is_hex(at + 3) || !is_hex(at + 4) {
        return None;
    }
    let url = || memmem::find(target, b"%3A%2F%2F").or_else(|| memmem::find(target, b"%3a%2f%2f"));
    if in_query && url().is_some() {
        return None;
    }
    Some((Severity::Hint, format!("the {place} may have been encoded twice: %25 stands where % should")))
}

/// What may stand in a target as it is (RFC 3986: unreserved, sub-delims, `:`, `@`, `/`, `?`).
fn is_plain(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "in bounds, and checked when this is compiled")]
    const PLAIN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0usize;
        while byte < 256 {
            table[byte] = matches!(
                byte as u8,
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'('
                    | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?'
            );
            byte += 1;
        }
        table
    };
    PLAIN.get(usize::from(byte)).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_judged_by_the_worst_in_them() {
        use Severity::{Error, Hint, Warning};
        for (target, expected) in [
            ("/a/b-1?c=d&e=%20f", None),
            ("/a?filter[x]=1", None),
            ("https://[::1]:443/a", None),
            ("/a b", Some((Error, 2))),
            ("/a|b c", Some((Error, 4))),
            ("/a|b^c", Some((Hint, 2))),
            ("/a?b={\"c\":1}", Some((Warning, 6))),
            ("/a?b={%22c%22:1|2}`\\", Some((Hint, 5))),
            ("/a%2", Some((Error, 2))),
            ("/a%zz", Some((Error, 2))),
            ("/caf\u{e9}", Some((Warning, 4))),
            ("/a\\b", Some((Warning, 2))),
            ("/a#b", Some((Warning, 2))),
            ("/a%2520b", Some((Hint, 2))),
            ("/a?b=%2520", Some((Hint, 5))),
            ("/a?to=https%3A%2F%2Fx%2F%3Fq%3Da%2520b", None),
            ("/100%25", None),
            ("/${id}/{{x}}", None),
            ("/<EOF>", None),
            ("/<b>", Some((Warning, 1))),
            ("/{id}", Some((Warning, 1))),
        ] {
            let given = judge(target.as_bytes()).map(|(severity, _, at)| (severity, at));
            assert_eq!(given, expected, "{target}");
        }
    }
}
