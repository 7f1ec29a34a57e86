//! Repetitions are paid for: a remote that is down is not asked more by those who repeat.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_client::RetryBudget;
use bowline_model::{Clock, RetryPolicy};
use tokio::task::JoinSet;

use crate::{
    idle::Idle,
    remote::{Remote, answer},
};

#[tokio::test]
async fn repetitions_stay_within_the_budget_and_every_call_is_done() {
    const OUTAGE: Duration = Duration::from_secs(30);
    const CALLS: usize = 200;
    let clock = Idle::new();
    let arrived = Arc::new(Mutex::new(Vec::<Duration>::new()));
    let (log, remotes) = (arrived.clone(), clock.clone());
    let remote = Remote::new(move |_, _| {
        let now = remotes.monotonic();
        log.lock().unwrap().push(now);
        answer(if now < OUTAGE { 500 } else { 200 }, "{}")
    })
    .await;
    let api = remote.api().clock(clock).no_breaker();
    let api = api.retry_budget(RetryBudget::new(20).per_second(2.0).per_success(1.0));
    let api = api.retry(RetryPolicy::default().delay_max(Duration::from_secs(2)));
    let api = api.attempt_timeout(100 * Duration::from_secs(1));
    let mut tasks = JoinSet::new();
    for _ in 0..CALLS {
        tasks.spawn(api.get("/").send());
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let during = arrived.lock().unwrap().iter().filter(|at| **at < OUTAGE).count();
    println!("{during} requests in {OUTAGE:?}");
    // Without a budget each would repeat every two seconds at the latest: some 4,000.
    let paid = CALLS + 20 + 2 * OUTAGE.as_secs() as usize;
    assert!((CALLS..=paid + 1).contains(&during), "{during} of {paid}");
}
