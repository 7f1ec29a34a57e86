//! A step takes a closure, which can be run again; a future runs once.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", async { Ok(email.len()) }).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
