//! The machine crashes, and the disk loses what was not synced.
//!
//! Nobody sends an event again here: what was acknowledged must be on the disk, or it is gone.

use std::time::Duration;

use bowline_testing::{LostWrites, lost_writes::Crash};
use serde_json::Value;

use crate::{
    crm::{crm, missing, one_key_each},
    server::{Server, Settings, folder, state_of},
    stripe::{Acknowledged, Load, Patience, Payment},
};

const EVENTS: usize = 2000;
const CONNECTIONS: usize = 16;
/// Bodies so large that commits take many pages, and that the log is copied into the file all the time.
const PADDING_BYTES: usize = 24 * 1024;
const CRM_LATENCY: Duration = Duration::from_millis(20);
/// Crashes of which any part of what was not synced survives, each at another time.
const SEEDS: u64 = 8;

/// What became of the acknowledged events.
#[derive(Debug)]
struct Aftermath {
    acknowledged: usize,
    /// Those that are not completed, or not there at all.
    lost: Vec<Payment>,
    crash: Crash,
}

/// A server under load on a disk that loses writes, until the machine crashes when so many events are acknowledged;
/// and a server on what is left.
async fn crash_under_load(
    options: &str,
    acknowledged_min: usize,
    crash: impl FnOnce(&LostWrites) -> Crash,
) -> Aftermath {
    let (folder, crm) = (folder(), crm(CRM_LATENCY));
    let disk = LostWrites::over(folder.path()).unwrap();
    // A store that was there before, ended well and synced, whatever the life under test does.
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()).envs(disk.env()));
    assert!(server.terminate().success());
    server.restart(|settings| settings.store_options(folder.path(), options));

    let load = Load::start(payments(), CONNECTIONS, Patience::GivesUp, &server);
    load.until_acknowledged(acknowledged_min).await;
    server.kill();
    let crash = crash(&disk);
    server.restart(|settings| settings);
    let acknowledged = load.finish().await;
    assert!(acknowledged.len() >= acknowledged_min);
    server.until_no_run_is_open().await;

    let lost = lost(&server, &acknowledged).await;
    if lost.is_empty() {
        let requests = crm.requests();
        assert_eq!(missing(acknowledged.keys(), &requests), Vec::<&Payment>::new());
        one_key_each(&requests);
    }
    Aftermath { acknowledged: acknowledged.len(), lost, crash }
}

fn payments() -> Vec<Payment> {
    Payment::many("lost", EVENTS).into_iter().map(|payment| payment.padded(PADDING_BYTES)).collect()
}

async fn lost(server: &Server, acknowledged: &Acknowledged) -> Vec<Payment> {
    let mut lost = vec![];
    for (payment, run) in acknowledged {
        let view = server.run(*run).await.unwrap_or(Value::Null);
        // A run of that number may be another event's by now.
        let is_ours = view["event"]["dedupe_key"] == payment.event.as_str();
        if !is_ours || state_of(&view) != "completed" {
            lost.push(payment.clone());
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_a_crash_that_drops_what_was_not_synced() {
    // Before the log is copied into the file for the first time, which syncs it, and after.
    for at in [60, 120, 240] {
        let after = crash_under_load("synchronous=full", at, |disk| disk.drop_unsynced().unwrap()).await;
        println!("{after:?}");
        assert_eq!(after.lost, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_a_crash_that_keeps_any_part_of_what_was_not_synced() {
    let mut unsynced = vec![];
    for seed in 1..=SEEDS {
        let at = 100 + 30 * usize::try_from(seed).unwrap();
        let after = crash_under_load("synchronous=full", at, |disk| disk.mix(seed).unwrap()).await;
        println!("seed {seed}: {after:?}");
        assert_eq!(after.lost, [], "seed {seed}");
        unsynced.push(after.crash.pages_unsynced);
    }
    assert!(unsynced.iter().any(|pages| *pages > 0), "some crash had something to choose from: {unsynced:?}");
}

/// The same scenario, and nothing is synced: if this one loses nothing, the two above show nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layer_catches_synchronous_off() {
    let after = crash_under_load("synchronous=off", 150, |disk| disk.drop_unsynced().unwrap()).await;
    println!("acknowledged {}, lost {}, {:?}", after.acknowledged, after.lost.len(), after.crash);
    assert!(after.crash.lost_something());
    assert!(!after.lost.is_empty());
}
