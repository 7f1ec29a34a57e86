//! Whether a run under way fits a build, before that build takes work.
//!
//! What comes in: a run with what is recorded of it, and the workflows of a build. What goes out: whether its code asks for
//! all that is recorded. What must never happen here: an effect, a write, an answer that is not recorded.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bowline_model::{BuildId, Clock, DeadReason, Run};
use bowline_store::History;

use crate::{
    Context, Workflows,
    board::Board,
    machine::{Machine, Rehearsed},
    undo,
};

/// Whether a run fits a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// The code asks for all that is recorded.
    Fits,
    /// It would be parked: why, with both sides.
    Misfit {
        /// As which dead letter.
        reason: DeadReason,
        /// What is recorded, what the code asks for, and what to do.
        message: String,
    },
    /// The code waits for something outside its steps before all that is recorded could be delivered: only a start tells.
    Unsure,
}

/// A build, as runs under way would meet it.
#[derive(Clone)]
pub struct Rehearsal {
    workflows: Workflows,
    build: BuildId,
    clock: Arc<dyn Clock>,
    public_url: Arc<str>,
}

impl Rehearsal {
    /// The build of that name, with its workflows, reached from outside at `public_url`.
    pub fn new(workflows: Workflows, build: BuildId, clock: Arc<dyn Clock>, public_url: &str) -> Self {
        Self { workflows, build, clock, public_url: public_url.trim_end_matches('/').into() }
    }

    /// Gives the run's code what is recorded, and looks whether it asks for all of it. Needs a Tokio runtime, as runs do. Of a
    /// run that was not begun: whether its workflow is there, and takes its event.
    ///
    /// The code runs up to the first thing that is not recorded: its steps begin nothing, and values that it draws are
    /// forgotten. What it does outside of steps, it does. A run that is undone, and of which nothing is unknown, needs no code.
    pub fn fits(&self, run: &Run, history: History) -> Fit {
        let History { event, journal, batch, mail: _ } = history;
        if undo::needs_no_code(&journal) {
            return Fit::Fits;
        }
        let Some(workflow) = self.workflows.get(&run.workflow) else { return unknown_workflow(run) };
        let is_begun = !journal.is_empty();
        let event = Arc::new(event);
        let input = match workflow.input(&event, &batch) {
            Ok(input) => input,
            Err(error) => return Fit::Misfit { reason: DeadReason::Malformed, message: error.to_string() },
        };
        let board = Board::new(run.clone(), event.clone(), journal, self.build.clone(), self.clock.clone());
        let board = Arc::new(board.reached_at(self.public_url.clone()));
        let started = catch_unwind(AssertUnwindSafe(|| workflow.start(Context::new(board.clone()), &input)));
        let code = match started {
            Ok(Ok(code)) => code,
            Ok(Err(failure)) => {
                return Fit::Misfit { reason: DeadReason::Malformed, message: failure.to_string() };
            }
            Err(_) => {
                let message = "the workflow panicked when it was begun".to_owned();
                return Fit::Misfit { reason: DeadReason::Panicked, message };
            }
        };
        if !is_begun {
            return Fit::Fits;
        }
        match Machine::new(board, code).rehearse(self.clock.now()) {
            Rehearsed::Fits => Fit::Fits,
            Rehearsed::Misfit(stop) => Fit::Misfit { reason: stop.reason, message: stop.message },
            Rehearsed::Unsure => Fit::Unsure,
        }
    }
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").field("build", &self.build).finish_non_exhaustive()
    }
}

fn unknown_workflow(run: &Run) -> Fit {
    let message = format!("this build has no workflow \"{}\"", run.workflow);
    Fit::Misfit { reason: DeadReason::UnknownWorkflow, message }
}
