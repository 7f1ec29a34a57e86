use bowline::prelude::*;

async fn sync(cx: Context, crm: Api) -> Result<()> {
    cx.for_each("sync", crm.get("/contacts"), 16, async |_, _: u64| Ok(())).await?;
    Ok(())
}

fn main() {}
