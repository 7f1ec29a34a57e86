//! One execution of one workflow for one event.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BuildId, Entry, Epoch, EventId, NodeId, RunFlow, RunId, WorkflowName};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// On disk, not yet begun, or given back at a shutdown.
    Queued,
    /// A node drives it now (or drove it when the process died).
    Running,
    /// All it waits for is on disk (a retry's time, a timer, a message). It holds no slot.
    Waiting,
    /// Ended well.
    Completed,
    /// Ended by an operator or a declared policy.
    Cancelled,
    /// Needs a person.
    #[serde(rename = "dead")]
    DeadLettered,
}

impl RunState {
    /// All states, in the order of a run's life.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Waiting, Self::Completed, Self::Cancelled, Self::DeadLettered];

    /// The state's number on disk. Never changes meaning.
    pub const fn code(self) -> i64 {
        match self {
            Self::Queued => 0,
            Self::Running => 1,
            Self::Waiting => 2,
            Self::Completed => 3,
            Self::Cancelled => 4,
            Self::DeadLettered => 5,
        }
    }

    /// The state with that number on disk.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether the run can still make progress by itself.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }

    /// What people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::DeadLettered => "dead",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a run became a dead letter. Its number on disk never changes meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The workflow returned an error.
    Failed,
    /// The event does not fit the workflow's input type.
    Malformed,
    /// The code no longer fits the journal, or is not deterministic.
    Mismatch,
    /// The workflow panicked.
    Panicked,
    /// It was alone when the process died, twice.
    Poison,
    /// An effect may have happened, and its idempotency key may no longer be known to the remote.
    Stale,
    /// A limit was passed: a result's size, the number of entries.
    Limit,
    /// This build has no workflow of that name.
    UnknownWorkflow,
    /// Items of a loop need a person.
    Items,
    /// An undo could not be made.
    Undo,
    /// It took longer than the workflow allows.
    Deadline,
}

impl DeadReason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Failed,
        Self::Malformed,
        Self::Mismatch,
        Self::Panicked,
        Self::Poison,
        Self::Stale,
        Self::Limit,
        Self::UnknownWorkflow,
        Self::Items,
        Self::Undo,
        Self::Deadline,
    ];

    /// The reason's number on disk.
    pub const fn code(self) -> i64 {
        match self {
            Self::Failed => 1,
            Self::Malformed => 2,
            Self::Mismatch => 3,
            Self::Panicked => 4,
            Self::Poison => 5,
            Self::Stale => 6,
            Self::Limit => 7,
            Self::UnknownWorkflow => 8,
            Self::Items => 9,
            Self::Undo => 10,
            Self::Deadline => 11,
        }
    }

    /// The reason with that number on disk.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// What people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Panicked => "panicked",
            Self::Poison => "poison",
            Self::Stale => "stale",
            Self::Limit => "limit",
            Self::UnknownWorkflow => "unknown workflow",
            Self::Items => "items",
            Self::Undo => "undo",
            Self::Deadline => "deadline",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What every idempotency key of a run is derived from: drawn at random when the run is created.
///
/// Random, and not the run's id, so that a store restored from a backup never sends an old key for new work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySeed(pub u128);

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySeed({:08x}…)", self.0 >> 96)
    }
}

/// A run on its way in, created with its event in one transaction.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// Runs that share it go one at a time, the older first, unless [`flow`](Self::flow) says otherwise. `None` for free
    /// runs.
    pub key: Option<String>,
    /// Higher goes first; 0 is usual.
    pub priority: i16,
    /// The run that started this one as a child.
    pub parent: Option<RunId>,
    /// The run this one replays.
    pub replay_of: Option<RunId>,
    /// The build that created it.
    pub build: BuildId,
    /// See [`KeySeed`].
    pub key_seed: KeySeed,
    /// Not before this time.
    pub due: Option<Timestamp>,
    /// By which rules it begins.
    pub flow: RunFlow,
    /// Entries that its journal begins with, written in the same commit: what a replay under the same keys or a fork
    /// inherits. Their sequence numbers start at 1.
    pub journal: Vec<Entry>,
}

/// A run as the store gives it back. Small: payloads live in the journal, never in this row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The store's id.
    pub id: RunId,
    /// The event that started it.
    pub event: EventId,
    /// Which workflow.
    pub workflow: WorkflowName,
    /// See [`NewRun::key`].
    pub key: Option<String>,
    /// See [`NewRun::priority`].
    pub priority: i16,
    /// See [`NewRun::parent`].
    pub parent: Option<RunId>,
    /// See [`NewRun::replay_of`].
    pub replay_of: Option<RunId>,
    /// The build that created it.
    pub build: BuildId,
    /// Where it stands.
    pub state: RunState,
    /// When it should go on, if it waits for a time.
    pub due: Option<Timestamp>,
    /// The node that drives it, or drove it last.
    pub owner: Option<NodeId>,
    /// Raised at every claim.
    pub epoch: Epoch,
    /// See [`KeySeed`].
    #[serde(skip)]
    pub key_seed: KeySeed,
    /// Process deaths it was running at since it last made progress: a write that brings a delivered entry or a failed
    /// attempt clears the count.
    pub crashes: u32,
    /// Those at which no other run was running.
    pub crashes_alone: u32,
    /// The [`Seq`](crate::Seq) of its journal's last entry, 0 if it has none; the next entry's is one more.
    pub journal_len: i64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was last claimed.
    pub claimed_at: Option<Timestamp>,
    /// Since when effects may be in flight that the journal does not show: set by a claim where it is `None`, so that
    /// it survives crashes; cleared when the run waits, is given back, ends or is retried.
    pub unsure_since: Option<Timestamp>,
    /// When it last changed state.
    pub changed_at: Timestamp,
    /// Why it is a dead letter.
    pub dead_reason: Option<DeadReason>,
    /// Why it is a dead letter, or was cancelled, in one line (at most [`SUMMARY_BYTES_MAX`]); the whole is in the journal.
    pub summary: Option<String>,
}

/// Longest summary kept in a run's row.
pub const SUMMARY_BYTES_MAX: usize = 500;
