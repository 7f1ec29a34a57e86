//! Listings in pages, of remotes that take nothing but what they expect.

use std::time::Duration;

use axum::{body::Body, http::Response};
use bowline_client::{Api, Cursor, Page, Pages, Paging};
use bowline_model::{Attempt, Effect, Error, RetryPolicy, Secret, Verdict};
use bowline_testing::{Process, peer};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::remote::{LONG, Remote, Seen, answer, api_at, done, once, refused, unknown};

/// A request as it must arrive, and the answer to it: `GET /x?page=1` with its body, headers, body. In answers, `{origin}` is
/// the remote's own.
type Exchange = (&'static str, &'static str, Vec<(&'static str, &'static str)>, Value);

fn turn(request: &'static str, answer: Value) -> Exchange {
    (request, "", vec![], answer)
}

/// A remote that answers those requests in that order, and 400 to any other.
async fn strict(script: Vec<Exchange>) -> Remote {
    Remote::new(move |nth, seen| {
        let asked = format!("{} {}", seen.method, seen.uri);
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        let Some((request, sent, headers, json)) = script.get(nth - 1) else {
            return answer(400, format!("{asked} is one too many"));
        };
        if (asked.as_str(), body.as_str()) != (request, sent) {
            return answer(400, format!("{request} {sent} was expected, not {asked} {body}"));
        }
        let origin = format!("http://{}", seen.header("host"));
        let own = |text: &str| text.replace("{origin}", &origin);
        let with = |response: axum::http::response::Builder, (name, value): &(&'static str, &'static str)| {
            response.header(*name, own(value))
        };
        let response = headers.iter().fold(Response::builder(), with);
        response.body(Body::from(own(&json.to_string()))).unwrap()
    })
    .await
}

/// The Api of a remote, with one attempt per call.
fn api(remote: &Remote) -> Api {
    remote.api().retry(RetryPolicy::never()).attempt_timeout(LONG)
}

async fn all<T: Send + serde::de::DeserializeOwned + 'static>(pages: Pages<T>) -> Result<Vec<T>, Error> {
    let mut items = pages.items();
    let mut all = vec![];
    while let Some(item) = items.next().await {
        all.push(item?);
    }
    assert!(items.next().await.is_none(), "it stays over");
    Ok(all)
}

/// The items that a script gives, all of whose requests must have come.
async fn read(script: Vec<Exchange>, pages: impl FnOnce(&Api) -> Pages<Value>) -> Vec<Value> {
    let turns = script.len();
    let remote = strict(script).await;
    let items = all(pages(&api(&remote))).await.unwrap();
    assert_eq!(remote.seen().len(), turns, "every page is asked for");
    items
}

/// The numbers from 1.
fn count(last: u64) -> Vec<Value> {
    (1..=last).map(Value::from).collect()
}

#[tokio::test]
async fn link_headers_are_followed() {
    let link = |request, link, answer| (request, "", vec![("link", link)], answer);
    let script = vec![
        link(
            "GET /v/x?per_page=2",
            "<{origin}/v/x?per_page=2&page=2>; rel=\"next\", <{origin}/v/x?page=3>; rel=\"last\"",
            json!([1, 2]),
        ),
        link("GET /v/x?per_page=2&page=2", "</v/y?page=3>; rel=next", json!([3, 4])),
        link("GET /v/y?page=3", "<{origin}/v/x?page=2>; rel=\"prev\"", json!([5])),
    ];
    let remote = strict(script).await;
    let api = api(&remote).base_url(&format!("{}/v", remote.url()));
    let pages = api.get("/x").query("per_page", 2).pages::<Value>("", Paging::link_header());
    assert_eq!(all(pages).await.unwrap(), count(5));
}

#[tokio::test]
async fn next_urls_in_the_body_are_followed() {
    let items = read(
        vec![
            turn(
                "GET /users?%24top=2",
                json!({"value": [1, 2], "@odata.nextLink": "{origin}/users?$top=2&$skiptoken=a%2Fb"}),
            ),
            turn(
                "GET /users?%24top=2&%24skiptoken=a%2Fb",
                json!({"value": [], "@odata.nextLink": "?$skiptoken=c"}),
            ),
            turn("GET /users?%24skiptoken=c", json!({"value": [3]})),
        ],
        |api| api.get("/users").query("$top", 2).pages("value", Paging::next_url("@odata.nextLink")),
    )
    .await;
    assert_eq!(items, count(3), "an empty page with a next one ends nothing");
}

#[tokio::test]
async fn cursors_in_the_body_are_sent_back() {
    let next = |cursor: &str| json!({"next": {"after": cursor}});
    let items = read(
        vec![
            turn("GET /x?limit=2", json!({"results": [1, 2], "paging": next("a=&b")})),
            turn("GET /x?limit=2&after=a%3D%26b", json!({"results": [3], "paging": next("17")})),
            turn("GET /x?limit=2&after=17", json!({"results": null})),
        ],
        |api| api.get("/x").query("limit", 2).pages("results", Paging::cursor("paging.next.after", "after")),
    )
    .await;
    assert_eq!(items, count(3));
}

#[tokio::test]
async fn cursors_in_a_header_are_sent_back() {
    let header = |request, cursor, answer| (request, "", vec![("x-next", cursor)], answer);
    let items = read(
        vec![
            header("GET /x", "2", json!({"d": {"i": [1]}})),
            header("GET /x?at=2", "", json!({"d": {"i": [2]}})),
        ],
        |api| api.get("/x").pages("d.i", Paging::cursor_in_header("X-Next", "at")),
    )
    .await;
    assert_eq!(items, count(2));
}

#[tokio::test]
async fn cursors_go_into_the_body_of_a_post() {
    let items = read(
        vec![
            (
                "POST /search",
                r#"{"limit":2,"query":"jane"}"#,
                vec![],
                json!({"results": [1, 2], "after": "2"}),
            ),
            (
                "POST /search",
                r#"{"limit":2,"page":{"after":"2"},"query":"jane"}"#,
                vec![],
                json!({"results": [3]}),
            ),
        ],
        |api| {
            let search = api.post("/search").json(&json!({"query": "jane", "limit": 2}));
            search.pages("results", Paging::body_cursor("after", "page.after"))
        },
    )
    .await;
    assert_eq!(items, count(3));
}

#[tokio::test]
async fn page_numbers_are_counted_up_to_an_empty_page_or_the_last() {
    let items = read(
        vec![
            turn("GET /x?page=1", json!([1, 2])),
            turn("GET /x?page=2", json!([3])),
            turn("GET /x?page=3", json!([])),
        ],
        |api| api.get("/x").pages("", Paging::page_number("page")),
    )
    .await;
    assert_eq!(items, count(3));
    let items = read(
        vec![
            turn("GET /x?p=0", json!({"items": [1], "pages": 1})),
            turn("GET /x?p=1", json!({"items": [2], "pages": 1})),
        ],
        |api| api.get("/x").pages("items", Paging::page_number("p").first(0).last_page("pages")),
    )
    .await;
    assert_eq!(items, count(2));
}

#[tokio::test]
async fn offsets_grow_by_what_came() {
    let items = read(
        vec![
            turn("GET /x?startAt=0&maxResults=100", json!({"issues": [1, 2, 3], "total": 4})),
            turn("GET /x?startAt=3&maxResults=100", json!({"issues": [4], "total": 4})),
        ],
        |api| {
            api.get("/x").pages("issues", Paging::offset("startAt").limit("maxResults", 100).total("total"))
        },
    )
    .await;
    assert_eq!(items, count(4), "the remote gives fewer than it is asked for");
}

#[tokio::test]
async fn the_last_id_leads_on() {
    let items = read(
        vec![
            turn("GET /x", json!({"data": [{"id": "a"}, {"id": "b"}], "has_more": true})),
            turn("GET /x?starting_after=b", json!({"data": [{"id": "c"}], "has_more": false})),
        ],
        |api| api.get("/x").pages("data", Paging::last_id("id", "starting_after").more("has_more")),
    )
    .await;
    assert_eq!(items, [json!({"id": "a"}), json!({"id": "b"}), json!({"id": "c"})]);
}

#[tokio::test]
async fn connections_are_paged_by_a_variable() {
    let query = "query($after: String) { repo { issues(after: $after) { nodes { n } pageInfo { hasNextPage endCursor } } } }";
    let body = |variables: &str| -> &'static str {
        format!(r#"{{"query":{},"variables":{variables}}}"#, Value::from(query)).leak()
    };
    let answer = |nodes: Value, more: bool| {
        let info = json!({"hasNextPage": more, "endCursor": "Y3"});
        json!({"data": {"repo": {"issues": {"nodes": nodes, "pageInfo": info}}}})
    };
    let items = read(
        vec![
            ("POST /graphql", body(r#"{"first":2}"#), vec![], answer(json!([1, 2]), true)),
            ("POST /graphql", body(r#"{"after":"Y3","first":2}"#), vec![], answer(json!([3]), false)),
        ],
        |api| api.graphql(query).at("/graphql").variables(&json!({"first": 2})).pages("repo.issues"),
    )
    .await;
    assert_eq!(items, count(3));
}

#[tokio::test]
async fn windows_overlap_and_what_comes_twice_is_yielded_once() {
    let hours = |hours: i64| Timestamp::from_second(hours * 3600).unwrap();
    let item = |id: &str| json!({"id": id});
    let script = || {
        vec![
            turn("GET /x?since=82800&until=90000", json!({"items": [item("a"), item("b")], "next": "2"})),
            turn("GET /x?since=82800&until=90000&page=2", json!({"items": [item("c"), item("b")]})),
            turn("GET /x?since=86400&until=93600", json!({"items": [item("a"), item("c"), item("d")]})),
            turn("GET /x?since=90000&until=95400", json!({"items": [item("d"), item("e")]})),
        ]
    };
    let hour = Duration::from_secs(3600);
    let paging = || {
        Paging::windows(("since", hours(24)), ("until", hours(26) + Duration::from_secs(1800)), hour)
            .unix_seconds()
            .look_back(hour, "id")
            .within(Paging::cursor("next", "page"))
    };
    let items = read(script(), |api| api.get("/x").pages("items", paging())).await;
    assert_eq!(items, ["a", "b", "c", "d", "e"].map(item));
}

#[tokio::test]
async fn pages_are_read_ahead_so_many_and_no_more() {
    for ahead in [0, 1, 3] {
        let remote =
            Remote::new(|nth, _| answer(200, json!({"items": [nth], "next": nth}).to_string())).await;
        let listing = api(&remote).get("/").pages::<u64>("items", Paging::cursor("next", "at")).ahead(ahead);
        let mut pages = listing.pages();
        assert_eq!(remote.seen().len(), 0, "nothing is sent before it is asked for");
        for page in 1..=4 {
            assert_eq!(pages.next().await.unwrap().unwrap().items, [page]);
            // What is allowed comes; more would come within these turns as well.
            while remote.seen().len() < usize::try_from(page).unwrap() + ahead {
                tokio::task::yield_now().await;
            }
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(remote.seen().len(), usize::try_from(page).unwrap() + ahead);
        }
        drop(pages);
        let sent = remote.seen().len();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(remote.seen().len(), sent, "what is dropped reads no further");
    }
}

#[tokio::test]
async fn a_listing_without_an_end_is_stopped() {
    let remote = Remote::new(|nth, _| answer(200, json!({"items": [nth], "next": nth}).to_string())).await;
    let listing = api(&remote).get("/x").pages::<u64>("items", Paging::cursor("next", "at")).pages_max(3);
    let error = all(listing).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with(
            "page 4 at 3: GET crm /x was not sent: page 4 is past the limit of 3 pages: raise .pages_max"
        ),
        "{told}"
    );
    assert!(!error.is_retryable());
    assert_eq!(remote.seen().len(), 3);
}

#[tokio::test]
async fn a_listing_that_goes_round_is_an_error() {
    let remote = Remote::always(200, &[], r#"{"items":[1],"next":"c1"}"#).await;
    let error =
        all(api(&remote).get("/x").pages::<u64>("items", Paging::cursor("next", "at"))).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("page 2 at c1: GET crm /x answered 200, but its body leads back to page 2"),
        "{told}"
    );
    assert!(!error.is_retryable());

    let remote = Remote::always(200, &[], "[1,2]").await;
    let error = all(api(&remote).get("/x").pages::<u64>("", Paging::page_number("page"))).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("holds the same items as page 1: does the remote know the parameter"), "{told}");
    assert_eq!(remote.seen().len(), 2);
}

#[tokio::test]
async fn a_next_url_of_another_host_is_not_called() {
    let evil = Remote::always(200, &[], "[]").await;
    let link = format!("<{}/x?page=2>; rel=next", evil.url());
    let remote = Remote::always(200, &[("link", &link)], "[1]").await;
    let error = all(api(&remote).get("/x").pages::<u64>("", Paging::link_header())).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains(&format!("a URL at {}, and this Api is read from {} only", evil.url(), remote.url())),
        "{told}"
    );
    assert_eq!((evil.seen().len(), remote.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_is_not_a_page_says_what_it_is() {
    for (body, told) in [
        (r#"{"items":[],"meta":1}"#, "but its body has nothing at \"results\": there is items, meta"),
        ("[]", "has an array at the top where \"results\" needs an object"),
        ("<html>Log in</html>", "is HTML where JSON was expected"),
        ("", "but its body is empty"),
        ("{\"results\":", "is not JSON"),
        (r#"{"results":[1,{"a":"x"}]}"#, "does not fit its type at `results[1]`: invalid type: map"),
    ] {
        let remote = Remote::always(200, &[], body).await;
        let pages = api(&remote).get("/x").pages::<u64>("results", Paging::cursor("next", "at"));
        let failure = unknown(once(pages.page(&Cursor::first())).await);
        assert!(failure.message.contains(told) && !failure.retryable, "{failure}");
    }
    let remote = Remote::always(200, &[], r#"{"kind":"files"}"#).await;
    let pages = api(&remote).get("/x").pages::<u64>("files", Paging::cursor("next", "at"));
    assert_eq!(all(pages.may_lack_items()).await.unwrap(), [0; 0]);
}

/// A remote of ten pages that fails at one of them, as often as it says.
async fn ten_pages(broken: u64) -> Remote {
    Remote::new(move |nth, seen| {
        let page: u64 =
            seen.uri.query().and_then(|query| query.strip_prefix("at=c")?.parse().ok()).unwrap_or(1);
        let first_time = nth == usize::try_from(page).unwrap();
        if page == broken && first_time {
            return answer(500, r#"{"error":{"code":"boom","message":"disk full"}}"#);
        }
        let next = (page < 10).then(|| format!("c{}", page + 1));
        answer(200, json!({"items": [page], "next": next}).to_string())
    })
    .await
}

#[tokio::test]
async fn a_page_that_fails_says_which_and_where_to_go_on() {
    let remote = ten_pages(7).await;
    let listing = api(&remote).get("/x").pages::<u64>("items", Paging::cursor("next", "at"));
    let mut items = listing.clone().items();
    let mut read = vec![];
    let error = loop {
        match items.next().await.unwrap() {
            Ok(item) => read.push(item),
            Err(error) => break error,
        }
    };
    assert!(items.next().await.is_none(), "nothing follows an error");
    assert_eq!(read, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        error.to_string(),
        "page 7 at c7: GET crm /x answered 500 boom, saying \"disk full\"; to go on there: .start_at(its cursor)"
    );
    assert_eq!((error.status(), error.code(), error.is_retryable()), (Some(500), Some("boom"), true));

    let recorded = serde_json::to_string(items.cursor()).unwrap();
    let cursor: Cursor = serde_json::from_str(&recorded).unwrap();
    assert_eq!(cursor.page(), 7);
    assert_eq!(all(listing.start_at(&cursor)).await.unwrap(), [7, 8, 9, 10]);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Contact {
    id: u64,
}

#[tokio::test]
async fn a_durable_loop_goes_on_at_its_page() {
    let page = |nth: usize, _: &Seen| {
        let next = (nth < 3).then(|| format!("c{}", nth + 1));
        answer(200, json!({"items": [{"id": nth}], "next": next}).to_string())
    };
    let remote = Remote::new(page).await;
    let listing = |api: &Api| api.get("/x").pages::<Contact>("items", Paging::cursor("next", "at"));
    let mut cursor = Some(Cursor::first());
    let (mut ids, mut prints) = (vec![], vec![]);
    while let Some(at) = cursor {
        let call = listing(&api(&remote)).page(&at);
        prints.push(format!("{at} = {}", call.shape().fingerprint.unwrap()));
        let Verdict::Done(live) = call.attempt(Attempt::new("key", 1, LONG)).await else {
            panic!("not done")
        };
        // What a crash leaves is what was recorded.
        let page: Page<Contact> = serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
        assert_eq!(page, live);
        ids.extend(page.items.into_iter().map(|contact| contact.id));
        cursor = page.next;
    }
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(
        prints,
        ["page 1 = GET crm /x", "page 2 at c2 = GET crm /x?at=c2", "page 3 at c3 = GET crm /x?at=c3"]
    );
}

#[tokio::test]
async fn a_cursor_holds_no_credential() {
    // A remote that writes its own address with all that it was asked with.
    let remote = Remote::new(|nth, seen| {
        let page = format!(
            "http://{}/x?page={}&{}&access_token=t0ken",
            seen.header("host"),
            nth + 1,
            seen.uri.query().unwrap()
        );
        answer(200, json!({"items": [nth], "next": page}).to_string())
    })
    .await;
    let api = api(&remote).query_key("k", Secret::new("query-e19f0b77d2"));
    let pages = api.get("/x").query("limit", 1).pages::<u64>("items", Paging::next_url("next"));
    let first = done(once(pages.page(&Cursor::first())).await);
    let recorded = serde_json::to_string(&first).unwrap();
    assert!(recorded.contains("/x?page=2&limit=1\""), "{recorded}");
    for secret in ["e19f0b77d2", "t0ken", "secret"] {
        assert!(!recorded.contains(secret), "{recorded}");
    }
    done(once(pages.page(&first.next.unwrap())).await);
    assert_eq!(remote.seen()[1].uri, "/x?page=2&limit=1&k=query-e19f0b77d2", "and is on every request anew");
}

#[tokio::test]
async fn a_cursor_of_another_listing_is_told() {
    let remote = Remote::always(200, &[], "[]").await;
    let pages = api(&remote).get("/x").pages::<u64>("", Paging::page_number("page"));
    let cursor: Cursor = serde_json::from_str(r#"{"page":2,"at":{"text":"c2"}}"#).unwrap();
    let failure = refused(once(pages.page(&cursor)).await);
    assert!(failure.message.contains("the cursor is one of another style of paging"), "{failure}");
    assert_eq!(remote.seen().len(), 0);
}

#[tokio::test]
async fn items_are_a_stream_as_any_other() {
    let remote = ten_pages(0).await;
    let items = api(&remote).get("/x").pages::<u64>("items", Paging::cursor("next", "at")).ahead(2).items();
    let even: Vec<u64> =
        items.map(Result::unwrap).filter(|item| std::future::ready(item % 2 == 0)).collect().await;
    assert_eq!(even, [2, 4, 6, 8, 10]);
}

/// json-server from npm; none where it is missing.
fn json_server(test: &str) -> Option<(Api, Process)> {
    let Some(node) = peer::node("json-server", include_str!("peers/listing.mjs")) else {
        bowline_testing::skip::record(
            test,
            "BOWLINE_NODE has no json-server: scripts/node makes one that has",
        );
        return None;
    };
    let mut process = node.ready_on_line("port ").start().unwrap();
    let line = process.wait_for_line("port ", LONG).unwrap();
    let port: u16 = line.rsplit(' ').next().unwrap().trim().parse().unwrap();
    Some((api_at(([127, 0, 0, 1], port).into()), process))
}

#[tokio::test]
async fn pages_through_json_server_in_three_styles() {
    let Some((api, _process)) = json_server("pages_through_json_server_in_three_styles") else { return };
    let get = |parameters: &[(&str, u64)]| {
        parameters.iter().fold(api.get("/contacts"), |call, (name, value)| call.query(name, value))
    };
    for (style, pages) in [
        ("links", get(&[("_page", 1), ("_limit", 10)]).pages::<Contact>("", Paging::link_header())),
        ("numbers", get(&[("_limit", 10)]).pages("", Paging::page_number("_page"))),
        ("offsets", get(&[]).pages("", Paging::offset("_start").limit("_limit", 10))),
    ] {
        let ids: Vec<u64> = all(pages).await.unwrap().into_iter().map(|contact| contact.id).collect();
        assert_eq!(ids, (1..=25).collect::<Vec<_>>(), "{style}");
    }
}
