//! Runs that runs start: children, whose end their parent learns, and detached ones.
//!
//! What comes in: starts, in their parent's write, and from whatever ends a run, its end. What goes out: a message in the
//! parent's mailbox, in the commit of the end. What must never happen here: a child that is started twice, or whose end
//! nobody tells.

use bowline_model::{Entry, EntryKind, EventId, Payload, RunId, RunState, run::SUMMARY_BYTES_MAX};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    accept, chain,
    fault::{Fault, refused},
    journal, line, mail, mailbox, period,
    progress::{ended, standing},
    row::entry_ids,
    transaction::Tx,
};
use crate::{
    MailboxKind, MailboxState, NewMailbox, NewStart, RunWrite, StoreErrorKind, Transition,
    mail::{CANCEL_MAILBOX, FAMILY_MAILBOX, MAILBOX_NAME_BYTES_MAX},
};

/// The run of a start that its parent made before.
const KNOWN: &str = "SELECT run FROM child WHERE parent = ?1 AND source = ?2 AND key = ?3";

/// Who is to learn a run's end.
const TOLD: &str =
    "SELECT parent, mailbox FROM child INDEXED BY child_told WHERE run = ?1 AND mailbox IS NOT NULL";

/// The runs whose end a run waits for.
const WAITED_FOR: &str = "SELECT run FROM child WHERE parent = ?1 AND mailbox IS NOT NULL";

/// Those of them that may come to their end by themselves.
const OPEN_WAITED_FOR: &str = "SELECT run.id FROM child JOIN run ON run.id = child.run \
     WHERE child.parent = ?1 AND child.mailbox IS NOT NULL AND run.state <> 5 ORDER BY run.id";

/// Children of children that wait for each other, at most: a workflow that starts itself without end is found out.
pub(super) const DEPTH_MAX: usize = 100;

/// The newest output in a run's journal.
fn output_query(home: i64) -> String {
    format!(
        "SELECT payload FROM entry_{home} WHERE id BETWEEN ?1 AND ?2 AND kind = ?3 ORDER BY id DESC LIMIT 1"
    )
}

/// Refuses a start that is not one, or too large.
pub(super) fn check(write: &RunWrite, start: &NewStart) -> Result<(), Fault> {
    accept::check_event(&start.event)?;
    let name = start.tells.as_ref().map_or(0, String::len);
    mail::check_bytes("a mailbox's name", name, MAILBOX_NAME_BYTES_MAX, "use a shorter one")?;
    let [run] = &start.event.runs[..] else {
        let message =
            format!("run {} starts {} runs of one event, not one", write.run, start.event.runs.len());
        return Err(refused(StoreErrorKind::Conflict, message));
    };
    if run.parent != Some(write.run) {
        let message = format!("run {} starts a run of another parent", write.run);
        return Err(refused(StoreErrorKind::Conflict, message));
    }
    if start.continues && write.transition != Some(Transition::Complete) {
        let message = format!("run {} goes on as another run, but does not complete", write.run);
        return Err(refused(StoreErrorKind::Conflict, message));
    }
    journal::check(RunId(0), &run.journal, 0)
}

/// Starts a run, unless it was started before; or waits for the one that an earlier start made. `None`: it could never
/// come to its end, and its parent is told why.
pub(super) fn start(
    tx: &mut Tx<'_>,
    parent: RunId,
    start: &NewStart,
    now: Timestamp,
) -> Result<Option<RunId>, Fault> {
    let source = tx.names.intern(tx.conn, &start.event.source)?;
    if let Some(known) = known(tx, parent, source, &start.event.dedupe_key)? {
        take_up(tx, parent, source, start, known, now)?;
        return Ok(Some(known));
    }
    if let Some(name) = &start.tells
        && mailbox::find(tx, parent, name)?.is_none()
    {
        let (name, kind) = (name.clone(), MailboxKind::Child);
        mailbox::open(tx, parent, &NewMailbox { name, kind, token: None, until: None, about: None }, now)?;
    }
    if let Some(attached) = attach(tx, parent, source, start, now)? {
        return Ok(Some(attached));
    }
    if let Some(name) = &start.tells
        && let Some(why) = unending(tx, parent)?
    {
        let end = serde_json::json!({"state": RunState::Cancelled, "why": why});
        put(tx, parent, name, &Payload::from_stored(end.to_string()), now)?;
        return Ok(None);
    }
    let run = accept::start_one(tx, source, &start.event, now)?;
    note(tx, parent, source, &start.event.dedupe_key, run, start.tells.as_deref())?;
    let is_unique = start.event.runs.iter().any(|run| run.flow.unique.is_some());
    // One that may not run beside another was cancelled as it came.
    if is_unique && let Some(past) = ended(tx, run)? {
        tell(tx, run, past.state, past.home, now)?;
    }
    if start.continues {
        tx.conn
            .prepare_cached("UPDATE child SET run = ?2 WHERE run = ?1 AND mailbox IS NOT NULL")?
            .execute((parent.0, run.0))?;
        mail::hand_over(tx, parent, run)?;
        chain::go_on(tx.conn, parent, run)?;
    }
    let key = start.event.runs.iter().find_map(|run| run.key.as_deref());
    line::go_beside(tx, key, run, now)?;
    Ok(Some(run))
}

/// Why a child could never come to its end, if so: who waits for whom is followed upwards.
fn unending(tx: &Tx<'_>, parent: RunId) -> Result<Option<String>, Fault> {
    let mut waiting = parent;
    for _ in 0..DEPTH_MAX {
        let mut above = tx.conn.prepare_cached(TOLD)?;
        let Some(run) = above.query_row([waiting.0], |row| row.get(0).map(RunId)).optional()? else {
            return Ok(None);
        };
        waiting = run;
    }
    Ok(Some(format!("{DEPTH_MAX} runs wait for each other already, each for its child; use a loop")))
}

fn known(tx: &Tx<'_>, parent: RunId, source: i64, key: &str) -> rusqlite::Result<Option<RunId>> {
    tx.conn.prepare_cached(KNOWN)?.query_row((parent.0, source, key), |row| row.get(0).map(RunId)).optional()
}

fn note(
    tx: &Tx<'_>,
    parent: RunId,
    source: i64,
    key: &str,
    run: RunId,
    mailbox: Option<&str>,
) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("INSERT INTO child (parent, source, key, run, mailbox) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![parent.0, source, key, run.0, mailbox])?;
    Ok(())
}

/// The parent waits again for a child that it had gone on without: an operator's retry took it back there.
fn take_up(
    tx: &mut Tx<'_>,
    parent: RunId,
    source: i64,
    start: &NewStart,
    run: RunId,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(name) = &start.tells else { return Ok(()) };
    if standing(tx, run)?.is_some() {
        tx.conn
            .prepare_cached("UPDATE child SET mailbox = ?4 WHERE parent = ?1 AND source = ?2 AND key = ?3")?
            .execute(params![parent.0, source, start.event.dedupe_key, name])?;
    } else if let Some(past) = ended(tx, run)? {
        let end = end_of(tx, run, past.state, past.home)?;
        put(tx, parent, name, &end, now)?;
    }
    Ok(())
}

/// The run of an earlier start, if it completed, or may yet: this start's mailbox learns its end.
fn attach(
    tx: &mut Tx<'_>,
    parent: RunId,
    source: i64,
    start: &NewStart,
    now: Timestamp,
) -> Result<Option<RunId>, Fault> {
    let Some(earlier) = &start.earlier else { return Ok(None) };
    let Some(run) = known(tx, parent, source, earlier)? else { return Ok(None) };
    if standing(tx, run)?.is_some() {
        tx.conn
            .prepare_cached("UPDATE child SET mailbox = NULL WHERE parent = ?1 AND source = ?2 AND key = ?3")?
            .execute((parent.0, source, earlier))?;
        note(tx, parent, source, &start.event.dedupe_key, run, start.tells.as_deref())?;
        return Ok(Some(run));
    }
    let Some(past) = ended(tx, run)?.filter(|past| past.state == RunState::Completed) else {
        return Ok(None);
    };
    note(tx, parent, source, &start.event.dedupe_key, run, None)?;
    if let Some(name) = &start.tells {
        let end = end_of(tx, run, past.state, past.home)?;
        put(tx, parent, name, &end, now)?;
    }
    Ok(Some(run))
}

/// The parent waits no more for what that mailbox would tell.
pub(super) fn abandon(tx: &Tx<'_>, parent: RunId, name: &str) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE child SET mailbox = NULL WHERE parent = ?1 AND mailbox = ?2")?
        .execute((parent.0, name))?;
    Ok(())
}

/// [`Store::waited_for`](crate::Store::waited_for).
pub(super) fn waited_for(conn: &Connection, run: RunId) -> rusqlite::Result<Vec<RunId>> {
    conn.prepare_cached(OPEN_WAITED_FOR)?.query_map([run.0], |row| row.get(0).map(RunId))?.collect()
}

/// What a child is told begins so, whoever tells it.
const PARENT_CANCELLED: (&str, &str) = ("its parent, run ", ", was cancelled: ");

/// A run is cancelled, or undone from now on, as its last entries say: the runs whose end it waits for are told in the same
/// commit. So nothing new is begun anywhere in the family once each of them has looked, whatever crashes in between.
pub(super) fn tell_cancelled(
    tx: &mut Tx<'_>,
    parent: RunId,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), Fault> {
    let ends = entries.iter().find(|entry| matches!(entry.kind, EntryKind::Cancelled | EntryKind::Undoing));
    let Some(note) = ends.map(|entry| entry.meta.note.as_deref().unwrap_or_default()) else { return Ok(()) };
    let (its_parent, was_cancelled) = PARENT_CANCELLED;
    // The first reason, however far above.
    let told = note.strip_prefix(its_parent).and_then(|rest| rest.split_once(was_cancelled));
    let why = format!("{its_parent}{parent}{was_cancelled}{}", told.map_or(note, |(_, first)| first));
    let why = Payload::encode(&why[..why.floor_char_boundary(SUMMARY_BYTES_MAX)]).expect("a text is JSON");
    let mut children: Vec<RunId> = tx
        .conn
        .prepare_cached(WAITED_FOR)?
        .query_map([parent.0], |row| row.get(0).map(RunId))?
        .collect::<Result<_, _>>()?;
    children.sort_unstable();
    for child in children {
        // A dead letter keeps it for its retry.
        if !mail::is_told(tx, child, CANCEL_MAILBOX)? && standing(tx, child)?.is_some() {
            mail::deliver(tx, child, CANCEL_MAILBOX, None, &why, now)?;
        }
    }
    Ok(())
}

/// A run became a dead letter. That is no end; but one that is undone waits for no person.
fn tell_dead(tx: &mut Tx<'_>, run: RunId, now: Timestamp) -> Result<(), Fault> {
    if !mail::is_told(tx, run, CANCEL_MAILBOX)? {
        return Ok(());
    }
    let parent: Option<i64> =
        tx.conn.prepare_cached(TOLD)?.query_row([run.0], |row| row.get(0)).optional()?;
    if let Some(parent) = parent.map(RunId) {
        mail::deliver(tx, parent, FAMILY_MAILBOX, None, &Payload::from_stored("null"), now)?;
    }
    Ok(())
}

/// A run is open no more: whoever started it and waits learns it. Not of a dead letter: a person retries or discards it,
/// and that is its end.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    run: RunId,
    state: RunState,
    home: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    if state == RunState::DeadLettered {
        return tell_dead(tx, run, now);
    }
    let told: Vec<(i64, String)> =
        tx.conn.prepare_cached(TOLD)?.query_map([run.0], |row| row.try_into())?.collect::<Result<_, _>>()?;
    if told.is_empty() {
        return Ok(());
    }
    let end = end_of(tx, run, state, home)?;
    for (parent, name) in told {
        put(tx, RunId(parent), &name, &end, now)?;
    }
    tx.conn
        .prepare_cached("UPDATE child SET mailbox = NULL WHERE run = ?1 AND mailbox IS NOT NULL")?
        .execute([run.0])?;
    Ok(())
}

/// Into the parent's mailbox, if that one still waits. A dead letter does, for its retry.
fn put(tx: &mut Tx<'_>, parent: RunId, name: &str, end: &Payload, now: Timestamp) -> Result<(), Fault> {
    let is_open = matches!(mailbox::find(tx, parent, name)?, Some((_, MailboxState::Open)));
    if is_open {
        mail::deliver(tx, parent, name, None, end, now)?;
    }
    Ok(())
}

/// How a run ended, as its parent reads it.
fn end_of(tx: &Tx<'_>, run: RunId, state: RunState, home: i64) -> Result<Payload, Fault> {
    let (first, last) = entry_ids(run);
    let mut text = format!(r#"{{"run":{run},"state":"{state}","#).into_bytes();
    match state {
        RunState::Completed => {
            let output: Option<Option<Vec<u8>>> = tx
                .conn
                .prepare_cached(&output_query(home))?
                .query_row((first, last, EntryKind::Completed.code()), |row| row.get(0))
                .optional()?;
            text.extend_from_slice(br#""output":"#);
            text.extend(output.flatten().unwrap_or_else(|| b"null".to_vec()));
        }
        RunState::Cancelled | RunState::DeadLettered => {
            let table = if state == RunState::Cancelled { format!("past_{home}") } else { "run".to_owned() };
            let why: Option<String> = tx
                .conn
                .prepare_cached(&format!("SELECT summary FROM {table} WHERE id = ?1"))?
                .query_row([run.0], |row| row.get(0))?;
            text.extend_from_slice(br#""why":"#);
            text.extend(serde_json::to_vec(&why).expect("a text is JSON"));
        }
        RunState::Queued | RunState::Running | RunState::Waiting => {
            unreachable!("only a run that ended is told")
        }
    }
    text.push(b'}');
    Ok(Payload::from_stored(text))
}

/// A run that ended waits for none of those that it started, and starts none again.
pub(super) fn clear(tx: &Tx<'_>, parent: RunId) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("DELETE FROM child WHERE parent = ?1")?.execute([parent.0])?;
    Ok(())
}

/// The runs that an earlier copy of a write started, also if that ended their parent.
pub(super) fn started_before(
    tx: &mut Tx<'_>,
    parent: RunId,
    starts: &[NewStart],
) -> Result<Vec<RunId>, Fault> {
    let mut found = Vec::with_capacity(starts.len());
    let mut of_parent: Option<Vec<(RunId, EventId)>> = None;
    for start in starts {
        let source = tx.names.intern(tx.conn, &start.event.source)?;
        let mut run = known(tx, parent, source, &start.event.dedupe_key)?;
        if run.is_none() {
            let all = match &mut of_parent {
                Some(all) => all,
                none => none.insert(runs_of(tx, parent)?),
            };
            for key in [Some(&start.event.dedupe_key), start.earlier.as_ref()].into_iter().flatten() {
                for (candidate, event) in &*all {
                    if run.is_none() && is_event(tx, *event, source, key)? {
                        run = Some(*candidate);
                    }
                }
            }
        }
        found.extend(run);
    }
    Ok(found)
}

fn runs_of(tx: &Tx<'_>, parent: RunId) -> Result<Vec<(RunId, EventId)>, Fault> {
    let mut tables = vec![("run".to_owned(), "run_parent".to_owned())];
    for no in period::newest_first(tx.conn)? {
        tables.push((format!("past_{no}"), format!("past_{no}_parent")));
    }
    let mut found = vec![];
    for (table, index) in tables {
        let mut query = tx
            .conn
            .prepare_cached(&format!("SELECT id, event FROM {table} INDEXED BY {index} WHERE parent = ?1"))?;
        for row in query.query_map([parent.0], |row| Ok((RunId(row.get(0)?), EventId(row.get(1)?))))? {
            found.push(row?);
        }
    }
    Ok(found)
}

fn is_event(tx: &Tx<'_>, event: EventId, source: i64, key: &str) -> Result<bool, Fault> {
    let Some(no) = period::holding_event(tx.conn, event.0)? else { return Ok(false) };
    let is_it = tx
        .conn
        .prepare_cached(&format!(
            "SELECT 1 FROM event_{no} WHERE id = ?1 AND source = ?2 AND dedupe_key = ?3"
        ))?
        .exists((event.0, source, key))?;
    Ok(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    #[test]
    fn finds_a_runs_family_without_looking_at_others() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        let output = output_query(1);
        let plans = [
            (KNOWN, "SEARCH child USING PRIMARY KEY (parent=? AND source=? AND key=?)"),
            (TOLD, "SEARCH child USING INDEX child_told (run=?)"),
            (WAITED_FOR, "SEARCH child USING PRIMARY KEY (parent=?)"),
            (&output, "SEARCH entry_1 USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ];
        for (sql, plan) in plans {
            assert_eq!(schema::plan(&conn, sql), [plan], "{sql}");
        }
    }
}
