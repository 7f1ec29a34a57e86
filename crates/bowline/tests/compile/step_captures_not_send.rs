//! As a run moves between threads, so do the closures of its steps.

use std::rc::Rc;

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let email = Rc::new(email);
        cx.step("measure", async || Ok(email.len())).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
