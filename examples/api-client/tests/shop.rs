//! The pass through the API, against a shop of our own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use api_client::{Filed, file_week, shop};
use axum::{
    Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bowline_client::Api;
use bowline_model::Variables;
use serde_json::{Value, json};

/// The uploads that arrived, whole.
type Uploads = Arc<Mutex<Vec<String>>>;

/// Lets those in who have the token; sends the first of them away for a moment.
async fn door(State(busy): State<Arc<AtomicBool>>, request: Request, next: Next) -> Response {
    if request.headers().get("authorization").is_none_or(|token| token != "Bearer t-1") {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    if busy.swap(false, Ordering::Relaxed) {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after-ms", "1")], "").into_response();
    }
    next.run(request).await
}

async fn token(headers: HeaderMap) -> Response {
    match headers.get("authorization").is_some_and(|basic| basic == "Basic dXM6b3VyLXNlY3JldA==") {
        true => {
            Json(json!({"access_token": "t-1", "token_type": "Bearer", "expires_in": 3600})).into_response()
        }
        false => (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response(),
    }
}

async fn customers(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let page = |ids: [u64; 2], next: Option<&str>| {
        let items = ids.map(|id| json!({"id": id, "email": format!("c{id}@example.com")}));
        Json(json!({"items": items, "next": next}))
    };
    match query.get("after").map(String::as_str) {
        None => page([1, 2], Some("b")),
        _ => page([3, 4], None),
    }
}

async fn upload(State(uploads): State<Uploads>, body: String) -> Response {
    let mut uploads = uploads.lock().unwrap();
    if !uploads.is_empty() {
        let exists = json!({"error": {"code": "report_exists", "message": "2026-W47 is filed"}});
        return (StatusCode::CONFLICT, Json(exists)).into_response();
    }
    uploads.push(body);
    StatusCode::CREATED.into_response()
}

/// A shop, and what was uploaded to it.
async fn open_shop() -> (Api, Uploads) {
    let orders = json!({"data": {"orders": [
        {"customer": 3, "cents": 999}, {"customer": 1, "cents": 500}, {"customer": 3, "cents": 6},
    ]}});
    let uploads = Uploads::default();
    let app = Router::new()
        .route("/customers", get(customers))
        .route("/orders/export", get(async || Json(orders)))
        .route("/graphql", post(async || Json(json!({"data": {"shop": {"currency": "EUR"}}}))))
        .route("/reports", post(upload))
        .route("/reports/2026-W47/receipt", get(async || "received with thanks"))
        .layer(from_fn_with_state(Arc::new(AtomicBool::new(true)), door))
        .route("/token", post(token))
        .with_state(uploads.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let variables = Variables::new(move |name| match name {
        "SHOP_URL" => Some(url.clone()),
        "SHOP_TOKEN_URL" => Some(format!("{url}/token")),
        "SHOP_CLIENT_ID" => Some("us".into()),
        "SHOP_CLIENT_SECRET" => Some("our-secret".into()),
        _ => None,
    });
    (shop(variables), uploads)
}

#[tokio::test]
async fn a_week_is_filed_once() {
    let (shop, uploads) = open_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let receipt = folder.path().join("receipt.pdf");
    let mut expected = Filed {
        report: "c1@example.com,5.00,EUR\nc3@example.com,10.05,EUR\n".into(),
        was_there: false,
        receipt_bytes: 20,
    };
    assert_eq!(file_week(&shop, "2026-W47", &receipt).await.unwrap(), expected);
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), "received with thanks");
    assert!(uploads.lock().unwrap()[0].contains(&expected.report));

    expected.was_there = true;
    assert_eq!(file_week(&shop, "2026-W47", &receipt).await.unwrap(), expected);
    assert_eq!(uploads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_shop_refuses_is_told_as_it_said_it() {
    let (shop, _) = open_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let error = file_week(&shop, "2026-W01", &folder.path().join("receipt.pdf")).await.unwrap_err();
    assert_eq!((error.status(), error.is_retryable()), (Some(404), false));
    assert!(error.to_string().starts_with("GET shop /reports/2026-W01/receipt answered 404"), "{error}");
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let variables = Variables::new(|_| None);
    shop(variables.clone());
    let names: Vec<_> = variables.problems().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["SHOP_CLIENT_ID", "SHOP_CLIENT_SECRET", "SHOP_URL"]);
}
