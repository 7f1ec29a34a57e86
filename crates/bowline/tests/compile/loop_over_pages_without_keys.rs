use bowline::prelude::*;

#[derive(Serialize, Deserialize)]
struct Contact {
    id: u64,
}

async fn sync(cx: Context, crm: Api) -> Result<()> {
    let contacts = crm.get("/contacts").pages::<Contact>("results", Paging::link_header());
    cx.for_each("sync", contacts, 16, async |cx, contact| {
        cx.step("patch", crm.patch(&format!("/contacts/{}", contact.id))).await?;
        Ok(())
    })
    .await?;
    Ok(())
}

fn main() {}
