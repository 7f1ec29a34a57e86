//! A remote that fails for a while: it is left alone, asked carefully, and every call is done in the end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, routing::any};
use bowline_model::{Alert, AlertKind, Alerts, RetryPolicy};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{
    quick::Quick,
    remote::{LONG, Remote, answer, api_at, once},
};

#[derive(Default)]
struct Told(Mutex<Vec<Alert>>);

impl Alerts for Told {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_fails_for_half_a_minute_is_left_alone_and_a_thousand_calls_are_done() {
    const OUTAGE: Duration = Duration::from_secs(30);
    let clock = Quick::new(5);
    let arrived = Arc::new(Mutex::new(Vec::<(Duration, usize)>::new()));
    let log = arrived.clone();
    let remote = Remote::new(move |_, seen| {
        let now = clock.passed();
        log.lock().unwrap().push((now, seen.uri.path()[1..].parse().unwrap()));
        answer(if now < OUTAGE { 500 } else { 200 }, "{}")
    })
    .await;
    let told = Arc::new(Told::default());
    let patient = RetryPolicy::default().delay_max(Duration::from_secs(10));
    let api = remote.api().clock(Arc::new(clock)).alerts(told.clone()).retry(patient);
    let api = api.attempt_timeout(100 * Duration::from_secs(1));
    let mut tasks = JoinSet::new();
    for number in 0..1000 {
        let call = api.get(&format!("/{number}"));
        tasks.spawn(async move { call.send().await.unwrap() });
    }
    tasks.join_all().await;

    let arrived = arrived.lock().unwrap();
    let during = arrived.iter().filter(|(at, _)| *at < OUTAGE).count();
    let after: Vec<_> = arrived.iter().filter(|(at, _)| *at >= OUTAGE).copied().collect();
    println!("{during} requests while it failed, {} after; the last at {:?}", after.len(), arrived.last());
    assert!(during <= 200, "{during}: a few, not a thousand");
    assert_eq!(after.len(), 1000, "each once");
    assert!(after.last().unwrap().0 < Duration::from_secs(90), "{:?}", after.last());
    let first_second = after.iter().filter(|(at, _)| *at < after[0].0 + Duration::from_secs(1)).count();
    assert!(first_second < 100, "{first_second}: not all at once");

    let alerts = told.0.lock().unwrap();
    assert!((1..=6).contains(&alerts.len()), "{alerts:?}");
    assert!(alerts.iter().all(|alert| alert.kind == AlertKind::BreakerOpen && alert.api == "crm"));
    assert!(alerts[0].message.starts_with("crm fails again and again: it is left alone for "), "{alerts:?}");
}

#[tokio::test]
async fn refusals_and_a_single_calls_retries_do_not_open_it() {
    let told = Arc::new(Told::default());
    let remote = Remote::always(422, &[], "").await;
    let api = remote.api().alerts(told.clone());
    for _ in 0..50 {
        once(api.get("/")).await;
    }
    assert_eq!(remote.seen().len(), 50);

    let remote = Remote::new(|nth, _| answer(if nth < 10 { 503 } else { 200 }, "")).await;
    let api = remote.api().alerts(told.clone()).clock(crate::remote::Hand::new()).attempt_timeout(LONG);
    api.get("/").send().await.unwrap();
    assert_eq!(told.0.lock().unwrap().len(), 0);
}

/// Someone who is served.
struct Guest(Arc<AtomicUsize>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn so_many_calls_at_once_and_a_call_that_is_dropped_gives_its_lane_back() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (count, peak, door) = (now.clone(), most.clone(), gate.clone());
    let app = Router::new().fallback(any(move |_: Request| {
        let (count, peak, door) = (count.clone(), peak.clone(), door.clone());
        async move {
            let here = count.fetch_add(1, Ordering::SeqCst) + 1;
            // Whoever hangs up is served no longer: the server drops this future.
            let _guest = Guest(count);
            peak.fetch_max(here, Ordering::SeqCst);
            let _open = door.acquire().await.unwrap();
            // Long enough that others would come meanwhile, were there more.
            tokio::task::yield_now().await;
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let api = api_at(address).concurrency(4);
    let served = async |guests: usize| {
        while now.load(Ordering::SeqCst) != guests {
            tokio::task::yield_now().await;
        }
    };
    // Four hold the lanes and are dropped.
    let held: Vec<_> = (0..4).map(|_| tokio::spawn(api.get("/").send())).collect();
    served(4).await;
    held.into_iter().for_each(|task| task.abort());
    served(0).await;
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        tasks.spawn(api.get("/").send());
    }
    // All four lanes are used again, and no fifth.
    served(4).await;
    gate.add_permits(40);
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
}
