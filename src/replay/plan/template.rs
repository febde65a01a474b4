//! Bytes to be sent with slots in them, filled anew for each copy. PURE.

use std::{collections::BTreeSet, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    model::http::{Field, Head},
    replay::{
        changes::Changes,
        edit::Message,
        fix_json,
        script::Exchange,
        values::{Source, Use, percent_encoded},
    },
};

use super::{Inputs, fresh};

/// Bytes with slots.
#[derive(Clone, Debug)]
pub struct Template {
    message: Message,
    slots: Vec<Slot>,
}

/// A place that is filled anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where.
    pub range: Range<usize>,
    /// With what.
    pub kind: SlotKind,
}

/// What fills a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A value that the server issued, perhaps percent-encoded.
    Issued(Source, bool),
    /// A fresh `Sec-WebSocket-Key`.
    Key,
    /// An id that the client had made; the same one wherever it stood.
    Id(String),
    /// The user's name, which differs between copies.
    Identity,
    /// The session's own token.
    Token,
}

/// What slots are filled with.
pub struct Fill<'f> {
    /// Which copy, from 0.
    pub copy: u32,
    /// Makes ids; the same for one session of one copy.
    pub seed: u64,
    /// Makes keys; another one for each request that is sent.
    pub key_seed: u64,
    /// That session's token.
    pub token: Option<&'f str>,
    /// The value that has come; `None` leaves the captured one.
    pub value: &'f dyn Fn(&Source) -> Option<String>,
}

impl Template {
    /// A request's, as captured.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let cuts = exchange.pieces.iter().map(|(offset, _)| *offset).collect();
        let message = Message { bytes: exchange.bytes.to_vec(), head: exchange.head, body: exchange.body, cuts };
        Self { message, slots: Vec::new() }
    }

    /// Of bytes without parts.
    pub(super) fn plain(bytes: &[u8]) -> Self {
        let message = Message { bytes: bytes.to_vec(), head: 0, body: 0, cuts: Vec::new() };
        Self { message, slots: Vec::new() }
    }

    /// Its bytes, slots as captured.
    pub fn bytes(&self) -> &[u8] {
        &self.message.bytes
    }

    /// Its slots, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whose values it bears.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.slots.iter().filter_map(|slot| match &slot.kind {
            SlotKind::Issued(source, _) => Some(source),
            _ => None,
        })
    }

    /// Makes the changes that are the same for all copies.
    pub(super) fn change(&mut self, changes: &Changes, retarget: Option<(&str, &str, bool)>) {
        if let Some((from, to, https)) = retarget {
            self.message.retarget(from, to, https);
        }
        for name in &changes.drop_headers {
            self.message.drop_header(name);
        }
        for (name, value) in &changes.set_headers {
            self.message.set_header(name, value);
        }
        if changes.fix_json
            && let Some(fixed) = self.message.content().and_then(|content| fix_json::fixed(&content))
        {
            self.message.set_content(fixed.into_bytes());
        }
    }

    /// Finds the slots.
    pub(super) fn fill_with(
        &mut self,
        uses: Vec<Use>,
        own_ids: Option<&BTreeSet<String>>,
        inputs: &Inputs<'_>,
        upgrade: bool,
    ) {
        let head = self.message.parsed();
        let place = |field: &Field| field.value.start as usize..field.value.end as usize;
        let named = |name: &str| -> Vec<&Field> {
            head.fields.iter().filter(|field| field.name.of(&head.raw).eq_ignore_ascii_case(name.as_bytes())).collect()
        };
        let mut slots = Vec::new();
        if upgrade {
            slots.extend(
                named("sec-websocket-key").into_iter().map(|field| Slot { range: place(field), kind: SlotKind::Key }),
            );
        }
        if inputs.changes.copies > 1 {
            for name in inputs.identity_headers {
                slots.extend(
                    named(name).into_iter().map(|field| Slot { range: place(field), kind: SlotKind::Identity }),
                );
            }
            for (range, id) in fresh::ids(&self.message.bytes) {
                if own_ids.is_some_and(|own| own.contains(&id)) {
                    slots.push(Slot { range, kind: SlotKind::Id(id) });
                }
            }
        }
        if inputs.changes.unique_token.is_some() {
            slots.extend(token(&head).map(|range| Slot { range, kind: SlotKind::Token }));
        }
        slots.extend(
            uses.into_iter().map(|one| Slot { range: one.range, kind: SlotKind::Issued(one.source, one.encoded) }),
        );
        // What stands first in this list has the place: a key is no value, whatever it looks like.
        let mut kept: Vec<Slot> = Vec::new();
        for slot in slots {
            if kept.iter().all(|other| other.range.end <= slot.range.start || other.range.start >= slot.range.end) {
                kept.push(slot);
            }
        }
        kept.sort_by_key(|slot| slot.range.start);
        self.slots = kept;
    }

    /// The bytes for one copy, and where its pieces begin.
    pub fn filled(&self, fill: &Fill<'_>) -> (Vec<u8>, Vec<usize>) {
        let mut message = self.message.clone();
        let with = |slot: &Slot| -> Option<String> {
            let was =
                || String::from_utf8_lossy(message.bytes.get(slot.range.clone()).unwrap_or_default()).into_owned();
            match &slot.kind {
                SlotKind::Issued(source, encoded) => {
                    (fill.value)(source).map(|value| if *encoded { percent_encoded(&value) } else { value })
                }
                SlotKind::Key => Some(STANDARD.encode(fresh::random(fill.key_seed, slot.range.start as u64))),
                SlotKind::Id(id) if fill.copy > 0 => Some(fresh::id(fill.seed, id)),
                SlotKind::Identity if fill.copy > 0 => Some(format!("{} copy {}", was(), fill.copy)),
                SlotKind::Token => fill.token.map(str::to_owned),
                SlotKind::Id(_) | SlotKind::Identity => None,
            }
        };
        let edits = self.slots.iter().filter_map(|slot| Some((slot.range.clone(), with(slot)?.into_bytes()))).collect();
        message.edit(edits);
        (message.bytes, message.cuts)
    }
}

/// Where the token stands in `Authorization: Bearer …`.
fn token(head: &Head) -> Option<Range<usize>> {
    let field = head.fields.iter().find(|field| field.name.of(&head.raw).eq_ignore_ascii_case(b"authorization"))?;
    let value = field.value.of(&head.raw);
    let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))?;
    let start = field.value.start as usize + scheme.len();
    Some(start..field.value.end as usize)
}
