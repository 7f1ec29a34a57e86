//! A journal as people read it: steps with their attempts, notes, and the end.

mod build;

use bowline_model::{BuildId, Certainty, DeadReason, EntryKind, RunId, Seq};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use self::build::{build, cut};

/// The most items of a timeline: the last ones are shown.
pub const ITEMS_MAX: usize = 2000;

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Item {
    /// A step, or another thing whose outcome the code received.
    Step(StepView),
    /// Something that people should know.
    Note(NoteView),
    /// The run's end. After a dead letter's, an operator's retry may follow.
    End(EndView),
}

/// A step with its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The journal's entry of its outcome, or the latest entry about it.
    pub seq: Seq,
    /// Its name as people read it.
    pub name: String,
    /// What it is.
    pub kind: StepKind,
    /// How it stands.
    pub state: StepState,
    /// What it calls: `POST crm /contacts/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// When it began, in milliseconds after the run was accepted.
    pub began_ms: i64,
    /// When its outcome was recorded, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Attempts so far.
    pub attempts: u32,
    /// The attempts that failed and were followed by another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedAttempt>,
    /// When it goes on, if it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What it waits for, while it does: `waits for the signal "paid"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<FailureView>>,
    /// An operator's retry made this outcome count no longer.
    #[serde(default)]
    pub forgotten: bool,
    /// The size of what it yielded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// What it yielded, if asked for: JSON, cut at [`PAYLOAD_BYTES_MAX`](crate::view::PAYLOAD_BYTES_MAX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What undoes it is noted, should the run be undone.
    #[serde(default)]
    pub undoable: bool,
    /// Whether the run can be forked from it; only of a run that has ended, where the step was first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<ForkHere>,
    /// The child run that it waits for, where that is clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<RunId>,
}

/// Whether a run can be forked from a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkHere {
    /// `fork RUN --from STEP` takes what is recorded before.
    Possible,
    /// It cannot be, for that reason.
    Impossible(String),
}

/// What a [`StepView`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A step.
    Step,
    /// A recorded time, random number or id.
    Value,
    /// A durable timer.
    Timer,
    /// A signal, callback or approval.
    Message,
    /// Another run.
    Child,
    /// A decision which branch won.
    Race,
    /// A loop.
    Loop,
    /// A value kept between runs.
    State,
    /// Whether a change of the code applies.
    Changed,
    /// A user's transaction.
    Transaction,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It happened.
    Done,
    /// It did not happen.
    Refused,
    /// It may have happened.
    Unknown,
    /// An attempt failed, and another follows.
    Retrying,
    /// It began, and nothing more is recorded.
    Began,
    /// It waits for a time, a message or another run.
    Waiting,
    /// The code no longer waited for it.
    Dropped,
}

/// An attempt that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which, from 1.
    pub number: u32,
    /// When it had failed, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// When the next one was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// Fact, value, hint.
    pub message: String,
    /// Whether it may have happened all the same.
    pub certainty: Certainty,
    /// Whether another attempt may help.
    pub retryable: bool,
    /// The remote's status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The remote's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The beginning of the remote's answer, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteView {
    /// Its entry.
    pub seq: Seq,
    /// When, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// What it says.
    pub text: String,
}

/// What kind of end a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// Its code came to its end.
    Completed,
    /// It needs, or needed, a person.
    DeadLettered,
    /// It was cancelled or discarded.
    Cancelled,
    /// It went on as another run.
    Continued,
}

/// A run's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// Its entry.
    pub seq: Seq,
    /// When, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// What kind of end it is.
    pub kind: EndKind,
    /// The run that it went on as, or the latest of those that went on after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went_on: Option<RunId>,
    /// Why, if it is the dead letter that the run is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeadReason>,
    /// The build that it ended under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
    /// What is said of it: a failure or an operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The step that the error came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// The size of the run's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// The run's output, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}
