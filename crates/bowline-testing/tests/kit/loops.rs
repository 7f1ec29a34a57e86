//! Loops over pages of a listing, with a crash at every moment.

use std::{collections::BTreeMap, time::Duration};

use bowline::{Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};

#[derive(Clone, Serialize, Deserialize)]
struct Contact {
    id: u64,
}

struct Crm {
    crm: Api,
}

impl Crm {
    /// Marks every contact, three at a time, and says how many there were.
    async fn mark(self: Arc<Self>, cx: Context, _: Value) -> Result<u64> {
        let contacts = self.crm.get("/contacts").pages::<Contact>("results", Paging::cursor("next", "after"));
        let marked = cx
            .for_each("mark", contacts, 3, async |cx, contact: Contact| {
                let call = self.crm.patch(&format!("/contacts/{}", contact.id)).json(&json!({"seen": true}));
                cx.step("patch", call).await?;
                Ok(())
            })
            .keyed(|contact| contact.id)
            .await?;
        cx.step("tell", self.crm.post("/told").json(&marked.done)).await?;
        Ok(marked.done)
    }
}

fn mark() -> Workflow<Crm, Value, u64> {
    workflow("mark", Crm::mark)
}

fn app() -> App<Crm> {
    App::new("crm", |setup| Crm { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).workflow(mark())
}

/// Seven contacts on three pages.
fn listed(app: &TestApp<Crm>) {
    listed_slowly(app, Duration::ZERO);
}

/// The same, each change of a contact taking so long.
fn listed_slowly(app: &TestApp<Crm>, each: Duration) {
    let crm = app.mock("crm");
    crm.remember_keys();
    let page = |ids: &[u64], next: Option<&str>| {
        let contacts: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        Answer::ok(json!({"results": contacts, "next": next}))
    };
    let after = |cursor: &'static str| {
        Match::call("GET", "/contacts")
            .and(Match::when(move |request| request.query.as_deref() == Some(&format!("after={cursor}"))))
    };
    crm.when(after("3")).answer(page(&[4, 5, 6], Some("6")));
    crm.when(after("6")).answer(page(&[7], None));
    crm.when(Match::call("GET", "/contacts")).answer(page(&[1, 2, 3], Some("3")));
    crm.answer(Answer::ok(json!({})).after(each));
}

/// The contacts that were changed, in order, each as often as it was.
fn changed(app: &TestApp<Crm>) -> Vec<String> {
    let requests = app.mock("crm").requests();
    let patches = requests.iter().filter(|request| request.method == "PATCH");
    patches.map(|request| request.path.trim_start_matches("/contacts/").to_owned()).collect()
}

/// How many keys each path was changed under.
fn changes(app: &TestApp<Crm>) -> BTreeMap<String, usize> {
    let mut changes = BTreeMap::new();
    for requests in app.mock("crm").requests_by_key().values() {
        if requests[0].method != "GET" {
            *changes.entry(requests[0].path.clone()).or_default() += 1;
        }
    }
    changes
}

#[test]
fn every_contact_is_changed_under_one_key_wherever_the_process_dies() {
    let tried = every_crash_point(app, |app| {
        listed(app);
        let run = app.start(&mark(), &json!(null)).end();
        let changed = changes(app);
        assert!(changed.values().all(|keys| *keys == 1), "{changed:?}");
        (run.output::<u64>(), changed)
    });
    assert!(tried.moments >= 10, "{tried:?}");
}

#[test]
fn a_pause_lets_the_items_under_way_end_and_none_begin_until_the_workflow_is_resumed() {
    let app = TestApp::new(app());
    listed_slowly(&app, secs(2));
    let run = app.start(&mark(), &json!(null));
    app.settle();
    app.pause_workflow("mark");
    assert_eq!((changed(&app).len(), run.state()), (3, RunState::Running), "they are under way");
    app.advance(minutes(10));
    assert_eq!((changed(&app).len(), run.state()), (3, RunState::Queued), "it holds no slot");
    app.crash();
    app.advance(minutes(10));
    assert_eq!(changed(&app).len(), 3);
    app.resume_workflow("mark");
    assert_eq!(run.end().output::<u64>(), 7);
    assert!(changes(&app).values().all(|keys| *keys == 1), "{:?}", changes(&app));
    assert_eq!(changed(&app).len(), 7, "nothing was sent twice");
}

#[test]
fn a_loop_that_is_resumed_while_an_item_of_it_is_under_way_begins_the_next_ones_at_once() {
    let app = TestApp::new(app());
    let is_first = Match::call("PATCH", "/contacts/1");
    app.mock("crm").when(is_first).answer(Answer::ok(json!({})).after(secs(8)));
    listed_slowly(&app, secs(1));
    let run = app.start(&mark(), &json!(null));
    app.settle();
    app.pause_workflow("mark");
    app.advance(secs(4));
    assert_eq!((changed(&app).len(), run.state()), (3, RunState::Running), "one is under way");
    app.resume_workflow("mark");
    app.advance(secs(2));
    assert_eq!(changed(&app).len(), 7);
    assert_eq!(run.end().output::<u64>(), 7);
}

/// Two items sleep for an hour; the others have not begun.
#[test]
fn a_pause_outlasts_what_items_wait_for_and_all_of_it_is_made_up_for_when_it_ends() {
    struct Naps;
    async fn naps(_: Arc<Naps>, cx: Context, _: Value) -> Result<u64> {
        let nap = async |cx: Context, _| {
            cx.sleep(hours(1)).await;
            Ok(())
        };
        Ok(cx.for_each("naps", vec![1, 2, 3, 4, 5], 3, nap).await?.done)
    }
    let naps = workflow("naps", naps);
    let app = TestApp::new(App::new("naps", |_| Naps).workflow(naps.clone()));
    let run = app.start(&naps, &json!(null));
    app.settle();
    assert_eq!(run.state(), RunState::Waiting);
    app.pause_workflow("naps");
    app.advance(hours(5));
    assert_eq!(run.state(), RunState::Waiting);
    app.resume_workflow("naps");
    app.advance(minutes(59));
    assert!(run.state().is_open());
    app.advance(minutes(2));
    assert_eq!(run.output::<u64>(), 5);
}

#[test]
fn a_cancel_drops_the_items_under_way_at_once_and_none_begins_after_it() {
    let app = TestApp::new(app());
    listed_slowly(&app, secs(5));
    let run = app.start(&mark(), &json!(null));
    app.settle();
    assert_eq!(changed(&app), ["1", "2", "3"], "under way");
    app.cancel(run.id());
    assert_eq!(run.state(), RunState::Cancelled, "nobody waits for their answers");
    app.advance(minutes(10));
    app.crash();
    app.advance(minutes(10));
    assert_eq!(changed(&app), ["1", "2", "3"]);
    assert_eq!(run.state(), RunState::Cancelled);
}
