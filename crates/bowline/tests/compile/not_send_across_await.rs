//! A run moves between threads: what it holds across an await must be able to.

use std::rc::Rc;

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<usize> {
        let email = Rc::new(email);
        let letters = cx.step("measure", async || Ok(1)).await?;
        Ok(letters + email.len())
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
