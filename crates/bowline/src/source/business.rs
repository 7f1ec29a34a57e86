//! Shops, payments and customers: Shopify, HubSpot, Square, Paddle.

use bowline_ingress::providers;

use super::signed_with;
use crate::Source;

/// Shopify's webhooks. A workflow receives the whole body, which is the resource; the types are the topics:
/// `orders/create` (<https://shopify.dev/docs/api/webhooks>).
#[derive(Debug)]
pub struct Shopify;

impl Shopify {
    /// Signed with the app's client secret in that variable; several, separated by commas, are all accepted. For webhooks
    /// that were made in a shop's settings it is the secret shown there.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the client secret of the Shopify app", |first, more| {
            let shopify = providers::Shopify::new(first)?;
            more.iter().try_fold(shopify, |shopify, secret| shopify.also_accept(secret))
        })
    }
}

/// HubSpot's webhooks (signature version 3), which come in batches: each item is an event, and what a workflow receives.
/// The types are `contact.creation`, `deal.propertyChange`
/// (<https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide>).
///
/// HubSpot signs the URL: set `BOWLINE_PUBLIC_URL`.
#[derive(Debug)]
pub struct HubSpot;

impl HubSpot {
    /// Signed with the app's client secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the client secret of the HubSpot app", |first, more| {
            let hubspot = providers::HubSpot::new(first)?;
            more.iter().try_fold(hubspot, |hubspot, secret| hubspot.also_accept(secret))
        })
    }
}

/// Square's webhooks. A workflow receives `data`; the types are `payment.updated` and the like
/// (<https://developer.squareup.com/docs/webhooks/overview>).
///
/// Square signs the notification URL: set `BOWLINE_PUBLIC_URL`.
#[derive(Debug)]
pub struct Square;

impl Square {
    /// Signed with the signature key of the webhook subscription in that variable; several, separated by commas, are all
    /// accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the signature key of the Square webhook subscription", |first, more| {
            let square = providers::Square::new(first)?;
            more.iter().try_fold(square, |square, key| square.also_accept(key))
        })
    }
}

/// Paddle Billing's notifications. A workflow receives `data`; the types are `transaction.completed` and the like
/// (<https://developer.paddle.com/webhooks/about/how-webhooks-work>).
///
/// A notification may be 5 seconds old, as Paddle's SDKs have it: this machine's clock must be right.
#[derive(Debug)]
pub struct Paddle;

impl Paddle {
    /// Signed with the notification destination's secret (`pdl_ntfset_…`) in that variable; several, separated by commas,
    /// are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        let purpose = "the secret (pdl_ntfset_…) of the Paddle notification destination";
        signed_with(variable, purpose, |first, more| {
            let paddle = providers::Paddle::new(first)?;
            more.iter().try_fold(paddle, |paddle, secret| paddle.also_accept(secret))
        })
    }
}
