//! What readers ask.

use bowline_model::{Entry, EntryKey, EntryKind, Event, EventId, Payload, Run, RunId, RunState};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params, types::Value};

use super::{
    fault::{Fault, refused},
    mail, pause, period,
    readers::Snapshot,
    row::{self, ENTRY_COLUMNS, EVENT_COLUMNS, RUN_COLUMNS, entry_ids, nanos, time},
    transaction::Ledger,
};
use crate::{
    Counts, History, RunFilter, StoreError, StoreErrorKind,
    store::{RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX},
};

/// A run and the period that holds its journal.
fn find_run(at: &mut Snapshot<'_>, run: RunId) -> Result<Option<(Run, i64)>, Fault> {
    let mut hot = at.conn.prepare_cached(&format!("SELECT {RUN_COLUMNS}, home FROM run WHERE id = ?1"))?;
    let mut rows = hot.query([run.0])?;
    if let Some(row) = rows.next()? {
        return Ok(Some((row::run(at.conn, at.names, row)?, row.get("home")?)));
    }
    for no in period::of_run(at.conn, run.0)? {
        let mut past =
            at.conn.prepare_cached(&format!("SELECT {RUN_COLUMNS} FROM past_{no} WHERE id = ?1"))?;
        let mut rows = past.query([run.0])?;
        if let Some(row) = rows.next()? {
            return Ok(Some((row::run(at.conn, at.names, row)?, no)));
        }
    }
    Ok(None)
}

/// [`Store::run`](crate::Store::run).
pub(super) fn run(at: &mut Snapshot<'_>, run: RunId) -> Result<Option<Run>, Fault> {
    Ok(find_run(at, run)?.map(|(run, _)| run))
}

/// [`Store::event`](crate::Store::event).
pub(super) fn event(at: &mut Snapshot<'_>, event: EventId) -> Result<Option<Event>, Fault> {
    for no in period::of_event(at.conn, event.0)? {
        let mut query =
            at.conn.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM event_{no} WHERE id = ?1"))?;
        let mut rows = query.query([event.0])?;
        if let Some(row) = rows.next()? {
            return row::event(at.conn, at.names, row).map(Some);
        }
    }
    Ok(None)
}

/// [`Store::journal`](crate::Store::journal).
pub(super) fn journal(at: &mut Snapshot<'_>, run: RunId) -> Result<Vec<Entry>, Fault> {
    match find_run(at, run)? {
        Some((found, home)) if found.journal_len > 0 => journal_in(at, run, home),
        Some(_) | None => Ok(vec![]),
    }
}

fn journal_in(at: &mut Snapshot<'_>, run: RunId, home: i64) -> Result<Vec<Entry>, Fault> {
    let mut query = at.conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS} FROM entry_{home} WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
    ))?;
    let mut rows = query.query(entry_ids(run))?;
    let mut journal = vec![];
    while let Some(row) = rows.next()? {
        journal.push(row::entry(at.conn, at.names, row)?);
    }
    Ok(journal)
}

/// [`Store::forks`](crate::Store::forks).
pub(super) fn forks(at: &mut Snapshot<'_>, runs: &[RunId]) -> Result<Vec<(RunId, EntryKey)>, Fault> {
    let mut forks = vec![];
    for run in runs {
        let found = find_run(at, *run)?;
        let Some((_, home)) = found.filter(|(run, _)| run.replay_of.is_some() && run.journal_len > 0) else {
            continue;
        };
        // How a fork's journal begins. What it took with it may be large, and is not read.
        let mut query =
            at.conn.prepare_cached(&format!("SELECT meta FROM entry_{home} WHERE id = ?1 AND kind = ?2"))?;
        let mut rows = query.query(params![row::entry_id(*run, 1), EntryKind::Inherited.code()])?;
        if let Some(row) = rows.next()?
            && let Some(step) = row::meta(row, 0)?.forked_from
        {
            forks.push((*run, step));
        }
    }
    Ok(forks)
}

/// [`Store::output`](crate::Store::output).
pub(super) fn output(at: &mut Snapshot<'_>, run: RunId) -> Result<Option<Payload>, Fault> {
    let Some((Run { state: RunState::Completed, .. }, home)) = find_run(at, run)? else { return Ok(None) };
    // From the end, where it is: one row, or the few notes behind it.
    let mut query = at.conn.prepare_cached(&format!(
        "SELECT {ENTRY_COLUMNS} FROM entry_{home} WHERE id BETWEEN ?1 AND ?2 AND kind = ?3 ORDER BY id DESC LIMIT 1"
    ))?;
    let (first, last) = entry_ids(run);
    let mut rows = query.query(params![first, last, EntryKind::Completed.code()])?;
    match rows.next()? {
        Some(row) => Ok(row::entry(at.conn, at.names, row)?.payload),
        None => Ok(None),
    }
}

/// [`Store::histories`](crate::Store::histories).
pub(super) fn histories(
    at: &mut Snapshot<'_>,
    runs: &[RunId],
) -> Result<Vec<Result<History, StoreError>>, Fault> {
    runs.iter()
        .map(|run| match history(at, *run) {
            Ok(history) => Ok(Ok(history)),
            Err(Fault::Refused(error)) => Ok(Err(error)),
            Err(fault @ (Fault::Sqlite(_) | Fault::Failed(_))) => Err(fault),
        })
        .collect()
}

fn history(at: &mut Snapshot<'_>, run: RunId) -> Result<History, Fault> {
    let missing = |what: String| refused(StoreErrorKind::NotFound, format!("no {what} is stored"));
    let (found, home) = find_run(at, run)?.ok_or_else(|| missing(format!("run {run}")))?;
    let event = event(at, found.event)?.ok_or_else(|| missing(format!("event {}", found.event)))?;
    // Most claimed runs are new: no need to look for their journal.
    let journal = if found.journal_len > 0 { journal_in(at, run, home)? } else { vec![] };
    // The run's own event is the first of its batch, if it has one.
    let batch = batch_of(at, run)?;
    Ok(History { event, journal, mail: mail::unread(at.conn, run)?, batch })
}

/// The events that a run has taken together, in the order in which they came.
fn batch_of(at: &mut Snapshot<'_>, run: RunId) -> Result<Vec<Event>, Fault> {
    let ids: Vec<i64> = at
        .conn
        .prepare_cached("SELECT event FROM batch WHERE run = ?1 ORDER BY event")?
        .query_map([run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let gone = |id| refused(StoreErrorKind::NotFound, format!("event {id} of run {run}'s batch is gone"));
    ids.into_iter().map(|id| event(at, EventId(id))?.ok_or_else(|| gone(id))).collect()
}

/// [`Store::runs`](crate::Store::runs).
pub(super) fn runs(at: &mut Snapshot<'_>, filter: &RunFilter) -> Result<Vec<Run>, Fault> {
    let limit = match filter.limit {
        0 => RUNS_PAGE_DEFAULT,
        limit => limit.min(RUNS_PAGE_MAX),
    };
    let workflow = match &filter.workflow {
        None => None,
        Some(name) => match at.names.find(at.conn, name.as_str())? {
            None => return Ok(vec![]),
            found => found,
        },
    };
    if let Some(event) = filter.event {
        return runs_of_event(at, event, filter, limit);
    }
    let parent = filter.parent.map(|run| run.0);
    let page = Page { before: filter.before.map_or(i64::MAX, |run| run.0), workflow, parent, limit };
    let is_wanted = |state: &RunState| filter.states.is_empty() || filter.states.contains(state);
    let mut runs = vec![];
    for state in RunState::ALL.iter().filter(|state| is_hot(**state) && is_wanted(state)) {
        runs.extend(page.read(at, "run", Some(*state))?);
    }
    newest(&mut runs, limit);
    let ended: Vec<RunState> =
        RunState::ALL.into_iter().filter(|state| !is_hot(*state) && is_wanted(state)).collect();
    runs.extend(page.read_past(at, &ended)?);
    newest(&mut runs, limit);
    Ok(runs)
}

/// Whether runs in that state are in the hot table.
fn is_hot(state: RunState) -> bool {
    match state {
        RunState::Queued | RunState::Running | RunState::Waiting | RunState::DeadLettered => true,
        RunState::Completed | RunState::Cancelled => false,
    }
}

fn newest(runs: &mut Vec<Run>, limit: usize) {
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    runs.truncate(limit);
}

struct Page {
    before: i64,
    workflow: Option<i64>,
    parent: Option<i64>,
    limit: usize,
}

impl Page {
    /// From one table, newest first.
    fn read(&self, at: &mut Snapshot<'_>, table: &str, state: Option<RunState>) -> Result<Vec<Run>, Fault> {
        // The state is a literal, so that the index of that state serves.
        let state = state.map_or(String::new(), |state| format!("AND state = {} ", state.code()));
        let workflow = if self.workflow.is_some() { "AND workflow = ?3 " } else { "" };
        let (index, parent) = match self.parent {
            Some(parent) => (format!("INDEXED BY {table}_parent "), format!("AND parent = {parent} ")),
            None => (String::new(), String::new()),
        };
        let mut query = at.conn.prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM {table} {index}WHERE id < ?1 {parent}{state}{workflow}ORDER BY id DESC LIMIT ?2"
        ))?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let mut rows = match self.workflow {
            Some(workflow) => query.query(params![self.before, limit, workflow])?,
            None => query.query(params![self.before, limit])?,
        };
        let mut runs = vec![];
        while let Some(row) = rows.next()? {
            runs.push(row::run(at.conn, at.names, row)?);
        }
        Ok(runs)
    }

    /// From the periods, newest first, until the page is full.
    fn read_past(&self, at: &mut Snapshot<'_>, states: &[RunState]) -> Result<Vec<Run>, Fault> {
        let state = match states {
            [] => return Ok(vec![]),
            [one] => Some(*one),
            [_, ..] => None,
        };
        let mut runs = vec![];
        for no in period::newest_first(at.conn)? {
            runs.extend(self.read(at, &format!("past_{no}"), state)?);
            if runs.len() >= self.limit {
                break;
            }
        }
        Ok(runs)
    }
}

/// The runs that came with an event have ids in a row; those that came later are listed.
fn runs_of_event(
    at: &mut Snapshot<'_>,
    event: EventId,
    filter: &RunFilter,
    limit: usize,
) -> Result<Vec<Run>, Fault> {
    let mut runs = vec![];
    for id in ids_of_event(at, event)?.into_iter().rev() {
        if runs.len() == limit {
            break;
        }
        if filter.before.is_some_and(|before| id >= before) {
            continue;
        }
        let found = run(at, id)?.filter(|run| {
            (filter.states.is_empty() || filter.states.contains(&run.state))
                && filter.parent.is_none_or(|parent| run.parent == Some(parent))
                && filter.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
        });
        runs.extend(found);
    }
    Ok(runs)
}

/// Oldest first; some may be gone.
fn ids_of_event(at: &Snapshot<'_>, event: EventId) -> Result<Vec<RunId>, Fault> {
    let mut ids = vec![];
    if let Some(no) = period::holding_event(at.conn, event.0)? {
        let (first, count): (i64, i64) = at
            .conn
            .prepare_cached(&format!("SELECT run_first, run_count FROM event_{no} WHERE id = ?1"))?
            .query_row([event.0], |row| row.try_into())?;
        ids.extend((first..first + count).map(RunId));
    }
    let mut late = at.conn.prepare_cached("SELECT run FROM late WHERE event = ?1 ORDER BY run")?;
    for id in late.query_map([event.0], |row| row.get(0))? {
        ids.push(RunId(id?));
    }
    let mut taken =
        at.conn.prepare_cached("SELECT run FROM batch INDEXED BY batch_event WHERE event = ?1")?;
    for id in taken.query_map([event.0], |row| row.get(0).map(RunId))? {
        ids.push(id?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// [`Store::next_due`](crate::Store::next_due).
///
/// A run that a claim has seen due, and left for want of room, is in line like a queued one and not counted here.
pub(super) fn next_due(at: &mut Snapshot<'_>, after: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = at
        .conn
        .prepare_cached("SELECT min(due) FROM run INDEXED BY run_due WHERE ready = 0 AND due > ?1")?
        .query_row([nanos(after)], |row| row.get(0))?;
    let begins: Option<i64> = at
        .conn
        .prepare_cached("SELECT min(next_at) FROM rate INDEXED BY rate_due WHERE waits = 1 AND next_at > ?1")?
        .query_row([nanos(after)], |row| row.get(0))?;
    Ok(due.into_iter().chain(begins).min().map(time))
}

/// [`Store::counts`](crate::Store::counts).
pub(super) fn counts(at: &mut Snapshot<'_>, now: Timestamp) -> Result<Counts, Fault> {
    let ledger = Ledger::load(at.conn)?;
    let by_state = RunState::ALL
        .into_iter()
        .map(|state| (state, u64::try_from(ledger.counted(state)).unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let due: Option<i64> = at
        .conn
        .prepare_cached("SELECT min(due) FROM run INDEXED BY run_due WHERE ready = 0 AND due <= ?1")?
        .query_row([nanos(now)], |row| row.get(0))?;
    let in_line = oldest_in_line(at)?;
    Ok(Counts { by_state, oldest_claimable: due.into_iter().chain(in_line).min().map(time) })
}

/// The first in line after that priority, of the same workflow.
const NEXT_PRIORITY: &str = "SELECT workflow, priority, id FROM run INDEXED BY run_ready \
     WHERE ready = 1 AND workflow = ?1 AND priority < ?2 ORDER BY priority DESC, id LIMIT 1";

/// The first in line of the next workflow.
const NEXT_WORKFLOW: &str = "SELECT workflow, priority, id FROM run INDEXED BY run_ready \
     WHERE ready = 1 AND workflow > ?1 ORDER BY workflow, priority DESC, id LIMIT 1";

/// When the first in line of each workflow and priority became claimable: the oldest of those.
///
/// One step in the index for each workflow and priority, however many runs wait.
fn oldest_in_line(at: &Snapshot<'_>) -> Result<Option<i64>, Fault> {
    let mut next_priority = at.conn.prepare_cached(NEXT_PRIORITY)?;
    let mut next_workflow = at.conn.prepare_cached(NEXT_WORKFLOW)?;
    let mut since = at.conn.prepare_cached("SELECT coalesce(due, changed_at) FROM run WHERE id = ?1")?;
    let mut oldest: Option<i64> = None;
    let paused = pause::paused(at.conn)?;
    let (mut workflow, mut priority) = (i64::MIN, i64::MIN);
    loop {
        let mut first: Option<(i64, i64, i64)> =
            next_priority.query_row((workflow, priority), |row| row.try_into()).optional()?;
        if first.is_none() {
            first = next_workflow.query_row([workflow], |row| row.try_into()).optional()?;
        }
        let Some(first) = first else { return Ok(oldest) };
        (workflow, priority) = (first.0, first.1);
        if paused.contains(&workflow) {
            // Nobody claims it, and nobody should be alarmed.
            priority = i64::MIN;
            continue;
        }
        let at: i64 = since.query_row([first.2], |row| row.get(0))?;
        oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
    }
}

/// [`Store::cursor`](crate::Store::cursor).
pub(super) fn cursor(at: &mut Snapshot<'_>, name: &str) -> Result<Option<String>, Fault> {
    let value: Option<Value> = at
        .conn
        .prepare_cached("SELECT value FROM cursor WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match value {
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_)) | None => Ok(None),
    }
}
