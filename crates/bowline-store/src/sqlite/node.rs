//! Starting a node, and showing that writes make progress.

use bowline_model::{NodeId, RunId, RunState};
use jiff::Timestamp;

use super::{credentials, fault::Fault, queue::Write, row::nanos, transaction::Tx};
use crate::NodeStart;

/// [`Store::start_node`](crate::Store::start_node).
///
/// The lock file proves that no other process has the store, so that whatever is running belongs to the dead.
pub(super) struct StartNode {
    pub(super) now: Timestamp,
}

impl Write for StartNode {
    type Out = NodeStart;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<NodeStart, Fault> {
        let left: Vec<(i64, Option<i64>)> = tx
            .conn
            .prepare_cached("SELECT id, owner FROM run INDEXED BY run_state WHERE state = 1 ORDER BY id")?
            .query_map([], |row| row.try_into())?
            .collect::<Result<_, _>>()?;
        for (run, owner) in &left {
            let is_alone = left.iter().filter(|(_, other)| other == owner).nth(1).is_none();
            tx.conn
                .prepare_cached(
                    "UPDATE run SET state = 0, ready = 1, crashes = crashes + 1, \
                     crashes_alone = crashes_alone + ?3, changed_at = ?2 WHERE id = ?1",
                )?
                .execute((run, nanos(self.now), i64::from(is_alone)))?;
            tx.moved(RunState::Running, RunState::Queued);
        }
        credentials::end_leases(tx.conn)?;
        tx.ledger.node_last += 1;
        // The ledger is saved with a batch that changed a table; this makes sure that it did.
        tx.ledger.save(tx.conn)?;
        Ok(NodeStart {
            node: NodeId(tx.ledger.node_last),
            recovered: left.into_iter().map(|(run, _)| RunId(run)).collect(),
        })
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

/// [`Store::probe`](crate::Store::probe).
pub(super) struct Probe {
    pub(super) now: Timestamp,
}

impl Write for Probe {
    type Out = ();

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        tx.ledger.probed_at = self.now;
        tx.ledger.save(tx.conn)?;
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}
