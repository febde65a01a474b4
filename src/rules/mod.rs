//! Rules: one file each, listed in [`RULES`]. PURE: they know the model and nothing else.
//!
//! A rule listens to observations and raises flags. It sees what was known at that point of the record, in record
//! order, so it raises the same flags live and offline. It may remember, in bounded memory, what waits for a decision;
//! `What::End` is the last chance to decide.

pub mod abnormal_close;
mod accept_missing;
mod answer_cut_short;
mod authorization_malformed;
mod bytes_after_answer;
mod bytes_after_body;
mod charset_loss;
mod client_abort;
mod content_type_mismatch;
mod content_type_missing;
mod duplicate_header;
mod duplicate_id;
mod empty_identifier;
mod error_frame;
mod frame_before_open;
pub mod frame_overtaken;
mod framing_conflict;
pub mod head_too_large;
pub mod hidden_write;
mod host_form;
mod id_mismatch;
mod identifier_shape;
mod invalid_grant_stampede;
mod malformed_head;
mod malformed_json;
mod message_too_large;
mod metadata_after_close;
mod metadata_after_failed_open;
mod metadata_before_open;
mod metadata_before_ready;
mod metadata_too_late;
mod metadata_too_soon;
mod metadata_without_socket;
mod not_from_api;
mod path_encoding;
mod precondition_missing;
mod precondition_stale;
mod quota_as_400;
mod rate_limited;
mod refused_upgrade;
pub mod retry_duplicate;
mod schema_violation;
mod shared_token;
pub mod stale_keepalive;
mod strict_101;
mod unresolved_variable;
mod wrong_date_type;

mod answer;
mod body;
mod connections;
mod document;
mod etags;
mod fault;
mod metadata;
mod recent;
mod routes;
mod words;

use std::sync::Arc;

pub use document::document;

use crate::model::{
    again::Memo,
    flag::{Flag, Severity},
    observation::{Heard, Observation, What},
};
use crate::profile::{Metadata, Profile};

/// A rule at work on one capture.
pub trait Rule: Send {
    /// The kinds of observations that it takes: it is shown no others. (A test holds this against what
    /// [`observe`](Self::observe) looks for.)
    fn hears(&self) -> &[Heard];
    /// Takes one observation; hands each flag that it raises to `raise`.
    fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag));
    /// Whether what it says of a request's head depends on nothing but the head's bytes: it is not shown one again of
    /// which it had nothing to say.
    fn judges_heads_alone(&self) -> bool {
        false
    }
}

/// What is known of a rule without running it.
pub struct RuleInfo {
    /// Kebab-case, unique, stable.
    pub id: &'static str,
    /// What it is about.
    pub group: Group,
    /// One line: when it fires.
    pub summary: &'static str,
    /// The worst severity that it raises.
    pub severity: Severity,
    /// What it must see.
    pub needs: &'static [Needs],
    /// When it is known; only what is known before the response can be a cause.
    pub known: Known,
    /// Where the knowledge comes from: an RFC's section, a measured fact.
    pub source: &'static str,
    /// Whether it works unless it is told not to.
    pub default_on: bool,
    /// Why it is on, or off.
    pub why: &'static str,
    /// Why it can say nothing whatever passes, with these options; [`never()`] where it always can. What it does not flag
    /// was not looked at then.
    pub silent: fn(&Options) -> Option<&'static str>,
    /// Makes one.
    pub build: fn(&Options) -> Box<dyn Rule>,
}

/// What a rule is about; the order is that of documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Metadata, sockets and frames in time.
    Ordering,
    /// Request bodies.
    Body,
    /// What a template left behind.
    TemplateLeaks,
    /// Request heads.
    Head,
    /// Where messages and connections end.
    Framing,
    /// Whose ids and tokens they are.
    Identity,
    /// What the server answered.
    ServerSide,
}

impl Group {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Ordering, Self::Body, Self::TemplateLeaks, Self::Head, Self::Framing, Self::Identity, Self::ServerSide];

    /// As the document has it.
    fn title(self) -> &'static str {
        match self {
            Self::Ordering => "Ordering",
            Self::Body => "Bodies",
            Self::TemplateLeaks => "What a template left behind",
            Self::Head => "Heads",
            Self::Framing => "Framing",
            Self::Identity => "Identity",
            Self::ServerSide => "The server's side",
        }
    }

    /// Kebab-case, unique, stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::Body => "body",
            Self::TemplateLeaks => "template-leaks",
            Self::Head => "head",
            Self::Framing => "framing",
            Self::Identity => "identity",
            Self::ServerSide => "server-side",
        }
    }
}

/// [`RuleInfo::silent`] of rules that need nothing but traffic.
fn never(_: &Options) -> Option<&'static str> {
    None
}

/// What a rule must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Request heads.
    RequestHead,
    /// Request bodies, collected.
    RequestBody,
    /// Sessions.
    Session,
    /// Responses.
    Response,
    /// WebSocket frames or messages.
    Frames,
}

/// When a rule's flag is known, relative to the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Before it: it could be a cause.
    Before,
    /// With it: a symptom.
    With,
    /// After it.
    After,
}

/// What rules can be told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What metadata is.
    pub metadata: Metadata,
    /// Headers that name the virtual user, for hints.
    pub identity_headers: Vec<String>,
    /// Ids of rules that are off.
    pub off: Vec<String>,
    /// Ids of rules that are on although they are off by default.
    pub on: Vec<String>,
    /// What is known of the API.
    pub profile: Option<Arc<Profile>>,
    /// `[rules.head-too-large]`
    pub head_too_large: head_too_large::Settings,
    /// `[rules.stale-keepalive]`
    pub stale_keepalive: stale_keepalive::Settings,
    /// `[rules.abnormal-close]`
    pub abnormal_close: abnormal_close::Settings,
    /// `[rules.frame-overtaken]`
    pub frame_overtaken: frame_overtaken::Settings,
    /// `[rules.hidden-write]`
    pub hidden_write: hidden_write::Settings,
    /// `[rules.retry-duplicate]`
    pub retry_duplicate: retry_duplicate::Settings,
}

impl Options {
    /// Whether that rule works.
    pub fn is_on(&self, rule: &RuleInfo) -> bool {
        let named = |ids: &[String]| ids.iter().any(|id| id == rule.id);
        !named(&self.off) && (rule.default_on || named(&self.on))
    }
}

/// All rules, in the order of documentation and of work.
pub const RULES: &[&RuleInfo] = &[
    // Ordering.
    &metadata_before_open::INFO,
    &metadata_before_ready::INFO,
    &metadata_too_soon::INFO,
    &metadata_too_late::INFO,
    &metadata_without_socket::INFO,
    &metadata_after_failed_open::INFO,
    &metadata_after_close::INFO,
    &frame_before_open::INFO,
    &frame_overtaken::INFO,
    // Bodies.
    &malformed_json::INFO,
    &content_type_missing::INFO,
    &content_type_mismatch::INFO,
    &schema_violation::INFO,
    &wrong_date_type::INFO,
    &charset_loss::INFO,
    &message_too_large::INFO,
    // What a template left behind.
    &unresolved_variable::INFO,
    &empty_identifier::INFO,
    &identifier_shape::INFO,
    &path_encoding::INFO,
    // Heads.
    &malformed_head::INFO,
    &duplicate_header::INFO,
    &authorization_malformed::INFO,
    &accept_missing::INFO,
    &head_too_large::INFO,
    &host_form::INFO,
    // Framing.
    &framing_conflict::INFO,
    &bytes_after_body::INFO,
    &client_abort::INFO,
    &stale_keepalive::INFO,
    // Identity.
    &id_mismatch::INFO,
    &duplicate_id::INFO,
    &shared_token::INFO,
    &hidden_write::INFO,
    &precondition_missing::INFO,
    &precondition_stale::INFO,
    // The server's side.
    &not_from_api::INFO,
    &rate_limited::INFO,
    &quota_as_400::INFO,
    &refused_upgrade::INFO,
    &error_frame::INFO,
    &answer_cut_short::INFO,
    &bytes_after_answer::INFO,
    &abnormal_close::INFO,
    &strict_101::INFO,
    &retry_duplicate::INFO,
    &invalid_grant_stampede::INFO,
];

/// The rule of that id.
pub fn find(id: &str) -> Option<&'static RuleInfo> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// The rules that are on, at work on one capture.
pub struct RuleSet {
    rules: Vec<Box<dyn Rule>>,
    /// By the number of the kind: which rules hear it, in the order of work.
    listeners: [Vec<usize>; Heard::ALL.len()],
    /// Which of them hear a request's head that is `sound`.
    of_sound_heads: Vec<usize>,
    /// Heads that came before, and of which those that judge heads alone had nothing to say.
    sound: Memo<()>,
}

impl RuleSet {
    /// All but those that are off.
    ///
    /// # Errors
    /// Where `off` or `on` names a rule that there is not.
    pub fn new(options: &Options) -> Result<Self, UnknownRule> {
        if let Some(unknown) = options.off.iter().chain(&options.on).find(|id| find(id).is_none()) {
            return Err(UnknownRule(unknown.clone()));
        }
        let on = RULES.iter().copied().filter(|rule| options.is_on(rule));
        // What is said of metadata's order is judged together.
        let (order, alone): (Vec<&RuleInfo>, Vec<&RuleInfo>) = on.partition(|rule| metadata::is_member(rule));
        let order: Vec<&str> = order.iter().map(|rule| rule.id).collect();
        let order = (!order.is_empty()).then(|| metadata::build(options, &order));
        let rules: Vec<Box<dyn Rule>> =
            order.into_iter().chain(alone.into_iter().map(|rule| (rule.build)(options))).collect();
        let listeners = Heard::ALL.map(|kind| {
            let hearing = rules.iter().enumerate().filter(|(_, rule)| rule.hears().contains(&kind));
            hearing.map(|(at, _)| at).collect()
        });
        let of_heads = rules.iter().enumerate().filter(|(_, rule)| rule.hears().contains(&Heard::RequestHead));
        let of_sound_heads = of_heads.filter(|(_, rule)| !rule.judges_heads_alone()).map(|(at, _)| at).collect();
        Ok(Self { rules, listeners, of_sound_heads, sound: Memo::default() })
    }

    /// Shows one observation to every rule that hears its kind.
    pub fn observe(&mut self, observation: &Observation<'_>, raise: &mut dyn FnMut(Flag)) {
        let Self { rules, listeners, of_sound_heads, sound } = self;
        let again = match observation.what {
            What::RequestHead(exchange) => exchange.request.again(),
            _ => None,
        };
        let known = again.is_some_and(|again| sound.get(again).is_some());
        let listeners = if known { Some(&*of_sound_heads) } else { listeners.get(observation.what.kind() as usize) };
        let mut faults = 0;
        for at in listeners.into_iter().flatten() {
            let Some(rule) = rules.get_mut(*at) else { continue };
            let counts = again.is_some() && rule.judges_heads_alone();
            rule.observe(observation, &mut |flag| {
                faults += u32::from(counts);
                raise(flag);
            });
        }
        if let Some(again) = again.filter(|_| !known && faults == 0) {
            sound.put(again, ());
        }
    }
}

/// A rule id that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule {0:?}: expected one of {all}", all = RULES.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", "))]
pub struct UnknownRule(pub String);
