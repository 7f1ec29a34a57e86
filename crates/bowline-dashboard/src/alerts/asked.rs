//! Approvals that wait: told once each to who should answer.
//!
//! What comes in: the open approvals in the store. What goes out: one message for all that are new; a cursor in the store
//! that says which were told. What must never be here: a second message of one question because the process started again.
//!
//! | Module | Story |
//! |---|---|
//! | `known` | which questions people know |
//! | `text` | the message |

mod known;
mod text;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use bowline_model::{Clock, Effect};
use bowline_store::{
    Batch, CursorMove, Mailbox, MailboxFilter, MailboxKind, MailboxState, Store, StoreError, StoreErrorKind,
    mail::MAILBOXES_PAGE_MAX,
};
use futures_util::future::{Either, FutureExt, select};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::known::Known;
use super::{
    LOOK_EVERY, STOP_GRACE, STORE_PAUSE,
    decide::{Action, Pace, State, decide},
    hook::Hook,
    later,
};
use crate::approvals::ApprovalView;

/// How long the first question waits for its neighbours.
pub const QUESTION_GROUP_WAIT: Duration = Duration::from_secs(5);
/// Shortest time between two messages of questions.
pub const QUESTION_MESSAGE_EVERY_MIN: Duration = Duration::from_secs(60);

const PACE: Pace = Pace { group_wait: QUESTION_GROUP_WAIT, every_min: QUESTION_MESSAGE_EVERY_MIN };

/// The cursor that says which questions were told.
const CURSOR: &str = "alerts:approvals";

/// Tells of approvals for which runs wait: who should answer, what is asked, how.
///
/// A question is told within [`LOOK_EVERY`] of when it was put, with all others that are new; the next message goes no
/// sooner than [`QUESTION_MESSAGE_EVERY_MIN`] later. One that was answered before its message went is not told of; one
/// that is put again after its wait timed out is. That of a dead letter is told once it was retried.
pub struct ApprovalAlerts<H> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    app: String,
    admin_url: Option<String>,
    hook: Hook<H>,
}

impl<H> fmt::Debug for ApprovalAlerts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalAlerts").field("app", &self.app).finish_non_exhaustive()
    }
}

/// What is known of earlier messages.
#[derive(Debug, Default)]
struct Memory {
    known: Known,
    state: State,
    on_disk: Option<String>,
    is_saved: bool,
}

/// [`Memory`] as it is on disk.
#[derive(Serialize, Deserialize)]
struct Recorded {
    sent_at: Timestamp,
    known: Known,
}

/// What a look found.
struct Found {
    /// Nobody was told of these: the oldest first.
    new: Vec<ApprovalView>,
    /// What people know once they are told.
    known: Known,
}

impl<H, E> ApprovalAlerts<H>
where
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    /// Of the approvals in `store`; all else as for [`Alerts::new`](super::Alerts::new).
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, app: impl Into<String>, hook: H) -> Self {
        let hook = Hook { call: hook, clock: clock.clone() };
        Self { store, clock, app: app.into(), admin_url: None, hook }
    }

    /// Ends each message with the page of approvals below this address.
    pub fn admin_url(mut self, url: Option<String>) -> Self {
        self.admin_url = url;
        self
    }

    /// Watches and tells until `stop`. A message under way then has [`STOP_GRACE`] to end. One task per app.
    ///
    /// # Durability
    /// A question is told at least once while it is open: which were told is written to the store after the message was
    /// delivered, so that a restart tells none again. A crash between the two repeats the message. One that cannot be
    /// delivered is tried again for as long as there is something to tell.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let stop = stop.shared();
        let mut memory = None;
        loop {
            let turned = match select(stop.clone(), self.turn(&mut memory).boxed()).await {
                Either::Left(_) => return,
                Either::Right((turned, _)) => turned,
            };
            let wake_at = match turned {
                Ok(wake_at) => wake_at,
                Err(found) => {
                    let memory = memory.as_mut().expect("a turn that found news has loaded it");
                    let late = stop.clone().then(|()| self.clock.sleep(STOP_GRACE));
                    match select(self.send(found, memory).boxed(), pin!(late)).await {
                        Either::Left(((), _)) => continue,
                        Either::Right(_) => return,
                    }
                }
            };
            if let Either::Left(_) = select(stop.clone(), self.clock.sleep_until(wake_at)).await {
                return;
            }
        }
    }

    /// Looks, and decides: when to look again, or what to tell now.
    async fn turn(&self, memory: &mut Option<Memory>) -> Result<Timestamp, Found> {
        let look = self.look(memory).await;
        let now = self.clock.now();
        let found = match look {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "alerts: approvals cannot be read; tried again in a minute");
                return Ok(later(now, STORE_PAUSE));
            }
        };
        let state = memory.as_ref().map(|memory| memory.state.clone()).unwrap_or_default();
        match decide(now, found.new.first().map(|view| view.since), &state, PACE) {
            Action::Rest => Ok(later(now, LOOK_EVERY)),
            Action::Wait(until) => Ok(until),
            Action::Send => Err(found),
        }
    }

    /// The open approvals that nobody was told of. Of very many the latest are read: those before were told, or come
    /// when later ones are answered.
    async fn look(&self, memory: &mut Option<Memory>) -> Result<Found, StoreError> {
        let memory = match memory {
            Some(memory) => memory,
            None => memory.insert(self.load().await?),
        };
        if !memory.is_saved
            && let Err(error) = self.save(memory).await
        {
            tracing::debug!(%error, "alerts: still not noted that a message went");
        }
        let filter = MailboxFilter {
            kind: Some(MailboxKind::Approval),
            state: Some(MailboxState::Open),
            limit: MAILBOXES_PAGE_MAX,
            ..MailboxFilter::default()
        };
        let open = self.store.mailboxes(filter).await?;
        let new = self.new_ones(&open, &memory.known).await?;
        let is_all = open.len() < MAILBOXES_PAGE_MAX;
        let told = open
            .iter()
            .filter(|mailbox| memory.known.holds(mailbox) || new.iter().any(|(it, _)| it == *mailbox));
        let unread = if is_all { None } else { open.last() };
        let known = memory.known.with(told, unread);
        Ok(Found { new: new.into_iter().rev().map(|(_, view)| view).collect(), known })
    }

    async fn new_ones(
        &self,
        open: &[Mailbox],
        known: &Known,
    ) -> Result<Vec<(Mailbox, ApprovalView)>, StoreError> {
        let mut new = vec![];
        for mailbox in open.iter().filter(|mailbox| !known.holds(mailbox)) {
            // An answer to a dead letter leads nowhere until it is retried: it is told of then.
            if let Some(run) = self.store.run(mailbox.run).await?.filter(|run| run.state.is_open()) {
                new.push((mailbox.clone(), ApprovalView::of(&run, mailbox)));
            }
        }
        Ok(new)
    }

    async fn send(&self, found: Found, memory: &mut Memory) {
        let text = text::message(&self.app, self.admin_url.as_deref(), &found.new);
        match self.hook.deliver(text, &memory.state).await {
            Ok(()) => {
                memory.known = found.known;
                memory.state = State { sent_at: Some(self.clock.now()), failed: None };
                memory.is_saved = false;
                match self.save(memory).await {
                    Ok(()) => tracing::info!(new = found.new.len(), "alerts: told of approvals"),
                    Err(error) => {
                        tracing::warn!(%error, "alerts: not noted that a message went; a crash now would repeat it");
                    }
                }
            }
            Err(failed) => memory.state.failed = Some(failed),
        }
    }

    async fn load(&self) -> Result<Memory, StoreError> {
        let on_disk = self.store.cursor(CURSOR).await?;
        let recorded = on_disk.as_deref().map(serde_json::from_str::<Recorded>).transpose();
        let recorded = recorded.unwrap_or_else(|error| {
            tracing::warn!(%error, "alerts: what was told cannot be read; all approvals are told of again");
            None
        });
        let (known, sent_at) = recorded.map_or_else(Default::default, |old| (old.known, Some(old.sent_at)));
        Ok(Memory { known, state: State { sent_at, failed: None }, on_disk, is_saved: true })
    }

    async fn save(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let sent_at = memory.state.sent_at.unwrap_or_else(|| self.clock.now());
        let recorded = Recorded { sent_at, known: memory.known.clone() };
        let to = serde_json::to_string(&recorded).expect("times and numbers are JSON");
        let cursor = CursorMove { name: CURSOR.to_owned(), from: memory.on_disk.clone(), to: to.clone() };
        match self.store.accept(Batch { cursor: Some(cursor), ..Batch::default() }).await {
            Ok(_) => {
                (memory.on_disk, memory.is_saved) = (Some(to), true);
                Ok(())
            }
            // Another node told meanwhile: what it knows holds.
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                *memory = self.load().await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
