//! The load: connections that keep one operation (or a batch of frames) in flight each, through the proxy to the origin.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
};
use tokio_rustls::client::TlsStream;

/// What is done, and over how many connections.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub kind: String,
    pub connections: usize,
}

impl Scenario {
    pub fn parse(name: &str) -> Self {
        let (kind, connections) = name.split_once(':').unwrap();
        Self { kind: kind.to_owned(), connections: connections.parse().unwrap() }
    }
}

/// What a window gave.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    pub operations: u64,
    pub errors: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Outcome {
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

/// A load in a process of its own.
pub struct Remote {
    process: std::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Remote {
    pub fn start(scenario: &Scenario, proxy: u16, origin: u16, folder: &Path, seconds: f64) -> Self {
        Self::spawn(scenario, proxy, origin, folder, &format!("{seconds}"), "0")
    }

    /// Ends after so many operations instead of after some seconds.
    pub fn counted(scenario: &Scenario, proxy: u16, origin: u16, folder: &Path, operations: u64) -> Self {
        Self::spawn(scenario, proxy, origin, folder, "3600", &operations.to_string())
    }

    fn spawn(scenario: &Scenario, proxy: u16, origin: u16, _folder: &Path, seconds: &str, operations: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["role-load", &scenario.kind, &scenario.connections.to_string()])
            .args([&proxy.to_string(), &origin.to_string(), seconds, operations])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    pub fn wait_for(&mut self, word: &str) {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("the load ended before {word:?}")).unwrap();
            if line == word {
                return;
            }
        }
    }

    pub fn outcome(mut self) -> Outcome {
        let line = self.lines.next().unwrap().unwrap();
        self.process.wait().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

struct Plan {
    kind: String,
    proxy: u16,
    origin: u16,
    request: Vec<u8>,
    resume: Arc<rustls::ClientConfig>,
    ready: Barrier,
    measuring: AtomicBool,
    stop: AtomicBool,
    operations: AtomicU64,
    errors: AtomicU64,
    wanted: u64,
    pace: Option<Duration>,
}

pub fn run(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    let kind = arguments[0].clone();
    let connections = number(1) as usize;
    let seconds: f64 = arguments[4].parse().unwrap();
    let wanted = number(5);
    let host = format!("localhost:{}", number(3));
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n\r\n"
        )
        .into_bytes()
    };
    let request = match kind.as_str() {
        "post" => {
            let body = format!("{{\"payload\":\"{}\"}}", "y".repeat(1024 - 14));
            format!(
                "POST /api/v2/recordings/screen HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: {}\r\nUser-Agent: bench/1\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        }
        "b64k" => get("/b/65536"),
        "b1m" => get("/b/1048576"),
        _ => get("/b/20"),
    };
    let plan = Arc::new(Plan {
        proxy: number(2) as u16,
        origin: number(3) as u16,
        request,
        resume: super::tls::client(false),
        ready: Barrier::new(connections + 1),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        operations: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        wanted,
        // 200 operations a second over all connections, open loop.
        pace: (kind == "low").then(|| Duration::from_secs_f64(connections as f64 / 200.0)),
        kind,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let permits = Arc::new(tokio::sync::Semaphore::new(50));
        let tasks: Vec<_> =
            (0..connections).map(|number| tokio::spawn(client(plan.clone(), number, permits.clone()))).collect();
        plan.ready.wait().await;
        if plan.wanted == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        plan.measuring.store(true, Ordering::SeqCst);
        println!("begin");
        let begin = Instant::now();
        let before = plan.operations.load(Ordering::SeqCst);
        while begin.elapsed().as_secs_f64() < seconds
            && (plan.wanted == 0 || plan.operations.load(Ordering::Relaxed) < plan.wanted)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let operations = plan.operations.load(Ordering::SeqCst) - before;
        let seconds = begin.elapsed().as_secs_f64();
        println!("end");
        plan.stop.store(true, Ordering::SeqCst);
        let mut latencies = Vec::new();
        if plan.kind != "wsidle" {
            for task in tasks {
                latencies.extend(task.await.unwrap());
            }
        }
        latencies.sort_unstable();
        let quantile =
            |q: f64| latencies.get((latencies.len() as f64 * q) as usize).map_or(f64::NAN, |ns| *ns as f64 / 1000.0);
        let or_zero = |us: f64| if us.is_nan() { 0.0 } else { us };
        Outcome {
            operations,
            errors: plan.errors.load(Ordering::SeqCst),
            seconds,
            p50_us: or_zero(quantile(0.5)),
            p99_us: or_zero(quantile(0.99)),
        }
    });
    println!("{}", serde_json::to_string(&outcome).unwrap());
    std::process::exit(0);
}

async fn client(plan: Arc<Plan>, number: usize, permits: Arc<tokio::sync::Semaphore>) -> Vec<u64> {
    let mut latencies = Vec::new();
    if matches!(plan.kind.as_str(), "newc" | "wsopen") {
        plan.ready.wait().await;
        while !plan.stop.load(Ordering::Relaxed) {
            let begin = Instant::now();
            match once(&plan).await {
                Ok(()) => count(&plan, begin, 1, &mut latencies),
                Err(error) => fail(&plan, &error),
            }
        }
        return latencies;
    }
    let permit = permits.acquire().await.unwrap();
    let mut stream = match connect(&plan).await {
        Ok(stream) => stream,
        Err(error) => {
            fail(&plan, &error);
            plan.ready.wait().await;
            return latencies;
        }
    };
    let mut buffer = vec![0; 64 * 1024];
    let web_socket = plan.kind.starts_with("ws");
    if web_socket && let Err(error) = upgrade(&plan, &mut stream, &mut buffer).await {
        fail(&plan, &error);
    }
    drop(permit);
    plan.ready.wait().await;
    if plan.kind == "wsidle" {
        drop(buffer);
        std::future::pending::<()>().await;
        return latencies;
    }
    let batch = if plan.kind == "wspipe" { 32 } else { 1 };
    let frames = frames(64, batch);
    let reply = (2 + 64) * batch;
    let mut next =
        tokio::time::Instant::now() + plan.pace.map_or(Duration::ZERO, |pace| pace.mul_f64(number as f64 / 10.0));
    while !plan.stop.load(Ordering::Relaxed) {
        let mut begin = Instant::now();
        if let Some(pace) = plan.pace {
            tokio::time::sleep_until(next).await;
            begin = Instant::now();
            next += pace;
        }
        let done = if web_socket {
            exchange_frames(&mut stream, &frames, reply, &mut buffer).await
        } else {
            exchange(&mut stream, &plan.request, &mut buffer).await
        };
        match done {
            Ok(()) => count(&plan, begin, batch as u64, &mut latencies),
            Err(error) => {
                fail(&plan, &error);
                break;
            }
        }
    }
    latencies
}

fn count(plan: &Plan, begin: Instant, operations: u64, latencies: &mut Vec<u64>) {
    plan.operations.fetch_add(operations, Ordering::Relaxed);
    if plan.measuring.load(Ordering::Relaxed) && latencies.len() < 2_000_000 {
        latencies.push(begin.elapsed().as_nanos() as u64);
    }
}

fn fail(plan: &Plan, error: &std::io::Error) {
    if !plan.stop.load(Ordering::Relaxed) && plan.errors.fetch_add(1, Ordering::Relaxed) == 0 {
        eprintln!("{}: {error}", plan.kind);
    }
}

async fn connect(plan: &Plan) -> std::io::Result<TlsStream<TcpStream>> {
    let mut tcp = TcpStream::connect(("127.0.0.1", plan.proxy)).await?;
    tcp.set_nodelay(true)?;
    let connect = format!("CONNECT localhost:{0} HTTP/1.1\r\nHost: localhost:{0}\r\n\r\n", plan.origin);
    tcp.write_all(connect.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(std::io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(plan.resume.clone()).connect(name, tcp).await
}

/// A connection, an operation, and its end.
async fn once(plan: &Plan) -> std::io::Result<()> {
    let mut stream = connect(plan).await?;
    let mut buffer = vec![0; 4096];
    if plan.kind == "wsopen" {
        upgrade(plan, &mut stream, &mut buffer).await?;
    } else {
        exchange(&mut stream, &plan.request, &mut buffer).await?;
    }
    // A reset leaves no TIME_WAIT behind, of which a long run would have too many.
    stream.get_ref().0.set_zero_linger()
}

async fn upgrade(plan: &Plan, stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> std::io::Result<()> {
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: localhost:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        plan.origin
    );
    stream.write_all(request.as_bytes()).await?;
    let mut have = 0;
    loop {
        have += some(stream, &mut buffer[have..]).await?;
        if buffer[..have].ends_with(b"\r\n\r\n") {
            return Ok(());
        }
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8], buffer: &mut [u8]) -> std::io::Result<()> {
    stream.write_all(request).await?;
    let mut have = 0;
    let head_end = loop {
        have += some(stream, &mut buffer[have..]).await?;
        if let Some(at) = memchr::memmem::find(&buffer[..have], b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = &buffer[..head_end];
    let at = memchr::memmem::find(head, b"Content-Length: ").unwrap() + 16;
    let digits = head[at..].iter().take_while(|b| b.is_ascii_digit()).map(|b| usize::from(b - b'0'));
    let length = digits.fold(0, |n, digit| n * 10 + digit);
    let mut left = length - (have - head_end);
    while left > 0 {
        left -= some(stream, buffer).await?;
    }
    Ok(())
}

async fn exchange_frames(
    stream: &mut TlsStream<TcpStream>,
    frames: &[u8],
    reply: usize,
    buffer: &mut [u8],
) -> std::io::Result<()> {
    stream.write_all(frames).await?;
    let mut have = 0;
    while have < reply {
        have += some(stream, buffer).await?;
    }
    Ok(())
}

async fn some(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        n => Ok(n),
    }
}

/// `count` masked text frames of `size` bytes.
fn frames(size: usize, count: usize) -> Vec<u8> {
    let mut one = vec![0x81, 0x80 | size as u8, 1, 2, 3, 4];
    one.extend((0..size).map(|i| b'a' ^ [1, 2, 3, 4][i % 4]));
    one.repeat(count)
}
