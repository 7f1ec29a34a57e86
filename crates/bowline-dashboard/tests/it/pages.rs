use std::collections::BTreeSet;

use bowline_model::{DeadReason, RunId, RunState};
use bowline_store::Transition;

use crate::{
    hostile,
    server::{Reply, Server},
};

/// Tags that have no end.
const VOID: [&str; 7] = ["!doctype", "img", "input", "link", "meta", "option", "rect"];

/// The values of that attribute, as a browser reads them.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let begins = format!(" {name}=\"");
    let values = html.split(&begins).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(unescaped).collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
}

/// What a person reads: the text without its tags, in single spaces.
fn read(html: &str) -> String {
    let text: Vec<_> =
        html.split('<').skip(1).filter_map(|tag| tag.split_once('>').map(|(_, text)| text)).collect();
    unescaped(&text.concat()).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The tags, without what their attributes hold.
fn bare_tags(html: &str) -> impl Iterator<Item = String> {
    let tags = html.split('<').skip(1).filter_map(|rest| rest.split('>').next());
    tags.map(|tag| tag.split('"').step_by(2).collect())
}

/// Panics unless every tag that is opened is closed, in order.
#[track_caller]
pub(crate) fn check_nesting(html: &str) {
    let mut open = vec![];
    for tag in html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name =
            tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default().trim_end_matches('/');
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "in {html}");
        } else if !VOID.contains(&name.to_ascii_lowercase().as_str()) && !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} stays open in {html}");
}

/// A page with that status, after what holds for every page was checked.
#[track_caller]
fn checked(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    // A page with a form says that it sends one, to this address only.
    let has_form = attributes(&reply.text, "method").contains(&"post".to_owned());
    let referrer = if has_form { "referrer-policy: same-origin" } else { "referrer-policy: no-referrer" };
    for line in [
        referrer,
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'; style-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(reply.head.contains(line), "no {line} in {}", reply.head);
    }
    for never in ["<script", "<style", "javascript:", "http://", "https://"] {
        assert!(!reply.text.contains(never), "{never} in {}", reply.text);
    }
    for tag in bare_tags(&reply.text) {
        assert!(!tag.contains(" on") && !tag.contains(" style"), "<{tag}> in {}", reply.text);
    }
    check_nesting(&reply.text);
    read(&reply.text)
}

pub(crate) async fn page(server: &Server, path: &str) -> String {
    checked(&server.browse(path).await, 200)
}

/// The runs that a list links to, in its order.
fn runs(reply: &Reply) -> Vec<RunId> {
    let rows = reply.text.split("<th scope=\"row\"").skip(1);
    rows.map(|row| RunId(attributes(row, "href")[0].rsplit('/').next().unwrap().parse().unwrap())).collect()
}

/// The link with that text.
#[track_caller]
pub(crate) fn link(reply: &Reply, text: &str) -> Option<String> {
    let end = reply.text.find(&format!(">{text}</a>"))?;
    let start = reply.text[..end].rfind("<a ")?;
    attributes(&reply.text[start..end + 1], "href").pop()
}

#[tokio::test]
async fn runs_are_listed_newest_first_with_their_states_and_reasons() {
    let server = Server::start().await;
    let dead = server.dead("crm", "refused create\n dead create").await;
    let done = server.ended("crm", "done create\n completed", Transition::Complete).await;
    let waiting = hostile::waiting(&server).await;
    let list = server.browse("/").await;
    assert_eq!(runs(&list), [waiting, done, dead]);
    let text = checked(&list, 200);
    assert!(
        text.contains("3 all 0 ·queued 0 ▸running 1 …waiting 1 ✓completed 0 –cancelled 1 ✗dead"),
        "{text}"
    );
    // How long ago each was is by the machine's clock.
    for row in
        ["…waiting w goes on in 59 min", "2 ✓completed crm 2 ", "1 ✗dead crm failed: crm answered 422 1 "]
    {
        assert!(text.contains(row), "no {row:?} in {text}");
    }
    assert!(attributes(&list.text, "datetime").iter().all(|at| at.parse::<jiff::Timestamp>().is_ok()));
}

#[tokio::test]
async fn a_replay_names_the_run_that_it_replays() {
    let server = Server::start().await;
    let run = server.ended("w", "done create\n completed", Transition::Complete).await;
    let new = server.post(&format!("/api/runs/{run}/replay"), "").await.json["new_run"].clone();
    assert!(page(&server, "/").await.contains(&format!("replay of run {run}")));
    assert!(page(&server, &format!("/runs/{new}")).await.contains(&format!("Replay ofrun {run}")));
}

#[tokio::test]
async fn each_number_leads_to_its_runs() {
    let server = Server::start().await;
    let dead = server.dead("a", "dead").await;
    let queued = server.accept("b").await;
    let all = server.browse("/?workflow=a").await;
    let tiles: Vec<_> = attributes(all.text.split("</nav>").next().unwrap(), "href");
    for (state, expect) in RunState::ALL.iter().zip([vec![], vec![], vec![], vec![], vec![], vec![dead]]) {
        let href = format!("/?state={state}&workflow=a");
        assert!(tiles.contains(&href), "no {href} in {tiles:?}");
        let list = server.browse(&href).await;
        assert_eq!(runs(&list), expect, "{href}");
        let here = list.text.split(" aria-current=\"page\">").nth(1).unwrap().split("</a>").next().unwrap();
        assert!(here.contains(state.as_str()), "{here}");
    }
    assert_eq!(runs(&server.browse("/?state=dead,queued").await), [queued, dead]);
    assert!(page(&server, "/?state=waiting&workflow=b").await.contains("There are no waiting runs of b."));
}

#[tokio::test]
async fn a_workflow_of_any_name_can_be_chosen_and_left() {
    let server = Server::start().await;
    let name = "a&b=\"c\" #ü%20+<i>";
    let run = server.accept(name).await;
    server.accept("other").await;
    let all = server.browse("/").await;
    let href = attributes(&all.text, "href").into_iter().find(|href| href.contains("%C3%BC")).unwrap();
    let chosen = server.browse(&href).await;
    assert_eq!(runs(&chosen), [run]);
    assert!(attributes(&chosen.text, "value").contains(&name.to_owned()));
    assert_eq!(link(&chosen, "All workflows").as_deref(), Some("/"));
    // A form sends its empty fields too.
    assert_eq!(runs(&server.browse("/?state=&workflow=").await).len(), 2);
}

#[tokio::test]
async fn older_runs_are_a_page_away_and_the_last_page_says_so() {
    let server = Server::start().await;
    let mut expect = vec![];
    for _ in 0..101 {
        expect.insert(0, server.accept("w").await);
    }
    let (mut path, mut seen, mut pages) = ("/?state=queued".to_owned(), vec![], 0);
    loop {
        let list = server.browse(&path).await;
        checked(&list, 200);
        assert!(runs(&list).len() <= 50);
        assert_eq!(link(&list, "Newest").is_some(), pages > 0);
        // Another filter begins at its newest.
        let (_, tiles) = list.text.split_once("class=\"tiles\"").unwrap();
        assert!(tiles.contains("href=\"/?state=dead\""), "{path}: {tiles}");
        seen.extend(runs(&list));
        pages += 1;
        let Some(older) = link(&list, "Older runs") else { break };
        path = older;
    }
    assert_eq!((seen, pages), (expect, 3));
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let server = Server::start().await;
    for _ in 0..50 {
        server.accept("w").await;
    }
    assert_eq!(link(&server.browse("/").await, "Older runs"), None);
}

#[tokio::test]
async fn an_empty_store_says_how_to_send_a_first_event() {
    let server = Server::start().await;
    let text = page(&server, "/").await;
    assert!(
        text.contains("No event has come in yet") && text.contains("send /webhooks/… --file event.json"),
        "{text}"
    );
}

#[tokio::test]
async fn a_run_shows_its_head_and_its_attempts_in_time() {
    let server = Server::start().await;
    let text = "value now\n failed create: POST crm /contacts\n done create: POST crm /contacts\n completed";
    let run = server.ended("stripe-to-crm", text, Transition::Complete).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        "Run 1 ✓completed after",
        "Workflowstripe-to-crm",
        "Eventpayment_intent.succeeded",
        "From/webhooks/stripe stripe, 28 B",
        "Build1.0.0+abc",
        "Crashes0",
        "now 6 B recorded value",
        "create done 180 ms 6 B POST crm /contacts",
        "attempt 1",
        "crm answered 503 Service Unavailable (request req_7); next after 500 ms",
        "✓ attempt 1",
        "completed",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[tokio::test]
async fn a_dead_letter_says_why_and_what_to_do() {
    for reason in DeadReason::ALL {
        let server = Server::start().await;
        let transition = Transition::DeadLetter { reason, summary: "crm said `no`".to_owned() };
        let run = server.ended("w", "refused create\n dead create", transition).await;
        let text = page(&server, &format!("/runs/{run}")).await;
        for part in [
            &format!("It needs a person: {reason} crm said no"),
            bowline_dashboard::wording::meaning(reason),
            bowline_dashboard::wording::remedy(reason),
            &format!("retry {run}lets it go on"),
            &format!("discard {run}closes it"),
            &format!("replay {run}runs its event anew"),
            &format!("dead letter ({reason}) step create: it ended badly"),
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}

#[tokio::test]
async fn a_run_that_was_retried_shows_what_the_retry_forgot() {
    let server = Server::start().await;
    let run = server.dead("w", "refused create\n dead create").await;
    server.post(&format!("/api/runs/{run}/retry"), r#"{"who":"kim"}"#).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    assert!(text.contains("create forgotten by a retry") && text.contains("retried by kim"), "{text}");
    assert!(!text.contains("It needs a person"), "{text}");
}

#[tokio::test]
async fn payloads_are_shown_only_when_asked_for() {
    let server = Server::start().await;
    let run = server.dead("w", "done list\n refused create: POST crm /contacts\n dead create").await;
    let hidden = server.browse(&format!("/runs/{run}")).await;
    checked(&hidden, 200);
    assert!(!hidden.text.contains("jane@example.com") && !hidden.text.contains("fine"), "{}", hidden.text);
    let shown = server.browse(&link(&hidden, "Show payloads").unwrap()).await;
    let text = checked(&shown, 200);
    for part in [
        "The event's body 28 B { \"email\": \"jane@example.com\" }",
        "Value 6 B \"fine\"",
        "jane@example.com is busy",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!shown.text.contains("<details open"));
    assert_eq!(link(&shown, "Hide payloads"), Some(format!("/runs/{run}")));
}

#[tokio::test]
async fn a_large_body_is_cut() {
    let server = Server::start().await;
    let run = server.accept_event("w", "k", &"ü".repeat(1_000_000)).await;
    let shown = server.browse(&format!("/runs/{run}?payloads=true")).await;
    let text = checked(&shown, 200);
    assert!(
        shown.text.len() < 20_000 && text.contains("2.0 MB") && text.contains("üü…"),
        "{}",
        shown.text.len()
    );
}

#[tokio::test]
async fn a_page_loads_itself_again_only_if_asked_and_while_there_is_news_to_come() {
    let server = Server::start().await;
    let done = server.ended("w", "done create\n completed", Transition::Complete).await;
    let waiting = hostile::waiting(&server).await;
    let reloads = |reply: &Reply| reply.text.contains("http-equiv=\"refresh\"");
    for path in ["/".to_owned(), format!("/runs/{waiting}?payloads=true")] {
        let still = server.browse(&path).await;
        assert!(!reloads(&still));
        let followed = server.browse(&link(&still, "Follow").unwrap()).await;
        checked(&followed, 200);
        assert!(reloads(&followed));
        assert_eq!(link(&followed, "Following; stop").as_ref(), Some(&path));
    }
    let ended = server.browse(&format!("/runs/{done}?follow=true")).await;
    assert!(!reloads(&ended) && link(&ended, "Follow").is_none() && link(&ended, "Refresh").is_some());
}

#[tokio::test]
async fn what_others_wrote_stays_text() {
    let server = Server::start().await;
    let run = hostile::dead(&server).await;
    for path in ["/".to_owned(), format!("/runs/{run}"), format!("/runs/{run}?payloads=true")] {
        let reply = server.browse(&path).await;
        // No tag, no attribute, no handler came of it: `checked` looks for them.
        let text = checked(&reply, 200);
        assert!(text.contains("<script>alert('x')</script>"), "it is shown as it was: {text}");
        let hidden = reply.text.chars().filter(|char| {
            char.is_control() && *char != '\n'
                || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(hidden.collect::<String>(), "", "{path}");
        assert!(text.contains('\u{fffd}'), "{path}");
    }
}

#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    let server = Server::start().await;
    hostile::dead(&server).await;
    hostile::waiting(&server).await;
    server.ended("w", "done create\n completed", Transition::Complete).await;
    crawl(&server, "/").await;
}

#[tokio::test]
async fn links_hold_wherever_the_router_is_mounted() {
    let server = Server::start_under("/ops/bowline").await;
    server.dead("w", "dead").await;
    let seen = crawl(&server, "/ops/bowline").await;
    assert!(seen.contains("/ops/bowline/runs/1") && seen.contains("/ops/bowline/bowline.css"), "{seen:?}");
    let missing = server.browse("/ops/bowline/runs/9").await;
    checked(&missing, 404);
    assert_eq!(link(&missing, "All runs").as_deref(), Some("/ops/bowline"));
}

/// Follows every link that can be reached, and returns them.
async fn crawl(server: &Server, from: &str) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        assert!(seen.len() < 500, "{seen:?}");
        let reply = server.browse(&path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        if reply.head.contains("text/html") {
            checked(&reply, 200);
            let links = attributes(&reply.text, "href").into_iter().chain(attributes(&reply.text, "src"));
            next.extend(links.filter(|link| !link.starts_with('#')));
        }
    }
    seen
}

#[tokio::test]
async fn an_error_is_a_page_for_a_browser_and_json_for_all_others() {
    let server = Server::start().await;
    for (path, status, error) in [
        ("/runs/99", 404, "there is no run 99"),
        ("/runs/seven", 400, "\"seven\" is not a run's number"),
        ("/runs/%ff", 400, "Invalid URL"),
        ("/runs/1?payloads=perhaps", 400, "payloads"),
        ("/?state=alive", 400, "there is no state \"alive\""),
        ("/?before=x", 400, "before"),
        ("/nothing", 404, "there is nothing at this path"),
    ] {
        let page = server.browse(path).await;
        let text = checked(&page, status);
        assert!(text.contains(error), "{path}: {text}");
        assert_eq!(link(&page, "All runs").as_deref(), Some("/"));
        let json = server.get(path).await;
        assert_eq!(json.status, status);
        assert!(json.json["error"].as_str().unwrap().contains(error), "{path}: {json:?}");
    }
    for path in ["/api/runs/99", "/api/nothing"] {
        let api = server.browse(path).await;
        assert_eq!((api.status, api.json["error"].is_string()), (404, true), "{api:?}");
    }
}

#[tokio::test]
async fn an_error_echoes_no_markup() {
    let server = Server::start().await;
    for path in ["/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/?state=%3Cscript%3E%E2%80%AE"] {
        let text = checked(&server.browse(path).await, 400);
        assert!(text.contains("<script>"), "{text}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_page_that_says_when_to_come_back() {
    let server = Server::start().await;
    server.store.close().await.unwrap();
    let reply = server.browse("/").await;
    checked(&reply, 503);
    assert!(reply.head.contains("retry-after: "), "{}", reply.head);
}

#[tokio::test]
async fn no_foreign_host_reads_a_page_and_no_form_writes() {
    let server = Server::start().await;
    let run = server.dead("w", "dead").await;
    let rebound = [("host", "evil.example"), ("accept", "text/html")];
    for path in ["/".to_owned(), format!("/runs/{run}"), "/bowline.css".to_owned()] {
        let reply = server.ask("GET", &path, &rebound, "").await;
        let text = checked(&reply, 421);
        assert!(!text.contains("crm answered"), "{text}");
    }
    let form = [("host", "localhost"), ("content-type", "application/x-www-form-urlencoded")];
    for path in ["/".to_owned(), format!("/runs/{run}")] {
        assert_eq!(server.ask("POST", &path, &form, "state=dead").await.status, 415);
        assert_eq!(server.post(&path, "{}").await.status, 405);
        let page = server.browse(&path).await.text;
        assert!(attributes(&page, "method").iter().all(|method| method == "get"));
    }
    assert_eq!((server.state(run).await, server.pokes()), (RunState::DeadLettered, 0));
}
