//! What requests to the admin API hold.

use axum::{body::Bytes, extract::rejection::BytesRejection};
use bowline_model::{RunId, RunState, WorkflowName};
use bowline_store::{
    RunFilter,
    store::{RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::answer::Refusal;
use crate::{
    commands::{Keys, Outcome, retry::BULK_RUNS_MAX},
    view::{Payloads, parse_state},
};

/// The query of `GET /api/runs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunsQuery {
    /// States, separated by commas; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A workflow's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// At most this many: 50 unless said, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only runs older than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
}

impl RunsQuery {
    /// What to ask the store for.
    ///
    /// # Errors
    /// If there is no state of that name.
    pub fn filter(&self) -> Result<RunFilter, String> {
        let states = self.state.as_deref().unwrap_or_default().split(',');
        Ok(RunFilter {
            states: states
                .filter(|state| !state.trim().is_empty())
                .map(parse_state)
                .collect::<Result<_, _>>()?,
            workflow: self.workflow.as_deref().map(WorkflowName::from),
            before: self.before.map(RunId),
            limit: self.limit(),
            ..RunFilter::default()
        })
    }

    /// The limit that holds.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(RUNS_PAGE_DEFAULT).clamp(1, RUNS_PAGE_MAX)
    }
}

/// The query of `GET /api/runs/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// Whether to show what steps yielded and remotes answered.
    #[serde(default)]
    pub payloads: bool,
}

impl RunQuery {
    /// The same as a choice.
    pub fn payloads(&self) -> Payloads {
        if self.payloads { Payloads::Shown } else { Payloads::Hidden }
    }
}

/// The body of `POST /api/runs/{id}/replay`. Those of `retry`, `cancel` and `discard` are an
/// [`Operator`](crate::commands::Operator).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Which idempotency keys the new run uses.
    #[serde(default)]
    pub keys: Keys,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The body of `POST /api/runs/{id}/fork`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The step from which on the new run does everything itself, as `show` names it.
    pub from: String,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The body of `POST /api/workflows/pause` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Which one.
    pub workflow: WorkflowName,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The body of `POST /api/dead/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryAllRequest {
    /// Only dead letters of this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowName>,
    /// At most this many.
    #[serde(default = "bulk")]
    pub limit: usize,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Default for RetryAllRequest {
    fn default() -> Self {
        Self { workflow: None, limit: bulk(), who: None, why: None }
    }
}

/// The body of `POST /api/open/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelAllRequest {
    /// Only runs of this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowName>,
    /// Only runs in these states: queued, running, waiting. None: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<RunState>,
    /// At most this many.
    #[serde(default = "bulk")]
    pub limit: usize,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Default for CancelAllRequest {
    fn default() -> Self {
        Self { workflow: None, states: vec![], limit: bulk(), who: None, why: None }
    }
}

/// The body of `POST /api/runs/{id}/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// The step, by the name that the run's page gives it.
    pub step: String,
    /// `{"done": value}` or `"not_done"`.
    pub outcome: Outcome,
    /// See [`Operator::who`](crate::commands::Operator::who).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`Operator::why`](crate::commands::Operator::why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The query of `GET /api/approvals`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalsQuery {
    /// Only those of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
}

/// The body of `POST /api/runs/{id}/decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideRequest {
    /// Which approval, if the run waits for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Yes or no.
    pub approved: bool,
    /// What is filled in: field and value.
    #[serde(default)]
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Who decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

fn bulk() -> usize {
    BULK_RUNS_MAX
}

/// A body's value. No body at all is an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| Refusal::unreadable(&rejection))?;
    let json: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(json)
        .map_err(|error| Refusal::bad_request(format!("the body does not fit: {error}")))
}
