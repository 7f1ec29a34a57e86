//! A signup form becomes a row of a sheet.
//!
//! A site posts `{"email": …, "name": …}` to `/signups`; the workflow guesses the age by the first name, if that goes
//! quickly, and posts a row to the sheet's webhook. The form's sender has the row as the answer, or after ten seconds
//! an address where it will be.

use bowline::prelude::*;
use garde::Validate;
use serde_json::{Map, Value};

/// The systems that the workflows use.
pub struct Signups {
    agify: Api,
    sheet: Api,
}

/// What the form posts.
#[derive(Debug, Clone, Deserialize, Validate)]
pub struct Signup {
    #[garde(email, length(max = 254))]
    email: String,
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    #[garde(inner(length(min = 1, max = 50)))]
    plan: Option<String>,
    #[garde(inner(length(min = 1, max = 100)))]
    source: Option<String>,
    #[garde(inner(length(max = 200)))]
    utm_campaign: Option<String>,
    /// Whatever else the form knows.
    #[garde(custom(few))]
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// Most entries of `metadata`.
const METADATA_LEN_MAX: usize = 50;

fn few(metadata: &Map<String, Value>, _: &()) -> garde::Result {
    match metadata.len() {
        0..=METADATA_LEN_MAX => Ok(()),
        many => Err(garde::Error::new(format!("has {many} entries (limit {METADATA_LEN_MAX})"))),
    }
}

impl Signup {
    fn first_name(&self) -> &str {
        self.name.split_whitespace().next().unwrap_or_default()
    }
}

/// What agify.io answers.
#[derive(Debug, Serialize, Deserialize)]
struct Guess {
    age: Option<u32>,
}

/// A row as the sheet takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    timestamp: String,
    email: String,
    name: String,
    plan: String,
    source: String,
    utm_campaign: Option<String>,
    metadata: Map<String, Value>,
    age_guess: Option<u32>,
}

impl Signups {
    /// Somebody signed up: the sheet gets a row.
    async fn signup_to_sheet(self: Arc<Self>, cx: Context, signup: Signup) -> Result<Row> {
        // Nice to have: a slow or broken guess never stops the row.
        let guess: Option<Guess> = cx
            .step("guess age", self.agify.get("/").query("name", signup.first_name()).decode())
            .timeout(secs(3))
            .best_effort()
            .await;
        let row = Row {
            timestamp: cx.now().to_string(),
            age_guess: guess.and_then(|guess| guess.age),
            plan: signup.plan.unwrap_or_else(|| "free".to_owned()),
            source: signup.source.unwrap_or_else(|| "website".to_owned()),
            email: signup.email,
            name: signup.name,
            utm_campaign: signup.utm_campaign,
            metadata: signup.metadata,
        };
        cx.step("append row", self.sheet.post("").json(&row)).await?;
        Ok(row)
    }
}

/// The app: for `main` and for tests.
pub fn app() -> App<Signups> {
    App::new("signup-to-sheet", |setup| Signups {
        agify: setup.api("agify").base_url_env("AGIFY_BASE_URL").cache(days(7)),
        sheet: setup.api("sheet").secret_url_env("SHEETS_WEBHOOK_URL"),
    })
    .version(env!("CARGO_PKG_VERSION"))
    .post(
        "/signups",
        // Open to everybody, as a public form is, unless SIGNUP_API_KEY is set. What comes twice under one
        // Idempotency-Key is one signup.
        Post::api_key_env("X-Api-Key", "SIGNUP_API_KEY")
            .or_open()
            .start(workflow("signup-to-sheet", Signups::signup_to_sheet))
            .wait(secs(10)),
    )
}
