//! Two steps in a row, and a schedule that gives up soon.
//!
//! The customer's number is drawn once: whatever happens to the second step, a crash or an operator's retry included,
//! the first one is not sent again.
//!
//! ```sh
//! export STRIPE_WEBHOOK_SECRET=whsec_test CRM_BASE_URL=http://127.0.0.1:9090 CRM_API_KEY=test
//! cargo run -p stripe-to-crm --bin two-steps
//! ```

use std::time::Duration;

use bowline::prelude::*;

struct Customers {
    crm: Api,
}

#[derive(Deserialize)]
struct Payment {
    receipt_email: String,
}

#[derive(Serialize, Deserialize)]
struct Drawn {
    number: u64,
}

#[derive(Serialize)]
struct NumberedContact {
    email: String,
    number: u64,
}

impl Customers {
    /// A new customer gets a number, and under it a contact.
    async fn welcome(self: Arc<Self>, cx: Context, payment: Payment) -> Result<u64> {
        let email = payment.receipt_email;
        let ask = serde_json::json!({ "email": email });
        let drawn: Drawn = cx.step("draw number", self.crm.post("/api/numbers").json(&ask).decode()).await?;
        let contact = NumberedContact { email, number: drawn.number };
        // A person shall hear of it within seconds, not after a day.
        let soon = RetryPolicy::default().base(Duration::from_millis(50)).attempts_max(3);
        cx.step("create contact", self.crm.post("/api/contacts").json(&contact)).retry(soon).await?;
        Ok(drawn.number)
    }
}

fn main() -> ExitCode {
    App::new("two-steps", |setup| Customers {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL").header_key_env("X-Api-Key", "CRM_API_KEY"),
    })
    .version(env!("CARGO_PKG_VERSION"))
    .webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET")
            .on("payment_intent.succeeded", workflow("welcome", Customers::welcome)),
    )
    .main()
}
