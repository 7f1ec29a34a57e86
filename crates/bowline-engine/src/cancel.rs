//! Ending an open run from outside.
//!
//! What comes in: a run's id and why. What goes out: the run cancelled on disk, or how it had ended before. A run that
//! waits on disk is cancelled there, by a compare-and-set on its state and journal; one that this node drives is
//! cancelled by its driver, under its epoch. Its children follow it. What must never happen here: a write to a run that somebody drives, or
//! control that reaches the workflow's code.

mod at_rest;
mod family;
mod from_code;

use std::{
    collections::HashMap,
    future::pending,
    sync::{Mutex, PoisonError},
};

use bowline_model::{BoxFuture, Epoch, Run, RunId, RunState, run::SUMMARY_BYTES_MAX};
use bowline_store::{Store, StoreError, StoreErrorKind};
use tokio::sync::watch;

#[cfg(test)]
pub(crate) use self::at_rest::decide_at_rest;
use self::family::CancelOne;
pub use self::{at_rest::CancelAtRest, family::CancelledFamily};
pub(crate) use self::{
    family::{Told, cancel_told},
    from_code::{CancelFromCode, cancels_with, engine_of},
};

use crate::Engine;

/// How often a run is looked at that is running, and driven by nobody here.
const UNDRIVEN_MAX: usize = 3;

/// What came of [`Engine::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The run is cancelled.
    Cancelled,
    /// What it did is undone first, which goes on by itself: it is cancelled when that is done.
    Undoing,
    /// It was open no more: cancelled before, completed, or a dead letter. Nothing was written.
    Ended(RunState),
}

impl Engine {
    /// Cancels a run, whether it is queued, waits, or runs: then its code is dropped where it stands, a call under way
    /// with it, and never learns of it. What the run recorded stays in its journal; `reason` becomes its summary. The
    /// children that it waits for are cancelled after it, and theirs.
    ///
    /// A run of which something can be undone is undone first: see [`Step::undo`](crate::Step::undo). This returns when that is
    /// on disk, as [`Undoing`](Cancel::Undoing).
    ///
    /// A run that went on as another one is cancelled where it is now. One that comes to its end at the same moment stays
    /// as it ended. Works after a
    /// [`shutdown`](Self::shutdown) too, as long as the store is open.
    ///
    /// # Durability
    /// On `Ok` the end of the run and of its children is on disk, or that they are undone: they stay cancelled after any
    /// crash. After a crash before that the run goes on, or is cancelled; then its children were told in the same commit,
    /// and do nothing more once this node, or the next, looks at them. What children did is undone before what the run
    /// did. A call that had left may have had its effect: the journal names it as unknown.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if another node drives the run: cancel it there. `Unavailable` if the store does not
    /// answer, or the run is one that this node lost: the next start recovers it. If a child could not be cancelled the
    /// run itself may be: say it again.
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<Cancel, StoreError> {
        self.cancel_family(run, reason).await.map(|family| family.run)
    }

    /// As [`cancel`](Self::cancel), and says how many children went with it.
    ///
    /// # Durability
    /// As [`cancel`](Self::cancel).
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub async fn cancel_family(&self, run: RunId, reason: &str) -> Result<CancelledFamily, StoreError> {
        family::cancel(self, run, reason).await
    }

    /// Cancels what a run that is undone waits for.
    pub(crate) async fn cancel_below(&self, run: RunId, reason: &str) -> Result<u64, StoreError> {
        family::cancel_below(self, run, reason).await
    }

    async fn cancel_alone(&self, run: RunId, reason: &str) -> Result<Cancel, StoreError> {
        let reason = one_line(reason);
        let mut undriven = 0;
        loop {
            let found = self.shared.store.run(run).await?.ok_or_else(|| no_such_run(run))?;
            match found.state {
                RunState::Completed | RunState::Cancelled | RunState::DeadLettered => {
                    return Ok(Cancel::Ended(found.state));
                }
                RunState::Queued | RunState::Waiting => match self.cancel_on_disk(&found, reason).await {
                    Ok(cancel) => return Ok(cancel),
                    // It went on meanwhile.
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                },
                RunState::Running if found.owner != Some(self.node) => return Err(elsewhere(&found)),
                RunState::Running => match self.ask_driver(&found, reason).await {
                    Asked::Done(cancel) => return Ok(cancel),
                    Asked::Driver => undriven = 0,
                    Asked::Nobody => undriven += 1,
                },
            }
            if undriven >= UNDRIVEN_MAX {
                return Err(lost(run));
            }
        }
    }

    async fn cancel_on_disk(&self, run: &Run, reason: &str) -> Result<Cancel, StoreError> {
        let shared = &self.shared;
        let operation =
            at_rest::operation(&*shared.store, run, reason, &*shared.clock, &shared.build).await?;
        let Some(operation) = operation else { return Ok(Cancel::Undoing) };
        let is_undone = operation.to != RunState::Cancelled;
        shared.store.operate(operation).await?;
        if is_undone {
            shared.forget(run.id);
            shared.poked.notify_one();
            tracing::info!(run = %run.id, workflow = %run.workflow, "run is undone: {reason}");
            return Ok(Cancel::Undoing);
        }
        // The code that is kept for it, if it is, is dropped.
        shared.forget(run.id);
        shared.passed_on(run);
        tracing::info!(run = %run.id, workflow = %run.workflow, "run cancelled: {reason}");
        Ok(Cancel::Cancelled)
    }

    /// Tells the driver, and waits until it has let go of the run.
    async fn ask_driver(&self, run: &Run, reason: &str) -> Asked {
        let request = self.shared.cancels.request(run.id, reason);
        // If it was claimed a moment ago and nobody drives it yet: the dispatcher knows.
        self.shared.poked.notify_one();
        let answer = request.answered.over().await;
        match (answer.filter(|_| request.is_first), request.is_driven) {
            (Some(cancel), _) => Asked::Done(cancel),
            (None, true) => Asked::Driver,
            (None, false) => Asked::Nobody,
        }
    }
}

impl CancelOne for Engine {
    fn cancel_one<'a>(&'a self, run: RunId, reason: &'a str) -> BoxFuture<'a, Result<Cancel, StoreError>> {
        Box::pin(self.cancel_alone(run, reason))
    }

    fn store(&self) -> &dyn Store {
        &*self.shared.store
    }
}

/// What came of a request: the run is to be looked at again, unless it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The driver cancelled it, or undoes it, for this reason.
    Done(Cancel),
    /// The driver let go of it, or cancelled it for another reason.
    Driver,
    /// Nobody drove it.
    Nobody,
}

/// Who is to be cancelled, and who is driven on this node.
#[derive(Default)]
pub(crate) struct Cancels {
    state: Mutex<State>,
    /// Told of every request.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    requests: HashMap<RunId, Request>,
    driven: HashMap<RunId, Epoch>,
    /// Nothing is driven any more.
    is_closed: bool,
}

struct Request {
    reason: String,
    /// Says what came of it; dropped when the request is answered.
    done: watch::Sender<Option<Cancel>>,
}

/// A request, as who makes it sees it.
struct Requested {
    answered: Answered,
    /// Whether nobody asked for that run before: it is this reason that counts.
    is_first: bool,
    /// Whether somebody drives the run.
    is_driven: bool,
}

struct Answered(watch::Receiver<Option<Cancel>>);

impl Answered {
    /// Ends when the request was answered; what came of the run for it.
    async fn over(mut self) -> Option<Cancel> {
        // An error: the request was dropped, and what it said last counts.
        let _ = self.0.wait_for(Option::is_some).await;
        *self.0.borrow()
    }
}

impl Cancels {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run was claimed under that epoch, and will be driven.
    pub(crate) fn begin(&self, run: RunId, epoch: Epoch) {
        self.lock().driven.insert(run, epoch);
    }

    /// The run is not driven under that epoch any more.
    pub(crate) fn leave(&self, run: RunId, epoch: Epoch) {
        let mut state = self.lock();
        if state.driven.get(&run) == Some(&epoch) {
            state.driven.remove(&run);
            state.requests.remove(&run);
        }
    }

    /// Why that run is to be cancelled, if it is.
    pub(crate) fn requested(&self, run: RunId) -> Option<String> {
        self.lock().requests.get(&run).map(|request| request.reason.clone())
    }

    /// Ends when that run is to be cancelled.
    pub(crate) async fn until_requested(&self, run: RunId) {
        let mut changed = self.changed.subscribe();
        while self.requested(run).is_none() {
            if changed.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// The run was cancelled as it was asked for.
    pub(crate) fn done(&self, run: RunId) {
        if let Some(request) = self.lock().requests.get(&run) {
            request.done.send_replace(Some(Cancel::Cancelled));
        }
    }

    /// The run goes on, though not as before: who asked learns what came of it.
    pub(crate) fn answer(&self, run: RunId, cancel: Cancel) {
        if let Some(request) = self.lock().requests.remove(&run) {
            request.done.send_replace(Some(cancel));
        }
    }

    /// Answers whoever asks for a run that nobody drives: called when all that was claimed is handed out.
    pub(crate) fn answer_undriven(&self) {
        let mut state = self.lock();
        let State { requests, driven, .. } = &mut *state;
        requests.retain(|run, _| driven.contains_key(run));
    }

    /// Nothing is driven any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.requests.clear();
    }

    fn request(&self, run: RunId, reason: &str) -> Requested {
        let mut state = self.lock();
        let is_driven = state.driven.contains_key(&run);
        if state.is_closed {
            let (_, answered) = watch::channel(None);
            return Requested { answered: Answered(answered), is_first: true, is_driven: false };
        }
        let is_first = !state.requests.contains_key(&run);
        let new = || Request { reason: reason.to_owned(), done: watch::Sender::new(None) };
        let answered = Answered(state.requests.entry(run).or_insert_with(new).done.subscribe());
        drop(state);
        self.changed.send_replace(());
        Requested { answered, is_first, is_driven }
    }
}

/// What a run's row and its journal can show.
fn one_line(reason: &str) -> &str {
    let line = reason.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(SUMMARY_BYTES_MAX)]
}

fn no_such_run(run: RunId) -> StoreError {
    let message = format!("no run {run} is stored; it may be older than the retention");
    StoreError::new(StoreErrorKind::NotFound, message)
}

fn elsewhere(run: &Run) -> StoreError {
    let node = run.owner.map_or_else(|| "another node".to_owned(), |node| format!("node {node}"));
    let message = format!("run {} is driven by {node}; cancel it there", run.id);
    StoreError::new(StoreErrorKind::Conflict, message)
}

fn lost(run: RunId) -> StoreError {
    let message = format!(
        "run {run} is running, but not driven here any more; the next start recovers it, cancel it then"
    );
    StoreError::new(StoreErrorKind::Unavailable, message)
}
