//! `pause` and `resume`, and what is paused.

use std::{path::Path, sync::Arc};

use bowline_dashboard::commands::{PausedWorkflow, Pausing};
use bowline_model::{Clock, WorkflowName};
use bowline_store::{SqliteReader, StoreError};

use super::{
    CliContext, Control, Result,
    args::{PauseArgs, ResumeArgs},
    operate::operator,
    print,
    render::{self, Paint},
};

pub(super) async fn pause(context: &CliContext, args: PauseArgs) -> Result {
    let control = Control::open(context).await?;
    let paused = control.pause(WorkflowName::from(&*args.workflow), &operator(args.why)).await;
    finish(control, paused).await
}

pub(super) async fn resume(context: &CliContext, args: ResumeArgs) -> Result {
    let control = Control::open(context).await?;
    let resumed = control.resume(WorkflowName::from(&*args.workflow), &operator(None)).await;
    finish(control, resumed).await
}

/// What is paused in that store, read beside whoever holds it.
pub(super) async fn paused(store: &Path, clock: Arc<dyn Clock>) -> Result<Vec<PausedWorkflow>, StoreError> {
    if !store.exists() {
        return Ok(vec![]);
    }
    let reader = SqliteReader::open(store, clock)?;
    let mut all = vec![];
    for paused in reader.paused().await? {
        let runs = reader.runs(PausedWorkflow::held_by(&paused)).await?.len();
        all.push(PausedWorkflow::holding(paused, runs));
    }
    Ok(all)
}

async fn finish(control: Control, done: Result<Pausing>) -> Result {
    let is_local = control.is_local();
    control.close().await?;
    let report = done?;
    print(&render::pausing(&report, Paint::Colour))?;
    if is_local && !report.is_paused { print("no server runs; they go on when one starts\n") } else { Ok(()) }
}
