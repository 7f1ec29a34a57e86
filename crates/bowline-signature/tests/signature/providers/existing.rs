//! GitHub, Standard Webhooks, and HMACs with their details set, as schemes.

use std::time::Duration;

use bowline_signature::{GitHub, Hmac, StandardWebhooks, generic, standard_webhooks};

use crate::{
    gauntlet::{BODY, JSON, Runner, run},
    secret,
};

#[test]
fn github() {
    run(&Runner {
        make: |secrets| {
            let mut secrets = secrets.iter().map(secret);
            let first = GitHub::new(secrets.next().unwrap());
            Box::new(secrets.fold(first, GitHub::also_accept))
        },
        secrets: ["It's a Secret to Everybody", "two", "three"],
        content_type: JSON,
        body: BODY,
        signed_headers: &["x-hub-signature-256"],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn standard_webhooks() {
    run(&Runner {
        make: |secrets| {
            let first = StandardWebhooks::new(&secret(secrets[0])).unwrap();
            let more = secrets[1..].iter();
            Box::new(more.fold(first, |webhooks, next| webhooks.also_accept(&secret(next)).unwrap()))
        },
        secrets: [
            "whsec_b3VycywgMzIgYnl0ZXMgb2Yga2V5IG1hdGVyaWFsLi4=",
            "whsec_b3VycyBiZWZvcmUsIDI0IGJ5dGVzIQ==",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ],
        content_type: JSON,
        body: BODY,
        signed_headers: &standard_webhooks::HEADERS,
        past: Some(standard_webhooks::TOLERANCE),
        future: Some(standard_webhooks::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn an_hmac_of_the_body() {
    run(&Runner {
        make: |secrets| {
            let mut secrets = secrets.iter().map(secret);
            let first = Hmac::sha512("X-Signature", secrets.next().unwrap());
            Box::new(secrets.fold(first, Hmac::also_accept))
        },
        secrets: ["secret one", "secret two", "secret three"],
        content_type: JSON,
        body: BODY,
        signed_headers: &["x-signature"],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn an_hmac_of_time_and_body() {
    run(&Runner {
        make: |secrets| {
            let mut secrets = secrets.iter().map(secret);
            let first = Hmac::sha256("X-Signature", secrets.next().unwrap())
                .prefix("v0=")
                .timestamp("X-Timestamp", ":")
                .signed_prefix("v0:")
                .tolerance(Duration::from_secs(60));
            Box::new(secrets.fold(first, Hmac::also_accept))
        },
        secrets: ["secret one", "secret two", "secret three"],
        content_type: JSON,
        body: BODY,
        signed_headers: &["x-signature", "x-timestamp"],
        past: Some(Duration::from_secs(60)),
        future: Some(Duration::from_secs(60)),
        signs_url: false,
    });
    assert!(generic::TOLERANCE > Duration::from_secs(60));
}
