//! The loop that watches the store, and tells a chat what is new: one for every story that is told.
//!
//! What comes in: a [`Story`], which looks at the store and knows what people were told. What goes out: messages, spaced as
//! the story's pace says; a cursor in the store that moves after a message was delivered. What must never happen here: a
//! message that a crash loses, or a second loop for a second story.

use std::{pin::pin, sync::Arc, time::Duration};

use bowline_model::{Clock, Effect};
use bowline_store::{Batch, CursorMove, Store, StoreError, StoreErrorKind};
use futures_util::future::{Either, FutureExt, select};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    LOOK_EVERY, LOOK_SHARE, STOP_GRACE, STORE_PAUSE,
    decide::{Action, Pace, State, decide},
    hook::Hook,
};

/// Something that people are told of: dead letters, questions.
pub(super) trait Story: Send + Sync {
    /// What a message tells.
    type News: Send;
    /// What people know.
    type Told: Default + Clone + Serialize + DeserializeOwned + Send + Sync;

    /// The cursor that says what people were told.
    const CURSOR: &'static str;
    /// What it is about, for logs.
    const ABOUT: &'static str;
    /// How messages are spaced.
    const PACE: Pace;

    /// What there is now, of which people know that.
    fn look(
        &self,
        store: &dyn Store,
        told: &Self::Told,
    ) -> impl Future<Output = Result<Found<Self>, StoreError>> + Send;

    /// The message.
    fn text(&self, app: &str, admin_url: Option<&str>, news: &Self::News) -> String;
}

/// What a look found.
pub(super) struct Found<S: Story + ?Sized> {
    /// What nobody was told of.
    pub(super) news: S::News,
    /// How many things that is.
    pub(super) count: u64,
    /// Since when there is news; `None`: there is none.
    pub(super) oldest: Option<Timestamp>,
    /// What people know once they are told.
    pub(super) told: S::Told,
}

/// Watches for one story, of one app.
pub(super) struct Watcher<S, H> {
    pub(super) story: S,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) app: String,
    pub(super) admin_url: Option<String>,
    pub(super) hook: Hook<H>,
}

/// What is known of earlier messages.
struct Memory<T> {
    told: T,
    state: State,
    /// The cursor's value on disk.
    on_disk: Option<String>,
    /// Whether the disk has it all.
    is_saved: bool,
}

/// [`Memory`] as it is on disk.
#[derive(Serialize, Deserialize)]
struct Recorded<T> {
    sent_at: Timestamp,
    #[serde(alias = "known")]
    told: T,
}

/// What follows a look.
enum Next<S: Story> {
    /// Another look, then.
    Look(Timestamp),
    /// A message of what was found.
    Send(Found<S>),
}

impl<S, H, E> Watcher<S, H>
where
    S: Story,
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    pub(super) fn new(
        story: S,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        app: impl Into<String>,
        hook: H,
    ) -> Self {
        let hook = Hook { call: hook, clock: clock.clone() };
        Self { story, store, clock, app: app.into(), admin_url: None, hook }
    }

    /// Watches and tells until `stop`. A message under way then has [`STOP_GRACE`] to end.
    pub(super) async fn run(self, stop: impl Future<Output = ()> + Send) {
        let stop = stop.shared();
        let mut memory = None;
        loop {
            let next = match select(stop.clone(), self.turn(&mut memory).boxed()).await {
                Either::Left(_) => return,
                Either::Right((next, _)) => next,
            };
            let wake_at = match next {
                Next::Look(at) => at,
                Next::Send(found) => {
                    let memory = memory.as_mut().expect("a turn that found news has loaded it");
                    let late = stop.clone().then(|()| self.clock.sleep(STOP_GRACE));
                    match select(self.send(found, memory).boxed(), pin!(late)).await {
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
    async fn turn(&self, memory: &mut Option<Memory<S::Told>>) -> Next<S> {
        let began = self.clock.monotonic();
        let found = match self.look(memory).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "alerts: {} cannot be read; tried again in a minute", S::ABOUT);
                return Next::Look(later(self.clock.now(), STORE_PAUSE));
            }
        };
        let took = self.clock.monotonic().saturating_sub(began);
        let now = self.clock.now();
        let state = memory.as_ref().map(|memory| memory.state.clone()).unwrap_or_default();
        match decide(now, found.oldest, &state, S::PACE) {
            Action::Rest => Next::Look(later(now, LOOK_EVERY.max(took.saturating_mul(LOOK_SHARE)))),
            Action::Wait(until) => Next::Look(until),
            Action::Send => Next::Send(found),
        }
    }

    async fn look(&self, memory: &mut Option<Memory<S::Told>>) -> Result<Found<S>, StoreError> {
        let memory = match memory {
            Some(memory) => memory,
            None => memory.insert(self.load().await?),
        };
        // Said when it first failed; people are told all the same.
        if !memory.is_saved
            && let Err(error) = self.save(memory).await
        {
            tracing::debug!(%error, "alerts: still not noted that a message went");
        }
        self.story.look(&*self.store, &memory.told).await
    }

    async fn send(&self, found: Found<S>, memory: &mut Memory<S::Told>) {
        let text = self.story.text(&self.app, self.admin_url.as_deref(), &found.news);
        match self.hook.deliver(text, &memory.state).await {
            Ok(()) => {
                memory.told = found.told;
                memory.state = State { sent_at: Some(self.clock.now()), failed: None };
                memory.is_saved = false;
                // If it cannot be written now: the next look tries again, and what was told is known until then.
                if let Err(error) = self.save(memory).await {
                    tracing::warn!(%error, "alerts: not noted that a message went; a crash now would repeat it");
                }
                tracing::info!(new = found.count, "alerts: told of {}", S::ABOUT);
            }
            Err(failed) => memory.state.failed = Some(failed),
        }
    }

    async fn load(&self) -> Result<Memory<S::Told>, StoreError> {
        let on_disk = self.store.cursor(S::CURSOR).await?;
        let recorded = on_disk.as_deref().map(serde_json::from_str::<Recorded<S::Told>>).transpose();
        let recorded = recorded.unwrap_or_else(|error| {
            tracing::warn!(%error, "alerts: what was told cannot be read; all {} are told of again", S::ABOUT);
            None
        });
        let (told, sent_at) = recorded.map_or_else(Default::default, |old| (old.told, Some(old.sent_at)));
        Ok(Memory { told, state: State { sent_at, failed: None }, on_disk, is_saved: true })
    }

    async fn save(&self, memory: &mut Memory<S::Told>) -> Result<(), StoreError> {
        let sent_at = memory.state.sent_at.unwrap_or_else(|| self.clock.now());
        let recorded = Recorded { sent_at, told: memory.told.clone() };
        let to = serde_json::to_string(&recorded).expect("times and numbers are JSON");
        let cursor = CursorMove { name: S::CURSOR.to_owned(), from: memory.on_disk.clone(), to: to.clone() };
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

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
