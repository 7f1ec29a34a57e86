//! Drives one run: does what its machine says, in the store and in time.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bowline_model::{
    BoxFuture, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Epoch, Event, Failure, Run, RunId, Seq,
    WorkflowName, run::SUMMARY_BYTES_MAX,
};
use bowline_store::{Answered, RunWrite, Store, StoreError, StoreErrorKind, Transition, Written};
use futures_util::future::{Either, select};
use jiff::Timestamp;
use std::pin::pin;

use crate::{
    Cancel,
    board::Unwritten,
    cancel::engine_of,
    engine::{Resume, Shared, Stopping},
    machine::{Decided, End, Machine, Next},
    slots::SlotGuard,
};

/// First wait before a failed write is tried again; doubles to [`WRITE_RETRY_MAX`].
const WRITE_RETRY_MIN: Duration = Duration::from_millis(100);
const WRITE_RETRY_MAX: Duration = Duration::from_secs(5);

/// Makes the machine that undoes what a journal says was done.
type BeginUndone = fn(&Shared, &Run, &Arc<Event>, &Arc<[Event]>, Vec<Entry>) -> Result<Machine, Failure>;

/// The run is not this node's any more, or cannot be written: drop it, write nothing more.
pub(crate) struct Lost;

/// Why nothing was written.
pub(crate) enum Unwritable {
    /// See [`Lost`].
    Lost,
    /// A message came first: read it, and decide again.
    Overtaken,
}

/// One run on this node.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) machine: Machine,
    pub(crate) run: RunId,
    pub(crate) epoch: Epoch,
    pub(crate) workflow: WorkflowName,
    pub(crate) slot: Option<SlotGuard>,
    pub(crate) told_of_stranger: bool,
}

impl Driver {
    /// Drives the run until it ends, is evicted, or is not ours any more.
    pub(crate) async fn drive(mut self) {
        loop {
            // Before the code is polled: from here on no effect may start.
            let stopping = self.shared.stopping();
            match stopping {
                Stopping::No => {}
                Stopping::Drain => self.machine.drain(),
                Stopping::Abandon => return self.abandon().await,
            }
            if let Some(reason) = self.shared.cancels.requested(self.run) {
                if !self.cancel(&reason).await {
                    return;
                }
                continue;
            }
            if self.shared.mails.take(self.run) && self.read_mail().await.is_err() {
                return;
            }
            if let Some(reason) = self.machine.told_to_cancel() {
                if !self.cancel(&reason).await {
                    return;
                }
                continue;
            }
            match self.machine.next(self.shared.clock.now()) {
                Next::Idle { until } => self.idle(until, stopping).await,
                Next::Write(unwritten) => {
                    if self.write(unwritten, None).await.is_err() {
                        return;
                    }
                }
                Next::Decide(unwritten) => {
                    if self.decide(unwritten).await.is_err() {
                        return;
                    }
                }
                Next::Rest { unwritten, due } => {
                    if !self.rest(unwritten, due).await {
                        return;
                    }
                }
                Next::Release { unwritten } => {
                    let _ = self.write(unwritten, Some(Transition::Release)).await;
                    return;
                }
                Next::Undo { unwritten } => {
                    if !self.undo(unwritten).await {
                        return;
                    }
                }
                Next::Settled { unwritten } => {
                    if !self.undo_settled(unwritten).await {
                        return;
                    }
                }
                Next::Finish { unwritten, end } => return self.finish(unwritten, end).await,
            }
        }
    }

    /// Waits until the run is woken, `until` has come, or the shutdown is further than what was `seen` of it.
    async fn idle(&mut self, until: Option<Timestamp>, seen: Stopping) {
        if until.is_none() && !self.told_of_stranger && self.machine.waits_for_stranger() {
            self.told_of_stranger = true;
            tracing::info!("waits for something outside its steps: a restart would begin that wait anew");
        }
        if !self.machine.has_attempts() {
            // It waits for a stranger, or for what may be one: the code is kept, whatever else rests; the slot is not.
            self.slot = None;
        }
        let waker = self.machine.waker().clone();
        if waker.is_woken() {
            // Code that wakes itself without end shares the thread.
            tokio::task::yield_now().await;
        }
        let woken = pin!(poll_fn(|cx| waker.poll_woken(cx)));
        let timer = pin!(self.shared.sleep_until(until));
        let stopped = pin!(self.shared.stopping_after(seen));
        let cancelled = pin!(self.shared.cancels.until_requested(self.run));
        let mailed = pin!(self.shared.mails.until_news(self.run));
        let resumed = pin!(self.machine.until_resumed());
        let woken = select(woken, select(cancelled, select(mailed, resumed)));
        self.shared.activity.idle(select(woken, select(timer, stopped))).await;
        self.slot.get_or_insert_with(|| self.shared.slots.take(&self.workflow));
    }

    /// Every leaf waits for a time or a message: gives the slot back, and keeps the code in memory while there is room.
    /// Returns whether to go on.
    async fn rest(&mut self, unwritten: Unwritten, due: Option<Timestamp>) -> bool {
        // Before the write: the run may be claimed again as soon as that is committed.
        let kept = self.shared.keep(self.run, self.epoch, self.machine.journal_len());
        let seen = self.machine.mail_seen();
        let written = self.write(unwritten, Some(Transition::Wait { due, seen })).await;
        self.slot = None;
        if written.is_err() {
            self.shared.forget(self.run);
            return false;
        }
        // From here on a cancel finds it waiting on disk.
        self.shared.leave(self.run, self.epoch);
        if let Some(due) = due {
            self.shared.note_due(due);
        }
        let Some(resume) = kept else {
            tracing::debug!(run = %self.run, "evicted while waiting: many others are kept");
            return false;
        };
        let resumed = {
            let stopped = pin!(self.shared.stopping_after(Stopping::No));
            match self.shared.activity.idle(select(resume, stopped)).await {
                Either::Left((resumed, _)) => resumed,
                // Not claimed meanwhile: it waits on disk, nothing is left to do here.
                Either::Right(_) if self.shared.forget(self.run) => return false,
                Either::Right((_, resume)) => resume.await,
            }
        };
        // A sender that is gone means that the run was claimed elsewhere in between: what is kept here is outdated.
        let Ok(Resume { epoch, slot }) = resumed else { return false };
        self.epoch = epoch;
        self.slot = Some(slot);
        // Also if its code waits for none: the store holds a rest against what was seen.
        self.read_mail().await.is_ok()
    }

    /// Reads what came since it was last read. Nothing of the run goes on before.
    async fn read_mail(&mut self) -> Result<(), Lost> {
        let mut wait = WRITE_RETRY_MIN;
        loop {
            match self.shared.store.mail(self.run).await {
                Ok(mail) => {
                    self.machine.take_mail(mail);
                    return Ok(());
                }
                Err(error) if self.shared.stopping() == Stopping::Abandon || !error.is_retryable() => {
                    tracing::warn!(run = %self.run, %error, "messages cannot be read; the next start recovers the run");
                    return Err(Lost);
                }
                Err(error) => {
                    tracing::warn!(run = %self.run, %error, "messages cannot be read yet");
                    self.shared.pause(wait).await;
                    wait = (wait * 2).min(WRITE_RETRY_MAX);
                }
            }
        }
    }

    /// Writes what the store must decide, and tells the machine what came of it.
    async fn decide(&mut self, unwritten: Unwritten) -> Result<(), Lost> {
        let written = write_to_store(&self.shared, self.progress(unwritten, None)).await;
        let decided = match written {
            Ok(Written { answer: Some(Answered::Failed(failure)), .. }) => Decided::Failed(failure),
            Ok(Written { answer: Some(Answered::Value(value)), .. }) => Decided::Made(Some(value)),
            Ok(Written { answer: None, .. }) => Decided::Made(None),
            Err(Unwritable::Overtaken) => {
                self.read_mail().await?;
                Decided::Overtaken
            }
            Err(Unwritable::Lost) => return Err(Lost),
        };
        self.machine.decided(decided);
        Ok(())
    }

    async fn finish(&mut self, unwritten: Unwritten, end: End) {
        let transition = match &end {
            End::Completed | End::Continued => Transition::Complete,
            End::Dead { reason, summary } => {
                Transition::DeadLetter { reason: *reason, summary: summary.clone() }
            }
            End::Undone { .. } => Transition::Cancel,
        };
        if self.write(unwritten, Some(transition)).await.is_err() {
            return;
        }
        self.shared.passed_on(self.machine.run());
        match end {
            End::Completed => tracing::info!("run completed"),
            End::Continued => tracing::info!("run went on as another one"),
            End::Undone { why } => tracing::info!("run undone: {why}"),
            End::Dead { reason, summary } => {
                tracing::error!(%reason, "run became a dead letter: {summary}; see `show {}`", self.run);
            }
        }
    }

    /// Somebody ended the run: what is under way is dropped at once, what is recorded stays. If there is something to
    /// undo, the run goes on with that; says whether it does.
    async fn cancel(&mut self, reason: &str) -> bool {
        if self.machine.is_undoing() {
            self.shared.cancels.answer(self.run, Cancel::Undoing);
            return true;
        }
        if self.machine.may_need_undo() {
            let unwritten = self.machine.begin_undo(reason, None);
            return self.undo(unwritten).await;
        }
        let unwritten = self.machine.cancel(reason);
        if self.write(unwritten, Some(Transition::Cancel)).await.is_ok() {
            self.shared.passed_on(self.machine.run());
            self.shared.cancels.done(self.run);
            tracing::info!("run cancelled: {reason}");
        }
        false
    }

    /// From that write on the run is undone: it begins with what is unknown. Says whether the run is still driven.
    async fn undo(&mut self, unwritten: Unwritten) -> bool {
        if self.write(unwritten, None).await.is_err() {
            return false;
        }
        self.shared.cancels.answer(self.run, Cancel::Undoing);
        tracing::info!("run is undone");
        self.go_on_as(crate::undo::machine).await
    }

    /// What was unknown is settled: what the run did is undone.
    async fn undo_settled(&mut self, unwritten: Unwritten) -> bool {
        if !unwritten.is_empty() && self.write(unwritten, None).await.is_err() {
            return false;
        }
        if !self.outlive_children().await {
            return false;
        }
        self.go_on_as(crate::undo::undoing).await
    }

    /// Children began after the run: what they did is undone before what it did. Says whether none is left that will come
    /// to its end by itself, and the run is still driven.
    async fn outlive_children(&mut self) -> bool {
        loop {
            if self.shared.is_stopping() {
                let _ = self.write(Unwritten::default(), Some(Transition::Release)).await;
                return false;
            }
            self.shared.cancels.answer(self.run, Cancel::Undoing);
            let Ok(open) = self.read_again(|store, run| store.waited_for(run)).await else { return false };
            if open.is_empty() {
                self.slot.get_or_insert_with(|| self.shared.slots.take(&self.workflow));
                return true;
            }
            // They may need the slot to end.
            self.slot = None;
            self.cancel_children().await;
            if !self.rest(Unwritten::default(), None).await {
                return false;
            }
        }
    }

    /// The store has told them, and who is driven looks. Who is held back is ended here, if it can be.
    async fn cancel_children(&mut self) {
        let Some(node) = self.machine.run().owner else { return };
        let why = self.machine.undone_why();
        if let Err(error) = engine_of(&self.shared, node).cancel_below(self.run, &why).await {
            tracing::warn!(run = %self.run, %error, "a child could not be cancelled yet");
        }
    }

    async fn go_on_as(&mut self, begin: BeginUndone) -> bool {
        let Ok(journal) = self.read_journal().await else { return false };
        let machine = &self.machine;
        match begin(&self.shared, machine.run(), machine.event(), machine.batch(), journal) {
            Ok(machine) => {
                self.machine = machine;
                true
            }
            Err(failure) => {
                // It may have rested since it was claimed, and been claimed anew.
                let (epoch, journal_len) = (self.epoch, self.machine.journal_len());
                let run = Run { epoch, journal_len, ..self.machine.run().clone() };
                bury_begun(&self.shared, &run, DeadReason::Undo, failure, None).await;
                false
            }
        }
    }

    async fn read_journal(&mut self) -> Result<Vec<Entry>, Lost> {
        self.read_again(|store, run| store.journal(run)).await
    }

    /// Reads something of the run, again and again while the store cannot.
    async fn read_again<T>(
        &mut self,
        read: impl Fn(&dyn Store, RunId) -> BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, Lost> {
        let mut wait = WRITE_RETRY_MIN;
        loop {
            match read(&*self.shared.store, self.run).await {
                Ok(found) => return Ok(found),
                Err(error) if self.shared.stopping() == Stopping::Abandon || !error.is_retryable() => {
                    tracing::warn!(run = %self.run, %error, "the run cannot be read; the next start recovers it");
                    return Err(Lost);
                }
                Err(_) => {
                    self.shared.pause(wait).await;
                    wait = (wait * 2).min(WRITE_RETRY_MAX);
                }
            }
        }
    }

    /// The time to end well is over: notes what is under way and gives the run back.
    async fn abandon(&mut self) {
        let unwritten = self.machine.abandon("the process stopped while this attempt was under way");
        let _ = self.write(unwritten, Some(Transition::Release)).await;
    }

    /// Writes, again and again while the store cannot. Nothing of the run goes on meanwhile.
    async fn write(&mut self, unwritten: Unwritten, transition: Option<Transition>) -> Result<(), Lost> {
        let written = write_to_store(&self.shared, self.progress(unwritten, transition)).await;
        written.map(drop).map_err(|_| Lost)
    }

    fn progress(&self, unwritten: Unwritten, transition: Option<Transition>) -> RunWrite {
        let Unwritten { entries, also, urgent: _ } = unwritten;
        RunWrite { also, ..RunWrite::new(self.run, self.epoch, self.shared.clock.now(), entries, transition) }
    }
}

/// Whoever cancels the run looks at it again.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.leave(self.run, self.epoch);
    }
}

/// See [`Driver::write`].
pub(crate) async fn write_to_store(shared: &Shared, write: RunWrite) -> Result<Written, Unwritable> {
    let mut wait = WRITE_RETRY_MIN;
    loop {
        let error = match shared.store.write(write.clone()).await {
            Ok(written) => {
                // What it started may begin, whatever else the write was about.
                if !write.also.starts.is_empty() {
                    shared.poked.notify_one();
                }
                return Ok(written);
            }
            Err(error) => error,
        };
        if error.kind() == StoreErrorKind::Overtaken {
            return Err(Unwritable::Overtaken);
        }
        if error.kind() == StoreErrorKind::Stale {
            tracing::warn!(run = %write.run, "another node owns this run now; dropped here");
            return Err(Unwritable::Lost);
        }
        if !error.is_retryable() {
            bury_unwritable(shared, &write, &error).await;
            return Err(Unwritable::Lost);
        }
        if shared.stopping() == Stopping::Abandon {
            tracing::warn!(run = %write.run, %error, "not written before the stop; the next start recovers the run");
            return Err(Unwritable::Lost);
        }
        tracing::warn!(run = %write.run, %error, "write failed; tried again in {} ms", wait.as_millis());
        shared.pause(wait).await;
        wait = (wait * 2).min(WRITE_RETRY_MAX);
    }
}

/// What a run did can never be written: it becomes a dead letter, so that it does not do it again and again. If even
/// that is refused, it is given back.
async fn bury_unwritable(shared: &Shared, write: &RunWrite, error: &StoreError) {
    tracing::error!(run = %write.run, %error, "progress can never be written");
    let reason = if error.kind() == StoreErrorKind::Limit { DeadReason::Limit } else { DeadReason::Mismatch };
    let failure = Failure::unknown(format!("what the run did could not be recorded: {error}")).permanent();
    let run = match shared.store.run(write.run).await {
        Ok(Some(run)) if run.epoch == write.epoch => run,
        Ok(_) => return,
        Err(error) => {
            tracing::error!(run = %write.run, %error, "the run cannot be read; the next start recovers it");
            return;
        }
    };
    let transition = Some(Transition::Release);
    let release = RunWrite::new(write.run, write.epoch, write.now, vec![], transition);
    // What it did since it was claimed is known to nobody now.
    let (summary, entry) = dead_letter(shared, &run, reason, failure, run.unsure_since);
    let transition = Some(Transition::DeadLetter { reason, summary });
    let dead = RunWrite::new(write.run, write.epoch, write.now, vec![entry], transition);
    match shared.store.write(dead).await {
        Ok(_) => shared.passed_on(&run),
        Err(_) => {
            let _ = shared.store.write(release).await;
        }
    }
}

/// Gives a claimed run back unchanged.
pub(crate) async fn give_back(shared: &Shared, run: &Run) {
    let transition = Some(Transition::Release);
    let write = RunWrite::new(run.id, run.epoch, shared.clock.now(), vec![], transition);
    let _ = write_to_store(shared, write).await;
}

/// Makes a claimed run a dead letter without running its code.
pub(crate) async fn bury(shared: &Shared, run: &Run, reason: DeadReason, failure: Failure) {
    bury_begun(shared, run, reason, failure, run.unsure_since.filter(|_| run.crashes > 0)).await;
}

/// As [`bury`], where the code may have sent something since then.
pub(crate) async fn bury_begun(
    shared: &Shared,
    run: &Run,
    reason: DeadReason,
    failure: Failure,
    in_flight_since: Option<Timestamp>,
) {
    let (summary, entry) = dead_letter(shared, run, reason, failure, in_flight_since);
    tracing::error!(run = %run.id, workflow = %run.workflow, %reason, "run became a dead letter: {summary}");
    let transition = Some(Transition::DeadLetter { reason, summary });
    let write = RunWrite::new(run.id, run.epoch, entry.at, vec![entry], transition);
    if write_to_store(shared, write).await.is_ok() {
        shared.passed_on(run);
    }
}

/// The last entry of a run whose code is not asked, and the summary of it.
fn dead_letter(
    shared: &Shared,
    run: &Run,
    reason: DeadReason,
    failure: Failure,
    in_flight_since: Option<Timestamp>,
) -> (String, Entry) {
    let mut summary = failure.to_string();
    summary.truncate(summary.floor_char_boundary(SUMMARY_BYTES_MAX));
    let entry = Entry {
        seq: Seq(run.journal_len + 1),
        kind: EntryKind::DeadLettered,
        key: EntryKey::run(),
        at: shared.clock.now(),
        build: shared.build.clone(),
        meta: EntryMeta {
            failure: Some(failure),
            note: Some(reason.as_str().to_owned()),
            // Which steps were in flight is not known here: the code is not asked.
            unknown_since: in_flight_since,
            ..EntryMeta::default()
        },
        payload: None,
    };
    (summary, entry)
}
