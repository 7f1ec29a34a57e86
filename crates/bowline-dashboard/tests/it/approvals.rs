//! Questions to people: over the API, as a page's form, and in a real browser.

use bowline_model::{
    Clock, Payload, RunId, RunState, SystemClock,
    approval::{Field, Question},
};
use bowline_store::{MailboxKind, NewMailbox, Transition};
use serde_json::json;

use crate::{
    browser,
    chromium::{self, Chromium},
    hostile::{PAINT, SCRIPT},
    pages::check_nesting,
    server::Server,
};

fn refund() -> Question {
    Question::new("Refund 900 EUR to C-17?")
        .approver("finance")
        .field("reason", Field::choice("Why", ["damaged", "late"]).required())
        .field("amount", Field::number("How much").at_least(1.0).at_most(900.0))
        .field("note", Field::text("Anything to add"))
        .field("told", Field::checkbox("The customer was told"))
}

/// As the engine names it.
fn named(name: &str) -> String {
    format!("approval:102414c2-125d-8690-a7c1-266c493a90e5:\"{name}\"")
}

fn mailbox(name: &str, question: &Question) -> NewMailbox {
    let about = Some(Payload::encode(question).unwrap());
    NewMailbox { about, ..NewMailbox::new(named(name), MailboxKind::Approval) }
}

async fn asked(server: &Server) -> RunId {
    server.waits("refunds", "awaited refund", vec![mailbox("refund", &refund())]).await
}

#[tokio::test]
async fn an_approval_is_listed_with_its_question_and_answered_once() {
    let server = Server::start().await;
    let run = asked(&server).await;
    let list = server.get("/api/approvals").await.json;
    let first = &list["approvals"][0];
    assert_eq!(
        (&first["run"], &first["workflow"], &first["name"]),
        (&json!(run), &json!("refunds"), &json!("refund"))
    );
    assert_eq!(first["question"]["approver"], "finance");
    let path = format!("/api/runs/{run}/decide");
    let yes = r#"{"approved":true,"by":"kim","values":{"reason":"late","amount":12},"why":"it was"}"#;
    let reply = server.post(&path, yes).await;
    assert_eq!((reply.status, reply.json["status"].clone()), (202, json!("kept")), "{reply:?}");
    let message = json!({ "approved": true, "by": "kim", "why": "it was",
                          "values": { "reason": "late", "amount": 12, "told": false } });
    assert_eq!(server.read(run).await, [(named("refund"), message)]);
    let again = server.post(&path, r#"{"approved":false,"approval":"refund"}"#).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(server.get("/api/approvals").await.json["approvals"], json!([]));
}

#[tokio::test]
async fn of_fifty_decisions_at_once_one_is_kept() {
    let server = Server::start().await;
    let run = asked(&server).await;
    let path = format!("/api/runs/{run}/decide");
    let body = r#"{"approved":true,"approval":"refund","values":{"reason":"late"}}"#;
    let replies = futures_util::future::join_all((0..50).map(|_| server.post(&path, body))).await;
    let kept = replies.iter().filter(|reply| reply.status == 202).count();
    let answered = replies.iter().filter(|reply| reply.status == 409).count();
    assert_eq!((kept, answered), (1, 49));
    assert_eq!(server.read(run).await.len(), 1);
}

#[tokio::test]
async fn a_decision_that_does_not_fit_names_every_field_and_decides_nothing() {
    let server = Server::start().await;
    let run = asked(&server).await;
    let body = r#"{"approved":true,"values":{"amount":901,"secret":"hunter2"}}"#;
    let reply = server.post(&format!("/api/runs/{run}/decide"), body).await;
    assert_eq!(reply.status, 422);
    let fields: Vec<_> =
        reply.json["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["reason", "amount", "secret"]);
    assert!(!reply.text.contains("hunter2") && !reply.text.contains("901"), "{}", reply.text);
    assert!(server.read(run).await.is_empty());
}

#[tokio::test]
async fn which_approval_is_meant_must_be_clear() {
    let server = Server::start().await;
    let ended = server.ended("w", "completed", Transition::Complete).await;
    let (one, two) = (mailbox("refund", &refund()), mailbox("ship", &Question::new("Ship it?")));
    let run = server.waits("w", "awaited refund", vec![one, two]).await;
    let path = format!("/api/runs/{run}/decide");
    let unclear = server.post(&path, r#"{"approved":false}"#).await;
    assert_eq!(unclear.status, 404);
    let hint = unclear.json["hint"].as_str().unwrap();
    assert!(hint.contains("\"refund\"") && hint.contains("\"ship\""), "{hint}");
    assert_eq!(server.post(&path, r#"{"approved":true,"approval":"ship"}"#).await.status, 202);
    assert_eq!(server.post(&path, r#"{"approved":true,"approval":"pack"}"#).await.status, 404);
    assert_eq!(server.post(&format!("/api/runs/{ended}/decide"), r#"{"approved":true}"#).await.status, 410);
}

#[tokio::test]
async fn approvals_that_read_alike_are_told_apart_by_their_whole_names() {
    let server = Server::start().await;
    let one = mailbox("refund", &Question::new("One?"));
    let two = NewMailbox { name: one.name.replace("1024", "2048"), ..one.clone() };
    let run = server.waits("w", "awaited refund", vec![one.clone(), two.clone()]).await;
    let path = format!("/api/runs/{run}/decide");
    let unclear = server.post(&path, r#"{"approved":true,"approval":"refund"}"#).await;
    assert_eq!(unclear.status, 404);
    let hint = unclear.json["hint"].as_str().unwrap();
    let shown = |name: &str| hint.contains(&format!("{name:?}"));
    assert!(shown(&one.name) && shown(&two.name), "{hint}");
    let body = json!({ "approved": true, "approval": two.name });
    assert_eq!(server.post(&path, &body.to_string()).await.status, 202);
    assert_eq!(server.read(run).await.len(), 1);
}

#[tokio::test]
async fn the_form_is_answered_by_a_redirect_and_what_is_wrong_comes_back_as_it_was_typed() {
    let server = Server::start().await;
    let run = asked(&server).await;
    let page = server.browse("/approvals").await;
    assert!(page.head.contains("referrer-policy: same-origin"), "{}", page.head);
    check_nesting(&page.text);
    let form =
        format!("run={run}&approval=refund&field.amount=9000&field.note=a%0D%0Ab&field.told=on&by=kim&why=");
    let wrong = server.send_form("/approvals", &format!("{form}&decision=approve")).await;
    assert_eq!(wrong.status, 422);
    check_nesting(&wrong.text);
    for expect in
        ["is needed", "must be from 1 to 900", "value=\"9000\"", "value=\"kim\"", " checked", "aria-invalid"]
    {
        assert!(wrong.text.contains(expect), "{expect}: {}", wrong.text);
    }
    assert!(server.read(run).await.is_empty());
    let no = server.send_form("/approvals", &format!("{form}&decision=reject")).await;
    assert_eq!(no.status, 422, "what is filled in must fit");
    let form = format!("run={run}&approval=refund&field.amount=&field.note=a%0D%0Ab&by=kim&why=too+much");
    let no = server.send_form("/approvals", &format!("{form}&decision=reject")).await;
    assert_eq!(no.status, 303, "{no:?}");
    assert!(no.head.contains(&format!("location: /approvals?decided={run}&approved=false")), "{}", no.head);
    let message = json!({ "approved": false, "by": "kim", "why": "too much", "values": { "note": "a\nb", "told": false } });
    assert_eq!(server.read(run).await[0].1, message);
    let twice = server.send_form("/approvals", &format!("{form}&decision=reject")).await;
    assert_eq!(twice.status, 409, "{twice:?}");
    let after = server.browse(&format!("/approvals?decided={run}&approved=false")).await.text;
    assert!(after.contains("has its answer: rejected"), "{after}");
}

#[tokio::test]
async fn a_form_of_another_page_decides_nothing() {
    let server = Server::start().await;
    let run = asked(&server).await;
    let body = format!("run={run}&approval=refund&field.reason=late&decision=approve");
    let host = server.address.to_string();
    let form = ("content-type", "application/x-www-form-urlencoded");
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let mut headers = vec![("host", host.as_str()), form];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(server.ask("POST", "/approvals", &headers, &body).await.status, 403, "{origin:?}");
    }
    assert!(server.read(run).await.is_empty());
}

#[tokio::test]
async fn the_first_page_and_the_run_s_page_say_that_somebody_is_asked() {
    let server = Server::start().await;
    assert!(!server.browse("/").await.text.contains("Waits for a person"));
    let run = asked(&server).await;
    let first = server.browse("/").await.text;
    assert!(first.contains("Waits for a person") && first.contains("Refund 900 EUR to C-17?"), "{first}");
    let own = server.browse(&format!("/runs/{run}")).await.text;
    assert!(
        own.contains("It waits for a person") && own.contains("It <bdi>waits for refund</bdi>."),
        "{own}"
    );
    server.post(&format!("/api/runs/{run}/decide"), r#"{"approved":false}"#).await;
    assert!(!server.browse("/").await.text.contains("Waits for a person"));
}

/// Questions as they come, and as they should not.
async fn site() -> (Server, RunId) {
    let server = Server::start().await;
    let long = Question::new(format!("{SCRIPT}{PAINT} {}\nand a second line", "x".repeat(900)))
        .approver(format!("{SCRIPT}{}", "a".repeat(150)))
        .field("choice", Field::choice("l".repeat(200), ["o".repeat(200), SCRIPT.to_owned()]))
        .field("f".repeat(64), Field::text(SCRIPT).chars_max(50).required())
        .field("check", Field::checkbox("c".repeat(200)).required());
    let soon = SystemClock.now() + std::time::Duration::from_secs(5400);
    let odd = NewMailbox { until: Some(soon), ..mailbox(&"n".repeat(500), &long) };
    server.waits(&"w".repeat(300), "awaited odd", vec![odd]).await;
    let run = asked(&server).await;
    (server, run)
}

const FILL: &str = "(() => {
    const form = [...document.forms].at(-1);
    form.querySelector('select').value = 'late';
    form.querySelector('input[type=number]').value = '12.5';
    form.querySelector('textarea').value = 'it rained';
    form.querySelector('input[type=checkbox]').click();
    form.querySelector('[name=by]').value = 'kim';
    form.querySelector('button[value=approve]').click();
})()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_answers_a_question_in_a_browser_on_a_desk_and_on_a_telephone() {
    let name = "a_person_answers_a_question_in_a_browser_on_a_desk_and_on_a_telephone";
    let Some(program) = chromium::find() else { bowline_testing::skip!(name, "there is no chromium") };
    let (server, run) = site().await;
    let mut chromium = Chromium::start(program);
    let to = |path: &str| format!("http://{}{path}", server.address);
    tokio::task::block_in_place(|| {
        for (width, height) in browser::SCREENS {
            for scheme in ["light", "dark"] {
                chromium.look(width, height, scheme);
                for page in [to("/approvals"), to("/"), to(&format!("/runs/{run}"))] {
                    browser::check(&mut chromium, &page, &format!("{page} at {width} px, {scheme}"));
                }
            }
        }
        chromium.load(&to("/approvals"));
        chromium.go(FILL, &to("/approvals?decided="));
        let text = chromium.text();
        assert!(text.contains(&format!("Run {run} has its answer: approved.")), "{text}");
        chromium.complaints.clear();
        for (width, height) in browser::SCREENS {
            chromium.look(width, height, "light");
            let page = chromium.at.clone();
            browser::check(&mut chromium, &page, &format!("{page} at {width} px"));
        }
    });
    let message = json!({ "approved": true, "by": "kim",
        "values": { "reason": "late", "amount": 12.5, "note": "it rained", "told": true } });
    assert_eq!(server.read(run).await[0].1, message);
    assert_eq!(server.state(run).await, RunState::Waiting);
}
