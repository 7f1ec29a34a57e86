//! A step belongs into the workflow itself: a spawned task may outlive it.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let measure = cx.step("measure", async || Ok(email.len()));
        tokio::spawn(measure.into_future()).await.expect("does not panic")
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
