//! Claiming runs.
//!
//! Each workflow's next runs come from its own stretch of one index, and the stretches are merged: a workflow that is
//! full costs nothing, however long its backlog.

use std::{cmp::Reverse, collections::HashMap};

use bowline_model::{NodeId, Run, RunState};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{
    fault::Fault,
    gather, pause,
    queue::{Job, Unattended, Write},
    rate,
    row::{self, RUN_COLUMNS, nanos},
    transaction::Tx,
};
use crate::Claim;

/// Runs that become claimable by time in one claim. A burst of more (an outage's retries, all due at once) takes
/// several claims, so that no commit is held up by it.
const PROMOTED_MAX: i64 = 10_000;

/// Whether anything became due.
const IS_ANY_DUE: &str = "SELECT 1 FROM run INDEXED BY run_due WHERE ready = 0 AND due <= ?1 LIMIT 1";

/// What became due, earliest first.
const DUE: &str = "SELECT id FROM run INDEXED BY run_due WHERE ready = 0 AND due <= ?1 ORDER BY due LIMIT ?2";

/// The next runs of a workflow.
const NEXT_RUNS: &str = "SELECT priority, id FROM run INDEXED BY run_ready WHERE ready = 1 AND workflow = ?1 \
     ORDER BY priority DESC, id LIMIT ?2";

/// The next workflow that has a claimable run.
const NEXT_WORKFLOW: &str = "SELECT workflow FROM run INDEXED BY run_ready WHERE ready = 1 AND workflow > ?1 \
     ORDER BY workflow LIMIT 1";

/// Claimable runs that a crash has hit. Few: at most what ran at a crash.
const SUSPECTS: &str = "SELECT priority, id, workflow, crashes_alone FROM run INDEXED BY run_suspect \
     WHERE ready = 1 AND crashes > 0 AND crashes >= ?1";

/// What kept a run from beginning until now.
const GATES: &str = "SELECT state, gather IS NOT NULL, rate, rate_every FROM run WHERE id = ?1";

/// A run that could be claimed. Sorted as claims go: higher priority first, then older first; before all, among
/// suspects, those that were alone at fewer crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    crashes_alone: i64,
    priority: Reverse<i64>,
    id: i64,
}

impl Write for Claim {
    type Out = Vec<Run>;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Vec<Run>, Fault> {
        if self.total_max == 0 {
            return Ok(vec![]);
        }
        promote(tx, self.now)?;
        let mut candidates = if self.crashes_min == 0 { usual(tx, self)? } else { suspects(tx, self)? };
        candidates.sort_unstable();
        candidates.dedup();
        candidates.truncate(self.total_max);
        candidates.into_iter().map(|candidate| take(tx, candidate.id, self.node, self.now)).collect()
    }

    fn payload_bytes(&self) -> usize {
        0
    }

    /// Runs claimed for a caller who left would stay running, and nobody would drive them.
    fn undo(runs: Vec<Run>) -> Option<Box<dyn Job>> {
        if runs.is_empty() { None } else { Some(Box::new(Unattended(GiveBack(runs)))) }
    }
}

/// Undoes a claim. The epochs stay raised.
struct GiveBack(Vec<Run>);

impl Write for GiveBack {
    type Out = ();

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        for run in &self.0 {
            let given_back = tx
                .conn
                .prepare_cached(
                    "UPDATE run SET state = 0, ready = 1 WHERE id = ?1 AND state = 1 AND epoch = ?2",
                )?
                .execute((run.id.0, run.epoch.0))?;
            if given_back > 0 {
                tx.moved(RunState::Running, RunState::Queued);
            }
        }
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

/// Makes claimable what became due.
fn promote(tx: &mut Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let is_any = tx.conn.prepare_cached(IS_ANY_DUE)?.exists([nanos(now)])?;
    if is_any {
        let waiting: Vec<(Option<String>, i64, Option<i64>)> = tx
            .conn
            .prepare_cached(&format!(
                "UPDATE run SET ready = iif(rate IS NULL, 1, 2) WHERE id IN ({DUE}) RETURNING rate, workflow, rate_every"
            ))?
            .query_map((nanos(now), PROMOTED_MAX), |row| row.try_into())?
            .collect::<Result<_, _>>()?;
        for (bucket, workflow, every) in waiting {
            if let (Some(bucket), Some(every)) = (bucket, every) {
                rate::wait(tx, &bucket, workflow, every, now)?;
            }
        }
    }
    rate::keep_within(tx, now)
}

fn usual(tx: &mut Tx<'_>, claim: &Claim) -> rusqlite::Result<Vec<Candidate>> {
    let quotas = quotas(tx, claim)?;
    let mut candidates = vec![];
    for (workflow, quota) in &quotas {
        candidates.extend(next_of(tx, *workflow, (*quota).min(claim.total_max), claim.now)?);
    }
    if claim.others_max > 0 {
        let mut others = vec![];
        for workflow in claimable_workflows(tx)? {
            if !quotas.contains_key(&workflow) {
                others.extend(next_of(tx, workflow, claim.others_max.min(claim.total_max), claim.now)?);
            }
        }
        others.sort_unstable();
        others.truncate(claim.others_max);
        candidates.extend(others);
    }
    Ok(candidates)
}

/// The quota of each named workflow that has ever had a run; none of a paused one, named or not.
fn quotas(tx: &mut Tx<'_>, claim: &Claim) -> rusqlite::Result<HashMap<i64, usize>> {
    let mut quotas = HashMap::with_capacity(claim.workflows.len());
    for (name, quota) in &claim.workflows {
        if let Some(workflow) = tx.names.find(tx.conn, name.as_str())? {
            quotas.insert(workflow, *quota);
        }
    }
    for workflow in pause::paused(tx.conn)? {
        quotas.insert(workflow, 0);
    }
    Ok(quotas)
}

/// The next runs of a workflow, those among them that their bucket lets begin.
fn next_of(tx: &Tx<'_>, workflow: i64, quota: usize, now: Timestamp) -> rusqlite::Result<Vec<Candidate>> {
    if quota == 0 {
        return Ok(vec![]);
    }
    let candidate = |priority, id| Candidate { crashes_alone: 0, priority: Reverse(priority), id };
    let mut found: Vec<Candidate> = tx
        .conn
        .prepare_cached(NEXT_RUNS)?
        .query_map(params![workflow, i64::try_from(quota).unwrap_or(i64::MAX)], |row| {
            Ok(candidate(row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let paced = rate::next_of(tx, workflow, quota, now)?;
    if !paced.is_empty() {
        found.extend(paced.into_iter().map(|(priority, id)| candidate(priority, id)));
        found.sort_unstable();
        found.truncate(quota);
    }
    Ok(found)
}

/// Workflows with a claimable run: one step in the index for each, however many runs there are.
fn claimable_workflows(tx: &Tx<'_>) -> rusqlite::Result<Vec<i64>> {
    let mut workflows = vec![];
    for sql in [NEXT_WORKFLOW, rate::NEXT_WORKFLOW] {
        let mut next = tx.conn.prepare_cached(sql)?;
        let mut last = i64::MIN;
        while let Some(workflow) = next.query_row([last], |row| row.get(0)).optional()? {
            workflows.push(workflow);
            last = workflow;
        }
    }
    workflows.sort_unstable();
    workflows.dedup();
    Ok(workflows)
}

/// Claimable runs with enough crashes.
fn suspects(tx: &mut Tx<'_>, claim: &Claim) -> rusqlite::Result<Vec<Candidate>> {
    let mut left = quotas(tx, claim)?;
    let mut left_others = claim.others_max;
    let mut found: Vec<(Candidate, i64)> = tx
        .conn
        .prepare_cached(SUSPECTS)?
        .query_map([claim.crashes_min], |row| {
            let crashes_alone = row.get(3)?;
            Ok((Candidate { crashes_alone, priority: Reverse(row.get(0)?), id: row.get(1)? }, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    found.retain(|(_, workflow)| {
        let left = left.get_mut(workflow).unwrap_or(&mut left_others);
        let is_taken = *left > 0;
        *left = left.saturating_sub(1);
        is_taken
    });
    Ok(found.into_iter().map(|(candidate, _)| candidate).collect())
}

fn take(tx: &mut Tx<'_>, id: i64, node: NodeId, now: Timestamp) -> Result<Run, Fault> {
    let (from, gathers, rate, every): (i64, bool, Option<String>, Option<i64>) =
        tx.conn.prepare_cached(GATES)?.query_row([id], |row| row.try_into())?;
    if gathers || rate.is_some() {
        gather::end_with_start(tx, id)?;
    }
    let mut update = tx.conn.prepare_cached(&format!(
        "UPDATE run SET state = 1, ready = NULL, due = NULL, owner = ?2, epoch = epoch + 1, claimed_at = ?3, \
         unsure_since = coalesce(unsure_since, ?3), changed_at = ?3 WHERE id = ?1 RETURNING {RUN_COLUMNS}"
    ))?;
    let mut rows = update.query((id, node.0, nanos(now)))?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let run = row::run(tx.conn, tx.names, row)?;
    drop(rows);
    drop(update);
    if let (Some(bucket), Some(every)) = (rate, every) {
        rate::begin(tx, &bucket, every, now)?;
    }
    let from = RunState::from_code(from).unwrap_or(RunState::Queued);
    tx.moved(from, RunState::Running);
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    /// Each query is one search in one index, in the index's order: its time does not grow with what is stored.
    #[test]
    fn finds_the_next_runs_without_looking_at_the_others() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        let plans = [
            (IS_ANY_DUE, "SEARCH run USING COVERING INDEX run_due (due<?)"),
            (DUE, "SEARCH run USING COVERING INDEX run_due (due<?)"),
            (NEXT_RUNS, "SEARCH run USING COVERING INDEX run_ready (workflow=?)"),
            (NEXT_WORKFLOW, "SEARCH run USING COVERING INDEX run_ready (workflow>?)"),
            (SUSPECTS, "SEARCH run USING INDEX run_suspect (crashes>?)"),
            (rate::OPEN_BUCKETS, "SEARCH rate USING COVERING INDEX rate_next (workflow=? AND next_at<?)"),
            (rate::NEXT_RUNS, "SEARCH run USING INDEX run_rated (rate=?)"),
            (rate::AHEAD, "SEARCH rate USING INDEX bowline_rate_begun (<expr>>?)"),
            (rate::NEXT_WORKFLOW, "SEARCH rate USING COVERING INDEX rate_next (workflow>?)"),
        ];
        for (sql, plan) in plans {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            for parameter in 1..=explain.parameter_count() {
                explain.raw_bind_parameter(parameter, 1).unwrap();
            }
            let mut steps = explain.raw_query();
            let first: String = steps.next().unwrap().unwrap().get(3).unwrap();
            assert_eq!(first, plan);
            assert!(steps.next().unwrap().is_none(), "nothing is sorted: {sql}");
        }
    }
}
