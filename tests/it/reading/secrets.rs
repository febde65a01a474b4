//! A profile's secrets that no name marks: in paths and in messages, through the whole program.

use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZ2VudC03In0.c2lnbmF0dXJl";
const CHANNEL: &str = "streaming-5-0123456789abcdef";
const BEARER: &str = "bearer-t0ken-abcdef0123456789";
const SASL_TOKEN: &str = "sasl-t0ken-0123456789";

/// A channel is created, its socket opened; a second socket bears a JWT in its path and SASL in a frame.
fn play(script: &mut Script<'_>) {
    script.open_tunnel(1, "api.mypurecloud.com:443");
    let created = format!(
        "{{\"connectUri\":\"wss://streaming.mypurecloud.com/channels/{CHANNEL}\",\"id\":\"{CHANNEL}\",\"expires\":\"x\"}}"
    );
    script.say(
        1,
        Side::Client,
        b"POST /api/v2/notifications/channels HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n\r\n",
    );
    let length = created.len();
    script.say(1, Side::Server, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{created}").as_bytes());
    let subscribe = format!(
        "GET /api/v2/notifications/channels/{CHANNEL}/subscriptions HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n\r\n"
    );
    script.say(1, Side::Client, subscribe.as_bytes());
    script.say(1, Side::Server, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");

    // A body that echoes what only a head names, and a head what only another exchange's body names.
    let echo = format!("<p>{BEARER} is no good for {CHANNEL}</p>");
    let length = echo.len();
    let again = format!("GET /api/v2/users/me HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {BEARER}\r\n\r\n");
    script.say(1, Side::Client, again.as_bytes());
    script.say(1, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    script.say(1, Side::Client, b"GET /api/v2/users/you HTTP/1.1\r\nHost: api\r\n\r\n");
    script.say(1, Side::Server, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{echo}").as_bytes());

    // What stands where a channel is missing is none.
    let unresolved = "GET /api/v2/notifications/channels/NOT_FOUND/subscriptions HTTP/1.1\r\nHost: api\r\n\r\n";
    script.say(1, Side::Client, unresolved.as_bytes());
    script.say(1, Side::Server, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");

    script.open_tunnel(2, "streaming.mypurecloud.com:443");
    let upgrade = format!(
        "GET wss://streaming.mypurecloud.com/stream/jwt/{JWT} HTTP/1.1\r\nHost: streaming\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nReferer: https://apps.mypurecloud.com/stream/jwt/{JWT}?a=b\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    script.say(2, Side::Client, upgrade.as_bytes());
    script.say(2, Side::Server, SWITCHING.as_bytes());
    let plain = STANDARD.encode(format!("\0authKey\0{SASL_TOKEN}"));
    let auth = format!("<auth mechanism='PLAIN'>{plain}</auth>");
    script.say(2, Side::Client, &scenario::masked(1, auth.as_bytes()));
    script.say(2, Side::Server, &scenario::unmasked(1, format!("<echo of='{SASL_TOKEN}'/>").as_bytes()));

    // What another connection's request bears.
    script.say(2, Side::Server, &scenario::unmasked(1, format!("<known as='{BEARER}'/>").as_bytes()));

    // Somebody else repeats it, and says it where no secret is looked for.
    script.open_tunnel(3, "other.mypurecloud.com:443");
    let echo = format!(
        "GET /echo/{BEARER} HTTP/1.1\r\nHost: other\r\nX-Echo: {BEARER}\r\n{BEARER}: name\r\nBad {BEARER} line\r\n\r\n"
    );
    script.say(3, Side::Client, echo.as_bytes());
    let body = format!("{{\"echo\":\"{BEARER}\"}}");
    let length = body.len();
    let answer = format!("HTTP/1.1 200 {BEARER}\r\nContent-Length: {length}\r\n\r\n{body}");
    script.say(3, Side::Server, answer.as_bytes());
}

fn capture(captures: &Path, sealed: bool) {
    let (mut dir, mut writer) = create_with(captures, 1 << 20, serde_json::json!({"profile": "genesys-cloud"}));
    record_with(&mut writer, play);
    if sealed {
        writer.seal().unwrap();
        dir.set_state(State::Clean).unwrap();
    }
}

#[test]
fn a_profiles_secrets_in_paths_and_messages_are_fingerprints_wherever_they_are_shown() {
    for sealed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        capture(folder.path(), sealed);
        if sealed {
            assert_eq!(firstframe(folder.path(), &["reindex"]).0, 0);
        }
        let everything: [&[&str]; 23] = [
            &["ls", "exchanges", "--json"],
            &["ls", "exchanges"],
            &["ls", "frames", "--json"],
            &["ls", "flags", "--json"],
            &["show", "x1"],
            &["show", "x2", "--json"],
            &["show", "x3"],
            &["show", "x5"],
            &["show", "x6"],
            &["show", "x7"],
            &["show", "f3"],
            &["show", "f3", "--json"],
            &["show", "s2"],
            &["show", "x7", "--json"],
            &["show", "c3"],
            &["show", "c2"],
            &["show", "f1", "--json"],
            // What one frame names, the other only echoes: each is asked for alone.
            &["show", "f2"],
            &["show", "f2", "--json"],
            &["ls", "frames", "--json", "--filter", "from=server"],
            &["tail", "--frames", "-n", "5", "--json"],
            &["show", "s1"],
            &["show", "x4"],
        ];
        for arguments in everything {
            let (code, out, err) = firstframe(folder.path(), arguments);
            assert_eq!(code, 0, "{arguments:?}: {err}");
            for secret in [JWT, CHANNEL, BEARER, SASL_TOKEN, &STANDARD.encode(format!("\0authKey\0{SASL_TOKEN}"))] {
                assert!(!out.contains(secret), "{arguments:?} (sealed: {sealed}) shows {secret}:\n{out}");
            }
        }
        let rows = firstframe(folder.path(), &["ls", "exchanges", "--json"]).1;
        let targets: Vec<String> = rows
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap()["target"].as_str().unwrap().to_owned())
            .collect();
        assert!(targets[1].starts_with("/api/v2/notifications/channels/token:"), "{targets:?}");
        assert_eq!(targets[4], "/api/v2/notifications/channels/NOT_FOUND/subscriptions");
        let flags = firstframe(folder.path(), &["ls", "flags", "--json", "--filter", "rule=unresolved-variable"]).1;
        assert!(flags.contains("channels/NOT_FOUND") && flags.contains("NOT_FOUND is what extractors give"), "{flags}");
        // The text shows a secret as its row does.
        let row = firstframe(folder.path(), &["show", "x7", "--json"]).1;
        let row: Value = serde_json::from_str(&row).unwrap();
        let shown = firstframe(folder.path(), &["show", "x7"]).1;
        for said in [&row["target"], &row["request_headers"][1][1], &row["reason"]] {
            assert!(
                said.as_str().unwrap().contains("token:") && shown.contains(said.as_str().unwrap()),
                "{said}: {shown}"
            );
        }
        assert!(targets[5].starts_with("wss://streaming.mypurecloud.com/stream/jwt/token:"), "{targets:?}");
        let kept = firstframe(folder.path(), &["ls", "exchanges", "--json", "--keep-secrets"]).1;
        assert!(kept.contains(JWT) && kept.contains(CHANNEL), "{kept}");
    }
}
