//! The schedule of a call that stands alone.

use std::time::Duration;

use bowline_model::RetryPolicy;

use crate::remote::{Hand, LONG, Remote, answer, raw, read_request};

#[tokio::test]
async fn retries_under_one_key_until_done() {
    let crm = Remote::new(|nth, _| answer(if nth < 4 { 500 } else { 200 }, "{}")).await;
    let clock = Hand::new();
    let api = crm.api().clock(clock.clone()).attempt_timeout(LONG);
    assert_eq!(api.post("/x").json(&1).send().await.unwrap().status(), 200);
    let keys: Vec<_> = crm.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 36), "{keys:?}");
    let bounds = [500, 1000, 2000].map(Duration::from_millis);
    assert!(clock.waits().iter().zip(bounds).all(|(wait, bound)| *wait <= bound), "{:?}", clock.waits());

    api.post("/x").json(&1).send().await.unwrap();
    assert_ne!(crm.seen()[4].header("idempotency-key"), keys[0], "another call has another key");
}

#[tokio::test]
async fn waits_as_long_as_the_remote_asks() {
    let crm = Remote::new(|nth, _| {
        let mut answer = answer(if nth == 1 { 429 } else { 200 }, "");
        answer.headers_mut().insert("retry-after", "30".parse().unwrap());
        answer
    })
    .await;
    let clock = Hand::new();
    crm.api().clock(clock.clone()).attempt_timeout(LONG).get("/").send().await.unwrap();
    let [wait] = clock.waits()[..] else { panic!("one wait") };
    assert!((30.0..=33.0).contains(&wait.as_secs_f64()), "{wait:?}");
}

#[tokio::test]
async fn gives_up_at_a_refusal_and_at_the_end_of_the_schedule() {
    let crm = Remote::always(422, &[], "no").await;
    let error = crm.api().post("/").send().await.unwrap_err();
    assert_eq!((error.status(), error.is_retryable(), error.is_unknown()), (Some(422), false, false));
    assert_eq!(crm.seen().len(), 1);

    let crm = Remote::always(500, &[], "oops").await;
    let api =
        crm.api().clock(Hand::new()).attempt_timeout(LONG).retry(RetryPolicy::default().attempts_max(3));
    let error = api.post("/").send().await.unwrap_err();
    assert_eq!(crm.seen().len(), 3);
    assert_eq!(error.to_string(), "POST crm / answered 500 (attempt 3, the last)");
    assert!(error.is_unknown());
}

#[tokio::test]
async fn never_repeats_what_may_have_happened_once_the_key_is_forgotten() {
    // What is refused outright can be repeated for as long as the schedule lasts; what is unknown cannot.
    for (status, repeated) in [(503, true), (500, false)] {
        let crm = Remote::new(move |_, _| {
            let mut answer = answer(status, "");
            answer.headers_mut().insert("retry-after", "3600".parse().unwrap());
            answer
        })
        .await;
        let policy = RetryPolicy::default().attempts_max(3);
        let api = crm.api().clock(Hand::new()).attempt_timeout(LONG).retry(policy);
        let api = api.key_lifetime(Duration::from_secs(60));
        api.post("/").send().await.unwrap_err();
        assert_eq!(crm.seen().len(), if repeated { 3 } else { 1 }, "{status}");
        // A GET changes nothing: it may be repeated.
        api.get("/").send().await.unwrap_err();
        assert_eq!(crm.seen().len(), if repeated { 6 } else { 4 }, "{status}");
    }
}

#[tokio::test]
async fn survives_a_remote_that_drops_connections() {
    let address = raw(|nth, mut stream| async move {
        read_request(&mut stream).await;
        if nth > 2 {
            crate::remote::write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7").await;
        }
    })
    .await;
    let api = crate::remote::api_at(address).clock(Hand::new()).attempt_timeout(LONG);
    assert_eq!(api.post("/").decode::<u8>().send().await.unwrap(), 7);
}
