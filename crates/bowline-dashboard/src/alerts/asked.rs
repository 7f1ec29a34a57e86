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

use std::{fmt, sync::Arc, time::Duration};

use bowline_model::{Clock, Effect};
use bowline_store::{
    Mailbox, MailboxFilter, MailboxKind, MailboxState, Store, StoreError, mail::MAILBOXES_PAGE_MAX,
};

use self::known::Known;
use super::{
    decide::Pace,
    watcher::{Found, Story, Watcher},
};
use crate::approvals::ApprovalView;

/// How long the first question waits for its neighbours.
pub const QUESTION_GROUP_WAIT: Duration = Duration::from_secs(5);
/// Shortest time between two messages of questions.
pub const QUESTION_MESSAGE_EVERY_MIN: Duration = Duration::from_secs(60);

/// Tells of approvals for which runs wait: who should answer, what is asked, how.
///
/// A question is told within [`LOOK_EVERY`](super::LOOK_EVERY) of when it was put, with all others that are new; the next message goes no
/// sooner than [`QUESTION_MESSAGE_EVERY_MIN`] later. One that was answered before its message went is not told of; one
/// that is put again after its wait timed out is. That of a dead letter is told once it was retried.
pub struct ApprovalAlerts<H>(Watcher<Approvals, H>);

impl<H> fmt::Debug for ApprovalAlerts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalAlerts").field("app", &self.0.app).finish_non_exhaustive()
    }
}

/// The open approvals in the store.
struct Approvals;

impl Story for Approvals {
    /// The oldest first.
    type News = Vec<ApprovalView>;
    type Told = Known;

    const CURSOR: &'static str = "alerts:approvals";
    const ABOUT: &'static str = "approvals";
    const PACE: Pace = Pace { group_wait: QUESTION_GROUP_WAIT, every_min: QUESTION_MESSAGE_EVERY_MIN };

    /// Of very many open approvals the latest are read: those before were told, or come when later ones are answered.
    async fn look(&self, store: &dyn Store, known: &Known) -> Result<Found<Self>, StoreError> {
        let filter = MailboxFilter {
            kind: Some(MailboxKind::Approval),
            state: Some(MailboxState::Open),
            limit: MAILBOXES_PAGE_MAX,
            ..MailboxFilter::default()
        };
        let open = store.mailboxes(filter).await?;
        let new = new_ones(store, &open, known).await?;
        let is_all = open.len() < MAILBOXES_PAGE_MAX;
        let told =
            open.iter().filter(|mailbox| known.holds(mailbox) || new.iter().any(|(it, _)| it == *mailbox));
        let told = known.with(told, if is_all { None } else { open.last() });
        let news: Vec<_> = new.into_iter().rev().map(|(_, view)| view).collect();
        Ok(Found { count: news.len() as u64, oldest: news.first().map(|view| view.since), news, told })
    }

    fn text(&self, app: &str, admin_url: Option<&str>, news: &Vec<ApprovalView>) -> String {
        text::message(app, admin_url, news)
    }
}

async fn new_ones(
    store: &dyn Store,
    open: &[Mailbox],
    known: &Known,
) -> Result<Vec<(Mailbox, ApprovalView)>, StoreError> {
    let mut new = vec![];
    for mailbox in open.iter().filter(|mailbox| !known.holds(mailbox)) {
        // An answer to a dead letter leads nowhere until it is retried: it is told of then.
        if let Some(run) = store.run(mailbox.run).await?.filter(|run| run.state.is_open()) {
            new.push((mailbox.clone(), ApprovalView::of(&run, mailbox)));
        }
    }
    Ok(new)
}

impl<H, E> ApprovalAlerts<H>
where
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    /// Of the approvals in `store`; all else as for [`Alerts::new`](super::Alerts::new).
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, app: impl Into<String>, hook: H) -> Self {
        Self(Watcher::new(Approvals, store, clock, app, hook))
    }

    /// Ends each message with the page of approvals below this address.
    pub fn admin_url(mut self, url: Option<String>) -> Self {
        self.0.admin_url = url;
        self
    }

    /// Watches and tells until `stop`. A message under way then has [`STOP_GRACE`](super::STOP_GRACE) to end. One task per app.
    ///
    /// # Durability
    /// A question is told at least once while it is open: which were told is written to the store after the message was
    /// delivered, so that a restart tells none again. A crash between the two repeats the message. One that cannot be
    /// delivered is tried again for as long as there is something to tell.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        self.0.run(stop).await;
    }
}
