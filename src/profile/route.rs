//! Routes: which requests an API knows, what is in them, and the index that finds a request's route.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use super::{
    Confidence, Gate, Pointer, Window,
    schema::Schema,
    template::{Segment, Template},
};

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Its name, unique in the profile.
    pub id: String,
    /// Its methods, compared with case.
    #[serde(rename = "method")]
    pub methods: Vec<String>,
    /// Its paths.
    pub path: Template,
    /// What its parameters look like; those that are not listed may be anything.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, IdShape>,
    /// Whether it changes nothing at the server.
    pub read_only: bool,
    /// Whether it is metadata.
    pub metadata: bool,
    /// What the request's JSON body must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// The media types of its body; empty where nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<String>,
    /// Fields of the body that hold a date and time as ISO 8601 has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub date_fields: Vec<Pointer>,
    /// When a socket is ready for this metadata, where it is another gate than the profile's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// When this metadata is in time, where it is another window than the profile's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How well it is known.
    pub confidence: Confidence,
    /// What else is to be said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Route {
    /// Names and values of the parameters in a path of this route.
    pub fn params<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.path.params(path)
    }

    /// The parameters of a path of this route that do not look as they should: name, value, and what was to be seen.
    pub fn misfits<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a str, &'a [u8], &'a IdShape)> {
        self.params(path).filter_map(|(name, value)| {
            let shape = self.params.get(name)?;
            (!shape.fits(value)).then_some((name, value, shape))
        })
    }

    /// Whether its body may have that `Content-Type`; parameters such as `charset` count for nothing.
    pub fn takes_content_type(&self, value: &[u8]) -> bool {
        let media_type = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        self.content_types.is_empty()
            || self.content_types.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(media_type))
    }
}

/// What an identifier looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdShape {
    /// Whatever is not empty.
    Any,
    /// Decimal digits.
    Number,
    /// `8-4-4-4-12` hexadecimal digits (RFC 9562, 4).
    Uuid,
    /// One of these.
    #[serde(untagged)]
    OneOf(Vec<String>),
}

impl IdShape {
    /// Whether a value looks like that.
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => !value.is_empty(),
            Self::Number => !value.is_empty() && value.iter().all(u8::is_ascii_digit),
            Self::Uuid => is_uuid(value),
            Self::OneOf(values) => values.iter().any(|known| known.as_bytes() == value),
        }
    }
}

pub(super) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A kind of WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketRoute {
    /// Its name, unique in the profile.
    pub id: String,
    /// Its paths.
    pub path: Template,
    /// What its parameters look like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, IdShape>,
    /// The subprotocol that must be agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subprotocol: Option<String>,
    /// Who sends the first frame, where one of them must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_speaker: Option<Speaker>,
    /// How well it is known.
    pub confidence: Confidence,
    /// What else is to be said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Who sends the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Speaker {
    Client,
    Server,
}

/// Something that is found by its path.
pub trait Routed {
    /// Its paths.
    fn template(&self) -> &Template;
    /// Whether it takes that method.
    fn takes(&self, method: &[u8]) -> bool;
    /// Whether both take the same requests, if their paths are the same.
    fn clashes(&self, other: &Self) -> bool;
}

impl Routed for Route {
    fn template(&self) -> &Template {
        &self.path
    }

    fn takes(&self, method: &[u8]) -> bool {
        self.methods.iter().any(|known| known.as_bytes() == method)
    }

    fn clashes(&self, other: &Self) -> bool {
        self.methods.iter().any(|method| other.methods.contains(method))
    }
}

impl Routed for SocketRoute {
    fn template(&self) -> &Template {
        &self.path
    }

    fn takes(&self, _: &[u8]) -> bool {
        true
    }

    fn clashes(&self, other: &Self) -> bool {
        self.subprotocol == other.subprotocol
    }
}

/// Routes and their index: a tree of segments, literals tried first, so that the most specific route is found and a
/// path costs a few comparisons however many routes there are.
#[derive(Clone, Debug)]
pub struct Table<R> {
    routes: Vec<R>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted by bytes.
    literals: Vec<(Box<[u8]>, usize)>,
    /// What stands around the varying part, the longest first.
    varying: Vec<Varying>,
    /// Routes whose paths end here.
    ends: Vec<usize>,
    /// Routes that take the rest from here, `**`.
    rests: Vec<usize>,
}

/// What stands around a varying part, and the node behind it.
#[derive(Clone, Debug)]
struct Varying {
    before: Box<[u8]>,
    after: Box<[u8]>,
    child: usize,
}

impl Varying {
    fn around(&self) -> usize {
        self.before.len() + self.after.len()
    }

    fn takes(&self, part: &[u8]) -> bool {
        part.len() > self.around() && part.starts_with(&self.before) && part.ends_with(&self.after)
    }
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { routes: Vec::new(), nodes: vec![Node::default()] }
    }
}

impl<R: PartialEq> PartialEq for Table<R> {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes
    }
}

impl<R: Serialize> Serialize for Table<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.routes.len()))?;
        self.routes.iter().try_for_each(|route| list.serialize_element(route))?;
        list.end()
    }
}

impl<R: Routed> Table<R> {
    /// All routes, as listed.
    pub fn iter(&self) -> std::slice::Iter<'_, R> {
        self.routes.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The most specific route that takes such a request; `path` is raw and without query.
    pub fn find(&self, method: &[u8], path: &[u8]) -> Option<&R> {
        let path = path.strip_prefix(b"/")?;
        let found = self.walk(0, Some(path), &|index| self.routes.get(index).is_some_and(|route| route.takes(method)));
        found.and_then(|index| self.routes.get(index))
    }

    /// The first route that would take such a request if one of its parameters were not empty, and which one.
    pub fn lacking(&self, method: &[u8], path: &[u8]) -> Option<(&R, &str)> {
        let takes = |route: &&R| route.takes(method);
        self.routes.iter().filter(takes).find_map(|route| Some((route, route.template().lacks(path)?)))
    }

    /// Adds a route; gives the earlier one back that takes the same requests, if there is one.
    pub(super) fn add(&mut self, route: R) -> Result<(), &R> {
        let mut at = 0;
        for segment in route.template().segments() {
            at = self.child(at, segment);
        }
        let rest = route.template().has_rest();
        let index = self.routes.len();
        if let Some(node) = self.nodes.get_mut(at) {
            let list = if rest { &mut node.rests } else { &mut node.ends };
            let clash = list.iter().find(|earlier| self.routes.get(**earlier).is_some_and(|r| r.clashes(&route)));
            match clash {
                Some(earlier) => return self.routes.get(*earlier).map_or(Ok(()), Err),
                None => list.push(index),
            }
        }
        self.routes.push(route);
        Ok(())
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let known = match segment {
            Segment::Literal(literal) => match node.literals.binary_search_by(|(known, _)| known.cmp(literal)) {
                Ok(place) => node.literals.get(place).map(|(_, child)| *child),
                Err(place) => {
                    node.literals.insert(place, (literal.clone(), new));
                    None
                }
            },
            Segment::Varies { before, after, .. } => {
                let known = node.varying.iter().find(|one| one.before == *before && one.after == *after);
                let known = known.map(|one| one.child);
                if known.is_none() {
                    node.varying.push(Varying { before: before.clone(), after: after.clone(), child: new });
                    node.varying.sort_by_key(|one| std::cmp::Reverse(one.around()));
                }
                known
            }
        };
        known.unwrap_or_else(|| {
            self.nodes.push(Node::default());
            new
        })
    }

    /// `left` is what is left of the path, `None` at its end. Goes as deep as the longest template; every node is
    /// looked at once at most.
    fn walk(&self, at: usize, left: Option<&[u8]>, takes: &dyn Fn(usize) -> bool) -> Option<usize> {
        let node = self.nodes.get(at)?;
        let Some(left) = left else { return node.ends.iter().copied().find(|index| takes(*index)) };
        let (part, rest) = match memchr::memchr(b'/', left) {
            Some(slash) => (left.get(..slash)?, left.get(slash + 1..)),
            None => (left, None),
        };
        let literal = node.literals.binary_search_by(|(known, _)| (**known).cmp(part)).ok();
        let literal = literal.and_then(|place| node.literals.get(place)).map(|(_, child)| *child);
        let varying = node.varying.iter().filter(|one| one.takes(part)).map(|one| one.child);
        literal
            .into_iter()
            .chain(varying)
            .find_map(|child| self.walk(child, rest, takes))
            .or_else(|| node.rests.iter().copied().find(|index| takes(*index)))
    }
}
