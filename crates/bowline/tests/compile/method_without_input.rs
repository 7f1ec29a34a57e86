//! A workflow takes its event's input, also where it does not look at it.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context) -> Result<usize> {
        cx.step("count", async || Ok(1)).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
