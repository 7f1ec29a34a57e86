//! The process is asked to end, under load.

use std::{collections::BTreeSet, time::Duration};

use bowline_model::RunState;

use crate::{
    crm::{crm, emails, missing, one_key_each},
    disk,
    server::{Server, Settings, folder},
    stripe::{Load, Patience, Payment},
};

const EVENTS: usize = 600;
const CONNECTIONS: usize = 32;
/// Long enough for many calls to be under way at any time, and well within the grace.
const CRM_LATENCY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_end_and_are_recorded_at_a_shutdown_and_nothing_is_repeated() {
    let (folder, crm) = (folder(), crm(CRM_LATENCY));
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()));
    let load = Load::start(Payment::many("stop", EVENTS), CONNECTIONS, Patience::UntilAcknowledged, &server);
    for stop in 1..=3 {
        load.until_acknowledged(stop * EVENTS / 4).await;
        let status = server.terminate();
        assert_eq!(status.code(), Some(0), "{}", server.output());
        assert_eq!(disk::customers(folder.path(), RunState::Running).await, BTreeSet::new());
        let completed = disk::customers(folder.path(), RunState::Completed).await;
        assert_eq!(emails(&crm.requests()), completed, "what was sent is recorded, and nothing else");
        server.restart(|settings| settings);
    }
    let acknowledged = load.finish().await;
    let counts = server.until_no_run_is_open().await;

    assert_eq!((counts.of("completed"), counts.of("dead")), (EVENTS as u64, 0), "{counts:?}");
    let requests = crm.requests();
    assert_eq!(missing(acknowledged.keys(), &requests), Vec::<&Payment>::new());
    assert_eq!((one_key_each(&requests).len(), requests.len()), (EVENTS, EVENTS), "no repeats at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_grace_is_sent_again_under_its_key() {
    let (folder, crm) = (folder(), crm(CRM_LATENCY));
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()));
    crm.when(bowline_testing::Match::any()).times(1).answer(bowline_testing::Answer::hang());
    let run = Payment::new("evt_hangs").accepted(&server).await;
    crm.wait_for(1).await;
    assert_eq!(server.terminate().code(), Some(0));
    server.restart(|settings| settings);
    server.until_run_is(run, "completed").await;
    assert_eq!(one_key_each(&crm.requests())["evt_hangs@example.com"].len(), 2);
}
