use std::sync::Arc;

use bowline_model::Clock;
use serde_json::Value;

use super::*;
use crate::{Context, GitHub, Hmac, Post, Result, StandardWebhooks, Stripe, workflow};

struct Hooks;

impl Hooks {
    async fn note(self: Arc<Self>, _cx: Context, _event: Value) -> Result {
        Ok(())
    }
}

fn app() -> App<Hooks> {
    let headers = Hmac::sha256("X-Signature").kind_in_header("X-Topic").id_in_header("X-Event-Id");
    App::new("hooks", |_| Hooks)
        .webhook("/github", GitHub::secret_env("SECRET").on("*", workflow("a", Hooks::note)))
        .webhook("/headers", headers.secret_env("SECRET").on("*", workflow("b", Hooks::note)))
        .webhook(
            "/plain",
            Hmac::sha256("X-Signature").secret_env("SECRET").on("*", workflow("g", Hooks::note)),
        )
        .webhook("/stripe", Stripe::secret_env("SECRET").on("*", workflow("c", Hooks::note)))
        .webhook("/standard", StandardWebhooks::secret_env("STANDARD").on("*", workflow("d", Hooks::note)))
        .post("/posts", Post::open().start_unvalidated(workflow("e", Hooks::note)))
        .post(
            "/once",
            Post::open()
                .dedupe_by(|event: &Value| event["email"].as_str().map(str::to_owned))
                .start_unvalidated(workflow("f", Hooks::note)),
        )
}

fn variables() -> Variables {
    Variables::new(|name| match name {
        "SECRET" => Some("hush-hush".to_owned()),
        "STANDARD" => Some("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned()),
        _ => None,
    })
}

const ISSUE: &str = r#"{"action": "opened"}"#;
const PAYMENT: &str = r#"{"id": "evt_1", "type": "charge.refunded", "data": {"object": {}}}"#;

/// What the app's own door reads of what is sent: type and id.
fn sent(
    path: &str,
    body: &str,
    kind: Option<&str>,
    id: Option<&str>,
) -> cli::Result<(String, Option<String>)> {
    let now = SystemClock.now();
    let signed = sign(&app(), &variables(), &Unsigned { path, kind, id }, body.as_bytes(), now)?;
    let headers: HeaderMap = signed.headers.into_iter().collect();
    let built = app().build(&OpenOptions::default().variables(variables()));
    let provider = built.routes.iter().find(|route| route.path() == path).unwrap().provider().clone();
    let request = RawRequest::post(&headers, &signed.body);
    provider.authenticate(&request, now).expect("it is genuine");
    let read = provider.delivery(&request).expect("it has its names").only().expect("one event").clone();
    Ok((read.kind, read.id))
}

#[track_caller]
fn check_sent(path: &str, body: &str, kind: Option<&str>, id: Option<&str>, expect: (&str, Option<&str>)) {
    let (kind, id) = sent(path, body, kind, id).unwrap();
    assert_eq!((kind.as_str(), id.as_deref()), expect);
}

#[track_caller]
fn check_refused(path: &str, body: &str, kind: Option<&str>, id: Option<&str>, message: &str, hint: &str) {
    let error = sent(path, body, kind, id).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    let told = error.hint_text().unwrap_or_default();
    assert!(told.contains(hint), "{told}");
}

#[test]
fn an_event_is_sent_under_the_type_and_id_that_were_said() {
    check_sent("/github", "{}", Some("push"), Some("d-1"), ("push", Some("d-1")));
    check_sent("/headers", "{}", Some("order.paid"), Some("o-1"), ("order.paid", Some("o-1")));
    check_sent("/standard", r#"{"type": "x"}"#, None, Some("msg_1"), ("x", Some("msg_1")));
    check_sent("/posts", "{}", None, Some("k-1"), ("post", Some("idempotency-key:k-1")));
}

#[test]
fn a_github_type_is_said_with_its_action_or_without() {
    for kind in ["issues", "issues.opened"] {
        check_sent("/github", ISSUE, Some(kind), Some("d-1"), ("issues.opened", Some("d-1")));
    }
    check_refused("/github", ISSUE, Some("issues.closed"), None, "type issues.opened", "--type");
}

#[test]
fn without_an_id_the_same_body_has_the_same_one() {
    let ids = ["{}", "{}", "[]"].map(|body| sent("/github", body, Some("push"), None).unwrap().1.unwrap());
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn a_type_that_only_a_header_can_say_is_asked_for() {
    for path in ["/github", "/headers"] {
        for id in [None, Some("d-1")] {
            check_refused(path, "{}", None, id, "say the type", "--type");
        }
    }
}

#[test]
fn what_the_body_says_cannot_be_said_in_another_way() {
    check_sent("/stripe", PAYMENT, None, None, ("charge.refunded", Some("evt_1")));
    check_sent(
        "/stripe",
        PAYMENT,
        Some("charge.refunded"),
        Some("evt_1"),
        ("charge.refunded", Some("evt_1")),
    );
    check_refused("/stripe", PAYMENT, Some("push"), None, "type charge.refunded, not push", "--type");
    check_refused("/stripe", PAYMENT, None, Some("evt_2"), "id evt_1, not evt_2", "--id");
    check_refused("/plain", "{}", None, Some("o-1"), "id none, not o-1", "--id");
    check_refused("/posts", "{}", Some("push"), None, "type post, not push", "--type");
    let ada = r#"{"email": "ada@example.com"}"#;
    check_refused("/once", ada, None, Some("k-1"), "id ada@example.com, not k-1", "--id");
}

async fn ticked(_hooks: Arc<Hooks>, _cx: Context, _tick: crate::Tick) -> Result {
    Ok(())
}

#[test]
fn wrong_schedules_are_told_all_at_once_and_right_ones_are_listed() {
    use crate::{Schedule, time::minutes};
    let app = App::new("hooks", |_| Hooks)
        .schedule("nightly", Schedule::cron("30 3 * * *").zone("Europe/Berlin"), workflow("a", ticked))
        .schedule("wrong", Schedule::cron("61 3 * * *").zone("Europe/Atlantis"), workflow("b", ticked))
        .schedule("often", Schedule::every(minutes(0)), workflow("c", ticked))
        .schedule("nightly", Schedule::every(minutes(5)), workflow("d", ticked));
    let checked = check(&app, &variables());
    let told = |name: &str| {
        let found = checked.iter().find(|checked| checked.name == name).unwrap();
        found.outcome.clone().unwrap_err()
    };
    let wrong = told("schedule wrong");
    assert!(
        wrong.contains("\"61 3 * * *\"") && wrong.contains("; it ") && wrong.contains("Europe/Atlantis"),
        "{wrong}"
    );
    assert!(told("schedule often").contains("from 1 s to"));
    assert!(told("schedule nightly").contains("declared twice"));
    let refused = refuse_problems(&{
        let variables = variables();
        app.build(&OpenOptions::default().variables(variables.clone()));
        variables
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("schedule wrong") && refused.contains("schedule often"), "{refused}");

    let app = App::new("hooks", |_| Hooks).schedule(
        "nightly",
        Schedule::cron("30 3 * * *").zone("Europe/Berlin"),
        workflow("report", ticked),
    );
    let checked = check(&app, &variables());
    let nightly = checked.iter().find(|checked| checked.name == "schedule nightly").unwrap();
    assert_eq!(nightly.outcome.as_deref(), Ok("runs report: 30 3 * * * in Europe/Berlin"));
}

/// An app whose one step is called that: another build calls it otherwise.
struct Ledger;

impl Ledger {
    async fn made(self: Arc<Self>, cx: Context, _: Value) -> Result {
        cx.step("make", async || Ok(1)).await?;
        cx.sleep(crate::time::days(1)).await;
        Ok(())
    }

    async fn written(self: Arc<Self>, cx: Context, _: Value) -> Result {
        cx.step("write", async || Ok(1)).await?;
        cx.sleep(crate::time::days(1)).await;
        Ok(())
    }
}

/// Both builds of it, over that store, told to look at the journals or not.
fn ledger(build: &str, store: &std::path::Path, check: &'static str) -> (App<Ledger>, Variables) {
    let flow = if build == "1" { workflow("flow", Ledger::made) } else { workflow("flow", Ledger::written) };
    let store = format!("sqlite:{}", store.display());
    let variables = Variables::new(move |name| match name {
        "BOWLINE_STORE" => Some(store.clone()),
        "BOWLINE_CHECK_JOURNALS" => Some(check.to_owned()),
        "BOWLINE_LISTEN" | "BOWLINE_ADMIN" => Some("127.0.0.1:0".to_owned()),
        _ => None,
    });
    (App::new("ledger", |_| Ledger).version(build).workflow(flow), variables)
}

#[tokio::test]
async fn a_build_that_a_run_under_way_does_not_fit_serves_nothing_and_leaves_the_store_to_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bowline.db");
    let (old, variables) = ledger("1", &path, "on");
    let opened = old.open_with(OpenOptions::default().variables(variables)).await.unwrap();
    let run = opened.start(&workflow("flow", Ledger::made), &Value::Null).await.unwrap();
    let waits = async {
        while run.status().await.unwrap() != RunState::Waiting {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waits).await.unwrap();
    opened.shutdown().await;
    drop((run, opened));

    let (new, variables) = ledger("2", &path, "on");
    let served = tokio::time::timeout(Duration::from_secs(120), serve(&new, &variables));
    let error = served.await.expect("it serves nothing").unwrap_err();
    assert_eq!(error.to_string(), "1 run under way does not fit this build: it would become a dead letter");
    assert!(error.hint_text().unwrap().contains("let the build that runs them bring them to their end"));
    assert!(bowline_store::lock_holder(&path).is_none(), "the old build can go on");
    let store = bowline_store::SqliteReader::open(&path, Arc::new(SystemClock)).unwrap();
    let runs = store.runs(bowline_store::RunFilter::default()).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| run.state).collect::<Vec<_>>(),
        [RunState::Waiting],
        "nothing was touched"
    );
}
