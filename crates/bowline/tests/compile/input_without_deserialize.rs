//! The input of a workflow is read from JSON: its type must say how.

use bowline::prelude::*;

struct Payments {
    crm: Api,
}

struct Payment {
    email: String,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, payment: Payment) -> Result<Response> {
        cx.step("create contact", self.crm.post("/contacts").query("email", payment.email)).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
