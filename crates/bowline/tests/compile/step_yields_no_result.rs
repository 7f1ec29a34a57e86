//! A step's closure returns a `Result`: it can fail, and says so.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", async || email.len()).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
