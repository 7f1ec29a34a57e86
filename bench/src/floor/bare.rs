//! The floor without durability: verified, answered, then the CRM is called. A crash loses what was acknowledged, a
//! redelivery makes a second contact.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};

use super::{Event, Floor, log};
use crate::{Result, events::PATH};

pub(crate) async fn router(floor: Arc<Floor>) -> Result<Router> {
    Ok(Router::new().route(PATH, post(receive)).with_state(floor))
}

async fn receive(State(floor): State<Arc<Floor>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !floor.verify(&headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Some(event) = Event::read(&body) else { return StatusCode::UNPROCESSABLE_ENTITY };
    if event.is_payment() {
        tokio::spawn(async move {
            if let Err(error) = floor.create_contact(&event.id, &event.data.object).await {
                log("lost", &event.id, &error);
            }
        });
    }
    StatusCode::OK
}
