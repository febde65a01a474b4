//! Where an API's secrets are beside the usual places.

use std::ops::Range;

use memchr::{memchr, memmem};
use serde::Serialize;

use super::Template;

/// See the module. Names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Secrets {
    /// Headers whose whole value is secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Paths whose `{…}` are secret; what else varies is `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Template>,
    /// Query parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// Fields of JSON and form bodies and of JSON messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Kinds of messages that bear credentials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<FrameSecret>,
}

impl Secrets {
    /// Where in a path (without query) secrets stand.
    pub fn in_path(&self, path: &[u8]) -> Vec<Range<usize>> {
        let secret = |(name, range): (&str, Range<usize>)| (!name.is_empty()).then_some(range);
        let mut found: Vec<_> =
            self.paths.iter().flat_map(|template| template.ranges(path).filter_map(secret)).collect();
        found.sort_by_key(|range| (range.start, range.end));
        found.dedup();
        found
    }

    /// Where in a text message secrets of the listed kinds stand.
    pub fn in_frame(&self, text: &[u8]) -> Vec<Range<usize>> {
        self.frames.iter().flat_map(|kind| kind.find(text)).collect()
    }
}

/// A kind of message that bears credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameSecret {
    /// XMPP's `<auth mechanism="PLAIN">` and `<response>` (RFC 6120, 6.4; RFC 4616): their content holds name and
    /// password in base64, whatever the mechanism.
    SaslPlain,
}

impl FrameSecret {
    /// As a profile spells them.
    pub const ALL: &[(&str, Self)] = &[("sasl-plain", Self::SaslPlain)];

    fn find(self, text: &[u8]) -> Vec<Range<usize>> {
        let Self::SaslPlain = self;
        let contents =
            |element: &'static [u8]| memmem::find_iter(text, element).filter_map(move |at| content(text, at, element));
        contents(b"<auth").chain(contents(b"<response")).collect()
    }
}

/// The content of the element whose tag begins at `at`, where it is that element and has content.
fn content(text: &[u8], at: usize, element: &[u8]) -> Option<Range<usize>> {
    let name_end = at + element.len();
    if !matches!(text.get(name_end)?, b' ' | b'\t' | b'\r' | b'\n' | b'>') {
        return None;
    }
    let begin = name_end + memchr(b'>', text.get(name_end..)?)? + 1;
    let length = memchr(b'<', text.get(begin..)?).unwrap_or(text.len() - begin);
    (length > 0 && text.get(begin - 2) != Some(&b'/')).then_some(begin..begin + length)
}
