//! A remote that fails for a while: it is left alone, asked carefully, and every call is done in the end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, http::Response, routing::any};
use bowline_client::Api;
use bowline_model::{Alert, AlertKind, Alerts, Clock, RetryPolicy};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{
    idle::Idle,
    remote::{LONG, Remote, answer, api_at, once},
};

#[derive(Default)]
struct Told(Mutex<Vec<Alert>>);

impl Alerts for Told {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

/// A remote that fails for so long, and what it saw: each request's call, when it came and when its answer went.
struct Outage {
    clock: Arc<Idle>,
    seen: Mutex<Vec<Served>>,
}

#[derive(Debug, Clone, Copy)]
struct Served {
    call: usize,
    came: Duration,
    went: Duration,
}

const OUTAGE: Duration = Duration::from_secs(30);
/// Longer than those who wait behind a look are told to: they come while it is under way.
const ANSWER_TAKES: Duration = Duration::from_millis(800);

impl Outage {
    async fn new(clock: Arc<Idle>) -> (Api, Arc<Self>) {
        let outage = Arc::new(Self { clock: clock.clone(), seen: Mutex::default() });
        let server = outage.clone();
        let app = Router::new().fallback(any(move |request: Request| {
            let server = server.clone();
            async move { server.serve(request.uri().path()[1..].parse().unwrap()).await }
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (api_at(address).clock(clock), outage)
    }

    async fn serve(&self, call: usize) -> Response<Body> {
        let came = self.clock.monotonic();
        self.clock.sleep(ANSWER_TAKES).await;
        let went = self.clock.monotonic();
        self.seen.lock().unwrap().push(Served { call, came, went });
        answer(if came < OUTAGE { 500 } else { 200 }, "{}")
    }
}

/// Whether each came when the one before was answered.
fn are_one_by_one(served: &[Served]) -> bool {
    served.windows(2).all(|pair| pair[0].went <= pair[1].came)
}

#[tokio::test]
async fn a_remote_that_fails_for_half_a_minute_is_left_alone_and_a_thousand_calls_are_done() {
    const CALLS: usize = 1000;
    let clock = Idle::new();
    let (api, outage) = Outage::new(clock.clone()).await;
    let told = Arc::new(Told::default());
    let patient = RetryPolicy::default().delay_max(Duration::from_secs(10));
    let api = api.alerts(told.clone()).retry(patient).attempt_timeout(100 * Duration::from_secs(1));
    let began = clock.now() - clock.monotonic();
    let mut tasks = JoinSet::new();
    for number in 0..CALLS {
        let call = api.get(&format!("/{number}"));
        tasks.spawn(async move { call.send().await.unwrap() });
    }
    tasks.join_all().await;

    let mut seen = outage.seen.lock().unwrap().clone();
    seen.sort_by_key(|served| served.came);
    let (during, after) = seen.split_at(seen.partition_point(|served| served.came < OUTAGE));
    let alerts = told.0.lock().unwrap();
    let opened: Vec<Duration> =
        alerts.iter().map(|alert| Duration::try_from(alert.at.duration_since(began)).unwrap()).collect();

    // It opened at the twentieth failure. What came later and failed was sent to look whether the remote is back: one at
    // a time, and each that failed opened it again.
    let looks = &during[during.partition_point(|served| served.came <= opened[0])..];
    println!(
        "{} requests while it failed, {} of them to look; opened at {opened:.1?}",
        during.len(),
        looks.len()
    );
    assert!(opened[0] <= Duration::from_secs(1), "{opened:?}");
    assert_eq!(looks.len(), opened.len() - 1);
    assert!((1..=4).contains(&looks.len()) && are_one_by_one(looks), "{looks:?}");

    // Who repeats draws on the budget: a hundred, and one each second.
    let distinct = during.iter().map(|served| served.call).collect::<BTreeSet<_>>().len();
    let repeated = during.len() - distinct;
    assert!(repeated <= 100 + OUTAGE.as_secs() as usize, "{repeated}");
    assert!(
        distinct < 70,
        "{distinct} of the calls were tried: those under way until it opened, and the looks"
    );

    // Three good looks one by one, then more and more, and it opens no more.
    let (probes, rest) = after.split_at(3);
    assert!(are_one_by_one(probes) && probes[2].went <= rest[0].came, "{probes:?} {:?}", rest[0]);
    assert!(opened.iter().all(|at| *at < OUTAGE + ANSWER_TAKES), "{opened:?}");
    assert_eq!(after.len(), CALLS, "each once");
    let in_span = |from: u64, to: u64| {
        let since = |served: &&Served| served.came - rest[0].came;
        let span = Duration::from_secs(from)..Duration::from_secs(to);
        rest.iter().filter(|served| span.contains(&since(served))).count()
    };
    let rise = [in_span(0, 1), in_span(1, 2), in_span(2, 3)];
    println!("then {rise:?} in its first seconds; the last at {:?}", rest.last());
    assert!(rise[0] <= 12 && rise[1] <= 24 && rise[2] <= 48, "{rise:?}: not all at once");
    assert!(rest.last().unwrap().came < Duration::from_secs(90), "{:?}", rest.last());

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
