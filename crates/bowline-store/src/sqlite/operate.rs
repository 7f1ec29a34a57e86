//! An operator's write to a run that nobody drives.

use bowline_model::{Ruled, RunFlow, RunId, RunState};
use rusqlite::params;

use super::{
    also, child,
    fault::{Fault, refused},
    gather, journal, line, mail,
    progress::{Standing, Step, ended, standing},
    queue::{News, Write},
    rate,
    row::{RUN_COLUMNS, nanos},
    transaction::Tx,
};
use crate::{Operation, StoreError, StoreErrorKind};

impl Write for Operation {
    type Out = ();

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let is = match standing(tx, self.run)? {
            Some(is) => {
                self.check(&is)?;
                self.check_unique(tx, &is)?;
                is
            }
            None => {
                let is = ended(tx, self.run)?.ok_or_else(|| no_such_run(self.run))?;
                self.check(&is)?;
                reopen(tx, self.run, is.home)?;
                is
            }
        };
        journal::append(tx, self.run, is.home, &self.entries)?;
        let journal_len = is.journal_len + journal::len(&self.entries);
        let step = Step { run: self.run, journal_len, is_progress: false, now: self.now };
        child::tell_cancelled(tx, self.run, &self.entries, self.now)?;
        match self.to {
            RunState::Queued => {
                // As if it had got on: an operator's decision clears the counts of crashes.
                Step { is_progress: true, ..step }.release(tx)?;
                forget_reason(tx, self.run)?;
                step.tell_undoing(tx, &self.entries)?;
                self.begin_by_its_rules(tx, &is)?;
            }
            RunState::Waiting => {
                step.wait(tx, None)?;
                mail::wake_if_unseen(tx, self.run, None, self.now)?;
            }
            RunState::Completed => step.end(tx, self.to, is.home)?,
            RunState::Cancelled => {
                step.tell_why(tx, &self.entries)?;
                step.end(tx, self.to, is.home)?;
            }
            RunState::DeadLettered => stay_dead(tx, &step)?,
            RunState::Running => unreachable!("the check refuses it"),
        }
        if !self.to.is_open() {
            also::ended(tx, self.run, self.to, is.home, self.now)?;
            line::pass_on(tx, is.key.as_deref(), self.now)?;
        }
        tx.moved(self.expect, self.to);
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        journal::bytes(&self.entries)
    }

    fn committed(&mut self, (): &(), news: &mut News<'_>) {
        news.fresh.remove(self.run);
        if !self.to.is_open() {
            news.ended.push(self.run);
        }
    }
}

impl Operation {
    fn check(&self, is: &Standing) -> Result<(), Fault> {
        if self.to == RunState::Running {
            let message = format!("run {} becomes running by a claim only; queue it", self.run);
            return Err(refused(StoreErrorKind::Conflict, message));
        }
        if is.state != self.expect || is.journal_len != self.expect_journal_len {
            let message = format!(
                "run {} is {} with {} journal entries, not {} with {}; look at it again",
                self.run, is.state, is.journal_len, self.expect, self.expect_journal_len
            );
            return Err(refused(StoreErrorKind::Conflict, message));
        }
        journal::check(self.run, &self.entries, is.journal_len)
    }
}

impl Operation {
    /// It is queued: now, or when its turn and its pace let it.
    fn begin_by_its_rules(&self, tx: &Tx<'_>, is: &Standing) -> Result<(), Fault> {
        let key = match &self.ruled {
            Some(ruled) => {
                set_rules(tx, self.run, ruled)?;
                rate::let_go(tx, self.run.0, self.now)?;
                if is.key != ruled.key {
                    line::pass_on(tx, is.key.as_deref(), self.now)?;
                }
                ruled.key.as_deref()
            }
            None => is.key.as_deref(),
        };
        if !line::is_waited_for(tx, key, self.run)? {
            line::wait_in_line(tx, key, self.run.0, self.now)?;
        }
        Ok(())
    }

    /// A dead letter that is opened again must not be open beside another one of its unique key.
    fn check_unique(&self, tx: &Tx<'_>, is: &Standing) -> Result<(), Fault> {
        if is.state.is_open() || !self.to.is_open() {
            return Ok(());
        }
        let open = match &self.ruled {
            Some(ruled) => gather::open_of_unique(tx, ruled.flow.unique.as_deref())?,
            None => gather::open_beside(tx, self.run)?,
        };
        let Some(open) = open else { return Ok(()) };
        let message = format!(
            "run {} has the unique key of run {open}, which is open; wait for its end, or cancel one of them",
            self.run
        );
        Err(refused(StoreErrorKind::Conflict, message))
    }
}

pub(super) fn no_such_run(run: RunId) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotFound,
        format!("no run {run} is stored; it may be older than the retention"),
    )
}

/// What the rules say of a run that has not begun becomes its own; it gathers no more.
fn set_rules(tx: &Tx<'_>, run: RunId, ruled: &Ruled) -> rusqlite::Result<()> {
    let RunFlow { line, unique, rate, gather: _ } = &ruled.flow;
    tx.conn
        .prepare_cached(
            "UPDATE run SET key = ?2, together_max = ?3, dead_blocks = ?4, unique_key = ?5, rate = ?6, rate_every = ?7 \
             WHERE id = ?1",
        )?
        .execute(params![
            run.0,
            ruled.key,
            line.together_max.max(1),
            line::dead_blocks(*line),
            unique,
            rate.as_ref().map(|rate| &rate.bucket),
            rate.as_ref().map(rate::every),
        ])?;
    Ok(())
}

fn forget_reason(tx: &Tx<'_>, run: RunId) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE run SET dead_reason = NULL, summary = NULL WHERE id = ?1")?
        .execute([run.0])?;
    Ok(())
}

/// The reason of a dead letter stays.
fn stay_dead(tx: &Tx<'_>, step: &Step) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE run SET state = 5, due = NULL, ready = NULL, journal_len = ?2, changed_at = ?3 WHERE id = ?1",
        )?
        .execute((step.run.0, step.journal_len, nanos(step.now)))?;
    Ok(())
}

/// An ended run's row comes back to the hot table.
fn reopen(tx: &Tx<'_>, run: RunId, no: i64) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(&format!(
            "INSERT INTO run ({RUN_COLUMNS}, home) SELECT {RUN_COLUMNS}, ?2 FROM past_{no} WHERE id = ?1"
        ))?
        .execute((run.0, no))?;
    tx.conn.prepare_cached(&format!("DELETE FROM past_{no} WHERE id = ?1"))?.execute([run.0])?;
    Ok(())
}
