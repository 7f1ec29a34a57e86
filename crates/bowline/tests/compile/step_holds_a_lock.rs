//! A std lock held across an await cannot move between threads.

use std::sync::Mutex;

use bowline::prelude::*;

struct Payments {
    seen: Mutex<u64>,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<u64> {
        let mut seen = self.seen.lock().expect("never poisoned");
        *seen += cx.step("measure", async || Ok(email.len() as u64)).await?;
        Ok(*seen)
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
