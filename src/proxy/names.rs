//! Names to addresses. A load that opens a thousand connections asks for one name a thousand times, and each look-up takes
//! a thread while it waits: who asks while a name is being looked up gets that answer. Nothing is kept beyond that, for a
//! name may lead elsewhere the next time.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OnceCell;

use super::HostPort;

/// The addresses, or why there are none.
pub(super) type Answer = Result<Vec<SocketAddr>, String>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    asked: Mutex<HashMap<HostPort, Weak<OnceCell<Answer>>>>,
}

impl Names {
    /// What `look_up` finds, or a look-up of the same that is under way. Where that one is given up, this one begins.
    pub(super) async fn of(&self, to: &HostPort, look_up: impl Future<Output = Answer>) -> Answer {
        self.cell(to).get_or_init(|| look_up).await.clone()
    }

    fn cell(&self, to: &HostPort) -> Arc<OnceCell<Answer>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = asked.get(to).and_then(Weak::upgrade) {
            return cell;
        }
        asked.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::default();
        asked.insert(to.clone(), Arc::downgrade(&cell));
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU16, Ordering::Relaxed},
        task::{Context, Waker},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_asks_meanwhile_gets_the_same_answer_and_who_asks_later_a_new_one() {
        let (names, looked_up, go) = (Names::default(), AtomicU16::new(0), Notify::new());
        let to = |host: &str| HostPort { host: host.into(), port: 443 };
        let look_up = || async {
            let port = looked_up.fetch_add(1, Relaxed);
            go.notified().await;
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        };
        let (a, b) = (to("a"), to("b"));
        let all = async { tokio::join!(names.of(&a, look_up()), names.of(&a, look_up()), names.of(&b, look_up())) };
        let release = async {
            while looked_up.load(Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            go.notify_waiters();
        };
        let ((first, second, other), ()) = tokio::join!(all, release);
        assert_eq!(first, second);
        assert_ne!(first, other);
        go.notify_one();
        assert_ne!(names.of(&a, look_up()).await, first);
        assert_eq!(looked_up.load(Relaxed), 3);
        assert_eq!(names.asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_look_up_that_is_given_up_is_taken_over() {
        let names = Names::default();
        let to = HostPort { host: "a".into(), port: 443 };
        let mut given_up = Box::pin(names.of(&to, std::future::pending()));
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(given_up.as_mut().poll(&mut nobody).is_pending());
        let mut second = Box::pin(names.of(&to, async { Err("none".to_owned()) }));
        assert!(second.as_mut().poll(&mut nobody).is_pending());
        drop(given_up);
        assert_eq!(second.await, Err("none".to_owned()));
    }
}
