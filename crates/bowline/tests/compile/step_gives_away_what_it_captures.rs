//! A step's closure may run several times: it cannot give away what it has only once.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<String> {
        cx.step("take", async move || Ok(email)).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
