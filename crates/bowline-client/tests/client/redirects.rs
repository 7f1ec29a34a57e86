//! Redirects: within the origin only, and never with credentials to another.

use axum::{body::Body, http::Response};
use bowline_client::{HmacSigning, Idempotency};
use bowline_model::{Attempt, Effect, Secret, Variables};

use crate::remote::{Remote, Seen, done, once, refused};

fn to(status: u16, location: &str) -> Response<Body> {
    Response::builder().status(status).header("location", location).body(Body::empty()).unwrap()
}

async fn redirecting(status: u16, location: &str) -> Remote {
    let location = location.to_owned();
    Remote::new(move |nth, _: &Seen| if nth == 1 { to(status, &location) } else { Response::default() }).await
}

#[tokio::test]
async fn a_get_follows_within_the_origin_with_its_credentials() {
    for status in [301, 302, 303, 307, 308] {
        let crm = redirecting(status, "/v2/contacts?page=2").await;
        done(once(crm.api().bearer(Secret::new("t-123456")).get("/contacts").query("a", 1)).await);
        let seen = crm.seen();
        assert_eq!(seen[1].uri, "/v2/contacts?page=2");
        assert_eq!(seen[1].header("authorization"), "Bearer t-123456");
    }
}

#[tokio::test]
async fn nothing_goes_to_another_origin() {
    let other = Remote::always(200, &[], "").await;
    let port = other.address.port();
    // Another port, another name of the same host, and the other origin by every way of writing it.
    for location in [
        format!("http://127.0.0.1:{port}/x"),
        format!("//127.0.0.1:{port}/x"),
        format!("http://localhost:{port}/"),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let crm = redirecting(status, &location).await;
            let api = crm.api().bearer(Secret::new("t-123456"));
            let failure = refused(once(api.get("/")).await);
            assert!(!failure.retryable);
            let told = failure.message;
            assert!(told.contains("a redirect to http://") && told.contains(&port.to_string()), "{told}");
            assert_eq!(crm.seen().len(), 1);
        }
    }
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn a_post_is_never_redirected() {
    for status in [301, 302, 303, 307, 308] {
        let crm = redirecting(status, "/elsewhere").await;
        let failure = refused(once(crm.api().post("/").json(&1)).await);
        assert!(failure.message.contains("only GET and HEAD follow"), "{failure}");
        assert_eq!(crm.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_ring_of_redirects_ends() {
    let crm = Remote::new(|nth, _| to(302, &format!("/{nth}"))).await;
    let failure = refused(once(crm.api().get("/")).await);
    assert!(failure.message.contains("more than 5 redirects"), "{failure}");
    assert_eq!(crm.seen().len(), 6);
}

/// An Api with every sort of credential.
fn with_credentials(crm: &Remote) -> bowline_client::Api {
    crm.api()
        .bearer(Secret::new("bearer-8d2b6a"))
        .header_key("X-Api-Key", Secret::new("hdr-7f3a9c1e"))
        .query_key("api_key", Secret::new("query-e19f0b77"))
        .sign(
            HmacSigning::sha256("X-Signature")
                .secret(Secret::new("signing-c0ffee"))
                .timestamp_header("X-Time"),
        )
}

#[tokio::test]
async fn a_download_may_lead_to_a_named_host_and_arrives_there_as_a_stranger() {
    let storage = Remote::always(200, &[], "the file").await;
    let location =
        format!("http://localhost:{}/bucket/file?X-Amz-Signature=theirs#part", storage.address.port());
    for status in [301, 302, 303, 307, 308] {
        let crm = redirecting(status, &location).await;
        let call = with_credentials(&crm)
            .redirect_to("localhost")
            .get("/file")
            .header("Cookie", "session=own-cookie")
            .header("X-Auth-Token", "own-header-90aa17")
            .header("Range", "bytes=7-");
        assert_eq!(done(once(call).await).text(), "the file");
        let first = format!("{:?}{}", crm.seen()[0].headers, crm.seen()[0].uri);
        for sent in
            ["bearer-8d2b6a", "hdr-7f3a9c1e", "query-e19f0b77", "x-signature", "own-cookie", "own-header"]
        {
            assert!(first.contains(sent), "{sent} in {first}");
        }
    }
    for seen in storage.seen() {
        assert_eq!(seen.uri, "/bucket/file?X-Amz-Signature=theirs");
        assert_eq!(seen.header("range"), "bytes=7-");
        for header in
            ["authorization", "x-api-key", "x-signature", "x-time", "cookie", "x-auth-token", "referer"]
        {
            assert!(!seen.headers.contains_key(header), "{header}");
        }
    }
    assert_eq!(storage.seen().len(), 5);
}

#[tokio::test]
async fn who_left_the_origin_comes_back_as_a_stranger() {
    let storage = Remote::new(|_, seen: &Seen| {
        to(302, &format!("http://127.0.0.1:{}/back", seen.uri.query().unwrap()))
    })
    .await;
    let port = storage.address.port();
    let crm = Remote::new(move |nth, seen: &Seen| {
        let own = seen.header("host").split_once(':').unwrap().1.to_owned();
        if nth == 1 { to(302, &format!("http://localhost:{port}/x?{own}")) } else { Response::default() }
    })
    .await;
    let api = with_credentials(&crm).redirect_to("localhost").redirect_to("127.0.0.1");
    done(once(api.get("/file")).await);
    let back = &crm.seen()[1];
    assert_eq!(back.uri, "/back");
    assert!(!back.headers.contains_key("authorization") && !back.headers.contains_key("x-signature"));
}

#[tokio::test]
async fn a_named_host_gets_no_body_no_plain_http_and_no_post() {
    let storage = Remote::always(200, &[], "").await;
    let crm = redirecting(307, &format!("http://localhost:{}/x", storage.address.port())).await;
    refused(once(with_credentials(&crm).redirect_to("localhost").post("/").json(&1)).await);
    let crm = redirecting(302, "http://bucket.s3.amazonaws.com/x").await;
    let failure = refused(once(with_credentials(&crm).redirect_to("*.s3.amazonaws.com").get("/")).await);
    assert!(failure.message.contains("answered 302"), "{failure}");
    let crm = redirecting(302, "https://user:pass@bucket.s3.amazonaws.com/x").await;
    refused(once(with_credentials(&crm).redirect_to("*.s3.amazonaws.com").get("/")).await);
    assert_eq!(storage.seen().len(), 0);
}

#[tokio::test]
async fn within_the_origin_a_redirect_is_signed_anew_and_keeps_one_key() {
    let crm = redirecting(302, "/v2/file?api_key=query-e19f0b77&page=2").await;
    let api = with_credentials(&crm)
        .sign(HmacSigning::sha256("X-Target").secret(Secret::new("signing-c0ffee")).signs("{target}"));
    done(once(api.get("/file")).await);
    let [first, second] = &crm.seen()[..] else { panic!("one redirect") };
    assert_eq!(second.uri, "/v2/file?api_key=query-e19f0b77&page=2");
    assert_ne!(first.header("x-target"), second.header("x-target"));
    let receiver = bowline_signature::Hmac::sha256(
        "X-Target",
        bowline_signature::SigningSecret::new("signing-c0ffee").unwrap(),
    );
    for seen in [first, second] {
        let header = |name: &str| seen.headers.get(name).map(|value| value.as_bytes());
        let target = seen.uri.to_string();
        receiver.verify(header, target.as_bytes(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    }
}

#[test]
fn a_host_that_is_everybody_is_a_problem() {
    for host in ["*", "*.com", "https://a.example", "a.example/x", ""] {
        let variables = Variables::new(|_| None);
        let _ = bowline_client::Api::with_variables("crm", variables.clone()).redirect_to(host);
        assert_eq!(variables.problems()[0].0, "crm.redirect_to", "{host}");
    }
}

#[tokio::test]
async fn the_key_is_one_over_all_attempts_wherever_it_goes_and_is_signed_with_the_rest() {
    let signing =
        || HmacSigning::sha256("X-Signature").secret(Secret::new("signing-c0ffee")).signs("{key} {body}");
    let receiver = bowline_signature::Hmac::sha256(
        "X-Signature",
        bowline_signature::SigningSecret::new("signing-c0ffee").unwrap(),
    );
    for (place, sent) in [
        (Idempotency::header("X-Request-Key"), r#"{"n":1}"#),
        (Idempotency::body_field("request_id"), r#"{"n":1,"request_id":"key-1"}"#),
        (Idempotency::None, r#"{"n":1}"#),
    ] {
        let crm = Remote::always(503, &[], "").await;
        let call =
            crm.api().idempotency(place.clone()).sign(signing()).post("/").json(&serde_json::json!({"n": 1}));
        for number in 1..=2 {
            let attempt = Attempt::new("key-1", number, crate::remote::LONG);
            crate::remote::later(call.attempt(attempt).await);
        }
        for seen in crm.seen() {
            assert_eq!(seen.body, sent);
            assert_eq!(
                seen.header("x-request-key"),
                if place == Idempotency::header("X-Request-Key") { "key-1" } else { "" }
            );
            assert!(!seen.headers.contains_key("idempotency-key"));
            let header = |name: &str| seen.headers.get(name).map(|value| value.as_bytes());
            receiver.verify(header, format!("key-1 {sent}").as_bytes(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        }
    }
}
