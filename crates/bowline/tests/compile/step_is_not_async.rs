//! A step takes an async closure.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", || Ok(email.len())).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
