//! Who sends: events as Stripe posts them, one or many, and again where no answer came.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bowline_signature::{SigningSecret, Stripe};
use reqwest::Client;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{error::Elapsed, timeout},
};

use crate::server::{Addresses, Answer, STRIPE_SECRET, Server, WITHIN, client};

/// How long a sender waits for a server that is away before it tries the same address again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A payment: the event, and the customer that the CRM must get. All that is needed of it is its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Payment {
    /// The event's id, as `evt_kill_17`.
    pub(crate) event: String,
    /// So many bytes more in its body.
    padding: usize,
}

impl Payment {
    pub(crate) fn new(event: impl Into<String>) -> Self {
        Self { event: event.into(), padding: 0 }
    }

    /// The same with a larger body.
    pub(crate) fn padded(self, bytes: usize) -> Self {
        Self { padding: bytes, ..self }
    }

    /// That many payments: `evt_NAME_0`, …
    pub(crate) fn many(name: &str, count: usize) -> Vec<Self> {
        (0..count).map(|n| Self::new(format!("evt_{name}_{n}"))).collect()
    }

    /// The customer's address: what the payment is known by in the CRM.
    pub(crate) fn email(&self) -> String {
        format!("{}@example.com", self.event)
    }

    pub(crate) fn body(&self) -> String {
        let intent = json!({
            "id": format!("pi_{}", self.event), "object": "payment_intent", "amount_received": 4200,
            "currency": "gbp", "receipt_email": self.email(), "shipping": { "name": "Jane Doe" },
            "description": "x".repeat(self.padding),
        });
        json!({
            "id": self.event, "object": "event", "type": "payment_intent.succeeded", "data": { "object": intent },
        })
        .to_string()
    }

    /// The signature's header, of now.
    pub(crate) fn signature(body: &str) -> String {
        let stripe = Stripe::new(SigningSecret::new(STRIPE_SECRET).unwrap());
        stripe.sign(body.as_bytes(), SystemClock.now())
    }

    /// Sends it once.
    pub(crate) async fn send(&self, server: &Server) -> Answer {
        let body = self.body();
        let signature = Self::signature(&body);
        server
            .post(body, &[("content-type", "application/json"), ("stripe-signature", signature.as_str())])
            .await
    }

    /// Sends it once, and it must be accepted; its run.
    pub(crate) async fn accepted(&self, server: &Server) -> i64 {
        let answer = self.send(server).await;
        assert_eq!((answer.status, answer.said()), (200, "accepted"), "{answer:?}");
        answer.run()
    }
}

/// What a sender does when no answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Sends the same event again until it is acknowledged, as Stripe does.
    UntilAcknowledged,
    /// Sends nothing any more, not to a later life either.
    GivesUp,
}

/// The event's run, for each acknowledged payment.
pub(crate) type Acknowledged = BTreeMap<Payment, i64>;

/// Payments on their way, over several connections at once.
pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    payments: Vec<Payment>,
    next: AtomicUsize,
    patience: Patience,
    /// The server's first address.
    first: Option<Addresses>,
    http: Client,
    acknowledged: Mutex<Acknowledged>,
    count: watch::Sender<usize>,
}

impl Load {
    pub(crate) fn start(
        payments: Vec<Payment>,
        connections: usize,
        patience: Patience,
        server: &Server,
    ) -> Self {
        let shared = Arc::new(Shared {
            payments,
            next: AtomicUsize::new(0),
            patience,
            first: server.door().borrow().clone(),
            http: client(),
            acknowledged: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            senders.spawn(shared.clone().send_all(server.door()));
        }
        Self { shared, senders }
    }

    /// Waits until that many are acknowledged.
    pub(crate) async fn until_acknowledged(&self, count: usize) {
        let mut counted = self.shared.count.subscribe();
        let reached = timeout(WITHIN, counted.wait_for(|counted| *counted >= count)).await;
        reached.unwrap_or_else(|Elapsed { .. }| panic!("{count} acknowledged")).unwrap();
    }

    /// Waits until the senders are done; what was acknowledged.
    pub(crate) async fn finish(mut self) -> Acknowledged {
        let all = async {
            while let Some(sent) = self.senders.join_next().await {
                sent.unwrap();
            }
        };
        timeout(WITHIN, all).await.expect("the senders end");
        std::mem::take(&mut self.shared.acknowledged.lock().unwrap())
    }
}

impl Shared {
    async fn send_all(self: Arc<Self>, mut door: watch::Receiver<Option<Addresses>>) {
        while let Some(payment) = self.payments.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            while !self.send(payment, &mut door).await {
                if self.patience == Patience::GivesUp {
                    return;
                }
            }
        }
    }

    /// Whether it was acknowledged.
    async fn send(&self, payment: &Payment, door: &mut watch::Receiver<Option<Addresses>>) -> bool {
        if self.patience == Patience::GivesUp && *door.borrow() != self.first {
            return false;
        }
        let Ok(open) = timeout(WITHIN, door.wait_for(Option::is_some)).await else {
            panic!("the server did not come back")
        };
        let at = open.unwrap().clone().expect("waited for");
        let body = payment.body();
        let request = self
            .http
            .post(format!("{}/webhooks/stripe", at.events))
            .header("content-type", "application/json")
            .header("stripe-signature", Payment::signature(&body))
            .body(body);
        let Ok(response) = request.send().await else {
            // Killed, or about to be: the next life has another address.
            let _ = timeout(TRY_AGAIN_AFTER, door.wait_for(|door| door.as_ref() != Some(&at))).await;
            return false;
        };
        // An answer that broke off is none.
        let (status, body) = (response.status().as_u16(), response.bytes().await);
        let Ok(body) = body else { return false };
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        assert!(
            status == 200 && ["accepted", "duplicate"].map(Some).contains(&said["status"].as_str()),
            "{payment:?} was answered {status} {said}"
        );
        assert_eq!(said["event"], payment.event.as_str());
        let runs = said["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 1, "{said}");
        self.acknowledge(payment, runs[0].as_i64().unwrap());
        true
    }

    fn acknowledge(&self, payment: &Payment, run: i64) {
        self.acknowledged.lock().unwrap().insert(payment.clone(), run);
        self.count.send_modify(|count| *count += 1);
    }
}
