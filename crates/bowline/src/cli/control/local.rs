//! On the store itself, while no server holds it. The store's lock keeps a server out meanwhile.

use std::{fmt, sync::Arc};

use bowline_dashboard::{
    Commands, Payloads, RunView,
    admin::request::RunsQuery,
    approvals::{APPROVALS_MAX, ApprovalList},
    commands::PausedWorkflow,
    export::Fixture,
    view::RunList,
};
use bowline_model::RunId;
use bowline_store::{SqliteOptions, SqliteStore, Store};

use super::{CliContext, Error, Opening, Result};
use crate::cancel;

/// The store, opened by this command.
pub struct Local {
    store: Arc<dyn Store>,
    commands: Commands,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

impl Local {
    pub(super) fn open(context: &CliContext) -> Result<Self, Opening> {
        if !context.store.exists() {
            let message = format!("there is no store at {}", context.store.display());
            let hint = "`serve` creates it; BOWLINE_STORE says where it is";
            return Err(Opening::Failed(Error::new(message).hint(hint)));
        }
        let store = SqliteStore::open(&context.store, SqliteOptions::default(), context.clock.clone())?;
        let store: Arc<dyn Store> = Arc::new(store);
        // Nobody to wake: the next server looks at every queued run.
        let poke = Arc::new(|| ());
        let (clock, build) = (context.clock.clone(), context.build.clone());
        let cancel = cancel::at_rest(store.clone(), clock.clone(), build.clone());
        let commands = Commands::new(store.clone(), clock, build, poke)
            .flow_rules(context.rules.clone())
            .cancel_with(cancel);
        Ok(Self { store, commands })
    }

    pub(super) fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(super) async fn runs(&self, query: &RunsQuery) -> Result<RunList> {
        let filter = query.filter().map_err(Error::new)?;
        let runs = self.store.runs(filter).await?;
        let list = RunList::read(&*self.store, &runs, query.limit()).await?;
        Ok(list.with_paused(PausedWorkflow::all(&*self.store).await?))
    }

    pub(super) async fn show(&self, id: RunId, payloads: Payloads) -> Result<RunView> {
        let run = self.store.run(id).await?.ok_or_else(|| no_such_run(id))?;
        Ok(RunView::read(&*self.store, &run, payloads).await?.0)
    }

    pub(super) async fn approvals(&self, run: Option<RunId>) -> Result<ApprovalList> {
        Ok(match run {
            Some(run) => ApprovalList::of_run(&*self.store, run).await?,
            None => ApprovalList::read(&*self.store, APPROVALS_MAX).await?,
        })
    }

    pub(super) async fn export(&self, app: &str, id: RunId) -> Result<Fixture> {
        Fixture::export(&*self.store, app, id).await?.ok_or_else(|| no_such_run(id))
    }

    pub(super) async fn close(self) -> Result {
        Ok(self.store.close().await?)
    }
}

fn no_such_run(id: RunId) -> Error {
    Error::new(format!("there is no run {id}")).hint("`runs` lists them")
}
