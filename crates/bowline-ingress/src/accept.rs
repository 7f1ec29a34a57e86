//! The one door to the store: the only place where events become runs.
//!
//! What comes in: a [`VerifiedEvent`] and the workflows it starts, or an operator's wish to replay a stored one. What
//! goes out: ids of what is on disk.

use bowline_model::{BuildId, Clock, EventId, KeySeed, NewEvent, NewRun, RunId, WorkflowName};
use bowline_store::{Accepted, Batch, Store, StoreError, StoreErrorKind};
use jiff::Timestamp;

use crate::VerifiedEvent;

/// What [`accept`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id: the sender's, or the one that was drawn.
    pub id: String,
    /// Whether the event is new, and its runs.
    pub accepted: Accepted,
}

/// Puts an event on disk with one run for each of the workflows, or finds that it is there already.
/// An event to which its sender gives no id gets one, at random: it is new, whatever came before.
///
/// # Durability
/// On `Ok`, the event and its runs are on disk, and survive any crash. On an error nothing was written. After a crash
/// before the answer either holds: send the event again, it is recognised.
///
/// # Errors
/// What [`Store::accept`] refuses.
pub async fn accept(
    store: &dyn Store,
    clock: &dyn Clock,
    build: &BuildId,
    event: VerifiedEvent,
    workflows: Vec<WorkflowName>,
) -> Result<Receipt, StoreError> {
    let runs = workflows.into_iter().map(|workflow| new_run(workflow, clock, build)).collect();
    let event = new_event(event, runs, clock);
    let id = event.dedupe_key.clone();
    let batch = Batch { events: vec![event], ..Batch::default() };
    Ok(Receipt { id, accepted: only(store.accept(batch).await?)? })
}

/// Puts a new run of a stored event on disk. `run` is like the one that is replayed; its seed is
/// [drawn anew](draw_key_seed), unless the operator wants the same keys again.
///
/// # Durability
/// On `Ok`, the run is on disk. On an error nothing was written. After a crash before the answer either holds: look at
/// the event's runs before replaying it again, since a replay is never recognised as a duplicate.
///
/// # Errors
/// `NotFound` if the event is not there; what else [`Store::accept`] refuses.
pub async fn accept_replay(store: &dyn Store, event: EventId, run: NewRun) -> Result<RunId, StoreError> {
    let batch = Batch { replays: vec![(event, run)], ..Batch::default() };
    match only(store.accept(batch).await?)? {
        Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => only(runs),
    }
}

/// Draws what a new run's idempotency keys are derived from.
pub fn draw_key_seed(clock: &dyn Clock) -> KeySeed {
    KeySeed(u128::from(clock.random()) << 64 | u128::from(clock.random()))
}

fn new_run(workflow: WorkflowName, clock: &dyn Clock, build: &BuildId) -> NewRun {
    NewRun {
        workflow,
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: build.clone(),
        key_seed: draw_key_seed(clock),
        due: None,
        journal: vec![],
    }
}

fn new_event(event: VerifiedEvent, runs: Vec<NewRun>, clock: &dyn Clock) -> NewEvent {
    let received_at = event.received_at;
    let (dedupe_key, dedupe_until) = match event.envelope.id {
        Some(id) => (id, received_at.checked_add(event.dedupe_for).unwrap_or(Timestamp::MAX)),
        // It cannot come again, and need not be remembered.
        None => (draw_id(clock), received_at),
    };
    NewEvent {
        source: event.source,
        provider: event.provider.to_owned(),
        kind: event.envelope.kind,
        dedupe_key,
        dedupe_until,
        received_at,
        headers: event.headers,
        body: event.body,
        input_pointer: event.input_pointer,
        runs,
    }
}

fn draw_id(clock: &dyn Clock) -> String {
    let bits = u128::from(clock.random()) << 64 | u128::from(clock.random());
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

/// The one answer to one question.
fn only<T>(mut answers: Vec<T>) -> Result<T, StoreError> {
    match (answers.pop(), answers.len()) {
        (Some(answer), 0) => Ok(answer),
        (answer, more) => {
            let answers = more + usize::from(answer.is_some());
            let message =
                format!("the store gave {answers} answers to one question; it does not keep its contract");
            Err(StoreError::new(StoreErrorKind::Unavailable, message))
        }
    }
}
