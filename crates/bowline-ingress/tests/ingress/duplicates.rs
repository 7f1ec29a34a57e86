//! Same event, same workflow, one run.

use std::{collections::BTreeSet, sync::Arc};

use bowline_model::Clock;
use serde_json::json;

use crate::{
    clock::Ahead,
    site::{PATH, memory, open, pairs, payment, plan, signed},
    wire::post,
};

#[tokio::test]
async fn a_redelivery_is_answered_with_the_first_ones_runs() {
    let site = open().await;
    site.deliver(payment("evt_0")).await;
    assert_eq!(site.deliver(payment("evt_1")).await.runs(), [2]);

    let again = site.deliver(payment("evt_1")).await;

    assert_eq!(again.status, 200);
    assert_eq!(again.json(), json!({"status": "duplicate", "event": "evt_1", "runs": [2]}));
    assert_eq!(site.runs().await.len(), 2);
    assert_eq!(site.woken(), 2, "a duplicate is no work for the engine");
}

#[tokio::test]
async fn the_first_delivery_stays_as_it_was() {
    let site = open().await;
    let first = payment("evt_1");
    site.deliver(&first).await;
    let changed = first.replace("2000", "3000");
    assert_eq!(site.deliver(&changed).await.status_word(), "duplicate");
    assert_eq!(&site.event(1).await.unwrap().body[..], first.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_32_at_once_is_accepted_and_31_are_told_its_runs() {
    let site = Arc::new(open().await);
    let deliveries: Vec<_> = (0..32)
        .map(|_| {
            let site = Arc::clone(&site);
            tokio::spawn(async move { site.deliver(payment("evt_1")).await })
        })
        .collect();
    let mut words = vec![];
    let mut runs = BTreeSet::new();
    for delivery in deliveries {
        let reply = delivery.await.unwrap();
        words.push(reply.status_word());
        runs.insert(reply.runs());
    }
    words.sort();
    assert_eq!(words[0], "accepted");
    assert!(words[1..].iter().all(|word| word == "duplicate") && words.len() == 32, "{words:?}");
    assert_eq!(runs, BTreeSet::from([vec![1]]));
    assert_eq!(site.runs().await.len(), 1);
    assert_eq!(site.woken(), 1);
}

#[tokio::test]
async fn a_redelivery_is_recognised_for_30_days() {
    let clock = Arc::new(Ahead::default());
    let mut plan = plan();
    plan.store = Arc::new(memory(clock.clone()));
    plan.clock = clock.clone();
    let site = plan.open().await;
    let deliver = async || {
        let body = payment("evt_1");
        let headers = signed(body.as_bytes(), clock.now());
        post(site.at, PATH, &pairs(&headers), body.as_bytes()).await.status_word()
    };
    assert_eq!(deliver().await, "accepted");
    clock.days(4);
    assert_eq!(deliver().await, "duplicate", "Stripe retries for 3 days");
    clock.days(25);
    assert_eq!(deliver().await, "duplicate");
    clock.days(2);
    assert_eq!(deliver().await, "accepted", "forgotten after 30 days, or the table had no bound");
}
