//! The causes that can be planted: one file each and one line in [`CAUSES`]. A cause changes what clients do, what the
//! API refuses, or both; it never knows how it will be looked for. What it says of itself (`right`, `truth`) is what an
//! honest answer may be, given the load: where two explanations are the same on such a load, both are right.

mod accept_missing;
mod authorization_malformed;
mod bad_instance;
mod bad_path_value;
mod bad_tenant;
mod bursty_refusals;
mod bytes_after_body;
mod charset;
mod client_abort;
mod connection_rate;
mod content_type;
mod defect;
mod duplicate_header;
mod duplicate_id;
mod empty_identifier;
mod frame_errors;
mod frame_overtaken;
mod head_growth;
mod hidden_write;
mod id_swapped;
mod inflight_limit;
mod inflight_per_route;
mod inflight_soft;
mod intermediary;
mod limit;
mod malformed_json;
mod metadata_before_open;
mod metadata_before_ready;
mod metadata_too_late;
mod open_sockets;
mod outage;
mod parameter;
mod path_encoding;
mod random_refusals;
mod refresh_stampede;
mod request_rate;
mod retry_amplification;
#[cfg(test)]
mod rules_tests;
mod schema;
mod shared_token;
mod socket_eviction;
mod stale_if_match;
mod stale_keepalive;
mod token_rate;
mod unresolved_variable;
mod wrong_date_type;

use crate::model::finding::Direction;

use super::{
    agent::Step,
    api::{Offer, Refusal},
    random::Random,
    request::{Kind, Request},
    scenario::Scenario,
    surface::{Surface, Who},
};

pub use parameter::{Domain, Parameter, Plant, PlantError, Typical, read_duration, write_duration};

/// What is known of a cause without planting it.
pub struct CauseInfo {
    /// Kebab-case, unique, stable.
    pub id: &'static str,
    /// One line: what is wrong, and where.
    pub summary: &'static str,
    /// What it can be told.
    pub parameters: &'static [Parameter],
    /// Changes a scenario so that the cause can show at all: shared tokens, several addresses. Applied by the
    /// evaluation and the demo, not where a user says what to run.
    pub prepare: fn(&mut Scenario),
    /// The hypotheses that are right for it on that load; one that ends in `:` is right with anything behind it.
    pub right: fn(&Plant, &Scenario) -> Vec<&'static str>,
    /// The hypothesis with a true threshold, seen at the proxy, where it has one.
    pub truth: fn(&Plant, &Scenario) -> Option<Truth>,
    /// Makes one; client and server have one each.
    pub build: fn(&Plant, &Scenario) -> Box<dyn Cause>,
}

/// A true threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Of which dose.
    pub hypothesis: &'static str,
    /// The first dose on the refused side, as the proxy sees it: counts, bytes, nanoseconds.
    pub value: f64,
    /// Which side is refused.
    pub direction: Direction,
}

/// The client whose turn it is.
pub struct Client<'a> {
    /// Who it is.
    pub who: &'a Who,
    /// When, in virtual nanoseconds.
    pub now: i64,
    /// The run's seed.
    pub seed: u64,
    /// Which of its rounds, from 0.
    pub round: u32,
    /// Requests that its HTTP connection has borne already; 0 on a fresh one.
    pub ordinal: u32,
    /// The API's surface.
    pub surface: Surface,
    /// Its chance.
    pub random: &'a mut Random,
}

/// A planted cause at work, on one side.
pub trait Cause: Send {
    /// Client: changes what a round will do, before it does any of it.
    fn shape(&mut self, _client: &mut Client<'_>, _steps: &mut Vec<Step>) {}

    /// Client: chooses another id for a round's session; the rule that will flag its socket for it.
    fn session(&mut self, _client: &mut Client<'_>, _id: &mut String) -> Option<&'static str> {
        None
    }

    /// Client: what it sends before whatever it would send next.
    fn interpose(&mut self, _client: &mut Client<'_>) -> Option<Kind> {
        None
    }

    /// Client: changes a request or a message before it is sent.
    fn write(&mut self, _client: &mut Client<'_>, _request: &mut Request) {}

    /// Client: how often a request that was refused or not answered is sent again at once.
    fn retries(&self) -> u32 {
        0
    }

    /// Server: whether it refuses what is offered.
    fn refuse(&mut self, _offer: &Offer<'_>, _random: &mut Random) -> Option<Refusal> {
        None
    }

    /// Server: whether granting this upgrade closes the oldest socket of its token.
    fn evicts(&mut self, _offer: &Offer<'_>) -> bool {
        false
    }
}

/// All causes, in the order of documentation.
pub const CAUSES: &[&CauseInfo] = &[
    &metadata_before_open::INFO,
    &metadata_before_ready::INFO,
    &metadata_too_late::INFO,
    &frame_overtaken::INFO,
    &malformed_json::INFO,
    &content_type::INFO,
    &schema::INFO,
    &wrong_date_type::INFO,
    &charset::INFO,
    &unresolved_variable::INFO,
    &empty_identifier::INFO,
    &path_encoding::INFO,
    &authorization_malformed::INFO,
    &accept_missing::INFO,
    &duplicate_header::INFO,
    &head_growth::INFO,
    &bytes_after_body::INFO,
    &client_abort::INFO,
    &stale_keepalive::INFO,
    &shared_token::INFO,
    &token_rate::INFO,
    &inflight_limit::INFO,
    &inflight_soft::INFO,
    &inflight_per_route::INFO,
    &open_sockets::INFO,
    &socket_eviction::INFO,
    &connection_rate::INFO,
    &request_rate::INFO,
    &id_swapped::INFO,
    &duplicate_id::INFO,
    &stale_if_match::INFO,
    &hidden_write::INFO,
    &intermediary::INFO,
    &bad_instance::INFO,
    &bad_tenant::INFO,
    &bad_path_value::INFO,
    &refresh_stampede::INFO,
    &retry_amplification::INFO,
    &frame_errors::INFO,
    &outage::INFO,
    &random_refusals::INFO,
    &bursty_refusals::INFO,
];
