//! Microsoft Graph's change notifications, and its lifecycle notifications.
//!
//! Each item of a body is an event, of which a workflow receives all but its `clientState`, which is not kept. The type is
//! its `lifecycleEvent` (`reauthorizationRequired`, `subscriptionRemoved`, `missed`) or else its `changeType` (`created`,
//! `updated`, `deleted`), and its id is its `id`. Items without one, such as all of the lifecycle, are never taken for
//! others: the same lifecycle notification may be meant again.
//!
//! Microsoft Graph makes sure that somebody is here: a request with a `validationToken` in its URL is answered with that
//! token. Events are answered 202. It retries for 4 hours, and throttles who takes longer than 3 seconds
//! (<https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks>).

use std::time::Duration;

use axum::http::StatusCode;
use bowline_model::Secret;
use bowline_signature::{BadKey, Scheme, SigningSecret};
use serde_json::{Value, json};

use crate::{
    Answer, Delivery, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than Microsoft Graph retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(7 * 24);
/// Longest token that is given back.
pub const TOKEN_BYTES_MAX: usize = 4096;

const TOKEN: &str = "validationToken";
const ITEMS_POINTER: &str = "/value";

/// Microsoft Graph, with the `clientState` of subscriptions.
#[derive(Debug, Clone)]
pub struct Graph {
    scheme: bowline_signature::Graph,
}

impl Graph {
    /// With the `clientState` of the subscriptions.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub fn new(client_state: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::Graph::new(SigningSecret::new(client_state.expose())?)? })
    }

    /// Also accepts this one: for the time in which subscriptions with one replace those with another.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub fn also_accept(self, client_state: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(client_state.expose())?)? })
    }
}

impl Sender for Graph {
    const ROW: Row = Row {
        name: "microsoft-graph",
        media_types: JSON,
        kind: Place::FirstOf(&[Place::Pointer("/lifecycleEvent"), Place::Pointer("/changeType")]),
        id: Place::Pointer("/id"),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Empty(StatusCode::ACCEPTED),
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        let token = request.parameter(TOKEN)?;
        let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len())
            && !token.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
        Some(if is_token {
            Ok(Answer::text(token))
        } else {
            Err(Rejection::unroutable("the validationToken is none that Microsoft Graph sends"))
        })
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        Self::ROW.batch(request, ITEMS_POINTER)
    }

    fn struck(&self) -> &'static [&'static str] {
        &["/clientState"]
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let is_lifecycle = matches!(event.kind, "reauthorizationRequired" | "subscriptionRemoved" | "missed");
        let mut item = if input.is_object() { input.clone() } else { json!({}) };
        if is_lifecycle {
            item["lifecycleEvent"] = event.kind.into();
        } else {
            item["changeType"] = event.kind.into();
            item["id"] = event.id.into();
        }
        json!({"value": [item]})
    }
}
