//! A Stripe payment becomes a contact in a CRM.
//!
//! Stripe posts `payment_intent.succeeded` to `/webhooks/stripe`; the workflow creates the customer in the CRM. The
//! whole program is [`app`]; `main` and the tests use the same.

use bowline::prelude::*;

/// The systems that the workflows use.
pub struct Payments {
    crm: Api,
}

/// What a run needs of Stripe's `PaymentIntent`.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentIntent {
    amount_received: u64,
    currency: String,
    receipt_email: Option<String>,
    shipping: Option<Shipping>,
}

/// To whom it goes. Stripe sends `"shipping": null` where there is nothing to ship.
#[derive(Debug, Clone, Deserialize)]
struct Shipping {
    name: Option<String>,
}

/// A contact as the CRM takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NewContact {
    email: String,
    name: String,
    source: &'static str,
    total_spent_pence: u64,
    currency: String,
    status: &'static str,
}

/// A contact as the CRM answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contact {
    /// The CRM's id.
    pub id: serde_json::Value,
}

impl From<PaymentIntent> for NewContact {
    fn from(payment: PaymentIntent) -> Self {
        let name = payment.shipping.and_then(|shipping| shipping.name);
        Self {
            email: payment.receipt_email.unwrap_or_else(|| "unknown@example.com".to_owned()),
            name: name.unwrap_or_else(|| "Unknown".to_owned()),
            source: "stripe_payment",
            total_spent_pence: payment.amount_received,
            currency: payment.currency.to_uppercase(),
            status: "customer",
        }
    }
}

impl Payments {
    /// A payment succeeded: the CRM gets a contact.
    async fn stripe_to_crm(self: Arc<Self>, cx: Context, payment: PaymentIntent) -> Result<Contact> {
        let contact = NewContact::from(payment);
        // Recorded once; retried with backoff; one Idempotency-Key on every attempt, before and after a crash.
        cx.step("create contact", self.crm.post("/api/contacts").json(&contact).decode()).await
    }
}

/// The app: for `main` and for tests.
pub fn app() -> App<Payments> {
    App::new("stripe-to-crm", |setup| Payments {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL").header_key_env("X-Api-Key", "CRM_API_KEY"),
    })
    .version(env!("CARGO_PKG_VERSION"))
    .webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET")
            .on("payment_intent.succeeded", workflow("stripe-to-crm", Payments::stripe_to_crm)),
    )
}
