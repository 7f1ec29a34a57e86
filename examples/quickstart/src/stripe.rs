//! A stand-in for Stripe: it signs events as Stripe does, and posts them.

use std::{env, time::Duration};

use bowline_model::{Clock, SystemClock};
use bowline_signature::{SigningSecret, Stripe as Signer, stripe::HEADER};
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Result,
    screen::{Tone, paint, say_as, span},
};

/// Where the app of `stripe-to-crm` takes them.
pub(crate) const PATH: &str = "/webhooks/stripe";
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who pays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payer {
    /// What the ids of their events and payments begin with.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) pence: u64,
}

/// Stripe, as far as the app can tell.
#[derive(Debug)]
pub(crate) struct Stripe {
    signer: Signer,
    url: String,
    client: Client,
}

/// What the app answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) receipt: Receipt,
    /// Why it was refused.
    problem: Option<String>,
}

/// The body of an answer that says no (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// The answer's body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Receipt {
    pub(crate) status: Option<String>,
    pub(crate) runs: Vec<i64>,
}

impl Stripe {
    /// A Stripe that knows the app's secret and address.
    pub(crate) fn of_environment() -> Result<Self> {
        let signer = Signer::new(SigningSecret::new(env::var("STRIPE_WEBHOOK_SECRET")?)?);
        let url = format!("http://{}{PATH}", env::var("BOWLINE_LISTEN")?);
        let client = Client::builder()
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .redirect(redirect::Policy::none())
            // Plain HTTP: needs no certificate authorities.
            .tls_certs_only([])
            .build()?;
        Ok(Self { signer, url, client })
    }

    /// The same, with another secret.
    pub(crate) fn forger(&self) -> Result<Self> {
        let signer = Signer::new(SigningSecret::new("whsec_guessed")?);
        Ok(Self { signer, url: self.url.clone(), client: self.client.clone() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The signature with which Stripe would send this body now.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        self.signer.sign(body, SystemClock.now())
    }

    /// Posts the event, signed, and tells what the app answered.
    ///
    /// # Durability
    /// A crash of this process: the event may be on disk all the same. Sent again, it is a duplicate then.
    pub(crate) async fn send(&self, body: &[u8]) -> Result<Answer> {
        let began = SystemClock.monotonic();
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header(HEADER, self.sign(body))
            .body(body.to_vec());
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let answer = Answer {
            status,
            receipt: serde_json::from_slice(&body).unwrap_or_default(),
            problem: serde_json::from_slice(&body).ok().map(|problem: Problem| problem.detail),
        };
        let took = i64::try_from((SystemClock.monotonic() - began).as_millis())?;
        answer.tell(took);
        Ok(answer)
    }
}

impl Answer {
    /// Whether the app said 200 and that.
    pub(crate) fn is(&self, status: &str) -> bool {
        self.status == StatusCode::OK && self.receipt.status.as_deref() == Some(status)
    }

    fn tell(&self, took_ms: i64) {
        let tone = if self.status.is_success() { Tone::Good } else { Tone::Bad };
        let said = match (&self.receipt.status, &self.problem) {
            (Some(status), _) => status.clone(),
            // What comes after the fact is a hint for Stripe's users.
            (None, Some(problem)) => problem.split(';').next().unwrap_or_default().to_owned(),
            (None, None) => String::new(),
        };
        let took = paint(Tone::Dim, format!("in {}", span(took_ms)));
        say_as("Stripe", format!("→ {}  {took}", paint(tone, format!("{} {said}", self.status.as_u16()))));
    }
}

/// `payment_intent.succeeded`, as Stripe writes it; `nth` tells events of one payer apart.
pub(crate) fn payment(payer: &Payer, nth: &str) -> Value {
    let Payer { id, name, email, pence } = payer;
    json!({
        "id": format!("evt_{id}{nth}"),
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": SystemClock.now().as_second(),
        "type": "payment_intent.succeeded",
        "livemode": false,
        "data": { "object": {
            "id": format!("pi_{id}{nth}"),
            "object": "payment_intent",
            "amount": pence,
            "amount_received": pence,
            "currency": "gbp",
            "receipt_email": email,
            "shipping": { "name": name },
            "status": "succeeded",
        }},
    })
}
