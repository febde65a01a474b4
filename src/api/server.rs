//! The server: accepts, routes, streams. Queries run on blocking threads, since they read files and wait for the indexer.

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    inspect,
    query::{self, Shelf, wire},
    record::{Index, Status, socket},
    shutdown::{self, Shutdown, Trigger},
    store::CaptureDir,
};

use super::{
    body::{Answer, Pipe, pipe},
    live,
};

/// What the server answers from.
pub(super) struct Holder {
    dir: CaptureDir,
    pub(super) index: Arc<Index>,
    redaction: inspect::Options,
}

/// The socket of a running capture.
pub struct Server {
    path: PathBuf,
    stop: Trigger,
    accepting: JoinHandle<()>,
}

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}: {source} (hint: captures need a file system that has sockets; -w names another folder)", path = path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Why a request gets no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

impl Server {
    /// Listens in the capture's folder, whose lock this process must hold. `redaction` says what is
    /// secret, and with which key fingerprints are made.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn start(dir: &CaptureDir, index: Arc<Index>, redaction: inspect::Options) -> Result<Self, Error> {
        let path = dir.socket_path();
        let listener = socket::bind(&path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(UnixListener::from_std)
            .map_err(|source| Error { path: path.clone(), source })?;
        let (stop, stopped) = shutdown::channel();
        let holder = Arc::new(Holder { dir: dir.clone(), index, redaction });
        let accepting = tokio::spawn(accept(listener, holder, stopped));
        Ok(Self { path, stop, accepting })
    }

    /// Takes the socket away and cuts off what is still being answered. Live events end by themselves when the recorder
    /// stops, so that comes first; their watchers get a moment to read to the end.
    pub async fn stop(self) {
        let _ = std::fs::remove_file(&self.path);
        self.stop.stop();
        // It panics nowhere; and were it to, the socket is gone all the same.
        let _ = self.accepting.await;
    }
}

async fn accept(listener: UnixListener, holder: Arc<Holder>, mut stopped: Shutdown) {
    let mut readers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    readers.spawn(serve(stream, Arc::clone(&holder)));
                }
                Err(error) => {
                    tracing::warn!("the capture's socket accepts nobody now: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = readers.join_next() => {}
            () = stopped.wait() => break,
        }
    }
    drop(listener);
    let all_read = async { while readers.join_next().await.is_some() {} };
    // Those that are left are dropped with the set, and their connections with them.
    let _ = tokio::time::timeout(Duration::from_millis(500), all_read).await;
}

/// One reader's connection: its requests, and its live events where it asked for them.
async fn serve(stream: UnixStream, holder: Arc<Holder>) {
    let (watch, mut watches) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(|request| {
        let (holder, watch) = (Arc::clone(&holder), watch.clone());
        async move { Ok::<_, Infallible>(route(holder, request, &watch).await.unwrap_or_else(Refusal::into_answer)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // A reader that goes away in the middle is no trouble of ours.
    if let Err(error) = connection.await {
        tracing::debug!("a reader of the capture's socket: {error}");
    }
    if let Ok(watch) = watches.try_recv() {
        live::run(watch, &holder).await;
    }
}

async fn route(
    holder: Arc<Holder>,
    request: Request<Incoming>,
    watch: &tokio::sync::mpsc::UnboundedSender<live::Watch>,
) -> Result<Response<Answer>, Refusal> {
    if request.method() != Method::GET {
        let why = format!("{} is not understood: expected GET", request.method());
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why });
    }
    let uri = request.uri().path_and_query().map_or("/", |uri| uri.as_str());
    if uri == "/routes" {
        return stream(NDJSON, move |out| routes(&holder.index, out)).await;
    }
    let asked = wire::Request::parse(uri).map_err(|why| match why {
        wire::Misunderstood::Path(_) => Refusal { status: StatusCode::NOT_FOUND, why: why.to_string() },
        wire::Misunderstood::Parameter(_) => Refusal::misunderstood(why),
    })?;
    let content_type = match &asked {
        wire::Request::Status => return status(&holder),
        wire::Request::Observed => return stream("application/json", move |out| observed(&holder.index, out)).await,
        wire::Request::Live { kinds, filter } => {
            let (kinds, filter) = (kinds.clone(), filter.clone());
            return live::upgrade(request, kinds.as_deref(), filter.as_deref(), &holder.index, watch);
        }
        wire::Request::List { .. } => NDJSON,
        wire::Request::Show { .. } => "application/json",
        wire::Request::Raw { .. } => "application/octet-stream",
    };
    stream(content_type, move |out| {
        let rows = holder.index.snapshot();
        wire::answer(Shelf { dir: &holder.dir, rows: &rows, redaction: &holder.redaction }, &asked, out)
    })
    .await
}

const NDJSON: &str = "application/x-ndjson";

fn status(holder: &Holder) -> Result<Response<Answer>, Refusal> {
    #[derive(Serialize)]
    struct Named {
        capture: String,
        #[serde(flatten)]
        status: Status,
    }
    let json = serde_json::to_vec(&Named { capture: holder.dir.name(), status: holder.index.status() });
    let json = json.map_err(|error| Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, why: error.to_string() })?;
    Ok(with_type("application/json", Answer::whole(json)))
}

fn routes(index: &Index, out: &mut dyn io::Write) -> Result<(), query::Error> {
    for route in index.routes() {
        serde_json::to_writer(&mut *out, &route).map_err(|error| query::Error::Write(error.into()))?;
        out.write_all(b"\n").map_err(query::Error::Write)?;
    }
    Ok(())
}

fn observed(index: &Index, out: &mut dyn io::Write) -> Result<(), query::Error> {
    serde_json::to_writer(out, &index.observed()).map_err(|error| query::Error::Write(error.into()))
}

/// Runs a query on a blocking thread. What fails before the first piece is answered as an error.
async fn stream(
    content_type: &'static str,
    query: impl FnOnce(&mut Pipe) -> Result<(), query::Error> + Send + 'static,
) -> Result<Response<Answer>, Refusal> {
    let (mut out, mut pieces) = pipe();
    let work = tokio::task::spawn_blocking(move || {
        let result = query(&mut out).and_then(|()| io::Write::flush(&mut out).map_err(query::Error::Write));
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                // What stands in the buffer was not sent: where nothing was, the error takes its place.
                out.cut_off();
                Err(error)
            }
        }
    });
    match pieces.recv().await {
        Some(Ok(first)) => Ok(with_type(content_type, Answer::Pieces(Some(first), pieces))),
        Some(Err(_)) | None => match work.await {
            Ok(Ok(())) => Ok(with_type(content_type, Answer::whole(Bytes::new()))),
            Ok(Err(error)) => Err(Refusal::failed(&error)),
            Err(panicked) => Err(Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, why: panicked.to_string() }),
        },
    }
}

pub(super) fn with_type(content_type: &'static str, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Refusal {
    pub(super) fn misunderstood(why: impl ToString) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why: why.to_string() }
    }

    fn failed(error: &query::Error) -> Self {
        let status = match error {
            query::Error::UnknownId { .. } => StatusCode::NOT_FOUND,
            error if error.is_askers() => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, why: error.to_string() }
    }

    fn into_answer(self) -> Response<Answer> {
        let body = serde_json::json!({ "error": self.why }).to_string();
        let mut response = with_type("application/json", Answer::whole(body));
        *response.status_mut() = self.status;
        response
    }
}
