//! Progress of a run, by the owner of its epoch.

use bowline_model::{DeadReason, Entry, EntryKind, Epoch, Failure, RunId, RunState, run::SUMMARY_BYTES_MAX};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{
    also, ask, child,
    fault::{Fault, refused, unreadable},
    journal, line, mail, period,
    queue::{News, Write},
    row::{RUN_COLUMNS, nanos, time},
    transaction::Tx,
};
use crate::{Answered, Ask, RunWrite, StoreError, StoreErrorKind, Transition, Written};

/// What decides whether a write to a run is allowed.
pub(super) struct Standing {
    pub(super) state: RunState,
    pub(super) epoch: Epoch,
    pub(super) journal_len: i64,
    pub(super) changed_at: Timestamp,
    /// What it shares with others that go one at a time.
    pub(super) key: Option<String>,
    /// The period that holds its journal.
    pub(super) home: i64,
}

impl Write for RunWrite {
    type Out = Written;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Written, Fault> {
        let standing = standing(tx, self.run)?;
        let Some(held) =
            standing.as_ref().filter(|is| is.state == RunState::Running && is.epoch == self.epoch)
        else {
            return self.repeated_transition(tx, standing);
        };
        if self.is_repeated_append(tx, held)? {
            return self.answered_before(tx, held.state, held.home);
        }
        journal::check(self.run, &self.entries, held.journal_len)?;
        also::check(tx, self, held.journal_len)?;
        let mut written = Written::new(RunState::Running);
        if let Some(ask) = &self.also.ask {
            let answer = ask::answer(tx, self, ask)?;
            let failed = self.record(&answer);
            written.answer = Some(answer);
            if failed {
                return Ok(written);
            }
        }
        journal::append(tx, self.run, held.home, &self.entries)?;
        written.started = also::apply(tx, self, held.home)?;
        let journal_len = held.journal_len + journal::len(&self.entries);
        let is_progress = self.entries.iter().any(journal::is_progress);
        let step = Step { run: self.run, journal_len, is_progress, now: self.now };
        step.tell_undoing(tx, &self.entries)?;
        child::tell_cancelled(tx, self.run, &self.entries, self.now)?;
        let Some(transition) = &self.transition else {
            if !self.entries.is_empty() {
                step.grow(tx)?;
            }
            return Ok(written);
        };
        let target = target(transition);
        match transition {
            Transition::Wait { due, seen } => {
                step.wait(tx, *due)?;
                mail::wake_if_unseen(tx, self.run, *seen, self.now)?;
            }
            Transition::Release => step.release(tx)?,
            Transition::Complete => step.end(tx, target, held.home)?,
            Transition::Cancel => {
                step.tell_why(tx, &self.entries)?;
                step.end(tx, target, held.home)?;
            }
            Transition::DeadLetter { reason, summary } => step.dead_letter(tx, *reason, summary)?,
        }
        if !target.is_open() {
            also::ended(tx, self.run, target, held.home, self.now)?;
            line::pass_on(tx, held.key.as_deref(), self.now)?;
        }
        tx.moved(RunState::Running, target);
        written.state = target;
        Ok(written)
    }

    fn payload_bytes(&self) -> usize {
        journal::bytes(&self.entries) + also::bytes(&self.also)
    }

    fn is_alone(&self) -> bool {
        matches!(self.also.ask, Some(Ask::Transaction(_)))
    }

    fn failed(&self, failure: Failure) -> Result<Written, StoreError> {
        let mut written = Written::new(RunState::Running);
        written.answer = Some(Answered::Failed(failure));
        Ok(written)
    }

    fn committed(&mut self, written: &Written, news: &mut News<'_>) {
        news.fresh.remove(self.run);
        if !written.state.is_open() {
            news.ended.push(self.run);
        }
    }
}

impl RunWrite {
    /// Puts the store's answer into the last entry. Whether there is none, as the user's SQL failed.
    fn record(&mut self, answer: &Answered) -> bool {
        match answer {
            Answered::Value(value) => {
                if let Some(last) = self.entries.last_mut() {
                    last.payload = Some(value.clone());
                }
                false
            }
            Answered::Failed(_) => true,
        }
    }

    /// Whether its entries are in the journal, but for those that it removed itself. What the store answered is not the
    /// caller's to know.
    fn is_recorded(&self, tx: &mut Tx<'_>, home: i64) -> Result<bool, Fault> {
        let stays = |entry: &&Entry| !self.also.compact.contains(&entry.seq);
        let answered = self.also.ask.as_ref().and_then(|_| self.entries.last()).map(|last| last.seq);
        journal::holds(tx, self.run, home, self.entries.iter().filter(stays), answered)
    }

    /// What the first copy of this write was answered.
    fn answered_before(&self, tx: &mut Tx<'_>, state: RunState, home: i64) -> Result<Written, Fault> {
        let mut written = Written::new(state);
        written.started = child::started_before(tx, self.run, &self.also.starts)?;
        if let (Some(_), Some(last)) = (&self.also.ask, self.entries.last()) {
            written.answer = journal::payload(tx, self.run, home, last.seq)?.map(Answered::Value);
        }
        Ok(written)
    }

    /// Whether these entries were appended before: a write whose answer was lost comes again.
    fn is_repeated_append(&self, tx: &mut Tx<'_>, held: &Standing) -> Result<bool, Fault> {
        let is_below = |first: &bowline_model::Entry| first.seq.0 <= held.journal_len;
        if self.transition.is_some() || !self.entries.first().is_some_and(is_below) {
            return Ok(false);
        }
        self.is_recorded(tx, held.home)
    }

    /// The answer to a write under an epoch that is over: `Stale`, unless it is this very write that ended it.
    fn repeated_transition(&self, tx: &mut Tx<'_>, standing: Option<Standing>) -> Result<Written, Fault> {
        let stale = || {
            let message =
                format!("run {} is not running under epoch {}; another owner has it", self.run, self.epoch);
            refused(StoreErrorKind::Stale, message)
        };
        let target = target(self.transition.as_ref().ok_or_else(stale)?);
        let standing = match standing {
            Some(standing) => standing,
            None => ended(tx, self.run)?.ok_or_else(stale)?,
        };
        let is_same = standing.epoch == self.epoch
            && standing.state == target
            && nanos(standing.changed_at) == nanos(self.now);
        if is_same && self.is_recorded(tx, standing.home)? {
            return self.answered_before(tx, target, standing.home);
        }
        Err(stale())
    }
}

fn target(transition: &Transition) -> RunState {
    match transition {
        Transition::Wait { .. } => RunState::Waiting,
        Transition::Release => RunState::Queued,
        Transition::Complete => RunState::Completed,
        Transition::DeadLetter { .. } => RunState::DeadLettered,
        Transition::Cancel => RunState::Cancelled,
    }
}

/// How a run in the hot table stands.
pub(super) fn standing(tx: &Tx<'_>, run: RunId) -> Result<Option<Standing>, Fault> {
    read_standing(tx, "SELECT state, epoch, journal_len, changed_at, home, key FROM run WHERE id = ?1", run)
}

/// How a run stands that has ended.
pub(super) fn ended(tx: &Tx<'_>, run: RunId) -> Result<Option<Standing>, Fault> {
    let Some(no) = period::holding_past(tx.conn, run.0)? else { return Ok(None) };
    let query =
        format!("SELECT state, epoch, journal_len, changed_at, {no}, key FROM past_{no} WHERE id = ?1");
    read_standing(tx, &query, run)
}

fn read_standing(tx: &Tx<'_>, query: &str, run: RunId) -> Result<Option<Standing>, Fault> {
    let row: Option<(i64, i64, i64, i64, i64, Option<String>)> =
        tx.conn.prepare_cached(query)?.query_row([run.0], |row| row.try_into()).optional()?;
    row.map(|(state, epoch, journal_len, changed_at, home, key)| {
        let state =
            RunState::from_code(state).ok_or_else(|| unreadable(format!("run {run} in state {state}")))?;
        Ok(Standing { state, epoch: Epoch(epoch), journal_len, changed_at: time(changed_at), key, home })
    })
    .transpose()
}

/// What happens to a run's row, its journal having grown.
pub(super) struct Step {
    pub(super) run: RunId,
    pub(super) journal_len: i64,
    /// Clears the counts of crashes.
    pub(super) is_progress: bool,
    pub(super) now: Timestamp,
}

/// With what the summary of a run begins that is being undone.
const UNDOING: &str = "being undone: ";

/// Crashes are forgotten when the run got on since.
const CRASHES: &str = "crashes = iif(?4, 0, crashes), crashes_alone = iif(?4, 0, crashes_alone)";

impl Step {
    fn grow(&self, tx: &Tx<'_>) -> rusqlite::Result<()> {
        tx.conn
            .prepare_cached(
                "UPDATE run SET journal_len = ?2, crashes = iif(?3, 0, crashes), \
                 crashes_alone = iif(?3, 0, crashes_alone) WHERE id = ?1",
            )?
            .execute((self.run.0, self.journal_len, self.is_progress))?;
        Ok(())
    }

    pub(super) fn wait(&self, tx: &Tx<'_>, due: Option<Timestamp>) -> rusqlite::Result<()> {
        tx.conn
            .prepare_cached(&format!(
                "UPDATE run SET state = 2, due = ?5, ready = ?6, unsure_since = NULL, journal_len = ?2, \
                 changed_at = ?3, {CRASHES} WHERE id = ?1"
            ))?
            .execute(params![
                self.run.0,
                self.journal_len,
                nanos(self.now),
                self.is_progress,
                due.map(nanos),
                due.map(|_| 0),
            ])?;
        Ok(())
    }

    pub(super) fn release(&self, tx: &Tx<'_>) -> rusqlite::Result<()> {
        tx.conn
            .prepare_cached(&format!(
                "UPDATE run SET state = 0, due = NULL, ready = 1, unsure_since = NULL, journal_len = ?2, \
                 changed_at = ?3, {CRASHES} WHERE id = ?1"
            ))?
            .execute((self.run.0, self.journal_len, nanos(self.now), self.is_progress))?;
        Ok(())
    }

    fn dead_letter(&self, tx: &Tx<'_>, reason: DeadReason, summary: &str) -> rusqlite::Result<()> {
        let summary = &summary[..summary.floor_char_boundary(SUMMARY_BYTES_MAX)];
        tx.conn
            .prepare_cached(&format!(
                "UPDATE run SET state = 5, due = NULL, ready = NULL, dead_reason = ?5, summary = ?6, \
                 journal_len = ?2, changed_at = ?3, {CRASHES} WHERE id = ?1"
            ))?
            .execute((
                self.run.0,
                self.journal_len,
                nanos(self.now),
                self.is_progress,
                reason.code(),
                summary,
            ))?;
        Ok(())
    }

    /// The reason why the run is cancelled becomes its summary, unless it has one.
    pub(super) fn tell_why(&self, tx: &Tx<'_>, entries: &[Entry]) -> rusqlite::Result<()> {
        let why = entries.iter().find(|entry| entry.kind == EntryKind::Cancelled);
        let Some(note) = why.and_then(|entry| entry.meta.note.as_deref()) else { return Ok(()) };
        tx.conn
            .prepare_cached(
                "UPDATE run SET summary = iif(summary IS NULL OR summary LIKE ?3 || '%', ?2, summary) WHERE id = ?1",
            )?
            .execute((self.run.0, &note[..note.floor_char_boundary(SUMMARY_BYTES_MAX)], UNDOING))?;
        Ok(())
    }

    /// While a run is undone, its summary says so.
    pub(super) fn tell_undoing(&self, tx: &Tx<'_>, entries: &[Entry]) -> rusqlite::Result<()> {
        let why = entries.iter().find(|entry| entry.kind == EntryKind::Undoing);
        let Some(note) = why.map(|entry| entry.meta.note.as_deref().unwrap_or_default()) else {
            return Ok(());
        };
        let summary = format!("{UNDOING}{note}");
        tx.conn
            .prepare_cached("UPDATE run SET summary = ?2 WHERE id = ?1")?
            .execute((self.run.0, &summary[..summary.floor_char_boundary(SUMMARY_BYTES_MAX)]))?;
        Ok(())
    }

    /// The run's row leaves the hot table for the period that holds its journal.
    pub(super) fn end(&self, tx: &Tx<'_>, state: RunState, home: i64) -> rusqlite::Result<()> {
        tx.conn
            .prepare_cached(&format!(
                "INSERT INTO past_{home} ({RUN_COLUMNS}) SELECT id, event, workflow, key, priority, parent, \
                 replay_of, build, key_seed, created_at, ?5, NULL, owner, epoch, iif(?4, 0, crashes), \
                 iif(?4, 0, crashes_alone), ?2, claimed_at, NULL, ?3, dead_reason, summary FROM run WHERE id = ?1"
            ))?
            .execute((self.run.0, self.journal_len, nanos(self.now), self.is_progress, state.code()))?;
        tx.conn.prepare_cached("DELETE FROM run WHERE id = ?1")?.execute([self.run.0])?;
        Ok(())
    }
}
