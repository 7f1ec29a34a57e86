//! Closures that compute.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bowline_exec::{Lane, cpu};
use bowline_model::{Attempt, Effect, Error, Verdict};

use crate::{WITHIN, attempt, done};

#[tokio::test]
async fn a_closure_runs_off_the_async_threads_and_its_error_says_what_it_is() {
    let test = std::thread::current().id();
    assert!(done(&cpu(move || Ok(std::thread::current().id() != test))).await);
    assert!(matches!(attempt(&cpu(|| Err::<(), _>(Error::refused("no")))).await, Verdict::Refused(_)));
    assert!(
        matches!(attempt(&cpu(|| Ok("x".parse::<u8>()?))).await, Verdict::Unknown(why) if !why.retryable)
    );
}

#[tokio::test]
async fn a_panic_is_a_permanent_failure_that_names_it() {
    let n = 7;
    let Verdict::Unknown(failure) =
        attempt(&cpu(move || -> bowline_model::Result<u8> { panic!("no {n}") })).await
    else {
        panic!("it panicked");
    };
    assert_eq!((failure.message.as_str(), failure.retryable), ("the closure panicked: no 7", false));
}

#[tokio::test]
async fn no_more_run_at_once_than_the_lane_has_room_for() {
    let lane = Lane::new(2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let work = cpu(move || {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let sum = (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(sum)
    })
    .lane(&lane);
    let all = futures_util::future::join_all((0..16).map(|_| attempt(&work))).await;
    assert!(all.iter().all(|verdict| matches!(verdict, Verdict::Done(_) | Verdict::Wait { .. })));
    assert!((1..=2).contains(&seen.load(Ordering::SeqCst)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_that_was_given_up_keeps_its_place_until_it_ends() {
    let lane = Lane::new(1);
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let (begin, ended) = (Mutex::new(begin), Mutex::new(ended));
    let endless = cpu(move || {
        let _ = begin.lock().unwrap().send(());
        let _ = ended.lock().unwrap().recv_timeout(WITHIN);
        Ok(())
    })
    .lane(&lane);
    let step = tokio::spawn(async move { attempt(&endless).await });
    tokio::task::spawn_blocking(move || begun.recv_timeout(WITHIN).unwrap()).await.unwrap();
    step.abort();
    let _ = step.await;
    let next = cpu(|| Ok(1)).lane(&lane);
    let full = next.attempt(Attempt::new("key", 1, Duration::from_millis(40))).await;
    assert!(matches!(full, Verdict::Wait { .. }), "{full:?}");
    end.send(()).unwrap();
    assert_eq!(done(&next).await, 1);
}
