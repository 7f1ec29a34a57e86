//! Exports that take their time.

use std::time::Duration;

use axum::{body::Body, http::Response};
use bowline_client::{Api, Bulk, Job};
use bowline_model::{Attempt, Effect, RetryPolicy, Secret, Verdict};
use serde_json::json;

use crate::remote::{Hand, LONG, Remote, Seen, answer, done, later, once, refused, unknown};

const SIGNED: &str = "sig-77c0ffee4a1b";

/// A remote whose export 17 is ready at the third look, with its result on another host.
async fn shop(files: &Remote) -> Remote {
    let url = format!("{}/results/17.ndjson?signature={SIGNED}", files.url());
    Remote::new(move |nth, seen| match (seen.method.as_str(), seen.uri.path()) {
        ("POST", "/exports") => answer(202, json!({"export": {"id": 17}}).to_string()),
        ("GET", "/exports/17") if nth < 4 => {
            let status = json!({"export": {"status": "RUNNING", "url": null}});
            Response::builder().header("retry-after", "7").body(Body::from(status.to_string())).unwrap()
        }
        ("GET", "/exports/17") => {
            answer(200, json!({"export": {"status": "Completed", "url": url}}).to_string())
        }
        _ => answer(404, format!("{} {}", seen.method, seen.uri)),
    })
    .await
}

fn export(shop: &Api) -> Bulk {
    shop.bulk(shop.post("/exports").json(&json!({"of": "orders"})))
        .job_id("export.id")
        .status(|shop, id| shop.get(&format!("/exports/{id}")))
        .state("export.status", &["completed"], &["failed", "canceled"])
        .result_url("export.url")
}

fn keyed(remote: &Remote) -> Api {
    remote.api().header_key("X-Api-Key", Secret::new("key-5522aa91")).attempt_timeout(LONG)
}

#[tokio::test]
async fn an_export_is_started_waited_for_and_read() {
    let files = Remote::always(200, &[], "{\"id\":1}\n{\"id\":2}\n").await;
    let shop = shop(&files).await;
    let clock = Hand::new();
    let export = export(&keyed(&shop).clock(clock.clone()));
    let job = export.start().send().await.unwrap();
    assert_eq!(job.id(), "17");
    let progress = export.wait(&job).await.unwrap();
    assert_eq!((progress.state.as_str(), progress.ready), ("Completed", true));
    assert_eq!(clock.waits(), [Duration::from_secs(7); 2], "as the remote asks");
    let result = export.open(&job).await.unwrap();
    let shape = result.shape().fingerprint.unwrap().to_string();
    assert!(!shape.contains(SIGNED) && !format!("{result:?}").contains("17.ndjson"), "{shape}");
    assert_eq!(result.send().await.unwrap().text(), "{\"id\":1}\n{\"id\":2}\n");

    let sent = shop.seen();
    assert!(!sent[0].header("idempotency-key").is_empty(), "a crash starts no second export");
    assert!(sent.iter().all(|seen| seen.header("x-api-key") == "key-5522aa91"));
    let fetched: &Seen = &files.seen()[0];
    assert_eq!(fetched.uri, format!("/results/17.ndjson?signature={SIGNED}").as_str());
    assert_eq!(fetched.header("x-api-key"), "", "credentials stay home");
}

#[tokio::test]
async fn a_step_waits_for_the_end_by_its_own_schedule() {
    let files = Remote::always(200, &[], "").await;
    let shop = shop(&files).await;
    let api = keyed(&shop);
    let job = done(once(export(&api).start()).await);
    let recorded: Job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
    let finished = export(&api).finished(&recorded);
    assert_eq!(finished.shape().fingerprint.unwrap().to_string(), "GET crm /exports/17");
    let mut looks = vec![];
    for number in 1.. {
        match finished.attempt(Attempt::new("key", number, LONG)).await {
            Verdict::RetryAfter(failure) => looks.push(failure),
            Verdict::Done(progress) => {
                let recorded = serde_json::to_string(&progress).unwrap();
                assert!(!recorded.contains("http"), "the result's URL is in no journal: {recorded}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(looks.len(), 2);
    for look in looks {
        assert_eq!(look.message, "GET crm /exports/17 answered 200: the job is under way (RUNNING)");
        assert_eq!(look.retry_after, Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_job_that_failed_is_refused_with_its_state() {
    let status = json!({"export": {"status": "FAILED", "url": format!("https://files.example/x?{SIGNED}")}});
    let shop = Remote::always(200, &[], status.to_string()).await;
    let export = export(&keyed(&shop));
    let job: Job = serde_json::from_str(r#"{"id":"17"}"#).unwrap();
    for failure in [refused(once(export.finished(&job)).await), refused(once(export.progress(&job)).await)] {
        assert!(failure.message.contains("the job is in the state \"FAILED\""), "{failure}");
        let call = failure.call.unwrap();
        assert_eq!(call.code.as_deref(), Some("FAILED"));
        assert_eq!(call.body, None, "it may hold the result's URL");
    }
    let error = export.open(&job).await.unwrap_err();
    assert_eq!(error.code(), Some("FAILED"));
}

#[tokio::test]
async fn an_accepted_job_is_asked_about_where_its_location_says() {
    let shop = Remote::new(|nth, seen| match (nth, seen.method.as_str(), seen.uri.path()) {
        (1, "POST", "/v1/exports") => {
            let header = ("location", format!("http://{}/v1/jobs/9?api_key=x&v=2", seen.header("host")));
            Response::builder().status(202).header(header.0, header.1).body(Body::empty()).unwrap()
        }
        (2, "GET", "/v1/jobs/9") => answer(202, ""),
        (3.., "GET", "/v1/jobs/9") => answer(200, r#"{"file":"/v1/files/9.csv"}"#),
        (5, "GET", "/v1/files/9.csv") => answer(200, "a,b"),
        _ => answer(404, ""),
    })
    .await;
    let api = keyed(&shop).base_url(&format!("{}/v1", shop.url()));
    let export =
        api.bulk(api.post("/exports")).job_location().result_url("file").every(Duration::from_secs(3));
    let job = done(once(export.start()).await);
    assert_eq!(job.id(), "/jobs/9?v=2", "without credentials");
    let early = later(once(export.finished(&job)).await);
    assert_eq!(early.retry_after, Some(Duration::from_secs(3)));
    assert!(done(once(export.finished(&job)).await).ready);
    let result = export.open(&job).await.unwrap();
    assert_eq!(result.shape().fingerprint.unwrap().to_string(), "GET crm /files/9.csv");
    let shown = shop.seen();
    assert_eq!(shown.last().unwrap().header("x-api-key"), "key-5522aa91", "of the Api itself");
}

#[tokio::test]
async fn what_an_export_lacks_is_told() {
    let shop = Remote::always(200, &[], r#"{"status":"odd"}"#).await;
    let api = keyed(&shop).clock(Hand::new()).retry(RetryPolicy::never());
    let job: Job = serde_json::from_str(r#"{"id":"17"}"#).unwrap();
    let plain = api.bulk(api.post("/exports"));
    let told = unknown(once(plain.start()).await).message;
    assert!(told.contains("has nothing at \"id\": there is status"), "{told}");
    let told = refused(once(plain.finished(&job)).await).message;
    assert!(told.contains("nobody said how to ask about the export \"17\": give it .status"), "{told}");
    let told = plain.open(&job).await.unwrap_err().to_string();
    assert!(told.contains("give it .result_url or .result"), "{told}");

    let stuck = plain.status(|api, _| api.get("/s")).state("status", &["done"], &[]);
    let error = stuck.clone().give_up_after(Duration::from_secs(35)).wait(&job).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("\"17\" of crm is still \"odd\" after 30 s (limit 35 s)"), "{told}");
    assert_eq!(shop.seen().len(), 5);
    let result = stuck.result(|api, id| api.get(&format!("/results/{id}"))).open(&job).await.unwrap();
    assert_eq!(result.shape().fingerprint.unwrap().path, "/results/17");
}

#[tokio::test]
async fn a_result_is_not_fetched_from_the_inside() {
    let job: Job = serde_json::from_str(r#"{"id":"17"}"#).unwrap();
    for url in
        ["https://169.254.169.254/latest/meta-data", "https://10.0.0.7/x?sig=77c0ffee", "file:///etc/passwd"]
    {
        let status = json!({"export": {"status": "completed", "url": url}});
        let shop = Remote::always(200, &[], status.to_string()).await;
        let result = export(&keyed(&shop)).open(&job).await.unwrap();
        let failure = refused(once(result).await);
        assert!(!failure.retryable && !failure.to_string().contains("77c0ffee"), "{failure}");
    }
}
