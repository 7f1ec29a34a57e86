//! A step's closure may run several times, and not at all after a crash: what it does goes out by its value.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let mut letters = 0;
        cx.step("measure", async || {
            letters = email.len();
            Ok(())
        })
        .await?;
        Ok(letters)
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
