//! Ten thousand malformed requests, half of them correctly signed: each is answered with a reason, none with a 5xx,
//! nothing panics, and nothing is started by what was refused.
//!
//! The requests are drawn from a seed. It is printed when something is wrong; `BOWLINE_STORM_SEED` sets it, and
//! `BOWLINE_STORM_REQUESTS` how many are sent.

mod body;
mod door;
mod exchange;
mod request;
mod rng;
mod site;
mod tally;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bowline_model::{Clock, SystemClock};

use crate::{exchange::exchange, request::request, rng::Rng, site::Site, tally::Tally};

const REQUESTS: u64 = 10_000;
/// Connections at once.
const SENDERS: u64 = 32;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_requests_start_nothing_and_each_is_told_why() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(panic);
    }));
    let seed = setting("BOWLINE_STORM_SEED").unwrap_or_else(|| SystemClock.random());
    let requests = setting("BOWLINE_STORM_REQUESTS").unwrap_or(REQUESTS);
    let site = Arc::new(Site::open().await);

    let senders = (0..SENDERS).map(|sender| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let mut tally = Tally::default();
            for number in (sender..requests).step_by(SENDERS as usize) {
                let request = request(&mut Rng::of(seed, number), number % 2 == 0);
                let answer = exchange(site.at, &request).await;
                tally.count(&request, &answer).unwrap_or_else(|wrong| {
                    let sent = String::from_utf8_lossy(&request.bytes[..request.bytes.len().min(2000)]);
                    panic!(
                        "request {number} of seed {seed}: {wrong}\nclass {}\n{sent:?}\n{answer:?}",
                        request.class
                    )
                });
            }
            tally
        })
    });
    let mut tally = Tally::default();
    for sender in senders.collect::<Vec<_>>() {
        tally.add(sender.await.expect("see above"));
    }

    println!("seed {seed}\n{tally}");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}: something panicked");
    assert_eq!(tally.requests(), requests);
    assert_eq!(tally.signed(), requests.div_ceil(2));
    // All that is there was told to its sender, and all that was told is there.
    let (mut told, stored) = (tally.runs, site.runs().await);
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, stored, "seed {seed}: runs that were told, and runs that are there");
    assert!(requests < REQUESTS || !stored.is_empty(), "some were not malformed enough");
}
