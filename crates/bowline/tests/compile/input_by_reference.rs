//! A workflow owns its input: nobody keeps it for the weeks that a run may take.

use bowline::prelude::*;

struct Payments;

#[derive(Deserialize)]
struct Payment {
    email: String,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, payment: &Payment) -> Result<usize> {
        cx.step("measure", async || Ok(payment.email.len())).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
