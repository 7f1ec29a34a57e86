//! Listings that a run reads page by page, and credentials that it gets by OAuth, over crashes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bowline::{client::Pages, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, MockSystem, Recorded, TestApp, every_crash_point};
use serde_json::{Value, json};

const PAGES: u64 = 5;
const PAGE_TAKES: Duration = Duration::from_secs(5);

struct Shop {
    crm: Api,
    mail: Api,
}

impl Shop {
    fn contacts(&self) -> Pages<u64> {
        self.crm.get("/contacts").pages("items", Paging::cursor("next", "cursor"))
    }

    /// Reads all pages, and tells of each.
    async fn sync(self: Arc<Self>, cx: Context, _: ()) -> Result<Vec<u64>> {
        let (mut all, mut cursor) = (vec![], Some(Cursor::first()));
        while let Some(at) = cursor {
            let page = cx.step("page", self.contacts().page(&at)).key(&at).await?;
            cx.step("tell", self.mail.post("/mails").json(&page.items)).key(&at).await?;
            all.extend(page.items);
            cursor = page.next;
        }
        Ok(all)
    }
}

fn shop() -> App<Shop> {
    let systems = |setup: &mut Setup| Shop {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL"),
        mail: setup.api("mail").base_url("https://mail.example.com"),
    };
    App::new("shop", systems).workflow(workflow("sync", Shop::sync))
}

/// The page that is asked for, of two items, and the cursor of the next.
fn page(request: &Recorded) -> Answer {
    let cursor = request.query.as_deref().and_then(|query| query.strip_prefix("cursor=after-"));
    let number: u64 = cursor.map_or(0, |number| number.parse().expect("a cursor that it gave"));
    let next = (number + 1 < PAGES).then(|| format!("after-{}", number + 1));
    Answer::ok(json!({"items": [number * 2, number * 2 + 1], "next": next})).after(PAGE_TAKES)
}

fn all_items() -> Vec<u64> {
    (0..PAGES * 2).collect()
}

/// How often each page was asked for.
fn asked(app: &TestApp<Shop>) -> Vec<usize> {
    let mut asked = BTreeMap::<Option<String>, usize>::new();
    app.mock("crm").requests().into_iter().for_each(|request| *asked.entry(request.query).or_default() += 1);
    asked.into_values().collect()
}

#[test]
fn a_run_that_dies_after_each_page_goes_on_at_the_next_and_fetches_none_twice() {
    let app = TestApp::new(shop());
    app.mock("crm").answer_with(page);
    let run = app.start(&workflow("sync", Shop::sync), &());
    for number in 1..=PAGES {
        app.crash_after("page");
        app.advance(PAGE_TAKES);
        assert_eq!(asked(&app).len() as u64, (number + 1).min(PAGES), "the next one is under way");
    }
    assert_eq!(run.end().output::<Vec<u64>>(), all_items());
    assert_eq!(asked(&app), [1; PAGES as usize]);
    assert_eq!(app.mock("mail").requests_by_key().len() as u64, PAGES);
}

#[test]
fn a_page_that_was_not_recorded_is_fetched_again_and_no_other() {
    let app = TestApp::new(shop());
    app.mock("crm").answer_with(page);
    let run = app.start(&workflow("sync", Shop::sync), &());
    for _ in 1..PAGES {
        app.advance(PAGE_TAKES);
        // The next page is under way.
        app.crash();
        app.settle();
    }
    assert_eq!(run.end().output::<Vec<u64>>(), all_items());
    assert_eq!(asked(&app), [1, 2, 2, 2, 2]);
}

#[test]
fn a_listing_is_the_same_at_every_crash_point() {
    let tried = every_crash_point(shop, |app: &TestApp<Shop>| {
        app.mock("crm").answer_with(page);
        app.start(&workflow("sync", Shop::sync), &()).end().output::<Vec<u64>>()
    });
    assert!(tried.moments > 4 * PAGES as usize, "{tried:?}");
}

/// Its own credentials for one remote, somebody's for the other.
struct Desk {
    crm: Api,
    books: Api,
}

impl Desk {
    async fn book(self: Arc<Self>, cx: Context, order: Value) -> Result<Value> {
        let contact: Value = cx.step("contact", self.crm.post("/contacts").json(&order).decode()).await?;
        cx.step("invoice", self.books.post("/invoices").json(&contact)).await?;
        cx.step("mark", self.crm.post("/marks").json(&contact)).await?;
        cx.step("close", self.books.post("/closed").json(&contact)).await?;
        Ok(contact)
    }
}

/// A provider whose tokens hold for an hour. Who has shown it a refresh token must not show it an older one again.
fn provider() -> MockSystem {
    let (provider, newest) = (MockSystem::start(), AtomicUsize::new(0));
    provider.answer_with(move |asked| {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        if let Some((_, shown)) = body.split_once("refresh_token=") {
            let shown = shown.split('&').next().and_then(|shown| shown.strip_prefix("refresh-"));
            let shown = shown.map_or(0, |number| number.parse().expect("a token that it gave"));
            if newest.fetch_max(shown, Ordering::SeqCst) > shown {
                return Answer::json(400, json!({"error": "invalid_grant"}));
            }
        }
        Answer::ok(json!({
            "access_token": format!("access-{}", asked.nth),
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": format!("refresh-{}", asked.nth),
        }))
    });
    provider
}

fn desk(token_url: String) -> App<Desk> {
    let systems = move |setup: &mut Setup| {
        let own = OAuth::client_credentials(&token_url).client("desk", Secret::new("secret-of-the-desk"));
        let somebodys = OAuth::refresh_token(&token_url).refresh_token_env("BOOKS_REFRESH_TOKEN");
        Desk {
            crm: setup.api("crm").base_url_env("CRM_BASE_URL").oauth(own),
            books: setup
                .api("books")
                .base_url_env("BOOKS_BASE_URL")
                .oauth(somebodys.client("desk", Secret::new("secret-of-the-desk"))),
        }
    };
    App::new("desk", systems).workflow(workflow("book", Desk::book))
}

#[test]
fn a_run_of_apis_with_tokens_is_the_same_at_every_crash_point() {
    let providers = RefCell::new(vec![]);
    let tried = every_crash_point(
        || {
            let provider = provider();
            let app = desk(format!("{}/token", provider.url()));
            providers.borrow_mut().push(provider);
            app
        },
        |app: &TestApp<Desk>| {
            app.mock("crm").answer(Answer::json(201, json!({"id": 7})));
            // A token that is not taken; and a remote that is closed for longer than tokens hold.
            app.mock("books").fail_next(1, 401);
            let closed = Answer::status(503).header("retry-after", "10800");
            app.mock("crm").when(Match::call("POST", "/marks")).times(1).answer(closed);
            let run = app.start(&workflow("book", Desk::book), &json!({"order": 1})).end();
            let bears = |request: &Recorded| {
                request.header("authorization").is_some_and(|value| value.starts_with("Bearer access-"))
            };
            assert!(app.mocks().all(|mock| mock.requests().iter().all(bears)), "each with a token");
            (run.state() == RunState::Completed).then(|| run.output::<Value>())
        },
    );
    assert!(tried.moments > 20, "{tried:?}");
    let renewals = providers.borrow().iter().map(MockSystem::count).min();
    assert!(renewals >= Some(4), "two credentials, each renewed: {renewals:?}");
}
