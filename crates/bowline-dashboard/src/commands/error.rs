//! Why a command was not carried out, with a hint at what to use instead.

use std::time::Duration;

use bowline_model::{Run, RunId, RunState, WorkflowName, approval::WrongValue};
use bowline_store::{StoreError, StoreErrorKind, mail::UNREAD_BYTES_MAX};

/// When to send a message again to a run that has too many unread.
const UNREAD_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a command was not carried out. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    retry_after: Option<Duration>,
    wrong: Vec<WrongValue>,
}

/// What the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such run, or its event is gone.
    NotFound,
    /// The run is not in a state in which the command makes sense.
    WrongState,
    /// What was said does not fit.
    Invalid,
    /// It was answered before, and takes no second answer.
    Answered,
    /// Nobody waits for it any more.
    Gone,
    /// It is larger than what is kept.
    TooLarge,
    /// As much as is kept is there already.
    TooMany,
    /// The store did not do it; its own kind says why.
    Store(StoreErrorKind),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to try instead.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// When the same command may succeed, if waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Which fields of a decision do not fit, and why.
    pub fn wrong(&self) -> &[WrongValue] {
        &self.wrong
    }

    pub(super) fn store_kind(&self) -> Option<StoreErrorKind> {
        match self.kind {
            ErrorKind::Store(kind) => Some(kind),
            ErrorKind::NotFound
            | ErrorKind::WrongState
            | ErrorKind::Invalid
            | ErrorKind::Answered
            | ErrorKind::Gone
            | ErrorKind::TooLarge
            | ErrorKind::TooMany => None,
        }
    }

    pub(super) fn no_such_run(run: RunId) -> Self {
        Self {
            kind: ErrorKind::NotFound,
            message: format!("there is no run {run}"),
            hint: Some("`runs` lists them; ended runs leave the store after their retention".to_owned()),
            retry_after: None,
            wrong: vec![],
        }
    }

    pub(super) fn no_such_workflow(workflow: &WorkflowName, known: &[&str]) -> Self {
        Self {
            kind: ErrorKind::NotFound,
            message: format!("this app has no workflow {workflow}"),
            hint: Some(format!("it has {}", known.join(", "))),
            retry_after: None,
            wrong: vec![],
        }
    }

    pub(super) fn not_dead(run: &Run) -> Self {
        let hint = match run.state {
            RunState::Queued | RunState::Running | RunState::Waiting => {
                format!("it goes on by itself; `show {}` says where it stands", run.id)
            }
            RunState::Completed | RunState::Cancelled => {
                format!("it has ended; `replay {}` runs its event again as a new run", run.id)
            }
            RunState::DeadLettered => format!("`show {}` says where it stands", run.id),
        };
        Self::wrong_state(format!("run {} is {}, not a dead letter", run.id, run.state), hint)
    }

    pub(super) fn not_open(run: RunId, state: RunState) -> Self {
        let hint = match state {
            RunState::DeadLettered => format!("`discard {run}` closes a dead letter"),
            RunState::Completed | RunState::Cancelled => "there is nothing left to cancel".to_owned(),
            RunState::Queued | RunState::Running | RunState::Waiting => "say it again".to_owned(),
        };
        Self::wrong_state(format!("run {run} is {state}, and not open any more"), hint)
    }

    pub(super) fn not_cancellable(state: RunState) -> Self {
        let hint = "open are queued, running and waiting ones".to_owned();
        Self::wrong_state(format!("runs that are {state} are not open: there is nothing to cancel"), hint)
    }

    pub(super) fn no_engine(run: RunId) -> Self {
        Self {
            kind: ErrorKind::Store(StoreErrorKind::Unavailable),
            message: format!("run {run} cannot be cancelled here: no engine is at hand"),
            hint: Some("say it to the server that drives it".to_owned()),
            retry_after: None,
            wrong: vec![],
        }
    }

    pub(super) fn no_such_step(run: &Run, step: &str, namesakes: &[String]) -> Self {
        let step = crate::wording::cut(&crate::wording::clean(step), 200);
        let hint = match namesakes {
            [] => format!("`show {}` names what it recorded", run.id),
            steps => format!("say which: {}", steps.join(", ")),
        };
        Self {
            kind: ErrorKind::NotFound,
            message: format!("run {} recorded nothing of a step {step:?}", run.id),
            hint: Some(hint),
            retry_after: None,
            wrong: vec![],
        }
    }

    pub(super) fn not_forkable(run: &Run, step: &str, why: &str) -> Self {
        let step = crate::wording::cut(&crate::wording::clean(step), 200);
        Self::wrong_state(
            format!("run {} cannot be forked from {step:?}: {why}", run.id),
            format!("`fork` it from an earlier step, or `replay {}` as a whole", run.id),
        )
    }

    pub(super) fn undone(run: &Run) -> Self {
        Self::wrong_state(
            format!("run {} was undone: what it recorded is true no more", run.id),
            format!("`replay {}` does all of it again", run.id),
        )
    }

    pub(super) fn not_ended(run: &Run) -> Self {
        Self::wrong_state(
            format!("run {} is {}: it has not ended yet", run.id, run.state),
            format!("another run beside it would repeat its effects; `show {}` says where it stands", run.id),
        )
    }

    pub(super) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorKind::Invalid, message, hint)
    }

    /// A value that has no JSON form.
    pub fn no_json(error: &serde_json::Error) -> Self {
        Self::invalid(format!("the value has no JSON form: {error}"), "a map's keys must be strings")
    }

    pub(super) fn unfit(approval: &str, wrong: Vec<WrongValue>) -> Self {
        let said: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        let message = format!("the answer to {approval:?} does not fit: {}", said.join("; "));
        Self {
            wrong,
            ..Self::of(ErrorKind::Invalid, message, "nothing was decided; correct it and say it again")
        }
    }

    pub(super) fn answered(run: RunId, what: &str) -> Self {
        let message = format!("{what:?} of run {run} was answered before");
        Self::of(ErrorKind::Answered, message, format!("`show {run}` says how; the first answer counts"))
    }

    pub(super) fn timed_out(run: RunId, what: &str) -> Self {
        let message = format!("run {run} no longer waits for {what:?}: the wait timed out");
        Self::of(ErrorKind::Gone, message, format!("nothing was kept; `show {run}` says how it went on"))
    }

    pub(super) fn takes_no_mail(run: RunId, state: RunState) -> Self {
        let message = format!("run {run} is {state} and takes no messages");
        Self::of(ErrorKind::Gone, message, "nothing was kept")
    }

    pub(super) fn no_such_approval(run: RunId, name: Option<&str>, open: &[String]) -> Self {
        let message = match name {
            Some(name) => format!("run {run} waits for no approval {name:?}"),
            None if open.is_empty() => format!("run {run} waits for no approval"),
            None => format!("run {run} waits for {} approvals", open.len()),
        };
        let names: Vec<_> = open.iter().map(|name| format!("{name:?}")).collect();
        let hint = match names.as_slice() {
            [] => "`approvals` lists those that are open".to_owned(),
            names => format!("say which: {}", names.join(", ")),
        };
        Self::of(ErrorKind::NotFound, message, hint)
    }

    pub(super) fn unreadable_question(run: RunId, approval: &str) -> Self {
        let message = format!("what {approval:?} of run {run} asks cannot be read by this build");
        Self::of(ErrorKind::WrongState, message, "answer it with the build that asked")
    }

    pub(super) fn too_many_messages(run: RunId, limit: usize) -> Self {
        let message = format!(
            "run {run} has {limit} messages that it has not read, or {} MiB of them: no more are kept",
            UNREAD_BYTES_MAX / (1024 * 1024)
        );
        let hint = "send it again when the run has gone on";
        Self { retry_after: Some(UNREAD_RETRY_AFTER), ..Self::of(ErrorKind::TooMany, message, hint) }
    }

    pub(super) fn too_large(bytes: usize, bytes_max: usize) -> Self {
        let message = format!("the body has {bytes} bytes; a message has at most {bytes_max}");
        Self::of(ErrorKind::TooLarge, message, "keep the data elsewhere, and send where it is")
    }

    fn of(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: Some(hint.into()), retry_after: None, wrong: vec![] }
    }

    pub(super) fn wrong_state(message: String, hint: String) -> Self {
        Self { kind: ErrorKind::WrongState, message, hint: Some(hint), retry_after: None, wrong: vec![] }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let hint = error.is_retryable().then(|| "nothing was changed; try again soon".to_owned());
        Self {
            kind: ErrorKind::Store(error.kind()),
            message: error.to_string(),
            hint,
            retry_after: error.retry_after(),
            wrong: vec![],
        }
    }
}
