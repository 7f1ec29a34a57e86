//! The author's own SQL, committed with the step's record.

use std::{any::type_name, fmt, future::IntoFuture, marker::PhantomData, sync::Arc, time::Duration};

use bowline_model::{BoxFuture, Error, Family, Payload, Result};
use bowline_store::{
    Ask, Sql, SqlParams, SqlRow, UserTransaction,
    ask::{TRANSACTION_TIME_MAX, UserSql},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context,
    asking::Asking,
    board::{NewLeaf, NewWork, PAYLOAD_BYTES_MAX},
};

/// How long a transaction may take, unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

impl Context {
    /// Describes a transaction: `run`'s SQL, on tables of your own in the store's file, is committed together with the
    /// record that it happened, or not at all.
    ///
    /// `run` must do nothing but SQL: it may run again, and only what it did last is committed. It is not `async`, and
    /// everything else that is written waits for it: it has 5 s unless [`Transaction::deadline`] says otherwise.
    ///
    /// # Durability
    /// Your rows and the record of the step are one commit: after a crash both are there, or neither, and what is
    /// recorded is never run again. The code receives the value after the commit.
    ///
    /// # Errors
    /// Awaiting it yields what `run` returned as an error, or what failed: a statement that is refused, a deadline that
    /// passed, a panic. Nothing was written then. The failure is recorded; an operator's retry runs it again.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// let (id, item) = (17, "tea");
    /// let left: i64 = cx
    ///     .transaction("take from stock", move |tx| {
    ///         tx.execute("UPDATE stock SET n = n - 1 WHERE item = ?1", [item])?;
    ///         tx.execute("INSERT INTO orders (id, item) VALUES (?1, ?2)", (id, item))?;
    ///         let rows = tx.query("SELECT n FROM stock WHERE item = ?1", [item])?;
    ///         rows[0].get("n")
    ///     })
    ///     .await?;
    /// # let _ = left;
    /// # Ok(()) }
    /// ```
    pub fn transaction<T, F>(&self, name: &str, run: F) -> Transaction<'_, T>
    where
        F: Fn(&mut Tx<'_>) -> Result<T> + Send + Sync + 'static,
        T: Serialize + DeserializeOwned,
    {
        Transaction {
            cx: self,
            name: name.to_owned(),
            old_names: vec![],
            key: None,
            deadline: DEADLINE,
            run: Arc::new(move |sql| encode(&run(&mut Tx { sql })?)),
            value: PhantomData,
        }
    }
}

/// Within the transaction: what cannot be recorded or read back must not be committed.
fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<Payload> {
    let problem = match Payload::encode(value) {
        Ok(payload) if payload.as_bytes().len() > PAYLOAD_BYTES_MAX => {
            format!(
                "its value has {} bytes (limit {PAYLOAD_BYTES_MAX}); return less",
                payload.as_bytes().len()
            )
        }
        Ok(payload) => match payload.decode::<T>() {
            Ok(_) => return Ok(payload),
            Err(error) => format!(
                "its value cannot be read back from JSON as {}: {error}; Serialize and Deserialize must agree",
                type_name::<T>()
            ),
        },
        Err(error) => format!("its value cannot be written as JSON: {error}"),
    };
    Err(Error::refused(format!("nothing of the transaction was written: {problem}")))
}

/// The database, within a transaction: tables of your own.
///
/// Refused are Bowline's tables and names, whatever begins or ends a transaction, `PRAGMA`, `ATTACH`, temporary and
/// virtual tables. A transaction of which something was refused is not committed, whatever `run` makes of the error.
pub struct Tx<'s> {
    sql: &'s mut dyn Sql,
}

impl Tx<'_> {
    /// Runs one statement that yields no rows. Says how many rows it changed.
    ///
    /// # Errors
    /// In SQLite's words. What one statement failed to do was not done; the transaction can go on.
    pub fn execute(&mut self, sql: &str, params: impl SqlParams) -> Result<u64> {
        self.sql.execute(sql, &params.into_values())
    }

    /// Runs one statement and takes its rows: at most 100,000, and 64 MiB.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); or if there are more rows.
    pub fn query(&mut self, sql: &str, params: impl SqlParams) -> Result<Vec<SqlRow>> {
        self.sql.query(sql, &params.into_values())
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn query_first(&mut self, sql: &str, params: impl SqlParams) -> Result<Option<SqlRow>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// A transaction that yields a `T`, described; awaiting it runs it. Made by [`Context::transaction`].
///
/// # Durability
/// The author's rows and the record of the step are one commit.
#[must_use = "a transaction does nothing until it is awaited"]
pub struct Transaction<'a, T> {
    cx: &'a Context,
    name: String,
    old_names: Vec<String>,
    key: Option<String>,
    deadline: Duration,
    run: Arc<UserSql>,
    value: PhantomData<fn() -> T>,
}

impl<T> Transaction<'_, T> {
    /// Gives it that long instead of 5 s; never more than a minute. Past it everything is rolled back.
    pub fn deadline(mut self, whole: Duration) -> Self {
        self.deadline = whole.min(TRANSACTION_TIME_MAX);
        self
    }

    /// Tells equally named transactions apart by what they are about instead of by their order. Unique within its name;
    /// at most 512 bytes.
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Its name in builds before this one: runs under way keep what was recorded under it.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        self.old_names.push(old_name.into());
        self
    }
}

impl<'a, T: DeserializeOwned + Send + 'a> IntoFuture for Transaction<'a, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'a, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let leaf = NewLeaf {
                verb: "transaction",
                family: Family::Transaction,
                name: self.name,
                old_names: self.old_names,
                key: self.key,
                item: self.cx.item().clone(),
                output_type: type_name::<T>(),
                work: NewWork::Ask(Ask::Transaction(UserTransaction {
                    run: self.run,
                    deadline: self.deadline,
                })),
            };
            let asking = Asking::ask(self.cx.board(), leaf).await?;
            match asking.value().await? {
                Some(value) => Ok(value),
                // It waits for no time.
                None => std::future::pending().await,
            }
        })
    }
}

impl<T> fmt::Debug for Transaction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_could_not_be_recorded_keeps_its_transaction_from_being_committed() {
        let of = |bytes: usize| encode(&"x".repeat(bytes - 2));
        assert_eq!(of(PAYLOAD_BYTES_MAX).unwrap().as_bytes().len(), PAYLOAD_BYTES_MAX);
        let why = of(PAYLOAD_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(why.contains(&format!("its value has {} bytes", PAYLOAD_BYTES_MAX + 1)), "{why}");
        assert!(why.contains("nothing of the transaction was written"), "{why}");
    }
}
