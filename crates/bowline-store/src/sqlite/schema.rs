//! Opening the file: whose it is, which version, how it is tuned.

use std::{path::Path, time::Duration};

use bowline_model::Clock;
use rusqlite::{Connection, OpenFlags};

use super::{
    fault::store_error,
    options::{SqliteOptions, Synchronous},
    period::{self, KEPT, Period},
    row::nanos,
    transaction::Ledger,
};
use crate::{StoreError, StoreErrorKind};

/// Marks a file as ours: "Bowl" in ASCII.
const APPLICATION_ID: i32 = 0x426f_776c;

/// One change of the schema. Number n leads from version n to n + 1.
type Migration = fn(&Connection, &dyn Clock) -> rusqlite::Result<()>;

const MIGRATIONS: [Migration; 8] =
    [create, add_credentials, add_line, add_flow, add_mail, add_state, add_rate_begun, add_chain];

/// How long a connection waits for a lock that another program holds (an `sqlite3` shell, a backup).
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Statements that each connection keeps prepared. Those of a few periods and all others fit.
const STATEMENTS_MAX: usize = 256;

/// Size to which the write-ahead log is cut when it starts anew.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;

const WRITER_CACHE_KIB: i64 = 32 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Opens the writer's connection; creates the file and brings it to this build's version.
pub(super) fn open_writer(
    path: Option<&Path>,
    options: &SqliteOptions,
    clock: &dyn Clock,
) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || match path {
        Some(path) => Connection::open_with_flags(path, flags),
        None => Connection::open_in_memory_with_flags(flags),
    };
    let mut conn = open().map_err(|e| cannot_open(path, &e))?;
    check_owner(&conn, path)?;
    tune_writer(&conn, options).map_err(|e| cannot_open(path, &e))?;
    migrate(&mut conn, clock).map_err(|e| cannot_open(path, &e))?;
    Ok(conn)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(LOCK_WAIT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(conn)
    };
    open().map_err(|e| cannot_open(Some(path), &e))
}

/// Whether the file at `path` is a store of an older version than this.
pub(super) fn is_older(path: &Path) -> Result<bool, StoreError> {
    let conn = open_reader(path)?;
    check_owner(&conn, Some(path))?;
    let version = conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let version = version.map_err(|e| cannot_open(Some(path), &e))?;
    Ok(usize::try_from(version).map_or(true, |version| version < MIGRATIONS.len()))
}

/// Copies what the store at `path` holds now into an empty file, whoever writes to it meanwhile.
pub(super) fn copy_into(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copying = || -> rusqlite::Result<()> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(LOCK_WAIT)?;
        conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop)
    };
    copying().map_err(|e| cannot_open(Some(path), &e))
}

/// Opens a connection that only checkpoints.
pub(super) fn open_checkpointer(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(LOCK_WAIT)?;
    conn.pragma_update(None, "synchronous", synchronous(options))?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

/// Refuses a file that is not ours or too new, before anything is written to it.
fn check_owner(conn: &Connection, path: Option<&Path>) -> Result<(), StoreError> {
    let read = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let found = || -> rusqlite::Result<(i32, i32, i32)> {
        Ok((read("application_id")?, read("user_version")?, read("schema_version")?))
    };
    let (owner, version, schema) = found().map_err(|e| cannot_open(path, &e))?;
    let path = path.unwrap_or_else(|| Path::new(":memory:")).display();
    let is_new = owner == 0 && version == 0 && schema == 0;
    if !is_new && owner != APPLICATION_ID {
        let message = format!("{path} is a database of another program; choose another path for the store");
        return Err(StoreError::new(StoreErrorKind::Incompatible, message));
    }
    let known = MIGRATIONS.len();
    if usize::try_from(version).map_or(true, |version| version > known) {
        let message = format!(
            "{path} has version {version}, this build knows up to {known}; start the newer build, or restore a backup \
             from before the upgrade"
        );
        return Err(StoreError::new(StoreErrorKind::Incompatible, message));
    }
    Ok(())
}

fn tune_writer(conn: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    conn.busy_timeout(LOCK_WAIT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", synchronous(options))?;
    // Where a plain fsync leaves data in the disk's own cache (macOS), ask for more. Elsewhere it does nothing.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

fn synchronous(options: &SqliteOptions) -> &'static str {
    match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Off => "OFF",
    }
}

/// Each missing step in a transaction of its own.
fn migrate(conn: &mut Connection, clock: &dyn Clock) -> rusqlite::Result<()> {
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (done, step) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        step(&tx, clock)?;
        tx.pragma_update(None, "user_version", i64::try_from(done + 1).expect("few migrations"))?;
        tx.commit()?;
    }
    Ok(())
}

/// Version 1.
fn create(conn: &Connection, clock: &dyn Clock) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.execute_batch(include_str!("schema.sql"))?;
    let now = clock.now();
    let kept =
        Period { no: KEPT, event_first: i64::MIN, run_first: i64::MIN, opened_at: now, accepted_at: now };
    period::create(conn, &kept)?;
    period::create(conn, &Period { no: KEPT + 1, event_first: 1, run_first: 1, ..kept })?;
    conn.execute("UPDATE ledger SET accepted_at = ?1, probed_at = ?1", [nanos(now)])?;
    Ledger::load(conn).map(|_| ())
}

/// Version 2.
fn add_credentials(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("credentials.sql"))
}

/// Version 3.
fn add_line(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("line.sql"))
}

/// Version 4.
fn add_flow(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("flow.sql"))
}

/// Version 5.
fn add_mail(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("mail.sql"))?;
    for no in period::newest_first(conn)? {
        // Those of a store that is created now have it.
        conn.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS past_{no}_parent ON past_{no} (parent, id) WHERE parent IS NOT NULL"
        ))?;
    }
    Ok(())
}

/// Version 6.
fn add_state(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("state.sql"))
}

/// Version 7.
fn add_rate_begun(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("rate_begun.sql"))
}

/// Version 8.
fn add_chain(conn: &Connection, _: &dyn Clock) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("chain.sql"))
}

/// Makes a store as the version before this one did.
#[cfg(test)]
pub(super) fn create_older(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    let before = &MIGRATIONS[..MIGRATIONS.len() - 1];
    before.iter().for_each(|step| step(&conn, &bowline_model::SystemClock).unwrap());
    conn.pragma_update(None, "user_version", before.len() as i64).unwrap();
}

/// How a statement goes about its work, step by step.
#[cfg(test)]
pub(super) fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for parameter in 1..=explain.parameter_count() {
        explain.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut steps = explain.raw_query();
    let mut plan = vec![];
    while let Some(step) = steps.next().unwrap() {
        plan.push(step.get(3).unwrap());
    }
    plan
}

fn cannot_open(path: Option<&Path>, error: &rusqlite::Error) -> StoreError {
    let path = path.unwrap_or_else(|| Path::new(":memory:")).display();
    let error = store_error(error);
    StoreError::new(error.kind(), format!("cannot open the store {path}: {error}"))
}
