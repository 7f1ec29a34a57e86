//! A clock on which time passes only while nobody has anything to do: client and remote share it, on a runtime of one
//! thread. However busy the machine is, what takes it long takes no time here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock};
use jiff::Timestamp;
use tokio::sync::oneshot;

/// What the clock shows first: a whole second, and a moment.
const START: Timestamp = Timestamp::constant(1_795_341_600, 1_000_000);
/// Turns that all tasks get before they are taken to have nothing to do.
const TURNS: u32 = 12;
/// Bytes between two sockets may come later than all tasks are polled: then no more than this passes too early.
const STEP_MAX: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(crate) struct Idle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    passed: Duration,
    sleeps: u64,
    asleep: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    seed: u64,
}

impl Idle {
    /// Time passes until the runtime ends.
    pub(crate) fn new() -> Arc<Self> {
        let clock = Arc::<Self>::default();
        let passing = clock.clone();
        tokio::spawn(async move {
            loop {
                let sleeps = passing.state.lock().unwrap().sleeps;
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                passing.pass(sleeps);
            }
        });
        clock
    }

    /// Time passes, unless somebody went to sleep since.
    fn pass(&self, sleeps: u64) {
        let state = &mut *self.state.lock().unwrap();
        if state.sleeps != sleeps {
            return;
        }
        state.asleep.retain(|_, sleeper| !sleeper.is_closed());
        let Some(next) = state.asleep.first_key_value().map(|((until, _), _)| *until) else { return };
        state.passed = next.min(state.passed + STEP_MAX);
        let rest = state.asleep.split_off(&(state.passed, u64::MAX));
        for sleeper in std::mem::replace(&mut state.asleep, rest).into_values() {
            // Who sleeps no longer needs no waking.
            let _ = sleeper.send(());
        }
    }
}

impl Clock for Idle {
    fn now(&self) -> Timestamp {
        START + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap().passed
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let (sleeper, woken) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        state.sleeps += 1;
        let key = (state.passed + wait, state.sleeps);
        state.asleep.insert(key, sleeper);
        Box::pin(async move { woken.await.expect("the clock outlives its sleepers") })
    }

    /// splitmix64: the same in every run.
    fn random(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.seed = state.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
