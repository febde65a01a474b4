//! The fan-out to those who watch a capture while it grows. It never waits: a subscriber that is slow loses rows and is
//! told how many. Without subscribers it costs one load of an atomic per turn of the indexer.

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::mpsc;

use crate::model::rows::Row;

/// Rows that a subscriber may lag behind before it loses some.
const BACKLOG: usize = 4096;

/// Where rows go out live. Cheap to clone.
#[derive(Clone, Default)]
pub struct Live(Arc<Inner>);

#[derive(Default)]
struct Inner {
    subscribers: Mutex<Vec<Subscriber>>,
    /// What any of them wants.
    wanted: AtomicU8,
}

struct Subscriber {
    kinds: Kinds,
    rows: mpsc::Sender<Arc<Row>>,
    lost: Arc<AtomicU64>,
}

/// Rows as they become final, from the moment of subscribing. Dropping it ends it.
pub struct Subscription {
    rows: mpsc::Receiver<Arc<Row>>,
    lost: Arc<AtomicU64>,
}

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A row, final.
    Row(Arc<Row>),
    /// So many rows did not fit since the last time that this was said: they came after those that still wait here.
    Lost(u64),
}

/// A set of kinds of rows, such as `exchanges,flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Connections as they close.
    pub const CONNECTIONS: Self = Self(1);
    /// Exchanges as they end.
    pub const EXCHANGES: Self = Self(2);
    /// Frames.
    pub const FRAMES: Self = Self(4);
    /// Sessions as they end.
    pub const SESSIONS: Self = Self(8);
    /// Flags.
    pub const FLAGS: Self = Self(16);

    const NAMES: [(&'static str, Self); 5] = [
        ("connections", Self::CONNECTIONS),
        ("exchanges", Self::EXCHANGES),
        ("frames", Self::FRAMES),
        ("sessions", Self::SESSIONS),
        ("flags", Self::FLAGS),
    ];

    /// The kind of a row.
    pub fn of(row: &Row) -> Self {
        match row {
            Row::Connection(_) => Self::CONNECTIONS,
            Row::Exchange(_) => Self::EXCHANGES,
            Row::Frame(_) => Self::FRAMES,
            Row::Session(_) => Self::SESSIONS,
            Row::Flag(_) => Self::FLAGS,
        }
    }

    /// Whether any kind is in both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Default for Kinds {
    /// What is watched where nothing is said: connections, exchanges and flags.
    fn default() -> Self {
        Self::CONNECTIONS | Self::EXCHANGES | Self::FLAGS
    }
}

impl std::ops::BitOr for Kinds {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromStr for Kinds {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        text.split(',').filter(|name| !name.is_empty()).try_fold(Self::NONE, |kinds, name| {
            let known = Self::NAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, kind)| kinds | *kind).ok_or_else(|| UnknownKind(name.to_owned()))
        })
    }
}

/// A name that is no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of rows: expected connections, exchanges, frames, sessions or flags, separated by commas")]
pub struct UnknownKind(String);

impl Live {
    /// Subscribes to some kinds of rows.
    pub fn subscribe(&self, kinds: Kinds) -> Subscription {
        self.subscribe_with(kinds, BACKLOG)
    }

    /// The kinds that anyone wants.
    pub(super) fn wanted(&self) -> Kinds {
        Kinds(self.0.wanted.load(Relaxed))
    }

    /// Hands out a row to those who want it.
    pub(super) fn publish(&self, row: &Arc<Row>) {
        let kind = Kinds::of(row);
        let mut subscribers = self.lock();
        let before = subscribers.len();
        subscribers.retain(|subscriber| {
            if !subscriber.kinds.meets(kind) {
                return !subscriber.rows.is_closed();
            }
            match subscriber.rows.try_send(Arc::clone(row)) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    subscriber.lost.fetch_add(1, Relaxed);
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
        if subscribers.len() != before {
            self.count(&subscribers);
        }
    }

    /// No more rows will come: subscriptions end after what they still hold.
    pub(super) fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.clear();
        self.count(&subscribers);
    }

    fn subscribe_with(&self, kinds: Kinds, backlog: usize) -> Subscription {
        let (sender, rows) = mpsc::channel(backlog);
        let lost = Arc::new(AtomicU64::new(0));
        let mut subscribers = self.lock();
        subscribers.push(Subscriber { kinds, rows: sender, lost: Arc::clone(&lost) });
        self.count(&subscribers);
        Subscription { rows, lost }
    }

    fn count(&self, subscribers: &[Subscriber]) {
        let wanted = subscribers.iter().fold(Kinds::NONE, |kinds, subscriber| kinds | subscriber.kinds);
        self.0.wanted.store(wanted.0, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.0.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// The next message; `None` once the capture is over.
    pub async fn next(&mut self) -> Option<Message> {
        match self.lost.swap(0, Relaxed) {
            0 => self.rows.recv().await.map(Message::Row),
            lost => Some(Message::Lost(lost)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, rows::FlagRow};

    fn row(n: u64) -> Arc<Row> {
        Arc::new(Row::Flag(FlagRow {
            rule: "r".into(),
            severity: "hint".into(),
            subject: format!("x{n}"),
            session: None,
            message: String::new(),
            evidence: vec![],
            at_ns: Timestamp(n),
        }))
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_rows_it_lost_and_others_lose_none() {
        let live = Live::default();
        let mut slow = live.subscribe_with(Kinds::FLAGS, 2);
        let mut quick = live.subscribe_with(Kinds::FLAGS, 16);
        for n in 0..7 {
            live.publish(&row(n));
        }
        assert_eq!(slow.next().await, Some(Message::Lost(5)));
        assert_eq!(slow.next().await, Some(Message::Row(row(0))));
        assert_eq!(slow.next().await, Some(Message::Row(row(1))));
        live.publish(&row(7));
        assert_eq!(slow.next().await, Some(Message::Row(row(7))), "it goes on afterwards");
        for n in 0..8 {
            assert_eq!(quick.next().await, Some(Message::Row(row(n))));
        }
        live.close();
        assert_eq!(quick.next().await, None);
    }

    #[tokio::test]
    async fn nothing_is_wanted_once_the_last_subscriber_has_gone() {
        let live = Live::default();
        assert_eq!(live.wanted(), Kinds::NONE);
        let flags = live.subscribe(Kinds::FLAGS);
        let mut exchanges = live.subscribe(Kinds::EXCHANGES);
        assert!(live.wanted().meets(Kinds::FLAGS));
        drop(flags);
        live.publish(&row(1));
        assert_eq!(live.wanted(), Kinds::EXCHANGES);
        assert_eq!(exchanges.rows.try_recv().ok(), None, "it did not ask for flags");
    }

    #[test]
    fn kinds_are_read_from_text() {
        assert_eq!("exchanges,flags".parse(), Ok(Kinds::EXCHANGES | Kinds::FLAGS));
        assert!("exchange".parse::<Kinds>().unwrap_err().to_string().contains("expected connections"));
    }
}
