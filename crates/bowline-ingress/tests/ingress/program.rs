//! What the program itself starts goes through the same door.

use std::time::Duration;

use bowline_ingress::{Receipt, VerifiedEvent, accept};
use bowline_model::{Clock, FlowRules, SystemClock};
use bowline_store::{Accepted, Store};
use serde_json::json;

use crate::site::{PATH, memory, open, payment};

const DAY: Duration = Duration::from_hours(24);

fn event(source: &str, id: Option<&str>) -> VerifiedEvent {
    let (id, now) = (id.map(ToOwned::to_owned), SystemClock.now());
    VerifiedEvent::from_program(source, "nightly", id, r#"{"n": 17}"#.into(), now, DAY).expect("sound")
}

async fn start(store: &dyn Store, event: VerifiedEvent) -> Receipt {
    let workflows = vec!["nightly".into()];
    accept(store, &SystemClock, &"build-1".into(), &FlowRules::default(), event, workflows)
        .await
        .expect("the store takes it")
}

#[tokio::test]
async fn with_an_id_it_starts_once_and_without_one_each_time() {
    let store = memory(std::sync::Arc::new(SystemClock));
    let first = start(&store, event("start/nightly", Some("2026-11-22"))).await;
    assert!(matches!(first.accepted, Accepted::New { .. }), "{first:?}");
    let again = start(&store, event("start/nightly", Some("2026-11-22"))).await;
    assert!(matches!(again.accepted, Accepted::Duplicate { .. }), "{again:?}");
    assert_eq!(again.id, "2026-11-22");
    let stored = store.event(bowline_model::EventId(1)).await.unwrap().unwrap();
    assert_eq!(
        (&*stored.provider, &*stored.kind, stored.input().unwrap()),
        ("program", "nightly", json!({"n": 17}))
    );

    let (one, other) = (start(&store, event("s", None)).await, start(&store, event("s", None)).await);
    assert!(matches!((&one.accepted, &other.accepted), (Accepted::New { .. }, Accepted::New { .. })));
    assert_ne!(one.id, other.id);
    let stored = store.event(bowline_model::EventId(2)).await.unwrap().unwrap();
    assert_eq!(stored.dedupe_key, one.id, "the id that is told is the one on disk");
}

#[tokio::test]
async fn it_never_meets_what_a_route_receives() {
    let site = open().await;
    site.deliver(payment("evt_1")).await;
    let started = start(&*site.store, event("start/nightly", Some("evt_1"))).await;
    assert!(matches!(started.accepted, Accepted::New { .. }), "{started:?} of {PATH}");
}

#[test]
fn an_id_is_held_to_the_same_bounds() {
    for odd in ["", "a\nb", &"x".repeat(513)] {
        let made =
            VerifiedEvent::from_program("s", "k", Some(odd.into()), "{}".into(), SystemClock.now(), DAY);
        assert!(made.unwrap_err().to_string().contains("the event's id"), "{odd:?}");
    }
}
