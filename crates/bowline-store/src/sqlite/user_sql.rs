//! The user's own SQL, within the write that records its value.
//!
//! What comes in: a closure, a deadline, the writer's open transaction. What goes out: the closure's value, or why it
//! failed. What must never happen here: a statement that ends the transaction, or that touches what is Bowline's; a
//! closure that holds up the writer longer than its deadline.
//!
//! The closure runs on a thread of its own and asks for its statements over a channel: so one that sleeps, hangs or
//! panics costs its own transaction and nothing else. Such a write is alone in its transaction: where it fails, all is
//! rolled back, and nobody else is harmed.
//!
//! | Module | Story |
//! |---|---|
//! | `guard` | what is allowed, and for how long |
//! | `names` | which names are Bowline's |
//! | `schema` | what changed of the schema |
//! | `statement` | one statement: its values, its rows, its errors |

mod guard;
mod names;
mod schema;
mod statement;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use bowline_model::{Error, Failure, Payload, error::Certainty};
use rusqlite::Connection;

pub(super) use guard::Guard;
use schema::Schema;
use statement::{Rows, Wants};

use super::fault::{Fault, refused};
use crate::{Sql, SqlRow, SqlValue, StoreErrorKind, UserTransaction, ask::UserSql};

/// Closures that passed their deadline and have not returned yet; past it no other one is begun.
const ABANDONED_MAX: usize = 16;

/// What the writer keeps for users' SQL.
#[derive(Clone, Default)]
pub(super) struct UserSqls {
    pub(super) guard: Guard,
    /// Each thread of a closure holds a clone.
    threads: Arc<()>,
}

impl UserSqls {
    /// For one connection, to the file at that path, if it is to one. A transaction writes no more than `bytes_max`.
    pub(super) fn install(
        conn: &mut Connection,
        path: Option<&Path>,
        bytes_max: u64,
    ) -> rusqlite::Result<Self> {
        Ok(Self { guard: Guard::install(conn, path, bytes_max)?, threads: Arc::default() })
    }
}

/// Runs the closure in the writer's open transaction.
///
/// # Errors
/// `Failed`, by which everything of the write is given up; or what the store itself suffers from.
pub(super) fn run(conn: &Connection, sqls: &UserSqls, user: &UserTransaction) -> Result<Payload, Fault> {
    if Arc::strong_count(&sqls.threads) > ABANDONED_MAX {
        let message = format!(
            "{ABANDONED_MAX} transactions passed their deadline and their closures have not returned; a closure of a \
             transaction must do nothing but SQL"
        );
        return Err(Fault::Failed(Failure::refused(message)));
    }
    let deadline = user.time();
    let mut session = Session::new(conn, &sqls.guard, deadline)?;
    let closure = Closure::start(Arc::clone(&user.run), Arc::clone(&sqls.threads))?;
    let ended = session.serve(&closure);
    session.end(ended)
}

/// What the writer hears of the closure.
enum Said {
    Sql { sql: String, values: Vec<SqlValue>, wants: Wants },
    Ended(Result<Payload, Error>),
}

/// The closure, as the writer sees it.
struct Closure {
    said: Receiver<Said>,
    answers: SyncSender<Result<Rows, Error>>,
}

impl Closure {
    fn start(run: Arc<UserSql>, place: Arc<()>) -> Result<Self, Fault> {
        let (say, said) = sync_channel(0);
        let (answers, answered) = sync_channel(1);
        let body = move || {
            let mut remote = Remote { say, answered };
            let ended = catch_unwind(AssertUnwindSafe(|| run(&mut remote)));
            // The writer may have gone on without it.
            let _ = remote.say.send(Said::Ended(ended.unwrap_or_else(|panic| Err(panicked(&*panic)))));
            drop(place);
        };
        match thread::Builder::new().name("bowline-transaction".to_owned()).spawn(body) {
            Ok(_) => Ok(Self { said, answers }),
            Err(error) => {
                let message = format!("no thread for a transaction: {error}; it is tried again");
                Err(refused(StoreErrorKind::Busy, message))
            }
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    Error::permanent(format!("the transaction's closure panicked: {text}"))
}

/// The database, as the closure sees it.
struct Remote {
    say: SyncSender<Said>,
    answered: Receiver<Result<Rows, Error>>,
}

impl Remote {
    fn ask(&self, sql: &str, values: &[SqlValue], wants: Wants) -> Result<Rows, Error> {
        let said = Said::Sql { sql: sql.to_owned(), values: values.to_vec(), wants };
        let gone = || Error::permanent("the transaction passed its deadline; nothing of it was written");
        self.say.send(said).map_err(|_| gone())?;
        self.answered.recv().map_err(|_| gone())?
    }
}

impl Sql for Remote {
    fn execute(&mut self, sql: &str, params: &[SqlValue]) -> Result<u64, Error> {
        self.ask(sql, params, Wants::Count).map(|rows| rows.changed)
    }

    fn query(&mut self, sql: &str, params: &[SqlValue]) -> Result<Vec<SqlRow>, Error> {
        self.ask(sql, params, Wants::Rows).map(|rows| rows.rows)
    }
}

/// Why nothing of the transaction may be committed, whatever the closure makes of it.
enum Spoiled {
    /// By what the closure did.
    ByUser(Failure),
    /// By the disk.
    ByStore(rusqlite::Error),
}

/// The writer's connection while the closure has it.
struct Session<'c> {
    conn: &'c Connection,
    armed: guard::Armed<'c>,
    deadline: Duration,
    spoiled: Option<Spoiled>,
    /// What the schema was, once the closure changes it.
    before: Option<Schema>,
}

impl<'c> Session<'c> {
    fn new(conn: &'c Connection, guard: &Guard, deadline: Duration) -> rusqlite::Result<Self> {
        Ok(Self { conn, armed: guard.arm(conn, deadline)?, deadline, spoiled: None, before: None })
    }

    /// Does what the closure asks until it has ended, or its time.
    fn serve(&mut self, closure: &Closure) -> Result<Payload, Error> {
        loop {
            match closure.said.recv_timeout(self.armed.time_left()) {
                Ok(Said::Sql { sql, values, wants }) => {
                    let answer = self.statement(&sql, &values, wants);
                    // Its thread waits for just this.
                    let _ = closure.answers.send(answer);
                }
                Ok(Said::Ended(ended)) => return ended,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.too_late().into());
                }
            }
        }
    }

    fn statement(&mut self, sql: &str, values: &[SqlValue], wants: Wants) -> Result<Rows, Error> {
        if let Some(spoiled) = &self.spoiled {
            return Err(spoiled.told().into());
        }
        self.armed.begin_statement();
        let ran = self.prepare_and_run(sql, values, wants);
        let failure = match ran {
            Ok(rows) if !self.conn.is_autocommit() => match self.armed.wrote_too_much() {
                None => return Ok(rows),
                Some(failure) => self.spoil(failure),
            },
            Ok(_) => self.spoil(statement::rolled_back()),
            Err(error) => match self.armed.refused() {
                Some(why) => self.spoil(Failure::refused(why).permanent()),
                None if statement::is_interrupted(&error) => {
                    let failure = self.armed.wrote_too_much().unwrap_or_else(|| self.too_late());
                    self.spoil(failure)
                }
                None => self.failed(error),
            },
        };
        Err(failure.into())
    }

    fn prepare_and_run(
        &mut self,
        sql: &str,
        values: &[SqlValue],
        wants: Wants,
    ) -> Result<Rows, statement::Problem> {
        let mut prepared = statement::prepare(self.conn, sql)?;
        if self.armed.changes_schema() && self.before.is_none() {
            self.before = Some(self.armed.disarmed(Schema::read)?);
        }
        statement::run(&mut prepared, values, wants)
    }

    /// A statement failed by itself: the closure may take another way, if the transaction is still there.
    fn failed(&mut self, problem: statement::Problem) -> Failure {
        let is_lost = self.conn.is_autocommit();
        if statement::found_no_room(&problem)
            && let Some(failure) = self.armed.grew_too_much()
        {
            return self.spoil(failure);
        }
        match problem {
            statement::Problem::Sqlite(error) if statement::is_the_stores(&error) => {
                let spoiled = Spoiled::ByStore(error);
                let failure = spoiled.told();
                self.spoiled = Some(spoiled);
                failure
            }
            statement::Problem::Sqlite(error) if is_lost => self.spoil(statement::failure(&error)),
            statement::Problem::Sqlite(error) => statement::failure(&error),
            statement::Problem::TooMuch(failure) => self.spoil(failure),
        }
    }

    fn spoil(&mut self, failure: Failure) -> Failure {
        self.spoiled = Some(Spoiled::ByUser(failure.clone()));
        failure
    }

    fn too_late(&self) -> Failure {
        Failure::refused(format!(
            "the transaction passed its deadline of {} ms; nothing of it was written: do less in one, or give it longer",
            self.deadline.as_millis()
        ))
    }

    /// Looks whether all may be committed.
    fn end(self, ended: Result<Payload, Error>) -> Result<Payload, Fault> {
        match self.spoiled {
            Some(Spoiled::ByUser(failure)) => return Err(Fault::Failed(failure)),
            Some(Spoiled::ByStore(error)) => return Err(Fault::Sqlite(error)),
            None => {}
        }
        let value = ended.map_err(|error| Fault::Failed(nothing_happened(error)))?;
        if self.armed.time_left().is_zero() {
            return Err(Fault::Failed(self.too_late()));
        }
        if let Some(before) = &self.before
            && let Some(failure) = self.armed.disarmed(|conn| before.changed(conn))?
        {
            return Err(Fault::Failed(failure));
        }
        Ok(value)
    }
}

impl Spoiled {
    /// As the closure is told.
    fn told(&self) -> Failure {
        match self {
            Self::ByUser(failure) => failure.clone(),
            Self::ByStore(error) => statement::failure(error),
        }
    }
}

/// The closure's own error: all that it did was rolled back.
fn nothing_happened(error: Error) -> Failure {
    Failure { certainty: Certainty::Refused, ..error.into_failure() }
}

/// A commit that the user's rows do not allow: what was deferred to it does not hold.
pub(super) fn not_committed(error: &rusqlite::Error) -> Failure {
    statement::failure(error)
}
