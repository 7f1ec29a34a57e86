//! Shopify's scheme: `@shopify/shopify-api`.

use bowline_signature::{Request, Scheme, Shopify, Unsigned, shopify};
use http::{HeaderMap, HeaderValue};

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Row, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Node("@shopify/shopify-api"),
    name: "shopify",
    // The library also asks for headers that say what the webhook is.
    make: |text| Box::new(Named(Shopify::new(secret(text)))),
    secrets: ["hush", "shush"],
    content_type: sdk::JSON_TYPE,
    bodies: sdk::JSON_BODIES,
    tampered_body: sdk::TAMPERED_JSON,
    past: None,
    future: None,
    signs_url: false,
};

#[derive(Debug)]
struct Named(Shopify);

impl Scheme for Named {
    fn verify(&self, request: &Request<'_>, now: jiff::Timestamp) -> Result<(), bowline_signature::Error> {
        self.0.verify(request, now)
    }

    fn sign(
        &self,
        unsigned: &Unsigned<'_>,
        now: jiff::Timestamp,
    ) -> Result<bowline_signature::Signed, bowline_signature::CannotSign> {
        let mut signed = self.0.sign(unsigned, now)?;
        for (name, value) in [("topic", "orders/create"), ("shop-domain", "a.myshopify.com")]
            .into_iter()
            .chain([("api-version", "2026-10"), ("webhook-id", "b54557e4"), ("event-id", "98880550")])
        {
            for prefix in ["x-shopify-", "shopify-"] {
                let name = format!("{prefix}{name}").parse().unwrap();
                signed.headers.push((name, HeaderValue::from_static(value)));
            }
        }
        Ok(signed)
    }

    fn headers(&self) -> Vec<http::HeaderName> {
        self.0.headers()
    }
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Shopify::new, Shopify::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["x-shopify-hmac-sha256"],
        past: None,
        future: None,
        signs_url: false,
    });
}

/// Under the headers' names of webhooks, and under those of Shopify's Events.
#[test]
fn agrees_with_shopifys_own_library() {
    sdk::agree!("providers::shopify::agrees_with_shopifys_own_library", SDK, |now| {
        let mut event = SDK.row("one of Shopify's Events", SDK.bodies[0], now, now);
        let signature = event.headers.remove(shopify::HEADER).unwrap();
        event.headers.insert(shopify::EVENTS_HEADER, signature);
        let mut stranger = event.clone();
        stranger.secret = SDK.secrets[1];
        vec![event, Row { accepted: false, ..stranger }]
    });
}

#[test]
fn a_forged_events_header_beside_the_genuine_one_changes_nothing() {
    let shopify = Shopify::new(secret("hush"));
    let signed = shopify.sign(&Unsigned::json("", b"{}"), at(0)).unwrap();
    let mut headers: HeaderMap = signed.headers.into_iter().collect();
    headers.insert(shopify::EVENTS_HEADER, "AAAA".parse().unwrap());
    assert_eq!(shopify.verify(&Request::post(&headers, b"{}"), at(0)), Ok(()));
    headers.insert(shopify::EVENTS_HEADER, headers[shopify::HEADER].clone());
    headers.insert(shopify::HEADER, "AAAA".parse().unwrap());
    assert!(shopify.verify(&Request::post(&headers, b"{}"), at(0)).is_err());
}
