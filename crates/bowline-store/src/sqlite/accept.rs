//! Accepting events with their runs.

use bowline_model::{EventId, Gather, NewEvent, NewRun, RunId, RunState, event::DEDUPE_KEY_BYTES_MAX};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{
    fault::{Fault, refused},
    gather, journal, line, period,
    queue::{News, Write},
    rate,
    row::{BLOB_BYTES_MAX, nanos, time},
    transaction::Tx,
};
use crate::{Accepted, Batch, CursorMove, StoreErrorKind};

/// Periods after which the next ones may be as large again: each costs three tables.
const PERIODS_OF_ONE_SIZE: u64 = 256;

/// [`Store::accept`](crate::Store::accept).
pub(super) struct Accept {
    pub(super) batch: Batch,
    pub(super) now: Timestamp,
    pub(super) period: std::time::Duration,
    pub(super) period_bytes_max: u64,
    /// Runs that it ended: replaced by later ones.
    pub(super) ended: Vec<RunId>,
}

impl Write for Accept {
    type Out = Vec<Accepted>;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Vec<Accepted>, Fault> {
        self.check(tx)?;
        begin_period_if_due(tx, self.now, self.period, self.period_bytes_max)?;
        self.ended.clear();
        if let Some(cursor) = &self.batch.cursor {
            move_cursor(tx, cursor)?;
        }
        let mut answers = Vec::with_capacity(self.batch.events.len() + self.batch.replays.len());
        for event in &self.batch.events {
            answers.push(accept_one(tx, event, &mut self.ended)?);
        }
        for (event, run) in &self.batch.replays {
            answers.push(replay_one(tx, *event, run, self.now, &mut self.ended)?);
        }
        Ok(answers)
    }

    fn payload_bytes(&self) -> usize {
        let replays: usize = self.batch.replays.iter().map(|(_, run)| journal::bytes(&run.journal)).sum();
        let runs = self.batch.events.iter().flat_map(|event| &event.runs);
        let events: usize = self.batch.events.iter().map(event_bytes).sum();
        replays + events + runs.map(|run| journal::bytes(&run.journal)).sum::<usize>()
    }

    fn committed(&mut self, answers: &Vec<Accepted>, news: &mut News<'_>) {
        for (event, answer) in self.batch.events.drain(..).zip(answers) {
            match answer {
                Accepted::New { event: id, runs } => news.fresh.add(*id, event, runs),
                Accepted::Duplicate { .. } => {}
            }
        }
        for run in self.ended.drain(..) {
            news.fresh.remove(run);
            news.ended.push(run);
        }
    }
}

impl Accept {
    /// Everything that can be refused is refused here, before anything is changed.
    fn check(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        for event in &self.batch.events {
            check_event(event)?;
        }
        let replayed = self.batch.replays.iter().map(|(_, run)| run);
        for run in self.batch.events.iter().flat_map(|event| &event.runs).chain(replayed) {
            // The run has no id yet: the next one stands for it in a refusal.
            journal::check(RunId(tx.ledger.run_last + 1), &run.journal, 0)?;
        }
        if let Some(cursor) = &self.batch.cursor {
            check_cursor(tx, cursor)?;
        }
        for (event, _) in &self.batch.replays {
            if period::holding_event(tx.conn, event.0)?.is_none() {
                return Err(refused(StoreErrorKind::NotFound, format!("no event {event} is stored")));
            }
        }
        Ok(())
    }
}

fn begin_period_if_due(
    tx: &mut Tx<'_>,
    now: Timestamp,
    period: std::time::Duration,
    bytes_max: u64,
) -> Result<(), Fault> {
    let current = tx.periods.current();
    let is_empty = current.event_first > tx.ledger.event_last && current.run_first > tx.ledger.run_last;
    let is_old = now.duration_since(current.opened_at).unsigned_abs() >= period;
    let bytes_max = bytes_max.saturating_mul(1 + tx.periods.len() / PERIODS_OF_ONE_SIZE);
    let is_large = u64::try_from(tx.ledger.period_bytes).unwrap_or(0) >= bytes_max;
    if !is_empty && (is_old || is_large) {
        period::begin_next(tx, now)?;
    }
    Ok(())
}

pub(super) fn check_event(event: &NewEvent) -> Result<(), Fault> {
    let (key, body) = (event.dedupe_key.len(), event.body.len());
    if key > DEDUPE_KEY_BYTES_MAX {
        let message =
            format!("an event's dedupe key has {key} bytes (limit {DEDUPE_KEY_BYTES_MAX}); use a hash");
        return Err(refused(StoreErrorKind::Limit, message));
    }
    if body > BLOB_BYTES_MAX {
        let message = format!("an event's body has {body} bytes (limit {BLOB_BYTES_MAX}); send a reference");
        return Err(refused(StoreErrorKind::Limit, message));
    }
    Ok(())
}

fn check_cursor(tx: &mut Tx<'_>, cursor: &CursorMove) -> Result<(), Fault> {
    let found: Option<String> = tx
        .conn
        .prepare_cached("SELECT value FROM cursor WHERE name = ?1")?
        .query_row([&cursor.name], |row| row.get(0))
        .optional()?;
    if found == cursor.from {
        return Ok(());
    }
    let message = format!("the cursor {} was moved by someone else; read it again", cursor.name);
    Err(refused(StoreErrorKind::Conflict, message))
}

fn move_cursor(tx: &mut Tx<'_>, cursor: &CursorMove) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO cursor (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute((&cursor.name, &cursor.to))?;
    Ok(())
}

fn accept_one(tx: &mut Tx<'_>, event: &NewEvent, ended: &mut Vec<RunId>) -> Result<Accepted, Fault> {
    let source = tx.names.intern(tx.conn, &event.source)?;
    if let Some(known) = known_event(tx, source, event)? {
        return Ok(known);
    }
    let (id, runs, (run_first, run_count)) = insert_all(tx, source, event, ended)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO dedupe (source, key, event, run_first, run_count, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT DO UPDATE SET (event, run_first, run_count, until) = \
             (excluded.event, excluded.run_first, excluded.run_count, excluded.until)",
        )?
        .execute((source, &event.dedupe_key, id.0, run_first, run_count, nanos(event.dedupe_until)))?;
    Ok(Accepted::New { event: id, runs })
}

/// The event of a run that another run starts. Whether it is known is that one's matter.
pub(super) fn start_one(
    tx: &mut Tx<'_>,
    source: i64,
    event: &NewEvent,
    now: Timestamp,
) -> Result<RunId, Fault> {
    begin_period_if_due(tx, now, tx.options.period, tx.options.period_bytes_max)?;
    // It gathers with no other: there is nobody to tell.
    let (_, runs, _) = insert_all(tx, source, event, &mut vec![])?;
    Ok(*runs.first().expect("a start has one run"))
}

/// An event's runs: all of them, and the first and the number of those that are new.
type Inserted = (EventId, Vec<RunId>, (i64, i64));

/// A new event with its runs.
fn insert_all(
    tx: &mut Tx<'_>,
    source: i64,
    event: &NewEvent,
    ended: &mut Vec<RunId>,
) -> Result<Inserted, Fault> {
    tx.ledger.event_last += 1;
    let id = tx.ledger.event_last;
    let run_first = tx.ledger.run_last + 1;
    let batches = gather::open_batches(tx, event)?;
    let new = batches.iter().filter(|batch| batch.is_none()).count();
    let run_count = i64::try_from(new).expect("a count of runs fits 64 bits");
    insert_event(tx, id, source, event, (run_first, run_count))?;
    let mut runs = Vec::with_capacity(event.runs.len());
    let bytes = event.body.len();
    for (run, batch) in event.runs.iter().zip(batches) {
        runs.push(match batch {
            Some(batch) => {
                gather::join(tx, batch, EventId(id), run, bytes, event.received_at)?;
                batch
            }
            None => insert_run(tx, EventId(id), run, bytes, event.received_at, ended)?,
        });
    }
    tx.ledger.accepted_at = tx.ledger.accepted_at.max(event.received_at);
    Ok((EventId(id), runs, (run_first, run_count)))
}

fn known_event(tx: &mut Tx<'_>, source: i64, event: &NewEvent) -> Result<Option<Accepted>, Fault> {
    let known: Option<(i64, i64, i64, i64)> = tx
        .conn
        .prepare_cached(
            "SELECT event, run_first, run_count, until FROM dedupe WHERE source = ?1 AND key = ?2",
        )?
        .query_row((source, &event.dedupe_key), |row| row.try_into())
        .optional()?;
    let Some((id, first, count, _)) = known.filter(|(.., until)| time(*until) > event.received_at) else {
        return Ok(None);
    };
    let mut runs: Vec<RunId> = (first..first + count).map(RunId).collect();
    let own = runs.len();
    runs.extend(gather::taken_by(tx, id)?.into_iter().filter(|run| !(first..first + count).contains(&run.0)));
    runs[own..].sort_unstable();
    Ok(Some(Accepted::Duplicate { event: EventId(id), runs }))
}

fn insert_event(
    tx: &mut Tx<'_>,
    id: i64,
    source: i64,
    event: &NewEvent,
    (run_first, run_count): (i64, i64),
) -> Result<(), Fault> {
    let headers = serde_json::to_string(&event.headers).expect("pairs of strings are JSON");
    let no = tx.periods.current().no;
    tx.conn
        .prepare_cached(&format!(
            "INSERT INTO event_{no} (id, source, provider, kind, dedupe_key, received_at, input_pointer, run_first, \
             run_count, headers, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            id,
            source,
            event.provider,
            event.kind,
            event.dedupe_key,
            nanos(event.received_at),
            event.input_pointer,
            run_first,
            run_count,
            headers,
            &event.body[..],
        ])?;
    tx.ledger.period_bytes += i64::try_from(event_bytes(event)).unwrap_or(i64::MAX / 2);
    Ok(())
}

fn replay_one(
    tx: &mut Tx<'_>,
    event: EventId,
    run: &NewRun,
    now: Timestamp,
    ended: &mut Vec<RunId>,
) -> Result<Accepted, Fault> {
    let id = insert_run(tx, event, run, 0, now, ended)?;
    gather::take_again(tx, id, run.replay_of)?;
    tx.conn.prepare_cached("INSERT INTO late (event, run) VALUES (?1, ?2)")?.execute((event.0, id.0))?;
    tx.ledger.accepted_at = tx.ledger.accepted_at.max(now);
    Ok(Accepted::New { event, runs: vec![id] })
}

/// Puts a run on disk, by the rules that it brings. `bytes` are its event's; runs that it replaced are added to `ended`.
fn insert_run(
    tx: &mut Tx<'_>,
    event: EventId,
    run: &NewRun,
    bytes: usize,
    now: Timestamp,
    ended: &mut Vec<RunId>,
) -> Result<RunId, Fault> {
    // A run does not stand in the way of one that it starts itself: it may wait for it, or go on as it.
    let open =
        gather::open_of_unique(tx, run.flow.unique.as_deref())?.filter(|open| Some(*open) != run.parent);
    let (begun, replaced) = match open {
        Some(_) => Default::default(),
        None => gather::begin(tx, event, run, bytes, now)?,
    };
    ended.extend(replaced);
    tx.ledger.run_last += 1;
    let id = RunId(tx.ledger.run_last);
    let key = run.key.as_deref();
    let is_held = open.is_some()
        || line::is_held(tx, key, id.0, run.flow.line)? && !line::is_of_parent(tx, key, run.parent)?;
    let ready = match (is_held, begun.due, &run.flow.rate) {
        (true, _, _) => None,
        (false, Some(_), _) => Some(0),
        (false, None, None) => Some(1),
        (false, None, Some(_)) => Some(2),
    };
    insert_row(tx, id, event, run, &begun, ready, now)?;
    if ready == Some(2) {
        rate::let_go(tx, id.0, now)?;
    }
    match (&run.flow.gather, open) {
        (_, Some(open)) => {
            let note = format!("unique: run {open} is open");
            gather::cancel(tx, id, &note, &run.build, now)?;
        }
        (Some(Gather::Batch { .. }), None) => gather::note_taken(tx, id, event)?,
        (Some(Gather::Debounce { .. }) | None, None) => {}
    }
    Ok(id)
}

fn insert_row(
    tx: &mut Tx<'_>,
    id: RunId,
    event: EventId,
    run: &NewRun,
    begun: &gather::Begun,
    ready: Option<i64>,
    now: Timestamp,
) -> Result<(), Fault> {
    let workflow = tx.names.intern(tx.conn, run.workflow.as_str())?;
    let build = tx.names.intern(tx.conn, run.build.as_str())?;
    let home = tx.periods.current().no;
    let flow = &run.flow;
    tx.conn
        .prepare_cached(
            "INSERT INTO run (id, event, workflow, key, priority, parent, replay_of, build, key_seed, created_at, \
             state, due, epoch, crashes, crashes_alone, journal_len, changed_at, ready, home, \
             together_max, dead_blocks, unique_key, rate, rate_every, gather, gather_until, gather_left, \
             gather_bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, 0, 0, 0, ?14, ?10, ?12, ?13, ?15, ?16, ?17, \
             ?18, ?19, ?20, ?21, ?22, ?23)",
        )?
        .execute(params![
            id.0,
            event.0,
            workflow,
            run.key,
            run.priority,
            run.parent.map(|id| id.0),
            run.replay_of.map(|id| id.0),
            build,
            run.key_seed.0.to_be_bytes(),
            nanos(now),
            begun.due.map(nanos),
            ready,
            home,
            journal::len(&run.journal),
            flow.line.together_max.max(1),
            line::dead_blocks(flow.line),
            flow.unique,
            flow.rate.as_ref().map(|rate| &rate.bucket),
            flow.rate.as_ref().map(rate::every),
            begun.gather,
            begun.until,
            begun.left,
            begun.bytes,
        ])?;
    journal::append(tx, id, home, &run.journal)?;
    tx.ledger.count(RunState::Queued, 1);
    Ok(())
}

fn event_bytes(event: &NewEvent) -> usize {
    let headers: usize = event.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    event.body.len() + headers + event.dedupe_key.len() + event.kind.len()
}
