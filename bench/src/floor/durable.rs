//! The durable floor: verified, committed with its neighbours in one sync, answered; then the CRM is called and the
//! event marked as done, with its neighbours as well. At the start what is not marked is called again.

mod ledger;

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bowline_model::{Clock, SystemClock};

use self::ledger::{Accepted, Ledger};
use super::{Event, Floor, log};
use crate::{Result, events::PATH};

/// Its database, in the folder it is started in.
pub(crate) const FILE: &str = "floor.db";

/// Tries before an event is left to the next start.
const TRIES_MAX: u32 = 6;
/// Before the second try; doubled before each further one.
const RETRY_WAIT: Duration = Duration::from_millis(500);

struct Durable {
    floor: Arc<Floor>,
    ledger: Ledger,
}

pub(crate) async fn router(floor: Arc<Floor>) -> Result<Router> {
    let (ledger, undone) = Ledger::open(Path::new(FILE))?;
    let durable = Arc::new(Durable { floor, ledger });
    for (row, body) in undone {
        durable.start(row, &body);
    }
    Ok(Router::new().route(PATH, post(receive)).with_state(durable))
}

async fn receive(State(durable): State<Arc<Durable>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !durable.floor.verify(&headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Some(event) = Event::read(&body) else { return StatusCode::UNPROCESSABLE_ENTITY };
    if !event.is_payment() {
        return StatusCode::OK;
    }
    match durable.ledger.accept(event.id.clone(), body).await {
        Some(Accepted::New(row)) => {
            tokio::spawn(durable.finish(row, event));
            StatusCode::OK
        }
        Some(Accepted::Duplicate) => StatusCode::OK,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Durable {
    /// Goes on with an event that an earlier life of this server accepted.
    fn start(self: &Arc<Self>, row: i64, body: &[u8]) {
        let event = Event::read(body).expect("only events that were read are accepted");
        tokio::spawn(self.clone().finish(row, event));
    }

    async fn finish(self: Arc<Self>, row: i64, event: Event) {
        let mut wait = RETRY_WAIT;
        for attempt in 1..=TRIES_MAX {
            match self.floor.create_contact(&event.id, &event.data.object).await {
                Ok(_) => return self.ledger.mark_done(row).await,
                Err(error) => log("failed", &event.id, &error),
            }
            if attempt < TRIES_MAX {
                SystemClock.sleep(wait).await;
                wait *= 2;
            }
        }
    }
}
