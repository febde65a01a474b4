//! Who is who, what is secret, what is said: `[session]`, `[secrets]`, `[templates]`, `[[claims]]`.

use super::{header_name, headers, id, unique};
use crate::profile::{
    Claim, Error, FrameSecret, HYPOTHESES, HYPOTHESIS_PREFIXES, Pointer, RequestPlace, Route, Secrets, SessionKey,
    SocketPlace, SocketRoute, Template, error, is_hypothesis,
    read::{Table, Value},
    route,
};

/// `X-JM-Thread: ${__threadGroupName}/${__threadNum}@${__machineName}` in a plan's header manager names the thread.
const IDENTITY_HEADER: &str = "X-JM-Thread";

pub(super) fn session(
    root: &Table<'_>,
    routes: &route::Table<Route>,
    sockets: &route::Table<SocketRoute>,
) -> Result<(Vec<String>, Vec<SessionKey>), Error> {
    let usual = || vec![IDENTITY_HEADER.to_owned()];
    let Some(table) = root.table("session", &["identity_headers", "keys"])? else { return Ok((usual(), Vec::new())) };
    let identity_headers = match table.get("identity_headers") {
        Some(_) => headers(&table, "identity_headers")?,
        None => usual(),
    };
    let request_params: Vec<&str> = routes.iter().flat_map(|route| route.path.names()).collect();
    let socket_params: Vec<&str> = sockets.iter().flat_map(|socket| socket.path.names()).collect();
    let mut keys: Vec<SessionKey> = Vec::new();
    for table in table.tables("keys", &["name", "request", "socket"])? {
        let name = table.need("name", "a name")?;
        let key = SessionKey {
            name: id(&name)?,
            request: places(&table, "request", "{ body = \"/sessionId\" }", |value| request(value, &request_params))?,
            socket: places(&table, "socket", "{ path = \"sessionId\" }", |value| socket(value, &socket_params))?,
        };
        unique(&name, &key.name, keys.iter().map(|key| key.name.as_str()))?;
        keys.push(key);
    }
    Ok((identity_headers, keys))
}

fn places<P>(
    table: &Table<'_>,
    key: &str,
    example: &str,
    read: impl Fn(&Value<'_>) -> Result<P, Error>,
) -> Result<Vec<P>, Error> {
    let allowed = format!("a list of places, such as [{example}]");
    let value = table.need(key, &allowed)?;
    let places = value.list(&allowed)?;
    if places.is_empty() {
        return Err(value.wrong(&allowed));
    }
    places.iter().map(read).collect()
}

fn request(value: &Value<'_>, params: &[&str]) -> Result<RequestPlace, Error> {
    let (key, place) = only_key(value, &["body", "header", "path", "query"])?;
    Ok(match key {
        "body" => RequestPlace::Body(at_pointer(&place)?),
        "header" => RequestPlace::Header(at_header(&place)?),
        "path" => RequestPlace::Path(at_param(&place, params, "[[routes]]")?),
        _ => RequestPlace::Query(place.text("a name")?.to_owned()),
    })
}

fn socket(value: &Value<'_>, params: &[&str]) -> Result<SocketPlace, Error> {
    let (key, place) = only_key(value, &["client_frame", "header", "path", "query", "server_frame"])?;
    Ok(match key {
        "client_frame" => SocketPlace::ClientFrame(at_pointer(&place)?),
        "header" => SocketPlace::Header(at_header(&place)?),
        "path" => SocketPlace::Path(at_param(&place, params, "[[sockets]]")?),
        "server_frame" => SocketPlace::ServerFrame(at_pointer(&place)?),
        _ => SocketPlace::Query(place.text("a name")?.to_owned()),
    })
}

/// The one key of a table, and its value.
fn only_key<'s>(value: &Value<'s>, known: &[&str]) -> Result<(&'s str, Value<'s>), Error> {
    let allowed =
        format!("a table with one of {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "));
    let table = value.table(known)?;
    let mut keys = table.keys();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok((key, table.need(key, &allowed)?)),
        _ => Err(value.wrong(&allowed)),
    }
}

fn at_pointer(value: &Value<'_>) -> Result<Pointer, Error> {
    value.parsed(super::POINTER, Pointer::parse)
}

fn at_header(value: &Value<'_>) -> Result<String, Error> {
    value.parsed("a header's name", header_name)
}

fn at_param(value: &Value<'_>, params: &[&str], of: &str) -> Result<String, Error> {
    let allowed = format!("a parameter of a path in {of}");
    let name = value.text(&allowed)?;
    if params.contains(&name) {
        return Ok(name.to_owned());
    }
    let hint = match error::nearest(name, params.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("no path in {of} has `{{{name}}}`"),
    };
    Err(value.wrong_since(&allowed, hint))
}

pub(super) fn secrets(root: &Table<'_>) -> Result<Secrets, Error> {
    const PATHS: &str = "a list of path templates whose `{…}` are secret, such as [\"/stream/jwt/{jwt}\"]";
    const NAMES: &str = "a list of names, such as [\"access_token\"]";
    let Some(table) = root.table("secrets", &["headers", "paths", "query", "fields", "frames"])? else {
        return Ok(Secrets::default());
    };
    let has_secret = |text: &str| {
        let template = Template::parse(text)?;
        if template.names().next().is_none() {
            return Err("nothing in it is marked as secret".to_owned());
        }
        Ok(template)
    };
    let paths = table.list("paths", PATHS)?;
    let frames = table.list("frames", "a list of kinds of messages, such as [\"sasl-plain\"]")?;
    let name = |text: &str| Some(text.to_owned());
    Ok(Secrets {
        headers: headers(&table, "headers")?,
        paths: paths.iter().map(|value| value.tried(PATHS, has_secret)).collect::<Result<_, _>>()?,
        query: table.parsed("query", NAMES, name)?,
        fields: table.parsed("fields", NAMES, name)?,
        frames: frames.iter().map(|value| value.one_of(FrameSecret::ALL)).collect::<Result<_, _>>()?,
    })
}

pub(super) fn unresolved(root: &Table<'_>) -> Result<Vec<String>, Error> {
    const TEXTS: &str = "a list of texts of at least 3 characters, such as [\"NOT_FOUND\"]";
    let Some(table) = root.table("templates", &["unresolved"])? else { return Ok(Vec::new()) };
    table.parsed("unresolved", TEXTS, |text| (text.chars().count() >= 3).then(|| text.to_owned()))
}

pub(super) fn claims(root: &Table<'_>) -> Result<Vec<Claim>, Error> {
    let mut claims: Vec<Claim> = Vec::new();
    for table in root.tables("claims", &["id", "text", "hypothesis", "denies", "observable", "note"])? {
        let name = table.need("id", "a name")?;
        let observable = table.flag("observable")?.unwrap_or(true);
        let hypotheses = match (table.get("hypothesis"), observable) {
            (Some(value), true) => {
                let values = value.one_or_more(HYPOTHESIS)?;
                values.iter().map(hypothesis).collect::<Result<Vec<_>, _>>()?
            }
            (None, true) => return Err(table.lacks("hypothesis", "a hypothesis, or `observable = false` with a note")),
            (Some(value), false) => {
                return Err(value.wrong_since("nothing here", "what is not observable has no hypothesis".to_owned()));
            }
            (None, false) => Vec::new(),
        };
        let note = table.text("note", "a sentence")?;
        if !observable && note.is_none() {
            return Err(table.lacks("note", "why it cannot be observed"));
        }
        let text = table.need("text", "a sentence")?.text("a sentence")?.to_owned();
        let denies = table.flag("denies")?.unwrap_or(false);
        let claim = Claim { id: id(&name)?, text, hypotheses, denies, observable, note };
        unique(&name, &claim.id, claims.iter().map(|claim| claim.id.as_str()))?;
        claims.push(claim);
    }
    Ok(claims)
}

const HYPOTHESIS: &str = "a rule's id or a candidate of the diagnosis, or a list of them";

pub(super) fn hypothesis(value: &Value<'_>) -> Result<String, Error> {
    let text = value.text(HYPOTHESIS)?;
    if is_hypothesis(text) {
        return Ok(text.to_owned());
    }
    let hint = match HYPOTHESIS_PREFIXES.iter().find(|prefix| text.starts_with(**prefix)) {
        Some(prefix) => format!("a name follows `{prefix}`"),
        None => error::nearest(text, HYPOTHESES.iter().copied())
            .map_or_else(|| "docs/hypotheses.md lists them".to_owned(), |near| format!("did you mean `{near}`?")),
    };
    Err(value.wrong_since(HYPOTHESIS, hint))
}
