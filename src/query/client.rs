//! The reader's end of a running capture's socket. Blocking, for the command line; one connection for each request.

use std::{io, ops::ControlFlow};

use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, runtime::Runtime};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    model::{flag::Subject, rows::Row},
    record::{Observed, socket},
    store::CaptureDir,
};

use super::{
    Error,
    filter::Filter,
    list::{Each, Query, Secrets},
    source::Kind,
    wire::{self, LiveMessage, Place, Request},
};

/// A row is never longer; more is no answer of ours.
const LONGEST_LINE: usize = 64 << 20;

/// A running capture's recorder.
pub struct Client {
    dir: CaptureDir,
    runtime: Runtime,
}

/// Takes pieces of an answer; `Break` ends it.
type Pieces<'p> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + 'p;

/// What ended a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The capture stopped.
    Stopped,
    /// The recorder went away without a goodbye: it was killed.
    Lost,
    /// The taker of messages did not want more.
    Enough,
}

impl Client {
    /// Reaches for the recorder of a capture.
    ///
    /// # Errors
    /// Where nobody listens on its socket.
    pub fn connect(dir: &CaptureDir) -> io::Result<Self> {
        drop(socket::connect(&dir.socket_path())?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { dir: dir.clone(), runtime })
    }

    /// How the recorder does, as it says it.
    pub fn status(&self) -> Result<serde_json::Value, Error> {
        self.object(&Request::Status)
    }

    /// What recording did to the traffic so far; nothing where the recorder is just stopping.
    pub fn observed(&self) -> Result<Option<Observed>, Error> {
        self.object(&Request::Observed)
    }

    /// An answer that is one JSON object.
    fn object<T: serde::de::DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let mut json = Vec::new();
        self.get(request, &mut |bytes| {
            json.extend_from_slice(bytes);
            Ok(ControlFlow::Continue(()))
        })?;
        serde_json::from_slice(&json).map_err(|error| unexpected(&error))
    }

    /// Rows of a kind, in the order of ids.
    ///
    /// # Errors
    /// Where the recorder refuses, says nothing that is understood, or goes away.
    pub fn list(&self, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
        let Query { filter, about, limit, secrets } = query;
        let place = matches!(kind, Kind::Connections | Kind::Exchanges | Kind::Frames);
        let request = Request::List { kind, filter: filter.map(Filter::to_string), about, limit, secrets, place };
        let mut waiting: Option<Row> = None;
        self.lines(&request, &mut |line| {
            let Some(mut row) = waiting.take() else {
                let row = wire::read_row(kind, line).map_err(|error| unexpected(&error))?;
                if place {
                    waiting = Some(row);
                    return Ok(ControlFlow::Continue(()));
                }
                return each(row);
            };
            let place: Place = serde_json::from_slice(line).map_err(|error| unexpected(&error))?;
            place.put(&mut row);
            each(row)
        })
    }

    /// The row that an id names, and where its bytes lie.
    pub fn show(&self, id: Subject, secrets: Secrets) -> Result<Row, Error> {
        let mut row = None;
        let mut place = None;
        self.lines(&Request::Show { id, secrets, place: true }, &mut |line| {
            if row.is_none() {
                row = Some(wire::read_row(super::source::kind_of(id), line).map_err(|error| unexpected(&error))?);
            } else {
                place = Some(serde_json::from_slice::<Place>(line).map_err(|error| unexpected(&error))?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut row = row.ok_or_else(|| Error::Unexpected { what: format!("nothing in the place of {id}") })?;
        if let Some(place) = place {
            place.put(&mut row);
        }
        Ok(row)
    }

    /// Rows as they become final, until the capture stops, `each` breaks or `stop` is ready. `subscribed` is called once
    /// nothing is missed any more.
    ///
    /// # Errors
    /// As [`Self::list`], and what `each` fails with.
    pub fn live(
        &self,
        kinds: &str,
        filter: Option<&Filter>,
        subscribed: impl FnOnce(),
        stop: impl Future<Output = ()>,
        each: &mut dyn FnMut(LiveMessage) -> Result<ControlFlow<()>, Error>,
    ) -> Result<Ended, Error> {
        let request = Request::Live { kinds: Some(kinds.to_owned()), filter: filter.map(Filter::to_string) };
        self.runtime.block_on(async {
            let stream = self.stream()?;
            let uri = format!("ws://capture{}", request.to_uri());
            let connected = tokio_tungstenite::client_async(uri, stream).await;
            let (mut socket, _) = connected.map_err(|error| self.refused(error))?;
            subscribed();
            let mut stop = std::pin::pin!(stop);
            loop {
                let message = tokio::select! {
                    message = socket.next() => message,
                    () = &mut stop => return Ok(Ended::Enough),
                };
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let message = LiveMessage::from_json(text.as_str()).map_err(|error| unexpected(&error))?;
                        if each(message)?.is_break() {
                            return Ok(Ended::Enough);
                        }
                    }
                    // Pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_))) => return Ok(Ended::Stopped),
                    // A recorder that stops says so.
                    Some(Err(_)) | None => return Ok(Ended::Lost),
                }
            }
        })
    }

    /// The lines of an answer.
    fn lines(&self, request: &Request, each: &mut Pieces<'_>) -> Result<(), Error> {
        let mut pending: Vec<u8> = Vec::new();
        self.get(request, &mut |bytes| {
            pending.extend_from_slice(bytes);
            let mut done = 0;
            while let Some(end) = memchr::memchr(b'\n', pending.get(done..).unwrap_or_default()) {
                let line = pending.get(done..done + end).unwrap_or_default();
                done += end + 1;
                if !line.is_empty() && each(line)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            pending.drain(..done);
            if pending.len() > LONGEST_LINE {
                return Err(Error::Unexpected { what: format!("a line of more than {LONGEST_LINE} bytes") });
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Asks and hands out the answer's bytes as they come.
    fn get(&self, request: &Request, each: &mut Pieces<'_>) -> Result<(), Error> {
        self.runtime.block_on(async {
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(self.stream()?)).await.map_err(|error| self.broken(&error))?;
            // Ends with the sender and the answer; what goes wrong in it shows in them.
            let connection = tokio::spawn(connection);
            let asked = hyper::Request::get(request.to_uri()).header(hyper::header::HOST, "capture");
            let asked = asked.body(Empty::<Bytes>::new()).map_err(|error| self.broken(&error))?;
            let mut answer = sender.send_request(asked).await.map_err(|error| self.broken(&error))?;
            let status = answer.status();
            let mut refusal = Vec::new();
            while let Some(frame) = answer.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                let Some(bytes) = frame.data_ref() else { continue };
                if status.is_success() {
                    if each(bytes)?.is_break() {
                        break;
                    }
                } else if refusal.len() < LONGEST_LINE {
                    refusal.extend_from_slice(bytes);
                }
            }
            connection.abort();
            if status.is_success() { Ok(()) } else { Err(refusal_of(&refusal, status.as_u16())) }
        })
    }

    fn stream(&self) -> Result<UnixStream, Error> {
        let connect = || {
            let stream = socket::connect(&self.dir.socket_path())?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        connect().map_err(|error: io::Error| self.broken(&error))
    }

    fn broken(&self, error: &dyn std::error::Error) -> Error {
        let mut why = error.to_string();
        if let Some(source) = error.source() {
            why = format!("{why}: {source}");
        }
        Error::Socket { path: self.dir.socket_path().display().to_string(), why }
    }

    fn refused(&self, error: tungstenite::Error) -> Error {
        match error {
            tungstenite::Error::Http(answer) => {
                refusal_of(answer.body().as_deref().unwrap_or_default(), answer.status().as_u16())
            }
            error => self.broken(&error),
        }
    }
}

/// What the recorder says where it refuses: `{"error":"…"}`, or plain text.
fn refusal_of(body: &[u8], status: u16) -> Error {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.get("error")).and_then(serde_json::Value::as_str);
    let text = String::from_utf8_lossy(body);
    let text = message.unwrap_or_else(|| text.trim());
    if text.is_empty() {
        Error::Unexpected { what: format!("status {status}") }
    } else {
        Error::Refused(text.to_owned())
    }
}

fn unexpected(error: &serde_json::Error) -> Error {
    Error::Unexpected { what: error.to_string() }
}
