//! Paths, hosts, messages, schemas: what a loaded profile answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::{
    Confidence, FrameSecret, HYPOTHESES, IdShape, Pattern, Pointer, Profile, Refused, Route, Schema, Secrets, Template,
    generic_template, is_hypothesis,
    route::{Routed as _, Table},
    series,
    session::query_value,
};

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn profile(body: &str) -> Profile {
    Profile::parse("p.toml", &format!("name = \"p\"\nsummary = \"s\"\n{body}")).unwrap()
}

fn params<'a>(template: &'a Template, path: &'a str) -> Vec<(&'a str, &'a str)> {
    template.params(path.as_bytes()).map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect()
}

#[test]
fn templates_match_segment_by_segment() {
    for (text, path, expected) in [
        ("/", "/", Some(vec![])),
        ("/a/b", "/a/b", Some(vec![])),
        ("/a/b", "/a/b/", None),
        ("/a/b/", "/a/b/", Some(vec![])),
        ("/a/b", "/a", None),
        ("/a/b", "/A/b", None),
        ("/a/b", "a/b", None),
        ("/a", "", None),
        ("/a", "*", None),
        ("/s/{id}", "/s/7", Some(vec![("id", "7")])),
        ("/s/{id}", "/s/", None),
        ("/s/{id}", "/s", None),
        ("/s/{id}", "/s/7/8", None),
        ("/s/{id}", "/s//7", None),
        ("/{a}/x/{b}", "/1/x/2", Some(vec![("a", "1"), ("b", "2")])),
        ("/s/{id}.json", "/s/7.json", Some(vec![("id", "7")])),
        ("/s/{id}.json", "/s/.json", None),
        ("/s/v{n}:go", "/s/v12:go", Some(vec![("n", "12")])),
        ("/s/v{n}:go", "/s/v:go", None),
        // Letters before and behind may not share bytes.
        ("/aa{x}aa", "/aaa", None),
        ("/s/*/x", "/s/anything/x", Some(vec![])),
        ("/s/*/x", "/s//x", None),
        ("/s/**", "/s/a/b/c", Some(vec![])),
        ("/s/**", "/s/", Some(vec![])),
        ("/s/**", "/s", None),
        ("/**", "/", Some(vec![])),
        ("/**", "/a/b", Some(vec![])),
        ("/s/{id}", "/s/%7Bid%7D", Some(vec![("id", "%7Bid%7D")])),
    ] {
        let template = template(text);
        assert_eq!(template.matches(path.as_bytes()), expected.is_some(), "{text} {path}");
        assert_eq!(params(&template, path), expected.unwrap_or_default(), "{text} {path}");
    }
    assert!(template("/s/{id}").matches(b"/s/\xff\xfe"), "bytes that are no text are a value like any other");
}

#[test]
fn a_path_tells_which_identifier_it_lacks() {
    for (text, path, lacking) in [
        ("/s/{id}", "/s/", Some("id")),
        ("/s/{id}", "/s", Some("id")),
        ("/s/{id}/x", "/s//x", Some("id")),
        ("/s/{id}/x", "/s/x", Some("id")),
        ("/s/{id}.json", "/s/.json", Some("id")),
        ("/s/{id}.json", "/s", None),
        ("/a/{x}/b/{y}", "/a//b/1", Some("x")),
        ("/a/{x}/b/{y}", "/a/1/b/", Some("y")),
        ("/a/{x}/b/{y}", "/a//b/", None),
        ("/s/{id}", "/s/7", None),
        ("/s/{id}", "/t/", None),
        ("/s/*", "/s/", None),
        ("/s/{id}/**", "/s//a", None),
        ("/s/{id}", "s", None),
        ("/s/{id}", "", None),
    ] {
        assert_eq!(template(text).lacks(path.as_bytes()), lacking, "{text} {path}");
    }
}

#[test]
fn what_is_no_template_says_why() {
    for (text, why) in [
        ("a/b", "a path begins with `/`"),
        ("", "a path begins with `/`"),
        ("/a/{", "`{` has no partner"),
        ("/a/}", "`}` has no partner; one segment holds one `{name}`"),
        ("/a/{}", "`{}` is no name: letters, digits, `_`, `-` and `.`"),
        ("/a/{b c}", "`{b c}` is no name: letters, digits, `_`, `-` and `.`"),
        ("/{a}{b}", "`{` has no partner; one segment holds one `{name}`"),
        ("/{a}/{a}", "`{a}` is there twice"),
        ("/a?b", "`?` cannot stand in a path"),
        ("/a b", "` ` cannot stand in a path"),
        ("/é", "`\\u{e9}` cannot stand in a path"),
        ("/**/a", "`*` and `**` stand alone between slashes, `**` last"),
        ("/a*", "`*` and `**` stand alone between slashes, `**` last"),
    ] {
        assert_eq!(Template::parse(text).unwrap_err(), why, "{text}");
    }
}

#[test]
fn the_most_specific_route_is_found() {
    let profile = profile(
        r#"
        [[routes]]
        id = "published"
        method = "GET"
        path = "/scripts/published"
        [[routes]]
        id = "one"
        method = ["GET", "DELETE"]
        path = "/scripts/{id}"
        params = { id = "uuid" }
        [[routes]]
        id = "one-published"
        method = "GET"
        path = "/scripts/published/{id}"
        [[routes]]
        id = "pages"
        method = "GET"
        path = "/scripts/{id}/pages"
        [[routes]]
        id = "export"
        method = "GET"
        path = "/scripts/{id}:export"
        [[routes]]
        id = "files"
        method = "GET"
        path = "/scripts/**"
        [[routes]]
        id = "post"
        method = "POST"
        path = "/scripts/{key}"
        [[sockets]]
        id = "socket"
        path = "/scripts/{id}"
        "#,
    );
    for (method, path, expected) in [
        ("GET", "/scripts/published", Some("published")),
        ("GET", "/scripts/7", Some("one")),
        ("DELETE", "/scripts/7", Some("one")),
        ("DELETE", "/scripts/published", Some("one")),
        ("PUT", "/scripts/7", None),
        ("get", "/scripts/7", None),
        ("POST", "/scripts/7", Some("post")),
        ("GET", "/scripts/published/7", Some("one-published")),
        ("GET", "/scripts/published/pages", Some("one-published")),
        ("GET", "/scripts/7/pages", Some("pages")),
        ("GET", "/scripts/7:export", Some("export")),
        ("GET", "/scripts/7/else", Some("files")),
        ("GET", "/scripts/", Some("files")),
        ("GET", "/scripts", None),
        ("GET", "", None),
    ] {
        let found = profile.route(method.as_bytes(), path.as_bytes()).map(|route| route.id.as_str());
        assert_eq!(found, expected, "{method} {path}");
    }
    assert_eq!(profile.socket(b"/scripts/x").unwrap().id, "socket");
    let (route, parameter) = profile.routes.lacking(b"DELETE", b"/scripts/").unwrap();
    assert_eq!((route.id.as_str(), parameter), ("one", "id"));
    let route = profile.route(b"GET", b"/scripts/x7").unwrap();
    assert_eq!(route.misfits(b"/scripts/x7").collect::<Vec<_>>(), [("id", &b"x7"[..], &IdShape::Uuid)]);
    let uuid = b"/scripts/3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c3";
    assert_eq!(route.misfits(uuid).count(), 0);
    assert_eq!(profile.template_of(b"GET", "/scripts/12"), "/scripts/{id}");
    assert_eq!(profile.template_of(b"PUT", "/other/12"), "/other/{id}");
}

#[test]
fn identifiers_have_shapes() {
    for (shape, good, bad) in [
        (IdShape::Any, &["x", "${x}"][..], &[""][..]),
        (IdShape::Number, &["0", "123"], &["", "-1", "1x"]),
        (
            IdShape::Uuid,
            &["3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c3", "3F2A9C01-D2E4-4A5B-8C6D-7E8F90A1B2C3"],
            &["", "3f2a9c01d2e44a5b8c6d7e8f90a1b2c3", "3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c", "undefined"],
        ),
        (IdShape::OneOf(vec!["a".into(), "b".into()]), &["a", "b"], &["", "c", "A"]),
    ] {
        assert!(good.iter().all(|value| shape.fits(value.as_bytes())), "{shape:?}");
        assert!(!bad.iter().any(|value| shape.fits(value.as_bytes())), "{shape:?}");
    }
}

#[test]
fn identifiers_are_guessed_by_their_shape() {
    for (path, expected) in [
        ("/api/v2/scripts/3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c3", "/api/v2/scripts/{id}"),
        ("/orders/12345/items/6", "/orders/{id}/items/{id}"),
        ("/blobs/9b74c9897bac770ffc029102a200c5de", "/blobs/{id}"),
        ("/objects/507f1f77bcf86cd799439011", "/objects/{id}"),
        ("/channels/streaming-5-gq3ba7x2mmlpq5", "/channels/{id}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "/t/{id}"),
        ("/api/v2/recordings/screensessions/metadata", "/api/v2/recordings/screensessions/metadata"),
        ("/orders/order-00017", "/orders/{id}"),
        ("/api/release-2/utf-8", "/api/release-2/utf-8"),
        ("/oauth2/callback", "/oauth2/callback"),
        ("/cafe/feedfacecafe", "/cafe/feedfacecafe"),
        ("/my-long-hyphenated-name-v2", "/my-long-hyphenated-name-v2"),
        ("/assets/jquery-3.7.1.min.js", "/assets/jquery-3.7.1.min.js"),
        ("/scripts/${scriptId}", "/scripts/${scriptId}"),
        ("/", "/"),
        ("", ""),
        ("/a//b/", "/a//b/"),
    ] {
        assert_eq!(generic_template(path), expected, "{path}");
    }
}

#[test]
fn names_of_one_series_differ_in_their_numbers() {
    assert_eq!(series("node-3"), series("node-17"));
    assert_ne!(series("node-3"), series("edge-3"));
    for none in ["Error from cloudfront", "17", "2.5", ""] {
        assert_eq!(series(none), None, "{none}");
    }
}

#[test]
fn hosts_are_matched_with_lists_stars_and_ports() {
    let some = profile(
        "[hosts]\npatterns = [\"api.{h}\", \"*.example.org\", \"plain.test:8443\", \"[::1]\", \"{e}{h}\"]\n\
         h = [\"One.com\", \"two.net\"]\ne = [\"x.\"]",
    );
    for (authority, expected) in [
        ("api.one.com", true),
        ("API.One.com:443", true),
        ("api.two.net.", true),
        ("x.two.net", true),
        ("api.three.net", false),
        ("evil-api.one.com", false),
        ("api.one.com.evil.test", false),
        ("a.example.org", true),
        ("a.b.example.org:1", true),
        ("example.org", false),
        (".example.org", false),
        ("plain.test:8443", true),
        ("plain.test", false),
        ("plain.test:443", false),
        ("[::1]:9000", true),
        ("[::1]", true),
        ("", false),
        (":", false),
    ] {
        assert_eq!(some.host_matches(authority), expected, "{authority}");
    }
    assert!(profile("").host_matches("any.thing:1"), "without hosts every host is meant");
}

#[test]
fn messages_match_when_all_conditions_hold() {
    let one = |conditions: &str| {
        profile(&format!("[[error_frames]]\nid = \"x\"\nwhen = [{conditions}]")).error_frames.remove(0).when
    };
    for (conditions, message, expected) in [
        (r#"{ pointer = "/type", equals = "ack" }"#, r#"{"type":"ack"}"#, true),
        (r#"{ pointer = "/type", equals = "ack" }"#, r#"{"type": "acked"}"#, false),
        // A key may be spelt with escapes.
        (r#"{ pointer = "/type", equals = "ack" }"#, r#"{"t\u0079pe":"ack"}"#, true),
        (r#"{ pointer = "/type", equals = "ack" }"#, r#"{"type":"ack""#, false),
        (r#"{ pointer = "/a/0", equals = 1 }"#, r#"{"a":[1]}"#, true),
        (r#"{ pointer = "/code", matches = "^4" }"#, r#"{"code":404}"#, true),
        (r#"{ pointer = "/code", matches = "^4" }"#, r#"{"code":"404"}"#, true),
        (r#"{ pointer = "/code", matches = "^4" }"#, r#"{"code":[404]}"#, false),
        (r#"{ pointer = "/ok", equals = false }"#, r#"{"ok":false}"#, true),
        (r#"{ pointer = "/ok", equals = false }"#, r#"{"ok":0}"#, false),
        (r#"{ pointer = "/d", exists = false }"#, r#"{"d":null}"#, true),
        (r#"{ pointer = "/d", exists = false }"#, r#"{}"#, true),
        (r#"{ pointer = "/d", exists = false }"#, r#"{"d":0}"#, false),
        (r#"{ pointer = "/d", exists = false }"#, r#"no JSON"#, false),
        (r#"{ pointer = "/d", exists = true }"#, r#"{"d":0}"#, true),
        (r#"{ matches = "^<open " }"#, r#"<open xmlns="x"/>"#, true),
        (r#"{ matches = "^<open " }"#, r#" <open "#, false),
        (r#"{ equals = "ping" }"#, "ping", true),
        (r#"{ pointer = "/a", equals = 1 }, { pointer = "/b", equals = 2 }"#, r#"{"a":1,"b":2}"#, true),
        (r#"{ pointer = "/a", equals = 1 }, { pointer = "/b", equals = 2 }"#, r#"{"a":1,"b":3}"#, false),
    ] {
        assert_eq!(one(conditions).matches(message), expected, "{conditions} {message}");
    }
}

#[test]
fn pointers_follow_rfc_6901() {
    for good in ["", "/", "/a/b", "/a~0b~1c", "/0"] {
        assert!(Pointer::parse(good).is_some(), "{good}");
    }
    for bad in ["a", "a/b", "/a~", "/a~2", "$.a"] {
        assert!(Pointer::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn secrets_are_found_in_paths_and_frames() {
    let secrets = Secrets {
        paths: vec![template("/stream/jwt/{jwt}"), template("/c/{id}/*/x{y}")],
        frames: vec![FrameSecret::SaslPlain],
        ..Secrets::default()
    };
    let path = |text: &str| {
        secrets.in_path(text.as_bytes()).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(path("/stream/jwt/abc.def"), ["abc.def"]);
    assert_eq!(path("/c/one/two/xthree"), ["one", "three"]);
    assert!(path("/stream/jwt/").is_empty() && path("/stream/other/abc").is_empty());
    let frame = |text: &str| {
        secrets.in_frame(text.as_bytes()).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(frame("<auth xmlns='urn' mechanism='PLAIN'>AGF1dGhLZXk=</auth>"), ["AGF1dGhLZXk="]);
    assert_eq!(frame("<auth>cut"), ["cut"]);
    assert_eq!(frame("<response xmlns='urn'>c2VjcmV0</response>"), ["c2VjcmV0"]);
    for none in ["<auth mechanism='PLAIN'/>", "<auth></auth>", "<authority>x</authority>", "<auth", "<auth mech"] {
        assert!(frame(none).is_empty(), "{none}");
    }
}

#[test]
fn schemas_say_where_and_which_keyword_and_no_values() {
    let schema = Schema::compile(json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "format": "uuid"}, "n": {"maximum": 3}},
    }))
    .unwrap();
    assert!(schema.accepts(&json!({"id": "3f2a9c01-d2e4-4a5b-8c6d-7e8f90a1b2c3"})));
    let found = schema.violations(&json!({"id": 7, "n": 987_654}), 10);
    let mut places: Vec<_> = found.iter().map(|one| (one.instance_path.as_str(), one.keyword.as_str())).collect();
    places.sort_unstable();
    assert_eq!(places, [("/id", "type"), ("/n", "maximum")]);
    assert!(found.iter().all(|one| !one.message.contains("987654")), "{found:?}");
    let found = schema.violations(&json!({"id": "topsecret"}), 10);
    assert_eq!((found[0].keyword.as_str(), found[0].schema_path.as_str()), ("format", "/properties/id/format"));
    assert!(!found[0].message.contains("topsecret"), "{found:?}");
    assert_eq!(schema.violations(&json!({"n": 9}), 1).len(), 1);
}

#[test]
fn content_types_are_compared_without_their_parameters() {
    let profile = profile(
        "[[routes]]\nid = \"a\"\nmethod = \"POST\"\npath = \"/a\"\ncontent_types = [\"Application/JSON\"]\n\
         [[routes]]\nid = \"b\"\nmethod = \"POST\"\npath = \"/b\"",
    );
    let takes =
        |path: &str, value: &str| profile.route(b"POST", path.as_bytes()).unwrap().takes_content_type(value.as_bytes());
    assert!(takes("/a", "application/json; charset=utf-8") && takes("/a", "APPLICATION/json"));
    assert!(!takes("/a", "text/plain") && !takes("/a", "application/jsonx") && !takes("/a", ""));
    assert!(takes("/b", "anything"));
}

#[test]
fn what_is_left_out_is_as_in_generic() {
    let mut bare = profile("");
    let generic = Profile::named("generic").unwrap();
    (bare.name, bare.summary) = (generic.name.clone(), generic.summary.clone());
    assert_eq!(bare, generic);
    assert_eq!(generic.refused, Refused::default());
    let refused: Vec<u16> = (100..600).filter(|status| generic.is_refused(*status)).collect();
    let expected: Vec<u16> = (400..500).filter(|status| ![401, 403, 404, 407].contains(status)).collect();
    assert_eq!(refused, expected);
}

#[test]
fn a_route_may_have_a_gate_and_a_window_of_its_own() {
    let genesys = Profile::named("genesys-cloud").unwrap();
    let reported = genesys.route(b"POST", b"/api/v2/recordings/screen");
    let real = genesys.route(b"POST", b"/api/v2/recordings/screensessions/metadata");
    assert_eq!(genesys.gate_of(reported).kind(), "open");
    assert_eq!(genesys.gate_of(real).kind(), "not-observable");
    assert_eq!(genesys.window_of(reported).unwrap().confidence, Confidence::Reported);
    assert_eq!(genesys.window_of(real), None);
    assert_eq!(genesys.gate_of(None), &genesys.gate);
}

#[test]
fn hypotheses_have_names() {
    for good in ["inflight", "contrast:header:Accept", "contrast:header:*", "answered-by:proxy"] {
        assert!(is_hypothesis(good), "{good}");
    }
    for bad in ["", "contrast:header:", "contrast:header: ", "inflite", "contrast:nothing"] {
        assert!(!is_hypothesis(bad), "{bad}");
    }
    let mut sorted = HYPOTHESES.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), HYPOTHESES.len(), "one is there twice");
}

#[test]
fn query_values_are_those_of_the_whole_name() {
    assert_eq!(query_value(b"a=1&b=2", "b"), Some(&b"2"[..]));
    assert_eq!(query_value(b"ab=1&b", "b"), None);
    assert_eq!(query_value(b"b=", "b"), Some(&b""[..]));
    assert_eq!(query_value(b"bb=1&b=2=3", "b"), Some(&b"2=3"[..]));
}

#[test]
fn patterns_say_in_a_line_why_they_are_none() {
    assert_eq!(Pattern::parse("a(").unwrap_err(), "unclosed group");
    assert!(Pattern::parse("^4").unwrap().is_in("400"));
}

/// A template with a path of it and the values in that path.
fn expanded() -> impl Strategy<Value = (String, String, Vec<String>)> {
    let word = "[a-c]{1,3}";
    let segment = prop_oneof![
        word.prop_map(|word| (word.clone(), word, None)),
        (word, "[a-c]{0,1}", "[a-c:]{0,2}").prop_map(|(value, before, after)| {
            (format!("{before}{{NAME}}{after}"), format!("{before}{value}{after}"), Some(value))
        }),
        word.prop_map(|value| ("*".to_owned(), value, None)),
    ];
    (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(segments, rest)| {
        let (mut template, mut path, mut values) = (String::new(), String::new(), Vec::new());
        for (at, (pattern, text, value)) in segments.into_iter().enumerate() {
            template = format!("{template}/{}", pattern.replace("NAME", &format!("p{at}")));
            path = format!("{path}/{text}");
            values.extend(value);
        }
        if rest || template.is_empty() {
            template.push_str("/**");
            path.push_str("/x/y");
        }
        (template, path, values)
    })
}

proptest! {
    #[test]
    fn a_template_matches_its_expansions_and_gives_their_values((text, path, values) in expanded()) {
        let template = template(&text);
        prop_assert!(template.matches(path.as_bytes()));
        let found: Vec<&str> = params(&template, &path).into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(found, values);
        let longer = format!("{path}/");
        prop_assert_eq!(template.matches(longer.as_bytes()), text.ends_with("/**"));
    }

    #[test]
    fn the_index_finds_a_route_exactly_if_one_matches(
        all in prop::collection::vec(expanded(), 1..12),
        other in "(/[a-c]{0,3}){0,5}",
    ) {
        let mut table = Table::default();
        for (at, (text, _, _)) in all.iter().enumerate() {
            let toml = format!("[[routes]]\nid = \"r{at}\"\nmethod = \"GET\"\npath = \"{text}\"");
            let route: Route = profile(&toml).routes.iter().next().unwrap().clone();
            // Two of the same shape: the first one stays.
            let _ = table.add(route);
        }
        for path in all.iter().map(|(_, path, _)| path).chain([&other]) {
            let found = table.find(b"GET", path.as_bytes());
            let matching: Vec<_> = table.iter().filter(|route| route.template().matches(path.as_bytes())).collect();
            prop_assert_eq!(found.is_some(), !matching.is_empty(), "{}", path);
            prop_assert!(found.is_none_or(|found| found.template().matches(path.as_bytes())), "{}", path);
            prop_assert!(table.find(b"POST", path.as_bytes()).is_none());
        }
    }

    #[test]
    fn no_text_makes_templates_or_paths_panic(text in "[/{}*a.:é]{0,12}", path in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(template) = Template::parse(&text) {
            let _ = (template.matches(&path), template.params(&path).count(), template.lacks(&path).is_some());
            prop_assert_eq!(template.as_str(), text);
        }
        let _ = generic_template(&String::from_utf8_lossy(&path));
        let secrets = Secrets { frames: vec![FrameSecret::SaslPlain], ..Secrets::default() };
        let frame = [b"<auth", path.as_slice(), b"<response>", path.as_slice()].concat();
        prop_assert!(secrets.in_frame(&frame).into_iter().all(|range| frame.get(range).is_some()));
    }
}
