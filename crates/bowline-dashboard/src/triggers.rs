//! Schedules, polls and inboxes: how each does on this node.
//!
//! What comes in: the board that they write to. What goes out: `GET /api/triggers`, its page, and a part of the runs' page
//! where one keeps failing.

use bowline_ingress::{TriggerBoard, TriggerState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Triggers that are shown; more are counted.
pub const TRIGGERS_MAX: usize = 1000;

/// What `GET /api/triggers` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerList {
    /// Those that fail first, then as the app has them.
    pub triggers: Vec<TriggerView>,
    /// Triggers beyond [`TRIGGERS_MAX`], which are left out.
    pub left_out: usize,
}

/// How one trigger does, on this node and since its process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerView {
    /// `schedule`, `poll` or `inbox`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// When it acts next, if it will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// When it last acted well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Events that it brought.
    pub started: u64,
    /// What it left out, as its policy says.
    pub skipped: u64,
    /// Failures since it last acted well.
    pub failures_in_a_row: u32,
    /// What the last failure was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether a person should look: it fails again and again, or has stopped.
    #[serde(default)]
    pub needs_person: bool,
    /// It acts no more in this process.
    #[serde(default)]
    pub has_stopped: bool,
}

impl From<TriggerState> for TriggerView {
    fn from(state: TriggerState) -> Self {
        let needs_person = state.needs_person();
        let TriggerState {
            kind,
            name,
            next,
            last,
            started,
            skipped,
            failures_in_a_row,
            last_error,
            has_stopped,
        } = state;
        let kind = kind.as_str().to_owned();
        Self {
            kind,
            name,
            next,
            last,
            started,
            skipped,
            failures_in_a_row,
            last_error,
            needs_person,
            has_stopped,
        }
    }
}

impl TriggerList {
    /// What the board shows now.
    pub(crate) fn of(board: &TriggerBoard) -> Self {
        let mut triggers: Vec<TriggerView> = board.all().into_iter().map(TriggerView::from).collect();
        triggers.sort_by_key(|trigger| (!trigger.needs_person, trigger.failures_in_a_row == 0));
        let left_out = triggers.len().saturating_sub(TRIGGERS_MAX);
        triggers.truncate(TRIGGERS_MAX);
        Self { triggers, left_out }
    }

    /// Those that a person should look at.
    pub(crate) fn in_need(&self) -> Vec<&TriggerView> {
        self.triggers.iter().filter(|trigger| trigger.needs_person).collect()
    }
}
