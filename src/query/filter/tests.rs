//! What parses, what it matches, what it says where it does not parse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::{fields::FIELDS, *};
use crate::model::{
    ConnectionId, ExchangeId, FrameId, SessionId, Side, Timestamp,
    rows::{Extent, Offsets, Phase, Phases, RewrittenRow, SocketRow},
};

const MS: u64 = 1_000_000;

fn connection() -> ConnectionRow {
    let handshake = Phase { begin_ns: Timestamp(6 * MS), end_ns: Some(Timestamp(26 * MS)) };
    ConnectionRow {
        id: ConnectionId(12),
        mode: "forward".into(),
        client: "127.0.0.1:50412".into(),
        server: Some("10.0.0.7:443".into()),
        authority: Some("api.test:443".into()),
        sni: Some("api.test".into()),
        alpn: None,
        client_tls: Some("TLSv1.3".into()),
        server_tls: Some("TLSv1.2".into()),
        opened_ns: Timestamp(5 * MS),
        phases: Phases { server_tls: Some(handshake), ..Phases::default() },
        closed_ns: Some(Timestamp(3005 * MS)),
        closed_by: Some("server".into()),
        how: Some("rst".into()),
        bytes_from_client: 1500,
        bytes_from_server: 2_000_000,
        exchanges: 3,
        frames: 40,
        gaps: 0,
        proxy_error: None,
        server_rtt_ns: Some(250_000),
        opaque: None,
        extent: Extent::default(),
    }
}

fn exchange() -> ExchangeRow {
    ExchangeRow {
        id: ExchangeId(345),
        connection: ConnectionId(12),
        session: Some(SessionId(3)),
        server: None,
        index: 2,
        method: "POST".into(),
        target: "/api/v2/recordings/abc?Expand=true".into(),
        scheme: "https".into(),
        authority: "api.test:443".into(),
        path: "/api/v2/recordings/abc".into(),
        http: "1.1".into(),
        request_headers: [
            ("Host", "api.test"),
            ("Content-Type", "application/json"),
            ("X-Tag", "one"),
            ("X-Tag", "two"),
        ]
        .into_iter()
        .collect(),
        request_body_bytes: 1500,
        status: Some(400),
        reason: Some("Bad Request".into()),
        response_headers: Some([("Content-Type", "text/html")].into_iter().collect()),
        response_body_bytes: Some(20),
        request_first_byte_ns: Timestamp(1000 * MS),
        request_last_byte_ns: Some(Timestamp(1010 * MS)),
        response_first_byte_ns: Some(Timestamp(1200 * MS)),
        response_last_byte_ns: Some(Timestamp(1250 * MS)),
        proxy_made: false,
        rewritten: vec![RewrittenRow { kind: "host".into(), from: String::new(), to: String::new() }],
        websocket: None,
        flags: vec!["metadata-before-open".into(), "malformed-json".into()],
        offsets: Offsets::default(),
        extent: Extent::default(),
    }
}

fn upgrade() -> ExchangeRow {
    let socket = SocketRow {
        server_open_ns: Some(Timestamp(1100 * MS)),
        closed_by: Some("client".into()),
        close_code: Some(1000),
        frames_from_client: 7,
        frames_from_server: 8,
        ..SocketRow::default()
    };
    ExchangeRow { scheme: "wss".into(), status: Some(101), websocket: Some(socket), flags: vec![], ..exchange() }
}

fn unanswered() -> ExchangeRow {
    ExchangeRow {
        status: None,
        reason: None,
        response_headers: None,
        response_body_bytes: None,
        response_first_byte_ns: None,
        response_last_byte_ns: None,
        ..exchange()
    }
}

fn frame() -> FrameRow {
    FrameRow {
        id: FrameId(9),
        connection: ConnectionId(12),
        exchange: ExchangeId(345),
        from: Side::Client,
        opcode: 1,
        fin: true,
        compressed: false,
        bytes: 64,
        arrived_ns: Timestamp(1500 * MS),
        written_ns: None,
        text: Some("{\"type\":\"Ping\"}".into()),
        metadata: false,
        start: 0,
        end: 0,
        extent: Extent::default(),
    }
}

fn session() -> SessionRow {
    SessionRow {
        dropped: false,
        id: SessionId(3),
        correlated_by: "header".into(),
        sure: true,
        sockets: vec![ExchangeId(1)],
        exchanges: vec![ExchangeId(2), ExchangeId(345)],
        flags: vec!["malformed-json".into()],
    }
}

fn flag() -> FlagRow {
    FlagRow {
        rule: "metadata-before-open".into(),
        severity: "warning".into(),
        subject: "x345".into(),
        session: Some(SessionId(3)),
        message: "sent 12 ms before OPEN".into(),
        evidence: vec![],
        at_ns: Timestamp(1010 * MS),
    }
}

fn parse(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// What a filter that is refused says.
fn refusal(text: &str) -> String {
    match Filter::parse(text) {
        Ok(filter) => panic!("{text} was taken as {filter}"),
        Err(error) => error.to_string(),
    }
}

fn assert_matches(row: RowRef<'_>, yes: &[&str], no: &[&str]) {
    let connection = connection();
    let joined = Joined { connection: Some(&connection), ..Joined::default() };
    for (texts, expected) in [(yes, true), (no, false)] {
        for text in texts {
            let filter = parse(text);
            filter.check(row.kind()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(filter.matches_joined(&row, &joined), expected, "{text} (which is {filter})");
            let printed = filter.to_string();
            assert_eq!(parse(&printed), filter, "{text} is printed as {printed}");
        }
    }
}

#[test]
fn exchanges() {
    let exchange = exchange();
    assert_matches(
        RowRef::Exchange(&exchange),
        &[
            "status>=400",
            "status = 400",
            "status:400",
            "code==400",
            "status!=500",
            "method=POST",
            "method=post",
            "METHOD=post and Status<401",
            "path~\"/recordings/\"",
            "path~/Recordings/[a-c]+$",
            r#"path~"/v\d/""#,
            r#"path~"/v\\d/""#,
            "path~/v\\d/",
            "path!~/users/",
            "query=expand=TRUE",
            "url=https://api.test:443/api/v2/recordings/abc?expand=true",
            "host=api.test",
            "authority=api.test:443",
            "flag:metadata-before-open",
            "flag=malformed-json",
            "flag!=host-form",
            "flag~^metadata-",
            "flag",
            "flagged",
            "header.content-type=application/json",
            "header.Content-Type~JSON",
            "header.x-tag=two",
            "header.x-tag",
            "header~'^x-tag: one$'",
            "request_headers~host",
            "response-header.content-type~html",
            "not header.authorization",
            "header.authorization!=x",
            "refused",
            "answered",
            "rewritten",
            "refused=true",
            "websocket=false",
            "websocket!=yes",
            "not websocket",
            "!websocket",
            "!!refused",
            "not not refused",
            "duration>200ms",
            "duration=250ms",
            "duration<0.3s",
            "duration>=250000us",
            "wait=190ms",
            "at>=1s",
            "request-body>1KB",
            "request-body=1.5KB",
            "request-body<1.5KiB",
            "request-body>0",
            "response-body=20",
            "body=1520",
            "session=s3",
            "id=X345",
            "kind=exchange",
            "index=2",
            "reason='bad request'",
            // From its connection.
            "client~^127.0.0.1:",
            "server=10.0.0.7:443",
            "closed-by=server and how=rst",
            "lifetime=3s",
            "server-tls-time=20ms",
            "server-rtt=250us",
            // Put together.
            "status=200 or status=400",
            "status=200 | method=POST",
            "status=200 || method=POST",
            "status=400 & method=POST",
            "status=400 && method=POST",
            "status=400 method=POST",
            "(status=200 or status=400) and method=POST",
            "status=400 or status=200 and method=GET",
            "not (status=200 or method=GET)",
            "status>=400(method=POST)",
            "  status  >=  400  ",
            // mitmproxy's.
            "~u /recordings/",
            "~c 400",
            "~m POST",
            "~m PO",
            "~h x-tag",
            "~h text/html",
            "~hq application/json",
            "~hs text/html",
            "~d api",
            "~s",
            "~http",
            "~src 127.0.0.1",
            "~dst :443",
            "~t json",
            "~t html",
            "~tq json",
            "~ts html",
            "~u /api & ~m POST",
            "~u /api ~m POST",
            "!~c 200",
            "refused ~u /api",
            "!(~c 200 | ~c 500)",
        ],
        &[
            "status>400",
            "status=404",
            "status<400",
            "method=POS",
            "path=/recordings/",
            "path~^/recordings/",
            "flag=metadata-after-close",
            "flag!=malformed-json",
            "flag!~json",
            "header.content-type=text/html",
            "header.x-tag!=two",
            "header.x-ta",
            "response-header.x-tag",
            "websocket",
            "proxy-made",
            "failed",
            "duration>250ms",
            "duration<250ms",
            "request-body>1.5KB",
            "alpn",
            "alpn=h2",
            "gaps",
            "open",
            "status=200 or status=300",
            "status=400 and method=GET",
            "(status=400 or status=200) and method=GET",
            "not refused",
            "~q",
            "~e",
            "~websocket",
            "~hs json",
            "~ts json",
            "~c 200",
            // Bodies were not given.
            "body~x",
            "request-body~x",
        ],
    );
}

#[test]
fn sockets_and_answers_that_did_not_come() {
    let (upgrade, unanswered) = (upgrade(), unanswered());
    assert_matches(
        RowRef::Exchange(&upgrade),
        &[
            "websocket",
            "~websocket",
            "close-code=1000",
            "open-time=100ms",
            "frames=15",
            "frames-from-server>7",
            "socket-closed-by=client",
            "scheme=wss",
        ],
        &["refused", "close-code!=1000", "flag"],
    );
    assert_matches(
        RowRef::Exchange(&unanswered),
        &["~q", "~e", "not answered", "not status", "status!=200", "duration!=1s", "reason!~x"],
        &["status=0", "status>=0", "status<1000", "duration<1h", "duration>=0", "refused", "reason~.*", "~s"],
    );
}

#[test]
fn refusals() {
    for (status, expected) in
        [(200, false), (400, true), (401, false), (404, false), (409, true), (429, true), (503, false)]
    {
        let row = ExchangeRow { status: Some(status), ..exchange() };
        assert_eq!(parse("refused").matches(&RowRef::Exchange(&row)), expected, "{status}");
        let ours = ExchangeRow { proxy_made: true, ..row };
        assert!(!parse("refused").matches(&RowRef::Exchange(&ours)), "{status} of ours");
    }
}

#[test]
fn other_rows() {
    let (connection, frame, session, flag) = (connection(), frame(), session(), flag());
    assert_matches(
        RowRef::Connection(&connection),
        &[
            "id=c12",
            "connection=c12",
            "kind=connection",
            "at=5ms",
            "exchanges=3",
            "frames>=40",
            "bytes-from-server>1MiB",
            "bytes-from-server=2MB",
            "sni=API.test",
            "host=api.test",
            "not open",
            "not alpn",
            "not failed",
        ],
        &["gaps", "proxy-error", "bytes-from-client>=1501", "dial-time", "dial-time>=0ms"],
    );
    assert_matches(
        RowRef::Frame(&frame),
        &[
            "from=client",
            "opcode=1",
            "type=text",
            "fin",
            "not compressed",
            "compressed=no",
            "bytes=64",
            "text~ping",
            "body~ping",
            "body=64",
            "exchange=x345",
            "connection=c12",
            "at>1s",
            "websocket",
            // The connection was joined, the exchange was not.
            "mode=forward",
            "not path",
        ],
        &["type=ping", "text=ping", "path~.*", "host~.*x"],
    );
    assert_matches(
        RowRef::Session(&session),
        &["id=s3", "session=s3", "sure", "sockets=1", "exchanges=2", "correlated-by=header", "flag:malformed-json"],
        &["flag:host-form", "sockets>1"],
    );
    assert_matches(
        RowRef::Flag(&flag),
        &[
            "rule=metadata-before-open",
            "flag:metadata-before-open",
            "severity>=warning",
            "severity>hint",
            "severity<ERROR",
            "severity!=error",
            "subject=x345",
            "session=s3",
            "message~12",
            "at<2s",
        ],
        &["severity=error", "severity!=warning", "rule=malformed-json"],
    );
}

#[test]
fn what_is_joined_is_asked_for_and_looked_into() {
    let (exchange, frame, connection) = (exchange(), frame(), connection());
    let joined = Joined {
        connection: Some(&connection),
        exchange: Some(&exchange),
        request_body: Some(b"{\"sessionId\": \xff}"),
        response_body: Some(b"Bad Request: sessionid"),
    };
    for (text, row, expected) in [
        ("body~sessionId", RowRef::Exchange(&exchange), true),
        ("~b 'bad request'", RowRef::Exchange(&exchange), true),
        ("request-body~'bad request'", RowRef::Exchange(&exchange), false),
        ("~bq 'bad request'", RowRef::Exchange(&exchange), false),
        ("~bs 'bad request'", RowRef::Exchange(&exchange), true),
        ("response-body!~'bad request'", RowRef::Exchange(&exchange), false),
        ("path~recordings", RowRef::Frame(&frame), true),
        ("status=400", RowRef::Frame(&frame), true),
        ("body~bad", RowRef::Frame(&frame), false),
    ] {
        assert_eq!(parse(text).matches_joined(&row, &joined), expected, "{text}");
    }
    let needs = |connection, exchange, bodies, frame_text| Needs { connection, exchange, bodies, frame_text };
    for (text, kind, expected) in [
        ("status=400", RowKind::Exchange, needs(false, false, false, false)),
        ("client~x or not alpn", RowKind::Exchange, needs(true, false, false, false)),
        ("exchanges=1", RowKind::Exchange, needs(true, false, false, false)),
        ("client~x", RowKind::Connection, needs(false, false, false, false)),
        ("host=x", RowKind::Frame, needs(false, true, false, false)),
        ("not (mode=x and bytes>1)", RowKind::Frame, needs(true, false, false, false)),
        ("body~x", RowKind::Exchange, needs(false, false, true, false)),
        ("body>1KB", RowKind::Exchange, needs(false, false, false, false)),
        ("body~x", RowKind::Frame, needs(false, false, false, true)),
        ("text=x", RowKind::Frame, needs(false, false, false, true)),
    ] {
        assert_eq!(parse(text).needs(kind), expected, "{text} on {kind:?}");
    }
    assert!(parse("status=1 or ~b x").needs_bodies());
    assert!(!parse("request-body>1KB").needs_bodies());
}

#[test]
fn fields_of_other_rows_are_refused_by_kind() {
    let error = parse("from=client and status>=400").check(RowKind::Exchange).unwrap_err().to_string();
    assert!(error.starts_with("`from` is a field of frames, not of exchanges\n  from=client and"), "{error}");
    assert!(error.contains("\n  ^^^^^^^^^^^\n"), "{error}");
    assert!(error.ends_with("hint: list frames instead"), "{error}");
    assert!(parse("from=client and status>=400").check(RowKind::Frame).is_ok());
    assert!(parse("status>=400").check(RowKind::Connection).is_err());
    assert!(parse("status>=400").check(RowKind::Session).is_err());
}

#[test]
fn an_error_shows_the_spot() {
    assert_eq!(
        refusal("method=POST and statu>=400"),
        format!(
            "there is no field \"statu\"\n  method=POST and statu>=400\n                  ^^^^^\n  allowed: {}\n  \
             hint: did you mean `status`?",
            FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(" ")
        )
    );
    assert_eq!(
        refusal("status=\"abc\""),
        "`status` is a number, \"abc\" is none\n  status=\"abc\"\n         ^^^^^\n  \
         allowed: = != < <= > >= with a whole number, such as 400"
    );
}

#[test]
fn errors_name_what_is_wrong() {
    for (text, told) in [
        ("", &["the end was not expected", "hint: leave the filter out"][..]),
        ("   ", &["the end was not expected"]),
        ("status", &[]),
        ("status>=", &["the end was not expected", "status` is a number", "such as 400"]),
        ("status~4..", &["`status` is a number, which `~` does not go with", "\n        ^\n"]),
        ("status=400ms", &["\"400ms\" is none"]),
        ("status=-1", &["\"-1\" is none"]),
        ("status=99999999999999999999999", &["is none"]),
        ("method>GET", &["`method` is a text, which `>` does not go with", "= != ~ !~"]),
        ("duration>200", &["`duration` is a duration", "hint: it needs a unit"]),
        ("duration>200KB", &["`duration` is a duration", "hint: it needs a unit"]),
        ("duration>1..5s", &["is none"]),
        ("duration>1.s", &["is none"]),
        ("duration>0.1ns", &["is none"]),
        ("request-body>1XB", &["is a body", "1KB"]),
        ("bytes-from-client>1XB", &["`bytes-from-client` is a size", "1.5MiB"]),
        ("flag:host-from", &["no rule is called \"host-from\"", "hint: did you mean `host-form`?"]),
        ("rule!=nosuchrule", &["no rule is called \"nosuchrule\"", "hint: to look for a part of a name"]),
        ("severity=bad", &["`severity` is a severity", "hint, warning or error"]),
        ("websocket>1", &["`websocket` is yes or no, which `>`"]),
        ("websocket=maybe", &["\"maybe\" is none"]),
        ("status.x=1", &["`status` has no parts"]),
        ("header.=1", &["a header's name"]),
        ("(status=400", &["the end was not expected", "hint: the `(` at column 1 is not closed"]),
        ("status=400)", &["\")\" was not expected", "hint: there is no `(`"]),
        ("status=400 and", &["the end was not expected", "allowed: a field"]),
        ("and status=400", &["\"and\" was not expected", "stand between"]),
        ("status=400 or or status=1", &["\"or\" was not expected"]),
        ("=400", &["hint: a field's name comes first"]),
        ("\"/recordings/\"", &["hint: name the field"]),
        ("path=\"abc", &["the text that begins at column 6 has no end", "a \" at its end"]),
        ("path~(", &["put texts with blanks or ( ) & | into quotes"]),
        ("path~\"(\"", &["the regular expression cannot be used: unclosed group"]),
        ("path~\"(a{1000}){1000}\"", &["cannot be used: it is too large"]),
        ("~x foo", &["there is no alias \"~x\"", "~websocket"]),
        ("~c", &["the end was not expected"]),
        ("recording", &["there is no field \"recording\""]),
        ("response-heade.x=1", &["did you mean `response-header`?"]),
        ("metod=x", &["did you mean `method`?"]),
        ("dur>1s", &["did you mean `duration`?"]),
        ("€", &["\"€\" was not expected"]),
    ] {
        if told.is_empty() {
            parse(text);
            continue;
        }
        let error = refusal(text);
        for part in told {
            assert!(error.contains(part), "{text}: {part} is not in\n{error}");
        }
    }
}

#[test]
fn filters_are_bounded() {
    assert!(refusal(&"a".repeat(5000)).contains("5000 bytes long"));
    assert!(refusal(&format!("path={}", "x".repeat(4095))).contains("at most 4096 bytes"));
    parse(&format!("path={}", "x".repeat(4091)));
    for (open, close) in [("(", ")"), ("not ", ""), ("!", ""), ("!(", ")")] {
        let deep = |levels: usize| format!("{}fin=false{}", open.repeat(levels), close.repeat(levels));
        assert!(refusal(&deep(if open == "!(" { 32 } else { 64 })).contains("nests too deep"), "{open}");
        let filter = parse(&deep(if open == "!(" { 31 } else { 63 }));
        assert_eq!(parse(&filter.to_string()), filter);
    }
    assert!(refusal("(((((((((((".repeat(300).as_str()).contains("nests too deep"));
    assert!(refusal("fin ".repeat(65).as_str()).contains("too many tests"));
    parse(&"fin ".repeat(64));
    // A long line is shown around its spot only.
    let error = refusal(&format!("path={} and statu=1", "x".repeat(2000)));
    assert!(error.lines().nth(1).unwrap().chars().count() < 200, "{error}");
    assert!(error.lines().nth(2).unwrap().trim() == "^^^^^", "{error}");
    let caret = error.lines().nth(2).unwrap().chars().position(|c| c == '^').unwrap();
    let line: Vec<char> = error.lines().nth(1).unwrap().chars().collect();
    assert_eq!(line[caret..caret + 5], ['s', 't', 'a', 't', 'u']);
}

#[test]
fn filters_print_plainly() {
    for (text, printed) in [
        ("a", None),
        ("~q & (~m POST | ! ~c 400)", Some("not answered and (method~POST or not status=400)")),
        ("flag:host-form path~\"a b\"", Some("flag=host-form and path~\"a b\"")),
        ("duration>=1500ms or request_body<2048", Some("duration>=1500ms or request-body<2KiB")),
        ("duration>90s and duration<0.000001ms", Some("duration>90s and duration<1ns")),
        (r#"path="a\"b\\c""#, Some(r#"path="a\"b\\c""#)),
        ("((fin and fin) and fin)", Some("fin and fin and fin")),
        ("not (fin and fin)", Some("not (fin and fin)")),
        ("reason=\"\"", Some("reason=\"\"")),
        ("~t json", Some("any-header.content-type~json")),
    ] {
        assert_eq!(Filter::parse(text).ok().map(|filter| filter.to_string()).as_deref(), printed, "{text}");
    }
}

#[test]
fn the_table_is_sound() {
    let mut names: Vec<&str> = FIELDS.iter().flat_map(|field| field.also.iter().copied().chain([field.name])).collect();
    for name in &names {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        assert!(!matches!(*name, "and" | "or" | "not"));
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name stands for one field");
    let help = help();
    for field in FIELDS {
        assert!(!field.of.is_empty() && help.contains(field.doc), "{}", field.name);
    }
    assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    // Every value has the type that the table says, whatever row it comes from.
    let (connection, exchange, frame, session, flag) = (connection(), upgrade(), frame(), session(), flag());
    let joined = Joined { connection: Some(&connection), exchange: Some(&exchange), ..Joined::default() };
    let rows = [
        RowRef::Connection(&connection),
        RowRef::Exchange(&exchange),
        RowRef::Frame(&frame),
        RowRef::Session(&session),
        RowRef::Flag(&flag),
    ];
    for row in rows {
        for field in FIELDS {
            use super::fields::{Type, Value};
            let value = (field.value)(&View::new(row, joined));
            let fits = matches!(
                (&value, field.type_),
                (Value::Unknown, _)
                    | (Value::Bool(_), Type::Bool)
                    | (Value::Number(_), Type::Number | Type::Size | Type::Duration)
                    | (Value::Text(_) | Value::Made(_) | Value::List(_), Type::Text)
                    | (Value::Text(_), Type::Severity)
                    | (Value::Headers(_), Type::Header)
                    | (Value::Body { .. }, Type::Body)
            );
            assert!(fits, "{} of {:?} is {value:?}", field.name, row.kind());
            assert!(field.reaches(row.kind()) || matches!(value, Value::Unknown), "{} of {:?}", field.name, row.kind());
        }
    }
}

/// Texts that are filters, nearly all of them.
fn any_filter() -> impl Strategy<Value = String> {
    use super::fields::Type;
    let test = prop::sample::select((0..FIELDS.len()).collect::<Vec<_>>()).prop_flat_map(|index| {
        let field = &FIELDS[index];
        let orders = "=|!=|<|<=|>|>=|:| = | >= ?";
        let texts = || "[a-z/.:-]{1,8}|\"([a-z ()&|€\n']|\\\\[\"'\\\\]|\\\\d){0,8}\"|'[^'\\\\]{0,8}'";
        let (operators, values) = match field.type_ {
            Type::Bool => ("|=|!=|:", "(true|no|yes|FALSE) "),
            Type::Text | Type::Header => ("=|!=|:| = ", texts()),
            Type::Number => (orders, "[0-9]{1,6}"),
            Type::Size | Type::Body => (orders, "[0-9]{1,6}(|b|KB|KiB|MB|mib|GiB|\\.5KiB|\\.25MB)"),
            Type::Duration => (orders, "0|[0-9]{1,6}(ns|us|ms|s|m|h|\\.5s|\\.125ms)"),
            Type::Severity => (orders, "hint|warning|Error"),
        };
        let pattern = matches!(field.type_, Type::Text | Type::Header | Type::Body);
        let part = if field.type_ == Type::Header { "|\\.x-y|\\.A_b" } else { "" };
        prop_oneof![
            3 => (part, operators, values).prop_map(move |(part, operator, value)| {
                let value = if operator.is_empty() { "" } else { value.as_str() };
                format!("{}{part}{operator}{value}", field.name)
            }),
            1 => (part, "~|!~| ~ ", "[a-z/.]{1,8}|\"[a-z |\\\\]{0,4}[a-z]\"").prop_map(move |(part, operator, value)| {
                let look = if pattern { format!("{operator}{value}") } else { String::new() };
                format!("{}{part}{look}", field.name)
            }),
        ]
    });
    let alias =
        ("(u|c|m|h|hq|hs|d|b|bq|bs|e|websocket|http|q|s|src|dst|t|tq|ts)", "[a-z0-9]{0,4}").prop_map(|(name, word)| {
            match name.as_str() {
                "e" | "websocket" | "http" | "q" | "s" => format!("~{name}"),
                "c" => "~c 400".to_owned(),
                _ => format!("~{name} a{word}"),
            }
        });
    let term = prop_oneof![4 => test, 1 => alias];
    term.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 2..4), prop::sample::select(vec![" and ", " or ", "|", "&", " "]))
                .prop_map(|(parts, between)| parts.join(between)),
            inner.clone().prop_map(|inner| format!("not {inner}")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            inner.prop_map(|inner| format!("({inner})")),
        ]
    })
}

/// Whatever parses prints as what parses to the same, and matches without panic; whatever does not says where.
fn check(text: &str) {
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            let again = Filter::parse(&printed).unwrap_or_else(|error| panic!("{text:?} prints {printed:?}\n{error}"));
            assert_eq!(again, filter, "{text:?} prints {printed:?}");
            assert_eq!(again.to_string(), printed);
            let (exchange, frame) = (exchange(), frame());
            for row in [RowRef::Exchange(&exchange), RowRef::Frame(&frame)] {
                assert_eq!(again.matches(&row), filter.matches(&row));
            }
        }
        Err(error) => {
            let place = error.place();
            assert!(text.get(place.clone()).is_some(), "{place:?} is a place in {text:?}");
            assert!(error.to_string().contains("\n  allowed: "));
        }
    }
}

proptest! {
    #[test]
    fn filters_round_trip(text in any_filter()) {
        check(&text);
    }

    #[test]
    fn anything_is_taken_or_refused(text in "\\PC{0,60}") {
        check(&text);
    }

    #[test]
    fn pieces_are_taken_or_refused(pieces in prop::collection::vec(prop::sample::select(vec![
        "status", "path", "fin", "header", ".", "and", "or", "not", "!", "&", "|", "(", ")", "=", "~", "<", ">", ":",
        "400", "ms", "\"", "'", "\\", " ", "~u", "~c", "x", "€", "\n",
    ]), 0..20)) {
        check(&pieces.concat());
    }
}
