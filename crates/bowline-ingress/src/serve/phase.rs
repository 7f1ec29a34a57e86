//! Where a connection stands, and for how long it may stand there.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::ServeLimits;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been sent yet.
    Fresh,
    /// Something was read that is not yet a request.
    Head,
    /// This many requests are under way: from the end of the head to the end of the answer.
    Busy(u32),
    /// A request was answered, and nothing was read since.
    Idle,
}

/// A connection's phase: its socket and its requests move it, its watchdog looks at it.
#[derive(Debug, Clone)]
pub(super) struct Phases(Arc<watch::Sender<Phase>>);

impl Phases {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Fresh)))
    }

    /// Bytes were read. Only the first ones count: a deadline does not move because bytes trickle in.
    ///
    /// On HTTP/2 they may be no head but a setting or an acknowledgement; then an idle connection is closed a little
    /// earlier, which costs nothing: its end is announced, and no request is lost in it.
    pub(super) fn bytes_read(&self) {
        self.0.send_if_modified(|phase| match phase {
            Phase::Fresh | Phase::Idle => {
                *phase = Phase::Head;
                true
            }
            Phase::Head | Phase::Busy(_) => false,
        });
    }

    /// A request is under way until its guard is dropped.
    pub(super) fn request(&self) -> UnderWay {
        self.0.send_modify(|phase| match phase {
            Phase::Fresh | Phase::Head | Phase::Idle => *phase = Phase::Busy(1),
            Phase::Busy(requests) => *requests += 1,
        });
        UnderWay(self.clone())
    }

    fn request_ended(&self) {
        self.0.send_modify(|phase| {
            *phase = match *phase {
                Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
                Phase::Busy(_) | Phase::Fresh | Phase::Head | Phase::Idle => Phase::Idle,
            }
        });
    }

    /// Whether nothing has come at all.
    pub(super) fn is_fresh(&self) -> bool {
        *self.0.borrow() == Phase::Fresh
    }

    /// Whether what came last is not yet a request.
    pub(super) fn is_in_head(&self) -> bool {
        *self.0.borrow() == Phase::Head
    }

    /// Ends when the connection has been in one phase for longer than it may.
    pub(super) async fn overdue(&self, limits: &ServeLimits) {
        self.too_long(|phase| match phase {
            Phase::Fresh => Some(limits.first_byte_max),
            Phase::Head => Some(limits.head_read_max),
            Phase::Idle => Some(limits.idle_max),
            // The body has a deadline of its own; the handler is ours.
            Phase::Busy(_) => None,
        })
        .await;
    }

    /// Ends when no request has been under way for that long.
    pub(super) async fn quiet(&self, wait: Duration) {
        self.too_long(|phase| match phase {
            Phase::Fresh | Phase::Head | Phase::Idle => Some(wait),
            Phase::Busy(_) => None,
        })
        .await;
    }

    async fn too_long(&self, limit: impl Fn(Phase) -> Option<Duration>) {
        let mut phases = self.0.subscribe();
        loop {
            let phase = *phases.borrow_and_update();
            let changed = match limit(phase) {
                Some(limit) => timeout(limit, phases.changed()).await,
                None => Ok(phases.changed().await),
            };
            match changed {
                Ok(Ok(())) => {}
                // The sender lives in `self`.
                Ok(Err(_closed)) => pending().await,
                Err(_elapsed) => return,
            }
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Phases);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}
