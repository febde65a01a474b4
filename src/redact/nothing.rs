//! What stands where a value is missing: no secret, and the rules that find it must be able to name it. PURE.

/// Defaults of extractors and what scripts make of a variable without value; lower case.
const WORDS: &[&str] = &[
    "%3ceof%3e",
    "%5bobject%20object%5d",
    "%5bobject+object%5d",
    "<eof>",
    "[object object]",
    "[object%20object]",
    "[object+object]",
    "nan",
    "nil",
    "no_value",
    "none",
    "not_found",
    "notfound",
    "null",
    "undefined",
];

/// A longer name is no variable's.
const LONGEST_NAME: usize = 64;

/// Whether a value cannot be a secret: `${name}`, `{{name}}`, `NOT_FOUND`, `undefined` and their like. What has arguments
/// (`${__P(token,…)}`) may hold one.
pub(super) fn is_nothing(value: &[u8]) -> bool {
    match value.first() {
        Some(b'$') => named(value, b"${", b"}"),
        Some(b'{') => named(value, b"{{", b"}}"),
        Some(b'%') => named(value, b"%24%7B", b"%7D") || is_word(value),
        Some(_) => is_word(value),
        None => false,
    }
}

fn is_word(value: &[u8]) -> bool {
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

fn named(value: &[u8], open: &[u8], close: &[u8]) -> bool {
    let opened = value.get(..open.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(open));
    let end = value.len().saturating_sub(close.len());
    let closed = value.get(end..).is_some_and(|end| end.eq_ignore_ascii_case(close));
    let Some(name) = value.get(open.len()..end).filter(|_| opened && closed) else { return false };
    let name = name.trim_ascii();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::is_nothing;

    #[test]
    fn what_is_missing_is_told_from_what_may_be_a_secret() {
        for nothing in ["${token}", "{{ token }}", "%24%7btoken%7D", "NOT_FOUND", "undefined", "<EOF>", "Null"] {
            assert!(is_nothing(nothing.as_bytes()), "{nothing}");
        }
        for secret in ["${__P(token,s3cret)}", "${", "${}", "{}", "s3cret", "", "$ecret", "NOT_FOUND1", "${a b}"] {
            assert!(!is_nothing(secret.as_bytes()), "{secret}");
        }
    }
}
