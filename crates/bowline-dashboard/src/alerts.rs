//! Tells people of dead letters, of approvals that wait, and of Apis that need a person: one message for many, to the
//! hook of a chat.
//!
//! What comes in: the dead letters in the store, and what clients raise. What goes out: a text in the form of Slack's
//! incoming webhooks, handed to an [`Effect`] that posts it; a cursor in the store says who was told of which dead
//! letters. What must never be here: a payload, the hook's address, a message for each of a thousand dead letters.
//!
//! | Module | Story |
//! |---|---|
//! | `watcher` | the loop that looks, waits and tells |
//! | `decide` | whether a message goes now, purely |
//! | `news` | what a look found, grouped |
//! | `told` | which dead letters people know |
//! | `message` | the text |
//! | `asked` | approvals for which runs wait, each told once |
//! | `apis` | credentials that are refused, remotes that are down: grouped, told, shown |
//! | `hook` | how a message gets to the chat |

mod apis;
mod asked;
mod decide;
mod hook;
mod message;
mod news;
mod told;
mod watcher;

use std::{fmt, sync::Arc, time::Duration};

use bowline_model::{Clock, Effect, RunState};
use bowline_store::{RunFilter, Store, StoreError, store::RUNS_PAGE_MAX};

pub use self::{
    apis::{API_GROUP_WAIT, API_MESSAGE_EVERY_MIN, ApiAlert, ApiAlerts, TOLD_AGAIN_AFTER},
    asked::{ApprovalAlerts, QUESTION_GROUP_WAIT, QUESTION_MESSAGE_EVERY_MIN},
    decide::{GROUP_WAIT, MESSAGE_EVERY_MIN, RETRY_BASE, RETRY_DELAY_MAX},
    hook::SEND_TIMEOUT,
    message::TEXT_CHARS_MAX,
};
use self::{
    decide::Pace,
    message::message,
    news::{Look, News},
    told::Told,
    watcher::{Found, Story, Watcher},
};

/// How often the store is asked for dead letters while there is nothing to tell.
pub const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A look costs at most one part in so many of the time: with very many dead letters, looks are rarer.
pub const LOOK_SHARE: u32 = 100;
/// How long a message under way may still take at a shutdown.
pub const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long to wait when the store does not answer.
pub const STORE_PAUSE: Duration = Duration::from_secs(60);

/// The alerts of one app.
///
/// The first dead letter waits [`GROUP_WAIT`] for its neighbours; then one message tells how many there are, for each
/// workflow and reason with the last one's summary, and what to do. The next goes no sooner than [`MESSAGE_EVERY_MIN`]
/// later. A run that was retried and died again is told of again; one that was retried before its message went is not.
/// At the first start on a store with old dead letters, one message sums them up.
pub struct Alerts<H>(Watcher<DeadLetters, H>);

impl<H> fmt::Debug for Alerts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("app", &self.0.app).finish_non_exhaustive()
    }
}

/// The dead letters in the store.
struct DeadLetters;

impl Story for DeadLetters {
    type News = News;
    type Told = Told;

    const CURSOR: &'static str = "alerts";
    const ABOUT: &'static str = "dead letters";
    const PACE: Pace = Pace::RUNS;

    async fn look(&self, store: &dyn Store, told: &Told) -> Result<Found<Self>, StoreError> {
        let mut look = Look::default();
        let mut before = None;
        loop {
            let filter = RunFilter {
                states: vec![RunState::DeadLettered],
                before,
                limit: RUNS_PAGE_MAX,
                ..RunFilter::default()
            };
            let page = store.runs(filter).await?;
            page.iter().for_each(|run| look.add(run, told));
            match page.last() {
                Some(last) if page.len() >= RUNS_PAGE_MAX => before = Some(last.id),
                Some(_) | None => break,
            }
        }
        let Look { news, told } = look;
        Ok(Found { count: news.new, oldest: news.oldest, news, told })
    }

    fn text(&self, app: &str, admin_url: Option<&str>, news: &News) -> String {
        message(app, admin_url, news)
    }
}

impl<H, E> Alerts<H>
where
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    /// Alerts of the dead letters in `store`, of the app of that name (which is also its command's). `hook` describes
    /// the call that posts a text of at most [`TEXT_CHARS_MAX`] characters as the `text` of a JSON object.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, app: impl Into<String>, hook: H) -> Self {
        Self(Watcher::new(DeadLetters, store, clock, app, hook))
    }

    /// Ends each message with this address, where people find the admin pages.
    pub fn admin_url(mut self, url: Option<String>) -> Self {
        self.0.admin_url = url;
        self
    }

    /// Watches and tells until `stop`. A message under way then has [`STOP_GRACE`] to end.
    ///
    /// # Durability
    /// A dead letter is told of at least once: what was told is written to the store after the message was delivered. A
    /// crash between the two repeats the message; a crash before it delays it to the next start. A message that cannot
    /// be delivered is tried again for as long as there is something to tell; it blocks nothing else, and new dead
    /// letters join it.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        self.0.run(stop).await;
    }
}
