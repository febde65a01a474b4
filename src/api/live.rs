//! Live events: a WebSocket per watcher, fed from a subscription. A watcher that reads slowly slows nobody; it loses rows
//! and is told.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, handshake::derive_accept_key, protocol::Role},
};

use crate::{
    model::rows::Row,
    query::{Filter, wire::LiveMessage},
    record::{Index, Kinds, Message, Status, Subscription},
};

use super::{
    body::Answer,
    server::{Holder, Refusal},
};

/// The kind that is no row.
const STATUS: &str = "status";
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// A watcher whose upgrade was granted.
pub(super) struct Watch {
    upgrade: OnUpgrade,
    subscription: Subscription,
    filter: Option<Filter>,
    status: bool,
}

/// Answers the upgrade. The subscription begins before the answer: whoever saw the 101 misses nothing after it.
pub(super) fn upgrade(
    mut request: Request<Incoming>,
    kinds: Option<&str>,
    filter: Option<&str>,
    index: &Index,
    watch: &UnboundedSender<Watch>,
) -> Result<Response<Answer>, Refusal> {
    let filter = filter.map(Filter::parse).transpose().map_err(Refusal::misunderstood)?;
    let (kinds, status) = parse_kinds(kinds).map_err(Refusal::misunderstood)?;
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        let why = "/live is a WebSocket: the request bears no Sec-WebSocket-Key".to_owned();
        return Err(Refusal { status: StatusCode::UPGRADE_REQUIRED, why });
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    let subscription = index.live().subscribe(kinds);
    // The receiver lives as long as the connection that this answers.
    let _ = watch.send(Watch { upgrade, subscription, filter, status });
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).map_err(Refusal::misunderstood)?);
    Ok(response)
}

/// Feeds a watcher until it goes or the recorder stops.
pub(super) async fn run(watch: Watch, holder: &Holder) {
    let upgraded = match watch.upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!("a watcher's upgrade: {error}"),
    };
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
    let (mut to, mut from) = socket.split();
    let mut subscription = watch.subscription;
    let mut seconds = tokio::time::interval(STATUS_INTERVAL);
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let text = tokio::select! {
            message = subscription.next() => match message {
                Some(Message::Row(row)) if !passes(watch.filter.as_ref(), &row) => continue,
                Some(Message::Row(row)) => LiveMessage::Row((*row).clone()).to_json(),
                Some(Message::Lost(rows)) => LiveMessage::Lost(rows).to_json(),
                None => break,
            },
            _ = seconds.tick(), if watch.status => status_line(holder.index.status()),
            // Pings are answered by tungstenite; whatever else a watcher says means nothing, but its end does.
            heard = from.next() => match heard {
                Some(Ok(message)) if !message.is_close() => continue,
                _ => return,
            },
        };
        if to.send(tungstenite::Message::text(text)).await.is_err() {
            return;
        }
    }
    // It may have gone by itself.
    let _ = to.close().await;
}

/// What a filter asks of other rows is not at hand here, and so not met.
fn passes(filter: Option<&Filter>, row: &Row) -> bool {
    filter.is_none_or(|filter| filter.matches(&row.into()))
}

fn status_line(status: Status) -> String {
    #[derive(Serialize)]
    struct Line {
        event: &'static str,
        #[serde(flatten)]
        status: Status,
    }
    serde_json::to_string(&Line { event: STATUS, status }).unwrap_or_default()
}

/// Kinds of rows, and whether the status is wanted among them.
fn parse_kinds(text: Option<&str>) -> Result<(Kinds, bool), crate::record::UnknownKind> {
    let Some(text) = text else { return Ok((Kinds::default(), false)) };
    let (status, rows): (Vec<_>, Vec<_>) = text.split(',').partition(|kind| *kind == STATUS);
    Ok((rows.join(",").parse()?, !status.is_empty()))
}
