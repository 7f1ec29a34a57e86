//! How the command line reaches the runs: through the server that holds the store, else on the store itself.

mod local;
mod remote;

use bowline_dashboard::{
    Operator, Payloads, RunView,
    admin::request::{CancelAllRequest, DecideRequest, RunsQuery, SettleRequest},
    approvals::ApprovalList,
    commands::{
        BulkCancelled, BulkRetried, Cancelled, Discarded, Forked, Keys, Pausing, Replayed, Retried, Settled,
        Told,
    },
    export::Fixture,
    triggers::TriggerList,
    view::RunList,
};
use bowline_model::{RunId, WorkflowName, approval::Decision};
use bowline_store::{StoreErrorKind, lock_holder};

pub(super) use self::remote::{innermost, reachable};
pub use self::{local::Local, remote::Remote};
use super::{CliContext, Error, Result};

/// A way to the runs. Both ways give the same views.
#[derive(Debug)]
pub enum Control {
    /// Through the running server's admin API.
    Remote(Remote),
    /// On the store: no server holds it.
    Local(Local),
}

impl Control {
    /// Asks the server that holds the store, or opens the store if none does.
    ///
    /// # Errors
    /// If there is no store yet, or it cannot be opened.
    pub async fn open(context: &CliContext) -> Result<Self> {
        match Self::try_open(context) {
            // A server, or another command, got it between the look and the lock.
            Err(Opening::Locked(_)) => Self::try_open(context).map_err(Error::from),
            opened => opened.map_err(Error::from),
        }
    }

    fn try_open(context: &CliContext) -> Result<Self, Opening> {
        match lock_holder(&context.store) {
            Some(holder) => {
                let admin = holder.admin.unwrap_or(context.admin);
                Ok(Self::Remote(Remote::new(admin, holder.pid).map_err(Opening::Failed)?))
            }
            None => Local::open(context).map(Self::Local),
        }
    }

    /// Whether no server runs.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Remote(_) => false,
            Self::Local(_) => true,
        }
    }

    /// Lists runs.
    ///
    /// # Errors
    /// If the server or the store does not answer.
    pub async fn runs(&self, query: &RunsQuery) -> Result<RunList> {
        match self {
            Self::Remote(remote) => remote.runs(query).await,
            Self::Local(local) => local.runs(query).await,
        }
    }

    /// How schedules, polls and inboxes do.
    ///
    /// # Errors
    /// If no server runs, for then none of them does; or if it does not answer.
    pub async fn triggers(&self) -> Result<TriggerList> {
        match self {
            Self::Remote(remote) => remote.triggers().await,
            Self::Local(_) => {
                Err(Error::new("no server holds the store, so nothing is scheduled, polled or looked for")
                    .hint("start it with `serve`"))
            }
        }
    }

    /// One run with its timeline.
    ///
    /// # Errors
    /// If it is not there, or the server or the store does not answer.
    pub async fn show(&self, run: RunId, payloads: Payloads) -> Result<RunView> {
        match self {
            Self::Remote(remote) => remote.show(run, payloads).await,
            Self::Local(local) => local.show(run, payloads).await,
        }
    }

    /// One run with its event and its journal, of the app of that name.
    ///
    /// # Errors
    /// If it is not there, or the server or the store does not answer.
    pub async fn export(&self, app: &str, run: RunId) -> Result<Fixture> {
        match self {
            Self::Remote(remote) => remote.export(run).await,
            Self::Local(local) => local.export(app, run).await,
        }
    }

    /// Lets a dead letter go on.
    ///
    /// # Durability
    /// See [`Commands::retry`](bowline_dashboard::Commands::retry). If the server's answer is lost, `show` tells.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn retry(&self, run: RunId, operator: &Operator) -> Result<Retried> {
        match self {
            Self::Remote(remote) => remote.retry(run, operator).await,
            Self::Local(local) => Ok(local.commands().retry(run, operator).await?),
        }
    }

    /// Lets many dead letters go on.
    ///
    /// # Durability
    /// See [`Commands::retry_all`](bowline_dashboard::Commands::retry_all).
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn retry_all(
        &self,
        workflow: Option<WorkflowName>,
        limit: usize,
        operator: &Operator,
    ) -> Result<BulkRetried> {
        match self {
            Self::Remote(remote) => remote.retry_all(workflow, limit, operator).await,
            Self::Local(local) => Ok(local.commands().retry_all(workflow, limit, operator).await?),
        }
    }

    /// Runs a stored event again.
    ///
    /// # Durability
    /// See [`Commands::replay`](bowline_dashboard::Commands::replay). If the server's answer is lost, look at `runs`
    /// before saying it again.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn replay(&self, run: RunId, keys: Keys, operator: &Operator) -> Result<Replayed> {
        match self {
            Self::Remote(remote) => remote.replay(run, keys, operator).await,
            Self::Local(local) => Ok(local.commands().replay(run, keys, operator).await?),
        }
    }

    /// Runs a stored event again, with what an ended run recorded before a step.
    ///
    /// # Durability
    /// See [`Commands::fork`](bowline_dashboard::Commands::fork). If the server's answer is lost, look at `runs` before
    /// saying it again.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn fork(&self, run: RunId, from: &str, operator: &Operator) -> Result<Forked> {
        match self {
            Self::Remote(remote) => remote.fork(run, from, operator).await,
            Self::Local(local) => Ok(local.commands().fork(run, from, operator).await?),
        }
    }

    /// Closes a dead letter.
    ///
    /// # Durability
    /// See [`Commands::discard`](bowline_dashboard::Commands::discard). If the server's answer is lost, `show` tells.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn discard(&self, run: RunId, operator: &Operator) -> Result<Discarded> {
        match self {
            Self::Remote(remote) => remote.discard(run, operator).await,
            Self::Local(local) => Ok(local.commands().discard(run, operator).await?),
        }
    }

    /// See [`Commands::discard_undone`](bowline_dashboard::Commands::discard_undone). If the server's answer is lost, `show` tells.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn discard_undone(&self, run: RunId, operator: &Operator) -> Result<Discarded> {
        match self {
            Self::Remote(remote) => remote.discard_undone(run, operator).await,
            Self::Local(local) => Ok(local.commands().discard_undone(run, operator).await?),
        }
    }

    /// Ends an open run and the children that it waits for.
    ///
    /// # Durability
    /// See [`Commands::cancel`](bowline_dashboard::Commands::cancel). If the server's answer is lost, `show` tells.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn cancel(&self, run: RunId, operator: &Operator) -> Result<Cancelled> {
        match self {
            Self::Remote(remote) => remote.cancel(run, operator).await,
            Self::Local(local) => Ok(local.commands().cancel(run, operator).await?),
        }
    }

    /// Ends many open runs.
    ///
    /// # Durability
    /// See [`Commands::cancel_all`](bowline_dashboard::Commands::cancel_all).
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn cancel_all(&self, request: CancelAllRequest) -> Result<BulkCancelled> {
        match self {
            Self::Remote(remote) => remote.cancel_all(&request).await,
            Self::Local(local) => {
                let CancelAllRequest { workflow, states, limit, who, why } = request;
                let operator = Operator { who, why };
                Ok(local.commands().cancel_all(workflow, &states, limit, &operator).await?)
            }
        }
    }

    /// Keeps the runs of a workflow from being driven.
    ///
    /// # Durability
    /// See [`Commands::pause`](bowline_dashboard::Commands::pause).
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn pause(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing> {
        match self {
            Self::Remote(remote) => remote.pause(workflow, operator).await,
            Self::Local(local) => Ok(local.commands().pause(workflow, operator).await?),
        }
    }

    /// Lets the runs of a paused workflow go on.
    ///
    /// # Durability
    /// See [`Commands::resume`](bowline_dashboard::Commands::resume).
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn resume(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing> {
        match self {
            Self::Remote(remote) => remote.resume(workflow, operator).await,
            Self::Local(local) => Ok(local.commands().resume(workflow, operator).await?),
        }
    }

    /// Records what became of a step of which that is not known, and lets the run go on.
    ///
    /// # Durability
    /// See [`Commands::settle`](bowline_dashboard::Commands::settle). If the server's answer is lost, `show` tells.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn settle(&self, run: RunId, request: SettleRequest) -> Result<Settled> {
        match self {
            Self::Remote(remote) => remote.settle(run, &request).await,
            Self::Local(local) => {
                let SettleRequest { step, outcome, who, why } = request;
                Ok(local.commands().settle(run, &step, &outcome, &Operator { who, why }).await?)
            }
        }
    }

    /// Sends a signal to a run: JSON, or nothing.
    ///
    /// # Durability
    /// See [`Commands::signal`](bowline_dashboard::Commands::signal). If the server's answer is lost, send it again under
    /// the same id.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn signal(&self, run: RunId, name: &str, id: Option<&str>, body: Vec<u8>) -> Result<Told> {
        match self {
            Self::Remote(remote) => remote.signal(run, name, id, body).await,
            Self::Local(local) => Ok(local.commands().signal(run, name, id.map(str::to_owned), body).await?),
        }
    }

    /// Answers an approval.
    ///
    /// # Durability
    /// See [`Commands::decide`](bowline_dashboard::Commands::decide). If the server's answer is lost, say it again: it is
    /// answered that it was answered.
    ///
    /// # Errors
    /// Those of the command, or if the server does not answer.
    pub async fn decide(&self, run: RunId, request: DecideRequest) -> Result<Told> {
        match self {
            Self::Remote(remote) => remote.decide(run, &request).await,
            Self::Local(local) => {
                let DecideRequest { approval, approved, values, by, why } = request;
                let decision = Decision { approved, by, values, why };
                Ok(local.commands().decide(run, approval.as_deref(), decision).await?)
            }
        }
    }

    /// The open approvals: all, or those of one run.
    ///
    /// # Errors
    /// If the server or the store does not answer.
    pub async fn approvals(&self, run: Option<RunId>) -> Result<ApprovalList> {
        match self {
            Self::Remote(remote) => remote.approvals(run).await,
            Self::Local(local) => local.approvals(run).await,
        }
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// If the store cannot end cleanly.
    pub async fn close(self) -> Result {
        match self {
            Self::Remote(_) => Ok(()),
            Self::Local(local) => local.close().await,
        }
    }
}

/// Why there is no way to the runs.
#[derive(Debug)]
pub(super) enum Opening {
    /// Another process holds the store now.
    Locked(bowline_store::StoreError),
    /// Anything else.
    Failed(Error),
}

impl From<bowline_store::StoreError> for Opening {
    fn from(error: bowline_store::StoreError) -> Self {
        if error.kind() == StoreErrorKind::Locked { Self::Locked(error) } else { Self::Failed(error.into()) }
    }
}

impl From<Opening> for Error {
    fn from(opening: Opening) -> Self {
        match opening {
            Opening::Locked(error) => error.into(),
            Opening::Failed(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;
