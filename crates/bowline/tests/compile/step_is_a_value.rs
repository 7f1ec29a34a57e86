//! A step takes what is to be done, not what was done.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        cx.step("measure", email.len()).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
