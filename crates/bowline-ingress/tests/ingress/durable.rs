//! Durable before acknowledged.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{extract::Request, middleware::Next};
use bowline_model::{Clock, SystemClock};
use tokio::{sync::Notify, time::timeout};

use crate::{
    gate::Gated,
    site::{PATH, Plan, memory, pairs, payment, plan, signed},
    wire::{PATIENCE, Wire, head},
};

fn gated() -> (Arc<Gated>, Plan) {
    let mut plan = plan();
    let gate = Arc::new(Gated::shut(memory(Arc::clone(&plan.clock))));
    plan.store = Arc::clone(&gate) as _;
    (gate, plan)
}

async fn send(wire: &mut Wire, body: &str) {
    let headers = signed(body.as_bytes(), SystemClock.now());
    wire.send(head("POST", PATH, &pairs(&headers), body.len())).await;
    wire.send(body).await;
}

#[tokio::test]
async fn no_answer_leaves_before_the_commit() {
    let (gate, plan) = gated();
    let site = plan.open().await;
    let mut wire = Wire::to(site.at).await;
    send(&mut wire, &payment("evt_1")).await;

    gate.arrival().await;
    // The commit waits at the gate: so must the answer, however long.
    assert!(!wire.stirs_within(Duration::from_millis(200)).await);
    assert!(site.stored_nothing().await);

    gate.let_one_through();
    assert_eq!(wire.reply().await.status_word(), "accepted");
    assert_eq!((site.runs().await.len(), site.woken()), (1, 1));
}

#[tokio::test]
async fn a_duplicate_waits_for_the_firsts_commit_too() {
    let (gate, plan) = gated();
    let site = plan.open().await;
    let (mut first, mut second) = (Wire::to(site.at).await, Wire::to(site.at).await);
    send(&mut first, &payment("evt_1")).await;
    gate.arrival().await;
    send(&mut second, &payment("evt_1")).await;
    gate.arrival().await;
    assert!(!second.stirs_within(Duration::from_millis(200)).await);

    gate.let_one_through();
    gate.let_one_through();
    let mut words = [first.reply().await.status_word(), second.reply().await.status_word()];
    words.sort();
    assert_eq!(words, ["accepted", "duplicate"]);
}

#[tokio::test]
async fn the_engine_is_woken_even_if_the_sender_hung_up_before_the_commit() {
    static HUNG_UP: LazyLock<Notify> = LazyLock::new(Notify::new);
    struct TellsWhenDropped;
    impl Drop for TellsWhenDropped {
        fn drop(&mut self) {
            HUNG_UP.notify_one();
        }
    }
    let (gate, mut plan) = gated();
    plan.around = |router| {
        router.layer(axum::middleware::from_fn(async |request: Request, next: Next| {
            let _tells = TellsWhenDropped;
            next.run(request).await
        }))
    };
    let mut site = plan.open().await;
    let mut wire = Wire::to(site.at).await;
    send(&mut wire, &payment("evt_1")).await;
    gate.arrival().await;
    drop(wire);
    timeout(PATIENCE, HUNG_UP.notified()).await.expect("the server notices");
    site.stop();

    gate.let_one_through();
    timeout(PATIENCE, site.door.finish()).await.expect("what was being accepted is finished");

    assert_eq!((site.runs().await.len(), site.woken()), (1, 1));
    site.ended().await;
}
