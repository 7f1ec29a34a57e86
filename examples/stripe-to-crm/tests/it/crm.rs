//! What the world saw: the CRM's requests, and what must be true of them whatever happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use bowline_testing::{Answer, MockSystem, Recorded};
use serde_json::json;
use tokio::net::TcpSocket;

use crate::stripe::Payment;

/// A CRM that creates each contact it is told to, and takes that long for it. It never deduplicates.
pub(crate) fn crm(latency: Duration) -> MockSystem {
    let crm = MockSystem::start();
    creates(&crm, latency);
    crm
}

/// From now on it creates each contact.
pub(crate) fn creates(crm: &MockSystem, latency: Duration) {
    crm.clear_rules();
    crm.answer_with(move |request| Answer::json(201, json!({ "id": request.nth })).after(latency));
}

/// Whom a request is about: what all its repetitions have in common.
pub(crate) fn email(request: &Recorded) -> String {
    request.pointer("/email").and_then(|email| Some(email.as_str()?.to_owned())).expect("a contact has one")
}

/// The customers that requests are about.
pub(crate) fn emails<'a>(requests: impl IntoIterator<Item = &'a Recorded>) -> BTreeSet<String> {
    requests.into_iter().map(email).collect()
}

/// The requests by customer. Each customer came under exactly one key, and no key served two of them.
#[track_caller]
pub(crate) fn one_key_each(requests: &[Recorded]) -> BTreeMap<String, Vec<&Recorded>> {
    let mut owner: BTreeMap<&str, String> = BTreeMap::new();
    let mut by_email: BTreeMap<String, Vec<&Recorded>> = BTreeMap::new();
    for request in requests {
        let (email, key) = (email(request), request.idempotency_key().expect("each call carries a key"));
        let first = owner.entry(key).or_insert_with(|| email.clone());
        assert_eq!(*first, email, "the key {key} served two");
        by_email.entry(email).or_default().push(request);
    }
    for (email, requests) in &by_email {
        let keys: BTreeSet<_> = requests.iter().map(|request| request.idempotency_key()).collect();
        assert_eq!(keys.len(), 1, "{email} came under {keys:?}");
    }
    by_email
}

/// The payments of which the CRM never heard.
pub(crate) fn missing<'a>(
    payments: impl IntoIterator<Item = &'a Payment>,
    requests: &[Recorded],
) -> Vec<&'a Payment> {
    let seen = emails(requests);
    payments.into_iter().filter(|payment| !seen.contains(&payment.email())).collect()
}

/// Keeps the port of a CRM that is down from everybody else: bound, so that nobody gets it, and not listening, so that
/// connections are refused.
pub(crate) fn hold_port(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    socket
}
