//! Verifies and signs webhooks of every provider: pure, useful alone.
//!
//! What comes in: headers' values, the body's raw bytes, the time now, secrets. What goes out: when and under which id
//! the sender signed, or an [`Error`] that says what is wrong and what to check.
//!
//! What must never happen here: IO, a clock of its own, a secret or an expected signature in a message, a comparison
//! whose duration tells how much of a signature was right, work without bound for a stranger's header.
//!
//! | Sender | Headers | Signed | Algorithm | Age | Rotation | Checked against |
//! |---|---|---|---|---|---|---|
//! | [`Stripe`] | `stripe-signature: t=…,v1=…` | `t.body` | HMAC-SHA256, hex | [300 s, past only](stripe::TOLERANCE) | several secrets here, several `v1` there | vectors made with Python's `hmac` |
//! | [`StandardWebhooks`], Svix | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`, or `svix-*` | `id.timestamp.body` | HMAC-SHA256, base64 | [300 s, both ways](standard_webhooks::TOLERANCE) | several secrets here, several `v1` there | standardwebhooks 1.1.0 and svix 2.9.1 (PyPI) |
//! | [`StandardWebhooks`] 1a, Svix | the same, with `v1a,…` | `id.timestamp.body` | Ed25519, base64 | [300 s, both ways](standard_webhooks::TOLERANCE) | several public keys and secrets here, several `v1a` and `v1` there | vector of [Svix's server](https://github.com/svix/svix-webhooks/blob/main/server/svix-server/src/worker.rs), whose signature is in the specification; no library has it |
//! | [`GitHub`] | `x-hub-signature-256: sha256=…` | body | HMAC-SHA256, hex | – | several secrets here | [published vector](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation) |
//! | [`Slack`] | `x-slack-signature: v0=…`, `x-slack-request-timestamp` | `v0:timestamp:body` | HMAC-SHA256, hex | [300 s, both ways](slack::TOLERANCE) | several secrets here | slack_sdk 3.47.0 (PyPI), [vector](https://docs.slack.dev/authentication/verifying-requests-from-slack/) |
//! | [`Shopify`] | `x-shopify-hmac-sha256`, or `shopify-hmac-sha256` | body | HMAC-SHA256, base64 | – | several secrets here | @shopify/shopify-api 13.1.0 (npm) |
//! | [`HubSpot`] v3 | `x-hubspot-signature-v3`, `x-hubspot-request-timestamp` | method, URL, body, timestamp | HMAC-SHA256, base64 | [300 s, past only](hubspot::TOLERANCE) | several secrets here | hubspot-api-client 12.0.0 (PyPI), [vectors](https://github.com/HubSpot/hubspot-api-python/blob/master/tests/spec/utils/test_signature.py) |
//! | [`Twilio`] | `x-twilio-signature` | URL, and the form's fields or a digest in the URL | HMAC-SHA1 or -SHA256, base64 | – | several secrets here | twilio 9.13.0 (PyPI), [vectors](https://github.com/twilio/twilio-python/blob/main/tests/unit/test_request_validator.py) |
//! | [`Square`] | `x-square-hmacsha256-signature` | URL, body | HMAC-SHA256, base64 | – | several secrets here | squareup 46.0.0 (PyPI) |
//! | [`Paddle`] | `paddle-signature: ts=…;h1=…` | `ts:body` | HMAC-SHA256, hex | [5 s, both ways](paddle::TOLERANCE) | several secrets here, several `h1` there | paddle-python-sdk 1.16.1 (PyPI), [vector](https://github.com/PaddleHQ/paddle-python-sdk/blob/main/tests/Unit/Notification/test_Verifier.py) |
//! | [`Zoom`] | `x-zm-signature: v0=…`, `x-zm-request-timestamp` | `v0:timestamp:body` | HMAC-SHA256, hex | – | several secrets here | @zoom/rivet 0.4.0 (npm) |
//! | [`GitLab`] | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…` | `id.timestamp.body` | HMAC-SHA256, base64 | [300 s, both ways](gitlab::TOLERANCE) | several signing tokens here | standardwebhooks 1.1.0 (PyPI) |
//! | [`GitLab`], older | `x-gitlab-token` | nothing | – | – | several secret tokens here | – (compared as it stands) |
//! | [`Bitbucket`] | `x-hub-signature: sha256=…` | body | HMAC-SHA256, hex | – | several secrets here | [published vector](https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Examples), @octokit/webhooks-methods 6.0.0 (npm) |
//! | [`Linear`] | `linear-signature` | body | HMAC-SHA256, hex | [60 s, both ways](linear::TOLERANCE), by the body | several secrets here | @linear/sdk 98.0.0 (npm) |
//! | [`Intercom`] | `x-hub-signature: sha1=…` | body | HMAC-SHA1, hex | – | several secrets here | Python's `hmac` after the documentation |
//! | [`Typeform`] | `typeform-signature: sha256=…` | body | HMAC-SHA256, base64 | – | several secrets here | Python's `hmac` after the documentation's examples |
//! | [`Calendly`] | `calendly-webhook-signature: t=…,v1=…` | `t.body` | HMAC-SHA256, hex | [180 s, past only](calendly::TOLERANCE) | several keys here | Python's `hmac` after the documentation's examples |
//! | [`Zendesk`] | `x-zendesk-webhook-signature`, `x-zendesk-webhook-signature-timestamp` | timestamp, body | HMAC-SHA256, base64 | [300 s, both ways](zendesk::TOLERANCE) | several secrets here | Python's `hmac` after the documentation's example |
//! | [`Xero`] | `x-xero-signature` | body | HMAC-SHA256, base64 | – | several keys here | Python's `hmac` after the documentation |
//! | [`Meta`] | `x-hub-signature-256: sha256=…` | body | HMAC-SHA256, hex | – | several app secrets here | pywa 4.5.0 (PyPI), @octokit/webhooks-methods 6.0.0 (npm) |
//! | [`Adyen`] | none: `additionalData.hmacSignature` of each item in the body | eight fields of the item, joined by colons | HMAC-SHA256, base64, key in hex | – | several keys here | vector of [@adyen/api-library](https://github.com/Adyen/adyen-node-api-library/blob/main/src/__tests__/hmacValidator.spec.ts) |
//! | [`Adyen`], platforms | `hmacsignature` | body | HMAC-SHA256, base64, key in hex | – | several keys here | Adyen 16.0.0 (PyPI) |
//! | [`SendGrid`] | `x-twilio-email-event-webhook-signature`, `x-twilio-email-event-webhook-timestamp` | timestamp, body | ECDSA P-256, SHA-256, DER in base64 | none unless set | several public keys here | vectors of [sendgrid-python](https://github.com/sendgrid/sendgrid-python/blob/main/test/unit/test_eventwebhook.py) and [sendgrid-nodejs](https://github.com/sendgrid/sendgrid-nodejs/blob/main/packages/eventwebhook/src/eventwebhook.spec.js), sendgrid 6.12.5 (PyPI) |
//! | [`Discord`] | `x-signature-ed25519`, `x-signature-timestamp` | timestamp, body | Ed25519, hex | none unless set | several public keys here | discord-interactions 0.4.0 (PyPI) |
//! | [`Mailgun`] | none: `signature` in the body | timestamp, token; **not the event** | HMAC-SHA256, hex | none unless set | several keys here | Python's `hmac` after the documentation's example |
//! | [`PayPal`] | `paypal-transmission-id`, `-time`, `-sig`, `paypal-cert-url`, `paypal-auth-algo` | `id\|time\|webhook id\|CRC-32 of the body` | RSA, SHA-256, base64; certificate fetched | none unless set | several webhook ids here, certificates by PayPal | what paypalrestsdk 1.13.3 (PyPI) says is signed, with Python's `cryptography` |
//! | [`Sns`] | none: `Signature` in the body | fixed fields, `Name\nvalue\n` each | RSA, SHA-1 or SHA-256, base64; certificate fetched | – | certificates by AWS | sns-validator 0.3.5 (npm), both versions; the end of a subscription by the documentation only |
//! | [`Graph`] | none: `clientState` of each item in the body | nothing | – | – | several states here | – (compared as it stands) |
//! | [`Hmac`]: any other | one for the signature, one for the time if there is one | body, or time and body | HMAC-SHA256, -SHA512, -SHA1; hex or base64 | [300 s, both ways](generic::TOLERANCE) | several secrets here, several signatures there | – |
//! | [`ApiKey`], [`Bearer`], [`Basic`] | one of your choice; `authorization` | nothing | – | – | several keys here | – |
//!
//! # Example: a webhook, signed and verified
//! ```
//! use bowline_signature::{SigningSecret, Stripe};
//! use jiff::Timestamp;
//!
//! let now = Timestamp::from_second(1_700_000_000)?;
//! let stripe = Stripe::new(SigningSecret::new("whsec_test")?);
//!
//! let header = stripe.sign(b"{}", now);
//! assert_eq!(stripe.verify(&header, b"{}", now), Ok(now));
//! assert!(stripe.verify(&header, b"{ }", now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Receivers with axum and with hyper, and what they have to do besides: the crate's `README.md`, and `examples/`.

mod age;
mod body;
mod body_signature;
mod ed25519;
mod header;
mod hmac;
mod request;
mod scheme;
mod secret;
mod secrets;
mod stamped;

pub mod adyen;
pub mod authorization;
pub mod bitbucket;
pub mod calendly;
pub mod certificate;
pub mod discord;
pub mod error;
pub mod form;
pub mod generic;
pub mod github;
pub mod gitlab;
pub mod graph;
pub mod hubspot;
pub mod intercom;
pub mod linear;
pub mod mailgun;
pub mod meta;
pub mod paddle;
pub mod paypal;
pub mod sendgrid;
pub mod shared_key;
pub mod shopify;
pub mod slack;
pub mod sns;
pub mod square;
pub mod standard_webhooks;
pub mod stripe;
pub mod twilio;
pub mod typeform;
pub mod xero;
pub mod zendesk;
pub mod zoom;

pub use adyen::Adyen;
pub use bitbucket::Bitbucket;
pub use calendly::Calendly;
pub use certificate::CertifiedKey;
pub use discord::Discord;
pub use error::{BadKey, Error};
pub use generic::Hmac;
pub use github::GitHub;
pub use gitlab::GitLab;
pub use graph::Graph;
pub use hubspot::HubSpot;
pub use intercom::Intercom;
pub use linear::Linear;
pub use mailgun::Mailgun;
pub use meta::Meta;
pub use paddle::Paddle;
pub use paypal::PayPal;
pub use request::{Headers, Request};
pub use scheme::{CannotSign, Scheme, Signed, Unsigned};
pub use secret::{EmptySecret, SigningSecret};
pub use sendgrid::SendGrid;
pub use shared_key::{ApiKey, Basic, Bearer};
pub use shopify::Shopify;
pub use slack::Slack;
pub use sns::Sns;
pub use square::Square;
pub use standard_webhooks::StandardWebhooks;
pub use stripe::Stripe;
pub use twilio::Twilio;
pub use typeform::Typeform;
pub use xero::Xero;
pub use zendesk::Zendesk;
pub use zoom::Zoom;

/// Its examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
