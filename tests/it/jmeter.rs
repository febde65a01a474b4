//! The main job on real input: JMeter 5.6.3 with HTTP samplers and the WebSocket Samplers plugin, through the product, to
//! an HTTPS and WebSocket origin on loopback.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::support::{
    jmeter::Plan,
    origin::Behaviour,
    product::{Product, describe},
    tool,
};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

fn count(rows: &[BTreeMap<String, String>], label: &str) -> usize {
    rows.iter().filter(|row| row["label"] == label).count()
}

#[test]
fn everything_that_fifty_threads_do_is_in_the_capture_and_nothing_else() {
    let (threads, loops) = (50, 2);
    let run = Plan::new("screen-recording.jmx")
        .property("threads", threads)
        .property("loops", loops)
        .run(Behaviour::default());
    let iterations = (threads * loops) as usize;
    assert_eq!(run.rows.len(), iterations * 8);
    assert!(run.rows.iter().all(|row| row["success"] == "true"), "JMeter saw an error");

    // Exchanges: what JMeter's rows say it sent, what the origin says it got, and what the capture says are the same.
    let exchanges = run.product.json("ls", &["exchanges"]);
    let captured = |exchange: &Value| {
        (text(exchange, "method").to_owned(), text(exchange, "path").to_owned(), exchange["status"].as_u64().unwrap())
    };
    let seen = run.log.requests.iter().map(|seen| (seen.method.clone(), seen.target.clone(), u64::from(seen.status)));
    assert_eq!(sorted(exchanges.iter().map(captured)), sorted(seen));
    let of = |part: &str| exchanges.iter().filter(|x| text(x, "path").contains(part)).count();
    assert_eq!(of("/notifications/channels"), count(&run.rows, "create channel"));
    assert_eq!(of("/recordings/screen"), count(&run.rows, "recording metadata"));
    assert_eq!(of("/scripts/"), count(&run.rows, "fetch script"));
    assert_eq!(exchanges.iter().filter(|x| !x["websocket"].is_null()).count(), count(&run.rows, "open socket"));

    // Byte counts: JMeter's sentBytes is the length of the decrypted request, head and body (measured).
    let mut sent = Vec::new();
    let sample = |part: &str| {
        let exchange = exchanges.iter().find(|x| text(x, "path").contains(part)).unwrap();
        run.product.output("show", &[text(exchange, "id"), "--raw", "request"]).len().to_string()
    };
    for (label, part) in [("recording metadata", "/recordings/screen"), ("fetch script", "/scripts/")] {
        let bytes = sample(part);
        assert!(run.rows.iter().any(|row| row["label"] == label && row["sentBytes"] == bytes), "{label}: {bytes}");
        sent.push(bytes);
    }
    // The identity headers came from JMeter, are in the record, and did not reach the origin.
    for exchange in &exchanges {
        let names = exchange["request_headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap());
        assert!(names.clone().any(|name| name == "X-JM-Thread"), "{exchange}");
    }
    let stripped =
        |seen: &crate::support::origin::Seen| seen.headers.iter().all(|(name, _)| !name.starts_with("x-jm-"));
    assert!(run.log.requests.iter().all(stripped), "an identity header reached the origin");

    // Frames: the very texts, in both directions.
    let frames = run.product.json("ls", &["frames"]);
    let texts = |from: &str| {
        sorted(frames.iter().filter(|f| f["from"] == from && f["opcode"] == 1).map(|f| text(f, "text").to_owned()))
    };
    assert_eq!(texts("client"), sorted(run.log.from_clients.clone()));
    assert_eq!(texts("server"), sorted(run.log.to_clients.clone()));
    let closes = frames.iter().filter(|f| f["opcode"] == 8 && f["from"] == "client").count();
    assert_eq!(closes, count(&run.rows, "close socket"));

    // The instants of OPEN are there and in order.
    for socket in exchanges.iter().map(|x| &x["websocket"]).filter(|socket| !socket.is_null()) {
        let at = |key: &str| socket[key].as_u64().unwrap_or_else(|| panic!("{key} of {socket}"));
        assert!(at("server_open_ns") <= at("open_write_begun_ns"));
        assert!(at("open_write_begun_ns") <= at("client_open_written_ns"));
        assert!(at("open_write_begun_ns") <= at("first_frame_from_client_ns"));
        assert_eq!(text(socket, "closed_by"), "client");
        assert_eq!(at("close_code"), 1000);
    }

    // Each thread is a session, found by its header, and a plan that waits raises no flag.
    let sessions = run.product.json("ls", &["sessions"]);
    assert_eq!(sessions.len(), threads as usize);
    assert!(sessions.iter().all(|s| s["sure"] == true && s["correlated_by"] == "header"));
    assert_eq!(run.product.json("ls", &["flags"]), Vec::<Value>::new());
    assert!(run.printed.contains("connections"), "{}", run.printed);
    let verified = run.product.output("verify", &[]);
    assert!(!verified.is_empty());
}

#[test]
fn a_plan_that_does_not_wait_for_open_is_flagged() {
    // The first use of Java's client takes it half a second, so the plan posts one second after it began to open the
    // socket, and the 101 comes later than that.
    let late = Behaviour { open_after: Duration::from_secs(3), ..Behaviour::default() };
    let run =
        Plan::new("posts-too-early.jmx").property("threads", 10).property("loops", 1).property("think", 1000).run(late);
    let posts = |seen: &&crate::support::origin::Seen| seen.target.ends_with("/recordings/screen");
    let refused = run.log.requests.iter().filter(posts).filter(|seen| seen.status == 400).count();
    assert!(refused > 0, "the plan was meant to be refused");

    let flags = run.product.json("ls", &["flags"]);
    let early: Vec<&Value> = flags.iter().filter(|flag| flag["rule"] == "metadata-before-open").collect();
    let proven = early.iter().filter(|flag| flag["severity"] == "error").count();
    assert!(proven > 0, "{flags:?}");
    for flag in &early {
        let exchange = run.product.json("show", &[text(flag, "subject")]).remove(0);
        assert_eq!(text(&exchange, "path"), "/api/v2/recordings/screen");
    }
    assert!(run.printed.contains("metadata-before-open"), "{}", run.printed);
}

#[test]
fn a_run_that_reaches_nobody_says_so() {
    let product = Product::new(None);
    let output = product.command("run").args(["--", "true"]).output().unwrap();
    let all = describe(&output).to_lowercase();
    assert!(all.contains("nothing reached the proxy"), "{all}");
}

#[test]
fn its_own_record_is_laid_beside_the_wire() {
    let (threads, loops) = (8, 2);
    let run = Plan::new("screen-recording.jmx")
        .property("threads", threads)
        .property("loops", loops)
        .run(Behaviour::default());
    let jtl = run.product.folder.path().join("out.jtl");
    assert!(run.printed.contains("rows joined with the wire"), "{}", run.printed);
    assert!(run.printed.contains("verdict"), "{}", run.printed);
    let mut verdict = run.product.json("diagnose", &["--jtl", jtl.to_str().unwrap()]);
    let beside = verdict[0]["jtl"].take();
    let page = run.product.folder.path().join("report.html");
    let html = ["--jtl", jtl.to_str().unwrap(), "--html", page.to_str().unwrap()];
    run.product.json("diagnose", &html);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("JMeter's record") && page.contains("as JMeter's dashboard has"), "{page}");
    assert_eq!(beside["rows"], run.rows.len());
    for nothing in ["not_found", "without_row", "differing", "never_sent", "malformed"] {
        assert_eq!(beside[nothing], Value::Array(Vec::new()), "{nothing}");
    }

    // Each pair is the right one: the identity headers say so.
    let exchanges = run.product.json("ls", &["exchanges"]);
    let pairs = beside["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), exchanges.len());
    for pair in pairs {
        let row = &run.rows[pair["line"].as_u64().unwrap() as usize - 2];
        let exchange = exchanges.iter().find(|exchange| exchange["id"] == pair["exchange"]).unwrap();
        let header = |wanted: &str| {
            let headers = exchange["request_headers"].as_array().unwrap();
            headers.iter().find(|header| header[0] == wanted).unwrap()[1].as_str().unwrap().to_owned()
        };
        assert_eq!(header("X-JM-Sampler"), row["label"], "{pair}");
        let number = row["threadName"].rsplit('-').next().unwrap().to_owned();
        assert!(header("X-JM-Thread").contains(&format!("/{number}@")), "{pair} {row:?}");
    }

    // The figures are those of JMeter's own dashboard for the same file.
    let dashboard = run.product.folder.path().join("dashboard");
    let made = std::process::Command::new(tool("jmeter/bin/jmeter"))
        .arg("-g")
        .arg(&jtl)
        .arg("-o")
        .arg(&dashboard)
        .arg("-j")
        .arg(run.product.folder.path().join("report.log"))
        .env("HOME", run.product.folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", describe(&made));
    let theirs = std::fs::read_to_string(dashboard.join("statistics.json")).unwrap();
    let theirs: BTreeMap<String, Value> = serde_json::from_str(&theirs).unwrap();
    let ours = beside["statistics"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for figures in ours {
        let theirs = &theirs[text(figures, "transaction")];
        for (name, value) in figures.as_object().unwrap().iter().filter(|(_, value)| value.is_number()) {
            let (ours, theirs) = (value.as_f64().unwrap(), theirs[name].as_f64().unwrap());
            // It writes some of them as 32-bit numbers.
            assert!((ours - theirs).abs() <= 1e-4 * theirs.abs().max(1.0), "{name} of {figures}: {theirs}");
        }
    }

    // A file of another day is refused, with both ranges.
    let moved = run.product.folder.path().join("moved.jtl");
    let text = std::fs::read_to_string(&jtl).unwrap();
    let day = |line: &str| match line.split_once(',') {
        Some((at, rest)) if at.parse::<i64>().is_ok() => format!("{},{rest}", at.parse::<i64>().unwrap() - 86_400_000),
        _ => line.to_owned(),
    };
    std::fs::write(&moved, text.lines().map(day).collect::<Vec<_>>().join("\n")).unwrap();
    let refused = run.product.command("diagnose").arg("--jtl").arg(&moved).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = describe(&refused);
    assert!(said.contains("is of another run: its rows go from 20") && said.contains("the capture from 20"), "{said}");
}
