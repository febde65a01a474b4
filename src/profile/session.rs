//! Which values bind requests and sockets of one virtual user together.

use serde::Serialize;

use super::Pointer;

/// A value that a session's requests and its socket both bear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionKey {
    /// Its name, for people.
    pub name: String,
    /// Where a request bears it; the first place that has one counts.
    pub request: Vec<RequestPlace>,
    /// Where a socket bears it.
    pub socket: Vec<SocketPlace>,
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestPlace {
    /// In its JSON body.
    Body(Pointer),
    /// A header.
    Header(String),
    /// A parameter of its route's path.
    Path(String),
    /// A parameter of its query.
    Query(String),
}

/// A place in a socket: in its upgrade request, or in its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketPlace {
    /// In a JSON message of the client.
    ClientFrame(Pointer),
    /// A header of the upgrade request.
    Header(String),
    /// A parameter of its path.
    Path(String),
    /// A parameter of its query.
    Query(String),
    /// In a JSON message of the server.
    ServerFrame(Pointer),
}

/// The value of a query's parameter, as written; `query` is without `?`.
pub fn query_value<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    query.split(|b| *b == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}
