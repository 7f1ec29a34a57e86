//! Answers that are kept: which, for whom, for how long, and what equal calls at the same time do.

use std::{sync::Arc, time::Duration};

use bowline_client::{Api, Call, Response as Answer};
use bowline_model::{Clock, Secret, Verdict};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::remote::{Hand, Remote, answer, api_at, done, later, once, raw, read_request, write};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Answers `{"nth": 1}` to the first request, and so on.
async fn counting() -> Remote {
    Remote::new(|nth, _| answer(200, json!({"nth": nth}).to_string())).await
}

async fn nth(call: Call) -> u64 {
    done(once(call.decode::<Value>()).await)["nth"].as_u64().unwrap()
}

#[tokio::test]
async fn equal_gets_are_answered_once_until_their_time_is_over_by_the_apis_clock() {
    let (remote, clock) = (counting().await, Hand::new());
    let api = remote.api().clock(clock.clone()).cache(7 * DAY);
    let ada = || api.get("/").query("name", "Ada");
    assert_eq!((nth(ada()).await, nth(ada()).await), (1, 1));
    clock.sleep(7 * DAY - Duration::from_secs(1)).await;
    assert_eq!(nth(ada()).await, 1);
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!((nth(ada()).await, nth(ada()).await), (2, 2));
    assert_eq!(remote.seen().len(), 2);
}

#[tokio::test]
async fn whatever_makes_a_call_another_one_is_told_apart() {
    let remote = counting().await;
    let api = remote.api().cache(DAY);
    let calls = [
        api.get("/a"),
        api.get("/b"),
        api.get("/a").query("x", "1"),
        api.get("/a").query("x", "2"),
        api.get("/a").query("x", "1").query("x", "2"),
        api.get("/a").query("x1", ""),
        api.get("/a").header("accept", "text/csv"),
        api.get("/a").header("x", "1"),
        api.get("/a").header("authorization", "Bearer one"),
        api.get("/a").header("authorization", "Bearer two"),
    ];
    for round in 0..2 {
        for (number, call) in (1..).zip(&calls) {
            assert_eq!(nth(call.clone()).await, number, "round {round}");
        }
    }
    let headers = |call: Call| call.header("a", "1").header("b", "2");
    let turned = |call: Call| call.header("b", "2").header("a", "1");
    assert_eq!(nth(headers(api.get("/c"))).await, nth(turned(api.get("/c"))).await);
}

#[tokio::test]
async fn only_gets_without_a_body_are_kept() {
    let remote = counting().await;
    let api = remote.api().cache(DAY);
    for call in [api.post("/"), api.put("/"), api.patch("/"), api.delete("/"), api.get("/").json(&1)] {
        assert_ne!(nth(call.clone()).await, nth(call).await);
    }
    for _ in 0..2 {
        done(once(api.head("/").decode::<()>()).await);
    }
    assert_eq!(remote.seen().len(), 12);
}

#[tokio::test]
async fn clones_share_and_an_api_with_another_setting_has_its_own() {
    let remote = counting().await;
    let api = remote.api().cache(DAY);
    let other = api.clone().header_key("x-api-key", Secret::new("another's key"));
    assert_eq!(nth(api.get("/")).await, 1);
    assert_eq!(nth(api.clone().get("/")).await, 1);
    assert_eq!(nth(other.get("/")).await, 2, "another credential may see something else");
    assert_eq!((nth(api.get("/")).await, nth(other.get("/")).await), (1, 2));
    assert_eq!(nth(remote.api().get("/")).await, 3, "unless asked for, nothing is kept");
}

#[tokio::test]
async fn what_must_not_be_kept_is_not() {
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    let cases: [(u16, Option<&str>, &str); 8] = [
        (200, Some("no-store"), "{}"),
        (200, Some("private, No-Store"), "{}"),
        (202, None, "{}"),
        (404, None, "{}"),
        (500, None, "{}"),
        (503, None, "{}"),
        (200, None, "<html>"),
        (200, None, &large),
    ];
    for (status, cache_control, body) in cases {
        let headers: Vec<_> = cache_control.map(|value| ("cache-control", value)).into_iter().collect();
        let remote = Remote::always(status, &headers, body.to_owned()).await;
        let api = remote.api().cache(DAY);
        for _ in 0..2 {
            once(api.get("/").decode::<Value>()).await;
        }
        assert_eq!(remote.seen().len(), 2, "{status} {cache_control:?}");
    }
    for headers in [&[][..], &[("cache-control", "max-age=0")], &[("cache-control", "no-storeroom")]] {
        let remote = Remote::always(200, headers, "{}").await;
        let api = remote.api().cache(DAY);
        for _ in 0..2 {
            done(once(api.get("/")).await);
        }
        assert_eq!(remote.seen().len(), 1, "{headers:?}");
    }
}

#[tokio::test]
async fn an_answer_that_another_type_could_not_read_is_asked_for_anew() {
    #[derive(Debug, Deserialize, serde::Serialize)]
    struct Second {
        nth: Vec<u64>,
    }
    let remote =
        Remote::new(|nth, _| answer(200, if nth == 1 { r#"{"nth":1}"# } else { r#"{"nth":[]}"# })).await;
    let api = remote.api().cache(DAY);
    assert_eq!(nth(api.get("/")).await, 1);
    assert!(done(once(api.get("/").decode::<Second>()).await).nth.is_empty());
    let kept: Answer = done(once(api.get("/")).await);
    assert_eq!(kept.text(), r#"{"nth":[]}"#, "the newer one is kept");
    assert_eq!(remote.seen().len(), 2);
}

#[tokio::test]
async fn what_is_kept_holds_no_secret_that_was_echoed() {
    let remote = Remote::new(|_, seen| answer(200, seen.header("x-api-key").to_owned())).await;
    let api = remote.api().header_key("x-api-key", Secret::new("kept-secret-1")).cache(DAY);
    for _ in 0..2 {
        assert_eq!(done(once(api.get("/")).await).text(), "[secret]");
    }
    assert_eq!(remote.seen().len(), 1);
}

/// What happens at all, happens by then.
async fn in_time<T>(waits: impl Future<Output = T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(120);
    tokio::time::timeout(PATIENCE, waits).await.expect("it happens")
}

/// A server that tells of every request, and answers it with the next status that it is given.
struct Slow {
    api: Api,
    wait_over: Arc<Notify>,
    arrived: mpsc::UnboundedReceiver<usize>,
    answers: mpsc::UnboundedSender<&'static str>,
}

impl Slow {
    async fn new() -> Self {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (answers, given) = mpsc::unbounded_channel::<&'static str>();
        let given = Arc::new(tokio::sync::Mutex::new(given));
        let address = raw(move |nth, mut stream| {
            let (arrivals, given) = (arrivals.clone(), given.clone());
            async move {
                while read_request(&mut stream).await {
                    arrivals.send(nth).unwrap();
                    let Some(status) = given.lock().await.recv().await else { return };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
                    write(&mut stream, &format!("{head}{nth:02}")).await;
                }
            }
        })
        .await;
        let wait_over = Arc::<Notify>::default();
        let api = api_at(address).clock(Hand::still(wait_over.clone())).cache(DAY);
        Self { api, wait_over, arrived, answers }
    }

    fn call(&self) -> tokio::task::JoinHandle<Verdict<Answer>> {
        let call = self.api.get("/");
        tokio::spawn(async move { once(call).await })
    }

    /// Lets all tasks do what they can without an answer.
    async fn let_all_begin(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn arrival(&mut self) -> usize {
        in_time(self.arrived.recv()).await.unwrap()
    }

    fn answer(&self, status: &'static str) {
        self.answers.send(status).unwrap();
    }
}

#[tokio::test]
async fn equal_calls_at_the_same_time_are_sent_once() {
    let mut slow = Slow::new().await;
    let calls: Vec<_> = (0..50).map(|_| slow.call()).collect();
    assert_eq!(slow.arrival().await, 1);
    slow.let_all_begin().await;
    slow.answer("200 OK");
    for answered in in_time(join_all(calls)).await {
        assert_eq!(done(answered.unwrap()).text(), "01");
    }
    assert!(slow.arrived.try_recv().is_err(), "nothing else was sent");
}

#[tokio::test]
async fn when_the_sender_is_dropped_one_of_those_who_wait_sends() {
    let mut slow = Slow::new().await;
    let first = slow.call();
    assert_eq!(slow.arrival().await, 1);
    let others: Vec<_> = (0..20).map(|_| slow.call()).collect();
    slow.let_all_begin().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(slow.arrival().await, 2);
    slow.let_all_begin().await;
    // The server gives its first answer to the connection that nobody listens to any more.
    slow.answer("200 OK");
    slow.answer("200 OK");
    for answered in in_time(join_all(others)).await {
        assert_eq!(done(answered.unwrap()).text(), "02");
    }
    assert!(slow.arrived.try_recv().is_err());
}

#[tokio::test]
async fn a_failure_is_the_senders_own_and_the_others_ask_for_themselves_side_by_side() {
    let mut slow = Slow::new().await;
    let first = slow.call();
    assert_eq!(slow.arrival().await, 1);
    let others: Vec<_> = (0..5).map(|_| slow.call()).collect();
    slow.let_all_begin().await;
    slow.answer("503 Service Unavailable");
    later(first.await.unwrap());
    // Nobody is answered until all have sent: they do not wait for one another.
    for _ in 0..5 {
        slow.arrival().await;
    }
    (0..5).for_each(|_| slow.answer("200 OK"));
    for answered in in_time(join_all(others)).await {
        done(answered.unwrap());
    }
    let kept = done(slow.call().await.unwrap());
    assert_ne!(kept.text(), "01", "what one of them got is kept");
}

#[tokio::test]
async fn what_may_not_be_given_again_is_the_senders_own_too() {
    let mut slow = Slow::new().await;
    let first = slow.call();
    assert_eq!(slow.arrival().await, 1);
    let others: Vec<_> = (0..5).map(|_| slow.call()).collect();
    slow.let_all_begin().await;
    slow.answer("200 OK\r\nCache-Control: no-cache");
    assert_eq!(done(first.await.unwrap()).text(), "01");
    for _ in 0..5 {
        slow.arrival().await;
    }
    (0..5).for_each(|_| slow.answer("200 OK"));
    for answered in in_time(join_all(others)).await {
        assert_ne!(done(answered.unwrap()).text(), "01");
    }
}

#[tokio::test]
async fn who_would_wait_long_goes_away_to_wait_and_nothing_was_sent() {
    let mut slow = Slow::new().await;
    let first = slow.call();
    assert_eq!(slow.arrival().await, 1);
    slow.wait_over.notify_one();
    let Verdict::Wait { wait, why } = in_time(once(slow.api.get("/"))).await else { panic!("sent") };
    assert_eq!((wait.as_secs(), why.as_str()), (1, "another's equal call (crm)"));
    slow.answer("200 OK");
    assert_eq!(done(first.await.unwrap()).text(), "01");
    assert_eq!(done(in_time(once(slow.api.get("/"))).await).text(), "01");
}
