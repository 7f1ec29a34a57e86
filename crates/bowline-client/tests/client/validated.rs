//! Answers that are kept and asked about: what is sent, what the remote's answer means, and what ends them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, http::Response};
use bowline_client::{Api, Call};
use bowline_model::{Clock, Effect, Variables};
use bowline_testing::peer;
use serde_json::Value;

use crate::remote::{
    Hand, Remote, Seen, answer, api_at, done, later, once, raw, read_request, refused, unknown, write,
};

const MINUTE: Duration = Duration::from_secs(60);

fn with(mut answer: Response<Body>, headers: &[(&'static str, &str)]) -> Response<Body> {
    for (name, value) in headers {
        answer.headers_mut().append(*name, value.parse().unwrap());
    }
    answer
}

/// A thing with versions, as remotes serve it that know ETags.
#[derive(Clone)]
struct Thing {
    version: Arc<Mutex<u32>>,
    headers: &'static [(&'static str, &'static str)],
}

impl Thing {
    fn new(headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { version: Arc::new(Mutex::new(1)), headers }
    }

    async fn remote(&self) -> Remote {
        let thing = self.clone();
        Remote::new(move |_, seen| thing.answer(seen)).await
    }

    fn answer(&self, seen: &Seen) -> Response<Body> {
        let version = *self.version.lock().unwrap();
        let tag = format!("\"{version}\"");
        let answer = match seen.header("if-none-match") == tag {
            true => answer(304, ""),
            false => answer(200, format!("{version}")),
        };
        with(with(answer, self.headers), &[("etag", &tag)])
    }

    fn change(&self) {
        *self.version.lock().unwrap() += 1;
    }
}

async fn text(call: Call) -> String {
    done(once(call).await).text()
}

/// The conditions that were sent, one by request.
fn conditions(remote: &Remote) -> Vec<String> {
    remote.seen().iter().map(|seen| seen.header("if-none-match").to_owned()).collect()
}

#[tokio::test]
async fn what_is_over_is_asked_about_and_a_304_makes_it_good_for_as_long_again() {
    let thing = Thing::new(&[]);
    let (remote, clock) = (thing.remote().await, Hand::new());
    let api = remote.api().clock(clock.clone()).cache(MINUTE);
    for _ in 0..3 {
        assert_eq!([text(api.get("/")).await, text(api.get("/")).await], ["1", "1"]);
        clock.sleep(MINUTE).await;
    }
    assert_eq!(conditions(&remote), ["", "\"1\"", "\"1\""]);
    thing.change();
    assert_eq!([text(api.get("/")).await, text(api.get("/")).await], ["2", "2"]);
    clock.sleep(MINUTE).await;
    assert_eq!(text(api.get("/")).await, "2");
    assert_eq!(conditions(&remote)[3..], ["\"1\"", "\"2\""]);
}

#[tokio::test]
async fn a_confirmed_answer_looks_as_it_came_with_the_304s_headers() {
    let remote = Remote::new(|nth, _| match nth {
        1 => with(answer(203, "body"), &[("etag", "\"7\""), ("x-left", "10"), ("x-old", "1")]),
        _ => with(answer(304, ""), &[("etag", "W/\"7\""), ("x-left", "9")]),
    })
    .await;
    let api = remote.api().cache(Duration::ZERO);
    text(api.get("/")).await;
    let confirmed = done(once(api.get("/")).await);
    assert_eq!((confirmed.status(), confirmed.text().as_str()), (203, "body"));
    let header = |name| confirmed.header(name);
    assert_eq!((header("x-left"), header("x-old"), header("etag")), (Some("9"), Some("1"), Some("W/\"7\"")));
}

#[tokio::test]
async fn goes_by_what_the_remote_says_if_told_to() {
    let cases: [(&'static [(&str, &str)], Duration); 3] = [
        (&[("cache-control", "max-age=60")], MINUTE),
        (&[("cache-control", "max-age=90"), ("age", "30")], MINUTE),
        (&[("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("expires", "Thu, 01 Jan 1970 00:01:00 GMT")], MINUTE),
    ];
    for (headers, fresh) in cases {
        let (remote, clock) = (Thing::new(headers).remote().await, Hand::new());
        let api = remote.api().clock(clock.clone()).cache_as_told();
        text(api.get("/")).await;
        clock.sleep(fresh - Duration::from_secs(1)).await;
        text(api.get("/")).await;
        assert_eq!(remote.seen().len(), 1, "{headers:?}");
        clock.sleep(Duration::from_secs(1)).await;
        text(api.get("/")).await;
        assert_eq!(conditions(&remote), ["", "\"1\""], "{headers:?}");
    }
    for headers in [&[][..], &[("cache-control", "no-cache")], &[("cache-control", "max-age=0")]] {
        let remote = Thing::new(headers).remote().await;
        let api = remote.api().cache_as_told();
        for _ in 0..3 {
            assert_eq!(text(api.get("/")).await, "1");
        }
        assert_eq!(conditions(&remote), ["", "\"1\"", "\"1\""], "{headers:?}");
    }
}

#[tokio::test]
async fn what_has_no_validator_is_fetched_again_and_what_has_a_date_is_asked_by_it() {
    for (header, condition) in [("x", ""), ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")] {
        let value = "Thu, 01 Jan 1970 00:00:00 GMT";
        let remote = Remote::always(200, &[(header, value)], "1").await;
        let api = remote.api().cache(Duration::ZERO);
        text(api.get("/")).await;
        text(api.get("/")).await;
        assert_eq!(remote.seen()[1].header("if-modified-since"), condition);
    }
}

#[tokio::test]
async fn the_authors_time_goes_before_max_age_and_not_before_no_cache() {
    for (told, sent) in [("max-age=0, private, must-revalidate", 1), ("no-cache", 2), ("no-store", 2)] {
        let remote = Remote::always(200, &[("cache-control", told)], "1").await;
        let api = remote.api().cache(MINUTE);
        text(api.get("/")).await;
        text(api.get("/")).await;
        assert_eq!(remote.seen().len(), sent, "{told}");
    }
    let varying = Remote::always(200, &[("vary", "accept, *"), ("etag", "\"1\"")], "1").await;
    let api = varying.api().cache(MINUTE);
    text(api.get("/")).await;
    text(api.get("/")).await;
    assert_eq!(conditions(&varying), ["", ""]);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_a_refusal() {
    let remote = Remote::always(304, &[("etag", "\"1\"")], "").await;
    for api in [remote.api(), remote.api().cache(MINUTE)] {
        refused(once(api.get("/")).await);
        refused(once(api.get("/").header("if-none-match", "\"1\"")).await);
    }
}

#[tokio::test]
async fn a_304_about_another_answer_is_not_believed() {
    let another_tag = Remote::new(|_, seen| match seen.header("if-none-match") {
        "" => with(answer(200, "new"), &[("etag", "\"2\"")]),
        _ => with(answer(304, ""), &[("etag", "\"3\"")]),
    })
    .await;
    // First the answer came from where a redirect led; now it is the path itself that has one of that tag.
    let another_place = Remote::new(|nth, seen| match (nth, seen.uri.path(), seen.header("if-none-match")) {
        (1, "/", _) => with(answer(302, ""), &[("location", "/there")]),
        (_, "/", "\"2\"") => answer(304, ""),
        _ => with(answer(200, "new"), &[("etag", "\"2\"")]),
    })
    .await;
    for (remote, requests) in [(another_tag, 3), (another_place, 4)] {
        let api = remote.api().cache(Duration::ZERO);
        assert_eq!(text(api.get("/")).await, "new");
        assert_eq!(text(api.get("/")).await, "new");
        let seen = remote.seen();
        assert_eq!(seen.len(), requests, "the kept answer was not taken");
        assert_eq!(seen[requests - 2].header("if-none-match"), "\"2\"");
        assert_eq!(seen[requests - 1].header("if-none-match"), "", "asked again without a condition");
    }
}

#[tokio::test]
async fn a_call_that_changes_a_path_ends_what_is_kept_of_it() {
    let statuses = [(200, true), (201, true), (204, true), (404, false), (503, false), (500, true)];
    for (status, ends) in statuses {
        let remote = Remote::new(move |_, seen| match seen.method.as_str() {
            "GET" => answer(200, "1"),
            _ => answer(status, ""),
        })
        .await;
        let api = remote.api().cache(MINUTE);
        let gets = || [api.get("/contacts"), api.get("/contacts").query("page", 2), api.get("/contacts/7")];
        for call in gets() {
            text(call).await;
        }
        once(api.put("/contacts").query("notify", 1).json(&1)).await;
        for call in gets() {
            text(call).await;
        }
        assert_eq!(remote.seen().len(), if ends { 6 } else { 4 }, "{status}");
    }
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_counts() {
    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let address = raw(move |nth, mut stream| {
        let arrivals = arrivals.clone();
        async move {
            read_request(&mut stream).await;
            arrivals.send(nth).unwrap();
            if nth == 2 {
                return std::future::pending().await;
            }
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n";
            write(&mut stream, &format!("{head}{nth}")).await;
        }
    })
    .await;
    let api = api_at(address).clock(Hand::new()).cache(MINUTE);
    assert_eq!(text(api.get("/")).await, "1");
    let change = tokio::spawn(once(api.post("/").json(&1)));
    while arrived.recv().await != Some(2) {}
    assert_eq!(text(api.get("/")).await, "1", "nothing happened yet, as far as anybody knows");
    change.abort();
    change.await.unwrap_err();
    assert_eq!(text(api.get("/")).await, "3");
}

#[tokio::test]
async fn accounts_have_their_own_answers() {
    let remote = Remote::new(|nth, _| answer(200, nth.to_string())).await;
    let api = remote.api().cache(MINUTE);
    let (ada, bob) = (api.account("ada"), api.account("bob"));
    assert_eq!(
        [text(ada.get("/")).await, text(bob.get("/")).await, text(api.get("/")).await],
        ["1", "2", "3"]
    );
    once(ada.delete("/")).await;
    assert_eq!([text(bob.get("/")).await, text(api.account("ada").get("/")).await], ["2", "5"]);
}

#[tokio::test]
async fn a_key_that_changes_leaves_what_it_was_told_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "key-of-ada").unwrap();
    let named = path.display().to_string();
    let remote = Remote::new(|nth, _| answer(200, nth.to_string())).await;
    let variables = Variables::new(move |name| (name == "KEY_FILE").then(|| named.clone()));
    let api = Api::with_variables("crm", variables).base_url(&remote.url()).bearer_env("KEY").cache(MINUTE);
    assert_eq!([text(api.get("/")).await, text(api.get("/")).await], ["1", "1"]);
    std::fs::write(&path, "key-of-somebody-else").unwrap();
    assert_eq!([text(api.get("/")).await, text(api.get("/")).await], ["2", "2"]);
}

#[tokio::test]
async fn a_call_can_ask_for_a_new_answer_or_have_nothing_to_do_with_kept_ones() {
    let remote = Remote::new(|nth, _| with(answer(200, nth.to_string()), &[("etag", "\"x\"")])).await;
    let api = remote.api().cache(MINUTE);
    let get = |control: &str| api.get("/").header("cache-control", control);
    assert_eq!(text(api.get("/")).await, "1");
    for (nth, directive) in (2..).zip(["no-cache", "max-age=0"]) {
        let nth = format!("{nth}");
        assert_eq!([text(get(directive)).await, text(api.get("/")).await], [nth.clone(), nth], "{directive}");
    }
    assert_eq!([text(get("no-store")).await, text(api.get("/")).await], ["4", "3"]);
    assert_eq!(text(api.get("/").header("range", "bytes=0-")).await, "5");
    assert_eq!(text(api.get("/").header("if-match", "\"y\"")).await, "6");
    assert_eq!(text(api.get("/")).await, "3");
    assert_eq!(conditions(&remote), ["", "\"x\"", "\"x\"", "", "", ""]);
}

#[tokio::test]
async fn fingerprints_know_nothing_of_conditions() {
    let thing = Thing::new(&[]);
    let remote = thing.remote().await;
    let api = remote.api().cache(Duration::ZERO);
    let call = api.get("/a").query("x", 1);
    let before = call.shape().fingerprint.unwrap().to_string();
    text(call.clone()).await;
    text(call.clone()).await;
    assert_eq!(conditions(&remote), ["", "\"1\""]);
    assert_eq!(call.shape().fingerprint.unwrap().to_string(), before);
}

#[tokio::test]
async fn an_old_answer_stands_in_for_a_failing_remote_with_its_leave() {
    let remote = |told: &'static str, status: u16| {
        Remote::new(move |nth, _| match nth {
            1 => with(answer(200, "1"), &[("cache-control", told)]),
            _ => answer(status, ""),
        })
    };
    let leave = "max-age=60, stale-if-error=60";
    for (told, status, stands_in) in [
        (leave, 500, true),
        (leave, 503, true),
        (leave, 429, false),
        (leave, 404, false),
        ("max-age=60", 503, false),
        ("max-age=60, stale-if-error=60, must-revalidate", 503, false),
    ] {
        let (remote, clock) = (remote(told, status).await, Hand::new());
        let api = remote.api().clock(clock.clone()).cache_as_told();
        text(api.get("/")).await;
        clock.sleep(2 * MINUTE - Duration::from_secs(1)).await;
        let verdict = once(api.get("/")).await;
        assert_eq!(matches!(verdict, bowline_model::Verdict::Done(_)), stands_in, "{told} {status}");
        clock.sleep(Duration::from_secs(1)).await;
        assert!(
            !matches!(once(api.get("/")).await, bowline_model::Verdict::Done(_)),
            "{told} {status}: too old"
        );
        assert_eq!(remote.seen().len(), 3);
    }
}

#[tokio::test]
async fn an_old_answer_stands_in_when_there_is_no_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: stale-if-error=60\r\n";
        write(&mut stream, &format!("{head}Content-Length: 1\r\n\r\n1")).await;
    });
    let clock = Hand::new();
    let api = api_at(address).clock(clock.clone()).cache(MINUTE);
    assert_eq!(text(api.get("/")).await, "1");
    server.await.unwrap();
    clock.sleep(MINUTE).await;
    assert_eq!(text(api.get("/")).await, "1");
    clock.sleep(MINUTE).await;
    later(once(api.get("/")).await);
}

#[tokio::test]
async fn a_confirmed_answer_that_does_not_fit_the_type_says_so() {
    let thing = Thing::new(&[]);
    let remote = thing.remote().await;
    let api = remote.api().cache(Duration::ZERO);
    assert_eq!(done(once(api.get("/").decode::<Value>()).await), 1);
    let failure = unknown(once(api.get("/").decode::<Vec<u8>>()).await);
    assert!(
        failure.message.starts_with("GET crm / answered 200, but its body does not fit"),
        "{}",
        failure.message
    );
    assert_eq!(conditions(&remote), ["", "\"1\""]);
}

#[tokio::test]
async fn an_express_server_is_asked_and_believed() {
    let Some(node) = peer::node("json-server", include_str!("peers/tagged.mjs")) else {
        bowline_testing::skip!(
            "an_express_server_is_asked_and_believed",
            "BOWLINE_NODE has no json-server: scripts/node makes one that has"
        );
    };
    let mut process = node.ready_on_line("port ").start().unwrap();
    let port = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
    let url = format!("http://127.0.0.1:{}", port.trim_start_matches("port ").trim());
    let api = Api::with_variables("crm", Variables::new(|_| None)).base_url(&url).cache_as_told();
    let name = async || done(once(api.get("/contacts/1").decode::<Value>()).await)["name"].clone();
    assert_eq!([name().await, name().await], ["Ada", "Ada"]);
    done(once(api.put("/contacts/1").json(&serde_json::json!({"name": "Bob"}))).await);
    assert_eq!([name().await, name().await], ["Bob", "Bob"]);
    let list = api.get("/contacts").query("_page", 1);
    assert_eq!(done(once(list.clone()).await), done(once(list).await), "headers and all");
    process.wait_for_line("_page=1 304", Duration::from_secs(60)).unwrap();
    let lines: Vec<_> = process.lines().into_iter().filter(|line| !line.starts_with("port")).collect();
    assert_eq!(
        lines,
        [
            "GET /contacts/1 200",
            "GET /contacts/1 304",
            "PUT /contacts/1 200",
            "GET /contacts/1 200",
            "GET /contacts/1 304",
            "GET /contacts?_page=1 200",
            "GET /contacts?_page=1 304",
        ]
    );
}
