//! Verifies and signs webhooks of every provider: pure, useful alone.
//!
//! What comes in: a header's value, the body's raw bytes, the time now, secrets. What goes out: when the provider
//! signed, or an [`Error`] that says what is wrong and what to check.
//!
//! What must never happen here: IO, a clock of its own, a secret or an expected signature in a message, a comparison
//! whose duration tells how much of a signature was right.
//!
//! | Provider | Header | Signed | Algorithm | Age | Rotation |
//! |---|---|---|---|---|---|
//! | [`Stripe`] | `stripe-signature: t=…,v1=…` | `t.body` | HMAC-SHA256, hex | [300 s, past only](stripe::TOLERANCE) | several secrets here, several `v1` there |
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

mod hmac;
mod secret;

pub mod error;
pub mod stripe;

pub use error::Error;
pub use secret::{EmptySecret, SigningSecret};
pub use stripe::Stripe;
