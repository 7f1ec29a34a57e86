//! `pause` and `resume`.

use bowline_dashboard::commands::Pausing;
use bowline_model::WorkflowName;

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

async fn finish(control: Control, done: Result<Pausing>) -> Result {
    let is_local = control.is_local();
    control.close().await?;
    let report = done?;
    print(&render::pausing(&report, Paint::Colour))?;
    if is_local && !report.is_paused { print("no server runs; they go on when one starts\n") } else { Ok(()) }
}
