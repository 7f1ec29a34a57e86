//! A run outlives the call that starts it: its method takes `self: Arc<Self>`.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(&self, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", async || Ok(email.len())).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
