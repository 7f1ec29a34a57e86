//! Stripe's webhooks, verified in a program that uses hyper and nothing else of Bowline.
//!
//! ```sh
//! STRIPE_WEBHOOK_SECRET=whsec_… cargo run -p bowline-signature --example hyper
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it got")]

use std::{convert::Infallible, env, error::Error, sync::Arc, time::Duration};

use bowline_signature::{Scheme, SigningSecret, Stripe};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

const BODY_BYTES_MAX: usize = 256 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
const HEADERS_TIME_MAX: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = SigningSecret::new(env::var("STRIPE_WEBHOOK_SECRET")?)?;
    // Any sender: all of them are a `Scheme`.
    let sender: Arc<dyn Scheme> = Arc::new(Stripe::new(secret));
    let listener = TcpListener::bind(env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on {}", listener.local_addr()?);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (socket, _peer) = listener.accept().await?;
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let sender = Arc::clone(&sender);
                async move { answer(&*sender, request).await }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIME_MAX);
            if let Err(broken) = http.serve_connection(TokioIo::new(socket), answer).await {
                println!("a connection broke: {broken}");
            }
            drop(place);
        });
    }
}

async fn answer(
    sender: &dyn Scheme,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let status = match (request.method(), request.uri().path()) {
        (&Method::POST, "/webhooks/stripe") => receive(sender, request).await,
        (_, "/webhooks/stripe") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

async fn receive(sender: &dyn Scheme, request: Request<Incoming>) -> StatusCode {
    let (head, body) = request.into_parts();
    // The bytes as they came: what was parsed and is written again no longer fits the signature.
    let body = match timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(unreadable)) if unreadable.is::<LengthLimitError>() => {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        Ok(Err(_unreadable)) => return StatusCode::BAD_REQUEST,
        Err(_slow) => return StatusCode::REQUEST_TIMEOUT,
    };
    let verified = sender.verify(&bowline_signature::Request::post(&head.headers, &body), now());
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
