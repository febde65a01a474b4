//! `[[routes]]` and `[[sockets]]`.

use std::collections::BTreeMap;

use super::{gate, id, pointers, unique, window};
use crate::profile::{
    Confidence, Error, IdShape, ReadFile, Route, Schema, SocketRoute, Speaker, Template,
    read::{Table, Value},
    route,
};

const PATH: &str = "a path template, such as \"/api/v2/scripts/{scriptId}\"";

pub(super) fn routes(root: &Table<'_>, files: ReadFile<'_>) -> Result<route::Table<Route>, Error> {
    const KEYS: &[&str] = &[
        "id",
        "method",
        "path",
        "params",
        "read_only",
        "metadata",
        "schema",
        "schema_file",
        "content_types",
        "date_fields",
        "gate",
        "window",
        "confidence",
        "note",
    ];
    const METHODS: &str = "a method or a list of methods, such as \"GET\" or [\"PUT\", \"POST\"]";
    const TYPES: &str = "a list of media types, such as [\"application/json\"]";
    let mut routes = route::Table::default();
    for table in root.tables("routes", KEYS)? {
        let name = table.need("id", "a name")?;
        let path = table.need("path", PATH)?;
        let template = path.tried(PATH, Template::parse)?;
        let methods = table.need("method", METHODS)?;
        let is_method = |text: &str| {
            let token = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
            token.then(|| text.to_owned())
        };
        let methods = methods.one_or_more(METHODS)?;
        let methods: Vec<String> =
            methods.iter().map(|value| value.parsed(METHODS, is_method)).collect::<Result<_, _>>()?;
        let is_safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        let media_type = |text: &str| {
            let (kind, of) = text.split_once('/')?;
            let word = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
            };
            (word(kind) && word(of)).then(|| text.to_ascii_lowercase())
        };
        let route = Route {
            id: id(&name)?,
            read_only: table.flag("read_only")?.unwrap_or_else(|| methods.iter().all(is_safe)),
            methods,
            params: params(&table, &template)?,
            path: template,
            metadata: table.flag("metadata")?.unwrap_or(false),
            schema: schema(&table, &mut *files)?,
            content_types: table.parsed("content_types", TYPES, media_type)?,
            date_fields: pointers(&table, "date_fields")?,
            gate: gate(&table)?,
            window: window(&table)?,
            confidence: confidence(&table)?,
            note: table.text("note", "a sentence")?,
        };
        unique(&name, &route.id, routes.iter().map(|route: &Route| route.id.as_str()))?;
        if let Err(earlier) = routes.add(route) {
            return Err(clash(&path, &earlier.id));
        }
    }
    Ok(routes)
}

pub(super) fn sockets(root: &Table<'_>) -> Result<route::Table<SocketRoute>, Error> {
    const KEYS: &[&str] = &["id", "path", "params", "subprotocol", "first_speaker", "confidence", "note"];
    let speakers = [("client", Speaker::Client), ("server", Speaker::Server)];
    let mut sockets = route::Table::default();
    for table in root.tables("sockets", KEYS)? {
        let name = table.need("id", "a name")?;
        let path = table.need("path", PATH)?;
        let template = path.tried(PATH, Template::parse)?;
        let socket = SocketRoute {
            id: id(&name)?,
            params: params(&table, &template)?,
            path: template,
            subprotocol: table.text("subprotocol", "the name of a subprotocol")?,
            first_speaker: table.get("first_speaker").map(|value| value.one_of(&speakers)).transpose()?,
            confidence: confidence(&table)?,
            note: table.text("note", "a sentence")?,
        };
        unique(&name, &socket.id, sockets.iter().map(|socket: &SocketRoute| socket.id.as_str()))?;
        if let Err(earlier) = sockets.add(socket) {
            return Err(clash(&path, &earlier.id));
        }
    }
    Ok(sockets)
}

fn clash(path: &Value<'_>, earlier: &str) -> Error {
    path.wrong_since("a path and a method that no other one takes", format!("`{earlier}` takes the same requests"))
}

fn confidence(table: &Table<'_>) -> Result<Confidence, Error> {
    let value = table.get("confidence");
    Ok(value.map(|value| value.one_of(Confidence::ALL)).transpose()?.unwrap_or_default())
}

fn params(table: &Table<'_>, template: &Template) -> Result<BTreeMap<String, IdShape>, Error> {
    const SHAPE: &str = "\"any\", \"number\", \"uuid\", or a list of the values it may have";
    let names: Vec<&str> = template.names().collect();
    let Some(table) = table.table("params", &names)? else { return Ok(BTreeMap::new()) };
    let mut params = BTreeMap::new();
    for name in table.keys() {
        let value = table.need(name, SHAPE)?;
        let shape = if value.is_text() {
            value.parsed(SHAPE, |text| match text {
                "any" => Some(IdShape::Any),
                "number" => Some(IdShape::Number),
                "uuid" => Some(IdShape::Uuid),
                _ => None,
            })?
        } else {
            let values = value.one_or_more(SHAPE)?;
            IdShape::OneOf(values.iter().map(|value| value.text(SHAPE).map(str::to_owned)).collect::<Result<_, _>>()?)
        };
        params.insert(name.to_owned(), shape);
    }
    Ok(params)
}

/// The schema, from the profile itself or from a file beside it.
fn schema(table: &Table<'_>, files: ReadFile<'_>) -> Result<Option<Schema>, Error> {
    const SCHEMA: &str = "a JSON Schema, draft 2020-12, as text: '''{\"type\": \"object\", …}'''";
    const FILE: &str = "the name of a file with a JSON Schema, draft 2020-12, beside the profile";
    let (value, allowed, file) = match (table.get("schema"), table.get("schema_file")) {
        (None, None) => return Ok(None),
        (Some(_), Some(both)) => return Err(both.wrong("either `schema` or `schema_file`, not both")),
        (Some(text), None) => (text, SCHEMA, None),
        (None, Some(name)) => {
            let read = name.tried(FILE, |name| files(name).map_err(|why| format!("it cannot be read: {why}")))?;
            (name, FILE, Some(read))
        }
    };
    let text = match &file {
        Some(text) => text.as_str(),
        None => value.text(allowed)?,
    };
    let json = serde_json::from_str(text).map_err(|error| match file {
        Some(_) => value.wrong_since(allowed, format!("not JSON: {error}")),
        None => value.wrong_in_line(error.line().saturating_sub(1), allowed, format!("not JSON: {error}")),
    })?;
    Schema::compile(json).map(Some).map_err(|why| value.wrong_since(allowed, why))
}
