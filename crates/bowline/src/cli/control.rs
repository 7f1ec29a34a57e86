//! How the command line reaches the runs: through the server that holds the store, else on the store itself.

mod local;
mod remote;

use bowline_dashboard::{
    Operator, Payloads, RunView,
    admin::request::RunsQuery,
    commands::{BulkRetried, Discarded, Keys, Replayed, Retried},
    export::Fixture,
    triggers::TriggerList,
    view::RunList,
};
use bowline_model::{RunId, WorkflowName};
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
