//! Stripe's webhooks, verified in a program that uses axum and nothing else of Bowline.
//!
//! ```sh
//! STRIPE_WEBHOOK_SECRET=whsec_… cargo run -p bowline-signature --example axum
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it got")]

use std::{env, error::Error, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::StatusCode,
    routing::post,
};
use bowline_signature::{Scheme, SigningSecret, Stripe};
use jiff::Timestamp;
use tokio::{net::TcpListener, time::timeout};

const BODY_BYTES_MAX: usize = 256 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = SigningSecret::new(env::var("STRIPE_WEBHOOK_SECRET")?)?;
    // Any sender: all of them are a `Scheme`.
    let sender: Arc<dyn Scheme> = Arc::new(Stripe::new(secret));
    let app = Router::new()
        .route("/webhooks/stripe", post(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(sender);
    let listener = TcpListener::bind(env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on {}", listener.local_addr()?);
    // It waits for a request's headers as long as they take: keep it behind a proxy that does not, or see the example
    // with hyper.
    Ok(axum::serve(listener, app).await?)
}

async fn receive(State(sender): State<Arc<dyn Scheme>>, request: Request) -> StatusCode {
    let headers = request.headers().clone();
    // The bytes as they came: what was parsed and is written again no longer fits the signature.
    let body = match timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        // 413 beyond BODY_BYTES_MAX.
        Ok(Err(unreadable)) => return unreadable.status(),
        Err(_slow) => return StatusCode::REQUEST_TIMEOUT,
    };
    let verified = sender.verify(&bowline_signature::Request::post(&headers, &body), now());
    if let Err(refused) = verified {
        // For the log. Whoever sent it is told the same, whatever is wrong.
        println!("refused: {refused}");
        return StatusCode::UNAUTHORIZED;
    }
    // Before the answer: remember the event's id, so that a redelivery does nothing, and put the event on disk. The
    // sender will not send it again once it was told 200.
    println!("accepted: {} bytes", body.len());
    StatusCode::OK
}

#[expect(clippy::disallowed_methods, reason = "whoever calls the verifier says what time it is")]
fn now() -> Timestamp {
    Timestamp::now()
}
