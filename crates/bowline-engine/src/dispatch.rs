//! Claims runs and hands them out: to the code that is kept in memory for them, or to a new driver that recovers them.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bowline_model::{DeadReason, Entry, Event, Failure, NodeId, Run, RunId, WorkflowName};
use bowline_store::{Claim, History, Message, StoreError};
use futures_util::{FutureExt, future::select};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Context,
    board::Board,
    cancel::{Told, cancel_told, cancels_with},
    drive::{Driver, bury, bury_begun},
    engine::{Resume, Shared, Stopping, lock},
    journal::earliest,
    machine::Machine,
    slots::SlotGuard,
};

/// The dispatcher looks at the store at least this often, whatever it was or was not told.
const SWEEP: Duration = Duration::from_secs(30);
/// How long to wait after a claim failed.
const CLAIM_RETRY: Duration = Duration::from_secs(1);
/// Runs taken with one claim.
const CLAIM_MAX: usize = 256;
/// From this many crashes on a run is a suspect: it runs alone until it reaches a wait or an end.
const SUSPECT_CRASHES: u32 = 2;
/// At this many crashes alone a run is a dead letter.
const POISON_CRASHES_ALONE: u32 = 2;
/// A suspect that lived this long alone is let in with the others.
const SUSPECT_ALONE_MAX: Duration = Duration::from_secs(70);

pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    node: NodeId,
    runs: JoinSet<()>,
    /// Whether the last claim took as many of some workflow as its own limit let it: there may be more.
    limited: bool,
}

/// What a round of claiming says of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing is left to claim.
    Empty,
    /// Slots are the limit: claim again when one is free.
    Limited,
    /// There may be more, and slots are free.
    More,
    /// The store did not answer.
    Failed,
}

impl Dispatcher {
    pub(crate) fn new(shared: Arc<Shared>, node: NodeId) -> Self {
        Self { shared, node, runs: JoinSet::new(), limited: false }
    }

    /// Claims until the node stops, then waits for the runs under way.
    pub(crate) async fn dispatch(mut self) {
        self.run_suspects_alone().await;
        while !self.shared.is_stopping() {
            let round = self.claim_round().await;
            self.shared.cancels.answer_undriven();
            self.shared.beat(round == Round::Failed);
            self.reap();
            match round {
                Round::More => {}
                Round::Empty | Round::Limited | Round::Failed => self.wait(round).await,
            }
        }
        while self.runs.join_next().await.is_some() {}
    }

    /// After crashes, runs that were there at two of them go one at a time, so that the next crash blames no innocent.
    async fn run_suspects_alone(&mut self) {
        while !self.shared.is_stopping() {
            let quotas = self.shared.slots.free_per_workflow(&self.shared.workflows, 1);
            let claimed = match self.claim(1, quotas, SUSPECT_CRASHES).await {
                Ok(claimed) if claimed.is_empty() => return,
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, "claim failed");
                    self.shared.beat(true);
                    self.shared.pause(CLAIM_RETRY).await;
                    continue;
                }
            };
            tracing::warn!(run = %claimed[0].id, crashes = claimed[0].crashes, "suspected of crashing the process: runs alone");
            self.hand_out(claimed).await;
            self.shared.cancels.answer_undriven();
            self.shared.beat(false);
            let shared = self.shared.clone();
            let alone = async {
                while shared.slots.free() < shared.slots.total() {
                    shared.slots.freed().await;
                }
            };
            let alone = pin!(alone);
            let alone = select(alone, shared.clock.sleep(SUSPECT_ALONE_MAX));
            shared.activity.idle(alone).await;
        }
    }

    async fn claim_round(&mut self) -> Round {
        let free = self.shared.slots.free().min(CLAIM_MAX);
        if let Err(error) = self.shared.pauses.learn(&*self.shared.store).await {
            tracing::warn!(%error, "pauses cannot be read");
            return Round::Failed;
        }
        if free == 0 {
            return Round::Limited;
        }
        let quotas = self.shared.slots.free_per_workflow(&self.shared.workflows, free);
        let claimed = self.claim(free, quotas.clone(), 0).await;
        self.limited = is_limited(&quotas, free, claimed.as_deref().unwrap_or_default());
        if self.shared.workflows.any_timed() {
            // What was accepted or claimed may have set a time.
            self.refresh_due().await;
        }
        match claimed {
            Ok(claimed) if claimed.is_empty() => Round::Empty,
            Ok(claimed) => {
                let all = claimed.len() == free;
                self.hand_out(claimed).await;
                if all { Round::More } else { Round::Empty }
            }
            Err(error) => {
                tracing::warn!(%error, "claim failed");
                Round::Failed
            }
        }
    }

    async fn claim(
        &self,
        total_max: usize,
        workflows: Vec<(WorkflowName, usize)>,
        crashes_min: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let claim = Claim {
            node: self.node,
            now: self.shared.clock.now(),
            total_max,
            workflows,
            others_max: total_max,
            crashes_min,
        };
        // Never dropped half way: a claim that was committed and not handed out would be lost until the next start.
        self.shared.store.claim(claim).await
    }

    /// Ends when there may be something to do.
    async fn wait(&self, round: Round) {
        let shared = &self.shared;
        let due = *lock(&shared.next_due);
        // What was freed while the claim was on its way may be what it lacked: that is remembered.
        let limited = round == Round::Limited || self.limited;
        let retry = if round == Round::Failed { CLAIM_RETRY } else { SWEEP };
        let is_due = shared.activity.idle(async {
            tokio::select! {
                () = shared.poked.notified() => false,
                () = shared.slots.freed(), if limited => false,
                _ = shared.stopping_after(Stopping::No) => false,
                () = shared.sleep_until(due) => true,
                () = shared.clock.sleep(retry) => false,
            }
        });
        if is_due.await {
            self.refresh_due().await;
        }
    }

    /// The time that was waited for has come: looks which one is next.
    async fn refresh_due(&self) {
        let now = self.shared.clock.now();
        let next = match self.shared.store.next_due(now).await {
            Ok(next) => next,
            Err(_) => now.checked_add(CLAIM_RETRY).ok(),
        };
        let mut known = lock(&self.shared.next_due);
        // A time noted while the store was asked may be earlier.
        *known = earliest(known.filter(|noted| *noted > now), next);
    }

    async fn hand_out(&mut self, claimed: Vec<Run>) {
        let mut cold = Vec::new();
        for run in claimed {
            let slot = self.shared.slots.take(&run.workflow);
            self.shared.begin(run.id, run.epoch);
            match self.shared.take_kept(&run) {
                Some(kept) => match kept.send(Resume { epoch: run.epoch, slot }) {
                    Ok(()) => {}
                    Err(Resume { slot, .. }) => cold.push((run, slot)),
                },
                None => cold.push((run, slot)),
            }
        }
        if cold.is_empty() {
            return;
        }
        let ids: Vec<RunId> = cold.iter().map(|(run, _)| run.id).collect();
        let histories = self.histories(&ids).await;
        for ((run, slot), history) in cold.into_iter().zip(histories) {
            let span = tracing::info_span!(parent: None, "run", run = %run.id, workflow = %run.workflow);
            let at_work = self.shared.activity.work();
            let driven = drive_claimed(self.shared.clone(), run, slot, history);
            let counted = async move {
                // Dropped last: a freed slot may put the dispatcher to work.
                let _at_work = at_work;
                driven.await;
            };
            self.runs.spawn(counted.instrument(span));
        }
    }

    /// Reads until the store answers: the runs are ours already.
    async fn histories(&self, ids: &[RunId]) -> Vec<Result<History, StoreError>> {
        loop {
            match self.shared.store.histories(ids).await {
                Ok(histories) => return histories,
                Err(error) if error.is_retryable() && !self.shared.is_stopping() => {
                    tracing::warn!(%error, "claimed runs cannot be read yet");
                    self.shared.pause(CLAIM_RETRY).await;
                }
                Err(error) => return ids.iter().map(|_| Err(error.clone())).collect(),
            }
        }
    }

    fn reap(&mut self) {
        while let Some(ended) = self.runs.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a run's driver failed");
            }
        }
    }
}

/// Whether a workflow's own limit, not the total, was the end of what was claimed of it.
fn is_limited(quotas: &[(WorkflowName, usize)], free: usize, claimed: &[Run]) -> bool {
    quotas
        .iter()
        .filter(|(_, quota)| *quota < free)
        .any(|(name, quota)| claimed.iter().filter(|run| run.workflow == *name).count() >= *quota)
}

/// Drives one claimed run to its end, its next wait that is not kept, or the shutdown.
async fn drive_claimed(shared: Arc<Shared>, run: Run, slot: SlotGuard, history: Result<History, StoreError>) {
    let claimed = run.clone();
    let (id, epoch) = (run.id, run.epoch);
    let driven = AssertUnwindSafe(Box::pin(begin(shared.clone(), run, slot, history))).catch_unwind().await;
    if driven.is_err() {
        let failure =
            Failure::unknown("the engine panicked while it drove this run; see the log").permanent();
        // It may have made progress since it was claimed.
        let run = match shared.store.run(claimed.id).await {
            Ok(Some(run)) => run,
            Ok(None) | Err(_) => claimed,
        };
        bury_begun(&shared, &run, DeadReason::Panicked, failure, run.unsure_since).await;
    }
    shared.leave(id, epoch);
}

async fn begin(shared: Arc<Shared>, run: Run, slot: SlotGuard, history: Result<History, StoreError>) {
    if run.crashes_alone >= POISON_CRASHES_ALONE {
        let failure = Failure::unknown(format!(
            "the process died {} times while this run was the only one running (and {} times in all); find out why, \
             deploy, then retry it",
            run.crashes_alone, run.crashes
        ));
        return bury(&shared, &run, DeadReason::Poison, failure.permanent()).await;
    }
    let History { event, journal, mail, batch } = match history {
        Ok(history) => history,
        Err(error) if error.is_retryable() => return crate::drive::give_back(&shared, &run).await,
        Err(error) => {
            let failure = Failure::refused(format!("the run's history cannot be read: {error}"));
            return bury(&shared, &run, DeadReason::Mismatch, failure.permanent()).await;
        }
    };
    if crate::undo::reason(&journal).is_some() {
        return go_on_undoing(shared, run, slot, event, batch, journal, mail).await;
    }
    if let Some(why) = crate::mail::told_to_cancel(&mail) {
        return match cancel_told(&shared, &run, journal, &why).await {
            Told::Over => {}
            Told::Undone(journal) => {
                let run = Run { journal_len: run.journal_len + 1, ..run };
                go_on_undoing(shared, run, slot, event, batch, journal, mail).await;
            }
        };
    }
    let Some(workflow) = shared.workflows.get(&run.workflow) else {
        let failure = Failure::refused(format!(
            "this build has no workflow \"{}\"; deploy one that has, then retry the run",
            run.workflow
        ));
        return bury(&shared, &run, DeadReason::UnknownWorkflow, failure.permanent()).await;
    };
    let event = Arc::new(event);
    let input = match workflow.input(&event, &batch) {
        Ok(input) => input,
        Err(error) => {
            let failure = Failure::refused(format!("{error}; deploy code that takes it, then retry the run"));
            return bury(&shared, &run, DeadReason::Malformed, failure.permanent()).await;
        }
    };
    // Before its first step: what it did without its key cannot be put in order any more.
    if !journal.iter().any(|entry| entry.kind.shows_begun())
        && batch.is_empty()
        && let Ok(own) = event.input_text()
        && let Some(failure) = workflow.flow_failure(own)
    {
        return bury(&shared, &run, DeadReason::Failed, failure).await;
    }
    let (id, epoch, name) = (run.id, run.epoch, run.workflow.clone());
    let board = Board::new(run.clone(), event.clone(), journal, shared.build.clone(), shared.clock.clone());
    let board = board.counted_by(shared.activity.clone()).reached_at(shared.public_url.clone());
    let board = board.ruled_by(shared.rules.clone()).of(workflow).of_batch(batch.into());
    let board = board.paused_by(shared.pauses.of(&run.workflow));
    let board = Arc::new(match run.owner {
        Some(node) => board.cancelling_with(cancels_with(shared.clone(), node)),
        None => board,
    });
    board.take_mail(mail);
    match workflow.start(Context::new(board.clone()), &input) {
        Ok(code) => {
            let machine = Machine::new(board, code);
            Driver {
                shared,
                machine,
                run: id,
                epoch,
                workflow: name,
                slot: Some(slot),
                told_of_stranger: false,
            }
            .drive()
            .await;
        }
        Err(failure) => bury(&shared, &run, DeadReason::Malformed, failure).await,
    }
}

/// Goes on with what a journal says is undone.
async fn go_on_undoing(
    shared: Arc<Shared>,
    run: Run,
    slot: SlotGuard,
    event: Event,
    batch: Vec<Event>,
    journal: Vec<Entry>,
    mail: Vec<Message>,
) {
    let machine = match crate::undo::machine(&shared, &run, &Arc::new(event), &batch.into(), journal) {
        Ok(machine) => machine,
        Err(failure) => return bury(&shared, &run, DeadReason::Undo, failure).await,
    };
    machine.take_mail(mail);
    let (id, epoch, workflow) = (run.id, run.epoch, run.workflow);
    let driver =
        Driver { shared, machine, run: id, epoch, workflow, slot: Some(slot), told_of_stranger: false };
    driver.drive().await;
}
