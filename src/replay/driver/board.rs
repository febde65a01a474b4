//! What has happened so far in each session of each copy, and waiting for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{
    decode::DeflateParameters,
    model::{ExchangeId, SessionId, Timestamp, columns::Outcome},
    query::{Dialogue, Says},
    replay::{
        plan::{Act, Plan, Wait},
        values::{Source, Values},
    },
};

/// All sessions of all copies.
pub(super) struct Board {
    sessions: BTreeMap<ExchangeId, (usize, SessionId)>,
    /// The exchanges whose values are carried on.
    wanted: BTreeSet<ExchangeId>,
    width: usize,
    cells: Vec<Cell>,
}

#[derive(Default)]
struct Cell {
    state: Mutex<BTreeMap<ExchangeId, Progress>>,
    changed: watch::Sender<()>,
}

/// What became of an exchange so far.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) sent: Option<Timestamp>,
    pub(super) times: u32,
    pub(super) status: Option<u16>,
    /// When its answer was complete, or it was clear that there is none.
    pub(super) answered: Option<Timestamp>,
    /// When its socket opened; and when it was clear that it does not, or it ended.
    pub(super) open: Option<Timestamp>,
    pub(super) over: Option<Timestamp>,
    /// What was agreed of `permessage-deflate`.
    pub(super) deflate: Option<DeflateParameters>,
    pub(super) ready: Option<Timestamp>,
    /// When each of its messages came.
    pub(super) messages: Vec<Timestamp>,
    /// What the client has said on its socket, in order: whether that is metadata, and how the server took it.
    pub(super) said: Vec<(bool, Outcome)>,
    pub(super) dialogue: Dialogue,
    pub(super) values: Values,
    /// Whether it may be sent once more, so that an answer is not yet the answer.
    pub(super) undecided: bool,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It happened then.
    At(Timestamp),
    /// It will not happen; that was clear then.
    Never(Timestamp),
    /// Nobody knows.
    OutOfPatience,
}

impl Board {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut sessions = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        let mut width = 1;
        let mut copies = 1;
        for planned in &plan.connections {
            width = width.max(planned.session_index + 1);
            for step in &planned.steps {
                if let Act::Request(request) = &step.act {
                    sessions.insert(request.exchange, (planned.session_index, planned.session));
                    wanted.extend(request.issues.then_some(request.exchange));
                }
            }
        }
        for run in &plan.runs {
            copies = copies.max(run.copy as usize + 1);
        }
        let cells = std::iter::repeat_with(Cell::default).take(width * copies).collect();
        Self { sessions, wanted, width, cells }
    }

    fn cell(&self, copy: u32, exchange: ExchangeId) -> Option<&Cell> {
        let (session, _) = self.sessions.get(&exchange)?;
        self.cells.get(copy as usize * self.width + session)
    }

    pub(super) fn session_of(&self, exchange: ExchangeId) -> SessionId {
        self.sessions.get(&exchange).map(|(_, id)| *id).unwrap_or_default()
    }

    /// Whether anybody carries on what that exchange issues.
    pub(super) fn is_wanted(&self, exchange: ExchangeId) -> bool {
        self.wanted.contains(&exchange)
    }

    /// Notes something, and wakes who waits for it.
    pub(super) fn note(&self, copy: u32, exchange: ExchangeId, note: impl FnOnce(&mut Progress)) {
        let Some(cell) = self.cell(copy, exchange) else { return };
        let mut state = cell.state.lock().unwrap_or_else(PoisonError::into_inner);
        note(state.entry(exchange).or_default());
        drop(state);
        cell.changed.send_replace(());
    }

    /// Looks at something.
    pub(super) fn look<T: Default>(&self, copy: u32, exchange: ExchangeId, look: impl FnOnce(&Progress) -> T) -> T {
        let Some(cell) = self.cell(copy, exchange) else { return T::default() };
        let state = cell.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.get(&exchange).map(look).unwrap_or_default()
    }

    pub(super) fn outcome(&self, copy: u32, exchange: ExchangeId) -> (Option<Timestamp>, Option<u16>, u32) {
        self.look(copy, exchange, |progress| (progress.sent, progress.status, progress.times))
    }

    /// The value that has come from a source.
    pub(super) fn value(&self, copy: u32, source: &Source) -> Option<String> {
        self.look(copy, source.exchange, |progress| progress.values.get(&source.place).cloned())
    }

    /// Waits for something to happen.
    pub(super) async fn wait(&self, copy: u32, wait: &Wait, patience: Duration) -> Came {
        let exchange = match wait {
            Wait::Answered(id) | Wait::Open(id, _) | Wait::Ready(id) | Wait::Messages(id, _) => *id,
            Wait::Value(source) => source.exchange,
        };
        self.until(copy, exchange, patience, |progress| progress.came(wait)).await
    }

    /// Waits for an answer, though it may not be the last.
    pub(super) async fn wait_for_answer(&self, copy: u32, exchange: ExchangeId, patience: Duration) -> Came {
        self.until(copy, exchange, patience, |progress| progress.answered.map(Came::At)).await
    }

    async fn until(
        &self,
        copy: u32,
        exchange: ExchangeId,
        patience: Duration,
        came: impl Fn(&Progress) -> Option<Came>,
    ) -> Came {
        // What is not part of this replay is not waited for.
        let Some(cell) = self.cell(copy, exchange) else { return Came::At(Timestamp(0)) };
        let mut changed = cell.changed.subscribe();
        let happening = async {
            loop {
                changed.borrow_and_update();
                if let Some(came) = self.look(copy, exchange, &came) {
                    return came;
                }
                if changed.changed().await.is_err() {
                    return Came::OutOfPatience;
                }
            }
        };
        tokio::time::timeout(patience, happening).await.unwrap_or(Came::OutOfPatience)
    }
}

impl Progress {
    /// The client says something on its socket.
    pub(super) fn says(&mut self, metadata: bool) {
        self.dialogue.said(u32::try_from(self.said.len()).unwrap_or(u32::MAX));
        self.said.push((metadata, Outcome::Uncounted));
    }

    /// The server says something on it.
    pub(super) fn hears(&mut self, says: Says) {
        let Self { said, dialogue, .. } = self;
        let mut becomes = |message: u32, outcome| {
            let slot = said.get_mut(message as usize).map(|(_, slot)| slot);
            // What was refused stays so.
            if let Some(slot) = slot.filter(|slot| **slot != Outcome::Refused) {
                *slot = outcome;
            }
        };
        let judged = dialogue.heard(says, |message| becomes(message, Outcome::Accepted));
        if let Some((message, refused)) = judged {
            becomes(message, if refused { Outcome::Refused } else { Outcome::Accepted });
        }
    }

    fn came(&self, wait: &Wait) -> Option<Came> {
        let over = self.over.filter(|_| !self.undecided).map(Came::Never);
        match wait {
            Wait::Answered(_) => self.answered.filter(|_| !self.undecided).map(Came::At),
            Wait::Open(_, since) => self.open.map(|at| Came::At(at.after(*since))).or(over),
            Wait::Ready(_) => self.ready.map(Came::At).or(over),
            Wait::Messages(_, count) => self.messages.get(count.saturating_sub(1)).copied().map(Came::At).or(over),
            Wait::Value(source) => {
                // A message may still bring it while the socket is open.
                let no_more = match source.place {
                    crate::replay::values::Place::Message(..) => self.over,
                    _ => self.answered.filter(|_| !self.undecided),
                };
                if self.values.contains_key(&source.place) {
                    let at = self.messages.last().copied().max(self.answered).unwrap_or_default();
                    return Some(Came::At(at));
                }
                no_more.map(Came::Never)
            }
        }
    }
}
