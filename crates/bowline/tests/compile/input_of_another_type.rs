//! What a program starts a workflow with is what the workflow takes.

use bowline::{OpenApp, prelude::*};

struct Payments;

#[derive(Serialize, Deserialize)]
struct Payment {
    email: String,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, payment: Payment) -> Result<usize> {
        cx.step("measure", async || Ok(payment.email.len())).await
    }
}

async fn start(app: OpenApp<Payments>) {
    let sync = workflow("sync", Payments::sync);
    let _ = app.start(&sync, &"ada@example.com").await;
}

fn main() {
    let _ = start;
}
