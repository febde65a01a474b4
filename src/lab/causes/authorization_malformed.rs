//! `authorization-malformed`: `Authorization` without a token, with JMeter's default instead of one, or doubled.

use super::{
    CauseInfo, Client, Domain, Parameter, Typical,
    defect::{Defect, OF, SHARE, as_it_is, no_truth},
};
use crate::lab::request::{Kind, Request};

/// See the module.
pub(super) const INFO: CauseInfo = CauseInfo {
    id: "authorization-malformed",
    summary: "no usable token in Authorization; the API refuses it with 400",
    parameters: &[
        SHARE,
        OF,
        Parameter {
            name: "kind",
            about: "`Bearer 1` (an undefined property in JMeter), nothing behind `Bearer`, or `Bearer` twice",
            domain: Domain::Word(&["one", "empty", "doubled"]),
            default: 0.0,
            typical: Typical::Between(-0.49, 2.49),
        },
    ],
    prepare: as_it_is,
    right: |_, _| vec!["authorization-malformed"],
    truth: no_truth,
    build: |plant, _| {
        let kind = plant.word("kind");
        let spoil = move |_: &mut Client<'_>, request: &mut Request| {
            if request.is_message || matches!(request.kind, Kind::Token | Kind::Refresh | Kind::Socket) {
                return false;
            }
            let doubled = request.header("authorization").map(|value| format!("Bearer {value}")).unwrap_or_default();
            match kind {
                "one" => request.set_header("Authorization", "Bearer 1"),
                "empty" => request.set_header("Authorization", "Bearer "),
                _ => request.set_header("Authorization", doubled),
            }
            request.flag("authorization-malformed");
            true
        };
        Defect::boxed(plant, spoil, is_bad, "bad.request", "The Authorization header is malformed")
    },
};

fn is_bad(request: &Request) -> bool {
    // Blanks at a value's end are none of it (RFC 9112, 5.1): over sockets nothing stands behind `Bearer`.
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer")).map(str::trim);
    bearer.is_some_and(|token| token.len() < 8 || token.contains(' '))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::lab::{
        random::Random,
        surface::{Round, Surface, Who},
    };

    #[test]
    fn each_kind_is_bad_as_it_is_written_and_as_it_is_read() {
        let mut random = Random::new(1, 1);
        let mut request = Surface::Neutral.request(Kind::Details, &Who::default(), &Round::default(), &mut random);
        assert!(!is_bad(&request));
        let token = request.header("authorization").unwrap().to_owned();
        for value in ["Bearer 1".to_owned(), "Bearer ".into(), "Bearer".into(), format!("Bearer {token}")] {
            request.set_header("Authorization", value.clone());
            assert!(is_bad(&request), "{value:?}");
        }
    }
}
