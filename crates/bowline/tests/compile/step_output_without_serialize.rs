//! What a step yields is recorded, and read back after a crash: its type must say how.

use bowline::prelude::*;

struct Payments;

struct Summary {
    letters: usize,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let summary = cx.step("measure", async || Ok(Summary { letters: email.len() })).await?;
        Ok(summary.letters)
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
