//! The one writer thread.
//!
//! It takes the first write, drains the queue as far as the bounds go, applies all in one transaction, and answers
//! them after the commit: a lone write waits for nobody, and under load many share one sync of the disk.

use std::{path::PathBuf, sync::Arc};

use bowline_model::{Clock, Failure as UserFailure, RunId};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::{
    checkpoint::{Checkpoints, WalSize, checkpoint_truncate},
    ends::Ends,
    failure::{self, Failure},
    fault::{Fault, is_in_doubt, store_error},
    fresh::Fresh,
    mailed::Mailed,
    names::Names,
    options::SqliteOptions,
    period::Periods,
    queue::{Job, News, closed},
    schema,
    transaction::{Ledger, Tx},
    user_sql::{self, UserSqls},
};
use crate::StoreError;

pub(super) struct Writer {
    path: Option<PathBuf>,
    options: SqliteOptions,
    clock: Arc<dyn Clock>,
    /// None after a failure that could not be recovered from yet.
    open: Option<Open>,
    wal: Arc<WalSize>,
    checkpoints: Option<Checkpoints>,
    fresh: Arc<Fresh>,
    ends: Arc<Ends>,
    mailed: Arc<Mailed>,
    /// Runs for which the last transaction brought messages.
    told: Vec<RunId>,
}

/// A connection, and what is known of the tables behind it.
struct Open {
    conn: Connection,
    ledger: Ledger,
    names: Names,
    periods: Periods,
    user_sql: UserSqls,
    /// What a test wants to go wrong.
    failure: Option<Failure>,
}

/// Why nothing of a batch is on disk.
#[derive(Debug)]
enum NotDone {
    /// The store could not.
    Refused(StoreError),
    /// The user's code failed.
    Failed(UserFailure),
}

/// Why a transaction did not commit.
enum Lost {
    /// Before COMMIT.
    Applying(Fault),
    /// At COMMIT: it may be on disk all the same.
    Committing(rusqlite::Error),
}

impl Writer {
    pub(super) fn open(
        path: Option<PathBuf>,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
        wal: Arc<WalSize>,
    ) -> Result<Self, StoreError> {
        let open = open(path.as_deref(), &options, &*clock, &wal)?;
        Ok(Self {
            path,
            options,
            clock,
            open: Some(open),
            wal,
            checkpoints: None,
            fresh: Arc::default(),
            ends: Arc::default(),
            mailed: Arc::default(),
            told: vec![],
        })
    }

    /// What the writer keeps of what it accepted last.
    pub(super) fn fresh(&self) -> Arc<Fresh> {
        Arc::clone(&self.fresh)
    }

    /// Whom the writer tells of runs that ended.
    pub(super) fn ends(&self) -> Arc<Ends> {
        Arc::clone(&self.ends)
    }

    /// Whom the writer tells of runs with new messages.
    pub(super) fn mailed(&self) -> Arc<Mailed> {
        Arc::clone(&self.mailed)
    }

    /// Tells the writer whom to ask for checkpoints.
    pub(super) fn with_checkpoints(mut self, checkpoints: Option<Checkpoints>) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let batch = self.drain(first, &mut jobs);
            self.write(batch);
            self.keep_wal_small();
        }
        if let Some(open) = &self.open
            && self.path.is_some()
        {
            checkpoint_truncate(&open.conn).unwrap_or_else(|error| {
                tracing::warn!(%error, "the write-ahead log could not be emptied at the end; the next start does it");
            });
        }
    }

    fn drain(&self, first: Box<dyn Job>, jobs: &mut mpsc::Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let mut bytes = first.payload_bytes();
        let mut batch = vec![first];
        while batch.len() < self.options.batch_len_max && bytes < self.options.batch_bytes_max {
            let Ok(job) = jobs.try_recv() else { break };
            bytes = bytes.saturating_add(job.payload_bytes());
            batch.push(job);
        }
        batch
    }

    /// Commits a batch and answers it: what runs the user's code for itself, the rest together.
    fn write(&mut self, mut batch: Vec<Box<dyn Job>>) {
        batch.retain(|job| job.is_wanted());
        let (alone, together): (Vec<_>, Vec<_>) = batch.into_iter().partition(|job| job.is_alone());
        self.write_together(together);
        alone.into_iter().for_each(|job| self.write_singly(job));
    }

    /// One commit; if they cannot be committed whole, each write for itself.
    fn write_together(&mut self, mut batch: Vec<Box<dyn Job>>) {
        if batch.len() < 2 {
            return batch.into_iter().for_each(|job| self.write_singly(job));
        }
        match self.commit(&mut batch) {
            Ok(()) => self.answer(batch),
            Err(why) => {
                tracing::debug!(?why, writes = batch.len(), "a batch failed; its writes go singly");
                batch.into_iter().for_each(|job| self.write_singly(job));
            }
        }
    }

    fn write_singly(&mut self, job: Box<dyn Job>) {
        let mut batch = vec![job];
        match self.commit(&mut batch) {
            Ok(()) => self.answer(batch),
            Err(NotDone::Refused(error)) => batch.into_iter().for_each(|job| job.fail(error.clone())),
            Err(NotDone::Failed(failure)) => batch.into_iter().for_each(|job| job.failed(failure.clone())),
        }
    }

    /// Answers what was committed. Where a caller has left who would have had to go on, that is undone.
    fn answer(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let ended = {
            let mut news = News { fresh: &mut self.fresh.lock(), ended: vec![] };
            batch.iter_mut().for_each(|job| job.committed(&mut news));
            for run in &self.told {
                news.fresh.remove(*run);
            }
            news.ended
        };
        self.ends.tell(&ended);
        self.mailed.tell(&self.told);
        for undo in batch.into_iter().filter_map(Job::answer) {
            self.write_singly(undo);
        }
    }

    /// One transaction. `Err`: nothing of it is on disk.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), NotDone> {
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        self.opened().map_err(NotDone::Refused)?;
        let open = self.open.as_mut().expect("opened above");
        let before = open.ledger;
        let outcome = open.transact(batch, &self.options, &mut told);
        self.told = told;
        let lost = match outcome {
            Ok(()) => return Ok(()),
            Err(lost) => lost,
        };
        open.roll_back(before);
        let (error, is_in_doubt) = match lost {
            Lost::Applying(Fault::Refused(error)) => (error, false),
            Lost::Applying(Fault::Failed(failure)) => return Err(NotDone::Failed(failure)),
            Lost::Applying(Fault::Sqlite(error)) => (store_error(&error), is_in_doubt(&error)),
            // Bowline defers no constraint to the commit: it is one of the user's.
            Lost::Committing(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(NotDone::Failed(user_sql::not_committed(&error)));
            }
            Lost::Committing(error) => (store_error(&error), is_in_doubt(&error)),
        };
        if !is_in_doubt {
            return Err(NotDone::Refused(error));
        }
        tracing::warn!(%error, "the store's connection failed; opening it again to see what is on disk");
        self.open = None;
        let is_committed = self.opened().map_err(NotDone::Refused)?.ledger.batch > before.batch;
        if is_committed { Ok(()) } else { Err(NotDone::Refused(error)) }
    }

    /// The connection; opened again if the last one was given up.
    fn opened(&mut self) -> Result<&mut Open, StoreError> {
        if self.open.is_none() {
            // A store in memory is gone with its connection.
            let path = self.path.as_deref().ok_or_else(closed)?;
            self.open = Some(open(Some(path), &self.options, &*self.clock, &self.wal)?);
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    fn keep_wal_small(&mut self) {
        if let (Some(open), Some(checkpoints)) = (&self.open, &mut self.checkpoints) {
            checkpoints.after_commit(&open.conn);
        }
    }
}

/// Opens the connection and reads what the writer must know.
///
/// What a dead or failed predecessor left readable need not be durable (its sync may have failed): a full checkpoint
/// syncs it before anything is read and answered for.
fn open(
    path: Option<&std::path::Path>,
    options: &SqliteOptions,
    clock: &dyn Clock,
    wal: &Arc<WalSize>,
) -> Result<Open, StoreError> {
    let mut conn = schema::open_writer(path, options, clock)?;
    sync(&conn)?;
    let load = |conn: &mut Connection| -> rusqlite::Result<(Ledger, Periods, UserSqls)> {
        let wal = Arc::clone(wal);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            wal.set(pages);
            Ok(())
        }))?;
        Ok((
            Ledger::load(conn)?,
            Periods::load(conn)?,
            UserSqls::install(conn, path, options.transaction_bytes_max)?,
        ))
    };
    let (ledger, periods, user_sql) = load(&mut conn).map_err(|e| store_error(&e))?;
    Ok(Open { conn, ledger, names: Names::default(), periods, user_sql, failure: None })
}

/// A checkpoint syncs the log before it copies it. A full disk lets it do the one and not the other: that is enough.
fn sync(conn: &Connection) -> Result<(), StoreError> {
    match checkpoint_truncate(conn) {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DiskFull) => Err(store_error(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Open {
    fn transact(
        &mut self,
        batch: &mut [Box<dyn Job>],
        options: &SqliteOptions,
        mailed: &mut Vec<RunId>,
    ) -> Result<(), Lost> {
        let sqlite = |error| Lost::Applying(Fault::Sqlite(error));
        // IMMEDIATE: a transaction that begins as a read and then writes can fail in the middle.
        self.conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .map_err(sqlite)?;
        let changes = self.conn.total_changes();
        let failure = self.failure.take();
        let mut tx = Tx {
            conn: &self.conn,
            ledger: &mut self.ledger,
            names: &mut self.names,
            periods: &mut self.periods,
            options,
            mailed,
            user_sql: &self.user_sql,
            failure: &mut self.failure,
        };
        for job in batch {
            job.apply(&mut tx).map_err(Lost::Applying)?;
        }
        // A batch that changed nothing leaves no trace: polling must not load an idle disk.
        if self.conn.total_changes() != changes {
            self.ledger.batch += 1;
            self.ledger.save(&self.conn).map_err(sqlite)?;
        }
        if failure == Some(Failure::CommitLost) {
            return Err(Lost::Committing(failure::no_sync()));
        }
        self.conn
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]))
            .map_err(Lost::Committing)?;
        match failure {
            Some(Failure::CommitUnanswered) => Err(Lost::Committing(failure::no_sync())),
            Some(Failure::CommitLost | Failure::PagesMax(_)) | None => Ok(()),
        }
    }

    fn roll_back(&mut self, ledger: Ledger) {
        // Some errors have rolled back already.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        self.ledger = ledger;
        self.names.clear();
        if let Ok(periods) = Periods::load(&self.conn) {
            self.periods = periods;
        }
    }
}

#[cfg(test)]
mod tests {
    use bowline_model::{BuildId, KeySeed, NewEvent, NewRun, NodeId, Run, SystemClock};
    use jiff::Timestamp;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        Batch, Claim,
        sqlite::{
            accept::Accept,
            queue::{Caller, Write, request},
        },
    };

    fn writer() -> Writer {
        Writer::open(None, SqliteOptions::default(), Arc::new(SystemClock), Arc::default()).unwrap()
    }

    fn ask<W: Write>(write: W) -> (Box<dyn Job>, Caller<W>) {
        request(write, Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap())
    }

    fn one_event() -> Accept {
        let run = NewRun {
            workflow: "a".into(),
            key: None,
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::new("1"),
            key_seed: KeySeed(1),
            due: None,
            flow: Default::default(),
            journal: vec![],
        };
        let event = NewEvent {
            source: "s".to_owned(),
            provider: "p".to_owned(),
            kind: "k".to_owned(),
            dedupe_key: "1".to_owned(),
            dedupe_until: Timestamp::MAX,
            received_at: Timestamp::UNIX_EPOCH,
            headers: vec![],
            body: "{}".into(),
            input_pointer: String::new(),
            runs: vec![run],
        };
        let SqliteOptions { period, period_bytes_max, .. } = SqliteOptions::default();
        let batch = Batch { events: vec![event], ..Batch::default() };
        Accept { batch, now: Timestamp::UNIX_EPOCH, period, period_bytes_max, ended: vec![] }
    }

    fn claim() -> Claim {
        let (now, workflows) = (Timestamp::UNIX_EPOCH, vec![("a".into(), 9)]);
        Claim { node: NodeId(1), now, total_max: 9, workflows, others_max: 0, crashes_min: 0 }
    }

    #[test]
    fn gives_runs_back_that_were_claimed_for_a_caller_who_left() {
        let mut writer = writer();
        let (accept, _waits) = ask(one_event());
        writer.write(vec![accept]);
        let (job, caller) = ask(claim());
        let mut batch = vec![job];
        writer.commit(&mut batch).unwrap();
        drop(caller);
        writer.answer(batch);
        let (job, mut caller) = ask(claim());
        writer.write(vec![job]);
        let runs: Vec<Run> = caller.try_recv().unwrap().unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].epoch.0, runs[0].crashes), (2, 0));
    }
}
