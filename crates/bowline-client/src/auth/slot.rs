//! What this process knows of one credential, and who is renewing it right now.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::auth::{
    AccessToken, NoToken,
    config::Standing,
    record::{Life, Record, Token},
};

/// The first wait after a failure; each further one is twice as long …
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A provider that asks for more is not waited for longer before it is asked again.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(600);
/// A token that was renewed because it was refused, and is refused again so soon, is not at fault.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);

/// How a renewal ended.
pub(crate) type Outcome = Result<AccessToken, NoToken>;
/// Where those who wait for a renewal hear of it.
pub(crate) type Landing = watch::Receiver<Option<Outcome>>;

/// One credential in this process.
pub(crate) struct Slot {
    pub(crate) name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// And when it began.
    flight: Option<(Landing, Duration)>,
    failures: u32,
    blocked: Option<Blocked>,
    unsaved: Option<Unsaved>,
    /// When it was renewed because it was refused, and to which version.
    renewed: Option<(Duration, i64)>,
    /// When the consent was given that is stored; and how often it was another one than before.
    connected_at: Option<Option<Timestamp>>,
    connections: u64,
}

/// A token as it is stored.
struct Held {
    standing: Standing,
    version: i64,
    token: Token,
}

/// Nobody asks before this is over.
struct Blocked {
    standing: Standing,
    until: Duration,
    why: NoToken,
}

/// What the provider gave and the store did not take yet.
#[derive(Clone)]
pub(crate) struct Unsaved {
    pub(crate) replaces: i64,
    pub(crate) record: Arc<Record>,
}

/// What a caller gets.
pub(crate) enum Look {
    Use(AccessToken),
    /// Somebody renews it, for so long already: wait for that.
    Wait(Landing, Duration),
    /// It is too early to ask again.
    Blocked(NoToken),
}

/// What there is.
enum Found {
    Use(AccessToken),
    /// It is good for a while, and is to be renewed meanwhile.
    UseAndRenew(AccessToken),
    /// Somebody has to renew it first.
    Renew,
    /// It is too early to ask again.
    Blocked(NoToken),
}

impl Slot {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks what there is, and where it has to be renewed joins the renewal under way, or begins one: all at once, so that
    /// nobody begins another just when one has failed. `refused`: the version that the remote did not take. `elapsed`: by
    /// the clock that nobody sets back.
    pub(crate) fn look(
        &self,
        standing: &Standing,
        refused: Option<i64>,
        (now, elapsed): (Timestamp, Duration),
        begin: impl FnOnce(watch::Sender<Option<Outcome>>),
    ) -> Look {
        let mut state = self.lock();
        match state.find(standing, refused, now, elapsed) {
            Found::Use(token) => Look::Use(token),
            Found::UseAndRenew(token) => {
                state.join(elapsed, begin);
                Look::Use(token)
            }
            Found::Renew => {
                let (landing, began) = state.join(elapsed, begin);
                Look::Wait(landing, elapsed.saturating_sub(began))
            }
            Found::Blocked(why) => Look::Blocked(why),
        }
    }

    /// A renewal is over: lets the next one begin. `asked`: the time, if the provider was asked in vain, or the store to
    /// take what it gave, and must have some peace now.
    pub(crate) fn land(&self, standing: &Standing, outcome: &Outcome, asked: Option<Duration>) {
        let mut state = self.lock();
        state.flight = None;
        match outcome {
            Ok(_) => (state.failures, state.blocked) = (0, None),
            Err(why) => {
                let Some(elapsed) = asked else { return };
                let wait = BACKOFF_FIRST.saturating_mul(1 << state.failures.min(16)).min(BACKOFF_MAX);
                let wait = wait.max(why.asked_wait().unwrap_or_default().min(ASKED_WAIT_MAX));
                state.failures = state.failures.saturating_add(1);
                state.blocked =
                    Some(Blocked { standing: standing.clone(), until: elapsed + wait, why: why.clone() });
            }
        }
    }

    /// Takes over a token that is stored under that version.
    pub(crate) fn hold(&self, standing: &Standing, version: i64, token: &Token) {
        let mut state = self.lock();
        let older = |held: &Held| held.version <= version || held.standing != *standing;
        if state.held.as_ref().is_none_or(older) {
            state.held = Some(Held { standing: standing.clone(), version, token: token.clone() });
        }
    }

    /// Notes that it was renewed as it was refused.
    pub(crate) fn renewed(&self, version: i64, elapsed: Duration) {
        self.lock().renewed = Some((elapsed, version));
    }

    /// Somebody connected it anew: what was before does not count.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        (state.held, state.blocked, state.failures, state.unsaved) = (None, None, 0, None);
        (state.connected_at, state.connections) = (None, state.connections + 1);
    }

    /// The store has a consent of that time: if it is not the one before, another node may have connected another person.
    pub(crate) fn connected(&self, at: Option<Timestamp>) {
        let mut state = self.lock();
        if state.connected_at.is_some_and(|known| known != at) {
            state.connections += 1;
        }
        state.connected_at = Some(at);
    }

    /// How often it became somebody's anew: what was answered before is not for who came after.
    pub(crate) fn connections(&self) -> u64 {
        self.lock().connections
    }

    pub(crate) fn unsaved(&self) -> Option<Unsaved> {
        self.lock().unsaved.clone()
    }

    pub(crate) fn set_unsaved(&self, unsaved: Option<Unsaved>) {
        self.lock().unsaved = unsaved;
    }

    /// Whether a renewal is under way, or something is not saved yet: such a slot must not be forgotten.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.flight.is_some() || state.unsaved.is_some()
    }
}

impl State {
    fn find(&self, standing: &Standing, refused: Option<i64>, now: Timestamp, elapsed: Duration) -> Found {
        let blocked = self.blocked.as_ref().filter(|blocked| elapsed < blocked.until);
        let blocked = blocked.filter(|blocked| blocked.standing == *standing);
        let held = self.held.as_ref().filter(|held| held.standing == *standing);
        if let Some(held) = held.filter(|held| !self.is_refused(held, refused, elapsed)) {
            let token = AccessToken { secret: held.token.secret.clone(), version: held.version };
            match held.token.life(now) {
                Life::Good => return Found::Use(token),
                Life::EndsSoon if blocked.is_some() => return Found::Use(token),
                Life::EndsSoon => return Found::UseAndRenew(token),
                Life::Ended => {}
            }
        }
        blocked.map_or(Found::Renew, |blocked| Found::Blocked(blocked.why.later(blocked.until, elapsed)))
    }

    fn join(
        &mut self,
        now: Duration,
        begin: impl FnOnce(watch::Sender<Option<Outcome>>),
    ) -> (Landing, Duration) {
        // One whose task ended without a word is none.
        if let Some(flight) = self.flight.as_ref().filter(|(landing, _)| landing.has_changed().is_ok()) {
            return flight.clone();
        }
        let (tell, landing) = watch::channel(None);
        self.flight = Some((landing.clone(), now));
        begin(tell);
        (landing, now)
    }

    fn is_refused(&self, held: &Held, refused: Option<i64>, elapsed: Duration) -> bool {
        let just_renewed = self.renewed.is_some_and(|(at, version)| {
            version == held.version && elapsed.saturating_sub(at) < REFUSED_AGAIN
        });
        refused.is_some_and(|refused| held.version <= refused) && !just_renewed
    }
}

#[cfg(test)]
mod tests {
    use bowline_model::{Failure, Secret};

    use super::*;

    fn standing() -> Standing {
        Standing { identity: "crm".into(), seed: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn held() -> Slot {
        let slot = Slot::new("oauth/crm/default");
        let token = Token { secret: Secret::new("access-1"), issued_at: at(0), expires_at: Some(at(3600)) };
        slot.hold(&standing(), 1, &token);
        slot
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn look(slot: &Slot, refused: Option<i64>, now: u64) -> String {
        let mut renews = false;
        let now = (at(now.try_into().unwrap()), seconds(now));
        let look = slot.look(&standing(), refused, now, |_| renews = true);
        match (look, renews) {
            (Look::Use(token), false) => format!("use {}", token.version),
            (Look::Use(token), true) => format!("use {} and renew", token.version),
            (Look::Wait(..), _) => "renew".into(),
            (Look::Blocked(NoToken::Later(failure)), _) => {
                format!("blocked for {:?}", failure.retry_after.unwrap())
            }
            (Look::Blocked(NoToken::Never(_)), _) => "blocked for good".into(),
            (Look::Blocked(NoToken::Wait { .. }), _) => unreachable!("a wait blocks nobody"),
        }
    }

    fn fail(slot: &Slot, elapsed: u64) {
        slot.land(&standing(), &Err(NoToken::Later(Failure::refused("down"))), Some(seconds(elapsed)));
    }

    #[test]
    fn the_old_token_serves_while_it_is_renewed() {
        let slot = held();
        assert_eq!(look(&slot, None, 100), "use 1");
        assert_eq!(look(&slot, None, 3400), "use 1 and renew");
        fail(&slot, 3400);
        assert_eq!(look(&slot, None, 3400), "use 1", "it is too early to try again");
        assert_eq!(look(&slot, None, 3401), "use 1 and renew");
        assert_eq!(look(&slot, None, 3599), "renew");
    }

    #[test]
    fn however_many_ask_the_next_try_waits_twice_as_long_up_to_a_minute() {
        let slot = Slot::new("oauth/crm/default");
        let (mut now, mut waits) = (0, vec![]);
        for _ in 0..8 {
            fail(&slot, now);
            let wait = (1..100).find(|wait| look(&slot, None, now + wait) == "renew").unwrap();
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        fail(&slot, now);
        assert_eq!(look(&slot, None, now + 10), "blocked for 50s");
        let other = Standing { identity: "another client".into(), seed: None };
        assert!(matches!(slot.look(&other, None, (at(0), seconds(now)), drop), Look::Wait(..)));
    }

    #[test]
    fn a_refused_token_is_renewed_once_and_not_again_at_once() {
        let slot = held();
        assert_eq!(look(&slot, Some(1), 100), "renew");
        let token = Token { secret: Secret::new("access-2"), issued_at: at(100), expires_at: Some(at(3700)) };
        slot.hold(&standing(), 2, &token);
        slot.renewed(2, seconds(100));
        assert_eq!(look(&slot, Some(1), 100), "use 2", "a newer one is there already");
        assert_eq!(look(&slot, Some(2), 105), "use 2", "the token is not at fault");
        assert_eq!(look(&slot, Some(2), 110), "renew");
    }

    #[test]
    fn all_who_ask_share_one_flight() {
        let slot = Slot::new("oauth/crm/default");
        let mut begun = vec![];
        for _ in 0..50 {
            let look = slot.look(&standing(), None, (at(0), seconds(0)), |tell| begun.push(tell));
            assert!(matches!(look, Look::Wait(..)));
        }
        assert_eq!(begun.len(), 1);
        drop(begun);
        assert_eq!(look(&slot, None, 0), "renew", "a task that ended without a word holds nobody up");
    }
}
