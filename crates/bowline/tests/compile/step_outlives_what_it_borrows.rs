//! A step may borrow what lives until it is awaited, and no less.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let measure = {
            let name = email.to_lowercase();
            cx.step("measure", async || Ok(name.len()))
        };
        measure.await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
