//! Each provider's requests, as it signs them, through a real door into a real store.

mod bitbucket;
mod calendly;
mod gitlab;
mod hubspot;
mod intercom;
mod linear;
mod meta;
mod paddle;
mod shopify;
mod slack;
mod square;
mod twilio;
mod typeform;
mod xero;
mod zendesk;
mod zoom;
