//! Captured sessions again: what is sent when (`plan`, PURE), the sending, and capture against capture.
//!
//! - [`mod@load`]: a capture's sessions as a [`script`], with every byte and instant;
//! - [`changes`]: what is to be different; `fix_json`, [`edit`], `deflate`: how bytes are changed;
//! - [`values`]: what the server issued and the client sends back, carried on from what is issued at replay;
//! - [`plan`]: what each connection does, when, and what it waits for;
//! - [`driver`]: does it, through a proxy of ours, and tells how late it was;
//! - [`compare`]: capture against capture; [`experiment`]: arms in random order.
//!
//! The composition root starts the proxy and hands its address in: nothing here imports it. Nothing here prints, and no
//! byte that was captured is logged.

pub mod changes;
pub mod compare;
pub mod driver;
pub mod edit;
pub mod experiment;
pub mod fix_json;
pub mod load;
pub mod plan;
pub mod script;
pub mod trail;
pub mod values;

mod conversation;
mod deflate;

pub use changes::{ChangeError, Changes, Retry};
pub use load::{Wanted, load};
pub use plan::{Plan, PlanError, Target};
pub use script::Script;

use crate::{model::SessionId, query, store};

/// What keeps sessions from being replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The capture cannot be read.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// Its files cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No session has that id.
    #[error("{capture} has no session {id}: {} (hint: `firstframe ls sessions` lists them)", there(*range))]
    NoSession {
        /// Which.
        id: SessionId,
        /// Of which capture.
        capture: String,
        /// The first and the last that there are.
        range: Option<(SessionId, SessionId)>,
    },
    /// There is no session at all.
    #[error("{capture} has no session to replay: {why}")]
    Nothing {
        /// Which capture.
        capture: String,
        /// What there is instead.
        why: String,
    },
    /// Part of a session is not in the capture any more, or never was.
    #[error(
        "{session} cannot be replayed: {why} (hint: --session names others; `record.max_bytes` is how much is kept)"
    )]
    Gone {
        /// Which session.
        session: SessionId,
        /// What is missing and why.
        why: String,
    },
    /// The evidence is damaged.
    #[error("the sessions cannot be replayed: {why} (hint: `firstframe verify` says how far the capture is sound)")]
    Damaged {
        /// Where and how.
        why: String,
    },
    /// A change cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// More than is held in memory.
    #[error("the sessions' clients sent more than {} MiB, which are held in memory (hint: --session or --filter take fewer)", most >> 20)]
    TooLarge {
        /// The most.
        most: usize,
    },
}

impl Error {
    fn gone(session: SessionId, why: String) -> Self {
        Self::Gone { session, why }
    }
}

fn there(range: Option<(SessionId, SessionId)>) -> String {
    match range {
        None => "there are none".to_owned(),
        Some((first, last)) if first == last => format!("there is only {first}"),
        Some((first, last)) => format!("there are {first} to {last}"),
    }
}
