//! One schedule: its cursor, its ticks, its runs.

use std::any::Any;

use bowline_model::{Run, RunId, RunState};
use bowline_store::{Accepted, CursorMove, RunFilter, StoreError, StoreErrorKind, store::RUNS_PAGE_MAX};
use jiff::Timestamp;

use super::{CURSOR_AHEAD_MAX, CancelRun, LATE_MAX, Overlap, Scheduled, TICK_DEDUPE_FOR, Tick, due};
use crate::{
    Intake, TriggerBoard, TriggerKind, VerifiedEvent,
    trigger::{TriggerLine, panic_text, retry_wait},
};

/// One schedule on this node.
pub(super) struct Ticker {
    scheduled: Scheduled,
    /// Its cursor's name, its events' source, its runs' key.
    source: String,
    line: TriggerLine,
    /// The cursor, if it is known.
    last: Option<Cursor>,
    /// Since when this process has watched without a gap.
    watched_since: Timestamp,
    /// When it was to act next.
    planned: Timestamp,
    /// Whether runs may be open that a newer one replaces.
    has_old: bool,
}

/// The last tick that was dealt with, as the store has it: `2026-06-01T14:00:00Z 0 * * * * in UTC`.
#[derive(Debug, Clone)]
struct Cursor {
    tick: Timestamp,
    text: String,
    /// It is a tick of an earlier build's times.
    is_of_other_times: bool,
}

impl Cursor {
    /// `None`: it is no cursor. One without times was written before they were.
    fn read(text: String, times: &str) -> Option<Self> {
        let (tick, known) = text.split_once(' ').map_or((&*text, None), |(tick, known)| (tick, Some(known)));
        let tick = tick.parse().ok()?;
        Some(Self { tick, is_of_other_times: known.is_some_and(|known| known != times), text })
    }
}

/// Why a schedule did not get on.
enum Setback {
    /// Another node moved the cursor.
    Overtaken,
    /// The store does not answer, or holds what it should not.
    Failed(String),
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Conflict => Self::Overtaken,
            StoreErrorKind::Full
            | StoreErrorKind::Busy
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Stale
            | StoreErrorKind::Overtaken
            | StoreErrorKind::NotFound
            | StoreErrorKind::Locked
            | StoreErrorKind::Incompatible
            | StoreErrorKind::Limit => Self::Failed(error.to_string()),
        }
    }
}

impl Ticker {
    pub(super) fn new(scheduled: Scheduled, board: &TriggerBoard, now: Timestamp) -> Self {
        Self {
            source: TriggerKind::Schedule.source(&scheduled.name),
            line: board.add(TriggerKind::Schedule, &scheduled.name),
            last: None,
            watched_since: now,
            planned: now,
            has_old: scheduled.plan.overlap() == Overlap::CancelOld,
            scheduled,
        }
    }

    /// Whether its last tick lies so far ahead that it is not believed: the clock was wrong when it came.
    pub(super) fn is_astray(&self, now: Timestamp) -> bool {
        self.last.as_ref().is_some_and(|last| is_ahead(last.tick, now))
    }

    /// Does what is due, and says when to act next.
    pub(super) async fn act(&mut self, intake: &Intake, cancel: &CancelRun) -> Timestamp {
        let _at_work = self.line.at_work();
        let now = intake.clock().now();
        if now.duration_since(self.planned) > jiff::SignedDuration::try_from(LATE_MAX).expect("short") {
            // Nobody watched: the machine slept, or its clock was set.
            self.watched_since = now;
        }
        let next = match self.catch_up_to(now, intake, cancel).await {
            Ok(last) => {
                let next = self.scheduled.plan.next(last);
                self.line.next(next);
                next.unwrap_or(Timestamp::MAX)
            }
            Err(Setback::Overtaken) => {
                self.last = None;
                now
            }
            Err(Setback::Failed(error)) => self.failed(&error, now),
        };
        self.planned = next;
        next
    }

    /// Says when to try again.
    fn failed(&mut self, error: &str, now: Timestamp) -> Timestamp {
        self.last = None;
        let wait = retry_wait(self.line.failed(now, &error));
        tracing::warn!(
            schedule = self.scheduled.name,
            error,
            "a tick could not be written; tried again in {} s",
            wait.as_secs()
        );
        now.checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Says when to act again after a panic.
    pub(super) fn panicked(&mut self, panic: &(dyn Any + Send), now: Timestamp) -> Timestamp {
        self.planned = self.failed(&format!("it panicked: {}", panic_text(panic)), now);
        self.planned
    }

    /// Starts what is due by now; answers where the cursor is then.
    async fn catch_up_to(
        &mut self,
        now: Timestamp,
        intake: &Intake,
        cancel: &CancelRun,
    ) -> Result<Timestamp, Setback> {
        let known = self.last.take().filter(|last| !is_ahead(last.tick, now));
        let mut last = match known {
            Some(last) => last,
            None => self.find_cursor(now, intake).await?,
        };
        let due = match last.is_of_other_times {
            false => due(&self.scheduled.plan, last.tick, self.watched_since, now),
            true => due(&self.scheduled.plan.after_a_change(), last.tick, self.watched_since, now),
        };
        let mut started = 0;
        for tick in due.ticks.iter().copied() {
            let (count, moved) = self.tick(tick, last, now, intake).await?;
            (started, last) = (started + count, moved);
        }
        if due.cursor > last.tick {
            last = self.move_cursor(last, due.cursor, intake).await?;
        }
        if last.is_of_other_times {
            // Nothing was due: from now on what is missed is missed of these times.
            last = self.move_cursor(last, now, intake).await?;
        }
        let at = last.tick;
        self.last = Some(last);
        if self.has_old {
            self.cancel_old(intake, cancel).await?;
        }
        let left_out = due.ticks.len() as u64 - started + due.skipped;
        if left_out > 0 {
            tracing::info!(
                schedule = self.scheduled.name,
                ticks = left_out,
                "left out, as the schedule says"
            );
        }
        if left_out + started > 0 {
            self.line.acted(now, started, left_out);
        } else {
            self.line.well();
        }
        Ok(at)
    }

    /// Where the cursor is. A schedule that is new begins now.
    async fn find_cursor(&self, now: Timestamp, intake: &Intake) -> Result<Cursor, Setback> {
        let Some(text) = intake.cursor(&self.source).await? else {
            return self.set_cursor(None, now, intake).await;
        };
        let Some(last) = Cursor::read(text.clone(), self.scheduled.plan.describe()) else {
            let hint = "it was written by something else; remove it from the store";
            return Err(Setback::Failed(format!(
                "the cursor {} is {text:?}, which is no time: {hint}",
                self.source
            )));
        };
        if is_ahead(last.tick, now) {
            tracing::warn!(
                schedule = self.scheduled.name,
                last = %last.tick,
                "the last tick is {} h ahead of this machine's clock: it is not believed, and ticks go on from now",
                last.tick.duration_since(now).as_hours()
            );
            return self.set_cursor(Some(text), now, intake).await;
        }
        if last.is_of_other_times {
            let (schedule, times) = (&self.scheduled.name, self.scheduled.plan.describe());
            tracing::info!(schedule, times, "its times changed: at most one run for what was missed");
        }
        Ok(last)
    }

    async fn move_cursor(&self, from: Cursor, to: Timestamp, intake: &Intake) -> Result<Cursor, Setback> {
        self.set_cursor(Some(from.text), to, intake).await
    }

    async fn set_cursor(
        &self,
        from: Option<String>,
        to: Timestamp,
        intake: &Intake,
    ) -> Result<Cursor, Setback> {
        let (cursor, moved) = self.moved(from, to);
        intake.accept_all(vec![], Some(cursor)).await?;
        Ok(moved)
    }

    fn moved(&self, from: Option<String>, tick: Timestamp) -> (CursorMove, Cursor) {
        let text = format!("{tick} {}", self.scheduled.plan.describe());
        let cursor = CursorMove { name: self.source.clone(), from, to: text.clone() };
        (cursor, Cursor { tick, text, is_of_other_times: false })
    }

    /// Starts one tick, or leaves it out; answers how many events that were, one or none, and where the cursor is then.
    async fn tick(
        &mut self,
        tick: Timestamp,
        last: Cursor,
        now: Timestamp,
        intake: &Intake,
    ) -> Result<(u64, Cursor), Setback> {
        match self.scheduled.plan.overlap() {
            Overlap::Queue => {}
            Overlap::CancelOld => self.has_old = true,
            Overlap::Skip => {
                if !self.open_runs(intake).await?.is_empty() {
                    return Ok((0, self.move_cursor(last, tick, intake).await?));
                }
            }
        }
        let (cursor, moved) = self.moved(Some(last.text), tick);
        let begun = vec![(self.event(tick, now, intake)?, vec![self.scheduled.workflow.clone()])];
        let receipts = intake.accept_all(begun, Some(cursor)).await?;
        let started = match receipts.first().map(|receipt| &receipt.accepted) {
            Some(Accepted::New { .. }) => 1,
            Some(Accepted::Duplicate { .. }) | None => 0,
        };
        Ok((started, moved))
    }

    fn event(&self, at: Timestamp, now: Timestamp, intake: &Intake) -> Result<VerifiedEvent, Setback> {
        let tick = Tick { schedule: self.scheduled.name.clone(), at };
        let body = serde_json::to_vec(&tick).expect("a text and a time are JSON");
        let id = Some(at.to_string());
        let name = &self.scheduled.name;
        let event =
            VerifiedEvent::from_program(self.source.clone(), name, id, body.into(), now, TICK_DEDUPE_FOR)
                .map_err(|rejection| Setback::Failed(rejection.to_string()))?
                .run_key(self.source.clone());
        Ok(match self.scheduled.plan.begin(at, intake.clock().random()) {
            Some(begin) => event.runs_not_before(begin),
            None => event,
        })
    }

    /// The schedule's runs that have not ended, the newest first.
    async fn open_runs(&self, intake: &Intake) -> Result<Vec<Run>, Setback> {
        let mut filter = RunFilter {
            states: vec![RunState::Queued, RunState::Running, RunState::Waiting],
            workflow: Some(self.scheduled.workflow.clone()),
            limit: RUNS_PAGE_MAX,
            ..RunFilter::default()
        };
        let mut open = vec![];
        loop {
            let page = intake.store().runs(filter.clone()).await?;
            filter.before = page.last().map(|run| run.id);
            let is_last = page.len() < RUNS_PAGE_MAX;
            open.extend(page.into_iter().filter(|run| run.key.as_deref() == Some(&*self.source)));
            if is_last {
                return Ok(open);
            }
        }
    }

    /// Cancels all but the newest. Its run waits for that: they share a key.
    async fn cancel_old(&mut self, intake: &Intake, cancel: &CancelRun) -> Result<(), Setback> {
        let open = self.open_runs(intake).await?;
        let Some((newest, old)) = open.split_first() else {
            self.has_old = false;
            return Ok(());
        };
        for run in old {
            cancel(run.id, replaced_by(newest.id, &self.scheduled.name))
                .await
                .map_err(|error| Setback::Failed(format!("run {} cannot be cancelled: {error}", run.id)))?;
        }
        self.has_old = false;
        Ok(())
    }
}

/// Whether a last tick lies too far ahead to be believed.
fn is_ahead(last: Timestamp, now: Timestamp) -> bool {
    let ahead = last.duration_since(now);
    ahead.is_positive() && ahead.unsigned_abs() > CURSOR_AHEAD_MAX
}

fn replaced_by(newest: RunId, schedule: &str) -> String {
    format!("cancelled by the schedule \"{schedule}\": run {newest} of its next tick replaces it")
}
