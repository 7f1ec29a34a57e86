//! Tokens of an app's Apis: kept in its store, under its key.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, http::HeaderMap, routing::post};
use bowline_model::Variables;
use serde_json::json;

use crate::{Api, App, Context, OAuth, OpenError, OpenOptions, Result, Secret, Workflow, workflow};

const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

struct Crm {
    crm: Api,
}

impl Crm {
    async fn ask(self: Arc<Self>, cx: Context, (): ()) -> Result<String> {
        cx.step("ask", self.crm.get("/contacts").decode()).await
    }
}

/// A remote and its token endpoint, and what it is called with.
async fn remote() -> (String, Arc<Mutex<Vec<String>>>) {
    let (asked, seen) = (AtomicUsize::new(0), Arc::<Mutex<Vec<String>>>::default());
    let asked = Arc::new(asked);
    let token = async move || {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        Json(json!({ "access_token": format!("t0ken-{number}"), "token_type": "Bearer", "expires_in": 3600 }))
    };
    let kept = seen.clone();
    let see = async move |headers: HeaderMap| {
        kept.lock().unwrap().push(headers["authorization"].to_str().unwrap().to_owned());
        Json("seen")
    };
    let router = Router::new().route("/token", post(token)).fallback(see);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), seen)
}

fn app(remote: &str, ask: &Workflow<Crm, (), String>) -> App<Crm> {
    let remote = remote.to_owned();
    let app = App::new("payments", move |setup| Crm {
        crm: setup
            .api("crm")
            .base_url(&remote)
            .oauth(OAuth::client_credentials(&format!("{remote}/token")).client("us", Secret::new("s3cret"))),
    });
    app.workflow(ask.clone())
}

fn options(store: &Path, variables: &[(&str, &str)]) -> OpenOptions {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    OpenOptions::default()
        .variables(Variables::new(move |name| variables.get(name).cloned()))
        .store_file(store)
}

/// What the remote sees in each of two lives of an app, and what is on disk then.
async fn two_lives(variables: &[(&str, &str)]) -> (Vec<String>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("bowline.db");
    let (url, seen) = remote().await;
    let ask = workflow("ask", Crm::ask);
    for _ in 0..2 {
        let app = app(&url, &ask).open_with(options(&store, variables)).await.unwrap();
        assert_eq!(app.start(&ask, &()).await.unwrap().await.unwrap(), "seen");
        app.shutdown().await;
    }
    let seen = seen.lock().unwrap().clone();
    (seen, std::fs::read(&store).unwrap())
}

fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn the_next_process_goes_on_with_the_token_that_is_sealed_in_the_store() {
    let (seen, file) = two_lives(&[("BOWLINE_TOKEN_KEY", KEY)]).await;
    assert_eq!(seen, ["Bearer t0ken-0", "Bearer t0ken-0"]);
    assert!(holds(&file, "crm") && !holds(&file, "t0ken"), "it is there, and nobody reads it");
}

#[tokio::test]
async fn without_a_key_the_next_process_asks_for_its_own_token() {
    let (seen, file) = two_lives(&[]).await;
    assert_eq!(seen, ["Bearer t0ken-0", "Bearer t0ken-1"]);
    assert!(!holds(&file, "t0ken"));
}

#[tokio::test]
async fn a_key_that_is_none_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("BOWLINE_TOKEN_KEY", "hunter2")];
    let app = app("http://127.0.0.1:9", &workflow("ask", Crm::ask));
    let error = app.open_with(options(&folder.path().join("bowline.db"), &variables)).await.unwrap_err();
    assert!(matches!(error, OpenError::Settings(_)), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("BOWLINE_TOKEN_KEY ") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_consent_without_a_key_is_a_problem_that_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let consent = OAuth::authorization_code("https://id.example/auth", "https://id.example/token")
        .client("us", Secret::new("s3cret"));
    let app = App::new("payments", move |setup| Crm {
        crm: setup.api("crm").base_url("https://api.example").oauth(consent.clone()),
    });
    let error = app.open_with(options(&folder.path().join("bowline.db"), &[])).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("BOWLINE_TOKEN_KEY") && text.contains("openssl rand -base64 32"), "{text}");
}
