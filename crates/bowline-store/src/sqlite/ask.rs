//! What a run asks the store to decide.

use bowline_model::RunId;

use super::{
    fault::{Fault, refused},
    transaction::Tx,
};
use crate::{Answered, Ask, StoreErrorKind};

/// The answer, decided in the open transaction. Called before anything else of the run's write is changed.
pub(super) fn answer(_tx: &mut Tx<'_>, run: RunId, ask: &Ask) -> Result<Answered, Fault> {
    let what = match ask {
        Ask::State(_) => "values between runs",
        Ask::Transaction(_) => "transactions",
    };
    Err(refused(StoreErrorKind::Limit, format!("run {run} asks for {what}: not in this build")))
}
