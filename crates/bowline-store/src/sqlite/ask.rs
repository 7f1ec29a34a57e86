//! What a run asks the store to decide.

use super::{
    fault::{Fault, refused},
    journal, state,
    transaction::Tx,
    user_sql,
};
use crate::{Answered, Ask, RunWrite, StoreErrorKind};

/// The answer, decided in the open transaction. Called before anything else of the run's write is changed; if it is
/// `Failed`, nothing was, and nothing may be.
pub(super) fn answer(tx: &mut Tx<'_>, write: &RunWrite, ask: &Ask) -> Result<Answered, Fault> {
    let last = write.entries.last().filter(|_| write.transition.is_none()).ok_or_else(|| {
        let message = format!("run {} asks without an entry for the answer, or at its end", write.run);
        refused(StoreErrorKind::Conflict, message)
    })?;
    match ask {
        Ask::State(ask) => {
            state::check(ask)?;
            Ok(state::apply(tx, ask, write.now)?)
        }
        Ask::Transaction(user) => {
            let value = user_sql::run(tx.conn, tx.user_sql, user)?;
            journal::check_payload(last, &value)?;
            Ok(Answered::Value(value))
        }
    }
}
