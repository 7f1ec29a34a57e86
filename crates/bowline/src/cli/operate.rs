//! The commands on runs.

use std::env;

use bowline_dashboard::{
    Operator, Payloads,
    admin::request::{CancelAllRequest, RunsQuery},
    commands::{Keys, retry::BULK_RUNS_MAX},
};
use bowline_model::{RunState, WorkflowName};
use serde::Serialize;

use super::{
    CliContext, Control, Error, Result,
    args::{
        CancelArgs, DeadArgs, DiscardArgs, ForkArgs, ReplayArgs, RetryArgs, RunsArgs, ShowArgs, TriggersArgs,
    },
    complain, print,
    render::{self, Paint},
    screen_chars,
};

pub(super) async fn runs(context: &CliContext, args: &RunsArgs) -> Result {
    let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
    let query = RunsQuery {
        state: Some(states.join(",")).filter(|states| !states.is_empty()),
        workflow: args.workflow.clone(),
        limit: Some(args.limit),
        before: args.before.map(|run| run.0),
    };
    list(context, &query, Output::of(args.json), "there are no such runs\n").await
}

pub(super) async fn dead(context: &CliContext, args: &DeadArgs) -> Result {
    let query = RunsQuery {
        state: Some(RunState::DeadLettered.as_str().to_owned()),
        workflow: args.workflow.clone(),
        limit: Some(args.limit),
        before: None,
    };
    list(context, &query, Output::of(args.json), "there are no dead letters\n").await
}

async fn list(context: &CliContext, query: &RunsQuery, output: Output, none: &str) -> Result {
    let control = Control::open(context).await?;
    let runs = control.runs(query).await;
    control.close().await?;
    let runs = runs?;
    match output {
        Output::Json => print(&json(&runs)?),
        Output::Text if runs.runs.is_empty() && runs.paused.is_empty() => print(none),
        Output::Text => print(&render::runs(&runs, context.clock.now(), screen_chars(), Paint::Colour)),
    }
}

pub(super) async fn triggers(context: &CliContext, args: &TriggersArgs) -> Result {
    let control = Control::open(context).await?;
    let triggers = control.triggers().await;
    control.close().await?;
    let triggers = triggers?;
    match Output::of(args.json) {
        Output::Json => print(&json(&triggers)?),
        Output::Text if triggers.triggers.is_empty() => {
            print("this app has no schedules, polls or inboxes\n")
        }
        Output::Text => print(&render::triggers(&triggers, context.clock.now(), Paint::Colour)),
    }
}

pub(super) async fn show(context: &CliContext, args: &ShowArgs) -> Result {
    let payloads = if args.payloads { Payloads::Shown } else { Payloads::Hidden };
    let control = Control::open(context).await?;
    let view = control.show(args.run, payloads).await;
    control.close().await?;
    let view = view?;
    match Output::of(args.json) {
        Output::Json => print(&json(&view)?),
        Output::Text => print(&render::timeline(&view, Paint::Colour)),
    }
}

pub(super) async fn retry(context: &CliContext, args: &RetryArgs) -> Result {
    let control = Control::open(context).await?;
    let operator = operator(args.reason.clone());
    let mut tally = Tally::default();
    if args.all {
        let workflow = args.workflow.as_deref().map(WorkflowName::from);
        let report = control.retry_all(workflow, BULK_RUNS_MAX, &operator).await?;
        print(&render::bulk_retried(&report, Paint::Colour))?;
        tally.done = report.retried.len();
        tally.errors.extend(report.failed.iter().map(|failed| Error::new(failed.error.clone())));
    }
    for run in &args.runs {
        match control.retry(*run, &operator).await {
            Ok(report) => tally.done(&render::retried(&report, Paint::Colour))?,
            Err(error) => tally.failed(error, args.runs.len()),
        }
    }
    if tally.done > 0 && control.is_local() {
        print("no server runs; they go on when one starts\n")?;
    }
    control.close().await?;
    tally.end("retried")
}

pub(super) async fn replay(context: &CliContext, args: &ReplayArgs) -> Result {
    let keys = if args.same_keys { Keys::Same } else { Keys::New };
    let control = Control::open(context).await?;
    let replayed = control.replay(args.run, keys, &operator(None)).await;
    let local = control.is_local();
    control.close().await?;
    print(&render::replayed(&replayed?, Paint::Colour))?;
    if local { print("no server runs; it begins when one starts\n") } else { Ok(()) }
}

pub(super) async fn fork(context: &CliContext, args: &ForkArgs) -> Result {
    let control = Control::open(context).await?;
    let forked = control.fork(args.run, &args.from, &operator(args.why.clone())).await;
    let local = control.is_local();
    control.close().await?;
    print(&render::forked(&forked?, Paint::Colour))?;
    if local { print("no server runs; it begins when one starts\n") } else { Ok(()) }
}

pub(super) async fn discard(context: &CliContext, args: &DiscardArgs) -> Result {
    let control = Control::open(context).await?;
    let operator = operator(args.reason.clone());
    let mut tally = Tally::default();
    for run in &args.runs {
        let discarded = match args.undo {
            true => control.discard_undone(*run, &operator).await,
            false => control.discard(*run, &operator).await,
        };
        match discarded {
            Ok(report) => tally.done(&render::discarded(&report, Paint::Colour))?,
            Err(error) => tally.failed(error, args.runs.len()),
        }
    }
    control.close().await?;
    tally.end("discarded")
}

pub(super) async fn cancel(context: &CliContext, args: &CancelArgs) -> Result {
    let control = Control::open(context).await?;
    let operator = operator(args.why.clone());
    let mut tally = Tally::default();
    if args.all {
        let Operator { who, why } = operator.clone();
        let workflow = args.workflow.as_deref().map(WorkflowName::from);
        let states = args.state.clone();
        let request = CancelAllRequest { workflow, states, who, why, ..CancelAllRequest::default() };
        let report = control.cancel_all(request).await?;
        print(&render::bulk_cancelled(&report, Paint::Colour))?;
        tally.done = report.cancelled.len();
        tally.errors.extend(report.failed.iter().map(|failed| Error::new(failed.error.clone())));
    }
    for run in &args.runs {
        match control.cancel(*run, &operator).await {
            Ok(report) => tally.done(&render::cancelled(&report, Paint::Colour))?,
            Err(error) => tally.failed(error, args.runs.len()),
        }
    }
    control.close().await?;
    tally.end("cancelled")
}

pub(super) enum Output {
    Text,
    Json,
}

impl Output {
    pub(super) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// What became of several runs: each is told when it is done, and one failure does not stop the others.
#[derive(Debug, Default)]
struct Tally {
    done: usize,
    errors: Vec<Error>,
}

impl Tally {
    fn done(&mut self, report: &str) -> Result {
        self.done += 1;
        print(report)
    }

    /// Tells an error at once if there is more than one run; the error of one run is what the whole command fails with.
    fn failed(&mut self, error: Error, of: usize) {
        if of > 1 {
            complain(&error);
        }
        self.errors.push(error);
    }

    fn end(mut self, done: &str) -> Result {
        let (failed, all) = (self.errors.len(), self.errors.len() + self.done);
        match (failed, all) {
            (0, _) => Ok(()),
            (1, 1) => Err(self.errors.remove(0)),
            (failed, all) => Err(Error::new(format!("{failed} of {all} runs could not be {done}"))),
        }
    }
}

/// Who sits at the keyboard, as far as the system tells.
pub(super) fn operator(why: Option<String>) -> Operator {
    let who = env::var("USER").or_else(|_| env::var("LOGNAME")).ok();
    Operator { who, why }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String> {
    let json = serde_json::to_string_pretty(value);
    json.map(|json| json + "\n").map_err(|error| Error::new(format!("cannot print that as JSON: {error}")))
}
