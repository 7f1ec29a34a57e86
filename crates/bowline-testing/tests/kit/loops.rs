//! Loops over pages of a listing, with a crash at every moment.

use std::collections::BTreeMap;

use bowline::{Workflow, prelude::*};
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
    crm.answer(Answer::ok(json!({})));
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
