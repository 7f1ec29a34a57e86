//! Credentials: sealed values by name, and who may refresh them.
//!
//! A save is a compare-and-set on the version, a lease one on its holder and time; both are on disk before they are
//! answered, in the same batches as all other writes. What must never happen here: a value in a message.

use std::time::Duration;

use bowline_model::{
    CredentialAnswer, CredentialError, CredentialStore, Secret, StoredCredential,
    credential::{CREDENTIAL_BYTES_MAX, CREDENTIAL_LEASE_MAX, CREDENTIAL_NAME_BYTES_MAX, CREDENTIALS_MAX},
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    SqliteStore,
    fault::{Fault, refused},
    queue::{WhenFull, Write},
    readers::Snapshot,
    row::{nanos, time},
    transaction::Tx,
};
use crate::{StoreError, StoreErrorKind};

impl CredentialStore for SqliteStore {
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>> {
        let name = name.to_owned();
        Box::pin(async move { self.read(move |at| load(at, &name)).await.map_err(credential_error) })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64> {
        let save = Save { name: name.to_owned(), replaces, value, expires_at };
        Box::pin(
            async move { self.change(save).await?.map_err(|version| CredentialError::Changed { version }) },
        )
    }

    fn forget<'a>(&'a self, name: &'a str, version: i64) -> CredentialAnswer<'a, ()> {
        let forget = Forget { name: name.to_owned(), version };
        Box::pin(
            async move { self.change(forget).await?.map_err(|version| CredentialError::Changed { version }) },
        )
    }

    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.read(move |at| names(at, &prefix)).await.map_err(credential_error) })
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool> {
        let lease = Lease { name: name.to_owned(), holder: holder.to_owned(), now, ttl };
        Box::pin(self.change(lease))
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()> {
        Box::pin(self.change(Release { name: name.to_owned(), holder: holder.to_owned() }))
    }
}

impl SqliteStore {
    async fn change<W: Write>(&self, write: W) -> Result<W::Out, CredentialError> {
        self.queue.submit(write, WhenFull::Wait).await.map_err(credential_error)
    }
}

fn credential_error(error: StoreError) -> CredentialError {
    match error.kind() {
        StoreErrorKind::Limit => CredentialError::Limit(error.to_string()),
        StoreErrorKind::Full
        | StoreErrorKind::Busy
        | StoreErrorKind::Unavailable
        | StoreErrorKind::Stale
        | StoreErrorKind::Conflict
        | StoreErrorKind::Overtaken
        | StoreErrorKind::NotFound
        | StoreErrorKind::Locked
        | StoreErrorKind::Incompatible => CredentialError::Unavailable(error.to_string()),
    }
}

fn load(at: &mut Snapshot<'_>, name: &str) -> Result<Option<StoredCredential>, Fault> {
    Ok(stored(at.conn, name)?)
}

fn stored(conn: &Connection, name: &str) -> rusqlite::Result<Option<StoredCredential>> {
    conn.prepare_cached("SELECT version, value, expires_at FROM credential WHERE name = ?1")?
        .query_row([name], |row| {
            Ok(StoredCredential {
                version: row.get(0)?,
                value: Secret::new(row.get::<_, String>(1)?),
                expires_at: row.get::<_, Option<i64>>(2)?.map(time),
            })
        })
        .optional()
}

fn names(at: &mut Snapshot<'_>, prefix: &str) -> Result<Vec<String>, Fault> {
    let names = at
        .conn
        .prepare_cached("SELECT name FROM credential WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name")?
        .query_map([prefix], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// [`CredentialStore::save`]: the new version, or the one that is there instead of the expected.
struct Save {
    name: String,
    replaces: i64,
    value: Secret,
    expires_at: Option<Timestamp>,
}

impl Write for Save {
    type Out = Result<i64, i64>;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Self::Out, Fault> {
        check_name("credential", &self.name)?;
        check_value(&self.name, &self.value)?;
        let expires_at = self.expires_at.map(nanos);
        let is = stored(tx.conn, &self.name)?;
        if let Some(is) = &is
            && is.value.expose() == self.value.expose()
            && is.expires_at.map(nanos) == expires_at
        {
            // The same save again, whose answer was lost.
            return Ok(Ok(is.version));
        }
        let version = is.map_or(0, |is| is.version);
        if version != self.replaces {
            return Ok(Err(version));
        }
        if version == 0 {
            check_room(tx.conn)?;
        }
        tx.conn.prepare_cached("DELETE FROM credential WHERE name = ?1")?.execute([&self.name])?;
        tx.conn
            .prepare_cached("INSERT INTO credential (name, value, expires_at) VALUES (?1, ?2, ?3)")?
            .execute((&self.name, self.value.expose(), expires_at))?;
        Ok(Ok(tx.conn.last_insert_rowid()))
    }

    fn payload_bytes(&self) -> usize {
        self.name.len() + self.value.expose().len()
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    if (1..=CREDENTIAL_NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    let message = format!(
        "the name of a {what} has {} bytes (limits 1 and {CREDENTIAL_NAME_BYTES_MAX}); choose another",
        name.len()
    );
    Err(refused(StoreErrorKind::Limit, message))
}

fn check_value(name: &str, value: &Secret) -> Result<(), Fault> {
    let bytes = value.expose().len();
    if bytes <= CREDENTIAL_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the credential {name} has {bytes} bytes (limit {CREDENTIAL_BYTES_MAX}); ask its provider for fewer scopes or \
         smaller tokens"
    );
    Err(refused(StoreErrorKind::Limit, message))
}

fn check_room(conn: &Connection) -> Result<(), Fault> {
    let count: i64 =
        conn.prepare_cached("SELECT count(*) FROM credential")?.query_row([], |row| row.get(0))?;
    if !is_full(count) {
        return Ok(());
    }
    let message = format!(
        "the store has {count} credentials (limit {CREDENTIALS_MAX}); forget those of no use any more"
    );
    Err(refused(StoreErrorKind::Limit, message))
}

fn is_full(rows: i64) -> bool {
    usize::try_from(rows).is_ok_and(|rows| rows >= CREDENTIALS_MAX)
}

/// [`CredentialStore::forget`]: done, or the version that is there instead of the expected.
struct Forget {
    name: String,
    version: i64,
}

impl Write for Forget {
    type Out = Result<(), i64>;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Self::Out, Fault> {
        let is: Option<i64> = tx
            .conn
            .prepare_cached("SELECT version FROM credential WHERE name = ?1")?
            .query_row([&self.name], |row| row.get(0))
            .optional()?;
        match is {
            Some(version) if version != self.version => return Ok(Err(version)),
            Some(_) => {
                tx.conn.prepare_cached("DELETE FROM credential WHERE name = ?1")?.execute([&self.name])?;
            }
            None => {}
        }
        Ok(Ok(()))
    }

    fn payload_bytes(&self) -> usize {
        self.name.len()
    }
}

/// [`CredentialStore::lease`].
struct Lease {
    name: String,
    holder: String,
    now: Timestamp,
    ttl: Duration,
}

impl Lease {
    /// Who holds that lease now. One that would last longer than any may was taken before the clock was set back.
    fn held_by(&self, conn: &Connection) -> rusqlite::Result<Option<String>> {
        conn.prepare_cached(
            "SELECT holder FROM credential_lease WHERE name = ?1 AND until > ?2 AND until <= ?3",
        )?
        .query_row((&self.name, nanos(self.now), self.latest()), |row| row.get(0))
        .optional()
    }

    /// When a lease taken now may end at most.
    fn latest(&self) -> i64 {
        nanos(self.now.saturating_add(CREDENTIAL_LEASE_MAX).unwrap_or(Timestamp::MAX))
    }

    fn until(&self) -> i64 {
        let ttl = self.ttl.min(CREDENTIAL_LEASE_MAX);
        nanos(self.now.saturating_add(ttl).unwrap_or(Timestamp::MAX))
    }

    /// Makes room among those that are over. Only when there is none: looking for them takes time.
    fn make_room(&self, conn: &Connection) -> Result<(), Fault> {
        let count: i64 =
            conn.prepare_cached("SELECT count(*) FROM credential_lease")?.query_row([], |row| row.get(0))?;
        if !is_full(count) {
            return Ok(());
        }
        let others: i64 = conn
            .prepare_cached(
                "SELECT count(*) FROM credential_lease WHERE until > ?1 AND until <= ?2 AND name <> ?3",
            )?
            .query_row((nanos(self.now), self.latest(), &self.name), |row| row.get(0))?;
        if is_full(others) {
            let message =
                format!("{others} leases of credentials are held (limit {CREDENTIALS_MAX}); try again later");
            return Err(refused(StoreErrorKind::Limit, message));
        }
        conn.prepare_cached("DELETE FROM credential_lease WHERE until <= ?1 OR until > ?2")?
            .execute((nanos(self.now), self.latest()))?;
        Ok(())
    }
}

impl Write for Lease {
    type Out = bool;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        check_name("credential", &self.name)?;
        check_name("lease's holder", &self.holder)?;
        if self.held_by(tx.conn)?.is_some_and(|holder| holder != self.holder) {
            return Ok(false);
        }
        self.make_room(tx.conn)?;
        tx.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO credential_lease (name, holder, until) VALUES (?1, ?2, ?3)",
            )?
            .execute((&self.name, &self.holder, self.until()))?;
        Ok(true)
    }

    fn payload_bytes(&self) -> usize {
        self.name.len() + self.holder.len()
    }
}

/// [`CredentialStore::release`].
struct Release {
    name: String,
    holder: String,
}

impl Write for Release {
    type Out = ();

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        tx.conn
            .prepare_cached("DELETE FROM credential_lease WHERE name = ?1 AND holder = ?2")?
            .execute((&self.name, &self.holder))?;
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        self.name.len() + self.holder.len()
    }
}

/// Ends all leases: whoever held them is dead, as the lock file proves.
pub(super) fn end_leases(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM credential_lease")?.execute([]).map(|_| ())
}
