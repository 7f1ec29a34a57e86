//! One file per provider.
//!
//! | Provider | Event's type | Its id | A workflow receives | Retries for | Deduplicated for |
//! |---|---|---|---|---|---|
//! | [`Stripe`] | `type` | `id` | [`/data/object`](stripe::INPUT_POINTER) | 3 days | [30 days](stripe::DEDUPE_FOR) |
//! | [`StandardWebhooks`], Svix | `type`, else [`message`](standard_webhooks::KIND) | `webhook-id` header | the whole body | about a day | [30 days](standard_webhooks::DEDUPE_FOR) |
//! | [`GitHub`] | `x-github-event` header, and `.action` | `x-github-delivery` header | the whole body | by hand only | [30 days](github::DEDUPE_FOR) |
//! | [`Hmac`]: any other | wherever you say | wherever you say, if it has one | the part you say | – | [30 days](hmac::DEDUPE_FOR), unless you say |
//! | [`Post`]: first-party JSON | [`post`](post::KIND) | yours, or the `Idempotency-Key` header's | the whole body | – | [a day](post::DEDUPE_FOR), unless you say |
//!
//! A header that a provider's verification reads may come once.

pub(crate) mod json;

pub mod github;
pub mod hmac;
pub mod post;
pub mod standard_webhooks;
pub mod stripe;

pub use github::GitHub;
pub use hmac::Hmac;
pub use json::id_of;
pub use post::{Auth, Post};
pub use standard_webhooks::StandardWebhooks;
pub use stripe::Stripe;
