//! An API to test against: HTTPS and WebSocket on one loopback port, with the shape of the two reports.
//!
//! It logs what reached it, so that a capture can be compared with the truth. `examples/origin.rs` serves the same API
//! to anyone who wants to try a plan without an API of their own.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// How the API behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// The 101 is held back for so long.
    pub open_after: Duration,
    /// After the 101, the socket counts as registered so much later.
    pub registered_after: Duration,
    /// It says so in a frame.
    pub says_ready: bool,
    /// Serve plain HTTP instead of HTTPS.
    pub plain: bool,
}

/// One request as it reached the API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the example logs only some of it")]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub status: u16,
}

/// What reached the API so far.
#[derive(Debug, Default)]
pub struct Log {
    pub requests: Vec<Seen>,
    /// Text frames that clients sent.
    pub from_clients: Vec<String>,
    /// Text frames that were sent to clients.
    pub to_clients: Vec<String>,
}

/// A running API; it ends with its runtime.
#[allow(dead_code, reason = "not every user of this file needs all of it")]
pub struct Origin {
    pub address: SocketAddr,
    /// The root that signed its certificate.
    pub ca_pem: String,
    pub log: Arc<Mutex<Log>>,
}

struct Api {
    behaviour: Behaviour,
    log: Arc<Mutex<Log>>,
    registered: Mutex<BTreeSet<String>>,
    next: AtomicU64,
}

impl Origin {
    /// Listens on `port` of loopback (0 picks one). The certificate is for `localhost`, `api.test`, `ws.test`, `api.mypurecloud.com` and
    /// 127.0.0.1.
    pub async fn start(port: u16, behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let (ca_pem, tls) = certificate();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let log = Arc::new(Mutex::new(Log::default()));
        let api = Arc::new(Api { behaviour, log: log.clone(), registered: Mutex::default(), next: AtomicU64::new(1) });
        tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { continue };
                let _ = tcp.set_nodelay(true);
                let (api, acceptor) = (api.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(api.clone(), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    if behaviour.plain {
                        let _ = http.serve_connection(TokioIo::new(tcp), service).with_upgrades().await;
                    } else if let Ok(stream) = acceptor.accept(tcp).await {
                        let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                    }
                });
            }
        });
        Ok(Self { address, ca_pem, log })
    }
}

/// A fresh root and a server configuration with a leaf of it.
pub fn certificate() -> (String, rustls::ServerConfig) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "Firstframe test origin");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);

    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["localhost", "api.test", "ws.test", "api.mypurecloud.com", "127.0.0.1"].map(String::from);
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    (root_certificate.pem(), tls)
}

async fn answer(api: Arc<Api>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let method = request.method().clone();
    let target = request.uri().to_string();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let path = request.uri().path().to_owned();
    let seen = |status: StatusCode, body: String| Seen {
        method: method.to_string(),
        target,
        headers,
        body,
        status: status.as_u16(),
    };

    if request.headers().contains_key(header::UPGRADE) {
        if let Some(channel) = path.strip_prefix("/channels/") {
            return Ok(open(&api, channel.to_owned(), Speaks::Answers, request, seen).await);
        }
        if let Some(channel) = path.strip_prefix("/mute/") {
            return Ok(open(&api, channel.to_owned(), Speaks::Never, request, seen).await);
        }
        if let Some(channel) = path.strip_prefix("/shy/") {
            return Ok(open(&api, channel.to_owned(), Speaks::WhenGreeted, request, seen).await);
        }
    }
    let body = String::from_utf8_lossy(&request.into_body().collect().await?.to_bytes()).into_owned();
    let (status, text) = match (&method, path.as_str()) {
        (&Method::POST, "/api/v2/notifications/channels") => {
            let id = format!("channel-{:08x}", api.next.fetch_add(1, Ordering::Relaxed));
            (StatusCode::OK, format!(r#"{{"id":"{id}","connectUri":"/channels/{id}"}}"#))
        }
        (&Method::POST, "/api/v2/recordings/screen") => {
            let session = serde_json::from_str::<serde_json::Value>(&body)
                .ok()
                .and_then(|json| json.get("sessionId").and_then(|id| id.as_str()).map(String::from));
            match session {
                Some(session) if api.registered.lock().unwrap().contains(&session) => {
                    (StatusCode::OK, r#"{"accepted":true}"#.to_owned())
                }
                _ => (
                    StatusCode::BAD_REQUEST,
                    r#"{"message":"Invalid recording payload structure","code":"bad.request","status":400}"#.to_owned(),
                ),
            }
        }
        (&Method::GET, path) if path.starts_with("/api/v2/scripts/") => {
            (StatusCode::OK, format!(r#"{{"id":"{}","pages":[]}}"#, path.trim_start_matches("/api/v2/scripts/")))
        }
        _ => (StatusCode::NOT_FOUND, r#"{"message":"not found","code":"not.found","status":404}"#.to_owned()),
    };
    api.log.lock().unwrap().requests.push(seen(status, body));
    Ok(json(status, text))
}

/// Whether a socket answers what it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Answers,
    /// A greeting alone: once a kernel has seen that its socket answers, it delays acknowledgements in wait for an answer.
    WhenGreeted,
    Never,
}

impl Speaks {
    fn answers(self, text: &str) -> bool {
        match self {
            Self::Answers => true,
            Self::WhenGreeted => text.contains("hello"),
            Self::Never => false,
        }
    }
}

async fn open(
    api: &Arc<Api>,
    channel: String,
    speaks: Speaks,
    mut request: Request<Incoming>,
    seen: impl FnOnce(StatusCode, String) -> Seen,
) -> Response<Full<Bytes>> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        api.log.lock().unwrap().requests.push(seen(StatusCode::BAD_REQUEST, String::new()));
        return json(StatusCode::BAD_REQUEST, r#"{"message":"no key"}"#.to_owned());
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::time::sleep(api.behaviour.open_after).await;
    api.log.lock().unwrap().requests.push(seen(StatusCode::SWITCHING_PROTOCOLS, String::new()));
    let api = api.clone();
    let Behaviour { registered_after, says_ready, .. } = api.behaviour;
    let mut waits = !registered_after.is_zero();
    if !waits {
        api.registered.lock().unwrap().insert(channel.clone());
    }
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let mut registered = std::pin::pin!(tokio::time::sleep(registered_after));
        loop {
            let message = tokio::select! {
                () = &mut registered, if waits => {
                    waits = false;
                    api.registered.lock().unwrap().insert(channel.clone());
                    if says_ready && socket.send(Message::text(r#"{"type":"ready"}"#)).await.is_err() {
                        break;
                    }
                    continue;
                }
                message = socket.next() => message,
            };
            let Some(Ok(message)) = message else { break };
            if let Message::Text(text) = message {
                if !speaks.answers(&text) {
                    api.log.lock().unwrap().from_clients.push(text.to_string());
                    continue;
                }
                let reply = format!(r#"{{"result":"200","channel":"{channel}","echo":{text}}}"#);
                {
                    let mut log = api.log.lock().unwrap();
                    log.from_clients.push(text.to_string());
                    log.to_clients.push(reply.clone());
                }
                if socket.send(Message::text(reply)).await.is_err() {
                    break;
                }
            }
        }
        api.registered.lock().unwrap().remove(&channel);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, header::HeaderValue::from_str(&accept).unwrap());
    response
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        // The mark of an answer that the API itself made.
        .header("ININ-Correlation-Id", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
        .body(Full::new(Bytes::from(text)))
        .unwrap()
}
