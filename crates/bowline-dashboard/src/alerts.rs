//! Tells people of dead letters, of approvals that wait, and of Apis that need a person: one message for many, to the
//! hook of a chat.
//!
//! What comes in: the dead letters in the store, and what clients raise. What goes out: a text in the form of Slack's
//! incoming webhooks, handed to an [`Effect`] that posts it; a cursor in the store says who was told of which dead
//! letters. What must never be here: a payload, the hook's address, a message for each of a thousand dead letters.
//!
//! | Module | Story |
//! |---|---|
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

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use bowline_model::{Clock, Effect, RunState};
use bowline_store::{Batch, CursorMove, RunFilter, Store, StoreError, StoreErrorKind, store::RUNS_PAGE_MAX};
use futures_util::future::{Either, FutureExt, select};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    apis::{API_GROUP_WAIT, API_MESSAGE_EVERY_MIN, ApiAlert, ApiAlerts, TOLD_AGAIN_AFTER},
    asked::{ApprovalAlerts, QUESTION_GROUP_WAIT, QUESTION_MESSAGE_EVERY_MIN},
    decide::{GROUP_WAIT, MESSAGE_EVERY_MIN, RETRY_BASE, RETRY_DELAY_MAX},
    hook::SEND_TIMEOUT,
    message::TEXT_CHARS_MAX,
};
use self::{
    decide::{Action, Pace, State, decide},
    hook::Hook,
    message::message,
    news::Look,
    told::Told,
};

/// How often the store is asked for dead letters while there is nothing to tell.
pub const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A look costs at most one part in so many of the time: with very many dead letters, looks are rarer.
pub const LOOK_SHARE: u32 = 100;
/// How long a message under way may still take at a shutdown.
pub const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long to wait when the store does not answer.
pub const STORE_PAUSE: Duration = Duration::from_secs(60);

/// The cursor that says who was told of what.
const CURSOR: &str = "alerts";

/// The alerts of one app.
///
/// The first dead letter waits [`GROUP_WAIT`] for its neighbours; then one message tells how many there are, for each
/// workflow and reason with the last one's summary, and what to do. The next goes no sooner than [`MESSAGE_EVERY_MIN`]
/// later. A run that was retried and died again is told of again; one that was retried before its message went is not.
/// At the first start on a store with old dead letters, one message sums them up.
pub struct Alerts<H> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    app: String,
    admin_url: Option<String>,
    hook: Hook<H>,
}

impl<H> fmt::Debug for Alerts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("app", &self.app).finish_non_exhaustive()
    }
}

/// What is known of earlier messages.
#[derive(Debug, Default)]
struct Memory {
    told: Told,
    state: State,
    /// The cursor's value on disk.
    on_disk: Option<String>,
    /// Whether the disk has it all.
    is_saved: bool,
}

/// [`Memory`] as it is on disk.
#[derive(Serialize, Deserialize)]
struct Recorded {
    sent_at: Timestamp,
    told: Told,
}

impl<H, E> Alerts<H>
where
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    /// Alerts of the dead letters in `store`, of the app of that name (which is also its command's). `hook` describes
    /// the call that posts a text of at most [`TEXT_CHARS_MAX`] characters as the `text` of a JSON object.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, app: impl Into<String>, hook: H) -> Self {
        let hook = Hook { call: hook, clock: clock.clone() };
        Self { store, clock, app: app.into(), admin_url: None, hook }
    }

    /// Ends each message with this address, where people find the admin pages.
    pub fn admin_url(mut self, url: Option<String>) -> Self {
        self.admin_url = url;
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
        let stop = stop.shared();
        let mut memory = None;
        loop {
            let next = match select(stop.clone(), self.turn(&mut memory).boxed()).await {
                Either::Left(_) => return,
                Either::Right((next, _)) => next,
            };
            let wake_at = match next {
                Next::Look(at) => at,
                Next::Send(look) => {
                    let memory = memory.as_mut().expect("a turn that found news has loaded it");
                    let late = stop.clone().then(|()| self.clock.sleep(STOP_GRACE));
                    match select(self.send(look, memory).boxed(), pin!(late)).await {
                        Either::Left(((), _)) => continue,
                        Either::Right(_) => return,
                    }
                }
            };
            if let Either::Left(_) = select(stop.clone(), self.clock.sleep_until(wake_at)).await {
                return;
            }
        }
    }

    /// Looks, and decides.
    async fn turn(&self, memory: &mut Option<Memory>) -> Next {
        let began = self.clock.monotonic();
        let look = match self.look(memory).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(%error, "alerts: dead letters cannot be read; tried again in a minute");
                return Next::Look(later(self.clock.now(), STORE_PAUSE));
            }
        };
        let took = self.clock.monotonic().saturating_sub(began);
        let now = self.clock.now();
        let state = memory.as_ref().map(|memory| memory.state.clone()).unwrap_or_default();
        match decide(now, look.news.oldest, &state, Pace::RUNS) {
            Action::Rest => Next::Look(later(now, LOOK_EVERY.max(took.saturating_mul(LOOK_SHARE)))),
            Action::Wait(until) => Next::Look(until),
            Action::Send => Next::Send(look),
        }
    }

    async fn look(&self, memory: &mut Option<Memory>) -> Result<Look, StoreError> {
        let memory = match memory {
            Some(memory) => memory,
            None => memory.insert(self.load().await?),
        };
        // Said when it first failed; dead letters are told of all the same.
        if !memory.is_saved
            && let Err(error) = self.save(memory).await
        {
            tracing::debug!(%error, "alerts: still not noted that a message went");
        }
        let mut look = Look::default();
        let mut before = None;
        loop {
            let filter = RunFilter {
                states: vec![RunState::DeadLettered],
                before,
                limit: RUNS_PAGE_MAX,
                ..RunFilter::default()
            };
            let page = self.store.runs(filter).await?;
            page.iter().for_each(|run| look.add(run, &memory.told));
            match page.last() {
                Some(last) if page.len() >= RUNS_PAGE_MAX => before = Some(last.id),
                Some(_) | None => return Ok(look),
            }
        }
    }

    async fn send(&self, look: Look, memory: &mut Memory) {
        let text = message(&self.app, self.admin_url.as_deref(), &look.news);
        let delivered = self.hook.deliver(text, &memory.state).await;
        match delivered {
            Ok(()) => {
                tracing::info!(new = look.news.new, dead = look.news.dead, "alerts: told of dead letters");
                memory.told = look.told;
                memory.state = State { sent_at: Some(self.clock.now()), failed: None };
                memory.is_saved = false;
                // If it cannot be written now: the next look tries again, and what was told is known until then.
                if let Err(error) = self.save(memory).await {
                    tracing::warn!(%error, "alerts: not noted that a message went; a crash now would repeat it");
                }
            }
            Err(failed) => memory.state.failed = Some(failed),
        }
    }

    async fn load(&self) -> Result<Memory, StoreError> {
        let on_disk = self.store.cursor(CURSOR).await?;
        let recorded = on_disk.as_deref().map(serde_json::from_str::<Recorded>).transpose();
        let recorded = recorded.unwrap_or_else(|error| {
            tracing::warn!(%error, "alerts: what was told cannot be read; all dead letters are told of again");
            None
        });
        let (told, sent_at) = recorded.map_or_else(Default::default, |old| (old.told, Some(old.sent_at)));
        Ok(Memory { told, state: State { sent_at, failed: None }, on_disk, is_saved: true })
    }

    async fn save(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let recorded = Recorded {
            sent_at: memory.state.sent_at.unwrap_or_else(|| self.clock.now()),
            told: memory.told.clone(),
        };
        let to = serde_json::to_string(&recorded).expect("times and numbers are JSON");
        let cursor = CursorMove { name: CURSOR.to_owned(), from: memory.on_disk.clone(), to: to.clone() };
        match self.store.accept(Batch { cursor: Some(cursor), ..Batch::default() }).await {
            Ok(_) => {
                (memory.on_disk, memory.is_saved) = (Some(to), true);
                Ok(())
            }
            // Another node told meanwhile: what it knows holds.
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                *memory = self.load().await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// What follows a look.
enum Next {
    /// Another look, then.
    Look(Timestamp),
    /// A message of what was found.
    Send(Look),
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
