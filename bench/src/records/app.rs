//! The app that is killed: one loop over the contacts of a CRM, a `PATCH` for each.

use std::sync::Arc;

use bowline::{Summary, prelude::*};
use serde_json::json;

use crate::server::ServerName;

/// As whom the bench runs when it is this app.
pub(crate) const SERVER: ServerName = ServerName("bench-records");
pub(super) const WORKFLOW: &str = "mark";
/// Where it is told to begin.
pub(super) const PATH: &str = "/mark";

pub(crate) struct Records {
    crm: Api,
}

/// How the loop is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Look {
    /// Contacts on a page.
    pub(super) page: usize,
    /// Contacts under way at a time.
    pub(super) in_flight: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Contact {
    id: u64,
    email: String,
    name: String,
    total_spent_pence: i64,
}

impl Records {
    /// Marks every contact.
    async fn mark(self: Arc<Self>, cx: Context, look: Look) -> bowline::Result<Summary> {
        let listed = self.crm.get("/api/contacts").query("limit", look.page);
        let contacts = listed.pages::<Contact>("contacts", Paging::cursor("next", "after"));
        cx.for_each("contacts", contacts, look.in_flight, async |cx, contact: Contact| {
            let call = self.crm.patch(&format!("/api/contacts/{}", contact.id));
            match cx.step("patch", call.json(&json!({ "status": "customer" }))).await {
                // Deleted since its page was read.
                Err(error) if error.status() == Some(404) => Ok(()),
                other => other.map(drop),
            }
        })
        .keyed(|contact| contact.id)
        .await
    }
}

/// The server.
pub(crate) fn app() -> App<Records> {
    let systems = |setup: &mut Setup| Records {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL").header_key_env("X-Api-Key", "CRM_API_KEY"),
    };
    App::new("records", systems).post(PATH, Post::open().start_unvalidated(workflow(WORKFLOW, Records::mark)))
}
