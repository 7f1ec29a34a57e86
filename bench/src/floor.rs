//! The floors: what a good engineer writes without a framework. What both share is here.
//!
//! | Module | Story |
//! |---|---|
//! | [`bare`] | verify, answer, call the CRM; a crash loses what was acknowledged |
//! | [`durable`] | verify, commit, answer, call the CRM, mark as done; after a crash the rest is called again |

pub(crate) mod bare;
pub(crate) mod durable;

use std::{env, sync::Arc};

use axum::{Router, body::Bytes, http::HeaderMap, routing::get, serve::ListenerExt};
use bowline_model::{Clock, SystemClock};
use bowline_signature::{SigningSecret, Stripe, stripe};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::Result;

/// Calls to the CRM at once: as many as Bowline drives runs.
const CALLS_MAX: usize = 256;

/// Serves what `router` makes, on `LISTEN`, until it is killed.
pub(crate) fn serve<F: Future<Output = Result<Router>>>(router: fn(Arc<Floor>) -> F) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let floor = Arc::new(Floor::from_environment()?);
        let router = router(floor).await?.route("/health", get(async || "ok"));
        let listener = TcpListener::bind(env::var("LISTEN")?).await?;
        let listener = listener.tap_io(|stream| {
            // Without it answers only come later, never wrong.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

/// What both floors verify with, and where they send.
pub(crate) struct Floor {
    stripe: Stripe,
    client: reqwest::Client,
    contacts_url: String,
    api_key: String,
    calls: Semaphore,
}

/// Of Stripe's event, what is needed.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: PaymentIntent,
}

#[derive(Debug, Deserialize)]
struct PaymentIntent {
    amount_received: u64,
    currency: String,
    receipt_email: Option<String>,
    shipping: Option<Shipping>,
}

#[derive(Debug, Deserialize)]
struct Shipping {
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct NewContact<'a> {
    email: &'a str,
    name: &'a str,
    source: &'static str,
    total_spent_pence: u64,
    currency: String,
    status: &'static str,
}

#[derive(Debug, Deserialize)]
struct Contact {
    #[serde(rename = "id")]
    _id: serde_json::Value,
}

impl Floor {
    fn from_environment() -> Result<Self> {
        let base = env::var("CRM_BASE_URL")?;
        Ok(Self {
            stripe: Stripe::new(SigningSecret::new(env::var("STRIPE_WEBHOOK_SECRET")?)?),
            client: reqwest::Client::builder().no_proxy().build()?,
            contacts_url: format!("{base}/api/contacts"),
            api_key: env::var("CRM_API_KEY")?,
            calls: Semaphore::new(CALLS_MAX),
        })
    }

    fn verify(&self, headers: &HeaderMap, body: &Bytes) -> bool {
        headers
            .get(stripe::HEADER)
            .is_some_and(|header| self.stripe.verify(header, body, SystemClock.now()).is_ok())
    }

    /// One call, when there is room for it.
    async fn create_contact(&self, event_id: &str, payment: &PaymentIntent) -> Result<Contact> {
        let _room = self.calls.acquire().await?;
        let call = self
            .client
            .post(&self.contacts_url)
            .header("x-api-key", &self.api_key)
            .header("idempotency-key", event_id)
            .json(&NewContact::from(payment));
        Ok(call.send().await?.error_for_status()?.json().await?)
    }
}

impl Event {
    /// `None` if it is not JSON of an event, which no retry mends.
    fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    fn is_payment(&self) -> bool {
        self.kind == "payment_intent.succeeded"
    }
}

impl<'a> From<&'a PaymentIntent> for NewContact<'a> {
    fn from(payment: &'a PaymentIntent) -> Self {
        let name = payment.shipping.as_ref().and_then(|shipping| shipping.name.as_deref());
        Self {
            email: payment.receipt_email.as_deref().unwrap_or("unknown@example.com"),
            name: name.unwrap_or("Unknown"),
            source: "stripe_payment",
            total_spent_pence: payment.amount_received,
            currency: payment.currency.to_uppercase(),
            status: "customer",
        }
    }
}

#[allow(clippy::print_stderr, reason = "a floor's log")]
fn log(what: &str, event: &str, error: &dyn std::fmt::Display) {
    eprintln!("{what} {event}: {error}");
}
