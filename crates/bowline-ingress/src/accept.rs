//! The one door to the store: the only place where events become runs.
//!
//! What comes in: a [`VerifiedEvent`] and the workflows it starts, or an operator's wish to replay a stored one. What
//! goes out: ids of what is on disk.

use bowline_model::{
    BuildId, Clock, EventId, FlowRules, KeySeed, NewEvent, NewRun, Ruled, RunId, WorkflowName,
};
use bowline_store::{Accepted, Batch, CursorMove, Store, StoreError, StoreErrorKind};
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

impl Receipt {
    /// Whether it is new.
    pub fn is_new(&self) -> bool {
        matches!(self.accepted, Accepted::New { .. })
    }

    /// Its runs: those that it started, now or when it came first.
    pub fn runs(&self) -> &[RunId] {
        match &self.accepted {
            Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => runs,
        }
    }
}

/// Puts an event on disk with one run for each of the workflows, or finds that it is there already.
/// An event to which its sender gives no id gets one, at random: it is new, whatever came before.
///
/// `rules` say by which keys, priority and pace each run begins. They look at the input as it is now: a run keeps what
/// they say of it.
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
    rules: &FlowRules,
    event: VerifiedEvent,
    workflows: Vec<WorkflowName>,
) -> Result<Receipt, StoreError> {
    only(accept_all(store, clock, build, rules, vec![(event, workflows)], None).await?)
}

/// Puts events on disk with their runs, and moves a cursor, all in one transaction: what a poll's page brought together
/// with the place that it was read up to, or a schedule's tick. Answers per event, in order; an event that is there
/// already starts nothing and keeps nothing else from being accepted.
///
/// # Durability
/// On `Ok`, all of it is on disk, and survives any crash. On an error none of it is. After a crash before the answer
/// either holds: the cursor tells which.
///
/// # Errors
/// `Conflict` if the cursor is not where it was expected: read it again, decide again. What else [`Store::accept`]
/// refuses.
pub async fn accept_all(
    store: &dyn Store,
    clock: &dyn Clock,
    build: &BuildId,
    rules: &FlowRules,
    events: Vec<(VerifiedEvent, Vec<WorkflowName>)>,
    cursor: Option<CursorMove>,
) -> Result<Vec<Receipt>, StoreError> {
    let new = |(event, workflows)| new_event(event, workflows, clock, build, rules);
    let events: Vec<NewEvent> = events.into_iter().map(new).collect();
    let ids: Vec<String> = events.iter().map(|event| event.dedupe_key.clone()).collect();
    let answers = store.accept(Batch { events, replays: vec![], cursor }).await?;
    if answers.len() != ids.len() {
        return Err(broken_contract(answers.len(), ids.len()));
    }
    Ok(ids.into_iter().zip(answers).map(|(id, accepted)| Receipt { id, accepted }).collect())
}

/// Puts a new run of a stored event on disk. `run` is like the one that is replayed; its seed is
/// [drawn anew](draw_key_seed), unless the operator wants the same keys again. `rules` say by which keys and pace it
/// begins, as of a new event; but it is a run of its own: no later event replaces it or joins it.
///
/// # Durability
/// On `Ok`, the run is on disk. On an error nothing was written. After a crash before the answer either holds: look at
/// the event's runs before replaying it again, since a replay is never recognised as a duplicate.
///
/// # Errors
/// `NotFound` if the event is not there; what else [`Store::accept`] refuses.
pub async fn accept_replay(
    store: &dyn Store,
    rules: &FlowRules,
    event: EventId,
    mut run: NewRun,
) -> Result<RunId, StoreError> {
    // Without rules the event need not be read.
    if !rules.is_empty()
        && let Some(stored) = store.event(event).await?
    {
        let ruled = rules.judge(&run.workflow, &stored.body, &stored.input_pointer).alone();
        run.key = ruled.key.or(run.key);
        run.flow = ruled.flow;
    }
    let batch = Batch { replays: vec![(event, run)], ..Batch::default() };
    match only(store.accept(batch).await?)? {
        Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => only(runs),
    }
}

/// Draws what a new run's idempotency keys are derived from.
pub fn draw_key_seed(clock: &dyn Clock) -> KeySeed {
    KeySeed(u128::from(clock.random()) << 64 | u128::from(clock.random()))
}

fn new_run(workflow: WorkflowName, ruled: Ruled, clock: &dyn Clock, build: &BuildId) -> NewRun {
    NewRun {
        workflow,
        key: ruled.key,
        priority: ruled.priority,
        parent: None,
        replay_of: None,
        build: build.clone(),
        key_seed: draw_key_seed(clock),
        due: None,
        flow: ruled.flow,
        journal: vec![],
    }
}

fn new_event(
    event: VerifiedEvent,
    workflows: Vec<WorkflowName>,
    clock: &dyn Clock,
    build: &BuildId,
    rules: &FlowRules,
) -> NewEvent {
    let run = |workflow: WorkflowName| {
        let ruled = rules.judge(&workflow, &event.body, &event.input_pointer);
        let mut run = new_run(workflow, ruled, clock, build);
        run.due = event.runs_not_before;
        // Who makes the event knows what its runs share; an app that also gives them a key is refused when it is built.
        run.key = event.run_key.clone().or(run.key);
        run
    };
    let runs = workflows.into_iter().map(run).collect();
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
        (answer, more) => Err(broken_contract(more + usize::from(answer.is_some()), 1)),
    }
}

fn broken_contract(answers: usize, questions: usize) -> StoreError {
    let message =
        format!("the store gave {answers} answers to {questions} questions; it does not keep its contract");
    StoreError::new(StoreErrorKind::Unavailable, message)
}
