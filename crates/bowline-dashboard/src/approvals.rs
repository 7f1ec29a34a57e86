//! Questions to people that runs wait with.
//!
//! What comes in: mailboxes as the store has them. What goes out: who is asked what, by which run, since when and until
//! when.

use bowline_model::{Run, RunId, WorkflowName, approval::Question};
use bowline_store::{Mailbox, MailboxFilter, MailboxKind, MailboxState, Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::view::mailbox_title;

/// Most approvals that are shown at once.
pub const APPROVALS_MAX: usize = 200;

/// What `GET /api/approvals` answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApprovalList {
    /// The open ones, the oldest first.
    pub approvals: Vec<ApprovalView>,
    /// There are more than are shown: they come when these are answered.
    #[serde(default)]
    pub more: bool,
}

/// An approval for which a run waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Which run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// The approval's name, of several in one run.
    pub name: String,
    /// What is asked; `None` if this build cannot read it.
    pub question: Option<Question>,
    /// Since when.
    pub since: Timestamp,
    /// Until when, if the run does not wait for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl ApprovalList {
    /// The open approvals, at most `limit`.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn read(store: &dyn Store, limit: usize) -> Result<Self, StoreError> {
        Self::of(store, None, limit).await
    }

    /// Those of one run.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn of_run(store: &dyn Store, run: RunId) -> Result<Self, StoreError> {
        Self::of(store, Some(run), APPROVALS_MAX).await
    }

    async fn of(store: &dyn Store, run: Option<RunId>, limit: usize) -> Result<Self, StoreError> {
        let filter = MailboxFilter {
            run,
            kind: Some(MailboxKind::Approval),
            state: Some(MailboxState::Open),
            limit: limit + 1,
        };
        let mut open = store.mailboxes(filter).await?;
        let more = open.len() > limit;
        open.truncate(limit);
        let mut approvals = vec![];
        for mailbox in open.into_iter().rev() {
            // A dead letter keeps its mailboxes, and what is answered there; but the answer leads nowhere until it is
            // retried.
            let is_asked = |it: &Run| it.state.is_open() || run.is_some();
            if let Some(run) = store.run(mailbox.run).await?.filter(is_asked) {
                approvals.push(ApprovalView::of(&run, &mailbox));
            }
        }
        Ok(Self { approvals, more })
    }
}

impl ApprovalView {
    pub(crate) fn of(run: &Run, mailbox: &Mailbox) -> Self {
        Self {
            run: run.id,
            workflow: run.workflow.clone(),
            name: mailbox_title(&mailbox.name),
            question: mailbox.about.as_ref().and_then(|about| about.decode().ok()),
            since: mailbox.opened_at,
            until: mailbox.until,
        }
    }
}
