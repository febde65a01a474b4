//! A filter at work on a capture: it is given what it needs beside the rows.

use std::collections::BTreeMap;

use crate::model::{
    flag::Subject,
    rows::{ConnectionRow, ExchangeRow},
};

use super::{
    Error, bodies,
    filter::{Filter, Joined, Needs, RowKind, RowRef},
    list::{Joins, Secrets},
    order::in_any_order,
    source::{Kind, Shelf},
};

/// A filter, and rows of other kinds that it asks for.
pub(super) struct Judge<'j> {
    shelf: Shelf<'j>,
    filter: Option<&'j Filter>,
    needs: Needs,
    secrets: Secrets,
    connections: BTreeMap<u64, ConnectionRow>,
    exchanges: BTreeMap<u64, ExchangeRow>,
}

impl<'j> Judge<'j> {
    /// For rows of a kind.
    ///
    /// # Errors
    /// Where the filter means nothing for rows of that kind, or what it needs cannot be read.
    pub(super) fn new(
        shelf: Shelf<'j>,
        kind: Kind,
        filter: Option<&'j Filter>,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let needs = filter.map(|filter| filter.needs(row_kind(kind))).unwrap_or_default();
        let mut judge =
            Self { shelf, filter, needs, secrets, connections: BTreeMap::new(), exchanges: BTreeMap::new() };
        let Some(filter) = filter else { return Ok(judge) };
        filter.check(row_kind(kind))?;
        // Frames and flags find their connection by way of their exchange.
        if needs.exchange || (needs.connection && kind == Kind::Flags) {
            let joins = Joins::of_exchanges(shelf)?;
            in_any_order::<ExchangeRow>(shelf, &mut |row| {
                let mut row = row.clone();
                joins.exchange(&mut row);
                let concerns = if kind == Kind::Frames { row.websocket.is_some() } else { !row.flags.is_empty() };
                if concerns {
                    judge.exchanges.insert(row.id.0, row);
                }
            })?;
        }
        if needs.connection {
            in_any_order::<ConnectionRow>(shelf, &mut |row| {
                judge.connections.insert(row.id.0, row.clone());
            })?;
        }
        Ok(judge)
    }

    /// Whether rows can be judged as the tables hold them, before anything is read from the segments.
    pub(super) fn is_early(&self) -> bool {
        !self.needs.frame_text && !self.needs.bodies && self.secrets == Secrets::Fingerprints
    }

    /// Whether a row passes.
    pub(super) fn passes(&self, row: RowRef<'_>) -> Result<bool, Error> {
        let Some(filter) = self.filter else { return Ok(true) };
        let exchange = match row {
            RowRef::Frame(row) => self.exchanges.get(&row.exchange.0),
            RowRef::Flag(row) => match row.subject.parse() {
                Ok(Subject::Exchange(id)) => self.exchanges.get(&id.0),
                _ => None,
            },
            _ => None,
        };
        let connection = match row {
            RowRef::Exchange(row) => Some(row.connection),
            RowRef::Frame(row) => Some(row.connection),
            RowRef::Flag(row) => match row.subject.parse() {
                Ok(Subject::Connection(id)) => Some(id),
                _ => exchange.map(|row| row.connection),
            },
            RowRef::Connection(_) | RowRef::Session(_) => None,
        };
        let connection = connection.and_then(|id| self.connections.get(&id.0));
        let with_bodies = match row {
            RowRef::Exchange(row) => Some(row),
            _ => exchange,
        };
        let bodies = match with_bodies.filter(|_| self.needs.bodies) {
            Some(row) => bodies::of(self.shelf, row)?,
            None => (None, None),
        };
        let joined =
            Joined { connection, exchange, request_body: bodies.0.as_deref(), response_body: bodies.1.as_deref() };
        Ok(filter.matches_joined(&row, &joined))
    }
}

fn row_kind(kind: Kind) -> RowKind {
    match kind {
        Kind::Connections => RowKind::Connection,
        Kind::Exchanges => RowKind::Exchange,
        Kind::Frames => RowKind::Frame,
        Kind::Sessions => RowKind::Session,
        Kind::Flags => RowKind::Flag,
    }
}
