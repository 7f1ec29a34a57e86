//! `.decode()` must be told what to read the answer as.

use bowline::prelude::*;

struct Payments {
    crm: Api,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<()> {
        let contact = cx.step("find contact", self.crm.get("/contacts").query("email", email).decode()).await?;
        Ok(())
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
