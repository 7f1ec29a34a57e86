//! Workflows that an operator has paused: no run of theirs is claimed.
//!
//! What comes in: an operator's word. What goes out: which workflows a claim leaves out. Their runs stay as they are, and
//! new ones are accepted; those under way go on to their next rest. What must never happen here: a pause that a restart
//! forgets.

use bowline_model::{WorkflowName, run::SUMMARY_BYTES_MAX};

use super::{
    fault::Fault,
    queue::Write,
    readers::Snapshot,
    row::{nanos, time},
    transaction::Tx,
};
use crate::Paused;

/// [`Store::pause`](crate::Store::pause).
pub(super) struct Pause(pub(super) Paused);

impl Write for Pause {
    type Out = bool;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        let workflow = tx.names.intern(tx.conn, self.0.workflow.as_str())?;
        let why = self.0.why.as_deref().map(|why| &why[..why.floor_char_boundary(SUMMARY_BYTES_MAX)]);
        let rows = tx
            .conn
            .prepare_cached(
                "INSERT INTO pause (workflow, since, why) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute((workflow, nanos(self.0.since), why))?;
        Ok(rows > 0)
    }

    fn payload_bytes(&self) -> usize {
        self.0.why.as_ref().map_or(0, String::len)
    }
}

/// [`Store::resume`](crate::Store::resume).
pub(super) struct Resume(pub(super) WorkflowName);

impl Write for Resume {
    type Out = bool;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        let Some(workflow) = tx.names.find(tx.conn, self.0.as_str())? else { return Ok(false) };
        let rows = tx.conn.prepare_cached("DELETE FROM pause WHERE workflow = ?1")?.execute([workflow])?;
        Ok(rows > 0)
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

/// Which workflows a claim leaves out: few.
pub(super) fn paused(conn: &rusqlite::Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT workflow FROM pause ORDER BY workflow")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// [`Store::paused`](crate::Store::paused).
pub(super) fn all(at: &mut Snapshot<'_>) -> Result<Vec<Paused>, Fault> {
    let rows: Vec<(i64, i64, Option<String>)> = at
        .conn
        .prepare_cached("SELECT workflow, since, why FROM pause ORDER BY since, workflow")?
        .query_map([], |row| row.try_into())?
        .collect::<Result<_, rusqlite::Error>>()?;
    let paused = rows.into_iter().map(|(workflow, since, why): (i64, i64, Option<String>)| {
        let workflow = WorkflowName::new(at.names.text(at.conn, workflow)?);
        Ok(Paused { workflow, since: time(since), why })
    });
    paused.collect()
}
