//! How operators' cancels reach who can carry them out: the engine, or the store that no engine runs on.

use std::sync::Arc;

use bowline_dashboard::commands::{CancelEnd, CancelRun};
use bowline_engine::{Cancel, CancelAtRest, CancelledFamily, Engine};
use bowline_model::{BuildId, Clock};
use bowline_store::Store;

/// Through the engine, which lets go of a run that it drives.
pub(crate) fn with_engine(engine: Arc<Engine>) -> CancelRun {
    Arc::new(move |run, why| {
        let engine = engine.clone();
        Box::pin(async move { engine.cancel_family(run, &why).await.map(end) })
    })
}

/// On the store, which this process holds, and no engine runs on.
pub(crate) fn at_rest(store: Arc<dyn Store>, clock: Arc<dyn Clock>, build: BuildId) -> CancelRun {
    let by = Arc::new(CancelAtRest::new(store, clock, build));
    Arc::new(move |run, why| {
        let by = by.clone();
        Box::pin(async move { by.cancel_family(run, &why).await.map(end) })
    })
}

fn end(family: CancelledFamily) -> CancelEnd {
    let ended = match family.run {
        Cancel::Cancelled | Cancel::Undoing => None,
        Cancel::Ended(state) => Some(state),
    };
    CancelEnd {
        ended,
        undoing: family.run == Cancel::Undoing,
        children: family.children,
        went_on: family.went_on,
    }
}
