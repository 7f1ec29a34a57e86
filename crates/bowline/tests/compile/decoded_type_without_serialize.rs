//! What a call is decoded to is recorded: its type is read from JSON, and written to it.

use bowline::prelude::*;

struct Payments {
    crm: Api,
}

#[derive(Deserialize)]
struct Contact {
    id: u64,
}

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, email: String) -> Result<u64> {
        let contact: Contact = cx.step("find contact", self.crm.get("/contacts").query("email", email).decode()).await?;
        Ok(contact.id)
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
