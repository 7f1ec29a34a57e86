//! One file per provider.
//!
//! | Provider | Event's type | Its id | A workflow receives | Retries for | Deduplicated for |
//! |---|---|---|---|---|---|
//! | [`Stripe`] | `type` | `id` | [`/data/object`](stripe::INPUT_POINTER) | 3 days | [30 days](stripe::DEDUPE_FOR) |
//! | [`StandardWebhooks`], Svix | `type`, else [`message`](standard_webhooks::KIND) | `webhook-id` header | the whole body | about a day | [30 days](standard_webhooks::DEDUPE_FOR) |
//! | [`GitHub`] | `x-github-event` header, and `.action` | `x-github-delivery` header | the whole body | by hand only | [30 days](github::DEDUPE_FOR) |
//! | [`Slack`] | the inner event's `type`; `command.todo`; `interaction.block_actions` | `event_id`; of forms their bytes | [`/event`](slack); the form; the payload | 6 min, or a day | [30 days](slack::DEDUPE_FOR) |
//! | [`Shopify`] | `x-shopify-topic` header | `x-shopify-webhook-id` header | the whole body | 4 hours | [30 days](shopify::DEDUPE_FOR) |
//! | [`HubSpot`] | `subscriptionType` | all but `attemptNumber` | [the item](hubspot) | a day | [30 days](hubspot::DEDUPE_FOR) |
//! | [`Twilio`] | [`message.…`, `call.…`](twilio) | `i-twilio-idempotency-token` header | the form's fields | once, at once | [30 days](twilio::DEDUPE_FOR) |
//! | [`Square`] | `type` | `event_id` | [`/data`](square::INPUT_POINTER) | 3 days | [30 days](square::DEDUPE_FOR) |
//! | [`Paddle`] | `event_type` | `event_id` | [`/data`](paddle::INPUT_POINTER) | 3 days | [30 days](paddle::DEDUPE_FOR) |
//! | [`Zoom`] | `event` | its bytes | [`/payload`](zoom::INPUT_POINTER) | 85 min | [30 days](zoom::DEDUPE_FOR) |
//! | [`GitLab`] | `object_kind` or `event_name`, and `.object_attributes.action` | `webhook-id` header, else `idempotency-key` | the whole body | by hand only | [30 days](gitlab::DEDUPE_FOR) |
//! | [`Bitbucket`] | `x-event-key` header | `x-request-uuid` header, else `x-request-id` | the whole body | two more times, at once | [30 days](bitbucket::DEDUPE_FOR) |
//! | [`Linear`] | `type`, and `.action` | `linear-delivery` header | the whole body | 7 hours | [30 days](linear::DEDUPE_FOR) |
//! | [`Intercom`] | `topic` | `id` | [`/data/item`](intercom::INPUT_POINTER) | – | [30 days](intercom::DEDUPE_FOR) |
//! | [`Typeform`] | `event_type` | `event_id` | [`/form_response`](typeform::INPUT_POINTER) | 10 hours | [30 days](typeform::DEDUPE_FOR) |
//! | [`Calendly`] | `event` | `payload.uri`, `event` and `created_at`, together | [`/payload`](calendly::INPUT_POINTER) | 24 hours | [30 days](calendly::DEDUPE_FOR) |
//! | [`Zendesk`] | `type` without `zen:event-type:` | `id`; of triggers the `x-zendesk-webhook-invocation-id` header | the whole body | minutes | [30 days](zendesk::DEDUPE_FOR) |
//! | [`Xero`], each of `events` | `eventCategory.eventType` | tenant, resource, category, type and date, together | one of `events` | 24 hours | [30 days](xero::DEDUPE_FOR) |
//! | [`Meta`], each item of `entry` | `object.field`, `object.messaging` | digest of the item | the body with this item only | 36 hours | [30 days](meta::DEDUPE_FOR) |
//! | [`CloudEvents`] | `type` | `source` and `id` | [`/data`](cloud_events) | as their sender does | [30 days](cloud_events::DEDUPE_FOR) |
//! | [`Adyen`] | `eventCode` of each item, `type` of a platform's | `pspReference`, `eventCode`, `success`; a platform's `eventId`, else the same bytes | [`NotificationRequestItem`](adyen::INPUT_POINTER), a platform's whole body | 30 days | [40 days](adyen::DEDUPE_FOR) |
//! | [`SendGrid`] | `event` of each item | `sg_event_id` | the item | a day | [30 days](sendgrid::DEDUPE_FOR) |
//! | [`Discord`], webhook events | `event.type` | the same bytes | [`event`](discord::INPUT_POINTER) | 10 minutes | [7 days](discord::DEDUPE_FOR) |
//! | [`DiscordInteractions`] | what its `type` means | `id` | the whole body | – | [7 days](discord::DEDUPE_FOR) |
//! | [`Mailgun`] | `event` | the signature's `token` | [`event-data`](mailgun::INPUT_POINTER) | 8 hours | [30 days](mailgun::DEDUPE_FOR) |
//! | [`PayPal`] | `event_type` | `id` | [`resource`](paypal::INPUT_POINTER) | 3 days | [30 days](paypal::DEDUPE_FOR) |
//! | [`Sns`] | `Type` and the topic's name | `MessageId` | the whole body, without what subscribes | an hour at most | [7 days](sns::DEDUPE_FOR) |
//! | [`Graph`] | `lifecycleEvent`, else `changeType`, of each item | `id`, if it has one | the item, without its `clientState` | 4 hours | [7 days](graph::DEDUPE_FOR) |
//! | [`Hmac`]: any other | wherever you say | wherever you say, if it has one | the part you say | – | [30 days](hmac::DEDUPE_FOR), unless you say |
//! | [`Post`]: first-party JSON | [`post`](post::KIND) | yours, or the `Idempotency-Key` header's | the whole body | – | [a day](post::DEDUPE_FOR), unless you say |
//!
//! A header that a provider's verification reads may come once.

pub(crate) mod json;
mod test_key;

pub mod adyen;
pub mod bitbucket;
pub mod calendly;
pub mod cloud_events;
pub mod discord;
pub mod github;
pub mod gitlab;
pub mod graph;
pub mod hmac;
pub mod hubspot;
pub mod intercom;
pub mod linear;
pub mod mailgun;
pub mod meta;
pub mod paddle;
pub mod paypal;
pub mod post;
pub mod sendgrid;
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
pub use cloud_events::CloudEvents;
pub use discord::{Discord, DiscordInteractions};
pub use github::GitHub;
pub use gitlab::GitLab;
pub use graph::Graph;
pub use hmac::Hmac;
pub use hubspot::HubSpot;
pub use intercom::Intercom;
pub use json::id_of;
pub use linear::Linear;
pub use mailgun::Mailgun;
pub use meta::Meta;
pub use paddle::Paddle;
pub use paypal::PayPal;
pub use post::{Auth, Post};
pub use sendgrid::SendGrid;
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
