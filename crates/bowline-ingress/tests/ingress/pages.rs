//! Pages in browsers: which may send, and read the answers.

use std::time::Duration;

use axum::Router;
use bowline_ingress::{Route, providers::Auth};
use bowline_model::Secret;

use crate::{
    posts::{JSON, route},
    refusals::refused,
    site::{Plan, Site, plan},
    wire::{Reply, ask, post},
};

const PAGE: (&str, &str) = ("origin", "https://www.example.com");
const OTHER: (&str, &str) = ("origin", "https://www.example.com.evil.net");
const ASKS: (&str, &str) = ("access-control-request-method", "POST");
const ADA: &[u8] = br#"{"email": "ada@example.com"}"#;

fn with_origins() -> Route {
    let auth = Auth::api_key("X-Api-Key", [Secret::new("key")]).expect("sound");
    let route = route("/signups", auth).wait(Duration::from_secs(10));
    route.allow_origin("https://www.example.com").allow_origin("http://localhost:5173")
}

async fn open() -> Site {
    let site = Plan { routes: vec![with_origins(), route("/closed", Auth::Open)], ..plan() }.open().await;
    site.door.stop_waiting();
    site
}

fn allowed(reply: &Reply) -> Option<&str> {
    assert_eq!(reply.header("access-control-allow-credentials"), None, "never");
    reply.header("access-control-allow-origin")
}

#[tokio::test]
async fn a_page_that_may_send_is_told_so_before_it_sends() {
    let site = open().await;
    for origin in ["https://www.example.com", "http://localhost:5173"] {
        let reply = ask(site.at, "OPTIONS", "/signups", &[("origin", origin), ASKS]).await;
        assert_eq!((reply.status, allowed(&reply)), (204, Some(origin)));
        assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(
            reply.header("access-control-allow-headers"),
            Some("content-type, idempotency-key, x-api-key")
        );
        assert_eq!(
            (reply.header("access-control-max-age"), reply.header("vary")),
            (Some("7200"), Some("origin"))
        );
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_that_it_may_not() {
    let site = open().await;
    for odd in [
        OTHER.1,
        "null",
        "*",
        "",
        "HTTPS://www.example.com",
        "https://www.example.com:443",
        "https://www.example.com/",
        "http://www.example.com",
        "https://example.com",
    ] {
        let reply = ask(site.at, "OPTIONS", "/signups", &[("origin", odd), ASKS]).await;
        refused(&reply, 403, "pages of this origin may not send here");
        assert_eq!((allowed(&reply), reply.header("vary")), (None, Some("origin")), "{odd}");
    }
    let twice = ask(site.at, "OPTIONS", "/signups", &[PAGE, PAGE, ASKS]).await;
    refused(&twice, 403, "may not send here");
}

#[tokio::test]
async fn a_route_without_origins_knows_no_pages() {
    let site = open().await;
    let reply = ask(site.at, "OPTIONS", "/closed", &[PAGE, ASKS]).await;
    refused(&reply, 405, "POST");
    assert_eq!((allowed(&reply), reply.header("vary")), (None, None));
    let reply = post(site.at, "/closed", &[JSON, PAGE], ADA).await;
    assert_eq!((reply.status, allowed(&reply)), (200, None));
}

#[tokio::test]
async fn a_page_reads_answers_and_refusals_alike() {
    let site = open().await;
    let key = ("x-api-key", "key");
    let reply = post(site.at, "/signups", &[JSON, key, PAGE], ADA).await;
    assert_eq!((reply.status, allowed(&reply)), (202, Some(PAGE.1)));
    let exposed = reply.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("location") && exposed.contains("bowline-run"), "{exposed}");
    let address = reply.header("location").unwrap().to_owned();

    let invalid = post(site.at, "/signups", &[JSON, key, PAGE], b"{}").await;
    assert_eq!((invalid.status, allowed(&invalid)), (422, Some(PAGE.1)));
    let unauthentic = post(site.at, "/signups", &[JSON, PAGE], ADA).await;
    assert_eq!((unauthentic.status, allowed(&unauthentic)), (401, Some(PAGE.1)));
    // A program has no origin; a cache must not hand its answer to a page.
    let program = post(site.at, "/signups", &[JSON, key], ADA).await;
    assert_eq!((program.status, allowed(&program), program.header("vary")), (202, None, Some("origin")));
    let other = post(site.at, "/signups", &[JSON, key, OTHER], ADA).await;
    assert_eq!((other.status, allowed(&other)), (202, None), "its page cannot read it");

    let asks_get = ("access-control-request-method", "GET");
    let preflight = ask(site.at, "OPTIONS", &address, &[PAGE, asks_get]).await;
    assert_eq!((preflight.status, allowed(&preflight)), (204, Some(PAGE.1)));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET"));
    let result = ask(site.at, "GET", &address, &[PAGE, key]).await;
    assert_eq!((result.status, allowed(&result)), (202, Some(PAGE.1)));
    let nothing = ask(site.at, "GET", "/signups/runs/1-x", &[PAGE, key]).await;
    assert_eq!((nothing.status, allowed(&nothing)), (404, Some(PAGE.1)));
}

#[tokio::test]
async fn within_a_larger_program_the_address_is_where_the_post_was_sent() {
    let around = |router: Router| Router::new().nest("/api/v1", router);
    let site = Plan { routes: vec![with_origins()], around, ..plan() }.open().await;
    site.door.stop_waiting();
    let reply = post(site.at, "/api/v1/signups", &[JSON, ("x-api-key", "key")], ADA).await;
    let address = reply.header("location").unwrap().to_owned();
    assert!(address.starts_with("/api/v1/signups/runs/1-"), "{address}");
    assert_eq!(ask(site.at, "GET", &address, &[("x-api-key", "key")]).await.status, 202);
}

#[test]
fn only_what_a_browser_sends_is_an_origin() {
    for good in
        ["https://a.example", "http://localhost:5173", "http://[::1]:8080", "https://xn--bcher-kva.example"]
    {
        let route = route("/a", Auth::Open).allow_origin(good);
        assert!(bowline_ingress::route::check(&[route]).is_ok(), "{good}");
    }
    for (odd, what) in [
        ("*", "does not begin with"),
        ("www.example.com", "does not begin with"),
        ("null", "does not begin with"),
        ("https://", "no host"),
        ("https://www.example.com/", "no path"),
        ("https://Example.com", "lower case"),
        ("https://a@example.com", "lower case"),
        ("https://bücher.example", "punycode"),
        ("https://www.example.com:443", "own port"),
        ("http://www.example.com:80", "own port"),
    ] {
        let problems =
            bowline_ingress::route::check(&[route("/a", Auth::Open).allow_origin(odd)]).unwrap_err();
        assert!(problems.to_string().contains(what), "{odd}: {problems}");
    }
}
