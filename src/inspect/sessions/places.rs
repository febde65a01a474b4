//! Where a profile's session keys stand, looked up in requests, bodies and messages.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use crate::{
    model::{Side, exchange::Exchange},
    profile::{Pointer, Profile, RequestPlace, SessionKey, SocketPlace, session::query_value},
};

/// Longer values are no ids.
const LONGEST: usize = 1024;
/// Keys that one request or message bears; of further ones nothing is known.
const KEYS: usize = 8;

/// See the module.
#[derive(Default)]
pub(in crate::inspect) struct Places {
    profile: Option<Arc<Profile>>,
    body: bool,
    client_frames: bool,
    server_frames: bool,
}

/// A value of a key: the key's name and the value.
pub(in crate::inspect) type Found<'a> = (&'a str, Cow<'a, [u8]>);

impl Places {
    pub(in crate::inspect) fn new(profile: Option<&Arc<Profile>>) -> Self {
        let Some(profile) = profile.filter(|profile| !profile.session_keys.is_empty()) else { return Self::default() };
        let in_socket = |is: fn(&SocketPlace) -> bool| profile.session_keys.iter().any(|key| key.socket.iter().any(is));
        let in_body = |place: &RequestPlace| matches!(place, RequestPlace::Body(_));
        Self {
            body: profile.session_keys.iter().any(|key| key.request.iter().any(in_body)),
            client_frames: in_socket(|place| matches!(place, SocketPlace::ClientFrame(_))),
            server_frames: in_socket(|place| matches!(place, SocketPlace::ServerFrame(_))),
            profile: Some(Arc::clone(profile)),
        }
    }

    /// Whether a request's body can hold a key.
    pub(in crate::inspect) fn in_body(&self) -> bool {
        self.body
    }

    /// Whether that side's messages can hold a key.
    pub(in crate::inspect) fn in_messages(&self, from: Side) -> bool {
        match from {
            Side::Client => self.client_frames,
            Side::Server => self.server_frames,
        }
    }

    /// The keys in a request's head.
    pub(in crate::inspect) fn of_head<'a>(&'a self, exchange: &'a Exchange, socket: bool) -> Vec<Found<'a>> {
        let Some(profile) = self.profile.as_deref() else { return Vec::new() };
        let value_of = |key: &'a SessionKey| {
            let value = if socket { of_socket(key, profile, exchange) } else { of_request(key, profile, exchange) };
            let value = value.filter(|value| !value.is_empty() && value.len() <= LONGEST)?;
            Some((key.name.as_str(), plain(value)))
        };
        profile.session_keys.iter().filter_map(value_of).take(KEYS).collect()
    }

    /// The keys in a request's JSON body.
    pub(in crate::inspect) fn of_body(&self, body: &[u8]) -> Vec<Found<'_>> {
        let pointers = |key: &'_ SessionKey| {
            let pointer = |place: &RequestPlace| match place {
                RequestPlace::Body(pointer) => Some(pointer.clone()),
                _ => None,
            };
            key.request.iter().filter_map(pointer).collect()
        };
        self.of_json(body, pointers)
    }

    /// The keys in a JSON message.
    pub(in crate::inspect) fn of_message(&self, from: Side, text: &[u8]) -> Vec<Found<'_>> {
        let pointers = |key: &'_ SessionKey| {
            let pointer = |place: &SocketPlace| match (place, from) {
                (SocketPlace::ClientFrame(pointer), Side::Client) => Some(pointer.clone()),
                (SocketPlace::ServerFrame(pointer), Side::Server) => Some(pointer.clone()),
                _ => None,
            };
            key.socket.iter().filter_map(pointer).collect()
        };
        self.of_json(text, pointers)
    }

    fn of_json(&self, text: &[u8], pointers: impl Fn(&SessionKey) -> Vec<Pointer>) -> Vec<Found<'_>> {
        let Some(profile) = self.profile.as_deref() else { return Vec::new() };
        if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return Vec::new();
        }
        let mut json: Option<Value> = None;
        let value_of = |key: &'_ SessionKey| {
            pointers(key).iter().find_map(|pointer| {
                if !may_hold(text, pointer) {
                    return None;
                }
                let json = json.get_or_insert_with(|| serde_json::from_slice(text).unwrap_or_default());
                match pointer.find(json)? {
                    Value::String(text) if !text.is_empty() && text.len() <= LONGEST => Some(text.clone().into_bytes()),
                    Value::Number(number) => Some(number.to_string().into_bytes()),
                    _ => None,
                }
            })
        };
        let named = profile.session_keys.iter().map(|key| key.name.as_str());
        let values = profile.session_keys.iter().map(value_of);
        named.zip(values).filter_map(|(name, value)| Some((name, Cow::Owned(value?)))).take(KEYS).collect()
    }
}

fn of_request<'a>(key: &SessionKey, profile: &Profile, exchange: &'a Exchange) -> Option<&'a [u8]> {
    key.request.iter().find_map(|place| match place {
        RequestPlace::Header(name) => exchange.request.header(name),
        RequestPlace::Query(name) => query_value(exchange.query()?, name),
        RequestPlace::Path(name) => {
            let path = exchange.path();
            let template = &profile.route(exchange.request.method(), path)?.path;
            let range = template.ranges(path).find(|(parameter, _)| parameter == name)?.1;
            path.get(range)
        }
        RequestPlace::Body(_) => None,
    })
}

fn of_socket<'a>(key: &SessionKey, profile: &Profile, exchange: &'a Exchange) -> Option<&'a [u8]> {
    key.socket.iter().find_map(|place| match place {
        SocketPlace::Header(name) => exchange.request.header(name),
        SocketPlace::Query(name) => query_value(exchange.query()?, name),
        SocketPlace::Path(name) => {
            let path = exchange.path();
            let template = &profile.socket(path)?.path;
            let range = template.ranges(path).find(|(parameter, _)| parameter == name)?.1;
            path.get(range)
        }
        SocketPlace::ClientFrame(_) | SocketPlace::ServerFrame(_) => None,
    })
}

/// Whether the pointer's last key is in the text, so that parsing is worth it.
fn may_hold(text: &[u8], pointer: &Pointer) -> bool {
    let last = pointer.as_str().rsplit('/').next().unwrap_or_default();
    last.contains('~')
        || last.bytes().all(|b| b.is_ascii_digit())
        || memchr::memmem::find(text, last.as_bytes()).is_some()
        || memchr::memchr(b'\\', text).is_some()
}

/// Without percent encoding.
fn plain(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}
