//! Who may send at all, and how much: addresses, clients, and more than the store takes.

use std::{sync::Arc, time::Duration};

use bowline_ingress::{ClientLimit, Route, ServeLimits, TrustedProxies};
use bowline_model::{Clock, SystemClock};

use crate::{
    gate::Gated,
    log,
    site::{PATH, Plan, Site, memory, pairs, payment, plan, signed, stripe},
    wire::{Reply, Wire, head, post},
};

/// The tests' own address is that of a proxy.
const BEHIND_US: &str = "127.0.0.0/8, ::1";

fn route() -> Route {
    Route::new(PATH, Arc::new(stripe())).on("*", "stripe-to-crm".into())
}

async fn site(route: Route, proxies: Option<&str>) -> Site {
    let proxies = proxies.map(|text| TrustedProxies::parse(text).unwrap());
    Plan { routes: vec![route], proxies, ..plan() }.open().await
}

async fn deliver_for(site: &Site, id: &str, header: Option<(&str, &str)>) -> Reply {
    let body = payment(id);
    let signed = signed(body.as_bytes(), SystemClock.now());
    let mut headers = pairs(&signed);
    headers.extend(header);
    post(site.at, PATH, &headers, body.as_bytes()).await
}

fn forwarded(client: &str) -> Option<(&str, &str)> {
    Some(("x-forwarded-for", client))
}

#[tokio::test]
async fn only_addresses_that_are_allowed_may_send() {
    let site = site(route().allow_ips(["192.0.2.0/24", "2001:db8::1"]), Some(BEHIND_US)).await;
    for (number, client) in ["192.0.2.7", "2001:db8::1", "203.0.113.1, 192.0.2.7"].into_iter().enumerate() {
        let reply = deliver_for(&site, &format!("evt_{number}"), forwarded(client)).await;
        assert_eq!(reply.status, 200, "{client}: {reply:?}");
    }
    for (client, header) in [
        ("198.51.100.1", forwarded("198.51.100.1")),
        ("127.0.0.1", None),
        ("127.0.0.1", forwarded("unknown")),
        ("198.51.100.2", forwarded("192.0.2.7, 198.51.100.2")),
    ] {
        let reply = deliver_for(&site, "evt_no", header).await;
        assert_eq!((reply.status, reply.header("content-type")), (403, Some("application/problem+json")));
        assert_eq!(reply.json()["detail"], "this address may not send here");
        assert!(!reply.body.contains(client) && !reply.body.contains("192.0.2"), "{reply:?}");
        assert!(reply.header("x-request-id").is_some());
        assert!(!log::lines_with(&format!("{client} is not in the route's allow_ips")).is_empty());
    }
    assert_eq!(site.runs().await.len(), 3);
}

#[tokio::test]
async fn a_header_of_who_is_no_proxy_is_not_believed() {
    let site = site(route().allow_ips(["192.0.2.7"]), Some("10.0.0.0/8")).await;
    for header in [forwarded("192.0.2.7"), Some(("forwarded", "for=192.0.2.7"))] {
        assert_eq!(deliver_for(&site, "evt_1", header).await.status, 403);
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_client_that_sends_more_than_it_may_is_429_and_others_are_not() {
    let limit = ClientLimit::of(2, Duration::from_hours(1));
    let site = site(route().client_limit(limit), Some(BEHIND_US)).await;
    for (id, status) in [("evt_1", 200), ("evt_2", 200), ("evt_3", 429), ("evt_3", 429)] {
        let reply = deliver_for(&site, id, forwarded("192.0.2.7")).await;
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 429 {
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=1800).contains(&wait), "{wait}");
        }
    }
    assert_eq!(deliver_for(&site, "evt_4", forwarded("192.0.2.8")).await.status, 200);
    for _ in 0..5 {
        let reply = deliver_for(&site, "evt_5", None).await;
        assert_eq!(reply.status, 200, "a proxy that names no client may speak for many: {reply:?}");
    }
}

#[tokio::test]
async fn nobody_is_limited_where_all_may_come_through_one_proxy() {
    let site = site(route().client_limit(ClientLimit::of(1, Duration::from_hours(1))), None).await;
    for _ in 0..5 {
        assert_eq!(deliver_for(&site, "evt_1", forwarded("192.0.2.7")).await.status, 200);
    }
}

#[tokio::test]
async fn a_client_has_a_quarter_of_all_connections_and_is_told_so() {
    let limits = ServeLimits { connections_max: 8, ..ServeLimits::default() };
    let proxies = Some(TrustedProxies::none());
    let site = Plan { limits, proxies, ..plan() }.open().await;
    let mut held = vec![];
    for _ in 0..2 {
        let mut wire = Wire::to(site.at).await;
        wire.send(head("GET", "/", &[], 0)).await;
        assert_eq!(wire.reply().await.status, 404);
        held.push(wire);
    }
    let reply = site.deliver(payment("evt_1")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    drop(held);
    // It may take a moment until the server sees that they are gone.
    while site.deliver(payment("evt_1")).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

/// Requests that the store is asked to take at once.
const TURNS: usize = 128;

#[tokio::test]
async fn what_the_store_does_not_take_in_time_is_503_and_what_it_took_is_answered() {
    let gate = Arc::new(Gated::shut(memory(Arc::new(SystemClock))));
    let site = Plan { store: Arc::clone(&gate) as _, ..plan() }.open().await;
    let deliver = |number: usize| {
        let (at, body) = (site.at, payment(&format!("evt_{number}")));
        let signed = signed(body.as_bytes(), SystemClock.now());
        tokio::spawn(async move { post(at, PATH, &pairs(&signed), body.as_bytes()).await })
    };
    let taken: Vec<_> = (0..TURNS).map(deliver).collect();
    for _ in 0..TURNS {
        gate.arrival().await;
    }
    for refused in (TURNS..TURNS + 40).map(deliver).collect::<Vec<_>>() {
        let reply = refused.await.unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{reply:?}");
        assert!(reply.header("x-request-id").is_some());
    }
    for _ in 0..TURNS {
        gate.let_one_through();
    }
    for taken in taken {
        assert_eq!(taken.await.unwrap().status_word(), "accepted");
    }
    let of_all = TURNS as i64;
    assert!(site.event(of_all).await.is_some() && site.event(of_all + 1).await.is_none(), "and nothing else");
    let next = deliver(999);
    gate.let_one_through();
    assert_eq!(next.await.unwrap().status, 200, "it takes more again");
}
