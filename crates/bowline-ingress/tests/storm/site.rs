//! All kinds of doors, over real sockets and a real store.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bowline_ingress::{Door, ServeLimits, serve};
use bowline_model::{BuildId, Clock, SystemClock};
use bowline_store::{RunFilter, SqliteOptions, SqliteStore, Store};
use tokio::net::TcpListener;

use crate::door::DOORS;

/// For who announces a body and does not send it.
const SHORT: Duration = Duration::from_millis(200);

pub(crate) struct Site {
    pub(crate) at: SocketAddr,
    store: Arc<dyn Store>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::clone(&clock)).expect("it opens");
        let store: Arc<dyn Store> = Arc::new(store);
        let routes = DOORS.iter().map(crate::door::Door::route).collect();
        let door = Door::new(Arc::clone(&store), clock, BuildId::from("1"), routes, Arc::new(|| {}))
            .expect("it opens");
        // Nothing drives the runs: nobody waits for them.
        door.stop_waiting();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it opens");
        let at = listener.local_addr().expect("it opens");
        let limits = ServeLimits { body_read_max: SHORT, ..ServeLimits::default() };
        tokio::spawn(serve(listener, door.router(), limits, std::future::pending()));
        Self { at, store }
    }

    /// All that was started, in order.
    pub(crate) async fn runs(&self) -> Vec<i64> {
        let mut runs: Vec<i64> = vec![];
        loop {
            let before = runs.last().map(|run| bowline_model::RunId(*run));
            let page = self
                .store
                .runs(RunFilter { before, limit: 1000, ..RunFilter::default() })
                .await
                .expect("it reads");
            if page.is_empty() {
                runs.reverse();
                return runs;
            }
            runs.extend(page.iter().map(|run| run.id.0));
        }
    }
}
