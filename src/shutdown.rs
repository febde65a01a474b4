//! A token that says "stop": one holder triggers it, many wait for it.

use tokio::sync::watch;

/// Triggers the [`Shutdown`]s that belong to it; so does dropping it.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for its [`Trigger`].
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and the token that it triggers.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Says stop. Saying it again does nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once stop was said, or its trigger is gone.
    pub async fn wait(&mut self) {
        // An error means that the trigger is gone, which says stop as well.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Whether stop was said.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn stopping_and_dropping_both_end_the_wait() {
        let (trigger, mut shutdown) = super::channel();
        let mut other = shutdown.clone();
        assert!(!shutdown.is_stopped());
        trigger.stop();
        shutdown.wait().await;
        assert!(shutdown.is_stopped());
        drop(trigger);
        other.wait().await;
    }
}
