//! An app runs the methods of its own struct.

use bowline::prelude::*;

struct Payments;
struct Signups;

impl Signups {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", async || Ok(email.len())).await
    }
}

fn main() {
    let _ = App::new("payments", |_| Payments).webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("payment_intent.succeeded", workflow("sync", Signups::sync)),
    );
}
