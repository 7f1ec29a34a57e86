//! What HTML forms send to first-party routes.

use std::sync::Arc;

use bowline_ingress::{
    Rejection, Route,
    providers::{Auth, Post},
};

use crate::{
    site::{Plan, Site, plan},
    wire::{Reply, post},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Makes JSON of `email=…`.
fn to_json(form: &[u8]) -> Result<Vec<u8>, Rejection> {
    let form = std::str::from_utf8(form).unwrap_or_default();
    let email = form.strip_prefix("email=").ok_or_else(|| Rejection::unroutable("there is no email"))?;
    Ok(format!("{{\"email\":\"{email}\"}}").into_bytes())
}

async fn open() -> Site {
    let signups = Post::new(Auth::Open, |_body| Ok(None))
        .forms(to_json)
        .thanks("https://www.example.com/thanks".parse().expect("a header's value"));
    let json_only = Post::new(Auth::Open, |_body| Ok(None));
    let route = |path: &str, post: Post| Route::new(path, Arc::new(post)).on("*", "signup".into());
    let routes = vec![route("/signups", signups), route("/json", json_only)];
    Plan { routes, ..plan() }.open().await
}

async fn send(site: &Site, path: &str, header: (&str, &str), body: &str) -> Reply {
    post(site.at, path, &[header], body.as_bytes()).await
}

#[tokio::test]
async fn a_form_starts_a_run_and_its_browser_goes_on_to_the_thanks() {
    let site = open().await;
    let reply = send(&site, "/signups", FORM, "email=ada").await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("https://www.example.com/thanks")));
    assert_eq!((reply.header("bowline-status"), reply.header("bowline-run")), (Some("accepted"), Some("1")));
    let stored = site.event(1).await.unwrap();
    assert_eq!(stored.input().unwrap(), serde_json::json!({"email": "ada"}));
    assert_eq!(send(&site, "/signups", JSON, r#"{"email":"bob"}"#).await.status_word(), "accepted");
}

#[tokio::test]
async fn a_form_that_is_not_valid_or_not_asked_for_is_refused() {
    let site = open().await;
    let reply = send(&site, "/signups", FORM, "name=ada").await;
    assert_eq!((reply.status, reply.json()["detail"].as_str()), (400, Some("there is no email")));
    let reply = send(&site, "/json", FORM, "email=ada").await;
    assert_eq!(reply.status, 415, "{reply:?}");
    assert!(reply.body.contains("not application/json"), "{}", reply.body);
    let reply = send(&site, "/signups", ("content-type", "text/plain"), "email=ada").await;
    assert!(reply.body.contains("application/json or application/x-www-form-urlencoded"), "{}", reply.body);
    assert!(site.stored_nothing().await);
}
