//! Verifies and signs webhooks of every provider: pure, useful alone.
//!
//! What comes in: headers' values, the body's raw bytes, the time now, secrets. What goes out: when and under which id
//! the sender signed, or an [`Error`] that says what is wrong and what to check.
//!
//! What must never happen here: IO, a clock of its own, a secret or an expected signature in a message, a comparison
//! whose duration tells how much of a signature was right, work without bound for a stranger's header.
//!
//! | Sender | Headers | Signed | Algorithm | Age | Rotation |
//! |---|---|---|---|---|---|
//! | [`Stripe`] | `stripe-signature: t=…,v1=…` | `t.body` | HMAC-SHA256, hex | [300 s, past only](stripe::TOLERANCE) | several secrets here, several `v1` there |
//! | [`StandardWebhooks`], Svix | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`, or `svix-*` | `id.timestamp.body` | HMAC-SHA256, base64 | [300 s, both ways](standard_webhooks::TOLERANCE) | several secrets here, several `v1` there |
//! | [`GitHub`] | `x-hub-signature-256: sha256=…` | body | HMAC-SHA256, hex | – | several secrets here |
//! | [`Hmac`]: any other | one for the signature, one for the time if there is one | body, or time and body | HMAC-SHA256, -SHA512, -SHA1; hex or base64 | [300 s, both ways](generic::TOLERANCE) | several secrets here, several signatures there |
//! | [`ApiKey`], [`Bearer`], [`Basic`] | one of your choice; `authorization` | nothing | – | – | several keys here |
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

mod age;
mod header;
mod hmac;
mod request;
mod scheme;
mod secret;

pub mod authorization;
pub mod error;
pub mod generic;
pub mod github;
pub mod shared_key;
pub mod standard_webhooks;
pub mod stripe;

pub use error::{BadKey, Error};
pub use generic::Hmac;
pub use github::GitHub;
pub use request::{Headers, Request};
pub use scheme::{CannotSign, Scheme, Signed, Unsigned};
pub use secret::{EmptySecret, SigningSecret};
pub use shared_key::{ApiKey, Basic, Bearer};
pub use standard_webhooks::StandardWebhooks;
pub use stripe::Stripe;
