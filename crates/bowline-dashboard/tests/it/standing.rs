//! What stands beside a run's timeline: loops with their dead items, waits, undos, pauses; and forks from its steps.

use bowline_dashboard::commands::{Moment, fork};
use bowline_model::{DeadReason, KeySeed, RunId, RunState};
use bowline_store::Transition;

use crate::{
    hostile::SCRIPT,
    journal::{START, build, journal, parted_text, run},
    pages::{link, page},
    server::Server,
};

const WAITS: Transition = Transition::Wait { due: None, seen: None };

/// A loop under way with two dead items, of many.
const LOOPING: &str =
    "done begin\n itemdead sync/C-3 patch\n itemdead sync/C-10\n items sync 4312 2 10000 16";

fn items_dead() -> Transition {
    Transition::DeadLetter { reason: DeadReason::Items, summary: "2 of 4,314 items failed".to_owned() }
}

/// Runs of all the sorts that pages must show, with foreign text where there can be.
pub(crate) async fn runs(server: &Server) -> Vec<RunId> {
    let looping = server.ended("looping", LOOPING, WAITS).await;
    let many: String = (0..150).map(|n| format!("itemdead pages/{}{n} patch\n", "k".repeat(180))).collect();
    let over = format!("done begin\n{many}looped pages 4000 150\n dead");
    let over = server.ended("looped", &over, items_dead()).await;
    let paged = server.ended("paged", "items contacts 40 0 - 8", WAITS).await;
    let undone = "done flight\n undoable flight\n done hotel\n undoable hotel\n done mail: POST mail /send\n undoing\n undone hotel\n cancelled";
    let undone = server.ended("trip", undone, Transition::Cancel).await;
    let name = SCRIPT.replace([':', '/', '[', '#', ' '], ".");
    let waits = format!(
        "sleeps nap\n signal {name}\n callback scanned\n approval refund\n child pay\n failed create"
    );
    let (waiting, _) = server.waits_for_child("many-waits", &waits, "pay").await;
    server.ended("held", "sleeps nap", WAITS).await;
    let body = format!(r#"{{"workflow":"held","who":"kim","why":{SCRIPT:?}}}"#);
    server.post("/api/workflows/pause", &body).await;
    let held = server.accept("held").await;
    let parted = parted(server).await;
    vec![looping, over, paged, undone, waiting, held, parted]
}

/// A run whose journal the code no longer fits.
async fn parted(server: &Server) -> RunId {
    let text = "done create: POST crm /contacts\n mismatch";
    let summary = parted_text().to_owned();
    server.ended("parted", text, Transition::DeadLetter { reason: DeadReason::Mismatch, summary }).await
}

#[tokio::test]
async fn a_mismatch_shows_both_sides_and_what_can_be_done() {
    let server = Server::start().await;
    let run = parted(&server).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        "It needs a person: mismatch The journal has begun by build 1.0.0+abcstep \"create\" recorded POST crm /contacts",
        "The code now build 1.0.0+abcasks POST crm /people",
        "add .key(id) to steps in a loop. The code no longer fits what the journal recorded.",
        "(cx.changed)",
        "(.was)",
        "roll back to the build that recorded it",
        &format!("fork {run} --from STEPbegins another run at a step"),
        &format!("retry {run}lets it go on"),
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[tokio::test]
async fn a_loop_shows_how_far_it_is_and_names_its_dead_items() {
    let server = Server::start().await;
    let run = server.ended("w", LOOPING, WAITS).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        "Loop sync under way",
        "4,312 done, 2 dead of 10,000; up to 16 side by side",
        "C-3 at patch",
        "crm answered 422 to C-10",
        &format!("When the run has come to its end, retry {run} runs just these again"),
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let looped = &server.get(&format!("/api/runs/{run}")).await.json["loops"][0];
    assert_eq!(
        (&looped["done"], &looped["dead"], &looped["total"]),
        (&4312.into(), &2.into(), &10_000.into())
    );
    assert_eq!((&looped["limit"], &looped["pages_open"]), (&16.into(), &1.into()));
    let exported = server.get(&format!("/api/runs/{run}/export")).await.json;
    assert_eq!(&exported["loops"][0], looped, "the file says the same");
    let item = &looped["dead_items"][0];
    assert_eq!((&item["item"], &item["step"]), (&"C-3".into(), &"patch".into()));
    assert!(item["why"].as_str().unwrap().contains("422") && item["at"].is_string(), "{item}");
}

#[tokio::test]
async fn a_dead_letter_of_items_says_that_a_retry_runs_just_these() {
    let server = Server::start().await;
    let many: String = (0..37).map(|n| format!("itemdead sync/{n}\n")).collect();
    let run = server.ended("w", &format!("{many}looped sync 4 37\n dead"), items_dead()).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        &format!(
            "retry {run}runs just its 37 dead items again, and lets it go on; what it has done stays done"
        ),
        "Loop sync over",
        "4 done, 37 dead",
        "and 17 more",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    server.post(&format!("/api/runs/{run}/retry"), "").await;
    let again = page(&server, &format!("/runs/{run}")).await;
    assert!(!again.contains("37 dead"), "they were taken back: {again}");
}

#[tokio::test]
async fn pages_that_are_read_and_pages_to_come_are_told() {
    let server = Server::start().await;
    let run = server.ended("w", "items contacts 40 0 - 8", WAITS).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    assert!(text.contains("40 done; up to 8 side by side; 1 page open, page 13 comes next"), "{text}");
}

#[tokio::test]
async fn each_wait_says_for_what_and_until_when_and_children_are_links() {
    let server = Server::start().await;
    let waits = "sleeps nap\n signal paid\n callback scanned\n approval refund\n child pay\n failed create";
    let (run, child) = server.waits_for_child("w", waits, "pay").await;
    let reply = server.browse(&format!("/runs/{run}")).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        "sleeps until 2026-11-22 11:00:00.100 UTC",
        "waits for the signal \"paid\", until 2026-11-22 11:00:00.200 UTC at the latest",
        "waits for a message to the address of callback \"scanned\", until ",
        "waits for a decision by kim on \"refund\", until ",
        &format!("waits for the child run \"pay\": run {child}"),
        "tries create again at ",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(link(&reply, &format!("run {child}")), Some(format!("/runs/{child}")));
    assert!(!text.contains("3600 s"), "the engine's own words: {text}");
}

#[tokio::test]
async fn a_run_that_went_on_leads_to_where_its_work_is_now() {
    let server = Server::start().await;
    let (first, latest) = server.went_on("w", "done begin\n continued").await;
    let reply = server.browse(&format!("/runs/{first}")).await;
    assert_eq!(link(&reply, &format!("<bdi>went on as run {latest}</bdi>")), Some(format!("/runs/{latest}")));
    let shown = server.get(&format!("/api/runs/{first}")).await.json;
    let end = shown["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(end["went_on"], serde_json::to_value(latest).unwrap(), "{end}");
}

#[tokio::test]
async fn a_run_that_is_undone_says_what_is_undone_and_what_is_left() {
    let server = Server::start().await;
    let begun = "done flight\n undoable flight\n done hotel\n undoable hotel\n done look: GET crm /x\n done mail: POST mail /send\n undoing\n undone hotel";
    let run = server.ended("w", begun, WAITS).await;
    let text = page(&server, &format!("/runs/{run}")).await;
    for part in [
        "What it did is being undone",
        "cancelled by kim",
        "Undone: 1 hotel",
        "Left to undo: 1 flight",
        "Stays done, as no undo was given for it: 1 mail",
        "can be undone",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let undo = &server.get(&format!("/api/runs/{run}")).await.json["undo"];
    assert_eq!((&undo["left"]["names"][0], &undo["undone"]["names"][0]), (&"flight".into(), &"hotel".into()));
    let other = server.ended("w", "done flight\n undoable flight\n completed", Transition::Complete).await;
    assert!(server.get(&format!("/api/runs/{other}")).await.json["undo"].is_null());
}

#[tokio::test]
async fn a_pause_says_since_when_by_whom_and_how_many_runs_wait() {
    let server = Server::start().await;
    let run = server.accept("ship").await;
    server.accept("ship").await;
    server.accept("bill").await;
    server.post("/api/workflows/pause", r#"{"workflow":"ship","who":"kim","why":"the CRM moves"}"#).await;
    let first = page(&server, "/").await;
    assert!(first.contains("ship: paused by kim: the CRM moves; 2 runs wait"), "{first}");
    assert!(first.contains("Resume ship Events are accepted; no run of it begins"), "{first}");
    let own = page(&server, &format!("/runs/{run}")).await;
    assert!(own.contains("Its workflow is paused paused by kim: the CRM moves, since "), "{own}");
    assert!(own.contains("2 runs wait.") && own.contains("Resume ship"), "{own}");
    let paused = &server.get("/api/paused").await.json[0];
    assert_eq!(
        (&paused["workflow"], &paused["held"], &paused["more_held"]),
        (&"ship".into(), &2.into(), &false.into())
    );
    server.post("/api/workflows/resume", r#"{"workflow":"ship"}"#).await;
    assert!(!page(&server, "/").await.contains("paused by"));
}

/// What a fork of an ended run with that journal takes from there, or what it is refused for.
fn forked(text: &str, from: &str) -> Result<usize, String> {
    let journal = journal(text);
    let run = run(RunState::Completed, None, &journal);
    let moment = Moment { now: START, build: build() };
    let decided = fork::decide(&run, &journal, from, KeySeed(1), String::new(), &moment);
    let shown = fork::places(&run, &journal).into_iter().find(|place| place.step == from);
    match (decided, shown) {
        (Ok(decided), Some(place)) => {
            assert_eq!(place.why_not, None, "the page says the same");
            Ok(decided.taken)
        }
        (Err(error), Some(place)) => {
            let why = place.why_not.expect("the page says the same");
            assert!(error.to_string().contains(&why) || why.contains("was undone"), "{error}, {why}");
            Err(why)
        }
        (Err(error), None) => Err(error.to_string()),
        (Ok(_), None) => panic!("the page shows no such step"),
    }
}

#[test]
fn a_fork_takes_what_is_before_its_step_and_no_doubt() {
    let text = "done a\n value now\n unknown b\n done c\n completed";
    assert_eq!(forked(text, "a"), Ok(0));
    assert_eq!(forked(text, "b"), Ok(2));
    assert!(forked(text, "c").unwrap_err().contains("the step b may have happened"));
    assert!(forked("done a\n undoing\n cancelled", "a").unwrap_err().contains("was undone"));
    assert!(forked(text, "nothing").unwrap_err().contains("recorded nothing"));
}

#[test]
fn what_was_under_way_before_the_step_and_is_known_to_nobody_stops_a_fork() {
    let lost = "done a\n inflight b\n done c\n completed";
    assert_eq!(forked(lost, "a"), Ok(0));
    assert!(forked(lost, "c").unwrap_err().contains("the step b may have happened"));
    let known_later = "inflight b\n done a\n done c\n done b\n completed";
    assert_eq!(forked(known_later, "c"), Ok(1), "it is named among what the new run repeats");
}

#[test]
fn a_fork_from_a_loop_takes_nothing_of_its_items_and_inside_of_one_is_no_place() {
    let text =
        "done a\n refused sync/C-3/patch\n itemdead sync/C-3 patch\n looped sync 9 1\n done z\n completed";
    assert_eq!(forked(text, "sync"), Ok(1), "only what is before its first item");
    let why = forked(text, "sync/C-3/patch").unwrap_err();
    assert_eq!(why, "it is inside the loop sync: fork from a step before the loop, or after it");
    assert_eq!(forked(text, "z"), Ok(3), "with the loop as it ended");
    let cut_short = "done a\n items sync 4 0 10 2\n done beside\n cancelled";
    assert!(forked(cut_short, "beside").unwrap_err().contains("inside the loop sync"));
}

#[tokio::test]
async fn a_run_can_be_forked_from_its_page_where_that_is_possible() {
    let server = Server::start().await;
    let text = "done list: GET crm /c\n done create: POST crm /c\n unknown mail: POST mail /send\n done log\n completed";
    let run = server.ended("w", text, Transition::Complete).await;
    let shown = server.browse(&format!("/runs/{run}")).await;
    assert_eq!(shown.text.matches(">Fork from here</a>").count(), 3, "list, create and mail: {}", shown.text);
    assert!(shown.text.contains("No fork from here: <bdi>before it the step mail may have happened"));
    let open = server.ended("w", "done list", WAITS).await;
    assert!(!server.browse(&format!("/runs/{open}")).await.text.contains("ork from here"));

    let form = format!("/fork?run={run}&from=create");
    let before = page(&server, &form).await;
    for part in [
        "The new run takes the 1 record before it: that is not done",
        "create POST crm /c",
        "mail POST mail /send which may",
    ] {
        assert!(before.contains(part), "no {part:?} in {before}");
    }
    let reply = server.send_form("/fork", &format!("run={run}&from=create&who=kim&why=again")).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let to = reply.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let new = page(&server, to).await;
    assert!(new.contains("takes what run 1 recorded before create: forked by kim: again"), "{new}");
    assert_eq!(server.pokes(), 1);

    // It is called a fork wherever it is named, and no replay.
    assert!(new.contains("Fork ofrun 1 from create") && !new.contains("eplay of"), "{new}");
    let list = page(&server, "/").await;
    assert!(list.contains("fork of run 1 from create") && !list.contains("replay"), "{list}");
    for (path, row) in [("/api/runs".to_owned(), "/runs/0"), (format!("/api{to}"), "/run")] {
        let json = server.get(&path).await.json;
        let row = json.pointer(row).unwrap();
        assert_eq!(row["fork_of"], serde_json::json!({ "run": 1, "from": "create" }), "{path}");
        assert!(row["replay_of"].is_null(), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_forked_and_forms_of_other_pages_fork_nothing() {
    let server = Server::start().await;
    let run =
        server.ended("w", "unknown mail: POST mail /send\n done log\n completed", Transition::Complete).await;
    for (query, status) in [("from=log", 409), ("from=nothing", 404)] {
        assert_eq!(server.browse(&format!("/fork?run={run}&{query}")).await.status, status);
        assert_eq!(server.send_form("/fork", &format!("run={run}&{query}")).await.status, status);
    }
    let host = server.address.to_string();
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let mut headers =
            vec![("host", host.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let reply = server.ask("POST", "/fork", &headers, &format!("run={run}&from=mail")).await;
        assert_eq!(reply.status, 403, "{origin:?}");
    }
    assert_eq!(server.get("/api/runs").await.json["runs"].as_array().unwrap().len(), 1);
}
