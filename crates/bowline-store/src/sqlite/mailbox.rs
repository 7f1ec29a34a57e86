//! Mailboxes: what runs wait for.
//!
//! What comes in: mailboxes that a run's write opens and closes, and messages. What goes out: whether a mailbox takes a
//! message, and lists for people. What must never happen here: a token, which is kept as its hash only.

use std::cmp::Reverse;

use bowline_model::{Payload, RunId};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    fault::{Fault, unreadable},
    mail::{check_bytes, rows},
    period::{KEPT, Period},
    readers::Snapshot,
    row::{nanos, time},
    transaction::Tx,
};
use crate::{
    Mailbox, MailboxFilter, MailboxKind, MailboxState, NewMailbox,
    mail::{
        ABOUT_BYTES_MAX, MAILBOX_NAME_BYTES_MAX, MAILBOXES_KEPT_MAX, MAILBOXES_PAGE_DEFAULT,
        MAILBOXES_PAGE_MAX,
    },
};

/// The mailbox of a token.
const WITH_TOKEN: &str = "SELECT run, name FROM mailbox INDEXED BY mailbox_token WHERE token = ?1 LIMIT 1";

/// A mailbox of a run.
const FIND: &str = "SELECT kind, state FROM mailbox INDEXED BY mailbox_name WHERE run = ?1 AND name = ?2";

/// The number of a run's newest mailbox.
const LAST: &str = "SELECT no FROM mailbox WHERE run = ?1 ORDER BY no DESC LIMIT 1";

/// What is left of mailboxes with addresses when their run has ended.
const END: &str =
    "UPDATE mailbox SET state = iif(state = 0, 2, state), until = NULL, about = NULL WHERE run = ?1";

/// Mailboxes that a run keeps no longer.
const OLD: &str = "DELETE FROM mailbox WHERE run = ?1 AND no <= ?2 AND state <> 0";

/// The run and name of the mailbox whose address has that token.
pub(super) fn with_token(tx: &Tx<'_>, token: &[u8; 32]) -> rusqlite::Result<Option<(RunId, String)>> {
    tx.conn
        .prepare_cached(WITH_TOKEN)?
        .query_row([&token[..]], |row| Ok((RunId(row.get(0)?), row.get(1)?)))
        .optional()
}

/// A mailbox's kind and state.
pub(super) fn find(
    tx: &Tx<'_>,
    run: RunId,
    name: &str,
) -> Result<Option<(MailboxKind, MailboxState)>, Fault> {
    let found: Option<(i64, i64)> =
        tx.conn.prepare_cached(FIND)?.query_row((run.0, name), |row| row.try_into()).optional()?;
    found.map(|(kind, state)| Ok((self::kind(kind)?, self::state(state)?))).transpose()
}

fn kind(code: i64) -> Result<MailboxKind, Fault> {
    MailboxKind::from_code(code).ok_or_else(|| unreadable(format!("a mailbox of kind {code}")))
}

fn state(code: i64) -> Result<MailboxState, Fault> {
    MailboxState::from_code(code).ok_or_else(|| unreadable(format!("a mailbox in state {code}")))
}

/// Refuses what is too long.
pub(super) fn check(new: &NewMailbox) -> Result<(), Fault> {
    let about = new.about.as_ref().map_or(0, |about| about.as_bytes().len());
    check_bytes("a mailbox's name", new.name.len(), MAILBOX_NAME_BYTES_MAX, "use a shorter one")?;
    check_bytes("what a mailbox is about", about, ABOUT_BYTES_MAX, "ask with fewer words")
}

/// Opens a mailbox, again if it was closed. One that was answered stays so.
pub(super) fn open(tx: &Tx<'_>, run: RunId, new: &NewMailbox, now: Timestamp) -> Result<(), Fault> {
    let (until, about) = (new.until.map(nanos), new.about.as_ref().map(|about| &about.as_bytes()[..]));
    let token = new.token.as_ref().map(|token| &token[..]);
    match find(tx, run, &new.name)? {
        Some((_, MailboxState::Answered)) => {}
        Some((_, MailboxState::Open | MailboxState::Closed)) => {
            tx.conn
                .prepare_cached(
                    "UPDATE mailbox SET opened_at = iif(state = 0, opened_at, ?3), state = 0, until = ?4, \
                     token = coalesce(?5, token), about = ?6 WHERE run = ?1 AND name = ?2",
                )?
                .execute(params![run.0, new.name, nanos(now), until, token, about])?;
        }
        None => {
            let last: Option<i64> =
                tx.conn.prepare_cached(LAST)?.query_row([run.0], |row| row.get(0)).optional()?;
            let no = last.unwrap_or(0) + 1;
            tx.conn
                .prepare_cached(
                    "INSERT INTO mailbox (run, no, name, kind, state, opened_at, until, token, about) \
                     VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![run.0, no, new.name, new.kind.code(), nanos(now), until, token, about])?;
            let kept = rows(MAILBOXES_KEPT_MAX);
            if no > kept {
                tx.conn.prepare_cached(OLD)?.execute((run.0, no - kept))?;
            }
        }
    }
    Ok(())
}

/// A message is in the mailbox: one that takes one only takes no more.
pub(super) fn answer(tx: &Tx<'_>, run: RunId, name: &str) -> rusqlite::Result<()> {
    let signal = MailboxKind::Signal.code();
    tx.conn
        .prepare_cached("UPDATE mailbox SET state = 1 WHERE run = ?1 AND name = ?2 AND kind <> ?3")?
        .execute((run.0, name, signal))?;
    Ok(())
}

/// The mailbox's wait timed out.
pub(super) fn close(tx: &Tx<'_>, run: RunId, name: &str) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE mailbox SET state = 2 WHERE run = ?1 AND name = ?2 AND state = 0")?
        .execute((run.0, name))?;
    Ok(())
}

/// What answered it was no answer: it takes another one.
pub(super) fn reopen(tx: &Tx<'_>, run: RunId, name: &str) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE mailbox SET state = 0 WHERE run = ?1 AND name = ?2 AND state = 1")?
        .execute((run.0, name))?;
    Ok(())
}

/// A child's end was read: nobody asks for its mailbox any more.
pub(super) fn forget_child(tx: &Tx<'_>, run: RunId, name: &str) -> rusqlite::Result<()> {
    let child = MailboxKind::Child.code();
    tx.conn
        .prepare_cached("DELETE FROM mailbox WHERE run = ?1 AND name = ?2 AND kind = ?3")?
        .execute((run.0, name, child))?;
    Ok(())
}

/// A run that ended waits for nothing. That it had addresses is known for as long as the run is: who sends there late is
/// told so.
pub(super) fn clear(tx: &Tx<'_>, run: RunId) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("DELETE FROM mailbox WHERE run = ?1 AND token IS NULL")?.execute([run.0])?;
    tx.conn.prepare_cached(END)?.execute([run.0])?;
    Ok(())
}

/// The runs of a period are gone, but for those that it outlived.
pub(super) fn forget_period(conn: &Connection, over: &Period, next: &Period) -> rusqlite::Result<()> {
    conn.execute(
        &format!(
            "DELETE FROM mailbox WHERE run >= ?1 AND run < ?2 AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = mailbox.run) \
             AND NOT EXISTS (SELECT 1 FROM past_{KEPT} AS past WHERE past.id = mailbox.run)"
        ),
        (over.run_first, next.run_first),
    )?;
    Ok(())
}

/// A run is gone.
pub(super) fn forget(conn: &Connection, run: RunId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM mailbox WHERE run = ?1")?.execute([run.0])?;
    Ok(())
}

/// [`Store::mailboxes`](crate::Store::mailboxes).
pub(super) fn list(at: &mut Snapshot<'_>, filter: &MailboxFilter) -> Result<Vec<Mailbox>, Fault> {
    let limit = match filter.limit {
        0 => MAILBOXES_PAGE_DEFAULT,
        limit => limit.min(MAILBOXES_PAGE_MAX),
    };
    let is_wanted = |kind: &MailboxKind| filter.kind.is_none_or(|wanted| wanted == *kind);
    let kinds: Vec<_> = MailboxKind::ALL.into_iter().filter(is_wanted).collect();
    let is_wanted = |state: &MailboxState| filter.state.is_none_or(|wanted| wanted == *state);
    let states: Vec<_> = MailboxState::ALL.into_iter().filter(is_wanted).collect();
    let mut found = vec![];
    match filter.run {
        Some(run) => {
            let all = read(at, OF_RUN, (run.0, i64::MAX))?;
            found.extend(all.into_iter().filter(|is| kinds.contains(&is.kind) && states.contains(&is.state)));
        }
        None => {
            for (kind, state) in kinds.iter().flat_map(|kind| states.iter().map(move |state| (kind, state))) {
                found.extend(read(at, OF_KIND, (kind.code(), state.code(), rows(limit)))?);
            }
        }
    }
    found.sort_by_key(|mailbox| Reverse((mailbox.opened_at, mailbox.run)));
    found.truncate(limit);
    Ok(found)
}

/// A run's mailboxes.
const OF_RUN: &str = "SELECT run, name, kind, state, opened_at, until, about FROM mailbox WHERE run = ?1 \
     ORDER BY no DESC LIMIT ?2";

/// Mailboxes of a kind in a state: those opened last first.
const OF_KIND: &str = "SELECT run, name, kind, state, opened_at, until, about FROM mailbox \
     INDEXED BY mailbox_kind WHERE kind = ?1 AND state = ?2 ORDER BY opened_at DESC LIMIT ?3";

fn read(at: &Snapshot<'_>, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Mailbox>, Fault> {
    let mut query = at.conn.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(mailbox(row)?);
    }
    Ok(found)
}

fn mailbox(row: &Row<'_>) -> Result<Mailbox, Fault> {
    let about = row.get_ref(6)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Mailbox {
        run: RunId(row.get(0)?),
        name: row.get(1)?,
        kind: kind(row.get(2)?)?,
        state: state(row.get(3)?)?,
        opened_at: time(row.get(4)?),
        until: row.get::<_, Option<i64>>(5)?.map(time),
        about: about.map(|bytes| Payload::from_stored(Bytes::copy_from_slice(bytes))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    /// Each query is one search in one index, in the index's order: its time does not grow with what others wait for.
    #[test]
    fn finds_a_mailbox_without_looking_at_the_others() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        let plans = [
            (WITH_TOKEN, "SEARCH mailbox USING INDEX mailbox_token (token=?)"),
            (FIND, "SEARCH mailbox USING INDEX mailbox_name (run=? AND name=?)"),
            (LAST, "SEARCH mailbox USING PRIMARY KEY (run=?)"),
            (END, "SEARCH mailbox USING PRIMARY KEY (run=?)"),
            (OLD, "SEARCH mailbox USING PRIMARY KEY (run=? AND no<?)"),
            (OF_RUN, "SEARCH mailbox USING PRIMARY KEY (run=?)"),
            (OF_KIND, "SEARCH mailbox USING INDEX mailbox_kind (kind=? AND state=?)"),
        ];
        for (sql, plan) in plans {
            assert_eq!(schema::plan(&conn, sql), [plan], "{sql}");
        }
    }
}
