//! One statement of a user's: its values, its rows, its errors.

use std::sync::Arc;

use bowline_model::Failure;
use rusqlite::{
    Batch, Connection, ErrorCode, Row, Statement, ToSql,
    fallible_iterator::FallibleIterator,
    ffi,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    SqlRow, SqlValue,
    ask::{SQL_ROWS_BYTES_MAX, SQL_ROWS_MAX},
};

/// What a value takes besides its bytes.
const VALUE_BYTES: usize = size_of::<SqlValue>();

/// What the closure wants of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// How many rows it changed.
    Count,
    /// Its rows.
    Rows,
}

/// What came of a statement.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) changed: u64,
    pub(super) rows: Vec<SqlRow>,
}

/// Why nothing came of it.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    /// It yields more than is taken: what of it was done is not known to the closure.
    TooMuch(Failure),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The one statement of a text. What follows it is looked at no further than to the next one: the texts of whole files are
/// given by mistake.
pub(super) fn prepare<'c>(conn: &'c Connection, sql: &str) -> rusqlite::Result<Statement<'c>> {
    let mut statements = Batch::new(conn, sql);
    let first = statements.next()?.ok_or(rusqlite::Error::InvalidQuery)?;
    match statements.next()? {
        None => Ok(first),
        Some(_) => Err(rusqlite::Error::MultipleStatement),
    }
}

/// Runs it to its end.
pub(super) fn run(prepared: &mut Statement<'_>, values: &[SqlValue], wants: Wants) -> Result<Rows, Problem> {
    let values = rusqlite::params_from_iter(values.iter().map(Bound));
    match wants {
        // Its first row comes after all of its changes.
        Wants::Count if prepared.column_count() > 0 && !prepared.readonly() => {
            Err(rusqlite::Error::ExecuteReturnedResults.into())
        }
        Wants::Count => {
            let changed = prepared.execute(values)?;
            Ok(Rows { changed: changed as u64, rows: vec![] })
        }
        Wants::Rows => {
            let names: Arc<[String]> = prepared.column_names().map(str::to_owned).collect();
            let (mut rows, mut bytes) = (vec![], 0);
            let mut found = prepared.query(values)?;
            while let Some(row) = found.next()? {
                let row = take(row, &names)?;
                bytes += row.values().iter().map(value_bytes).sum::<usize>();
                rows.push(row);
                if rows.len() > SQL_ROWS_MAX || bytes > SQL_ROWS_BYTES_MAX {
                    return Err(Problem::TooMuch(too_much()));
                }
            }
            Ok(Rows { changed: 0, rows })
        }
    }
}

fn too_much() -> Failure {
    let message = format!(
        "a query yields more than {SQL_ROWS_MAX} rows or {} MiB; ask for less with LIMIT, or let SQL add it up",
        SQL_ROWS_BYTES_MAX >> 20
    );
    Failure::refused(message).permanent()
}

fn take(row: &Row<'_>, names: &Arc<[String]>) -> rusqlite::Result<SqlRow> {
    let value = |place| -> rusqlite::Result<SqlValue> {
        Ok(match row.get_ref(place)? {
            ValueRef::Null => SqlValue::Null,
            ValueRef::Integer(number) => SqlValue::Integer(number),
            ValueRef::Real(number) => SqlValue::Real(number),
            // What SQLite calls text need not be.
            ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
        })
    };
    let values = (0..names.len()).map(value).collect::<rusqlite::Result<_>>()?;
    Ok(SqlRow::new(Arc::clone(names), values))
}

fn value_bytes(value: &SqlValue) -> usize {
    let held = match value {
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => 0,
        SqlValue::Text(text) => text.len(),
        SqlValue::Blob(bytes) => bytes.len(),
    };
    VALUE_BYTES + held
}

/// A value on its way in.
struct Bound<'v>(&'v SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Real(number) => ValueRef::Real(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Whether it was stopped at the deadline.
pub(super) fn is_interrupted(problem: &Problem) -> bool {
    match problem {
        Problem::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted),
        Problem::TooMuch(_) => false,
    }
}

/// Whether the file may not grow, or the disk is full.
pub(super) fn found_no_room(problem: &Problem) -> bool {
    match problem {
        Problem::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
        Problem::TooMuch(_) => false,
    }
}

/// Whether the disk failed, not the statement: the whole write is tried again.
pub(super) fn is_the_stores(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// The error as the closure sees it: in SQLite's words, without the statement, which may hold values.
pub(super) fn failure(error: &rusqlite::Error) -> Failure {
    let said = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(code, None) => code.to_string(),
        rusqlite::Error::SqliteFailure(_, Some(said)) => said.clone(),
        rusqlite::Error::MultipleStatement => {
            "several statements in one text; give each to a call of its own".to_owned()
        }
        rusqlite::Error::InvalidQuery => "the text holds no statement".to_owned(),
        rusqlite::Error::ExecuteReturnedResults => {
            "the statement yields rows; use query instead of execute".to_owned()
        }
        rusqlite::Error::InvalidParameterCount(given, wanted) => {
            format!("the statement has {wanted} parameters and was given {given} values")
        }
        other => other.to_string(),
    };
    Failure::refused(format!("the transaction's SQL failed: {said}")).permanent()
}

/// A statement ended the whole transaction.
pub(super) fn rolled_back() -> Failure {
    let error = rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK),
        Some("a statement rolled everything back (OR ROLLBACK, RAISE(ROLLBACK))".to_owned()),
    );
    failure(&error)
}
