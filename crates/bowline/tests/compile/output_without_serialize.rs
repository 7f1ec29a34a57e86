//! A workflow's output is recorded: its type must say how.

use bowline::prelude::*;

struct Payments;

struct Summary {
    letters: usize,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<Summary> {
        let letters = cx.step("measure", async || Ok(email.len())).await?;
        Ok(Summary { letters })
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
