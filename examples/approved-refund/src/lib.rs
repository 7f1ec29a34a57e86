//! A refund that waits: for the parcel, for finance, for the bank, and for a week.
//!
//! The shop posts `{"order": "C-17", "euros": 900}` to `/refunds`. When the warehouse says that the parcel is back, finance is
//! asked, and reminded after a day; a yes goes to the bank, which calls back when the money has moved; a week later the customer
//! is asked how it was. All of it may take two months: a run that waits is a row on disk.

use bowline::prelude::*;
use garde::Validate;
use serde_json::json;

/// The systems that the workflow uses.
pub struct Shop {
    bank: Api,
    mail: Api,
}

/// What the shop posts.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
pub struct Refund {
    #[garde(length(min = 1, max = 40))]
    order: String,
    #[garde(range(min = 1, max = 10_000))]
    euros: u64,
}

/// What the warehouse says.
#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    complete: bool,
}

/// What the bank says when it calls back.
#[derive(Debug, Serialize, Deserialize)]
struct Transfer {
    id: String,
}

impl Shop {
    /// How the refund ended, in words.
    async fn refund(self: Arc<Self>, cx: Context, refund: Refund) -> Result<String> {
        let Some(parcel) = cx.signal::<Parcel>("parcel").timeout(days(30)).await? else {
            return Ok("the parcel never came".to_owned());
        };
        let Some(decision) = self.decided(&cx, &refund, &parcel).await? else {
            return Ok("nobody decided".to_owned());
        };
        if !decision.approved {
            return Ok(format!("refused: {}", decision.why.unwrap_or_default()));
        }
        let euros = decision.value::<u64>("euros")?.unwrap_or(refund.euros);

        // The URL works once, and nobody can guess it.
        let moved = cx.callback::<Transfer>("money moved");
        let order = json!({ "order": refund.order, "euros": euros, "tell": moved.url() });
        cx.step("order the transfer", self.bank.post("/transfers").json(&order)).await?;
        let Some(transfer) = moved.timeout(days(5)).await? else {
            return Err(Error::permanent("the bank did not say within five days whether the money moved"));
        };

        cx.sleep(days(7)).await;
        let survey = json!({ "order": refund.order, "ask": "how was it?" });
        cx.step("ask the customer", self.mail.post("/mails").json(&survey)).await?;
        Ok(format!("{euros} EUR refunded by transfer {}", transfer.id))
    }

    /// What finance says; it is asked again, and reminded, after a day.
    async fn decided(&self, cx: &Context, refund: &Refund, parcel: &Parcel) -> Result<Option<Decision>> {
        let state = if parcel.complete { "complete" } else { "incomplete" };
        let words = format!("Refund {} EUR for {}? The parcel was {state}.", refund.euros, refund.order);
        let question = Question::new(words)
            .approver("finance")
            .field("reason", Field::choice("Why", ["damaged", "late", "changed their mind"]).required())
            .field("euros", Field::number("Another amount").at_least(1.0).at_most(refund.euros as f64));
        if let Some(decision) = cx.approval("refund", question.clone()).timeout(days(1)).await? {
            return Ok(Some(decision));
        }
        let reminder = json!({ "to": "finance", "order": refund.order });
        cx.step("remind finance", self.mail.post("/mails").json(&reminder)).await?;
        cx.approval("refund", question).timeout(days(6)).await
    }
}

/// The app: for `main` and for tests.
pub fn app() -> App<Shop> {
    App::new("approved-refund", |setup| Shop {
        bank: setup.api("bank").base_url_env("BANK_BASE_URL"),
        mail: setup.api("mail").base_url_env("MAIL_BASE_URL"),
    })
    .version(env!("CARGO_PKG_VERSION"))
    .post("/refunds", Post::api_key_env("X-Api-Key", "SHOP_API_KEY").start(workflow("refund", Shop::refund)))
}
