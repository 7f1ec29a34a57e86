//! What stands between a user's SQL and the writer's connection: an authorizer, a deadline, and a look at how much it
//! writes.
//!
//! Both are on the connection from its opening, and let everything pass until they are armed: so arming invalidates no
//! prepared statement, and disarming cannot fail.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_model::{Clock, Failure, SystemClock};
use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::names::{is_ours, is_sqlites};

/// SQLite's instructions between two looks at the clock and at what was written: a few microseconds. A row of the largest
/// values takes about ten, and a hundredth of a second.
const LOOK_STEPS: i32 = 200;

/// Free bytes on the disk below which what finds no room found a full disk, and not its own limit.
const DISK_FREE_BYTES_MIN: u64 = 64 << 20;

/// Longest text, blob or row of a user's SQL: what a run may record.
const VALUE_BYTES_MAX: i32 = 16 << 20;

/// Longest statement.
const SQL_BYTES_MAX: i32 = 1 << 20;

/// Deepest nesting of triggers.
const TRIGGER_DEPTH_MAX: i32 = 100;

/// What a user's SQL is held to while it has the connection.
const LIMITS: [(Limit, i32); 4] = [
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, TRIGGER_DEPTH_MAX),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
];

/// The hooks of one connection. See the [module](self).
#[derive(Clone, Default)]
pub(in crate::sqlite) struct Guard(Arc<Hooks>);

#[derive(Default)]
struct Hooks {
    is_armed: AtomicBool,
    /// In nanoseconds of the machine's monotonic time.
    deadline: AtomicU64,
    /// The write-ahead log. What a transaction writes and the cache does not hold goes there before the commit.
    log: Option<PathBuf>,
    bytes_max: u64,
    written: Mutex<Option<Written>>,
    statement: Mutex<Statement>,
}

/// How much a transaction writes: how long the log has become.
struct Written {
    log: File,
    /// Longer it may not be.
    len_max: u64,
}

impl Written {
    fn is_too_much(&self) -> bool {
        self.log.metadata().is_ok_and(|log| log.len() > self.len_max)
    }
}

/// What is known of the statement being prepared.
#[derive(Default)]
struct Statement {
    changes_schema: bool,
    /// Why it was refused.
    refused: Option<String>,
}

impl Guard {
    /// Puts the hooks on a connection, disarmed.
    pub(in crate::sqlite) fn install(
        conn: &mut Connection,
        path: Option<&Path>,
        bytes_max: u64,
    ) -> rusqlite::Result<Self> {
        let guard = Self(Arc::new(Hooks { log: path.map(log_of), bytes_max, ..Hooks::default() }));
        let hooks = Arc::clone(&guard.0);
        conn.authorizer(Some(move |context: AuthContext<'_>| hooks.authorize(&context)))?;
        let hooks = Arc::clone(&guard.0);
        conn.progress_handler(LOOK_STEPS, Some(move || hooks.is_over()))?;
        Ok(guard)
    }

    /// Lets a user's SQL have the connection until the answer is dropped.
    pub(super) fn arm<'c>(&self, conn: &'c Connection, time: Duration) -> rusqlite::Result<Armed<'c>> {
        let deadline = SystemClock.monotonic().saturating_add(time);
        self.0.deadline.store(u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let pages_max = limit_pages(conn, self.0.bytes_max)?;
        let mut armed = Armed { hooks: Arc::clone(&self.0), conn, deadline, limits: vec![], pages_max };
        for (limit, value) in LIMITS {
            armed.limits.push((limit, conn.set_limit(limit, value)?));
        }
        *self.0.written() = self.0.begin_to_measure();
        self.0.is_armed.store(true, Ordering::Relaxed);
        Ok(armed)
    }
}

/// Where SQLite keeps the write-ahead log of a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = OsString::from(path);
    log.push("-wal");
    log.into()
}

impl Hooks {
    fn is_over(&self) -> bool {
        self.is_armed.load(Ordering::Relaxed)
            && (SystemClock.monotonic().as_nanos() > u128::from(self.deadline.load(Ordering::Relaxed))
                || self.written().as_ref().is_some_and(Written::is_too_much))
    }

    fn written(&self) -> MutexGuard<'_, Option<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A store in memory has no log, and writes to no disk.
    fn begin_to_measure(&self) -> Option<Written> {
        let log = File::open(self.log.as_ref()?).ok()?;
        let len = log.metadata().ok()?.len();
        Some(Written { log, len_max: len.saturating_add(self.bytes_max) })
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        if !self.is_armed.load(Ordering::Relaxed) {
            return Authorization::Allow;
        }
        let mut statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        statement.changes_schema |= changes_schema(&context.action);
        match check(context, statement.changes_schema) {
            Ok(()) => Authorization::Allow,
            Err(why) => {
                statement.refused.get_or_insert(why);
                Authorization::Deny
            }
        }
    }
}

/// A connection in the hands of a user's SQL.
pub(super) struct Armed<'c> {
    hooks: Arc<Hooks>,
    conn: &'c Connection,
    deadline: Duration,
    /// What the limits were.
    limits: Vec<(Limit, i32)>,
    /// How many pages the file could have before, if it is held to less now.
    pages_max: Option<i64>,
}

/// Lets the file grow by so many bytes at most. Yields how many pages it could have before, if that were more.
fn limit_pages(conn: &Connection, bytes_max: u64) -> rusqlite::Result<Option<i64>> {
    let ask = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (before, pages, page_bytes) = (ask("max_page_count")?, ask("page_count")?, ask("page_size")?);
    let pages_max = pages.saturating_add(i64::try_from(bytes_max).unwrap_or(i64::MAX) / page_bytes);
    if pages_max >= before {
        return Ok(None);
    }
    set_pages_max(conn, pages_max)?;
    Ok(Some(before))
}

fn set_pages_max(conn: &Connection, pages_max: i64) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()))
}

impl Armed<'_> {
    /// How much time is left.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_sub(SystemClock.monotonic())
    }

    /// Why it must not be committed, if it writes too much.
    pub(super) fn wrote_too_much(&self) -> Option<Failure> {
        self.hooks.written().as_ref().is_some_and(Written::is_too_much).then(|| self.too_much())
    }

    /// The same, where it found no room: for the limit's sake, or the disk's?
    pub(super) fn grew_too_much(&self) -> Option<Failure> {
        self.pages_max?;
        let is_room = match &self.hooks.log {
            Some(log) => rustix::fs::statvfs(log)
                .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= DISK_FREE_BYTES_MIN),
            None => true,
        };
        is_room.then(|| self.too_much())
    }

    fn too_much(&self) -> Failure {
        let message = format!(
            "the transaction wrote more than {} MiB; nothing of it was kept: write it in several transactions",
            self.hooks.bytes_max >> 20
        );
        Failure::refused(message).permanent()
    }

    /// Forgets the statement before.
    pub(super) fn begin_statement(&self) {
        *self.hooks.statement.lock().unwrap_or_else(PoisonError::into_inner) = Statement::default();
    }

    /// Why the statement was refused, if it was.
    pub(super) fn refused(&self) -> Option<String> {
        self.hooks.statement.lock().unwrap_or_else(PoisonError::into_inner).refused.take()
    }

    /// Whether the statement creates, alters or drops something.
    pub(super) fn changes_schema(&self) -> bool {
        self.hooks.statement.lock().unwrap_or_else(PoisonError::into_inner).changes_schema
    }

    /// Asks something of our own in between.
    pub(super) fn disarmed<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        self.hooks.is_armed.store(false, Ordering::Relaxed);
        let answer = ask(self.conn);
        self.hooks.is_armed.store(true, Ordering::Relaxed);
        answer
    }
}

/// Whatever became of the user's code, the connection is ours again.
impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.hooks.is_armed.store(false, Ordering::Relaxed);
        *self.hooks.written() = None;
        if let Some(pages_max) = self.pages_max
            && let Err(error) = set_pages_max(self.conn, pages_max)
        {
            tracing::warn!(%error, "the store's file could not be let grow again");
        }
        for (limit, value) in self.limits.drain(..) {
            if let Err(error) = self.conn.set_limit(limit, value) {
                tracing::warn!(%error, "a limit of the store's connection could not be set back");
            }
        }
    }
}

fn changes_schema(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::CreateTable { .. }
            | AuthAction::CreateIndex { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::DropTable { .. }
            | AuthAction::DropIndex { .. }
            | AuthAction::DropTrigger { .. }
            | AuthAction::DropView { .. }
            | AuthAction::AlterTable { .. }
    )
}

/// What a user's SQL may do. `in_ddl`: the statement changes the schema, and SQLite writes its own tables for it.
fn check(context: &AuthContext<'_>, in_ddl: bool) -> Result<(), String> {
    let is_elsewhere = context.database_name.is_some_and(|name| !name.eq_ignore_ascii_case("main"));
    // What is altered may be spoken of by temporary views and triggers: SQLite looks for some.
    if is_elsewhere && !in_ddl {
        return Err("temporary tables, triggers and views are refused: they could hide Bowline's".to_owned());
    }
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => check_access(table_name, in_ddl),
        AuthAction::CreateTable { table_name: name }
        | AuthAction::DropTable { table_name: name }
        | AuthAction::CreateView { view_name: name }
        | AuthAction::DropView { view_name: name }
        | AuthAction::AlterTable { table_name: name, .. } => check_name(name),
        AuthAction::CreateIndex { index_name: name, table_name }
        | AuthAction::DropIndex { index_name: name, table_name }
        | AuthAction::CreateTrigger { trigger_name: name, table_name }
        | AuthAction::DropTrigger { trigger_name: name, table_name } => {
            check_name(name).and_then(|()| check_name(table_name))
        }
        AuthAction::Function { function_name } => check_function(function_name),
        // ALTER TABLE looks whether the rows fit a new constraint.
        AuthAction::Pragma { pragma_name: "quick_check", .. } if in_ddl => Ok(()),
        AuthAction::Pragma { pragma_name, .. } => Err(format!(
            "PRAGMA {} is refused: settings are the whole store's",
            pragma_name.to_ascii_lowercase()
        )),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => Err(
            "BEGIN, COMMIT, ROLLBACK, SAVEPOINT and RELEASE are refused: all of the closure's SQL is one \
             transaction, committed when it returns Ok"
                .to_owned(),
        ),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Err("ATTACH, DETACH and VACUUM are refused: a transaction is about this store's file".to_owned())
        }
        AuthAction::CreateVtable { .. } | AuthAction::DropVtable { .. } => {
            Err("virtual tables are refused: their modules act at the commit, after all checks".to_owned())
        }
        // A new index is filled.
        AuthAction::Reindex { index_name } if in_ddl => check_name(index_name),
        AuthAction::Analyze { .. } | AuthAction::Reindex { .. } => {
            Err("ANALYZE and REINDEX are refused: they would go over Bowline's tables too".to_owned())
        }
        // The temporary ones were refused by their database; what SQLite may add one day is refused until it is known.
        _ => Err("this statement is refused".to_owned()),
    }
}

fn check_access(table: &str, in_ddl: bool) -> Result<(), String> {
    if is_ours(table) {
        return Err(bowlines(table));
    }
    if is_sqlites(table) && !in_ddl {
        return Err(format!("table {table} is refused: it is about the whole file"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    if is_ours(name) { Err(bowlines(name)) } else { Ok(()) }
}

fn bowlines(name: &str) -> String {
    format!("the name {name} is Bowline's; use tables of your own, under other names")
}

/// Functions that load code, or take addresses.
fn check_function(name: &str) -> Result<(), String> {
    let is_refused =
        ["load_extension", "fts3_tokenizer"].iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_refused { Err(format!("function {name} is refused: it could run any code")) } else { Ok(()) }
}
