//! An operator's replay goes through the same door.

use bowline_ingress::{accept_replay, draw_key_seed};
use bowline_model::{EventId, NewRun, RunId, SystemClock};
use bowline_store::StoreErrorKind;

use crate::site::{open, payment};

fn replay_of(run: RunId) -> NewRun {
    NewRun {
        workflow: "stripe-to-crm".into(),
        key: None,
        priority: 0,
        parent: None,
        replay_of: Some(run),
        build: "build-2".into(),
        key_seed: draw_key_seed(&SystemClock),
        due: None,
        flow: Default::default(),
        journal: vec![],
    }
}

#[tokio::test]
async fn a_replay_always_starts_a_run_of_the_stored_event() {
    let site = open().await;
    site.deliver(payment("evt_1")).await;

    for expected in [RunId(2), RunId(3)] {
        let new =
            accept_replay(&*site.store, &Default::default(), EventId(1), replay_of(RunId(1))).await.unwrap();
        assert_eq!(new, expected);
    }

    let runs = site.runs().await;
    assert_eq!((runs[1].event, runs[1].replay_of), (EventId(1), Some(RunId(1))));
    assert_ne!(runs[0].key_seed, runs[1].key_seed);
    assert_eq!(site.deliver(payment("evt_1")).await.runs()[0], 1, "redeliveries are still recognised");
}

#[tokio::test]
async fn a_replay_of_an_event_that_is_gone_is_not_found() {
    let site = open().await;
    let error =
        accept_replay(&*site.store, &Default::default(), EventId(7), replay_of(RunId(1))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert!(site.stored_nothing().await);
}
