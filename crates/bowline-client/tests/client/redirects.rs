//! Redirects: within the origin only, and never with credentials to another.

use axum::{body::Body, http::Response};
use bowline_model::Secret;

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
