//! Apis that need a person: a credential that is refused, a consent that has ended, a remote that is down. And triggers
//! that fail again and again.
//!
//! What comes in: [`Alert`]s, from clients and triggers, as often as once per call. What goes out: one message for many of them, and a
//! list for the admin pages. What must never be here: a wait in [`raise`](Alerts::raise), a list without a bound.
//!
//! | Module | Story |
//! |---|---|
//! | `board` | what was raised, grouped by Api and kind |
//! | `text` | the message |

mod board;
mod text;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bowline_model::{Alert, AlertKind, Alerts, Clock, Effect};
use futures_util::{
    future::{Either, FutureExt, poll_fn, select},
    task::AtomicWaker,
};
use jiff::Timestamp;

pub use self::board::ApiAlert;
use self::board::{Board, Due, Story};
use super::{
    STOP_GRACE,
    decide::{Action, Pace, State, decide},
    hook::Hook,
};

/// How long the first alert waits for its neighbours: a remote that refuses one call refuses others too.
pub const API_GROUP_WAIT: Duration = Duration::from_secs(5);
/// Shortest time between two messages of Apis.
pub const API_MESSAGE_EVERY_MIN: Duration = Duration::from_secs(60);
/// How long after a message the same trouble of the same Api is told again, if it goes on.
pub const TOLD_AGAIN_AFTER: Duration = Duration::from_hours(1);

const PACE: Pace = Pace { group_wait: API_GROUP_WAIT, every_min: API_MESSAGE_EVERY_MIN };

/// The alerts of an app's Apis and triggers. Clones are handles to the same.
///
/// Equal kinds of one Api are one story, however many calls fail. A story is told [`API_GROUP_WAIT`] after it began, with
/// all others that are new, and again [`TOLD_AGAIN_AFTER`] later if it still goes on. At most 200 stories are kept: the one
/// that was longest quiet makes room.
///
/// # Durability
/// None: it is in memory only. What was not told at a crash is raised again by the next call that fails; what was told
/// before a restart and goes on is told again.
///
/// # Raised by every call, told once
/// ```
/// use std::sync::Arc;
/// use bowline_dashboard::alerts::ApiAlerts;
/// use bowline_model::{Alert, AlertKind, Alerts, Clock, SystemClock};
///
/// let alerts = ApiAlerts::new(Arc::new(SystemClock));
/// for _ in 0..120 {
///     alerts.raise(Alert {
///         api: "crm".into(),
///         kind: AlertKind::Unauthorized,
///         message: "GET crm /contacts answered 401: check the credential (CRM_API_KEY)".into(),
///         at: SystemClock.now(),
///     });
/// }
/// let shown = alerts.shown();
/// assert_eq!((shown.len(), shown[0].count), (1, 120));
/// ```
#[derive(Clone)]
pub struct ApiAlerts {
    clock: Arc<dyn Clock>,
    board: Arc<Mutex<Board>>,
    raised: Arc<AtomicWaker>,
}

impl fmt::Debug for ApiAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiAlerts").field("shown", &self.shown()).finish_non_exhaustive()
    }
}

impl Alerts for ApiAlerts {
    fn raise(&self, alert: Alert) {
        let (api, kind, message) = (alert.api.clone(), alert.kind, alert.message.clone());
        if self.lock().raise(alert, self.clock.now()) {
            tracing::warn!(api, kind = kind.as_str(), "{message}");
        } else {
            tracing::debug!(api, kind = kind.as_str(), "again: {message}");
        }
        self.raised.wake();
    }

    fn over(&self, api: &str, kind: AlertKind) {
        self.lock().over(api, kind);
        self.raised.wake();
    }
}

impl ApiAlerts {
    /// No alerts yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, board: Arc::default(), raised: Arc::default() }
    }

    /// What Apis raised within a day, the latest first. How triggers do is on their own board.
    pub fn shown(&self) -> Vec<ApiAlert> {
        self.lock().shown(self.clock.now())
    }

    /// What is wrong with that credential is over: it was renewed by a person.
    pub fn forget_credential(&self, api: &str) {
        let of_credential = [AlertKind::Unauthorized, AlertKind::ConsentNeeded];
        of_credential.into_iter().for_each(|kind| self.lock().forget(api, kind));
    }

    /// Tells of them until `stop`, in the name of that app. `hook` describes the call that posts a text, as for
    /// [`Alerts::new`](super::Alerts::new); `admin_url` is where people reach the admin pages. A message under way then
    /// has [`STOP_GRACE`] to end. One task per app.
    ///
    /// # Durability
    /// A story is told at least once while it goes on: it counts as told when its message was delivered. A message that
    /// cannot be delivered is tried again for as long as there is something to tell.
    pub async fn run<H, E>(
        self,
        app: String,
        admin_url: Option<String>,
        hook: H,
        stop: impl Future<Output = ()> + Send,
    ) where
        H: Fn(String) -> E + Send + Sync,
        E: Effect,
    {
        let hook = Hook { call: hook, clock: self.clock.clone() };
        let (stop, mut state) = (stop.shared(), State::default());
        loop {
            let (seen, due) = self.look();
            let rest = match decide(self.clock.now(), due.oldest, &state, PACE) {
                Action::Rest => self.news(seen, due.again_at).boxed(),
                Action::Wait(until) => self.clock.sleep_until(until),
                Action::Send => {
                    let late = stop.clone().then(|()| self.clock.sleep(STOP_GRACE));
                    let sent = self.send(&hook, &app, admin_url.as_deref(), &due.stories, state.clone());
                    state = match select(pin!(sent), pin!(late)).await {
                        Either::Left((sent, _)) => sent,
                        Either::Right(_) => return,
                    };
                    continue;
                }
            };
            if let Either::Left(_) = select(stop.clone(), rest).await {
                return;
            }
        }
    }

    /// One message, or one try of it.
    async fn send<H, E>(
        &self,
        hook: &Hook<H>,
        app: &str,
        admin_url: Option<&str>,
        stories: &[Story],
        state: State,
    ) -> State
    where
        H: Fn(String) -> E + Send + Sync,
        E: Effect,
    {
        match hook.deliver(text::message(app, admin_url, stories), &state).await {
            Ok(()) => {
                tracing::info!(stories = stories.len(), "alerts: told of Apis and triggers");
                let now = self.clock.now();
                self.lock().told(stories, now);
                State { sent_at: Some(now), failed: None }
            }
            Err(failed) => State { failed: Some(failed), ..state },
        }
    }

    /// Ends when more was raised than so often, or when it is time to tell again of what goes on.
    async fn news(&self, seen: u64, again_at: Option<Timestamp>) {
        let again = async {
            match again_at {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        select(pin!(self.raised_since(seen)), pin!(again)).await;
    }

    /// How often something was raised so far, and what is to be told.
    fn look(&self) -> (u64, Due) {
        let board = self.lock();
        (board.raised(), board.due(self.clock.now()))
    }

    /// Ends when more was raised than so often.
    async fn raised_since(&self, seen: u64) {
        poll_fn(|cx| {
            self.raised.register(cx.waker());
            if self.lock().raised() == seen { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
