//! News of messages: which of the runs that are driven here must look into their mailboxes.
//!
//! What comes in: what the store says was committed. What goes out: a driver that is woken. A run that rests needs none
//! of this: the store made it claimable in the commit that brought its message.

use std::{
    collections::HashMap,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Epoch, RunId};
use bowline_store::{Message, mail::CANCEL_MAILBOX};
use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::{
    activity::Counted,
    engine::{Shared, Stopping},
};

/// How long to wait when the store does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Carries news from the store to the drivers, until the node stops.
pub(crate) async fn carry(shared: Arc<Shared>, at_work: Counted) {
    // From the commit that woke it until the driver is woken, somebody is at work: a test that waits for quiet must see it.
    let _at_work = at_work;
    loop {
        let stopped = pin!(shared.stopping_after(Stopping::No));
        match shared.activity.idle(select(pin!(shared.store.mailed()), stopped)).await {
            Either::Left((Ok(runs), _)) => {
                let mut driven = true;
                for run in runs {
                    driven &= shared.mails.came(run);
                }
                if !driven {
                    shared.poked.notify_one();
                }
            }
            Either::Left((Err(error), _)) => {
                tracing::warn!(%error, "news of messages cannot be read");
                shared.pause(RETRY).await;
            }
            Either::Right(_) => return,
        }
    }
}

/// Why the run is cancelled as the one is that waits for it, if its mail says so.
pub(crate) fn told_to_cancel(mail: &[Message]) -> Option<String> {
    let told = mail.iter().find(|message| message.mailbox == CANCEL_MAILBOX)?;
    Some(told.body.decode().unwrap_or_else(|_| "its parent was cancelled".to_owned()))
}

/// Who is driven here, and whether there is news for them.
#[derive(Default)]
pub(crate) struct Mails {
    driven: Mutex<HashMap<RunId, (Epoch, bool)>>,
    /// Told of all news.
    changed: watch::Sender<()>,
}

impl Mails {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, (Epoch, bool)>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run was claimed under that epoch: what is committed from now on is news. Its history is read after this.
    pub(crate) fn begin(&self, run: RunId, epoch: Epoch) {
        self.lock().insert(run, (epoch, false));
    }

    /// The run is not driven under that epoch any more. Says whether there is news that its driver did not take: the run
    /// may be claimable by it.
    pub(crate) fn leave(&self, run: RunId, epoch: Epoch) -> bool {
        let mut driven = self.lock();
        let held = driven.get(&run).copied().filter(|(held, _)| *held == epoch);
        if held.is_some() {
            driven.remove(&run);
        }
        held.is_some_and(|(_, news)| news)
    }

    /// A message came; whether the run is driven here.
    pub(crate) fn came(&self, run: RunId) -> bool {
        let mut driven = self.lock();
        let Some((_, news)) = driven.get_mut(&run) else { return false };
        *news = true;
        drop(driven);
        self.changed.send_replace(());
        true
    }

    /// Whether there is news of that run since this was last asked.
    pub(crate) fn take(&self, run: RunId) -> bool {
        self.lock().get_mut(&run).is_some_and(|(_, news)| std::mem::take(news))
    }

    fn has(&self, run: RunId) -> bool {
        self.lock().get(&run).is_some_and(|(_, news)| *news)
    }

    /// Ends when there is news of that run.
    pub(crate) async fn until_news(&self, run: RunId) {
        let mut changed = self.changed.subscribe();
        while !self.has(run) {
            if changed.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}
