//! What is on disk while the server is dead: read from a copy, so that looking changes nothing.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use bowline_model::{RunState, SystemClock};
use bowline_store::{RunFilter, SqliteOptions, SqliteStore, Store, store::RUNS_PAGE_MAX};

use crate::{server::store_in, stripe::Payment};

/// The payments whose runs are in that state, by customer.
///
/// A run is `Running` from the commit that claims it to the commit that holds its last outcome and its end.
pub(crate) async fn customers(folder: &Path, state: RunState) -> BTreeSet<String> {
    let copy = tempfile::tempdir().unwrap();
    for file in ["bowline.db", "bowline.db-wal"] {
        if folder.join(file).exists() {
            fs::copy(folder.join(file), copy.path().join(file)).unwrap();
        }
    }
    let store =
        SqliteStore::open(store_in(copy.path()), SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
    let filter = RunFilter { states: vec![state], limit: RUNS_PAGE_MAX, ..RunFilter::default() };
    let mut customers = BTreeSet::new();
    let mut before = None;
    loop {
        let page = store.runs(RunFilter { before, ..filter.clone() }).await.unwrap();
        for run in &page {
            let event = store.event(run.event).await.unwrap().expect("a run's event is there");
            customers.insert(Payment::new(event.dedupe_key).email());
        }
        match page.last() {
            Some(last) if page.len() == RUNS_PAGE_MAX => before = Some(last.id),
            _ => break,
        }
    }
    store.close().await.unwrap();
    customers
}
