//! One renewal of one credential: in a task of its own, so that a caller who gives up cancels nothing half way.
//!
//! ```text
//! load ─► good? ─► use it
//!  │ no
//!  ├─ lease taken by another node? ─► wait a little, load again
//!  │ no
//!  ask the provider (no lock is held, only the lease)
//!  ├─ tokens ─► save ═(disk)═► use them
//!  ├─ "that refresh token is void" ─► load: a newer one? try it once ─► else dead: somebody must connect it
//!  └─ anything else ─► later, at the soonest after a backoff
//! ```

use std::{sync::Arc, time::Duration};

use bowline_model::{Alert, AlertKind, BoxFuture, Failure, Secret};
use tokio::sync::watch;

use crate::{
    account::DEFAULT_ACCOUNT,
    auth::{
        AccessToken, NoToken,
        answer::{Denial, Denied, Granted},
        config::{Config, Standing},
        endpoint::{self, Answered},
        form::Asking,
        record::{Death, Life, Plan, Record, Token, plan},
        slot::{Outcome, Slot, Unsaved},
    },
    settings::Settings,
    vault::{Loaded, Trouble, Vault},
};

/// A node that died while it renewed holds the others up so long. Longer than one question and the save behind it.
const LEASE: Duration = Duration::from_secs(30);
/// How often it is looked whether the other node is done …
const LEASE_LOOKS_MAX: u32 = 10;
/// … and how long to wait before each look.
const LEASE_LOOK_WAIT: Duration = Duration::from_millis(200);
/// When a caller may ask again after that.
const LEASE_WAIT: Duration = Duration::from_secs(1);
/// How often the store is asked to take what the provider gave.
const SAVES_MAX: u32 = 8;
const SAVE_WAIT: Duration = Duration::from_millis(250);
/// Most questions to the provider in one flight: one, and one more with a token that another node stored meanwhile.
const QUESTIONS_MAX: u32 = 2;
/// Most looks at the store in one flight.
const LOOKS_MAX: u32 = 24;

/// A renewal.
pub(crate) struct Flight {
    pub(crate) settings: Settings,
    pub(crate) vault: Vault,
    pub(crate) slot: Arc<Slot>,
    pub(crate) config: Arc<Config>,
    pub(crate) standing: Standing,
    pub(crate) account: String,
    /// The version that the remote did not take.
    pub(crate) refused: Option<i64>,
}

/// What is known half way.
struct Progress {
    leased: bool,
    lease_looks: u32,
    questions: u32,
}

impl Flight {
    /// Flies, and tells those who wait. Boxed: a token endpoint is called as every Api is, and that may need a token.
    pub(crate) fn fly(self, tell: watch::Sender<Option<Outcome>>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut progress = Progress { leased: false, lease_looks: 0, questions: 0 };
            let outcome = self.renew(&mut progress).await;
            if progress.leased {
                self.vault.release(&self.slot.name, &*self.settings.clock).await;
            }
            let elapsed = self.settings.clock.monotonic();
            if let (Ok(token), Some(_)) = (&outcome, self.refused) {
                self.slot.renewed(token.version, elapsed);
            }
            if let Err(NoToken::Later(failure)) = &outcome {
                let api = self.settings.name.as_str();
                tracing::warn!(api, account = self.account, error = %failure, "a token could not be renewed");
            }
            // Where the store does not take what the provider gave, who looks again later must hear of it, too.
            let is_in_vain = progress.questions > 0 || self.slot.unsaved().is_some();
            let asked = is_in_vain.then_some(elapsed);
            self.slot.land(&self.standing, &outcome, asked);
            tell.send_replace(Some(outcome));
        })
    }

    async fn renew(&self, progress: &mut Progress) -> Outcome {
        if let Some(unsaved) = self.slot.unsaved() {
            self.save(unsaved).await?;
        }
        for _ in 0..LOOKS_MAX {
            let loaded = self.load().await?;
            let refused = self.refused.is_some_and(|refused| loaded.version <= refused);
            let now = self.settings.clock.now();
            let source = self.config.source(&self.standing);
            let step = match plan(loaded.record.as_ref(), &self.standing.identity, source, refused, now) {
                Plan::Use(token) => return Ok(self.hold(loaded.version, &token)),
                Plan::Missing => return Err(self.missing()),
                Plan::Dead(why) => return Err(self.dead(&why)),
                Plan::Ask => None,
                Plan::RefreshSeed => self.config.seed(),
                Plan::Refresh(token) => Some(token),
            };
            if !progress.leased {
                if let Some(outcome) = self.lease(progress, &loaded, refused).await? {
                    return Ok(outcome);
                }
                // Whoever had it before may have left a good token.
                continue;
            }
            if progress.questions == QUESTIONS_MAX {
                break;
            }
            progress.questions += 1;
            if let Some(outcome) = self.ask(loaded, step).await {
                return outcome;
            }
        }
        Err(NoToken::Later(self.failure("others keep changing it".to_owned())))
    }

    /// Takes the right to renew. While another node has it, the old token serves if it is good for a while.
    async fn lease(
        &self,
        progress: &mut Progress,
        loaded: &Loaded,
        refused: bool,
    ) -> Result<Option<AccessToken>, NoToken> {
        let clock = &self.settings.clock;
        let taken = self.vault.lease(&self.slot.name, &**clock, LEASE).await;
        progress.leased = taken.map_err(|trouble| self.trouble(trouble))?;
        if progress.leased {
            return Ok(None);
        }
        let record = loaded.record.as_ref().filter(|record| record.identity == self.standing.identity);
        let serves = |token: &&Token| !refused && token.life(clock.now()) != Life::Ended;
        if let Some(token) = record.and_then(|record| record.access.as_ref()).filter(serves) {
            return Ok(Some(self.hold(loaded.version, token)));
        }
        progress.lease_looks += 1;
        if progress.lease_looks > LEASE_LOOKS_MAX {
            let why = format!("another node renews the token of {}", self.whose());
            return Err(NoToken::Wait { wait: LEASE_WAIT, why });
        }
        clock.sleep(LEASE_LOOK_WAIT).await;
        Ok(None)
    }

    /// Asks the provider. `None`: look at the store again.
    async fn ask(&self, loaded: Loaded, refresh: Option<Secret>) -> Option<Outcome> {
        let settings = &self.settings;
        let asking = refresh.as_ref().map_or(Asking::Client, Asking::Refresh);
        let question = match self.config.question(&asking, &settings.http_hosts, &*settings.clock) {
            Ok(question) => question,
            Err(what) => return Some(Err(NoToken::Later(self.failure(what)))),
        };
        match endpoint::ask(settings, question).await {
            Answered::Granted(granted) => self.keep(loaded, granted, refresh).await,
            Answered::Denied(denied) if denied.kind == Denial::Grant && refresh.is_some() => {
                self.void(&loaded, &denied).await
            }
            Answered::Denied(denied) => Some(Err(self.denied(&denied))),
            Answered::Failed(failure) => {
                let wait = failure.retry_after;
                Some(Err(NoToken::Later(self.failure(failure.to_string()).retry_after(wait))))
            }
        }
    }

    /// Puts what the provider gave on disk, and only then holds it.
    async fn keep(&self, loaded: Loaded, granted: Granted, sent: Option<Secret>) -> Option<Outcome> {
        let now = self.settings.clock.now();
        let before = loaded.record.filter(|record| record.identity == self.standing.identity);
        let record = Record {
            identity: self.standing.identity.clone(),
            access: Some(granted.token(now)),
            // A provider that gives none goes on taking the old one (RFC 6749 §6).
            refresh: if self.config.must_keep() { granted.refresh.or(sent) } else { None },
            seed: self.standing.seed.clone(),
            connected_at: before.and_then(|record| record.connected_at),
            dead: None,
        };
        let unsaved = Unsaved { replaces: loaded.version, record: Arc::new(record) };
        self.slot.set_unsaved(Some(unsaved.clone()));
        match self.save(unsaved).await {
            Ok(Some(token)) => Some(Ok(token)),
            Ok(None) => None,
            Err(no_token) => Some(Err(no_token)),
        }
    }

    /// Saves, patiently: nobody can ask for a rotated refresh token again. `None`: somebody connected it meanwhile, and
    /// that is what counts.
    async fn save(&self, unsaved: Unsaved) -> Result<Option<AccessToken>, NoToken> {
        let Unsaved { replaces, record } = unsaved;
        let ends = record.access.as_ref().and_then(|token| token.expires_at);
        let mut tried = 1;
        loop {
            match self.vault.save(&self.slot.name, replaces, &record, ends).await {
                Ok(version) => {
                    self.slot.set_unsaved(None);
                    let hold = |token| self.hold(version, token);
                    return Ok(record.access.as_ref().map(hold));
                }
                Err(Trouble::Changed) => {
                    self.slot.set_unsaved(None);
                    return Ok(None);
                }
                Err(trouble) if tried == SAVES_MAX => return Err(self.trouble(trouble)),
                Err(Trouble::Unavailable(_) | Trouble::Limit(_) | Trouble::Unreadable { .. }) => {}
            }
            tried += 1;
            self.settings.clock.sleep(SAVE_WAIT).await;
        }
    }

    /// The refresh token is not taken. If a newer one is stored, another node renewed it: that one is tried. Else it is
    /// dead, and everybody may know.
    async fn void(&self, loaded: &Loaded, denied: &Denied) -> Option<Outcome> {
        let again = match self.load().await {
            Ok(again) => again,
            Err(no_token) => return Some(Err(no_token)),
        };
        if again.version != loaded.version {
            return None;
        }
        let kept = again.record.as_ref().filter(|record| record.identity == self.standing.identity);
        if kept.is_some_and(|record| record.seed != self.standing.seed && record.dead.is_none()) {
            // A variable with a slip in it must not cost what came of the value before: somebody may put that back.
            return Some(Err(self.dead(&denied.what)));
        }
        let now = self.settings.clock.now();
        let record = Record {
            identity: self.standing.identity.clone(),
            access: None,
            refresh: None,
            seed: self.standing.seed.clone(),
            connected_at: again.record.and_then(|record| record.connected_at),
            dead: Some(Death { why: denied.what.clone(), at: now }),
        };
        match self.vault.save(&self.slot.name, loaded.version, &record, None).await {
            Ok(_) => Some(Err(self.dead(&denied.what))),
            Err(Trouble::Changed) => None,
            Err(trouble) => Some(Err(self.trouble(trouble))),
        }
    }

    async fn load(&self) -> Result<Loaded, NoToken> {
        match self.vault.load(&self.slot.name).await {
            // What can be asked for again is not worth a stop.
            Err(Trouble::Unreadable { version, .. }) if !self.config.must_keep() => {
                Ok(Loaded { version, record: None })
            }
            loaded => {
                let loaded: Loaded = loaded.map_err(|trouble| self.trouble(trouble))?;
                if let Some(record) = &loaded.record {
                    self.slot.connected(record.connected_at);
                }
                Ok(loaded)
            }
        }
    }

    fn hold(&self, version: i64, token: &Token) -> AccessToken {
        self.slot.hold(&self.standing, version, token);
        AccessToken { secret: token.secret.clone(), version }
    }

    /// Whose token it is, for people.
    fn whose(&self) -> String {
        whose(&self.settings.name, &self.account)
    }

    fn failure(&self, what: String) -> Failure {
        Failure::refused(format!("no token for {}: {what}", self.whose()))
    }

    fn trouble(&self, trouble: Trouble) -> NoToken {
        match trouble {
            Trouble::Changed => NoToken::Later(self.failure("others keep changing it".to_owned())),
            Trouble::Unavailable(what) => NoToken::Later(self.failure(what)),
            Trouble::Limit(what) | Trouble::Unreadable { what, .. } => {
                NoToken::Never(self.failure(what).permanent())
            }
        }
    }

    fn missing(&self) -> NoToken {
        let what = "nobody has connected it: give consent from the admin address";
        self.consent_needed(self.failure(what.to_owned()))
    }

    fn dead(&self, why: &str) -> NoToken {
        let variables = self.config.variables();
        let cure = match (self.config.needs_consent(), variables.first()) {
            (true, _) => "connect it again from the admin address".to_owned(),
            (false, Some(variable)) => format!("put a new one into {variable}"),
            (false, None) => "give it a new one".to_owned(),
        };
        self.consent_needed(
            self.failure(format!("the provider no longer takes its refresh token, {why}: {cure}")),
        )
    }

    fn consent_needed(&self, failure: Failure) -> NoToken {
        self.alert(AlertKind::ConsentNeeded, &failure);
        NoToken::Never(failure.permanent())
    }

    fn denied(&self, denied: &Denied) -> NoToken {
        let failure = match denied.kind {
            Denial::Temporary => return NoToken::Later(self.failure(denied.what.clone())),
            Denial::Grant | Denial::Permanent => {
                let variables = self.config.variables().join(", ");
                let hint = if variables.is_empty() { String::new() } else { format!(": check {variables}") };
                self.failure(format!("the provider said {}{hint}", denied.what))
            }
        };
        self.alert(AlertKind::Unauthorized, &failure);
        NoToken::Never(failure.permanent())
    }

    fn alert(&self, kind: AlertKind, failure: &Failure) {
        let api = self.whose();
        let at = self.settings.clock.now();
        self.settings.alerts.raise(Alert { api, kind, message: failure.message.clone(), at });
    }
}

impl Granted {
    /// The access token, given now.
    pub(crate) fn token(&self, now: jiff::Timestamp) -> Token {
        let expires_at = self.lifetime.and_then(|lifetime| now.checked_add(lifetime).ok());
        Token { secret: self.access.clone(), issued_at: now, expires_at }
    }
}

/// `crm`, or `crm/tenant` for another account than the default one.
pub(crate) fn whose(api: &str, account: &str) -> String {
    if account == DEFAULT_ACCOUNT { api.to_owned() } else { format!("{api}/{account}") }
}
