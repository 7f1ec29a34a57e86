//! Whether the server makes progress: not only whether the process lives.
//!
//! Ready means: a write to the store succeeds now, the dispatcher goes round and its claims succeed, and no run that
//! could go on waits long while nothing is driven.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

pub use bowline_model::Progress;
use bowline_model::{BoxFuture, BuildId, Clock};
use bowline_store::{Store, StoreError, StoreErrorKind};
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};

/// How long the store may take for the probe and the counts together.
pub const STORE_DEADLINE: Duration = Duration::from_secs(2);
/// How long ago the dispatcher may have looked for work the last time.
pub const BEAT_AGE_MAX: Duration = Duration::from_secs(90);
/// How long a run that could go on may wait while nothing at all is driven.
pub const CLAIMABLE_AGE_MAX: Duration = Duration::from_secs(60);

/// Asks the engine how it stands.
pub type AskProgress = Arc<dyn Fn() -> BoxFuture<'static, Progress> + Send + Sync>;

/// How the server stands, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it makes progress.
    pub ready: bool,
    /// Why not; empty if it does.
    pub reasons: Vec<String>,
    /// How long a write to the store took; `None` if it did not succeed.
    pub store_write_ms: Option<u64>,
    /// Age of the dispatcher's last look for work.
    pub dispatcher_beat_age_ms: u64,
    /// How long the oldest run that could go on has waited; `None` if there is none.
    pub oldest_claimable_age_ms: Option<u64>,
    /// Runs that the engine can drive at once.
    pub slots: usize,
    /// How many more it could take now.
    pub slots_free: usize,
    /// Waiting runs whose code it keeps in memory.
    pub resting: usize,
}

/// What the server is and does, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The build that runs.
    pub build: BuildId,
    /// How many runs are in each state; `None` if the store does not answer.
    pub runs: Option<BTreeMap<String, u64>>,
    /// Whether it makes progress.
    pub health: Readiness,
}

/// What the store showed when it was tried.
struct StoreFacts {
    took: Duration,
    by_state: BTreeMap<String, u64>,
    oldest_claimable_age: Option<Duration>,
}

/// Looks at the store and the engine.
#[derive(Clone)]
pub struct Health {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    build: BuildId,
    progress: AskProgress,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("build", &self.build).finish_non_exhaustive()
    }
}

impl Health {
    /// Health of that store and the engine that `progress` asks.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, build: BuildId, progress: AskProgress) -> Self {
        Self { store, clock, build, progress }
    }

    /// Everything, in at most [`STORE_DEADLINE`] and what the engine takes to answer.
    pub async fn status(&self) -> Status {
        let progress = (self.progress)().await;
        let facts = self.try_store().await;
        let health = judge(progress, facts.as_ref());
        Status { build: self.build.clone(), runs: facts.ok().map(|facts| facts.by_state), health }
    }

    async fn try_store(&self) -> Result<StoreFacts, StoreError> {
        let facts = Box::pin(self.store_facts());
        match select(facts, self.clock.sleep(STORE_DEADLINE)).await {
            Either::Left((facts, _)) => facts,
            Either::Right(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("no answer within {} s", STORE_DEADLINE.as_secs()),
            )),
        }
    }

    async fn store_facts(&self) -> Result<StoreFacts, StoreError> {
        let (now, began) = (self.clock.now(), self.clock.monotonic());
        self.store.probe(now).await?;
        let took = self.clock.monotonic().saturating_sub(began);
        let counts = self.store.counts(now).await?;
        let age = counts.oldest_claimable.map(|since| now.duration_since(since));
        Ok(StoreFacts {
            took,
            by_state: counts.by_state.iter().map(|(state, runs)| (state.to_string(), *runs)).collect(),
            oldest_claimable_age: age.map(|age| Duration::try_from(age).unwrap_or_default()),
        })
    }
}

fn judge(progress: Progress, store: Result<&StoreFacts, &StoreError>) -> Readiness {
    let mut reasons = vec![];
    if progress.stopping {
        reasons.push("the server is shutting down".to_owned());
    }
    if let Err(error) = store {
        reasons.push(format!("a write to the store did not succeed: {error}"));
    }
    if progress.dispatcher_beat_age > BEAT_AGE_MAX {
        reasons.push(format!(
            "the dispatcher last looked for work {} s ago (limit {} s)",
            progress.dispatcher_beat_age.as_secs(),
            BEAT_AGE_MAX.as_secs()
        ));
    }
    if progress.claims_fail {
        reasons.push("the dispatcher's last claim of runs failed; the log says why".to_owned());
    }
    let oldest = store.ok().and_then(|facts| facts.oldest_claimable_age);
    // A free slot alone proves nothing: it may be of no use to a workflow that is at a limit of its own. That nothing
    // at all is driven has no such excuse.
    let idle = progress.slots_free >= progress.slots;
    if let Some(age) = oldest.filter(|age| *age > CLAIMABLE_AGE_MAX && idle) {
        reasons.push(format!(
            "a run that could go on has waited {} s (limit {} s) while all {} slots are free",
            age.as_secs(),
            CLAIMABLE_AGE_MAX.as_secs(),
            progress.slots
        ));
    }
    Readiness {
        ready: reasons.is_empty(),
        reasons,
        store_write_ms: store.ok().map(|facts| millis(facts.took)),
        dispatcher_beat_age_ms: millis(progress.dispatcher_beat_age),
        oldest_claimable_age_ms: oldest.map(millis),
        slots: progress.slots,
        slots_free: progress.slots_free,
        resting: progress.resting,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Progress {
        Progress {
            dispatcher_beat_age: Duration::from_secs(31),
            claims_fail: false,
            slots: 64,
            slots_free: 0,
            resting: 7,
            stopping: false,
            ..Progress::default()
        }
    }

    fn facts(oldest_s: Option<u64>) -> StoreFacts {
        StoreFacts {
            took: Duration::from_millis(3),
            by_state: BTreeMap::new(),
            oldest_claimable_age: oldest_s.map(Duration::from_secs),
        }
    }

    #[track_caller]
    fn check(progress: Progress, facts: Result<StoreFacts, StoreError>, expect: &[&str]) {
        let readiness = judge(progress, facts.as_ref());
        assert_eq!(readiness.reasons, expect);
        assert_eq!(readiness.ready, expect.is_empty());
    }

    #[test]
    fn a_full_engine_with_a_backlog_is_ready() {
        check(busy(), Ok(facts(Some(3600))), &[]);
    }

    #[test]
    fn an_idle_engine_beside_a_run_that_waits_is_not_progress() {
        let idle = Progress { slots_free: 64, ..busy() };
        check(
            idle,
            Ok(facts(Some(61))),
            &["a run that could go on has waited 61 s (limit 60 s) while all 64 slots are free"],
        );
        check(idle, Ok(facts(Some(60))), &[]);
        check(idle, Ok(facts(None)), &[]);
    }

    #[test]
    fn a_backlog_behind_a_limit_of_its_own_is_ready() {
        check(Progress { slots_free: 63, ..busy() }, Ok(facts(Some(3600))), &[]);
    }

    #[test]
    fn a_dispatcher_that_stopped_looking_or_cannot_claim_is_not_progress() {
        check(
            Progress { dispatcher_beat_age: Duration::from_secs(91), claims_fail: true, ..busy() },
            Ok(facts(None)),
            &[
                "the dispatcher last looked for work 91 s ago (limit 90 s)",
                "the dispatcher's last claim of runs failed; the log says why",
            ],
        );
    }

    #[test]
    fn a_store_that_cannot_write_and_a_shutdown_are_both_named() {
        check(
            Progress { stopping: true, ..busy() },
            Err(StoreError::new(StoreErrorKind::Full, "no room on the disk")),
            &["the server is shutting down", "a write to the store did not succeed: no room on the disk"],
        );
    }
}
