//! Messages to runs.
//!
//! What comes in: posts, and the ends of children. What goes out: a run's messages, until one of its entries delivers
//! them. That a run can go on with a message is in its row, in the commit of the message or, if the run went to rest
//! meanwhile, in the commit of its rest: no crash and no missed hint lets it sleep. What must never happen here: a message
//! that is kept and never read, or read twice.

use bowline_model::{MessageId, Payload, RunId, RunState};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    chain,
    fault::{Fault, refused},
    mailbox,
    progress::{ended, standing},
    queue::Write,
    readers::Snapshot,
    row::{nanos, time},
    transaction::Tx,
};
use crate::{
    Address, MailboxKind, MailboxState, Message, Post, Posted, StoreErrorKind,
    mail::{
        CANCEL_MAILBOX, MAILBOX_NAME_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX, POST_ID_BYTES_MAX,
        POST_IDS_KEPT_MAX, SIGNAL_PREFIX, UNREAD_BYTES_MAX,
    },
};

/// Whether a run has as many unread messages.
const HAS_MANY: &str =
    "SELECT 1 FROM message INDEXED BY message_unread WHERE run = ?1 AND is_read = 0 LIMIT 1 OFFSET ?2";

/// How many bytes its unread messages have. (The length of a blob is read without the blob.)
const UNREAD_BYTES: &str = "SELECT coalesce(sum(length(body)), 0) FROM message INDEXED BY message_unread \
     WHERE run = ?1 AND is_read = 0";

/// Whether a run has an unread message after that one.
const HAS_LATER: &str =
    "SELECT 1 FROM message INDEXED BY message_unread WHERE run = ?1 AND is_read = 0 AND id > ?2 LIMIT 1";

/// A run's unread messages.
const UNREAD: &str = "SELECT id, mailbox, at, body FROM message INDEXED BY message_unread \
     WHERE run = ?1 AND is_read = 0 ORDER BY id";

/// Whether a message of a run is unread.
const IS_UNREAD: &str = "SELECT 1 FROM message WHERE id = ?1 AND run = ?2 AND is_read = 0";

/// The unread messages in a mailbox.
const UNREAD_IN: &str = "SELECT id FROM message INDEXED BY message_unread \
     WHERE run = ?1 AND is_read = 0 AND mailbox = ?2 ORDER BY id";

/// Whether a message with that id at its sender was kept.
const IS_KNOWN: &str = "SELECT 1 FROM message INDEXED BY message_post \
     WHERE run = ?1 AND mailbox = ?2 AND post_id = ?3 LIMIT 1";

/// The newest of a run's read messages that is too old to be known any more.
const NO_LONGER_KNOWN: &str = "SELECT id FROM message INDEXED BY message_read \
     WHERE run = ?1 AND is_read = 1 ORDER BY id DESC LIMIT 1 OFFSET ?2";

/// Whether a run has an unread message in that mailbox.
const IS_TOLD: &str = "SELECT 1 FROM message INDEXED BY message_unread \
     WHERE run = ?1 AND is_read = 0 AND mailbox = ?2 LIMIT 1";

const CLEAR_UNREAD: &str = "DELETE FROM message WHERE run = ?1 AND is_read = 0";
const CLEAR_READ: &str = "DELETE FROM message WHERE run = ?1 AND is_read = 1";
const ABANDON: &str = "DELETE FROM message WHERE run = ?1 AND is_read = 0 AND mailbox = ?2";
const HAND_OVER_READ: &str = "UPDATE message SET run = ?2 WHERE run = ?1 AND is_read = 1";
const HAND_OVER: &str = "UPDATE message SET run = ?2 WHERE run = ?1 AND is_read = 0 AND (mailbox = ?5 OR substr(mailbox, 1, ?4) = ?3)";

/// Runs under way that have unread messages.
const RUNNING_WITH_MAIL: &str = "SELECT id FROM run INDEXED BY run_state WHERE state = 1 AND EXISTS \
     (SELECT 1 FROM message INDEXED BY message_unread WHERE run = run.id AND is_read = 0) ORDER BY id";

impl Write for Post {
    type Out = Posted;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Posted, Fault> {
        self.check()?;
        let (run, name) = match &self.to {
            Address::Mailbox { run, name } => (*run, name.clone()),
            Address::Token(token) => match mailbox::with_token(tx, token)? {
                Some(found) => found,
                None => return Ok(Posted::NoSuchMailbox),
            },
        };
        let run = match standing(tx, run)? {
            // Who sends knows the run that it once was.
            None if name.starts_with(SIGNAL_PREFIX) => chain::latest(tx.conn, run)?.unwrap_or(run),
            Some(_) | None => run,
        };
        match self.refusal(tx, run, &name)? {
            Some(refusal) => Ok(refusal),
            None => {
                let message = deliver(tx, run, &name, self.id.as_deref(), &self.body, self.now)?;
                Ok(Posted::Kept { run, message })
            }
        }
    }

    fn payload_bytes(&self) -> usize {
        self.body.as_bytes().len()
    }
}

impl Post {
    fn check(&self) -> Result<(), Fault> {
        let name = match &self.to {
            Address::Mailbox { name, .. } => name.len(),
            Address::Token(_) => 0,
        };
        let id = self.id.as_ref().map_or(0, String::len);
        check_bytes("a message", self.body.as_bytes().len(), MESSAGE_BYTES_MAX, "send a reference")?;
        check_bytes("a message's id", id, POST_ID_BYTES_MAX, "use a hash")?;
        check_bytes("a mailbox's name", name, MAILBOX_NAME_BYTES_MAX, "use a shorter one")
    }

    /// Why the message is not kept, if it is not.
    fn refusal(&self, tx: &Tx<'_>, run: RunId, name: &str) -> Result<Option<Posted>, Fault> {
        let Some(standing) = standing(tx, run)? else {
            let past = ended(tx, run)?.map(|past| Posted::Ended { run, state: past.state });
            return Ok(Some(past.unwrap_or(Posted::NoSuchRun)));
        };
        if let Some(id) = &self.id
            && tx.conn.prepare_cached(IS_KNOWN)?.exists((run.0, name, id))?
        {
            return Ok(Some(Posted::Duplicate { run }));
        }
        // A dead letter may go on: what it waits for is kept for its retry.
        if !standing.state.is_open() && standing.state != RunState::DeadLettered {
            return Ok(Some(Posted::Ended { run, state: standing.state }));
        }
        match mailbox::find(tx, run, name)? {
            Some((MailboxKind::Child, _)) => return Ok(Some(Posted::NoSuchMailbox)),
            Some((_, MailboxState::Answered)) => return Ok(Some(Posted::Answered { run })),
            Some((_, MailboxState::Closed)) => return Ok(Some(Posted::Closed { run })),
            Some((_, MailboxState::Open)) => {}
            // A signal may come before its wait.
            None if name.starts_with(SIGNAL_PREFIX) => {}
            None => return Ok(Some(Posted::NoSuchMailbox)),
        }
        let has_many = tx.conn.prepare_cached(HAS_MANY)?.exists((run.0, rows(MESSAGES_MAX - 1)))?;
        let bytes: i64 = tx.conn.prepare_cached(UNREAD_BYTES)?.query_row([run.0], |row| row.get(0))?;
        let has_much = bytes + rows(self.body.as_bytes().len()) > rows(UNREAD_BYTES_MAX);
        Ok((has_many || has_much).then_some(Posted::TooMany { limit: MESSAGES_MAX }))
    }
}

/// Refuses what is longer than its limit.
pub(super) fn check_bytes(what: &str, bytes: usize, limit: usize, hint: &str) -> Result<(), Fault> {
    if bytes <= limit {
        return Ok(());
    }
    Err(refused(StoreErrorKind::Limit, format!("{what} has {bytes} bytes (limit {limit}); {hint}")))
}

/// A count, as tables count.
pub(super) fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Puts a message into an open mailbox; its run can go on.
pub(super) fn deliver(
    tx: &mut Tx<'_>,
    run: RunId,
    name: &str,
    post_id: Option<&str>,
    body: &Payload,
    now: Timestamp,
) -> rusqlite::Result<MessageId> {
    tx.conn
        .prepare_cached(
            "INSERT INTO message (run, mailbox, post_id, at, is_read, body) VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        )?
        .execute(params![run.0, name, post_id, nanos(now), &body.as_bytes()[..]])?;
    let message = MessageId(tx.conn.last_insert_rowid());
    mailbox::answer(tx, run, name)?;
    wake(tx, run, now)?;
    Ok(message)
}

/// A run that waits can be claimed at once. Its place in a line stays as it is: it was in front while it waited.
fn wake(tx: &mut Tx<'_>, run: RunId, now: Timestamp) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE run SET ready = 1, due = ?2 WHERE id = ?1 AND state = 2 AND ready IS NOT 1")?
        .execute((run.0, nanos(now)))?;
    tx.mailed.push(run);
    Ok(())
}

/// A run goes to rest: it does not, if there is a message that its code does not know of.
pub(super) fn wake_if_unseen(
    tx: &mut Tx<'_>,
    run: RunId,
    seen: Option<MessageId>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let seen = seen.map_or(i64::MIN, |seen| seen.0);
    if tx.conn.prepare_cached(HAS_LATER)?.exists((run.0, seen))? {
        wake(tx, run, now)?;
    }
    Ok(())
}

/// [`Store::mail`](crate::Store::mail).
pub(super) fn unread(conn: &Connection, run: RunId) -> rusqlite::Result<Vec<Message>> {
    conn.prepare_cached(UNREAD)?
        .query_map([run.0], |row| {
            Ok(Message {
                id: MessageId(row.get(0)?),
                mailbox: row.get(1)?,
                at: time(row.get(2)?),
                body: Payload::from_stored(Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?)),
            })
        })?
        .collect()
}

/// Runs under way that have unread messages: all whom a hint that was not kept could have been about.
pub(super) fn running_with_mail(at: &mut Snapshot<'_>) -> Result<Vec<RunId>, Fault> {
    let mut query = at.conn.prepare_cached(RUNNING_WITH_MAIL)?;
    let runs = query.query_map([], |row| row.get(0).map(RunId))?;
    Ok(runs.collect::<Result<_, _>>()?)
}

/// Refuses to take what is not there.
pub(super) fn check_unread<'a>(
    tx: &Tx<'_>,
    run: RunId,
    takes: impl Iterator<Item = &'a MessageId>,
) -> Result<(), Fault> {
    for id in takes {
        if !tx.conn.prepare_cached(IS_UNREAD)?.exists((id.0, run.0))? {
            let message = format!("run {run} has no unread message {id}; read its mail again");
            return Err(refused(StoreErrorKind::Conflict, message));
        }
    }
    Ok(())
}

/// Refuses to end a wait where a message is that this write does not take.
pub(super) fn check_empty<'a>(
    tx: &Tx<'_>,
    run: RunId,
    mailboxes: impl Iterator<Item = &'a String>,
    consumes: &[MessageId],
) -> Result<(), Fault> {
    for name in mailboxes {
        let mut query = tx.conn.prepare_cached(UNREAD_IN)?;
        for id in query.query_map((run.0, name), |row| row.get(0).map(MessageId))? {
            let id = id?;
            if !consumes.contains(&id) {
                let message =
                    format!("message {id} came to {name} of run {run} before its wait ended; read the mail");
                return Err(refused(StoreErrorKind::Overtaken, message));
            }
        }
    }
    Ok(())
}

/// Nobody could read these: they go, and their mailboxes take another message.
pub(super) fn give_up(tx: &Tx<'_>, run: RunId, returns: &[MessageId]) -> rusqlite::Result<()> {
    for id in returns {
        let name: Option<String> = tx
            .conn
            .prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING mailbox")?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        if let Some(name) = name {
            mailbox::reopen(tx, run, &name)?;
        }
    }
    Ok(())
}

/// Nobody waits for what is unread there.
pub(super) fn abandon(tx: &Tx<'_>, run: RunId, name: &str) -> rusqlite::Result<()> {
    tx.conn.prepare_cached(ABANDON)?.execute((run.0, name))?;
    Ok(())
}

/// The messages are read. Their ids at their senders are known for a while.
pub(super) fn consume(tx: &Tx<'_>, run: RunId, consumes: &[MessageId]) -> rusqlite::Result<()> {
    let mut forgets = false;
    for id in consumes {
        let found: Option<(String, bool)> = tx
            .conn
            .prepare_cached("SELECT mailbox, post_id IS NOT NULL FROM message WHERE id = ?1")?
            .query_row([id.0], |row| row.try_into())
            .optional()?;
        let Some((name, has_id)) = found else { continue };
        let read = match has_id {
            true => "UPDATE message SET is_read = 1, body = x'' WHERE id = ?1",
            false => "DELETE FROM message WHERE id = ?1",
        };
        tx.conn.prepare_cached(read)?.execute([id.0])?;
        mailbox::forget_child(tx, run, &name)?;
        forgets |= has_id;
    }
    if forgets {
        let old: Option<i64> = tx
            .conn
            .prepare_cached(NO_LONGER_KNOWN)?
            .query_row((run.0, rows(POST_IDS_KEPT_MAX)), |row| row.get(0))
            .optional()?;
        tx.conn
            .prepare_cached("DELETE FROM message WHERE run = ?1 AND is_read = 1 AND id <= ?2")?
            .execute((run.0, old))?;
    }
    Ok(())
}

/// Whether a run has an unread message in that mailbox.
pub(super) fn is_told(tx: &Tx<'_>, run: RunId, mailbox: &str) -> rusqlite::Result<bool> {
    tx.conn.prepare_cached(IS_TOLD)?.exists((run.0, mailbox))
}

/// Signals that nobody read are the run's that goes on in this one's place; so is that it is cancelled. The ids of those
/// that were read are known there: what is sent again to the run that it was comes to the one that it is.
pub(super) fn hand_over(tx: &Tx<'_>, from: RunId, to: RunId) -> rusqlite::Result<()> {
    let prefix_len = rows(SIGNAL_PREFIX.len());
    tx.conn.prepare_cached(HAND_OVER_READ)?.execute((from.0, to.0))?;
    tx.conn.prepare_cached(HAND_OVER)?.execute((from.0, to.0, SIGNAL_PREFIX, prefix_len, CANCEL_MAILBOX))?;
    Ok(())
}

/// A run that ended needs no messages.
pub(super) fn clear(tx: &Tx<'_>, run: RunId) -> rusqlite::Result<()> {
    tx.conn.prepare_cached(CLEAR_UNREAD)?.execute([run.0])?;
    tx.conn.prepare_cached(CLEAR_READ)?.execute([run.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    /// Each query is one search in one index, in the index's order: its time does not grow with what others have.
    #[test]
    fn finds_a_runs_messages_without_looking_at_those_of_others() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        let by_run = "SEARCH message USING INDEX message_unread (run=?)";
        let plans = [
            (HAS_MANY, "SEARCH message USING COVERING INDEX message_unread (run=?)"),
            (HAS_LATER, "SEARCH message USING COVERING INDEX message_unread (run=? AND id>?)"),
            (UNREAD, by_run),
            (UNREAD_BYTES, by_run),
            (UNREAD_IN, by_run),
            (IS_TOLD, by_run),
            (IS_UNREAD, "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                IS_KNOWN,
                "SEARCH message USING COVERING INDEX message_post (run=? AND mailbox=? AND post_id=?)",
            ),
            (NO_LONGER_KNOWN, "SEARCH message USING COVERING INDEX message_read (run=?)"),
            (CLEAR_UNREAD, by_run),
            (CLEAR_READ, "SEARCH message USING INDEX message_read (run=?)"),
            (ABANDON, by_run),
            (HAND_OVER, by_run),
            (HAND_OVER_READ, "SEARCH message USING INDEX message_read (run=?)"),
        ];
        for (sql, plan) in plans {
            assert_eq!(schema::plan(&conn, sql), [plan], "{sql}");
        }
        let running = schema::plan(&conn, RUNNING_WITH_MAIL);
        assert!(running[0].starts_with("SEARCH run USING COVERING INDEX run_state (state=?)"), "{running:?}");
    }
}
